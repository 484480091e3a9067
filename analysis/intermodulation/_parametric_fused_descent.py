"""Levenberg and Marquardt's method for one pixel in compiled arithmetic.

The steps are those of `Solver`, but each is tried with its slopes, which come with the force at
little cost. Loops of their own take the place of a linear algebra library, whose threads cost more
than matrices of a hundred rows are worth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ._parametric_fused_kernels import COLUMNS, FAST, accumulate, expand

__all__ = ["Scale", "covariance_of", "factorised", "minimise"]

_ITERATIONS = 60
# Least damping, and the largest step in a logarithm and of the height, nm, of `Solver`.
_DAMPING, _LONGEST = 1e-12, 1.0
# A failing step that promised less than so many times the gain ends a fit: samples that cross the
# kink of the contact make the slopes jump.
_RUGGED = 10.0
# Damping after a failing step: less hardly shortens a step along the valley of adhesion and height.
_RAISED = 3e-4
# Part of its promise below which a step is too long.
_POOR = 0.25


class Scale(NamedTuple):
    """How unknowns are scaled and what is known of them, shape (m + 1,) each, the height last.

    Parameters
    ----------
    places : ndarray of int, shape (m,)
        Of the fitted parameters among the law's six.
    unit, mean, precision : ndarray
        Typical size; prior and the inverse of its standard deviation.
    log, fixed, origin : ndarray of bool
        Fitted as a logarithm, not fitted, added to the height.
    """

    places: NDArray[np.int64]
    unit: NDArray[np.float64]
    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    log: NDArray[np.bool_]
    fixed: NDArray[np.bool_]
    origin: NDArray[np.bool_]


@njit(cache=True, error_model="numpy", nogil=True)
def minimise(start, gain, law, scale, along, bands, force, lower):
    """Return where chi2 is least along one motion and with one weighting.

    Parameters
    ----------
    start : ndarray, shape (m + 1,)
        Scaled unknowns.
    gain : float
        Of chi2, below which a step is not taken.
    law : tuple of ndarray, shape (6,), and float
        The law's parameters, where they are known, and the radius.
    scale : Scale
    along : Along
    bands : Bands
    force : ndarray of complex, shape (K,)
        Measured, N.
    lower : ndarray, shape (2K, 2K)
        Cholesky factor of the covariance of the equations.

    Returns
    -------
    scaled : ndarray, shape (m + 1,)
    jacobian : ndarray, shape (2K + m + 1, m + 1)
    tones : ndarray of complex, shape (K,)
        Of the model's force, N.
    chi2 : float
    converged : bool
    """
    scaled, damping, converged = start, _DAMPING, False
    rows, jacobian, tones = _linearised(scaled, law, scale, along, bands, force, lower)
    chi2 = _square(rows)
    for _ in range(_ITERATIONS):
        if not np.isfinite(chi2):
            break
        step, promised = _step(jacobian, rows, damping, scale)
        if promised < gain:
            converged = True
            break
        trial = _linearised(scaled + step, law, scale, along, bands, force, lower)
        gained = chi2 - _square(trial[0])
        if gained > 0.0:
            scaled, chi2 = scaled + step, chi2 - gained
            rows, jacobian, tones = trial
            damping = max(_DAMPING, 0.01 * damping)
        elif promised < _RUGGED * gain:
            converged = True
            break
        if not gained >= _POOR * promised:
            damping = max(_RAISED, 10.0 * damping)
    return scaled, jacobian, tones, chi2, converged


@njit(cache=True, error_model="numpy", nogil=True)
def _square(rows):
    total = 0.0
    for row in rows:
        total += row * row
    return total


@njit(cache=True, error_model="numpy", nogil=True)
def _linearised(scaled, law, scale, along, bands, force, lower):
    """Return residuals and slopes of unit noise, those of the priors last, and the tones."""
    size, count = scaled.size, force.size
    values, chain, lift = _unscaled(scaled, scale)
    known = law[0].copy()
    for i in range(size - 1):
        known[scale.places[i]] = values[i]
    slopes, tones = _tones(known, law[1], values[size - 1], along, bands)
    both = np.zeros((2 * count + size, size + 1))
    for k in range(count):
        off = force[k] - tones[k]
        both[k, 0], both[count + k, 0] = off.real, off.imag
        rising = slopes[COLUMNS - 1, k]
        for i in range(size):
            if not scale.fixed[i]:
                own = rising if i == size - 1 else slopes[scale.places[i], k]
                slope = chain[i] * own + lift[i] * rising
                both[k, i + 1], both[count + k, i + 1] = slope.real, slope.imag
    _whiten(lower, both)
    for i in range(size):
        row, precision = 2 * count + i, scale.precision[i]
        if precision == 0.0:
            continue
        if scale.log[i]:
            both[row, 0] = precision * math.log(scale.mean[i] / values[i])
            both[row, i + 1] = precision
            continue
        both[row, 0] = precision * (scale.mean[i] - values[i])
        both[row, i + 1] = precision * chain[i]
        if i == size - 1:
            for j in range(size):
                both[row, j + 1] += precision * lift[j]
    return both[:, 0].copy(), both[:, 1:].copy(), tones


@njit(cache=True, error_model="numpy", nogil=True)
def _unscaled(scaled, scale):
    """Return the values, their slopes with the scaled ones, and the height's with the origins."""
    size = scaled.size
    values, chain, lift = np.empty(size), np.empty(size), np.zeros(size)
    for i in range(size):
        chain[i] = scale.unit[i]
        values[i] = scale.unit[i] * scaled[i]
        if scale.log[i]:
            values[i] = chain[i] = scale.unit[i] * math.exp(scaled[i])
    for i in range(size - 1):
        if scale.origin[i]:
            lift[i] = values[i]
            values[size - 1] += values[i]
    return values, chain, lift


@njit(cache=True, error_model="numpy", nogil=True)
def _tones(known, radius, height, along, bands):
    """Return the slopes of the model's force tones, (COLUMNS, K), and the tones, (K,)."""
    moments = np.empty((along.rows.shape[0], COLUMNS, 2, bands.real.shape[1]))
    accumulate(known, radius, height, along, moments)
    slopes = np.empty((COLUMNS, bands.groups.size), dtype=np.complex128)
    for group in range(moments.shape[0]):
        for column in range(COLUMNS):
            own = moments[group, column]
            expand(bands, group, own[0], own[1], slopes[column])
    tones = np.empty(bands.groups.size, dtype=np.complex128)
    for k in range(tones.size):
        # The force is proportional to four of its parameters together.
        attraction, contact = known[0] * slopes[0, k], known[1] * slopes[1, k]
        tones[k] = attraction + contact + known[3] * slopes[3, k] + known[4] * slopes[4, k]
    return slopes, tones


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _whiten(lower, both):
    """Divide the first rows by a Cholesky factor, in place."""
    for i in range(lower.shape[0]):
        for j in range(i):
            for column in range(both.shape[1]):
                both[i, column] -= lower[i, j] * both[j, column]
        for column in range(both.shape[1]):
            both[i, column] /= lower[i, i]


@njit(cache=True, error_model="numpy", nogil=True)
def _step(jacobian, rows, damping, scale):
    """Return a damped step and how much it should lower chi2."""
    size = jacobian.shape[1]
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    for k in range(rows.size):
        for i in range(size):
            gradient[i] += jacobian[k, i] * rows[k]
            for j in range(size):
                normal[i, j] += jacobian[k, i] * jacobian[k, j]
    # Scaled to a unit diagonal, so that a parameter without any effect stays where it is.
    unit = np.empty(size)
    for i in range(size):
        unit[i] = 1.0 / math.sqrt(normal[i, i] + 1e-300)
    for i in range(size):
        for j in range(size):
            normal[i, j] *= unit[i] * unit[j]
        normal[i, i] += damping
    factorised(normal)
    step = _solved(normal, gradient, unit)
    longest = max(1.0, abs(step[size - 1]) / _LONGEST)
    for i in range(size - 1):
        if scale.log[i]:
            longest = max(longest, abs(step[i]) / _LONGEST)
    promised = 0.0
    for i in range(size):
        step[i] /= longest
        promised += gradient[i] * step[i]
    return step, promised


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def factorised(matrix):
    """Write a positive matrix's Cholesky factor over its lower triangle; NaN where it is none."""
    for i in range(matrix.shape[0]):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]


@njit(cache=True, error_model="numpy", nogil=True)
def _solved(lower, right, unit):
    """Return the solution of a system from its Cholesky factor, its unknowns being in `unit`."""
    size = right.size
    found = right * unit
    for i in range(size):
        for j in range(i):
            found[i] -= lower[i, j] * found[j]
        found[i] /= lower[i, i]
    for i in range(size - 1, -1, -1):
        for j in range(i + 1, size):
            found[i] -= lower[j, i] * found[j]
        found[i] /= lower[i, i]
    return found * unit


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def covariance_of(one, other, inverse, noise, floor):
    """Return the covariance of the equations, N^2, (2K, 2K); its lower triangle only.

    Parameters
    ----------
    one, other : ndarray of complex, shape (K, K)
        How the force's tones follow those of the motion and their conjugates.
    inverse : ndarray of complex, shape (K,)
        Of the response, N/m.
    noise, floor : ndarray, shape (K,)
        Of the motion, m, and of the equations, N.
    """
    count = noise.size
    matrix = np.empty((2 * count, 2 * count))
    for k in range(count):
        for m in range(count):
            own = one[k, m] - (inverse[k] if k == m else 0.0)
            real, imaginary = own + other[k, m], 1j * (own - other[k, m])
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
