"""The force and its slopes in compiled arithmetic, as sums of nine signals times the parameters.

The law is that of `VdwDmt` and `ExponentialDamping` (Borysov et al., eq. 22). The signals never
leave the scratch space of a block of slow time: they are turned back by the carrier of each band
and summed with their moments, as `Comb` does for any signal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ._parametric_fused_motion import FAST, Along, Bands
from ._parametric_tones import MOMENTS

__all__ = [
    "LANES",
    "Sampled",
    "deepest",
    "expand",
    "exponential",
    "longest_block",
    "next_order",
    "parts_of",
    "pulses",
    "signal_tones",
    "two_products",
    "whole_lanes",
]

# Signals of a sample, see `_signals`; the last two serve cubic damping only.
_COLUMNS = 9
# Numbers of single precision that two wide registers hold.
LANES = 32


class Sampled(NamedTuple):
    """What tells the tones of the force along a motion.

    Parameters
    ----------
    radius : float
        Of the tip, m.
    cubic : bool
        Whether there is cubic damping.
    along : Along
    bands : Bands
        Of single precision, moments filled up to a multiple of `LANES`.
    """

    radius: float
    cubic: bool
    along: Along
    bands: Bands


@njit(cache=True, error_model="numpy", nogil=True)
def signal_tones(known, height, sampled):
    """Return the tones of the signals that the force and its slopes are sums of, (7 or 9, K).

    Parameters
    ----------
    known : ndarray, shape (6,)
        All parameters of the law.
    height : float
    sampled : Sampled
    """
    radius, cubic, along, bands = sampled
    moments = np.zeros((along.rows.shape[0], _COLUMNS, 2, bands.real.shape[1]), dtype=np.float32)
    _accumulate((radius, known[2], known[5]), height, along, cubic, moments)
    signals = np.empty((_COLUMNS if cubic else _COLUMNS - 2, bands.groups.size), np.complex128)
    for group in range(len(moments)):
        expand(bands, group, moments[group], signals)
    return signals


@njit(cache=True, error_model="numpy", nogil=True)
def parts_of(known, columns):
    """Return what each signal has in the slopes with the law's parameters and the height.

    Parameters
    ----------
    known : ndarray, shape (6,)
        All parameters of the law.
    columns : int
        Of the signals.

    Returns
    -------
    ndarray, shape (columns, 8)
        The last column is what it has in the force itself.
    """
    hamaker, modulus, _, linear, cubic, decay = known
    parts = np.zeros((_COLUMNS, 8))
    parts[0, 0] = parts[1, 1] = parts[5, 3] = parts[7, 4] = 1.0
    parts[0, 7], parts[1, 7], parts[5, 7], parts[7, 7] = hamaker, modulus, linear, cubic
    # In contact the attraction does not follow the distance.
    parts[2, 2], parts[3, 2] = modulus, hamaker
    parts[6, 5], parts[8, 5] = linear, cubic
    parts[2, 6], parts[3, 6], parts[4, 6] = -modulus, -hamaker, hamaker
    parts[5, 6], parts[7, 6] = -linear / decay, -cubic / decay
    return parts[:columns]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def exponential(x):
    """Return exp(x) of |x| <= 44, the sixty-fourth power of a series that vectorises."""
    y = min(max(x, -44.0), 44.0) / 64.0
    series = 1.0 + y / 13.0
    for order in range(12, 0, -1):
        series = 1.0 + y * series / order
    for _ in range(6):
        series *= series
    return series


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def pulses(values, radius, height, along, out):
    """Fill the force at the samples, N, times the weight of each.

    Parameters
    ----------
    values : ndarray, shape (6,)
        The law's parameters: hamaker, modulus, intermolecular, linear, cubic, decay.
    radius, height : float
    along : Along
    out : ndarray, shape (n,)
    """
    hamaker, modulus, closest, linear, cubic, decay = values
    stiffness, attraction = 4.0 / 3.0 * modulus * np.sqrt(radius), hamaker * radius / 6.0
    z, velocity, weights, per_decay = along.z, along.velocity, along.weights, -1.0 / decay
    for i in range(z.size):
        d, v = z[i] + height, velocity[i]
        inverse = 1.0 / max(d, closest)
        overlap = max(closest - d, 0.0)
        drag = (linear + cubic * v * v) * v * exponential(d * per_decay)
        push = stiffness * overlap * np.sqrt(overlap)
        out[i] = weights[i] * (push - attraction * inverse * inverse - drag)


@njit(cache=True, error_model="numpy", nogil=True)
def deepest(values, radius, distances):
    """Return the largest attraction of a tip at rest, N.

    Parameters
    ----------
    values : ndarray, shape (6,)
        As of `pulses`.
    radius : float
    distances : ndarray, shape (n,)
        At which it is looked for, m.

    Returns
    -------
    attraction : float
    slopes : ndarray, shape (7,)
        Of the force there, with the values and with the distance.
    """
    hamaker, modulus, closest, _, _, _ = values
    stiffness, least, place = modulus * np.sqrt(radius), np.inf, np.nan
    for d in distances:
        overlap = max(closest - d, 0.0)
        push = 4.0 / 3.0 * stiffness * overlap * np.sqrt(overlap)
        force = push - hamaker * radius / (6.0 * max(d, closest) ** 2)
        if force < least:
            least, place = force, d
    overlap, bound = max(closest - place, 0.0), max(place, closest)
    slopes = np.zeros(7)
    slopes[0] = -radius / (6.0 * bound**2)
    slopes[1] = 4.0 / 3.0 * np.sqrt(radius) * overlap * np.sqrt(overlap)
    push, pull = 2.0 * stiffness * np.sqrt(overlap), hamaker * radius / (3.0 * bound**3)
    if place < closest:
        slopes[2], slopes[6] = push + pull, -push
    else:
        slopes[6] = pull
    return -least, slopes


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _signals(shape, height, z, velocity, weights, cubic, columns):
    """Fill the signals at n samples, each times its weight, (9, n) or more.

    With R the radius, a the intermolecular distance, l the decay and o = max(a - d, 0):

    0: -R / (6 max(d, a)^2), 1: 4/3 sqrt(R) o^1.5, 2: 2 sqrt(R o), 3: R / (3 a^3) in contact,
    4: R / (3 max(d, a)^3), 5: -v exp(-d / l), 6: the fifth times d / l^2; 7, 8: the fifth and the
    sixth times v^2.
    """
    radius, closest, decay = shape
    root_radius = np.sqrt(radius)
    touching = radius / 3.0 / closest**3
    per_decay = 1.0 / decay
    for i in range(z.size):
        d, v, weight = z[i] + height, velocity[i], weights[i]
        inverse = 1.0 / max(d, closest)
        overlap = max(closest - d, 0.0)
        root = weight * root_radius * np.sqrt(overlap)
        square = weight * radius * inverse * inverse
        fall = -weight * v * exponential(-d * per_decay)
        columns[0, i] = -1.0 / 6.0 * square
        columns[1, i] = 4.0 / 3.0 * overlap * root
        columns[2, i] = 2.0 * root
        columns[3, i] = weight * touching if d < closest else 0.0
        columns[4, i] = 1.0 / 3.0 * square * inverse
        columns[5, i] = fall
        columns[6, i] = fall * d * per_decay * per_decay
    if cubic:
        for i in range(z.size):
            square = velocity[i] * velocity[i]
            columns[7, i] = square * columns[5, i]
            columns[8, i] = square * columns[6, i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _accumulate(shape, height, along, cubic, moments):
    """Fill the moments of the signals that the force and its slopes are sums of.

    Parameters
    ----------
    shape : tuple of float
        Radius of the tip, intermolecular distance and decay of the damping, m.
    height : float
    along : Along
    cubic : bool
        Whether the damping has a cubic part; the last two signals are left out otherwise.
    moments : ndarray, shape (groups, 9, 2, blocks * 5 or more)
        Real and imaginary parts.
    """
    rows, starts = along.rows, along.starts
    groups, blocks = rows.shape[0], starts.size - 1
    longest = longest_block(starts)
    # Sums of single precision are true to 1e-6 and take half of the time.
    columns = np.zeros((_COLUMNS, longest), dtype=np.float32)
    cosine, sine = np.zeros(longest, dtype=np.float32), np.zeros(longest, dtype=np.float32)
    for block in range(blocks):
        first, count = starts[block], starts[block + 1] - starts[block]
        own, end = slice(first, first + count), whole_lanes(count)
        z, velocity, weights = along.z[own], along.velocity[own], along.weights[own]
        _signals(shape, height, z, velocity, weights, cubic, columns)
        columns[:, count:end] = 0.0
        cosine[count:end] = sine[count:end] = 0.0
        offsets = along.offsets[own]
        for group in range(groups):
            cosine[:count] = rows[group, 0, own]
            sine[:count] = rows[group, 1, own]
            for order in range(MOMENTS):
                out = moments[group, :, :, block * MOMENTS + order]
                _products(cosine, sine, columns, end, out)
                if cubic:
                    two_products(cosine, sine, columns[7:], end, out[7:])
                next_order(cosine, sine, offsets)


@njit(cache=True, error_model="numpy", nogil=True)
def whole_lanes(count):
    """Return the next multiple of `LANES`: loops end there, on zeros, without a scalar rest."""
    return -(-count // LANES) * LANES


@njit(cache=True, error_model="numpy", nogil=True)
def longest_block(starts):
    """Return the length of the longest block, in whole lanes."""
    return whole_lanes(np.max(starts[1:] - starts[:-1]))


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def next_order(cosine, sine, offsets):
    for i in range(offsets.size):
        cosine[i] *= offsets[i]
        sine[i] *= offsets[i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _products(cosine, sine, columns, count, out):
    """Fill the sums of each column turned back; all at once, each sample being read once."""
    zero = np.float32(0.0)
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = zero
    i0 = i1 = i2 = i3 = i4 = i5 = i6 = zero
    for i in range(count):
        c, s = cosine[i], sine[i]
        r0 += c * columns[0, i]
        i0 -= s * columns[0, i]
        r1 += c * columns[1, i]
        i1 -= s * columns[1, i]
        r2 += c * columns[2, i]
        i2 -= s * columns[2, i]
        r3 += c * columns[3, i]
        i3 -= s * columns[3, i]
        r4 += c * columns[4, i]
        i4 -= s * columns[4, i]
        r5 += c * columns[5, i]
        i5 -= s * columns[5, i]
        r6 += c * columns[6, i]
        i6 -= s * columns[6, i]
    out[0, 0], out[1, 0], out[2, 0], out[3, 0] = r0, r1, r2, r3
    out[4, 0], out[5, 0], out[6, 0] = r4, r5, r6
    out[0, 1], out[1, 1], out[2, 1], out[3, 1] = i0, i1, i2, i3
    out[4, 1], out[5, 1], out[6, 1] = i4, i5, i6


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def two_products(cosine, sine, columns, count, out):
    zero = np.float32(0.0)
    r0 = r1 = i0 = i1 = zero
    for i in range(count):
        c, s = cosine[i], sine[i]
        r0 += c * columns[0, i]
        i0 -= s * columns[0, i]
        r1 += c * columns[1, i]
        i1 -= s * columns[1, i]
    out[0, 0], out[0, 1], out[1, 0], out[1, 1] = r0, i0, r1, i1


@njit(cache=True, error_model="numpy", nogil=True)
def expand(bands, group, moments, out):
    """Fill the tones of one band from moments; those of other bands stay.

    Parameters
    ----------
    bands : Bands
        Of single precision.
    group : int
    moments : ndarray, shape (c or more, 2, n)
        Real and imaginary parts; n a multiple of `LANES`, with zeros at the end.
    out : ndarray of complex, shape (c, K)
    """
    own = np.flatnonzero(bands.groups == group)
    last = own[-1]
    for k in range(own[0], last + 1, 2):
        # Two at once: each moment is read once for both. An odd last one is done twice.
        other = min(k + 1, last)
        for column in range(out.shape[0]):
            first, second = _two_tones(
                bands.real[k],
                bands.imag[k],
                bands.real[other],
                bands.imag[other],
                moments[column, 0],
                moments[column, 1],
            )
            out[column, k], out[column, other] = first, second


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _two_tones(a, b, c, d, real, imag):
    zero = np.float32(0.0)
    x0 = y0 = x1 = y1 = zero
    for i in range(real.size):
        x0 += a[i] * real[i] - b[i] * imag[i]
        y0 += a[i] * imag[i] + b[i] * real[i]
        x1 += c[i] * real[i] - d[i] * imag[i]
        y1 += c[i] * imag[i] + d[i] * real[i]
    return complex(x0, y0), complex(x1, y1)
