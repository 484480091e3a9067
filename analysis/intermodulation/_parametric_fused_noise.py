"""The noise of the equations in compiled arithmetic: a noisy tone is in the motion, too.

How the force's tones follow those of the motion is told by the tones of its slopes with distance
and velocity, round the differences and the sums of the bands.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._parametric_fused_force import (
    expand,
    exponential,
    longest_block,
    next_order,
    two_products,
    whole_lanes,
)
from ._parametric_fused_motion import FAST
from ._parametric_tones import MOMENTS

__all__ = ["covariance_of", "stiffness"]

# Distances between which the slopes of the force, which are smooth there, are told by each
# `stride`-th sample instead of all, and beyond which they are too small to move the noise: those of
# a damping that falls by e in 1.5 nm are a thousandth of what they are in contact.
_DENSE_M, _THIN_M, _FELT_M = 1.5e-9, 4e-9, 8e-9


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def stiffness(law, stride, along, pairs, out):
    """Fill the tones of the force's slopes with distance and velocity.

    They are turned back by the differences and by the sums of the middles of bands g and h <= g.

    Parameters
    ----------
    law : tuple
        Values, radius and height as of `pulses`.
    stride : int
        Far from the surface only every so many samples is taken.
    along : Along
    pairs : Bands
        For tones round those differences and sums, one group, of single precision.
    out : ndarray of complex, shape (groups, groups, 2, 2, tones)
        For bands g, h; difference and sum; distance and velocity.
    """
    values, radius, height = law
    longest = longest_block(along.starts)
    cosine, sine = np.zeros(longest, dtype=np.float32), np.zeros(longest, dtype=np.float32)
    slopes = np.zeros((2, longest), dtype=np.float32)
    groups = out.shape[0]
    moments = np.zeros((groups, groups, 2, 2, 2, pairs.real.shape[1]), dtype=np.float32)
    for block in range(along.starts.size - 1):
        near, weights = _near(along, along.starts[block], along.starts[block + 1], height, stride)
        end = whole_lanes(near.size)
        z, velocity = along.z[near], along.velocity[near]
        _slopes(values, radius, height, z, velocity, weights, slopes)
        slopes[:, near.size : end] = 0.0
        cosine[near.size : end] = sine[near.size : end] = 0.0
        offsets, rows = along.offsets[near], along.rows[:, :, near]
        for g in range(groups):
            for h in range(g + 1):
                for turn in range(2):
                    _turned(rows[g], rows[h], 1.0 - 2.0 * turn, cosine, sine)
                    for place in range(block * MOMENTS, (block + 1) * MOMENTS):
                        into = moments[g, h, turn, :, :, place]
                        two_products(cosine, sine, slopes, end, into)
                        next_order(cosine, sine, offsets)
    for g in range(groups):
        for h in range(g + 1):
            for turn in range(2):
                expand(pairs, 0, moments[g, h, turn], out[g, h, turn])


@njit(cache=True, error_model="numpy", nogil=True)
def _near(along, first, end, height, stride):
    """Return the samples that tell the slopes of the force, and how many each stands for."""
    places, weights = np.empty(end - first, np.int64), np.empty(end - first)
    count = 0
    for i in range(first, end):
        distance = along.z[i] + height
        if distance >= _FELT_M:
            continue
        way = min(max((distance - _DENSE_M) / (_THIN_M - _DENSE_M), 0.0), 1.0)
        weight = 1.0 - way**3 * (10.0 - 15.0 * way + 6.0 * way**2)
        if along.places[i] % stride == 0:
            weight += stride * (1.0 - weight)
        if weight > 0.0:
            places[count], weights[count] = i, weight
            count += 1
    return places[:count], weights[:count]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _slopes(values, radius, height, z, velocity, weights, out):
    """Fill the slopes of the force with distance and velocity, times the weights."""
    hamaker, modulus, closest, linear, cubic, decay = values
    stiffness, attraction = 2.0 * modulus * np.sqrt(radius), hamaker * radius / 3.0
    per_decay = 1.0 / decay
    for i in range(z.size):
        d, v = z[i] + height, velocity[i]
        square = cubic * v * v
        fall = weights[i] * exponential(-d * per_decay)
        away = attraction / (d * d * d) if d >= closest else 0.0
        push = stiffness * np.sqrt(max(closest - d, 0.0))
        out[0, i] = weights[i] * (away - push) + (linear + square) * v * fall * per_decay
        out[1, i] = -(linear + 3.0 * square) * fall


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _turned(one, other, sign, cosine, sine):
    """Fill the carrier of the difference (sign 1) or the sum (sign -1) of two middles."""
    for i in range(one.shape[1]):
        a, b, c, d = one[0, i], one[1, i], other[0, i], other[1, i]
        cosine[i] = a * c + sign * b * d
        sine[i] = b * c - sign * a * d


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def covariance_of(spectra, comb, inverse, noise, floor):
    """Return the covariance of the equations, N^2, (2K, 2K); its lower triangle only.

    Parameters
    ----------
    spectra : ndarray of complex, shape (groups, groups, 2, 2, n)
        Tones of the force's slopes, of `stiffness`.
    comb : tuple of ndarray, shape (K,)
        Group of each tone, its offset from the middle, and its rate i omega, 1/s.
    inverse : ndarray of complex, shape (K,)
        Of the response, N/m.
    noise, floor : ndarray, shape (K,)
        Of the motion, m, and of the equations, N.
    """
    groups, offsets, rates = comb
    count, middle = noise.size, spectra.shape[4] // 2
    matrix = np.empty((2 * count, 2 * count))
    for k in range(count):
        for m in range(count):
            # How tone k of the force follows tone m of the motion and its conjugate.
            g, h = max(groups[k], groups[m]), min(groups[k], groups[m])
            turned = groups[k] < groups[m]
            away = offsets[m] - offsets[k] if turned else offsets[k] - offsets[m]
            near, far = spectra[g, h, 0], spectra[g, h, 1]
            total = offsets[k] + offsets[m] + middle
            z, v = near[0, away + middle], near[1, away + middle]
            if turned:
                # Spectra of real signals: at negative frequencies they are the conjugates.
                z, v = z.conjugate(), v.conjugate()
            one = z + rates[m] * v - (inverse[k] if k == m else 0.0)
            other = far[0, total] - rates[m] * far[1, total]
            real, imaginary = one + other, 1j * (one - other)
            matrix[k, m], matrix[k, count + m] = noise[m] * real.real, noise[m] * imaginary.real
            matrix[count + k, m] = noise[m] * real.imag
            matrix[count + k, count + m] = noise[m] * imaginary.imag
    covariance = np.zeros((2 * count, 2 * count))
    for k in range(2 * count):
        for m in range(k + 1):
            total = 0.0
            for i in range(2 * count):
                total += matrix[k, i] * matrix[m, i]
            covariance[k, m] = total
        covariance[k, k] += floor[k % count] ** 2
    return covariance
