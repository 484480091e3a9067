"""Tones of products of powers along a motion: the columns of the matrix H of eq. 14.

Powers are Chebyshev polynomials of the scaled deflection: the same force as with monomials, while
the matrix stays well conditioned (1e5 instead of 1e10 for the degree 21).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .motion import spectrum

__all__ = [
    "Fit",
    "chebyshev_rows",
    "even_by_constraint",
    "least_squares",
    "product_columns",
    "scaled",
    "stack",
]


@dataclass(frozen=True, eq=False)
class Fit:
    """A least-squares fit of real unknowns to complex tones.

    Parameters
    ----------
    unknowns : ndarray, shape (p,)
    covariance : ndarray, shape (p, p), or None
        From the noise of the tones; None where there is none.
    residual : ndarray, shape (2 K,)
        Real parts, then imaginary parts, in the tones' unit.
    leverage : ndarray, shape (2 K, 2 K)
        What the fit makes of a change of each equation; its diagonal is the pull of an equation.
    """

    unknowns: NDArray[np.float64]
    covariance: NDArray[np.float64] | None
    residual: NDArray[np.float64]
    leverage: NDArray[np.float64]


def stack(tones: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return real parts above imaginary parts: the real equations of complex tones."""
    return np.concatenate([tones.real, tones.imag])


def scaled(signal: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return a signal divided by its largest magnitude, and that magnitude."""
    scale = float(np.abs(signal).max()) or 1.0
    return signal / scale, scale


def chebyshev_rows(u: NDArray[np.float64], degree: int) -> Iterable[NDArray[np.float64]]:
    """Yield T_0(u) to T_degree(u), for |u| <= 1, by their recurrence."""
    before, now = np.ones_like(u), u
    yield before
    for _ in range(degree):
        yield now
        before, now = now, 2.0 * u * now - before


def product_columns(
    u: NDArray[np.float64],
    factors: Sequence[tuple[NDArray[np.float64] | None, int]],
    degree: int,
    tones: NDArray[np.int64],
) -> NDArray[np.complex128]:
    """Return the tones of T_i(u) times each factor, shape (len(tones), columns).

    Parameters
    ----------
    u : ndarray, shape (n,)
        Scaled deflection.
    factors : sequence of (ndarray of shape (n,) or None, int)
        A factor (None for 1) and the parity of the powers i that go with it. The columns are
        those of the first factor, then those of the second, and so on.
    degree : int
        Highest power i.
    tones : ndarray of int
        Which tones.
    """
    columns: list[list[NDArray[np.complex128]]] = [[] for _ in factors]
    for power, values in enumerate(chebyshev_rows(u, degree)):
        for found, (factor, parity) in zip(columns, factors, strict=True):
            if power % 2 == parity:
                found.append(spectrum(values if factor is None else values * factor)[tones])
    return np.array([column for group in columns for column in group]).T


def least_squares(
    columns: NDArray[np.complex128],
    tones: NDArray[np.complex128],
    noise: NDArray[np.float64],
    *,
    weighted: bool,
) -> Fit:
    """Solve columns @ unknowns = tones for real unknowns, real and imaginary parts together.

    Parameters
    ----------
    columns : ndarray of complex, shape (K, p)
    tones : ndarray of complex, shape (K,)
    noise : ndarray, shape (K,)
        Standard deviation of the real and of the imaginary part.
    weighted : bool
        Divide by the noise, where there is any.

    Returns
    -------
    Fit
    """
    matrix, target, sigma = stack(columns), stack(tones), np.tile(noise, 2)
    weight = 1.0 / sigma if weighted and (sigma > 0.0).all() else np.ones(sigma.size)
    # Unknowns of unlike size would be cut off as if the matrix were singular.
    scale = np.linalg.norm(weight[:, None] * matrix, axis=0)
    scale[scale == 0.0] = 1.0
    u, s, vt = np.linalg.svd(weight[:, None] * matrix / scale, full_matrices=False)
    kept = s > s[0] * np.finfo(float).eps * max(matrix.shape)
    u, s, vt = u[:, kept], s[kept], vt[kept]
    inverse = ((vt.T / s) @ u.T) * weight / scale[:, None]
    unknowns = ((vt.T / s) @ (u.T @ (weight * target))) / scale
    noisy = sigma.any()
    return Fit(
        unknowns=unknowns,
        covariance=(inverse * sigma**2) @ inverse.T if noisy else None,
        residual=target - matrix @ unknowns,
        leverage=(u @ u.T) * weight / weight[:, None],
    )


def even_by_constraint(
    odd: NDArray[np.float64], degree: int, u: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the even Chebyshev coefficients that make the force vanish at u > 0, eq. 20.

    Parameters
    ----------
    odd : ndarray
        Coefficients of T_1, T_3, ...
    degree : int
        Highest even degree allowed.
    u : ndarray
        Scaled deflections of the motion; those above 0 are used.

    Returns
    -------
    ndarray, shape (degree // 2 + 1,)
        Coefficients of T_0, T_2, ..., in least squares over the u > 0.
    """
    above = u[u > 0.0]
    table = chebyshev.chebvander(above, max(degree, 2 * odd.size - 1))
    known = table[:, 1 : 2 * odd.size : 2] @ odd
    even = np.linalg.lstsq(table[:, 0 : degree + 1 : 2], -known, rcond=None)[0]
    return np.asarray(even, dtype=np.float64)
