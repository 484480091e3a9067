"""The stage in compiled arithmetic: play, creep, and whitening of errors that hang together.

Play: Krejci, Hysteresis, Convexity and Dissipation in Hyperbolic Equations (1996), ch. II. Errors:
a slip and a miss of the motor, whitened by the Kalman filter of two states (Harvey, Forecasting,
Structural Time Series Models and the Kalman Filter, 1989, sec. 3.4).
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["creep", "play", "whiten"]


@numba.njit(cache=True, error_model="numpy")
def play(inputs, half_width, start):
    """Return the output of a play for a sequence of inputs, shape (n,), from an output `start`."""
    out = np.empty(inputs.size)
    value = start
    for i in range(inputs.size):
        value = max(inputs[i] - half_width, min(inputs[i] + half_width, value))
        out[i] = value
    return out


@numba.njit(cache=True, error_model="numpy")
def creep(output, time, settle, fraction, limit, share, fast, slow):
    """Return what the o-rings hold back of the specimen, shape (n,), as something to subtract.

    Of a way dy they hold fraction dy, no more than +-limit all in all; `share` of it relaxes with
    the time constant `fast`, the rest with `slow`, seen `settle` seconds after the move.
    """
    out = np.zeros(output.size)
    quick, late = 0.0, 0.0
    for i in range(1, output.size):
        interval = time[i] - time[i - 1]
        way = output[i] - output[i - 1]
        since = min(settle, interval) if way != 0.0 else interval
        quick *= math.exp(-(interval - since) / fast)
        late *= math.exp(-(interval - since) / slow)
        held = quick + late
        more = max(-limit, min(limit, held + fraction * way)) - held
        quick = (quick + share * more) * math.exp(-since / fast)
        late = (late + (1.0 - share) * more) * math.exp(-since / slow)
        out[i] = quick + late
    return out


@numba.njit(cache=True, error_model="numpy")
def whiten(columns, part, interval, variance, slip, memory, motor, walk, known):
    """Return the standardised innovations of each column, and the sum of the log variances.

    The error of a stop has two states: the slip s, which decays and is renewed with the way, and
    what the motor missed its target by, m, drawn anew whenever the specimen is driven and kept
    while it stands in its play.

    Parameters
    ----------
    columns : ndarray, shape (n, p)
        Filtered alike; rows that are not `known` are passed over.
    part : ndarray, shape (n,)
        Way of each step as a part of that at which slip is complete, 0 to 1.
    interval : ndarray, shape (n,)
        Seconds since the stop before.
    variance : ndarray, shape (n,)
        Of the measurement.
    slip, memory, motor, walk : float
        Standard deviation of a new slip, part of the old that stays, standard deviation of the
        motor, variance of the drift a second.
    known : ndarray of bool, shape (n,)
    """
    n, p = columns.shape
    out = np.zeros((n, p))
    s, m = np.zeros(p), np.zeros(p)
    ss = slip**2 / max(1.0 - memory**2, 1e-3)
    sm, mm = 0.0, motor**2
    log_sum = 0.0
    for i in range(n):
        if i > 0:
            stay = memory ** part[i]
            for k in range(p):
                s[k] *= stay
            ss = stay**2 * ss + (slip * part[i]) ** 2 + walk * interval[i]
            sm *= stay
            if part[i] > 0.0:
                m[:] = 0.0
                sm, mm = 0.0, motor**2
        if not known[i]:
            continue
        total = ss + 2.0 * sm + mm + variance[i]
        root = math.sqrt(total)
        of_s, of_m = (ss + sm) / total, (sm + mm) / total
        for k in range(p):
            innovation = columns[i, k] - s[k] - m[k]
            out[i, k] = innovation / root
            s[k] += of_s * innovation
            m[k] += of_m * innovation
        ss -= of_s**2 * total
        sm -= of_s * of_m * total
        mm -= of_m**2 * total
        log_sum += math.log(total)
    return out, log_sum
