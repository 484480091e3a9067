"""Weighted least squares of a parametric problem: Levenberg and Marquardt with priors.

Positive parameters that the force is not proportional to are fitted as logarithms, the others in
units of their typical size; a start is looked for on a coarse grid of the former, the latter by
non-negative least squares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from ._parametric_problem import Contact, Problem, stack_real, whiten

__all__ = ["Solution", "Solver"]

# A step that fails ends a fit where it promised less than this: samples that cross the kink of a
# contact make the slopes jump.
_RUGGED = 1e-2
_ITERATIONS = 60
# Least damping, on the scale of a unit diagonal: adhesion, a0 and height are nearly degenerate, and
# more would crawl along their valley.
_DAMPING = 1e-12
_PROMISE_KEPT = 0.8
# Least start of a positive parameter, of its typical size.
_SMALL = 1e-2
# Largest step in a logarithm, and of the height.
_LARGEST_LOG, _LARGEST_M = 1.0, 1e-9
_HEIGHT_UNIT_M = 1e-9
# Closest approaches from which the search starts, m.
_CLOSEST_M = (0.25e-9, -0.2e-9, -0.7e-9, -1.4e-9, -2.3e-9, -3.5e-9, -5.5e-9, -9e-9)


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a fit ended.

    Parameters
    ----------
    values : ndarray, shape (m + 1,)
        Fitted parameters and the height, SI.
    covariance : ndarray, shape (m + 1, m + 1)
        Of `values`.
    chi2 : float
        Of the equations and the priors.
    force, residual : ndarray of complex, shape (K,)
        Measured force tones, and less the modelled ones, N.
    contact : Contact
        The motion of the last pass.
    converged : bool
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    chi2: float
    force: NDArray[np.complex128]
    residual: NDArray[np.complex128]
    contact: Contact
    converged: bool

    @property
    def start(self) -> NDArray[np.float64]:
        """Where a similar fit starts: the values, with the closest approach for the height.

        A softer or higher surface moves the tip up, while it comes about as near as before.
        """
        return np.append(self.values[:-1], self.values[-1] + self.contact.lowest)


class Solver:
    """Fits of one problem.

    Parameters
    ----------
    problem : Problem
    completions : int
        How often the motion is completed with the model's answer after the first fit.
    """

    # A fit has converged when a step would lower chi2 by less than this, three hundredths of a
    # standard deviation; the first is for a fit that serves the completion only.
    _gains = (0.1, 1e-3)

    def __init__(self, problem: Problem, completions: int) -> None:
        self.problem, self.completions = problem, completions
        typical = [parameter.search[0] for parameter in problem.parameters]
        self._unit = np.array([*typical, _HEIGHT_UNIT_M])
        self._log = np.array([*(p.logarithmic for p in problem.parameters), False])
        self._fixed = np.zeros(self._unit.size, dtype=bool)
        self._mean = np.zeros(self._unit.size)
        self._precision = np.zeros(self._unit.size)
        for i, name in enumerate(problem.names):
            prior = problem.priors.get(name)
            if prior is None:
                continue
            self._mean[i] = prior.mean
            self._fixed[i] = prior.deviation == 0.0
            # The prior of a positive parameter is that of its logarithm.
            width = prior.deviation / (prior.mean if self._log[i] else 1.0)
            self._precision[i] = 0.0 if self._fixed[i] else 1.0 / width
        self._origin = np.array([*(p.origin for p in problem.parameters), False])
        self._origin &= ~self._fixed & ~self._fixed[-1]

    @property
    def degrees_of_freedom(self) -> int:
        """Equations and priors less unknowns."""
        equations = 2 * self.problem.free.size + np.count_nonzero(self._precision)
        return int(equations - np.count_nonzero(~self._fixed))

    def fit(self, engaged: NDArray[np.complex128], *starts: NDArray[np.float64]) -> Solution:
        """Return the fit of one spectrum from the best of some starts.

        Parameters
        ----------
        engaged : ndarray of complex, shape (K,)
        *starts : ndarray, shape (m + 1,)
            Parameters and the closest approach of the tip to the surface, m.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the force along the motion is no number at any start.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            # A step too far may leave what a law can evaluate: it is then taken back.
            return self._fit(engaged, starts)

    def _fit(
        self, engaged: NDArray[np.complex128], starts: Sequence[NDArray[np.float64]]
    ) -> Solution:
        problem = self.problem
        force = problem.force(engaged)
        contact = problem.contact(engaged, starts[0][-1])
        places = np.array(starts)
        places[:, -1] -= contact.lowest
        places = np.where(self._fixed, self._mean, places)
        coarse, fine = self._gains
        factor = problem.plain_whitening(force)
        # The first pass serves the completion and the weights: a tenth of a deviation is enough.
        solution = self._minimise(force, contact, factor, places, coarse)
        for turn in range(max(1, self.completions)):
            values = solution.values
            if self.completions:
                contact = self._completed(engaged, solution)
            if problem.noise.any():
                factor = self._factor(problem.covariance(contact, values, force))
            last = turn + 1 >= self.completions
            solution = self._minimise(
                force, contact, factor, values[None], fine if last else coarse
            )
        return solution

    def _completed(self, engaged: NDArray[np.complex128], found: Solution) -> Contact:
        return self.problem.completed(engaged, found.contact, found.values)

    def _factor(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a lower Cholesky factor."""
        return np.asarray(linalg.cholesky(covariance, lower=True, check_finite=False))

    def _minimise(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        factor: NDArray[np.float64],
        starts: NDArray[np.float64],
        gain: float,
    ) -> Solution:
        """Return the minimum of chi2 along one motion and with one weighting.

        The descent begins with the best of the starts, values with the height last, (c, m + 1).
        """
        places = [self._to_scale(start) for start in starts]
        trials = [self._rows(force, contact, factor, place) for place in places]
        costs = [float(trial @ trial) for trial in trials]
        scaled, damping = places[int(np.argmin(np.nan_to_num(costs, nan=np.inf)))], _DAMPING
        rows, jacobian = self._linearised(force, contact, factor, scaled)
        chi2, current, converged = rows @ rows, True, False
        if not np.isfinite(chi2):
            raise np.linalg.LinAlgError("the force is no number at the start")
        for _ in range(_ITERATIONS):
            step, promised = self._step(jacobian, rows, damping)
            if promised < gain:
                if current:
                    converged = True
                    break
                rows, jacobian = self._linearised(force, contact, factor, scaled)
                current = True
                continue
            trial = self._rows(force, contact, factor, scaled + step)
            gained = chi2 - trial @ trial
            if gained > 0.0:
                scaled, rows, chi2, current = scaled + step, trial, chi2 - gained, False
                damping = max(_DAMPING, 0.01 * damping)
            # Slopes are taken anew only where the old ones no longer tell what a step brings.
            poor = gained < _PROMISE_KEPT * promised
            if poor and current and promised < _RUGGED:
                converged = True
                break
            if poor and current:
                damping = max(1e-6, 30.0 * damping)
            elif poor:
                rows, jacobian = self._linearised(force, contact, factor, scaled)
                current = True
        tones = self.problem.tones(contact, self._from_scale(scaled)[0])
        return self._solution(force, contact, scaled, jacobian, tones, float(chi2), converged)

    def _step(
        self, jacobian: NDArray[np.float64], rows: NDArray[np.float64], damping: float
    ) -> tuple[NDArray[np.float64], float]:
        """Return a damped step and how much it should lower chi2."""
        gradient = jacobian.T @ rows
        normal = jacobian.T @ jacobian
        # Scaled to a unit diagonal, so that a parameter without any effect stays where it is.
        scale = 1.0 / np.sqrt(np.diag(normal) + 1e-300)
        normal *= scale[:, None] * scale
        normal[np.diag_indices_from(normal)] += damping
        full = scale * linalg.solve(normal, gradient * scale, assume_a="pos", check_finite=False)
        step = self._limited(full)
        return step, float(gradient @ step)

    def _solution(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        scaled: NDArray[np.float64],
        jacobian: NDArray[np.float64],
        tones: NDArray[np.complex128],
        chi2: float,
        converged: bool,
    ) -> Solution:
        values, slopes = self._from_scale(scaled)
        used = ~self._fixed
        covariance = np.zeros((values.size, values.size))
        normal = jacobian[:, used].T @ jacobian[:, used]
        covariance[np.ix_(used, used)] = (
            np.linalg.pinv(normal, hermitian=True) if normal.size else 0.0
        )
        return Solution(
            values,
            slopes @ covariance @ slopes.T,
            chi2,
            force,
            force - tones,
            contact,
            converged,
        )

    def _rows(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        factor: NDArray[np.float64],
        scaled: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return residuals of unit noise, those of the priors last."""
        values, _ = self._from_scale(scaled)
        residual = stack_real(force - self.problem.tones(contact, values))
        if not np.isfinite(residual).all():
            return np.full(residual.size, np.inf)
        return np.concatenate([whiten(factor, residual), self._prior_rows(values)])

    def _linearised(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        factor: NDArray[np.float64],
        scaled: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the residuals and the slopes of the model, both of unit noise."""
        values, chain = self._from_scale(scaled)
        tones, slopes = self.problem.linearised(contact, values)
        both = stack_real(np.concatenate([(force - tones)[:, None], slopes @ chain], axis=1))
        if not np.isfinite(both).all():
            return np.full(len(both), np.inf), np.zeros((len(both), values.size))
        both = whiten(factor, both)
        both[:, 1:][:, self._fixed] = 0.0
        known = self._precision > 0.0
        prior = chain[known] * (self._precision / np.where(self._log, values, 1.0))[known, None]
        rows = np.concatenate([both[:, 0], self._prior_rows(values)])
        return rows, np.concatenate([both[:, 1:], prior])

    def _prior_rows(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        known = np.flatnonzero(self._precision)
        log, mean, value = self._log[known], self._mean[known], values[known]
        off = np.where(log, np.log(np.where(log, mean / value, 1.0)), mean - value)
        return self._precision[known] * off

    def _to_scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        # A linear parameter that a start leaves at zero begins small where it must be positive.
        log, relative = self._log, values / self._unit
        scaled = np.where(log, np.log(np.where(log, np.maximum(relative, _SMALL), 1.0)), relative)
        scaled[-1] -= values[self._origin].sum() / _HEIGHT_UNIT_M
        return scaled

    def _from_scale(
        self, scaled: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values and their slopes with the scaled ones, (m + 1, m + 1)."""
        log = self._log
        values = self._unit * np.where(log, np.exp(np.where(log, scaled, 0.0)), scaled)
        chain = np.diag(np.where(log, values, self._unit))
        chain[-1, self._origin] = values[self._origin]
        values[-1] += values[self._origin].sum()
        return values, chain

    def _limited(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        largest = np.max(np.abs(step[:-1][self._log[:-1]]) / _LARGEST_LOG, initial=1.0)
        return step / max(largest, abs(step[-1]) * _HEIGHT_UNIT_M / _LARGEST_M)

    # -- start -------------------------------------------------------------------------------

    def starts(self, engaged: NDArray[np.complex128], count: int) -> list[NDArray[np.float64]]:
        """Return the best places to start from, best first, as `fit` takes them."""
        force = self.problem.force(engaged)
        factor = self.problem.plain_whitening(force)
        lowest = self.problem.contact(engaged, 0.0).lowest
        found = []
        for closest in self._approaches(lowest):
            contact = self.problem.contact(engaged, closest)
            for values in self._grid(closest - lowest):
                cost, start = self._linear_part(force, contact, factor, values)
                if np.isfinite(cost):
                    found.append((cost, np.append(start[:-1], closest)))
        found.sort(key=lambda pair: pair[0])
        return [start for _, start in found[:count]]

    def _approaches(self, lowest: float) -> list[float]:
        """Return closest approaches to try, m, those that the height is known to allow."""
        expected = self._mean[-1] + lowest
        if self._fixed[-1]:
            return [expected]
        if self._precision[-1]:
            width = 1.0 / self._precision[-1]
            near = [closest for closest in _CLOSEST_M if abs(closest - expected) <= 3.0 * width]
            return near or [expected]
        return list(_CLOSEST_M)

    def _grid(self, height: float) -> Iterator[NDArray[np.float64]]:
        """Yield values with the parameters that the force is proportional to at zero."""
        choices = []
        for i, parameter in enumerate(self.problem.parameters):
            if self._fixed[i]:
                choices.append((self._mean[i],))
            else:
                choices.append((0.0,) if parameter.linear else parameter.search)
        for values in product(*choices):
            yield np.array([*values, height])

    def _linear_part(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        factor: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the residual and the values with the best linear parameters."""
        with np.errstate(over="ignore", invalid="ignore"):
            tones, slopes = self.problem.linearised(contact, values)
        rows = whiten(factor, stack_real(force - tones))
        linear = [
            i
            for i, parameter in enumerate(self.problem.parameters)
            if parameter.linear and not self._fixed[i]
        ]
        columns = whiten(factor, stack_real(slopes[:, linear] * self._unit[linear]))
        if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
            return np.inf, values
        if not linear:
            return float(rows @ rows), values
        signed = [self.problem.parameters[i].signed for i in linear]
        weights, cost = optimize.nnls(np.hstack([columns, -columns[:, signed]]), rows)
        best = weights[: len(linear)]
        best[signed] -= weights[len(linear) :]
        start = values.copy()
        start[linear] = best * self._unit[linear]
        return float(cost**2), start
