"""Motion, force and slopes of one pixel in compiled arithmetic, a block of slow time at a time.

The law is that of `VdwDmt` and `ExponentialDamping` (Borysov et al., eq. 22). A sample's force and
slopes never leave the block's scratch space: they are turned back by the carrier of each band and
summed with their moments, as `Comb` does for any signal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "FAST",
    "Along",
    "Bands",
    "accumulate",
    "expand",
    "forces",
    "gather",
    "motion",
    "series",
    "stiffness",
]

# Signals of a sample: slopes with hamaker, modulus, intermolecular, linear, cubic, decay, distance.
COLUMNS = 7
# Arithmetic may be reordered, but infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "arcp", "nsz"}


class Along(NamedTuple):
    """Samples along a motion.

    Parameters
    ----------
    z, velocity, offsets : ndarray, shape (n,)
        Deflection, m, its rate, m/s, and the place in the sample's block, -1 to 1.
    rows : ndarray, shape (groups, 2, n)
        Cosine and sine of each band's carrier times the sample's weight.
    starts : ndarray of int, shape (blocks + 1,)
        Where the samples of each block begin.
    """

    z: NDArray[np.float64]
    velocity: NDArray[np.float64]
    offsets: NDArray[np.float32]
    rows: NDArray[np.float32]
    starts: NDArray[np.int64]


class Bands(NamedTuple):
    """What moments bring to tones: real and imaginary part, (K, blocks * 5), and each one's group.

    Loops of their own: the threads of a linear algebra library cost more than this work.
    """

    real: NDArray[np.float64]
    imag: NDArray[np.float64]
    groups: NDArray[np.int64]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def motion(envelopes, carriers, firsts, correction, z):
    """Fill the deflection of the whole period.

    Parameters
    ----------
    envelopes : ndarray of complex, shape (groups, blocks, 5)
        Of each band, a Taylor series in each block.
    carriers : ndarray, shape (groups, 2, samples)
        Cosine and sine of each band's middle.
    firsts : ndarray of int, shape (blocks + 1,)
        First sample of each block.
    correction, z : ndarray, shape (samples,)
        What is added, and the deflection, m.
    """
    groups, blocks, _ = envelopes.shape
    samples = z.size
    z[:] = correction
    step = 2.0 * blocks / samples
    for group in range(groups):
        for block in range(blocks):
            # In variables of their own, so that the loop over the samples vectorises.
            a0, a1, a2, a3, a4 = _series(envelopes[group, block].real)
            b0, b1, b2, b3, b4 = _series(envelopes[group, block].imag)
            own = slice(firsts[block], firsts[block + 1])
            start = step * firsts[block] - (2.0 * block + 1.0)
            cosine, sine, out = carriers[group, 0, own], carriers[group, 1, own], z[own]
            for i in range(out.size):
                x = start + step * i
                real = a0 + x * (a1 + x * (a2 + x * (a3 + x * a4)))
                imag = b0 + x * (b1 + x * (b2 + x * (b3 + x * b4)))
                out[i] += real * cosine[i] - imag * sine[i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _series(terms):
    return terms[0], terms[1], terms[2], terms[3], terms[4]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def gather(places, weights, starts, envelopes, carriers, correction, velocity, offsets, rows):
    """Fill the velocity, the offset from the block's middle and the weighted carriers of samples.

    Parameters
    ----------
    places : ndarray of int, shape (n,)
    weights : ndarray, shape (n,)
    starts : ndarray of int, shape (blocks + 1,)
        Where the samples of each block begin.
    envelopes : ndarray of complex, shape (groups, blocks, 5)
        Of the velocity.
    carriers : ndarray, shape (groups, 2, samples)
    correction : ndarray, shape (samples,)
        Of the velocity, m/s, over the whole period.
    velocity, offsets : ndarray, shape (n,)
    rows : ndarray, shape (groups, 2, n)
    """
    groups, blocks, _ = envelopes.shape
    samples = correction.size
    step = 2.0 * blocks / samples
    for block in range(blocks):
        for i in range(starts[block], starts[block + 1]):
            offsets[i] = step * places[i] - (2.0 * block + 1.0)
            velocity[i] = correction[places[i]]
        for group in range(groups):
            a0, a1, a2, a3, a4 = _series(envelopes[group, block].real)
            b0, b1, b2, b3, b4 = _series(envelopes[group, block].imag)
            for i in range(starts[block], starts[block + 1]):
                x = offsets[i]
                real = a0 + x * (a1 + x * (a2 + x * (a3 + x * a4)))
                imag = b0 + x * (b1 + x * (b2 + x * (b3 + x * b4)))
                cosine, sine = carriers[group, 0, places[i]], carriers[group, 1, places[i]]
                velocity[i] += real * cosine - imag * sine
                rows[group, 0, i] = weights[i] * cosine
                rows[group, 1, i] = weights[i] * sine


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _exponential(x):
    """Return exp(x) of |x| <= 44, the sixty-fourth power of a series that vectorises."""
    y = min(max(x, -44.0), 44.0) / 64.0
    series = 1.0 + y / 13.0
    for order in range(12, 0, -1):
        series = 1.0 + y * series / order
    for _ in range(6):
        series *= series
    return series


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _evaluate(values, radius, height, z, velocity, columns):
    """Fill the slopes of the force at n samples, (COLUMNS, n) or more."""
    hamaker, modulus, closest, linear, cubic, decay = values
    root_radius = np.sqrt(radius)
    steepest = hamaker * radius / 3.0
    attraction = steepest / closest**3
    per_decay = 1.0 / decay
    for i in range(z.size):
        d, v = z[i] + height, velocity[i]
        touching = d < closest
        inverse = 1.0 / max(d, closest)
        overlap = max(closest - d, 0.0)
        root = np.sqrt(overlap)
        steepness = 2.0 * modulus * root_radius * root + (attraction if touching else 0.0)
        fall = -v * _exponential(-d * per_decay)
        damping = (linear + cubic * v * v) * fall * per_decay
        square = inverse * inverse
        columns[0, i] = -radius / 6.0 * square
        columns[1, i] = 4.0 / 3.0 * root_radius * overlap * root
        columns[2, i] = steepness
        columns[3, i] = fall
        columns[4, i] = v * v * fall
        columns[5, i] = damping * d * per_decay
        columns[6, i] = steepest * square * inverse - steepness - damping


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def accumulate(values, radius, height, along, moments):
    """Fill the moments of the force's slopes.

    Parameters
    ----------
    values : ndarray, shape (6,)
        Of the law's parameters, in the order of `COLUMNS`.
    radius, height : float
    along : Along
    moments : ndarray, shape (groups, COLUMNS, 2, blocks * 5)
        Real and imaginary parts.
    """
    z, velocity, offsets, rows, starts = along
    groups, blocks = rows.shape[0], starts.size - 1
    orders = moments.shape[3] // blocks
    longest = np.max(starts[1:] - starts[:-1])
    # Sums of single precision are true to 1e-6 and take half of the time.
    columns = np.empty((COLUMNS, longest), dtype=np.float32)
    cosine, sine = np.empty(longest, dtype=np.float32), np.empty(longest, dtype=np.float32)
    for block in range(blocks):
        first, count = starts[block], starts[block + 1] - starts[block]
        own = slice(first, first + count)
        _evaluate(values, radius, height, z[own], velocity[own], columns)
        for group in range(groups):
            cosine[:count] = rows[group, 0, own]
            sine[:count] = rows[group, 1, own]
            for order in range(orders):
                _products(
                    cosine, sine, columns, count, moments[group, :, :, block * orders + order]
                )
                _next_order(cosine, sine, offsets[own])


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _next_order(cosine, sine, offsets):
    for i in range(offsets.size):
        cosine[i] *= offsets[i]
        sine[i] *= offsets[i]


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


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def series(bands, scale, tones, blocks, out):
    """Fill the Taylor series of each band in each block: an expansion into tones read backwards.

    Parameters
    ----------
    bands : Bands
    scale : ndarray, shape (K,)
        By which an expansion is larger than a phase factor.
    tones : ndarray of complex, shape (K,)
    blocks : int
    out : ndarray of complex, shape (groups, blocks, 5)
    """
    orders = bands.real.shape[1] // blocks
    real, imag = np.zeros((2, out.shape[0], blocks * orders))
    for k in range(tones.size):
        group = bands.groups[k]
        a, b = tones[k].real / scale[k], tones[k].imag / scale[k]
        for i in range(blocks * orders):
            real[group, i] += a * bands.real[k, i] + b * bands.imag[k, i]
            imag[group, i] += b * bands.real[k, i] - a * bands.imag[k, i]
    for group in range(out.shape[0]):
        for i in range(blocks * orders):
            out[group, i // orders, i % orders] = complex(real[group, i], imag[group, i])


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
def forces(values, radius, height, along, samples, out):
    """Fill the force of the whole period, N, each sample times its weight and zero between them.

    Parameters
    ----------
    values, radius, height, along
        As of `accumulate`.
    samples : tuple of ndarray, shape (n,)
        Places and weights.
    out : ndarray, shape (samples,)
    """
    hamaker, modulus, closest, linear, cubic, decay = values
    root_radius = np.sqrt(radius)
    out[:] = 0.0
    for i in range(along.z.size):
        d, v = along.z[i] + height, along.velocity[i]
        inverse = 1.0 / max(d, closest)
        overlap = max(closest - d, 0.0)
        push = 4.0 / 3.0 * modulus * root_radius * overlap * np.sqrt(overlap)
        drag = (linear + cubic * v * v) * v * _exponential(-d / decay)
        force = push - hamaker * radius / 6.0 * inverse * inverse - drag
        out[samples[0][i]] = force * samples[1][i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def stiffness(values, radius, height, along, weights, pairs, out):
    """Fill the tones of the force's slopes with distance and velocity.

    They are turned back by the differences and by the sums of the middles of bands g and h <= g.

    Parameters
    ----------
    values, radius, height, along
        As of `accumulate`.
    weights : ndarray, shape (n,)
        Of the samples, which are in `along.rows`, too.
    pairs : Bands
        For tones round those differences and sums, one group.
    out : ndarray of complex, shape (groups, groups, 2, 2, tones)
        For bands g, h; difference and sum; distance and velocity.
    """
    z, offsets, rows, starts = along.z, along.offsets, along.rows, along.starts
    blocks = starts.size - 1
    orders = pairs.real.shape[1] // blocks
    slopes = np.empty((2, z.size))
    _slopes(values, radius, height, along, weights, slopes)
    longest = np.max(starts[1:] - starts[:-1])
    cosine, sine = np.empty(longest), np.empty(longest)
    moments = np.empty((2, 2, blocks * orders))
    for g in range(out.shape[0]):
        for h in range(g + 1):
            for turn in range(2):
                for block in range(blocks):
                    first, count = starts[block], starts[block + 1] - starts[block]
                    own = slice(first, first + count)
                    one, other = (
                        (rows[g, 0, own], rows[g, 1, own]),
                        (rows[h, 0, own], rows[h, 1, own]),
                    )
                    _turned(one, other, 1.0 - 2.0 * turn, cosine, sine)
                    for place in range(block * orders, (block + 1) * orders):
                        both = (slopes[0, own], slopes[1, own])
                        _two_products(cosine, sine, both, moments[:, :, place])
                        _next_order(cosine, sine, offsets[own])
                for slope in range(2):
                    own = out[g, h, turn, slope]
                    expand(pairs, 0, moments[slope, 0], moments[slope, 1], own)


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _slopes(values, radius, height, along, weights, out):
    """Fill the slopes with distance and velocity, over the weight that is in both carriers."""
    z, velocity, _, _, starts = along
    linear, cubic, decay = values[3], values[4], values[5]
    columns = np.empty((COLUMNS, np.max(starts[1:] - starts[:-1])))
    for block in range(starts.size - 1):
        first, count = starts[block], starts[block + 1] - starts[block]
        own = slice(first, first + count)
        _evaluate(values, radius, height, z[own], velocity[own], columns)
        out[0, first : first + count] = columns[COLUMNS - 1, :count]
    out[0] /= weights
    for i in range(z.size):
        v = velocity[i]
        fall = _exponential(-(z[i] + height) / decay)
        out[1, i] = -(linear + 3.0 * cubic * v * v) * fall / weights[i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _turned(one, other, sign, cosine, sine):
    """Fill the carrier of the difference (sign 1) or the sum (sign -1) of two middles."""
    _combined(one[0], other[0], one[1], other[1], sign, cosine)
    _combined(one[1], other[0], one[0], other[1], -sign, sine)


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _combined(a, b, c, d, sign, out):
    for i in range(a.size):
        out[i] = a[i] * b[i] + sign * c[i] * d[i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _two_products(cosine, sine, slopes, out):
    distance, velocity = slopes[0], slopes[1]
    r0 = r1 = i0 = i1 = 0.0
    for i in range(distance.size):
        r0 += cosine[i] * distance[i]
        i0 -= sine[i] * distance[i]
        r1 += cosine[i] * velocity[i]
        i1 -= sine[i] * velocity[i]
    out[0, 0], out[0, 1], out[1, 0], out[1, 1] = r0, i0, r1, i1
