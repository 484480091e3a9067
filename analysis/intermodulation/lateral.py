"""What is the force across a surface, when a torsional mode moves the tip sideways?

Case 2 of Borysov et al. (eq. 24-27): F_z and F_y as polynomials of z and y, fitted to the tones of
the flexural and of the torsional detector signal. How high the powers of y must go is decided by
how well tones that were left out are predicted; powers that are not needed cost noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

from ._lateral_powers import Component, fit_component, prediction_error
from ._one_thread import on_one_thread
from ._poly_verdict import judge
from .completion import complete_lateral
from .curve import Verdict
from .measurement import Measurement, MeasurementError
from .motion import Motion, motion

__all__ = ["LateralForces", "reconstruct_lateral"]

_GRID = (401, 61)
# Highest power of y that is tried when the tones are to decide.
_HIGHEST_Y = 5
# A power of y that is in the force lowers the mean square of what is missed of left-out tones by
# orders of magnitude; one that only mends the truncation of the polynomial, by up to thirty.
_BETTER = 100.0
# Part of the rectangle that must have been visited, or the verdict tells of extrapolation: beats
# a quarter of their period apart visit an ellipse, 0.79 of it.
_VISITED = 0.9


@dataclass(frozen=True, eq=False)
class LateralForces:
    """Force on a tip along z and y, on the rectangle that was visited below the rest point.

    Parameters
    ----------
    z : ndarray, shape (n,)
        Deflection from the lowest visited to 0, m.
    y : ndarray, shape (m,)
        Lateral deflection, from the lowest visited to the highest, m.
    force_z, force_y : ndarray, shape (n, m)
        N, attraction and a push towards smaller y negative.
    force_z_std, force_y_std : ndarray, shape (n, m), or None
        Standard deviation from the noise of the tones; None where that is not known.
    visited : ndarray of bool, shape (n, m)
        Where the motion came by; elsewhere the polynomials extrapolate.
    y_degrees : tuple of int
        Highest power of y in F_z and in F_y.
    verdict_z, verdict_y : Verdict
    """

    z: NDArray[np.float64]
    y: NDArray[np.float64]
    force_z: NDArray[np.float64]
    force_y: NDArray[np.float64]
    force_z_std: NDArray[np.float64] | None
    force_y_std: NDArray[np.float64] | None
    visited: NDArray[np.bool_]
    y_degrees: tuple[int, int]
    verdict_z: Verdict
    verdict_y: Verdict

    def force(self, z: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (F_z, F_y) for deflections that broadcast together, N.

        0 above the rest point, NaN below and beside the rectangle that was visited.
        """
        z, y = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(y, dtype=float))
        inside = (z >= self.z[0]) & (z <= self.z[-1]) & (y >= self.y[0]) & (y <= self.y[-1])
        outside = np.where(z > self.z[-1], 0.0, np.nan)
        values = [
            RectBivariateSpline(self.z, self.y, grid)(z, y, grid=False)
            for grid in (self.force_z, self.force_y)
        ]
        found = [np.where(inside, value, outside) for value in values]
        return found[0], found[1]


@on_one_thread
def reconstruct_lateral(
    measurement: Measurement,
    degree: int = 21,
    *,
    y_degrees: tuple[int | None, int | None] = (None, None),
    path: Motion | None = None,
    equation_tones: ArrayLike | None = None,
    weighted: bool = False,
    completions: int = 0,
) -> LateralForces:
    """Return the conservative force along z and y as polynomials of both deflections.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel, with tones along z and along y.
    degree : int
        Highest power of z, odd; F_y has even powers up to `degree` - 1.
    y_degrees : tuple of int or None
        Highest power of y in F_z (even; 0 for a force along z that does not depend on y) and in F_y
        (odd). None: as high as left-out tones are predicted better by it.
    path : Motion, optional
        The motion, where more is known of it than the tones tell; that of all tones by default.
    equation_tones : array_like, optional
        Mask or places of the tones at which the force is fitted, all in the bands by default.
    weighted : bool
        Divide each equation by its noise.
    completions : int
        How often the tones that are not measured are estimated and the fit is done anew.

    Returns
    -------
    LateralForces

    Raises
    ------
    MeasurementError
        If tones along z or y are missing, there are fewer equations than unknowns, or a degree has
        the wrong parity.
    """
    chosen = _equations(measurement, equation_tones)
    _check_degrees(degree, y_degrees)
    path = motion(measurement, degree=degree + _HIGHEST_Y) if path is None else path
    pair = _fit_both(chosen, path, degree, y_degrees, weighted)
    for _ in range(completions):

        def field(
            z: NDArray[np.float64], y: NDArray[np.float64], fitted: tuple[Component, ...] = pair
        ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            return fitted[0].force(z, y), fitted[1].force(z, y)

        path = complete_lateral(measurement, field, start=path, passes=1)
        pair = _fit_both(chosen, path, degree, y_degrees, weighted)
    return _forces(pair, chosen, path)


def _equations(measurement: Measurement, tones: ArrayLike | None) -> Measurement:
    if measurement.engaged.ndim != 1:
        raise MeasurementError(f"{measurement.pixels} pixels are given: choose one with pixel(i)")
    chosen = measurement if tones is None else measurement.select(tones)
    in_bands = np.zeros(chosen.tones.size, dtype=bool)
    for places in chosen.bands():
        in_bands[places] = True
    chosen = chosen.select(in_bands)
    for axis in ("z", "y"):
        if axis not in chosen.axes:
            raise MeasurementError(f"no tone along {axis} lies in a band: case 2 needs z and y")
    return chosen


def _check_degrees(degree: int, y_degrees: tuple[int | None, int | None]) -> None:
    if degree < 1 or degree % 2 == 0:
        raise MeasurementError(f"degree {degree} is not odd and positive: bands tell odd powers")
    for axis, given, parity in zip("zy", y_degrees, (0, 1), strict=True):
        if given is not None and (given < 0 or given % 2 != parity):
            kind = ("even", "odd")[parity]
            raise MeasurementError(f"y degree {given} of F_{axis} is not {kind} and positive or 0")


def _fit_both(
    chosen: Measurement,
    path: Motion,
    degree: int,
    y_degrees: tuple[int | None, int | None],
    weighted: bool,
) -> tuple[Component, Component]:
    along_z = _choose(chosen, path, "z", (degree, y_degrees[0]), weighted)
    return along_z, _choose(chosen, path, "y", (degree - 1, y_degrees[1]), weighted)


def _choose(
    chosen: Measurement,
    path: Motion,
    axis: str,
    degrees: tuple[int, int | None],
    weighted: bool,
) -> Component:
    """Fit with the y degree that is given, or with the one that left-out tones ask for."""
    equations = 2 * np.count_nonzero(chosen.on_axis(axis))
    lowest = "zy".index(axis)
    given = degrees[1]
    candidates = range(lowest, _HIGHEST_Y + 1, 2) if given is None else [given]
    best, least = None, np.inf
    for y_degree in candidates:
        unknowns = (degrees[0] // 2 + 1) * (y_degree // 2 + 1)
        if equations < unknowns:
            if best is None:
                raise MeasurementError(
                    f"{equations // 2} tones along {axis} give {equations} equations for "
                    f"{unknowns} unknowns: measure more tones, or lower a degree"
                )
            break
        fitted = fit_component(chosen, path, axis, (degrees[0], y_degree), weighted=weighted)
        missed = prediction_error(fitted.fit, chosen.force_noise(axis), weighted=weighted)
        if best is not None and missed > least / _BETTER:
            break
        best, least = fitted, missed
    assert best is not None
    return best


def _forces(pair: tuple[Component, Component], chosen: Measurement, path: Motion) -> LateralForces:
    assert path.y is not None
    z = np.linspace(path.lowest, 0.0, _GRID[0])
    y = np.linspace(float(path.y.min()), float(path.y.max()), _GRID[1])
    z_all, y_all = (grid.ravel() for grid in np.meshgrid(z, y, indexing="ij"))
    shape = (z.size, y.size)
    forces = [(c.table(z_all, y_all) @ c.fit.unknowns).reshape(shape) for c in pair]
    spreads = [
        None if c.fit.covariance is None else c.deviation(z_all, y_all).reshape(shape) for c in pair
    ]
    visited = _visited(path, z, y)
    verdicts = [_verdict(c, chosen, visited) for c in pair]
    return LateralForces(
        z=z,
        y=y,
        force_z=forces[0],
        force_y=forces[1],
        force_z_std=spreads[0],
        force_y_std=spreads[1],
        visited=visited,
        y_degrees=(max(pair[0].y_powers), max(pair[1].y_powers)),
        verdict_z=verdicts[0],
        verdict_y=verdicts[1],
    )


def _verdict(component: Component, chosen: Measurement, visited: NDArray[np.bool_]) -> Verdict:
    own = chosen.select(chosen.on_axis(component.axis))
    noise = np.tile(own.force_noise(component.axis), 2)
    chi2 = float("nan")
    if (noise > 0.0).all():
        chi2 = float(np.sum((component.fit.residual / noise) ** 2))
    found = judge(own, component.fit, chi2, component.z_degree)
    if visited.mean() >= _VISITED:
        return found
    missed = (
        f"extrapolation: the tip came by only {visited.mean():.0%} of the rectangle, see `visited`"
    )
    return Verdict(found.ok, (*found.reasons, missed))


def _visited(path: Motion, z: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which cells round the points of the grid the motion came by."""
    assert path.y is not None
    edges = [np.append(g - 0.5 * (g[1] - g[0]), g[-1] + 0.5 * (g[1] - g[0])) for g in (z, y)]
    count, _, _ = np.histogram2d(path.z, path.y, bins=edges)
    return count > 0.0
