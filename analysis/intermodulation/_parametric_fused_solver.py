"""Fits of a fused problem: the passes of `Solver`, each in compiled arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._parametric_fused import FusedProblem
from ._parametric_fused_descent import Scale, factorised, minimise
from ._parametric_problem import Contact
from ._parametric_solver import Solution, Solver

__all__ = ["FusedSolver"]


class FusedSolver(Solver):
    """Fits of one fused problem.

    Parameters
    ----------
    problem : FusedProblem
    completions : int
        As of `Solver`.
    """

    def __init__(self, problem: FusedProblem, completions: int) -> None:
        super().__init__(problem, completions)
        self._fused = problem
        places = np.flatnonzero(problem.model.free)
        self._scale = Scale(
            places, self._unit, self._mean, self._precision, self._log, self._fixed, self._origin
        )
        # Of the fitted parameters any number will do here.
        self._law = (problem.model.values(np.ones(places.size)), problem.radius)

    def _factor(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        factorised(covariance)
        return covariance

    def _minimise(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        factor: NDArray[np.float64],
        start: NDArray[np.float64],
        gain: float,
    ) -> Solution:
        lower = np.diag(1.0 / factor) if factor.ndim == 1 else factor
        scaled, jacobian, tones, chi2, converged = minimise(
            self._to_scale(start),
            gain,
            self._law,
            self._scale,
            self._fused.along(contact),
            self._fused.bands,
            force,
            lower,
        )
        if not np.isfinite(chi2):
            raise np.linalg.LinAlgError("the force is no number at the start")
        return self._solution(force, contact, scaled, jacobian, tones, chi2, converged)
