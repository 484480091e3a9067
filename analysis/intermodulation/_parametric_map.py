"""A parametric fit of each pixel of a map, from its neighbours' results.

Between materials the parameters jump, and a start from the wrong one can end in a minimum of its
own: a pixel starts from the best of some, and once more from other pixels' results if it fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ._parametric_problem import Problem
from ._parametric_result import describes
from ._parametric_solver import Solution, Solver
from .measurement import Measurement

__all__ = ["ParametricMap", "PixelVerdict", "Starts", "fit_pixels"]

# Deflections at which the largest attraction is looked for.
_POINTS = 257
# Pixels that are fitted one after the other, whatever the number of threads.
_CHAIN = 32
# Good pixels, spread over the map, from which others begin anew.
_OTHERS = 12


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
    closest : ndarray, shape (pixels,)
        Closest approach of the tip to the surface, m; negative in contact.
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
    closest: NDArray[np.float64]
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

    def starts(self) -> NDArray[np.float64]:
        """Return where fits of similar pixels start, shape (pixels, m + 1); NaN if not good."""
        return np.array([self.start(i) for i in range(len(self.values))])

    def start(self, pixel: int | np.intp) -> NDArray[np.float64]:
        """Return where fits of pixels like one start, shape (m + 1,); NaN if it is not good."""
        good = self.verdict[pixel] == PixelVerdict.GOOD
        return np.append(self.values[pixel, :-1], self.closest[pixel]) * (1.0 if good else np.nan)


@dataclass(frozen=True, eq=False)
class Starts:
    """Where the fits of a map may start, as `Solver.fit` takes it; NaN where there is none.

    Parameters
    ----------
    first : ndarray, shape (m + 1,)
        For any pixel.
    beside : ndarray, shape (pixels, m + 1)
        For each, told by another line.
    """

    first: NDArray[np.float64]
    beside: NDArray[np.float64]


def fit_pixels(
    measurement: Measurement,
    solver: Solver,
    touched: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    starts: Starts,
    threads: int = 1,
) -> ParametricMap:
    """Fit all pixels.

    Parameters
    ----------
    measurement : Measurement
    solver : Solver
    touched, missing : ndarray of bool, shape (pixels,)
        Which pixels are fitted, and which were not measured.
    starts : Starts
        One at least, if a pixel is touched.
    threads : int
    """
    spectra = np.atleast_2d(measurement.engaged)
    found = _empty_map(solver, touched, missing)

    def fit_chain(chain: NDArray[np.intp]) -> None:
        near = starts.first
        for i in chain:
            _fit_pixel(found, solver, i, spectra[i], (near, starts.beside[i]))
            if found.verdict[i] == PixelVerdict.GOOD:
                near = found.start(i)

    def fit_anew(i: np.intp) -> None:
        _fit_pixel(found, solver, i, spectra[i], others)

    places = np.flatnonzero(touched)
    chains = [places[first : first + _CHAIN] for first in range(0, places.size, _CHAIN)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fit_chain, chains))
        known = np.vstack([starts.first, starts.beside, found.starts()])
        known = known[np.isfinite(known[:, 0])]
        others = known[:: max(1, -(-len(known) // _OTHERS))]
        list(pool.map(fit_anew, np.flatnonzero(touched & (found.verdict != PixelVerdict.GOOD))))
    return found


def _empty_map(
    solver: Solver, touched: NDArray[np.bool_], missing: NDArray[np.bool_]
) -> ParametricMap:
    problem, count = solver.problem, touched.size
    verdict = np.where(touched, PixelVerdict.NOT_CONVERGED, PixelVerdict.NOT_TOUCHED)
    units = (*(parameter.unit for parameter in problem.parameters), "m")
    return ParametricMap(
        problem.names,
        units,
        *np.full((2, count, len(units)), np.nan),
        *np.full((4, count), np.nan),
        degrees_of_freedom=solver.degrees_of_freedom,
        misfit=np.full(count, np.nan),
        verdict=np.where(missing, PixelVerdict.MISSING, verdict).astype(np.int64),
    )


def _fit_pixel(
    found: ParametricMap,
    solver: Solver,
    pixel: np.intp,
    spectrum: NDArray[np.complex128],
    starts: Iterable[NDArray[np.float64]],
) -> None:
    """Fit one pixel from the best of its starts, and write it down if it is better than before."""
    known = [start for start in starts if np.isfinite(start).all()]
    if not known:
        return
    try:
        solution = solver.fit(spectrum, *known)
    except np.linalg.LinAlgError:
        return
    problem, freedom = solver.problem, solver.degrees_of_freedom
    noisy = bool(problem.noise.any())
    misfit = float(np.linalg.norm(solution.residual) / np.linalg.norm(solution.force))
    if misfit >= found.misfit[pixel]:
        return
    covariance = solution.covariance * (1.0 if noisy else solution.chi2 / freedom)
    chi2 = solution.chi2 if noisy else np.nan
    found.values[pixel], found.chi2[pixel], found.misfit[pixel] = solution.values, chi2, misfit
    found.deviations[pixel] = np.sqrt(np.diag(covariance))
    found.closest[pixel] = solution.start[-1]
    adhesion = _adhesion(problem, solution, covariance)
    found.adhesion[pixel], found.adhesion_deviation[pixel] = adhesion
    found.verdict[pixel] = _code(solution, describes(chi2, freedom, misfit))


def _code(solution: Solution, described: bool) -> PixelVerdict:
    if not solution.converged:
        return PixelVerdict.NOT_CONVERGED
    return PixelVerdict.GOOD if described else PixelVerdict.NOT_DESCRIBED


def _adhesion(
    problem: Problem, solution: Solution, covariance: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the largest attraction at rest and its standard deviation, N."""
    distances = solution.values[-1] + np.linspace(solution.contact.lowest, 0.0, _POINTS)
    force, column = problem.attraction(solution.values, distances)
    return force, float(np.sqrt(max(column @ covariance @ column, 0.0)))
