"""The stage in compiled arithmetic: play, creep, and whitening of errors that hang together.

Play: Krejci, Hysteresis, Convexity and Dissipation in Hyperbolic Equations (1996), ch. II. Errors:
a slip, a miss of the motor and a drift whose velocity wanders, whitened by the Kalman filter
(Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, sec. 2.3 and 3.4).
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["carried", "creep", "design_of", "driven", "play", "whiten"]

_STATES = 4
_SLIP, _MISS, _DRIFT, _SPEED = range(_STATES)


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
def driven(sensor, half_width, cell_1, cell_2, weight_1, weight_2):
    """Return what follows the sensor, shape (4, n): a play, two cells behind it, all together."""
    out = np.empty((4, sensor.size))
    out[0] = play(sensor, half_width, sensor[0])
    out[1] = play(out[0], cell_1, out[0, 0])
    out[2] = play(out[0], cell_2, out[0, 0])
    for i in range(sensor.size):
        lag_1, lag_2 = out[1, i] - out[0, i], out[2, i] - out[0, i]
        out[3, i] = out[0, i] + weight_1 * lag_1 + weight_2 * lag_2
    return out


@numba.njit(cache=True, error_model="numpy")
def carried(miss, loose):
    """Return what of a miss the specimen goes along with, shape (n,).

    While it stands in its play it keeps what the last move that drove it had missed.
    """
    out = np.empty(loose.size)
    out[0] = miss[0]
    for i in range(1, loose.size):
        out[i] = out[i - 1] if loose[i] == loose[i - 1] else miss[i]
    return out


@numba.njit(cache=True, error_model="numpy")
def design_of(fixed, at, other, miss, way, held, period):
    """Return values and columns of the model of an axis, shape (m, p).

    Parameters
    ----------
    fixed : ndarray, shape (m, 5 or more)
        Actual position, 1, time, the other axis, its square; then origins of further segments.
    at : ndarray of int, shape (m,)
        Which stops those are.
    other, miss, held : ndarray, shape (n,)
        The other axis, what the motor missed, what the o-rings hold back.
    way : ndarray, shape (4, n)
        Of `driven`.
    period : float
        Of the screw.
    """
    stop = carried(miss, way[0])
    out = np.empty((at.size, fixed.shape[1] + 9))
    for k in range(at.size):
        i = at[k]
        turn = 2.0 * math.pi * way[3, i] / period
        out[k, :5] = fixed[k, :5]
        out[k, 0] += held[i]
        out[k, 5] = other[i] * way[0, i]
        out[k, 6], out[k, 7], out[k, 8] = way[0, i], way[1, i], way[2, i]
        out[k, 9], out[k, 10] = math.cos(turn), math.sin(turn)
        out[k, 11], out[k, 12] = math.cos(2.0 * turn), math.sin(2.0 * turn)
        out[k, 13] = stop[i]
        out[k, 14:] = fixed[k, 5:]
    return out


@numba.njit(cache=True, error_model="numpy")
def creep(output, time, settle, fraction, limit, share, fast, slow):
    """Return what the o-rings hold back of the specimen, shape (n,), as something to subtract.

    Of a way dy they hold fraction dy, no more than +-limit all in all; `share` of it relaxes with
    the time constant `fast`, the rest with `slow`. The move to a stop ends `settle` seconds before
    the stop's `time`.
    """
    out = np.zeros(output.size)
    quick, late = 0.0, 0.0
    for i in range(1, output.size):
        interval = time[i] - time[i - 1]
        way = output[i] - output[i - 1]
        since = settle[i] if way != 0.0 else interval
        quick *= math.exp(-(interval - since) / fast)
        late *= math.exp(-(interval - since) / slow)
        held = quick + late
        more = max(-limit, min(limit, held + fraction * way)) - held
        quick = (quick + share * more) * math.exp(-since / fast)
        late = (late + (1.0 - share) * more) * math.exp(-since / slow)
        out[i] = quick + late
    return out


@numba.njit(cache=True, error_model="numpy")
def whiten(columns, known, part, interval, variance, slip, memory, motor, wander):
    """Return the standardised innovations of each column, and the sum of the log variances.

    The error of a stop has four states: the slip, which decays and is renewed with the way; what
    the motor missed its target by, drawn anew whenever the specimen is driven and kept while it
    stands in its play; the drift away from a straight line, and its velocity, a random walk.

    Parameters
    ----------
    columns : ndarray, shape (m, p)
        At the stops that are known, filtered alike.
    known : ndarray of int, shape (m,)
        Which of the n stops those are, in order.
    part : ndarray, shape (n,)
        Way of each move as a part of that at which slip is complete, 0 to 1.
    interval : ndarray, shape (n,)
        Seconds since the stop before.
    variance : ndarray, shape (m,)
        Of the measurement.
    slip, memory, motor, wander : float
        Standard deviation of a new slip, part of the old that stays, standard deviation of the
        motor, variance of the drift velocity a second.
    """
    m, p = columns.shape
    out = np.zeros((m, p))
    state = np.zeros((_STATES, p))
    spread = np.zeros((_STATES, _STATES))
    gain = np.zeros(_STATES)
    spread[_SLIP, _SLIP] = slip**2 / max(1.0 - memory**2, 1e-3)
    spread[_MISS, _MISS] = motor**2
    log_memory = math.log(memory)
    log_sum = 0.0
    first = 1
    for k in range(m):
        kept, missed, elapsed = 1.0, False, 0.0
        for i in range(first, known[k] + 1):
            if part[i] > 0.0:
                stay = math.exp(log_memory * part[i])
                kept *= stay
                missed = True
                for j in range(_STATES):
                    spread[_SLIP, j] *= stay
                    spread[j, _SLIP] *= stay
                    spread[_MISS, j] = spread[j, _MISS] = 0.0
                spread[_SLIP, _SLIP] += (slip * part[i]) ** 2
                spread[_MISS, _MISS] = motor**2
            elapsed += interval[i]
        first = max(first, known[k] + 1)
        for j in range(_STATES):
            spread[_DRIFT, j] += elapsed * spread[_SPEED, j]
        for j in range(_STATES):
            spread[j, _DRIFT] += elapsed * spread[j, _SPEED]
        spread[_DRIFT, _DRIFT] += wander * elapsed**3 / 3.0
        spread[_DRIFT, _SPEED] += wander * elapsed**2 / 2.0
        spread[_SPEED, _DRIFT] += wander * elapsed**2 / 2.0
        spread[_SPEED, _SPEED] += wander * elapsed
        total = spread[_SLIP, _SLIP] + spread[_MISS, _MISS] + spread[_DRIFT, _DRIFT]
        total += 2.0 * (spread[_SLIP, _MISS] + spread[_SLIP, _DRIFT] + spread[_MISS, _DRIFT])
        total += variance[k]
        for j in range(_STATES):
            gain[j] = (spread[j, _SLIP] + spread[j, _MISS] + spread[j, _DRIFT]) / total
        root = math.sqrt(total)
        for c in range(p):
            state[_SLIP, c] *= kept
            if missed:
                state[_MISS, c] = 0.0
            state[_DRIFT, c] += elapsed * state[_SPEED, c]
            innovation = columns[k, c] - state[_SLIP, c] - state[_MISS, c] - state[_DRIFT, c]
            out[k, c] = innovation / root
            for j in range(_STATES):
                state[j, c] += gain[j] * innovation
        for a in range(_STATES):
            for b in range(_STATES):
                spread[a, b] -= gain[a] * gain[b] * total
        log_sum += math.log(total)
    return out, log_sum
