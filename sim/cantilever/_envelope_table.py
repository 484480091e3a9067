"""Averaged forces as tables: made once for a law, looked up at any height and amplitudes.

With the closest approach D = h - r1 - r2 (h - r1 when the second mode moves sideways) the averaged
force near the surface is a function of D over sqrt(r1 r2), because only the tops of the cosines
matter. Freed of that factor it changes slowly with everything but D. A table is a bicubic spline in
D, on a grid that is finest where the force turns, and in how the amplitude is shared, on a ladder
of heights between which the tables themselves are interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.interpolate import CubicSpline

from sim.cantilever._envelope_average import Orbits, averages
from sim.forces import Force

__all__ = ["Grid", "Tables", "stretched", "suited_grid"]

Array = NDArray[np.float64]

DEPTHS, SHARES = 64, 20  # knots; twice as many change the tones of the paper's cases by 2e-4
RUNGS = 4  # heights of the ladder in an octave; twice as many change them by 2e-5
SMOOTHING = 0.5e-9  # m; keeps the factor sqrt(r1 r2) finite, the tables hold for any such length
FINE, COARSE = 32, 16  # samples of half a cycle for orbits that touch, and for those that do not
_LEAST_SHARE = 1e-4  # of the amplitude, in place of none: the tables hold the force over it
_FINE_STEP, _LEAST_STEPS = 0.01e-9, 50  # m; of the scan of a law, half a nanometre at least
_SCALES = np.array([1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08, 0.05]) * 1e-9


def stretched(y: Array) -> Array:
    """Return y / (1 + y^2)^(1/4): even steps of it are fine round zero and widen outwards."""
    return y / np.sqrt(np.sqrt(1 + y * y))


def _unstretched(x: Array) -> Array:
    fourth = x**4
    return np.sign(x) * np.sqrt((fourth + np.sqrt(fourth * fourth + 4 * fourth)) / 2)


@dataclass(frozen=True)
class Grid:
    """Where the knots of the closest approach lie.

    Parameters
    ----------
    deepest : float
        First knot, m; the last is the height of the resting tip.
    centre, scale : float
        Where the knots are densest, and how far that reaches, m.
    """

    deepest: float
    centre: float
    scale: float

    def depths(self, height: float, knots: int = DEPTHS) -> Array:
        """Return the knots below a resting tip, m, shape (knots,)."""
        ends = stretched((np.array([self.deepest, height]) - self.centre) / self.scale)
        even = np.linspace(ends[0], ends[1], knots)
        depths = self.centre + self.scale * _unstretched(even)
        depths[-1] = min(depths[-1], height)
        return depths


def suited_grid(force: Force, energy: float, speed: float, height: float, lowest: float) -> Grid:
    """Return the grid for a law: down to where pressing the tip in takes `energy`.

    Parameters
    ----------
    force : Force
        The law.
    energy : float
        J.
    speed : float
        At which it is pressed in, m/s.
    height, lowest : float
        Of the resting tip, and below which no orbit goes, m.

    Returns
    -------
    Grid

    Raises
    ------
    ValueError
        When the law has no finite force where the tip may come.
    """
    d = np.arange(height, lowest, -_FINE_STEP)
    with np.errstate(all="ignore"):
        pull = force.components(d, 0.0, 0.0, 0.0)[0]
        work = cumulative_trapezoid(pull, -d, initial=0.0)
        damped = cumulative_trapezoid(force.components(d, 0.0, -speed, 0.0)[0], -d, initial=0.0)
    stopped = np.flatnonzero(np.maximum(work, damped) >= energy)
    end = max(int(stopped[0]) + 1, _LEAST_STEPS) if stopped.size else d.size
    if not np.isfinite(work[:end]).all():
        place = d[np.flatnonzero(~np.isfinite(work))[0]]
        raise ValueError(
            f"a force that is not finite at {place * 1e9:.2f} nm from the surface is not allowed: "
            "the tip gets there"
        )
    return _best_grid(force, d[end - 1 :: -1], pull[end - 1 :: -1], work[end - 1 :: -1])


def _best_grid(force: Force, d: Array, pull: Array, work: Array) -> Grid:
    """Return the grid on which a spline has the least error in the work, which the tables follow.

    Both well and wall have to be met: errors count relative to the work, plus some of the well's.
    """
    deepest, height = float(d[0]), float(d[-1])
    well = float(d[np.argmin(pull)])
    rise = float(d[np.flatnonzero(np.abs(work) >= 1e-2 * np.abs(work).max())[-1]])
    centres = {well, rise, *(kink for kink in force.kinks if deepest < kink < height)}
    floor = 0.03 * np.abs(work[d >= well]).max() + 1e-3 * np.abs(work).max() + 1e-300
    errors = {}
    for grid in (Grid(deepest, centre, float(s)) for centre in sorted(centres) for s in _SCALES):
        knots = grid.depths(height)
        error = CubicSpline(knots, np.interp(knots, d, work))(d) - work
        errors[grid] = np.max(np.abs(error) / (np.abs(work) + floor))
    return min(errors, key=lambda grid: errors[grid])


@cache
def _coefficients(knots: int) -> Array:
    """Return the matrix from values at evenly spaced knots to those of the cubic B-splines.

    The third derivative is continuous at the second knot from each end ("not a knot").
    """
    equations = np.zeros((knots + 2, knots + 2))
    for i in range(knots):
        equations[i + 1, i : i + 3] = [1 / 6, 4 / 6, 1 / 6]
    equations[0, :5] = equations[-1, -5:] = [1, -4, 6, -4, 1]
    return np.asarray(np.linalg.inv(equations)[:, 1:-1], np.float64)


class Tables:
    """The averaged force of one law for one kind of orbits, at the heights asked for so far.

    Parameters
    ----------
    force : Force
        The law.
    orbits : Orbits
        How the modes swing.
    response : ndarray
        Of `Orbits.response`.
    grid : Grid
        Knots of the closest approach.
    sideways : float
        Largest amplitude along y, m; used when the second mode moves sideways.
    """

    def __init__(
        self, force: Force, orbits: Orbits, response: Array, grid: Grid, sideways: float
    ) -> None:
        self.grid = grid
        self.sideways = sideways
        self._force = force
        self._orbits = orbits
        self._response = response
        alone = math.isinf(orbits.stiffness[1])
        self.shape = (DEPTHS, 5 if alone else SHARES)  # five knots carry a spline
        self._rungs: dict[int, Array] = {}

    def between(self, lowest: float, highest: float) -> tuple[int, Array]:
        """Return the tables from two rungs below a height to two above another.

        Parameters
        ----------
        lowest, highest : float
            m.

        Returns
        -------
        tuple of int and ndarray
            Number of the first rung (2^(number / RUNGS) nm), and the coefficients of the splines,
            shape (rungs, depths + 2, shares + 2, 4).
        """
        low, high = (math.floor(math.log2(h / 1e-9) * RUNGS) for h in (lowest, highest))
        for rung in range(low - 1, high + 3):
            if rung not in self._rungs:
                self._rungs[rung] = self._table(2.0 ** (rung / RUNGS) * 1e-9)
        return low - 1, np.stack([self._rungs[rung] for rung in range(low - 1, high + 3)])

    def _table(self, height: float) -> Array:
        depths = self.grid.depths(height)
        values = np.empty((*self.shape, 4))
        touching = self.grid.centre + self.grid.scale
        for row, depth in zip(values, depths, strict=True):
            radii = self._radii(height - depth)
            length = abs(depth - self.grid.centre) + self.grid.scale
            samples = FINE if depth < touching else COARSE
            row[:] = averages(
                self._force, self._orbits, self._response, depth, radii, length, samples
            )
            row *= self._factors(radii)
        along = np.tensordot(_coefficients(DEPTHS), values, (1, 0))
        return np.ascontiguousarray(np.einsum("ij,kjv->kiv", _coefficients(self.shape[1]), along))

    def _radii(self, total: float) -> Array:
        share = np.linspace(0.0, 1.0, self.shape[1])
        least = _LEAST_SHARE * total + 1e-15
        if self._orbits.lateral:
            second = np.maximum(share * self.sideways, _LEAST_SHARE * self.sideways)
            return np.stack([np.full(share.size, max(total, least)), second], axis=1)
        if math.isinf(self._orbits.stiffness[1]):
            return np.stack([np.full(share.size, max(total, least)), np.zeros(share.size)], axis=1)
        # sqrt(r2 / r1) = share / (1 - share)
        weights = np.stack([(1 - share) ** 2, share**2], axis=1)
        return np.maximum(total * weights / weights.sum(axis=1, keepdims=True), least)

    def _factors(self, radii: Array) -> Array:
        first, second = radii.T + SMOOTHING
        root = np.sqrt(first if self._orbits.lateral else first * second)
        on_first = root * first / radii[:, 0]
        on_second = root * (1.0 if self._orbits.lateral else second)
        on_second = np.divide(
            on_second, radii[:, 1], out=np.zeros(len(radii)), where=radii[:, 1] > 0
        )
        return np.stack([on_first, on_first, on_second, on_second], axis=1)
