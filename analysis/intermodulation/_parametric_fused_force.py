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

__all__ = [
    "Sampled",
    "expand",
    "exponential",
    "next_order",
    "parts_of",
    "pulses",
    "signal_tones",
    "two_products",
]

# Signals of a sample, see `_signals`; the last two serve cubic damping only.
_COLUMNS = 9


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
    moments = np.empty((along.rows.shape[0], _COLUMNS, 2, bands.real.shape[1]))
    _accumulate((radius, known[2], known[5]), height, along, cubic, moments)
    signals = np.empty((_COLUMNS if cubic else _COLUMNS - 2, bands.groups.size), np.complex128)
    for group in range(len(moments)):
        for column in range(len(signals)):
            own = moments[group, column]
            expand(bands, group, own[0], own[1], signals[column])
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
    moments : ndarray, shape (groups, 9, 2, blocks * 5)
        Real and imaginary parts.
    """
    rows, starts = along.rows, along.starts
    groups, blocks = rows.shape[0], starts.size - 1
    orders = moments.shape[3] // blocks
    longest = np.max(starts[1:] - starts[:-1])
    # Sums of single precision are true to 1e-6 and take half of the time.
    columns = np.empty((_COLUMNS, longest), dtype=np.float32)
    cosine, sine = np.empty(longest, dtype=np.float32), np.empty(longest, dtype=np.float32)
    for block in range(blocks):
        first, count = starts[block], starts[block + 1] - starts[block]
        own = slice(first, first + count)
        z, velocity, weights = along.z[own], along.velocity[own], along.weights[own]
        _signals(shape, height, z, velocity, weights, cubic, columns)
        offsets = along.offsets[own]
        for group in range(groups):
            cosine[:count] = rows[group, 0, own]
            sine[:count] = rows[group, 1, own]
            for order in range(orders):
                out = moments[group, :, :, block * orders + order]
                _products(cosine, sine, columns, count, out)
                if cubic:
                    two_products(cosine, sine, columns[7:], count, out[7:])
                next_order(cosine, sine, offsets)


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


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def expand(bands, group, real, imag, out):
    """Fill the tones of one band from moments; those of other bands stay.

    Parameters
    ----------
    bands : Bands
    group : int
    real, imag : ndarray, shape (blocks * 5,)
    out : ndarray of complex, shape (K,)
    """
    for k in range(out.size):
        if bands.groups[k] != group:
            continue
        x, y = 0.0, 0.0
        for i in range(real.size):
            x += bands.real[k, i] * real[i] - bands.imag[k, i] * imag[i]
            y += bands.real[k, i] * imag[i] + bands.imag[k, i] * real[i]
        out[k] = complex(x, y)
