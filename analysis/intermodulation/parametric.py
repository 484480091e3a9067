"""Which parameters of a force law do the tones tell? Least squares in the space of the tones.

The force of the model along the measured motion, completed by the model's own response at the
tones that were not measured, is compared with the force that the tones tell (Borysov et al.,
eq. 10 and 19), weighted with the noise of both. Adhesion, intermolecular distance and height are
nearly degenerate, so that a prior decides between them; forces against deflection do not suffer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._one_thread import on_one_thread
from ._parametric_fused import FusedProblem, FusedSolver, is_fusible
from ._parametric_law import Law, Model, Prior
from ._parametric_map import ParametricMap, PixelVerdict, Starts, fit_pixels
from ._parametric_problem import HEIGHT, Problem
from ._parametric_result import Estimate, ParametricFit, result_of
from ._parametric_solver import Solution, Solver
from ._parametric_tones import Sampling, power_of_two
from .measurement import Measurement, MeasurementError, touched

__all__ = [
    "Estimate",
    "ParametricFit",
    "ParametricMap",
    "PixelVerdict",
    "Prior",
    "Sampling",
    "fit",
    "fit_map",
]

# What is known of a height that is given: a surface is found to some nanometres.
_HEIGHT_DEVIATION_M = 3e-9
# Samples per highest tone and stride: with converged tones of the paper's case 1 the second leaves
# 0.2 pN of error, where noise leaves 1 pN, and the first 0.06 pN. The last serves the search.
_NOISELESS = (24, 4)
_NOISY = (12, 16)
_COARSE = (6, 4)
# Places on the search grid from which fits begin.
_STARTS = 3


@on_one_thread
def fit(
    measurement: Measurement,
    model: Law | Model,
    *,
    start: Mapping[str, float] | None = None,
    priors: Mapping[str, Prior] | None = None,
    completions: int = 1,
    sampling: Sampling | None = None,
) -> ParametricFit:
    """Fit a force law to the tones of one pixel.

    Parameters
    ----------
    measurement : Measurement
    model : Law or Model
        Its parameters that are None are fitted, and the height is.
    start : mapping of str to float, optional
        All parameters by name, and "height", SI; looked for on a grid by default.
    priors : mapping of str to Prior, optional
        Of parameters by name and of "height"; a deviation of 0 holds one fixed. By default what
        the law says, and ± 3 nm round the measurement's height.
    completions : int
        How often the motion is completed with the model's answer at the tones that were not
        measured: once where there is noise; 3 bring noiseless tones to a part in a thousand.
    sampling : Sampling, optional
        Of the period; by default as fine as the noise demands.

    Returns
    -------
    ParametricFit

    Raises
    ------
    MeasurementError
        If there are several pixels, too few tones, or the tip did not touch.
    ValueError
        If a prior or a start is not one of the model's.
    """
    if measurement.engaged.ndim != 1:
        raise MeasurementError(f"{measurement.pixels} pixels are given: choose one, or use fit_map")
    if not touched(measurement):
        raise MeasurementError("the engaged tones do not differ from the free ones: no contact")
    prepared = _prepared(measurement, model, priors, completions)
    solver = _solver(measurement, *prepared, completions, sampling)
    solution = _best(measurement, solver, start)
    return result_of(solver.problem, solution, solver.degrees_of_freedom)


@on_one_thread
def fit_map(
    measurement: Measurement,
    model: Law | Model,
    *,
    start: Mapping[str, float] | None = None,
    before: ParametricMap | None = None,
    priors: Mapping[str, Prior] | None = None,
    completions: int = 1,
    sampling: Sampling | None = None,
    missing: ArrayLike | None = None,
    threads: int | None = None,
) -> ParametricMap:
    """Fit a force law to each pixel of a map.

    Each pixel starts where the tones are described best: as the pixel beside it, as the same pixel
    of the line before, or as the map's start. Where that does not end well it begins anew from
    other good pixels of the map. Pixels that cannot be fitted are marked.

    Parameters
    ----------
    measurement : Measurement
        Engaged tones (pixels, K).
    model, start, priors, completions, sampling
        As of `fit`; by default the start is the fit of the pixel whose tones change by the median,
        if there is no line before.
    before : ParametricMap, optional
        The same law fitted to as many pixels beside these: the line before.
    missing : array_like of bool, shape (pixels,), optional
        Pixels that were not measured, whose spectra are not looked at.
    threads : int, optional
        As many as there are cores by default; the result does not depend on it.

    Returns
    -------
    ParametricMap

    Raises
    ------
    MeasurementError
        If there are too few tones.
    ValueError
        If a prior or a start is not one of the model's, or `missing` or `before` is not of these
        pixels.
    """
    prepared = _prepared(measurement, model, priors, completions)
    contact = np.atleast_1d(touched(measurement))
    absent = np.zeros(contact.size, bool) if missing is None else np.asarray(missing, dtype=bool)
    if absent.shape != contact.shape:
        raise ValueError(f"missing has shape {absent.shape}: {contact.shape} is wanted")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}: 1 or more is allowed")
    contact &= ~absent
    typical = measurement.pixel(_middle(measurement, contact))
    solver = _map_solver(typical, *prepared, completions, sampling)
    beside = np.full((contact.size, len(solver.problem.names)), np.nan)
    if before is not None:
        beside = _beside(before, solver.problem, contact.size)
    first = np.full(beside.shape[1], np.nan)
    if start is not None:
        first = _start(solver.problem, typical, start)
    elif contact.any() and not np.isfinite(beside).any():
        first = _best(typical, solver, None).start
    return fit_pixels(
        measurement, solver, contact, absent, Starts(first, beside), threads or os.cpu_count() or 1
    )


def _beside(before: ParametricMap, problem: Problem, pixels: int) -> NDArray[np.float64]:
    if before.names != problem.names or len(before.values) != pixels:
        raise ValueError(
            f"the map before has {len(before.values)} pixels of {', '.join(before.names)}: "
            f"{pixels} of {', '.join(problem.names)} are wanted"
        )
    return before.starts()


def _middle(measurement: Measurement, contact: NDArray[np.bool_]) -> int:
    """Return the pixel with the median change of the tones among those that touched."""
    change = np.linalg.norm(np.atleast_2d(measurement.engaged) - measurement.free, axis=1)
    order = np.argsort(np.where(contact, change, np.inf), kind="stable")
    return int(order[np.count_nonzero(contact) // 2])


def _prepared(
    measurement: Measurement,
    model: Law | Model,
    priors: Mapping[str, Prior] | None,
    completions: int,
) -> tuple[Model, dict[str, Prior]]:
    """Return the model and its priors, checked against the measurement."""
    model = Model(model.laws)
    lateral = "y" in measurement.axes
    if model.lateral and not lateral:
        names = ", ".join(type(law).__name__ for law in model.laws if law.lateral)
        raise MeasurementError(f"{names} acts along y: no tone along y is measured")
    if completions < 0:
        raise ValueError(f"completions is {completions}: 0 or more is allowed")
    names = [parameter.name for parameter in model.parameters]
    known = {p.name: p.prior for p in model.parameters if p.prior is not None}
    if measurement.height is not None:
        known[HEIGHT] = Prior(measurement.height, _HEIGHT_DEVIATION_M)
    for name, prior in (priors or {}).items():
        if name not in (*names, HEIGHT):
            raise ValueError(f"a prior of {name!r} is given: the fit has {[*names, HEIGHT]}")
        known[name] = prior
    for parameter in model.parameters:
        if parameter.logarithmic and parameter.name in known and known[parameter.name].mean <= 0:
            raise ValueError(f"the prior of {parameter.name} must have a positive mean")
    if 2 * measurement.tones.size + len(known) <= len(names) + 1:
        raise MeasurementError(
            f"{measurement.tones.size} tones are too few for {len(names) + 1} parameters"
        )
    return model, known


def _solver(
    measurement: Measurement,
    model: Model,
    priors: dict[str, Prior],
    completions: int,
    sampling: Sampling | None,
) -> Solver:
    sampling = sampling or _default_sampling(measurement)
    return Solver(Problem(measurement, model, sampling, priors), completions)


def _map_solver(
    measurement: Measurement,
    model: Model,
    priors: dict[str, Prior],
    completions: int,
    sampling: Sampling | None,
) -> Solver:
    """Return a solver for many pixels: a fused one where the law has it."""
    sampling = sampling or _default_sampling(measurement)
    if not is_fusible(model, measurement, sampling):
        return _solver(measurement, model, priors, completions, sampling)
    return FusedSolver(FusedProblem(measurement, model, sampling, priors), completions)


def _default_sampling(measurement: Measurement) -> Sampling:
    return _sampling(measurement, _NOISY if measurement.noise.any() else _NOISELESS)


def _best(measurement: Measurement, solver: Solver, start: Mapping[str, float] | None) -> Solution:
    """Return the best of the fits from a few places of a grid, or the one from a given start."""
    if start is None:
        # Where the search looks is decided more coarsely than the fits are made.
        coarse = Problem(
            measurement,
            solver.problem.model,
            _sampling(measurement, _COARSE),
            solver.problem.priors,
        )
        places = Solver(coarse, 0).starts(measurement.engaged, _STARTS)
    else:
        places = [_start(solver.problem, measurement, start)]
    found = []
    for place in places:
        try:
            found.append(solver.fit(measurement.engaged, place))
        except np.linalg.LinAlgError:
            continue
    if not found:
        raise MeasurementError("the model has no finite force along the motion: choose another law")
    return min(found, key=lambda solution: solution.chi2)


def _sampling(measurement: Measurement, fineness: tuple[int, int]) -> Sampling:
    return power_of_two(int(measurement.tones.max()), *fineness)


def _start(
    problem: Problem, measurement: Measurement, start: Mapping[str, float]
) -> NDArray[np.float64]:
    """Return a start of one pixel as `Solver.fit` takes it, with the closest approach."""
    if set(start) != set(problem.names):
        raise ValueError(f"a start of {sorted(start)} is given: {sorted(problem.names)} are wanted")
    values = np.array([float(start[name]) for name in problem.names])
    for parameter, value in zip(problem.parameters, values[:-1], strict=True):
        if not math.isfinite(value) or (parameter.logarithmic and value <= 0.0):
            raise ValueError(f"the start of {parameter.name} is {value}: it must be positive")
    values[-1] += problem.contact(measurement.engaged, 0.0).lowest
    return values
