"""The model of one axis fitted to its stops: plays, cells, screw, creep, drift, cross-talk.

A specimen follows the command u as

    a = k + b0 L + b1 C1[L] + b2 C2[L] + screw(L) - creep + drift t + K o + bend(o, L) + c M + slip,
    L = P2[P1[u]],

P1 the play before the sensor (known from the reported positions), P2 that behind it, C1 and C2
plays of fixed width (Prandtl-Ishlinskii), o the actual position of the other axis, M what the
reported positions say that the motor missed. The slip decays and is renewed with the way of every
move. All but P2, the period and the creep is linear and solved for (variable projection: Golub &
Pereyra, SIAM J. Numer. Anal. 10 (1973) 413). A cell of much weight, a play and a creep look alike,
so that weights, cells and creep are held near those of the reference model, with broad normal
priors; those of the rest are so wide that they matter only where a run says nothing. What looks
alike gives a posterior of more than one mode, so that uncertainties come from a sample of it
(`analysis._sampling`), not from its curvature. Lengths in µm.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["PRIORS", "AxisData", "AxisFit", "Noise", "Shape", "fit_axis"]

Array = NDArray[np.float64]

PRIORS = {
    "origin": (0.0, 10.0),
    "drift": (0.0, 1e-2),
    "crosstalk": (0.0, 0.1),
    "bend_other": (0.0, 1e-4),
    "bend_both": (0.0, 1e-4),
    "loose": (0.8, 0.5),
    "cell_1": (0.12, 0.08),
    "cell_2": (0.08, 0.06),
    "cos_1": (0.0, 1.0),
    "sin_1": (0.0, 1.0),
    "cos_2": (0.0, 1.0),
    "sin_2": (0.0, 1.0),
    "miss": (0.5, 0.5),
}
"""Mean and standard deviation of the linear coefficients, in the order of their columns."""

# Share and time constants of the creep, of the reference model (s).
_SHARE, _FAST, _SLOW = 0.6, 4.0, 60.0
_PERIODS = (25.0, 100.0)
_BOUNDS = ((0.0, 0.75), _PERIODS, (0.0, 0.3), (0.0, 0.3), (0.03, 0.3), (0.3, 1.0))
# Mean and standard deviation about the reference model of what is in `Shape` from `fraction` on.
_USUAL = ((0.05, 0.03), (0.05, 0.03), (0.15, 0.06), (0.5, 0.15))
_FREE = 2
_STARTS = 4
_TRIALS = 200
# Half plays, µm: the greatest that is tried, and by how much two starts differ; modes lie 0.1 to
# 0.3 apart.
_WIDE, _APART = 0.5, 0.04
# A move of the specimen below this, µm, may be left undone till the next (reference model: half of
# them are): on average an image after it is short by half the way, give or take as much.
_STICKS = 0.025
# Measurements are never better than this, µm.
_LEAST_SIGMA = 5e-4

# Logarithms of slip, length, odds of memory, motor and wander: what stages are like, broadly.
_TYPICAL = np.array([math.log(0.06), math.log(2.0), 0.85, math.log(4e-3), math.log(1e-11)])
_BREADTH = np.array([1.5, 0.5, 1.0, 1.5, 2.5])
# How far the starts of the sample lie about the modes: shape, then logarithms of the noise.
_JITTER = np.array([1e-2, 0.2, 2e-2, 2e-2, 3e-2, 1e-1, 0.2, 0.3, 0.4, 0.4, 1.0])


@dataclass(frozen=True)
class AxisData:
    """What is known of one axis at its stops, shape (n,) each: µm and s.

    Parameters
    ----------
    actual, other, time : ndarray
        `other` is the actual position of the other axis.
    sensor : ndarray
        Target after the play before the sensor.
    miss : ndarray
        By how much the sensor was beside that.
    segment : ndarray of int
        Stops of one segment share an origin.
    variance : ndarray
        Of `actual`, from its measurement.
    known : ndarray of bool
        Stops to fit; of the others only sensor, miss and time are used.
    settle : ndarray
        Seconds from the end of a motion to the stop's time.
    """

    actual: Array
    other: Array
    time: Array
    sensor: Array
    miss: Array
    segment: NDArray[np.int64]
    variance: Array
    known: NDArray[np.bool_]
    settle: Array

    @cached_property
    def at(self) -> NDArray[np.int64]:
        """Numbers of the stops to fit."""
        return np.flatnonzero(self.known)

    @cached_property
    def interval(self) -> Array:
        """Seconds since the stop before."""
        return np.diff(self.time, prepend=self.time[0])

    @cached_property
    def fixed(self) -> Array:
        """Columns that no shape changes, at the stops to fit, shape (m, p).

        Actual position, 1, time, the other axis, its square; then 1 in each segment but the first.
        """
        segment, other = self.segment[self.known], self.other[self.known]
        elapsed = self.time[self.known] - self.time[0]
        columns = [self.actual[self.known], np.ones(len(other)), elapsed, other, other**2]
        return np.column_stack([*columns, segment[:, None] == np.unique(segment)[1:]])


@dataclass(frozen=True)
class Noise:
    """What does not repeat: µm, and (µm/s)²/s for the wandering velocity of the drift."""

    slip: float = 0.08
    length: float = 2.0
    memory: float = 0.7
    motor: float = 4e-3
    wander: float = 1e-11


@dataclass(frozen=True)
class Shape:
    """What is not linear: half plays of sensor and cells, the period, the creep; µm."""

    half_play: float = 0.25
    period: float = 50.0
    fraction: float = _USUAL[0][0]
    limit: float = _USUAL[1][0]
    cell_1: float = _USUAL[2][0]
    cell_2: float = _USUAL[3][0]

    @property
    def vector(self) -> Array:
        """As an array, in the order of the fields."""
        return np.array([getattr(self, field.name) for field in fields(self)])


@dataclass(frozen=True)
class AxisFit:
    """A sample of what the model of an axis may be.

    Parameters
    ----------
    shape : ndarray, shape (m, 6)
        In the order of `Shape`.
    noise : ndarray, shape (m, 5)
        In the order of `Noise`.
    linear : ndarray, shape (m, p)
        Coefficients of the columns of `PRIORS`.
    """

    shape: Array
    noise: Array
    linear: Array


def fit_axis(data: AxisData) -> AxisFit:
    """Fit one axis.

    Parameters
    ----------
    data : AxisData

    Returns
    -------
    AxisFit
    """
    from scipy.optimize import least_squares

    from ._sampling import sample

    noise = Noise()
    low, high = np.array(_BOUNDS).T
    modes: list[Shape] = []
    for start in _starts(data, noise):
        found = least_squares(
            lambda p: _residual(data, Shape(*p), noise),
            np.clip(start.vector, low + 1e-4, high - 1e-4),
            bounds=(low, high), x_scale=_JITTER[: len(low)], diff_step=1e-4, max_nfev=40,
        )  # fmt: skip
        modes.append(Shape(*found.x))

    def log_density(p: Array) -> float:
        return _posterior(data, p)[0]

    rng = np.random.default_rng(0)
    centres = np.array([np.append(mode.vector, _logarithms(noise)) for mode in modes])
    drawn = sample(log_density, centres, _JITTER, rng)
    linear = np.array([_draw(*_posterior(data, p)[1:], rng) for p in drawn])
    noises = np.array([astuple(_noise(p[len(low) :])) for p in drawn])
    return AxisFit(drawn[:, : len(low)], noises, linear)


def _posterior(data: AxisData, p: Array) -> tuple[float, Array, Array]:
    """Logarithm of the density, and the coefficients as root^T x, with the information's root.

    `p` holds shape and logarithms of the noise. The coefficients are integrated over: restricted
    likelihood (Patterson & Thompson, Biometrika 58 (1971) 545).
    """
    low, high = np.array(_BOUNDS).T
    k = len(low)
    outside = (p[:k] < low).any() or (p[:k] > high).any()
    if outside or (np.abs(p[k:] - _TYPICAL) > 6 * _BREADTH).any():
        return -np.inf, np.empty(0), np.empty(0)
    shape = Shape(*p[:k])
    design, wanted, log_sum = _whitened(data, shape, _noise(p[k:]))
    root = np.asarray(np.linalg.cholesky(design.T @ design), dtype=float)
    projected = np.asarray(np.linalg.solve(root, design.T @ wanted), dtype=float)
    rest = float(wanted @ wanted - projected @ projected)
    log_information = 2.0 * float(np.log(np.diag(root)).sum())
    prior = np.sum(_prior(shape) ** 2) + np.sum(((p[k:] - _TYPICAL) / _BREADTH) ** 2)
    density = -0.5 * (rest + log_sum + log_information + float(prior))
    return density, projected, root


def _draw(projected: Array, root: Array, rng: np.random.Generator) -> Array:
    """Coefficients drawn given the shape and the noise."""
    drawn = np.linalg.solve(root.T, projected + rng.normal(size=len(projected)))
    sigmas = np.array([sigma for _, sigma in PRIORS.values()])
    return np.asarray(drawn[: len(PRIORS)] * sigmas, dtype=float)


def _noise(p: Array) -> Noise:
    memory = 1.0 / (1.0 + math.exp(-p[2]))
    return Noise(math.exp(p[0]), math.exp(p[1]), memory, math.exp(p[3]), math.exp(p[4]))


def _logarithms(noise: Noise) -> Array:
    odds = noise.memory / (1.0 - noise.memory)
    return np.log([noise.slip, noise.length, odds, noise.motor, noise.wander])


def _prior(shape: Shape) -> Array:
    """Standardised distances from the reference model."""
    values = zip(shape.vector[_FREE:], _USUAL, strict=True)
    return np.array([(value - mean) / sigma for value, (mean, sigma) in values])


def _whitened(data: AxisData, shape: Shape, noise: Noise) -> tuple[Array, Array, float]:
    """Design and values with errors that no longer hang together, the priors as rows of both.

    Coefficients are in units of the standard deviations of their priors.
    """
    from ._stage_kernels import creep, design_of, driven, whiten

    usual = (PRIORS["cell_1"][0], PRIORS["cell_2"][0])
    way = driven(data.sensor, shape.half_play, shape.cell_1, shape.cell_2, *usual)
    output, limits = way[-1], (shape.fraction, shape.limit)
    held = creep(output, data.time, data.settle, *limits, _SHARE, _FAST, _SLOW)
    step = np.diff(output, prepend=output[0])
    stuck = np.where(np.abs(step) < _STICKS, 0.5 * step, 0.0)
    columns = design_of(data.fixed, data.at, data.other, data.miss, way, held + stuck, shape.period)
    variance = data.variance[data.at] + _LEAST_SIGMA**2 + stuck[data.at] ** 2
    white, log_sum = whiten(
        columns, data.at, np.minimum(1.0, np.abs(step) / noise.length), data.interval, variance,
        noise.slip, noise.memory, noise.motor, noise.wander,
    )  # fmt: skip
    more = [PRIORS["origin"]] * (columns.shape[1] - 1 - len(PRIORS))
    means, sigmas = np.array([*PRIORS.values(), *more]).T
    design = np.concatenate([white[:, 1:] * sigmas, np.eye(len(sigmas))])
    return design, np.concatenate([white[:, 0], means / sigmas]), log_sum


def _solve(data: AxisData, shape: Shape, noise: Noise) -> tuple[Array, Array]:
    """Linear coefficients for a shape, in units of their priors, and the whitened residual."""
    design, wanted, _ = _whitened(data, shape, noise)
    found = np.asarray(np.linalg.solve(design.T @ design, design.T @ wanted), dtype=float)
    return found, wanted - design @ found


def _residual(data: AxisData, shape: Shape, noise: Noise) -> Array:
    return np.append(_solve(data, shape, noise)[1], _prior(shape))


def _starts(data: AxisData, noise: Noise) -> list[Shape]:
    """Best of a grid of plays, then of periods, then of shapes about it."""
    shape = Shape()
    first = [*PRIORS].index("cos_1")

    def misfit(trial: Shape) -> float:
        return float(np.sum(_solve(data, trial, noise)[1] ** 2))

    def misfit_of_a_screw(trial: Shape) -> float:
        linear, rest = _solve(data, trial, noise)
        amplitudes = np.hypot(linear[[first, first + 2]], linear[[first + 1, first + 3]])
        # a second harmonic above the first is the first of half the period
        return float(np.sum(rest**2)) if amplitudes[1] < amplitudes[0] else np.inf

    periods = np.geomspace(*_PERIODS, 240)
    for _ in range(2):
        shape = min((Shape(half, shape.period) for half in np.linspace(0, 0.6, 41)), key=misfit)
        screws = (Shape(shape.half_play, period) for period in periods)
        shape = min(screws, key=misfit_of_a_screw)
    return [shape, *_scattered(data, shape, noise)]


def _scattered(data: AxisData, shape: Shape, noise: Noise) -> list[Shape]:
    """Best of shapes with other plays, cells and creep, each with a play of its own.

    A small play before a heavy cell looks like a play: what is found downhill depends on the start.
    """
    rng = np.random.default_rng(0)
    low, high = np.array(_BOUNDS).T
    means, sigmas = np.array(_USUAL).T
    trials = []
    for about in (True, False):
        for _ in range(_TRIALS):
            vector = shape.vector
            vector[0] = rng.normal(vector[0], 0.05) if about else rng.uniform(0.0, _WIDE)
            vector[_FREE:] = rng.normal(means, sigmas)
            trials.append(Shape(*np.clip(vector, low, high)))
    costs = [float(np.sum(_residual(data, trial, noise) ** 2)) for trial in trials]
    best: list[Shape] = []
    for k in np.argsort(costs):
        if all(abs(trials[k].half_play - other.half_play) > _APART for other in best):
            best.append(trials[k])
    return best[:_STARTS]
