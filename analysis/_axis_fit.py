"""The model of one axis fitted to its stops: plays, cells, screw, creep, drift, cross-talk.

A specimen follows the command u as

    a = k + b0 L + b1 C1[L] + b2 C2[L] + screw(L) - creep + drift t + K o + bend(o, L) + slip,
    L = P2[P1[u]],

P1 the play before the sensor (known from the reported positions), P2 that behind it, C1 and C2
plays of fixed width (Prandtl-Ishlinskii), o the actual position of the other axis. The slip decays
and is renewed with the way of every step. All but P2, the period and the creep is linear and solved
for (variable projection: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413). A cell of much
weight, a play and a creep look alike, so that weights, cells and creep are held near those of the
reference model, with broad normal priors; play, scale, screw, drift and cross-talk are free. What
looks alike gives a posterior of more than one mode, so that uncertainties come from a sample of it
(`analysis._sampling`), not from its curvature. Lengths in µm.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AxisData", "AxisFit", "Noise", "Shape", "fit_axis", "fit_reported"]

Array = NDArray[np.float64]

# Share and time constants of the creep, of the reference model (s).
_SHARE, _FAST, _SLOW = 0.6, 4.0, 60.0
_PERIODS = (25.0, 100.0)
_PLAYS = (0.0, 1.5)
_BOUNDS = ((0.0, 0.75), _PERIODS, (0.0, 0.3), (0.0, 0.3), (0.03, 0.3), (0.3, 1.0))
# Mean and standard deviation about the reference model, of the weights of the cells and of what
# else is in `Shape` from `fraction` on.
_WEIGHTS = ((0.12, 0.08), (0.08, 0.06))
_USUAL = ((0.05, 0.03), (0.05, 0.03), (0.15, 0.06), (0.5, 0.15))
_FREE = 2
_STARTS = 3
_TRIALS = 200
# Measurements are never better than this, µm.
_LEAST_SIGMA = 5e-4

# Logarithms of slip, length, odds of memory, motor and walk: what stages are like, broadly.
_TYPICAL = np.array([math.log(0.06), math.log(2.0), 0.85, math.log(4e-3), math.log(1e-7)])
_BREADTH = np.array([1.5, 0.5, 0.7, 1.5, 2.0])
# Sizes of the columns, to keep the information well conditioned.
_SCALES = np.array([1, 100, 100, 100, 1, 1, 1, 1, 300, 100, 10, 10], dtype=float)
# How far the starts of the sample lie about the modes: shape, then logarithms of the noise.
_JITTER = np.array([1e-2, 0.2, 1e-2, 1e-2, 2e-2, 1e-1, 0.2, 0.3, 0.4, 0.4, 1.0])


@dataclass(frozen=True)
class AxisData:
    """What is known of one axis at its stops, shape (n,) each: µm and s.

    Parameters
    ----------
    target, actual, other, time : ndarray
        `other` is the actual position of the other axis.
    variance : ndarray
        Of `actual`, from its measurement.
    known : ndarray of bool
        Stops to fit.
    settle : float
        Seconds from the end of a motion to the image.
    """

    target: Array
    actual: Array
    other: Array
    time: Array
    variance: Array
    known: NDArray[np.bool_]
    settle: float


@dataclass(frozen=True)
class Noise:
    """What does not repeat: µm, and µm²/s for the random walk."""

    slip: float = 0.08
    length: float = 2.0
    memory: float = 0.7
    motor: float = 4e-3
    walk: float = 1e-7


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
        return np.array(astuple(self))


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
        Coefficients of the columns of `NAMES`.
    """

    shape: Array
    noise: Array
    linear: Array


NAMES: tuple[str, ...] = (
    "origin",
    "loose",
    "cell_1",
    "cell_2",
    "cos_1",
    "sin_1",
    "cos_2",
    "sin_2",
    "drift",
    "crosstalk",
    "bend_other",
    "bend_both",
)


def fit_reported(target: Array, reported: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Fit play, scale and offset of the reported positions.

    Parameters
    ----------
    target, reported : ndarray, shape (n,)
        µm.

    Returns
    -------
    parameters : ndarray, shape (3,)
        Half width of the play, scale, offset.
    covariance : ndarray, shape (3, 3)
    known : ndarray of bool, shape (n,)
        Stops at which the play's state no longer depends on where it was in the beginning.
    """
    from scipy.optimize import least_squares

    from ._stage_kernels import play

    widest = 0.5 * _PLAYS[1]
    known = settled(target, widest) & np.isfinite(reported)

    def sensor(half: float) -> Array:
        return play(target, half, target[0])

    def linear(half: float) -> tuple[Array, Array]:
        design = np.stack([sensor(half)[known], np.ones(int(known.sum()))], axis=1)
        found = np.asarray(np.linalg.lstsq(design, reported[known], rcond=None)[0], dtype=float)
        return found, reported[known] - design @ found

    grid = np.linspace(0.0, widest, 151)
    start = grid[np.argmin([np.sum(linear(half)[1] ** 2) for half in grid])]

    def residual(p: Array) -> Array:
        return (reported - p[1] * sensor(p[0]) - p[2])[known]

    first = np.array([max(start, 1e-5), *linear(start)[0]])
    bounds = ([0.0, -np.inf, -np.inf], [widest, np.inf, np.inf])
    found = least_squares(residual, first, bounds=bounds, x_scale=(1e-2, 1e-3, 1e-2))
    variance = np.sum(found.fun**2) / max(len(found.fun) - 3, 1)
    return found.x, np.linalg.pinv(found.jac.T @ found.jac) * variance, known


def settled(inputs: Array, half_width: float) -> NDArray[np.bool_]:
    """Stops at which a play has forgotten where it was in the beginning."""
    from ._stage_kernels import play

    low = play(inputs, half_width, inputs[0] - half_width)
    high = play(inputs, half_width, inputs[0] + half_width)
    return np.abs(high - low) < 1e-6


def fit_axis(data: AxisData, sensor: Array) -> AxisFit:
    """Fit one axis.

    Parameters
    ----------
    data : AxisData
    sensor : ndarray, shape (n,)
        Target after the play before the sensor, µm.

    Returns
    -------
    AxisFit
    """
    from scipy.optimize import least_squares

    from ._sampling import sample

    noise = Noise()
    low, high = np.array(_BOUNDS).T
    modes: list[Shape] = []
    for start in _starts(data, sensor, noise):
        found = least_squares(
            lambda p: _residual(data, sensor, Shape(*p), noise),
            np.clip(start.vector, low + 1e-4, high - 1e-4),
            bounds=(low, high), x_scale=_JITTER[: len(low)], diff_step=1e-4, max_nfev=40,
        )  # fmt: skip
        modes.append(Shape(*found.x))

    def log_density(p: Array) -> float:
        return _posterior(data, sensor, p)[0]

    rng = np.random.default_rng(0)
    centres = np.array([np.append(mode.vector, _logarithms(noise)) for mode in modes])
    drawn = sample(log_density, centres, _JITTER, rng)
    linear = np.array([_draw(*_posterior(data, sensor, p)[1:], rng) for p in drawn])
    noises = np.array([astuple(_noise(p[len(low) :])) for p in drawn])
    return AxisFit(drawn[:, : len(low)], noises, linear)


def _posterior(data: AxisData, sensor: Array, p: Array) -> tuple[float, Array, Array]:
    """Logarithm of the density, and the linear coefficients' mean and root of the information.

    `p` holds shape and logarithms of the noise. The coefficients are integrated over: restricted
    likelihood (Patterson & Thompson, Biometrika 58 (1971) 545).
    """
    empty = np.empty(0)
    low, high = np.array(_BOUNDS).T
    k = len(low)
    if (
        (p[:k] < low).any()
        or (p[:k] > high).any()
        or (np.abs(p[k:] - _TYPICAL) > 6 * _BREADTH).any()
    ):
        return -np.inf, empty, empty
    shape, noise = Shape(*p[:k]), _noise(p[k:])
    columns = _columns(data, sensor, shape)
    values = data.actual + _held(data, columns[:, 1], shape)
    white, log_sum = _whitened(data, columns, columns[:, 1], noise, values)
    design, wanted = _held_near(white[:, 1:] / _SCALES, white[:, 0])
    information = design.T @ design
    try:
        root = np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return -np.inf, empty, empty
    projected = np.linalg.solve(root, design.T @ wanted)
    rest = float(wanted @ wanted - projected @ projected)
    log_information = 2.0 * float(np.log(np.diag(root)).sum())
    prior = np.sum(_prior(shape) ** 2) + np.sum(((p[k:] - _TYPICAL) / _BREADTH) ** 2)
    density = -0.5 * (rest + log_sum + log_information + float(prior))
    mean = np.asarray(np.linalg.solve(root.T, projected), dtype=float)
    return density, mean, np.asarray(root, dtype=float)


def _draw(mean: Array, root: Array, rng: np.random.Generator) -> Array:
    """Coefficients drawn given the shape and the noise."""
    return (mean + np.linalg.solve(root.T, rng.normal(size=len(mean)))) / _SCALES


def _noise(p: Array) -> Noise:
    memory = 1.0 / (1.0 + math.exp(-p[2]))
    return Noise(math.exp(p[0]), math.exp(p[1]), memory, math.exp(p[3]), math.exp(p[4]))


def _logarithms(noise: Noise) -> Array:
    odds = noise.memory / (1.0 - noise.memory)
    return np.log([noise.slip, noise.length, odds, noise.motor, noise.walk])


def _columns(data: AxisData, sensor: Array, shape: Shape) -> Array:
    """The columns of `NAMES`, shape (n, p)."""
    from ._stage_kernels import play

    loose = play(sensor, shape.half_play, sensor[0])
    cells = [play(loose, half, loose[0]) for half in (shape.cell_1, shape.cell_2)]
    turn = 2.0 * math.pi * _output(loose, shape) / shape.period
    elapsed = data.time - data.time[0]
    ones = np.ones_like(loose)
    columns = [ones, loose, *cells, np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn)]
    columns += [elapsed, data.other, data.other**2 * 1e-3, data.other * loose * 1e-3]
    return np.stack(columns, axis=1)


def _output(loose: Array, shape: Shape) -> Array:
    """Way of the specimen, with the usual weights of the cells: enough for screw and creep."""
    from ._stage_kernels import play

    halves = (shape.cell_1, shape.cell_2)
    cells = [play(loose, half, loose[0]) for half in halves]
    lag = [w * (cell - loose) for (w, _), cell in zip(_WEIGHTS, cells, strict=True)]
    return loose + lag[0] + lag[1]


def _held(data: AxisData, loose: Array, shape: Shape) -> Array:
    """What the o-rings hold back, shape (n,)."""
    from ._stage_kernels import creep

    amounts = (max(shape.fraction, 0.0), max(shape.limit, 0.0))
    return creep(_output(loose, shape), data.time, data.settle, *amounts, _SHARE, _FAST, _SLOW)


def _prior(shape: Shape) -> Array:
    """Standardised distances from the reference model."""
    values = zip(shape.vector[_FREE:], _USUAL, strict=True)
    return np.array([(value - mean) / sigma for value, (mean, sigma) in values])


def _held_near(design: Array, values: Array) -> tuple[Array, Array]:
    """Add the priors of the weights to a whitened design and its data, as rows."""
    rows = np.zeros((len(_WEIGHTS), design.shape[1]))
    wanted = np.zeros(len(_WEIGHTS))
    for row, (mean, sigma) in enumerate(_WEIGHTS):
        column = NAMES.index(f"cell_{row + 1}")
        rows[row, column] = 1.0 / sigma / _SCALES[column]
        wanted[row] = mean / sigma
    return np.concatenate([design, rows]), np.concatenate([values, wanted])


def _whitened(
    data: AxisData, columns: Array, loose: Array, noise: Noise, values: Array
) -> tuple[Array, float]:
    """Columns and, before them, values, with errors that no longer hang together."""
    from ._stage_kernels import whiten

    way = np.abs(np.diff(loose, prepend=loose[0]))
    part = np.minimum(1.0, way / noise.length)
    interval = np.diff(data.time, prepend=data.time[0])
    stacked = np.concatenate([values[:, None], columns], axis=1)
    variance = data.variance + _LEAST_SIGMA**2
    return whiten(
        np.where(data.known[:, None], stacked, 0.0), part, interval, variance,
        noise.slip, noise.memory, noise.motor, noise.walk, data.known,
    )  # fmt: skip


def _solve(data: AxisData, sensor: Array, shape: Shape, noise: Noise) -> tuple[Array, Array]:
    """Linear coefficients for a shape, and the whitened residual."""
    columns = _columns(data, sensor, shape)
    values = data.actual + _held(data, columns[:, 1], shape)
    white, _ = _whitened(data, columns, columns[:, 1], noise, values)
    design, wanted = _held_near(white[:, 1:] / _SCALES, white[:, 0])
    found = np.linalg.lstsq(design, wanted, rcond=None)[0]
    rest = wanted - design @ found
    return np.asarray(found / _SCALES, dtype=float), rest


def _residual(data: AxisData, sensor: Array, shape: Shape, noise: Noise) -> Array:
    return np.append(_solve(data, sensor, shape, noise)[1], _prior(shape))


def _starts(data: AxisData, sensor: Array, noise: Noise) -> list[Shape]:
    """Best of a grid of plays, then of periods, then of shapes about it."""
    shape = Shape()
    first = NAMES.index("cos_1")

    def misfit(trial: Shape) -> float:
        return float(np.sum(_solve(data, sensor, trial, noise)[1] ** 2))

    def misfit_of_a_screw(trial: Shape) -> float:
        linear, rest = _solve(data, sensor, trial, noise)
        amplitudes = np.hypot(linear[[first, first + 2]], linear[[first + 1, first + 3]])
        # a second harmonic above the first is the first of half the period
        return float(np.sum(rest**2)) if amplitudes[1] < amplitudes[0] else np.inf

    periods = np.geomspace(*_PERIODS, 240)
    for _ in range(2):
        shape = min((Shape(half, shape.period) for half in np.linspace(0, 0.6, 41)), key=misfit)
        screws = (Shape(shape.half_play, period) for period in periods)
        shape = min(screws, key=misfit_of_a_screw)
    return [shape, *_nearby(data, sensor, shape, noise, _STARTS - 1)]


def _nearby(data: AxisData, sensor: Array, shape: Shape, noise: Noise, count: int) -> list[Shape]:
    """Best of shapes with other plays, cells and creep: what is found downhill depends on them."""
    rng = np.random.default_rng(0)
    low, high = np.array(_BOUNDS).T
    means, sigmas = np.array(_USUAL).T
    trials = []
    for _ in range(_TRIALS):
        vector = shape.vector
        vector[0] += rng.normal(0.0, 0.05)
        vector[_FREE:] = rng.normal(means, sigmas)
        trials.append(Shape(*np.clip(vector, low, high)))
    costs = [float(np.sum(_residual(data, sensor, trial, noise) ** 2)) for trial in trials]
    return [trials[k] for k in np.argsort(costs)[:count]]
