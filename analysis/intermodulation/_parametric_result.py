"""What a parametric fit hands back: the curve with its bands, and whether the model is believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._parametric_law import Model, State
from ._parametric_problem import Problem
from ._parametric_solver import Solution
from .curve import Bands, ForceCurve, Verdict

__all__ = ["Estimate", "ParametricFit", "describes", "result_of"]

_POINTS = 1001
# Correlation beyond which two parameters cannot be told apart.
_CORRELATED = 0.95
# chi2 beyond which the model does not describe the tones: standard deviations of chi2.
_CHI2_DEVIATIONS = 4.0
# The same without noise, as a part of the force: ten times what samples and completion leave.
_MISFIT = 0.01


@dataclass(frozen=True)
class Estimate:
    """A fitted parameter with its standard deviation, both in `unit`."""

    value: float
    deviation: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.deviation:.2g} {self.unit}"


@dataclass(frozen=True, eq=False)
class ParametricFit:
    """A force law fitted to the tones of one pixel.

    Parameters
    ----------
    model : Model
    parameters : dict of str to Estimate
        The fitted ones, and the height last, SI.
    covariance : ndarray, shape (m + 1, m + 1)
        Of the parameters in their order; from the residual where the tones have no noise.
    chi2 : float
        NaN where the tones have no noise.
    degrees_of_freedom : int
    misfit : float
        Norm of the residual as a part of the norm of the measured force.
    curve : ForceCurve
        Force against deflection, with standard deviations; the tip does not move sideways.
    verdict : Verdict
    """

    model: Model
    parameters: dict[str, Estimate]
    covariance: NDArray[np.float64]
    chi2: float
    degrees_of_freedom: int
    misfit: float
    curve: ForceCurve
    verdict: Verdict

    def force(self, z: ArrayLike, velocity: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return the model's force along z, N, for deflections (m) and velocities (m/s)."""
        z, velocity = np.broadcast_arrays(np.asarray(z, float), np.asarray(velocity, float))
        values = np.array([estimate.value for estimate in self.parameters.values()])
        force = self.model.force(values[:-1], _at(self.model, z.ravel() + values[-1], velocity))
        return force[0].reshape(z.shape)

    def __str__(self) -> str:
        lines = [f"{name} = {estimate}" for name, estimate in self.parameters.items()]
        lines.append(f"chi2 {self.chi2:.1f} of {self.degrees_of_freedom}, misfit {self.misfit:.2%}")
        return "\n".join([*lines, *self.verdict.reasons])


def result_of(problem: Problem, solution: Solution, degrees_of_freedom: int) -> ParametricFit:
    """Return a solution as a result."""
    noisy = bool(problem.noise.any())
    covariance = solution.covariance
    if not noisy:
        # Without noise the weights are a floor: the residual tells how large the errors are.
        covariance = covariance * (solution.chi2 / max(degrees_of_freedom, 1))
    deviations = np.sqrt(np.diag(covariance))
    units = (*(parameter.unit for parameter in problem.parameters), "m")
    parameters = {
        name: Estimate(float(value), float(deviation), unit)
        for name, value, deviation, unit in zip(
            problem.names, solution.values, deviations, units, strict=True
        )
    }
    misfit = float(np.linalg.norm(solution.residual) / np.linalg.norm(solution.force))
    chi2 = solution.chi2 if noisy else math.nan
    verdict = _verdict(problem, solution, covariance, chi2, degrees_of_freedom, misfit)
    curve = _curve(problem.model, solution, covariance, chi2, degrees_of_freedom, verdict)
    return ParametricFit(
        problem.model,
        parameters,
        covariance,
        chi2,
        degrees_of_freedom,
        misfit,
        curve,
        verdict,
    )


def describes(chi2: float, degrees_of_freedom: int, misfit: float) -> bool:
    """Return whether a model describes the tones; by its misfit where chi2 is NaN."""
    if math.isnan(chi2):
        return misfit <= _MISFIT
    limit = degrees_of_freedom + _CHI2_DEVIATIONS * math.sqrt(2.0 * degrees_of_freedom)
    return chi2 <= limit


def _verdict(
    problem: Problem,
    solution: Solution,
    covariance: NDArray[np.float64],
    chi2: float,
    degrees_of_freedom: int,
    misfit: float,
) -> Verdict:
    against = []
    if not solution.converged:
        against.append("the fit did not converge")
    if not describes(chi2, degrees_of_freedom, misfit):
        told = f"misfit {misfit:.1%}"
        if not math.isnan(chi2):
            told = f"chi2 {chi2:.0f} for {degrees_of_freedom} degrees of freedom, {told}"
        against.append(f"the model does not describe the tones: {told}")
    deviations = np.sqrt(np.diag(covariance))
    for parameter, value, deviation in zip(
        problem.parameters, solution.values[:-1], deviations[:-1], strict=True
    ):
        if not parameter.signed and value < -3.0 * deviation:
            against.append(
                f"{parameter.name} is {value:.3g} {parameter.unit}: it cannot be below 0"
            )
    notes = []
    for (i, one), (j, other) in combinations(enumerate(problem.names), 2):
        width = deviations[i] * deviations[j]
        correlation = covariance[i, j] / width if width > 0.0 else 0.0
        if abs(correlation) > _CORRELATED:
            notes.append(
                f"{one} and {other} can hardly be told apart (correlation {correlation:+.2f}): "
                "a prior on either decides"
            )
    return Verdict(not against, (*against, *notes))


def _at(model: Model, d: NDArray[np.float64], velocity: ArrayLike) -> State:
    v = np.broadcast_to(np.asarray(velocity, float).ravel(), d.shape)
    return State(d, v, np.zeros_like(d) if model.lateral else None)


def _curve(
    model: Model,
    solution: Solution,
    covariance: NDArray[np.float64],
    chi2: float,
    degrees_of_freedom: int,
    verdict: Verdict,
) -> ForceCurve:
    z = np.linspace(solution.contact.lowest, 0.0, _POINTS)
    fastest = solution.contact.fastest
    forces, columns = [], []
    for speed in (0.0, 0.5 * fastest, fastest):
        slopes = model.slopes(solution.values[:-1], _at(model, z + solution.values[-1], speed))
        forces.append(slopes.force[0])
        columns.append(np.vstack([slopes.parameters[:, 0], slopes.distance[0]]))
    # Damping and cubic damping from the dissipative force at two speeds, and likewise their slopes.
    speeds = np.array([0.5 * fastest, fastest])
    inverse = np.linalg.inv(np.stack([-speeds, -(speeds**3)], axis=1))
    dissipative = np.tensordot(inverse, np.array(forces[1:]) - forces[0], axes=1)
    damping_columns = np.tensordot(inverse, np.array(columns[1:]) - columns[0], axes=1)

    def deviation(slope: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(np.maximum(np.einsum("in,ij,jn->n", slope, covariance, slope), 0.0))

    bands = Bands(deviation(columns[0]), *(deviation(slope) for slope in damping_columns))
    return ForceCurve(
        z, forces[0], dissipative[0], dissipative[1], bands, chi2, degrees_of_freedom, verdict
    )
