"""A parametric fit of each pixel of a map, from its neighbour's result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ._parametric_problem import Problem
from ._parametric_result import describes
from ._parametric_solver import Solution, Solver
from .measurement import Measurement

__all__ = ["ParametricMap", "PixelVerdict", "fit_pixels"]

# Deflections at which the largest attraction is looked for.
_POINTS = 257


class PixelVerdict(IntEnum):
    """May a pixel be used?"""

    GOOD = 0
    NOT_DESCRIBED = 1
    NOT_CONVERGED = 2
    NOT_TOUCHED = 3
    MISSING = 4


@dataclass(frozen=True, eq=False)
class ParametricMap:
    """A force law fitted to each pixel; NaN where there is no fit.

    Parameters
    ----------
    names : tuple of str
        Of the fitted parameters, the height last.
    units : tuple of str
    values, deviations : ndarray, shape (pixels, m + 1)
        And their standard deviations, SI.
    adhesion, adhesion_deviation : ndarray, shape (pixels,)
        Largest attraction at rest along the visited deflections, N, positive.
    chi2 : ndarray, shape (pixels,)
        NaN where the tones have no noise.
    degrees_of_freedom : int
    misfit : ndarray, shape (pixels,)
        Norm of the residual as a part of the norm of the force.
    verdict : ndarray of int, shape (pixels,)
        Of `PixelVerdict`.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    values: NDArray[np.float64]
    deviations: NDArray[np.float64]
    adhesion: NDArray[np.float64]
    adhesion_deviation: NDArray[np.float64]
    chi2: NDArray[np.float64]
    degrees_of_freedom: int
    misfit: NDArray[np.float64]
    verdict: NDArray[np.int64]

    def parameter(self, name: str) -> NDArray[np.float64]:
        """Return the map of one parameter, (pixels,).

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        if name not in self.names:
            raise ValueError(f"there is no parameter {name!r}: choose of {', '.join(self.names)}")
        return self.values[:, self.names.index(name)]


def fit_pixels(
    measurement: Measurement,
    solver: Solver,
    touched: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    first: NDArray[np.float64] | None,
    threads: int = 1,
) -> ParametricMap:
    """Fit all pixels.

    Parameters
    ----------
    measurement : Measurement
    solver : Solver
    touched, missing : ndarray of bool, shape (pixels,)
        Which pixels are fitted, and which were not measured.
    first : ndarray, shape (m + 1,), or None
        Where the first pixel and those with a failing neighbour start; None if none is touched.
    threads : int
        Each fits its part of the pixels, one after the other.
    """
    problem = solver.problem
    spectra = np.atleast_2d(measurement.engaged)
    count, size = len(spectra), len(problem.names)
    values, deviations = np.full((2, count, size), np.nan)
    adhesion, adhesion_deviation, chi2, misfit = np.full((4, count), np.nan)
    verdict = np.full(count, int(PixelVerdict.NOT_TOUCHED))
    verdict[missing] = PixelVerdict.MISSING

    def fit_chain(chain: NDArray[np.intp], solver: Solver) -> None:
        start = first
        for i in chain:
            assert first is not None
            assert start is not None
            starts = (first,) if start is first else (start, first)
            solution, good = _from_starts(solver, spectra[i], starts)
            if solution is None:
                verdict[i] = PixelVerdict.NOT_CONVERGED
                continue
            scale = 1.0
            if problem.noise.any():
                chi2[i] = solution.chi2
            else:
                scale = solution.chi2 / solver.degrees_of_freedom
            covariance = scale * solution.covariance
            values[i], deviations[i] = solution.values, np.sqrt(np.diag(covariance))
            misfit[i] = np.linalg.norm(solution.residual) / np.linalg.norm(solution.force)
            adhesion[i], adhesion_deviation[i] = _adhesion(problem, solution, covariance)
            described = describes(float(chi2[i]), solver.degrees_of_freedom, float(misfit[i]))
            verdict[i] = _code(solution, described)
            start = solution.first if good else first

    chain, *others = np.array_split(np.flatnonzero(touched), threads)
    with ThreadPoolExecutor(threads) as pool:
        # a solver works in place: each thread has one of its own
        beside = [pool.submit(fit_chain, other, deepcopy(solver)) for other in others]
        fit_chain(chain, solver)
        for done in beside:
            done.result()
    return ParametricMap(
        problem.names,
        (*(parameter.unit for parameter in problem.parameters), "m"),
        values,
        deviations,
        adhesion,
        adhesion_deviation,
        chi2,
        solver.degrees_of_freedom,
        misfit,
        verdict,
    )


def _from_starts(
    solver: Solver, spectrum: NDArray[np.complex128], starts: tuple[NDArray[np.float64], ...]
) -> tuple[Solution | None, bool]:
    """Return the best fit, and whether it is good; later starts are tried while none is."""
    best = None
    for start in starts:
        try:
            found = solver.fit(spectrum, start)
        except np.linalg.LinAlgError:
            continue
        misfit = float(np.linalg.norm(found.residual) / np.linalg.norm(found.force))
        chi2 = found.chi2 if solver.problem.noise.any() else np.nan
        if found.converged and describes(chi2, solver.degrees_of_freedom, misfit):
            return found, True
        if best is None or found.chi2 < best.chi2:
            best = found
    return best, False


def _code(solution: Solution, described: bool) -> PixelVerdict:
    if not solution.converged:
        return PixelVerdict.NOT_CONVERGED
    return PixelVerdict.GOOD if described else PixelVerdict.NOT_DESCRIBED


def _adhesion(
    problem: Problem, solution: Solution, covariance: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the largest attraction at rest and its standard deviation, N."""
    z = np.linspace(solution.contact.lowest, 0.0, _POINTS)
    force = problem.at_rest(solution.values, z).force[0]
    lowest = int(np.argmin(force))
    slopes = problem.at_rest(solution.values, z[lowest : lowest + 1])
    column = np.append(slopes.parameters[:, 0, 0], slopes.distance[0, 0])
    return float(-force[lowest]), float(np.sqrt(max(column @ covariance @ column, 0.0)))
