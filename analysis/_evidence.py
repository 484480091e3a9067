"""The tests behind a verdict: bias, spread and state dependence of one difference of positions.

Legs (runs of steps of one direction) are the units that may be exchanged: inside a leg errors hang
together, by slip and creep. So the error of a scale is that of clusters (Liang & Zeger, Biometrika
73 (1986) 13) and the direction effect is tested by permuting the directions of the legs (Good,
Permutation, Parametric, and Bootstrap Tests of Hypotheses, 2005, ch. 3). What does not repeat is
the scatter at places that were visited more than once from the same side, "pure error".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "Line", "Spread", "direction_effect", "fit_line", "repeat_spread"]

_MOST_PERMUTATIONS = 4000
_LEAST_FREEDOM = 5
_SAME_PLACE = 1e-3
_LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """Second minus first position of one axis at the stops that it moved to.

    Parameters
    ----------
    place : ndarray, shape (n,)
        Of the first kind of position, from the middle of its segment, in the unit of the axis.
    value : ndarray, shape (n,)
        Second minus first.
    variance : ndarray, shape (n,)
        Of `value`, from the measurement.
    time : ndarray, shape (n,)
        Seconds; NaN where unknown.
    target : ndarray, shape (n,)
        Commanded position, to know a place again.
    direction, leg, segment : ndarray of int, shape (n,)
        How it was approached, the run of steps it belongs to, and the segment of one origin.
    """

    place: NDArray[np.float64]
    value: NDArray[np.float64]
    variance: NDArray[np.float64]
    time: NDArray[np.float64]
    target: NDArray[np.float64]
    direction: NDArray[np.int64]
    leg: NDArray[np.int64]
    segment: NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """How a difference grows with place and time.

    Parameters
    ----------
    scale, scale_low, scale_high : float
        Way of the second for a unit of the first, less 1, and its 95 % interval.
    drift, drift_stderr : float
        Per second; NaN where times are unknown.
    """

    scale: float
    scale_low: float
    scale_high: float
    drift: float
    drift_stderr: float


@dataclass(frozen=True)
class Spread:
    """What does not repeat, and what does without being straight.

    Parameters
    ----------
    value, low, high : float
        Standard deviation of a position and its 95 % interval, the measurement taken off.
    repeated : bool
        Whether places were visited again from the same side; if not, `value` holds all that a
        straight line leaves.
    bend : float
        Root mean square of what repeats but is not straight; 0 if `repeated` is false.
    bend_p : float
        Probability of such a bend by chance.
    """

    value: float
    low: float
    high: float
    repeated: bool
    bend: float
    bend_p: float


def fit_line(found: Difference) -> tuple[Line, NDArray[np.float64]]:
    """Fit an origin for each segment, a scale, a drift and a direction effect by least squares.

    Returns
    -------
    line : Line
    residual : ndarray, shape (n,)
        What scale and drift do not explain, the direction effect still in it.
    """
    names = np.unique(found.segment)
    columns = [(found.segment == name).astype(float) for name in names]
    columns.append(found.place)
    timed = bool(np.isfinite(found.time).all()) and np.ptp(found.time) > 0
    timed = timed and len(found.value) > len(names) + 6
    if timed:
        columns.append(found.time - found.time.mean())
    both = len(np.unique(found.direction)) > 1
    if both:
        columns.append(0.5 * found.direction)
    design = np.stack(columns, axis=1)
    inverse = np.linalg.pinv(design.T @ design)
    fitted = inverse @ design.T @ found.value
    rest = found.value - design @ fitted
    spread = _clustered(design, rest, found.leg, inverse)
    at = len(names)
    half = _student(len(np.unique(found.leg)) - 1) * float(np.sqrt(spread[at, at]))
    scale = float(fitted[at])
    without = rest + (design[:, -1] * fitted[-1] if both else 0.0)
    drift = float(fitted[at + 1]) if timed else np.nan
    drift_stderr = float(np.sqrt(spread[at + 1, at + 1])) if timed else np.nan
    return Line(scale, scale - half, scale + half, drift, drift_stderr), without


def _clustered(
    design: NDArray[np.float64],
    rest: NDArray[np.float64],
    leg: NDArray[np.int64],
    inverse: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Covariance of a fit whose errors hang together inside a leg, or plain for fewer than four."""
    n, k = design.shape
    legs = np.unique(leg)
    plain = inverse * float(rest @ rest) / max(n - k, 1)
    if len(legs) < 4:
        return plain
    scores = np.stack([design[leg == one].T @ rest[leg == one] for one in legs])
    factor = len(legs) / (len(legs) - 1) * (n - 1) / max(n - k, 1)
    return np.maximum(plain, factor * inverse @ (scores.T @ scores) @ inverse)


def direction_effect(
    residual: NDArray[np.float64], found: Difference, rng: np.random.Generator
) -> tuple[float, float, int]:
    """Mean after approaches from below less that from above, its p-value, and the legs it rests on.

    Returns
    -------
    effect : float
        NaN where one direction is all there is.
    p : float
        Two-sided, of the permutation test; NaN likewise.
    legs : int
    """
    legs = np.unique(found.leg)
    rises = np.array([found.direction[found.leg == leg][0] > 0 for leg in legs])
    ups = int(rises.sum())
    if not 0 < ups < len(legs):
        return np.nan, np.nan, len(legs)
    means = np.array([residual[found.leg == leg].mean() for leg in legs])
    effect = means[rises].mean() - means[~rises].mean()
    total = means.sum()
    draws = np.array([means[list(chosen)].sum() for chosen in _choices(len(legs), ups, rng)])
    others = draws / ups - (total - draws) / (len(legs) - ups)
    p = float(np.mean(np.abs(others) >= abs(effect) * (1 - 1e-9)))
    return float(effect), p, len(legs)


def _choices(n: int, k: int, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    if comb(n, k) <= _MOST_PERMUTATIONS:
        yield from combinations(range(n), k)
        return
    yield tuple(range(k))
    for _ in range(_MOST_PERMUTATIONS):
        yield tuple(rng.permutation(n)[:k].tolist())


def repeat_spread(residual: NDArray[np.float64], found: Difference) -> Spread:
    """Spread at places that were visited again from the same side, and the bend between places.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        About the line, the direction effect still in it.
    found : Difference
    """
    from scipy.special import chdtri, fdtrc

    keys = np.stack([np.round(found.target / _SAME_PLACE), found.direction, found.segment], axis=1)
    _, group, visits = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(group, residual) / visits
    within = residual - means[group]
    freedom = len(residual) - len(visits)
    bend, bend_p, repeated = 0.0, 1.0, freedom >= _LEAST_FREEDOM
    if repeated:
        pure = float(within @ within) / freedom
        sides = np.unique(found.direction)
        centred = means - np.array([_side_mean(means, group, found, s) for s in sides]).sum(axis=0)
        between = len(visits) - 1 - len(sides)
        if between > 0:
            mean_square = float(visits @ centred**2) / between
            bend = float(np.sqrt(max(0.0, (mean_square - pure) / visits.mean())))
            bend_p = float(fdtrc(between, freedom, mean_square / pure)) if pure > 0 else 0.0
    else:
        sides = len(np.unique(found.direction))
        freedom = max(len(residual) - 1 - sides - len(np.unique(found.segment)), 1)
        both = residual.copy()
        for side in np.unique(found.direction):
            both[found.direction == side] -= both[found.direction == side].mean()
        pure = float(both @ both) / freedom
    taken_off = float(np.mean(found.variance))
    tail = 0.5 * (1.0 - _LEVEL)
    bounds = [pure, *(pure * freedom / float(chdtri(freedom, t)) for t in (tail, 1 - tail))]
    value, low, high = (float(np.sqrt(max(0.0, v - taken_off))) for v in bounds)
    return Spread(value, low, high, repeated, bend, bend_p)


def _side_mean(
    means: NDArray[np.float64], group: NDArray[np.int64], found: Difference, side: int
) -> NDArray[np.float64]:
    """Mean of the groups of one side, at those groups; 0 at the others."""
    of_side = np.zeros(len(means), dtype=bool)
    of_side[group[found.direction == side]] = True
    return np.where(of_side, means[of_side].mean(), 0.0)


def _student(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1.0), 0.5 + 0.5 * _LEVEL))
