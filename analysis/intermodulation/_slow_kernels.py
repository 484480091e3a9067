"""The polynomial fit of one pixel after another in compiled arithmetic.

Orthogonalisation by the modified Gram-Schmidt process with the right side as the last column,
which is as stable as Householder's (Bjorck, Numerical Methods for Least Squares Problems, 1996,
sec. 2.4): normal equations would lose half of the digits.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["solve"]


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _subtract(target, factor, column):
    for i in range(target.size):
        target[i] -= factor * column[i]


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _envelopes(tones, phases, real, imag):
    """Fill the envelopes of both bands from the tones of a pixel."""
    for band in range(phases.shape[0]):
        for t in range(real.shape[1]):
            real[band, t] = imag[band, t] = 0.0
        for k in range(tones.size):
            a, b = tones[k].real, tones[k].imag
            for t in range(real.shape[1]):
                c, s = phases[band, k, t].real, phases[band, k, t].imag
                real[band, t] += a * c - b * s
                imag[band, t] += a * s + b * c


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _powers(own, other, weights, sums, out):
    """Fill what the envelope is multiplied with for each odd power, shape (powers, samples).

    By Horner's rule in |other|^2, row by row, `sums` keeping the powers of |own|^2.
    """
    powers, samples = out.shape
    for t in range(samples):
        sums[0, t] = 1.0
    for p in range(1, powers):
        for t in range(samples):
            sums[p, t] = sums[p - 1, t] * own[t]
    for p in range(powers):
        for t in range(samples):
            out[p, t] = weights[p, p]
        for q in range(p - 1, -1, -1):
            weight = weights[p, q]
            for t in range(samples):
                out[p, t] = out[p, t] * other[t] + weight * sums[p - q, t]


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _fill(matrix, row, equations, envelope, factors, kernel_real, kernel_imag, turn, pair):
    """Write the columns of one band: odd powers, then even powers times the velocity."""
    powers, samples = factors.shape
    half = matrix.shape[1] // 2
    for p in range(powers):
        for t in range(samples):
            pair[0, t] = envelope[0, t] * factors[p, t]
            pair[1, t] = envelope[1, t] * factors[p, t]
        for k in range(equations):
            cosine, sine = kernel_real[row + k], kernel_imag[row + k]
            real = _dot(pair[0], cosine) - _dot(pair[1], sine)
            imag = _dot(pair[0], sine) + _dot(pair[1], cosine)
            # The velocity times an even power is the rate of the next odd power over its degree.
            rate = turn[row + k] / (2 * p + 1)
            matrix[p, row + k], matrix[p, half + row + k] = real, imag
            matrix[powers + p, row + k] = -rate * imag
            matrix[powers + p, half + row + k] = rate * real


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def _least_squares(matrix, triangle, size, unknowns):
    """Solve by modified Gram-Schmidt; the last column becomes the residual."""
    columns = unknowns.size
    for j in range(columns):
        size[j] = np.sqrt(_dot(matrix[j], matrix[j]))
        for i in range(matrix.shape[1]):
            matrix[j, i] /= size[j]
    for j in range(columns):
        length = np.sqrt(_dot(matrix[j], matrix[j]))
        triangle[j, j] = length
        for i in range(matrix.shape[1]):
            matrix[j, i] /= length
        for k in range(j + 1, columns + 1):
            overlap = _dot(matrix[j], matrix[k])
            triangle[j, k] = overlap
            _subtract(matrix[k], overlap, matrix[j])
    for j in range(columns - 1, -1, -1):
        total = triangle[j, columns]
        for k in range(j + 1, columns):
            total -= triangle[j, k] * unknowns[k]
        unknowns[j] = total / triangle[j, j]
    for j in range(columns):
        unknowns[j] /= size[j]


@numba.njit(cache=True, error_model="numpy", fastmath=True, nogil=True)
def solve(tones, force, phases, first, kernel_real, kernel_imag, weights, turn, weight, out, left):
    """Fit the pixels of a map.

    Parameters
    ----------
    tones : ndarray of complex, shape (pixels, K)
        Engaged deflection.
    force : ndarray of complex, shape (pixels, equations)
    phases, first, weights
        Of a `SlowPlan`: `motion`, `first` and `weights`.
    kernel_real, kernel_imag : ndarray, shape (equations, samples)
        Its `kernel`.
    turn : ndarray, shape (equations,)
        Frequency of each equation over the largest.
    weight : ndarray, shape (equations,)
        What each equation is multiplied with.
    out : ndarray, shape (pixels, 1 + 2 powers)
        Filled: scale of the deflection; coefficients of its odd powers; those of its even powers
        times the scaled velocity.
    left : ndarray, shape (pixels, 2 equations)
        Filled: weighted residuals, real parts, then imaginary parts.
    """
    bands, samples, powers = phases.shape[0], phases.shape[2], weights.shape[0]
    equations, columns = kernel_real.shape[0], 2 * powers
    envelope = np.zeros((2, 2, samples))
    real, imag = np.zeros((bands, samples)), np.zeros((bands, samples))
    square = np.zeros((2, samples))
    sums, factors = np.empty((powers, samples)), np.empty((powers, samples))
    pair = np.empty((2, samples))
    matrix = np.empty((columns + 1, 2 * equations))
    triangle = np.empty((columns, columns + 1))
    size = np.empty(columns)
    for pixel in range(tones.shape[0]):
        _envelopes(tones[pixel], phases, real, imag)
        scale = 0.0
        for t in range(samples):
            reach = 0.0
            for band in range(bands):
                reach += np.sqrt(real[band, t] ** 2 + imag[band, t] ** 2)
            scale = max(scale, reach)
        out[pixel, 0] = scale
        for band in range(bands):
            for t in range(samples):
                envelope[band, 0, t] = real[band, t] / scale
                envelope[band, 1, t] = imag[band, t] / scale
                square[band, t] = envelope[band, 0, t] ** 2 + envelope[band, 1, t] ** 2
        for band in range(bands):
            _powers(square[band], square[1 - band], weights, sums, factors)
            count = first[band + 1] - first[band]
            _fill(
                matrix,
                first[band],
                count,
                envelope[band],
                factors,
                kernel_real,
                kernel_imag,
                turn,
                pair,
            )
        for k in range(equations):
            matrix[columns, k] = force[pixel, k].real
            matrix[columns, equations + k] = force[pixel, k].imag
            for j in range(columns + 1):
                matrix[j, k] *= weight[k]
                matrix[j, equations + k] *= weight[k]
        _least_squares(matrix, triangle, size, out[pixel, 1:])
        left[pixel] = matrix[columns]
