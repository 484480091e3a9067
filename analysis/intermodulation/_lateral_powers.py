"""Which products z^i y^j carry signal along z and along y, and do they predict tones left out?

Parities of Borysov et al., eq. 26: a force along z shows odd powers of z and even ones of y in the
flexural band, a force along y even powers of z and odd ones of y in the torsional band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from ._poly_columns import Fit, least_squares, product_columns
from .measurement import Measurement
from .motion import Motion

__all__ = ["Component", "fit_component", "prediction_error", "y_powers"]

# Parity of the powers of z and of y by the axis of the force.
_PARITIES = {"z": (1, 0), "y": (0, 1)}


@dataclass(frozen=True, eq=False)
class Component:
    """One component of the force as a polynomial of z and y.

    Parameters
    ----------
    axis : {"z", "y"}
    z_degree : int
        Highest power of z.
    y_powers : tuple of int
        Powers of y.
    scale : tuple of float
        Largest deflection along z and y, m: the polynomials are those of the parts of it.
    fit : Fit
        Coefficients, all powers of z with the first power of y, then with the next.
    """

    axis: str
    z_degree: int
    y_powers: tuple[int, ...]
    scale: tuple[float, float]
    fit: Fit

    def table(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the coefficients are multiplied with at z < 0, shape (n, p).

        Twice the fitted part: the other one is equal there and opposite above (eq. 20 and 26).
        """
        parity = _PARITIES[self.axis][0]
        along_z = chebyshev.chebvander(z / self.scale[0], self.z_degree)[:, parity::2]
        along_y = chebyshev.chebvander(y / self.scale[1], max(self.y_powers))[:, self.y_powers]
        return 2.0 * np.einsum("ni,nj->nji", along_z, along_y).reshape(z.size, -1)

    def force(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the force wherever the motion goes, shape (n,), N; 0 above the rest point."""
        total = np.zeros_like(z)
        below = z < 0.0
        step = 1 << 14  # rows of the table at a time, which is some megabytes
        for start in range(0, z.size, step):
            own = np.flatnonzero(below[start : start + step]) + start
            total[own] = self.table(z[own], y[own]) @ self.fit.unknowns
        return total

    def deviation(self, z: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviation of the force at z < 0, shape (n,), N."""
        assert self.fit.covariance is not None
        table = self.table(z, y)
        return np.sqrt(np.einsum("ni,ij,nj->n", table, self.fit.covariance, table))


def y_powers(axis: str, y_degree: int) -> tuple[int, ...]:
    """Return the powers of y up to `y_degree` that carry signal for a force along `axis`."""
    return tuple(range(_PARITIES[axis][1], y_degree + 1, 2))


def fit_component(
    chosen: Measurement, path: Motion, axis: str, degrees: tuple[int, int], *, weighted: bool
) -> Component:
    """Fit the force along `axis` at the tones of `chosen` along that axis.

    Parameters
    ----------
    chosen : Measurement
    path : Motion
    axis : {"z", "y"}
    degrees : tuple of int
        Highest power of z and of y.
    weighted : bool
        Divide by the noise.
    """
    assert path.y is not None
    powers = y_powers(axis, degrees[1])
    scale = float(np.abs(path.z).max()), float(np.abs(path.y).max()) or 1.0
    along_y = np.asarray(chebyshev.chebvander(path.y / scale[1], max(powers)), np.float64)
    factors = [(along_y[:, power], _PARITIES[axis][0]) for power in powers]
    tones = chosen.tones[chosen.on_axis(axis)]
    columns = product_columns(path.z / scale[0], factors, degrees[0], tones)
    fit = least_squares(columns, chosen.force(axis), chosen.force_noise(axis), weighted=weighted)
    return Component(axis, degrees[0], powers, scale, fit)


def prediction_error(fit: Fit, noise: NDArray[np.float64], *, weighted: bool) -> float:
    """Return the mean square error of each tone predicted from all others.

    Cross-validation that leaves out one tone at a time, real and imaginary part together, in closed
    form: the residual of the tone solved with 1 less its own leverage (Allen's PRESS).
    """
    count = fit.residual.size // 2
    sigma = np.tile(noise, 2)
    weight = 1.0 / sigma if weighted and (sigma > 0.0).all() else np.ones(2 * count)
    places = np.arange(count)
    pair = np.stack([places, places + count])
    blocks = np.eye(2) - fit.leverage[pair.T[:, :, None], pair.T[:, None, :]]
    left = fit.residual[pair.T]
    if np.linalg.det(blocks).min() < 1e-12:
        return float("inf")
    missed = np.linalg.solve(blocks, left[:, :, None])[:, :, 0]
    return float(np.mean((missed * weight[pair.T]) ** 2))
