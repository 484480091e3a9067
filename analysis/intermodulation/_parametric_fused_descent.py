"""Levenberg and Marquardt's method for one pixel in compiled arithmetic, by projected variables.

The force is proportional to adhesion, stiffness and damping: along one motion they are solved for
at each step, so that only height, intermolecular distance and decay are sought (Golub and Pereyra,
SIAM J. Numer. Anal. 10, 413 (1973); Ruhe and Wedin, SIAM Rev. 22, 318 (1980)). Loops of their own
take the place of a linear algebra library, whose threads cost more than matrices of a hundred rows
are worth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ._parametric_fused_force import Sampled, parts_of, signal_tones
from ._parametric_fused_motion import FAST

__all__ = ["Equations", "Scale", "factorised", "minimise", "whitened"]

_ITERATIONS = 60
# Least damping, and the largest step in a logarithm and of the height, nm, of `Solver`.
_DAMPING, _LONGEST = 1e-12, 1.0
# A failing step that promised less than so many times the gain ends a fit: samples that cross the
# kink of the contact make the slopes jump.
_RUGGED = 10.0
# Damping after a failing step: less hardly shortens a step along the valley of height and distance.
_RAISED = 1e-2
# Part of its promise below which a step is too long.
_POOR = 0.25
# Least of a positive parameter that the force is proportional to, of its typical size.
_LEAST = 1e-3
# Rounds of the linear solution: one finds it, a second frees or holds what must be positive, and a
# third follows the prior of a logarithm.
_ROUNDS = 3


class Scale(NamedTuple):
    """How unknowns are scaled and what is known of them, shape (m + 1,) each, the height last.

    Parameters
    ----------
    places : ndarray of int, shape (m,)
        Of the fitted parameters among the law's six.
    unit, mean, precision : ndarray
        Typical size; prior and the inverse of its standard deviation.
    log, relative, fixed, origin, linear : ndarray of bool
        Fitted as a logarithm; with a prior of the logarithm, so that it is positive; not fitted;
        added to the height; that the force is proportional to.
    """

    places: NDArray[np.int64]
    unit: NDArray[np.float64]
    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    log: NDArray[np.bool_]
    relative: NDArray[np.bool_]
    fixed: NDArray[np.bool_]
    origin: NDArray[np.bool_]
    linear: NDArray[np.bool_]


class Equations(NamedTuple):
    """What the unknowns are fitted to.

    Parameters
    ----------
    law : ndarray, shape (6,)
        The law's parameters, where they are known.
    scale : Scale
    sampled : Sampled
    lower : ndarray, shape (2K, 2K)
        Cholesky factor of the covariance of the equations.
    force : ndarray, shape (2K,)
        Measured, of unit noise.
    """

    law: NDArray[np.float64]
    scale: Scale
    sampled: Sampled
    lower: NDArray[np.float64]
    force: NDArray[np.float64]


@njit(cache=True, error_model="numpy", nogil=True)
def minimise(starts, gain, equations):
    """Return where chi2 is least along one motion and with one weighting.

    Parameters
    ----------
    starts : ndarray, shape (c, m + 1)
        Scaled unknowns: the descent begins with those of the smallest chi2.
    gain : float
        Of chi2, below which a step is not taken.
    equations : Equations

    Returns
    -------
    scaled : ndarray, shape (m + 1,)
    covariance : ndarray, shape (m + 1, m + 1)
        Of the unknowns, not scaled.
    tones : ndarray of complex, shape (K,)
        Of the model's force, N.
    chi2 : float
    converged : bool
    """
    here = _place(starts[0], equations)
    for k in range(1, len(starts)):
        other = _place(starts[k], equations)
        if other[1] < here[1] or not np.isfinite(here[1]):
            here = other
    damping, converged = _DAMPING, False
    for _ in range(_ITERATIONS):
        scaled, chi2, gradient, normal, _ = here
        if not np.isfinite(chi2):
            break
        step, promised = _step(normal, gradient, damping, equations.scale)
        if promised < gain:
            converged = True
            break
        trial = _place(scaled + step, equations)
        gained = chi2 - trial[1]
        if gained > 0.0:
            here = trial
            damping = max(_DAMPING, 0.01 * damping)
        elif promised < _RUGGED * gain:
            converged = True
            break
        if not gained >= _POOR * promised:
            damping = max(_RAISED, 10.0 * damping)
    scaled, chi2, _, normal, tones = here
    return scaled, _covariance(scaled, normal, equations.scale), tones, chi2, converged


@njit(cache=True, error_model="numpy", nogil=True)
def _place(scaled, equations):
    """Return the unknowns with the best linear ones, and the equations there.

    Returns
    -------
    scaled : ndarray, shape (m + 1,)
    chi2 : float
    gradient, normal : ndarray, shape (m + 1,) and (m + 1, m + 1)
        Zero for unknowns that stay.
    tones : ndarray of complex, shape (K,)
    """
    scale, scaled = equations.scale, scaled.copy()
    _keep_positive(scaled, scale)
    known, height, _, _ = _unscaled(scaled, equations)
    signals = signal_tones(known, height, equations.sampled)
    rows = np.empty((equations.force.size, len(signals)))
    count = signals.shape[1]
    for k in range(count):
        for column in range(len(signals)):
            rows[k, column] = signals[column, k].real
            rows[count + k, column] = signals[column, k].imag
    whitened(equations.lower, rows)
    # All that follows is told by the products of the signals with each other and with the force.
    products, right = _products(rows, equations.force)
    square = 0.0
    for value in equations.force:
        square += value * value
    told = (products, right, square)
    for _ in range(_ROUNDS):
        chi2, gradient, normal = _normal(scaled, told, equations)
        _held(scaled, gradient, normal, scale)
        for i in range(scaled.size):
            if not scale.linear[i]:
                _take_out(i, gradient, normal)
        change = _solved(normal, gradient, _DAMPING)
        for i in range(scaled.size):
            scaled[i] += change[i]
        _keep_positive(scaled, scale)
    chi2, gradient, normal = _normal(scaled, told, equations)
    _held(scaled, gradient, normal, scale)
    known, height, _, _ = _unscaled(scaled, equations)
    parts, tones = parts_of(known, len(signals)), np.zeros(count, dtype=np.complex128)
    for column in range(len(signals)):
        for k in range(count):
            tones[k] += parts[column, 7] * signals[column, k]
    return scaled, chi2, gradient, normal, tones


@njit(cache=True, error_model="numpy", nogil=True)
def _keep_positive(scaled, scale):
    for i in range(scaled.size):
        if scale.linear[i] and scale.relative[i]:
            scaled[i] = max(scaled[i], _LEAST)


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def _products(rows, force):
    size = rows.shape[1]
    products, right = np.zeros((size, size)), np.zeros(size)
    for k in range(force.size):
        for i in range(size):
            right[i] += rows[k, i] * force[k]
            for j in range(size):
                products[i, j] += rows[k, i] * rows[k, j]
    return products, right


@njit(cache=True, error_model="numpy", nogil=True)
def _normal(scaled, told, equations):
    """Return chi2, half of its fall with each unknown and the normal equations, priors included."""
    products, right, chi2 = told
    scale, size, columns = equations.scale, scaled.size, right.size
    known, height, chain, lift = _unscaled(scaled, equations)
    parts = parts_of(known, columns)
    slopes = np.empty((columns, size))
    for i in range(size):
        own = 6 if i == size - 1 else scale.places[i]
        for c in range(columns):
            slopes[c, i] = chain[i] * parts[c, own] + lift[i] * parts[c, 6]
    left = np.empty(columns)
    for c in range(columns):
        left[c] = right[c]
        for d in range(columns):
            left[c] -= products[c, d] * parts[d, 7]
        chi2 -= parts[c, 7] * (right[c] + left[c])
    gradient, normal, slope = np.zeros(size), np.zeros((size, size)), np.empty(size)
    for i in range(size):
        for c in range(columns):
            gradient[i] += slopes[c, i] * left[c]
            product = 0.0
            for d in range(columns):
                product += products[c, d] * slopes[d, i]
            for j in range(size):
                normal[j, i] += slopes[c, j] * product
    for i in range(size):
        precision = scale.precision[i]
        if precision == 0.0:
            continue
        value = height if i == size - 1 else known[scale.places[i]]
        off = precision * (scale.mean[i] - value)
        if scale.relative[i]:
            off = precision * math.log(scale.mean[i] / value)
            precision /= value
        chi2 += off * off
        for j in range(size):
            # The height follows the origins, too.
            slope[j] = precision * lift[j] if i == size - 1 else 0.0
        slope[i] = precision * chain[i]
        for j in range(size):
            gradient[j] += slope[j] * off
            for k in range(size):
                normal[j, k] += slope[j] * slope[k]
    return chi2, gradient, normal


@njit(cache=True, error_model="numpy", nogil=True)
def _held(scaled, gradient, normal, scale):
    """Take unknowns that stay out of the equations: the fixed ones, and those at their least."""
    for i in range(scaled.size):
        least = scale.linear[i] and scale.relative[i] and scaled[i] <= _LEAST
        if scale.fixed[i] or (least and gradient[i] < 0.0):
            _take_out(i, gradient, normal)


@njit(cache=True, error_model="numpy", nogil=True)
def _take_out(i, gradient, normal):
    gradient[i] = 0.0
    for j in range(gradient.size):
        normal[i, j] = normal[j, i] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _unscaled(scaled, equations):
    """Return the law's parameters, the height, and how they follow the scaled unknowns.

    The last are the slope of each with its own and that of the height with the origins.
    """
    scale, size = equations.scale, scaled.size
    known, height = equations.law.copy(), scale.unit[-1] * scaled[-1]
    chain, lift = scale.unit.copy(), np.zeros(size)
    for i in range(size - 1):
        value = scale.unit[i] * scaled[i]
        if scale.log[i]:
            value = chain[i] = scale.unit[i] * math.exp(scaled[i])
        if scale.origin[i]:
            lift[i] = value
            height += value
        known[scale.places[i]] = value
    return known, height, chain, lift


@njit(cache=True, error_model="numpy", nogil=True)
def _step(normal, gradient, damping, scale):
    """Return a damped step and how much it should lower chi2."""
    size = gradient.size
    step = _solved(normal, gradient, damping)
    longest = max(1.0, abs(step[size - 1]) / _LONGEST)
    for i in range(size - 1):
        if scale.log[i]:
            longest = max(longest, abs(step[i]) / _LONGEST)
    promised = 0.0
    for i in range(size):
        step[i] /= longest
        promised += gradient[i] * step[i]
    return step, promised


@njit(cache=True, error_model="numpy", nogil=True)
def _covariance(scaled, normal, scale):
    """Return the covariance of the unknowns, not scaled."""
    size = scaled.size
    spread = np.empty((size, size))
    for i in range(size):
        one = np.zeros(size)
        one[i] = 1.0 if normal[i, i] > 0.0 else 0.0
        spread[i] = _solved(normal, one, _DAMPING)
    chain = np.zeros((size, size))
    for i in range(size):
        value = scale.unit[i] * (math.exp(scaled[i]) if scale.log[i] else 1.0)
        chain[i, i] = value
        if scale.origin[i]:
            chain[size - 1, i] = value
    covariance = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for k in range(size):
                for m in range(size):
                    covariance[i, j] += chain[i, k] * spread[k, m] * chain[j, m]
    return covariance


@njit(cache=True, error_model="numpy", nogil=True)
def _solved(normal, right, damping):
    """Return the solution of damped normal equations; 0 where there are none."""
    size = right.size
    # Scaled to a unit diagonal, so that a parameter without any effect stays where it is.
    unit, lower = np.empty(size), np.empty((size, size))
    for i in range(size):
        unit[i] = 1.0 / math.sqrt(normal[i, i] + 1e-300)
    for i in range(size):
        for j in range(size):
            lower[i, j] = normal[i, j] * unit[i] * unit[j]
        lower[i, i] = 1.0 + damping
    factorised(lower)
    found = np.empty(size)
    for i in range(size):
        found[i] = right[i] * unit[i]
        for j in range(i):
            found[i] -= lower[i, j] * found[j]
        found[i] /= lower[i, i]
    for i in range(size - 1, -1, -1):
        for j in range(i + 1, size):
            found[i] -= lower[j, i] * found[j]
        found[i] /= lower[i, i]
    for i in range(size):
        found[i] *= unit[i]
    return found


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def whitened(lower, rows):
    """Divide rows (n, c) by a Cholesky factor (n, n), in place."""
    for i in range(lower.shape[0]):
        for j in range(i):
            for column in range(rows.shape[1]):
                rows[i, column] -= lower[i, j] * rows[j, column]
        for column in range(rows.shape[1]):
            rows[i, column] /= lower[i, i]


@njit(cache=True, error_model="numpy", fastmath=FAST, nogil=True)
def factorised(matrix):
    """Write a positive matrix's Cholesky factor over its lower triangle; NaN where it is none."""
    for i in range(matrix.shape[0]):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]
