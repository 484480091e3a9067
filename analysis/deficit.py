"""How much does a stage fall short after a reversal, and how sure is that?

The deficit of one leg (a run of steps in one direction that begins with a reversal) is the total
shortfall until the steps have recovered: with g the gain of the recovered steps of that leg (sum
of their displacements over sum of their commands), D = sum over the first m steps of
(g·command - displacement). For equal steps and m = 1 it is (mean of the later steps) - (first
step). A step smaller than the backlash needs m > 1; m grows as long as the next step is still
short of those after it, by a one-sided t test (and, once it has grown, by one more
where the leg is long enough). The interval is Student's over the
legs, each leg compared with itself, so that errors shared inside a leg (slip, drift, slow
periodic error) count as they should; it is never narrower than the registration errors allow.
A stage with more than simple play (Prandtl-Ishlinskii
cells) recovers by and by, and then the deficit is a statement about m steps: m is part of it, and
what the interval holds is the deficit over m steps of the same stage without chance.
Displacements are in the unit of the axis (micrometres or degrees) and counted along the direction
of the leg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Deficit", "Estimate", "Imaged", "first_step_deficits"]

# Recovered steps that go less than this share of their command have not recovered at all:
# calibration errors stay below 15 % (Krios, nominal pixel size at low magnification).
_LEAST_GAIN = 0.7
# One-sided level at which a step counts as still short.
_TEST_LEVEL = 0.95
_INTERVAL_LEVEL = 0.975


@dataclass(frozen=True)
class Estimate:
    """A first-step deficit with its 95 % confidence interval, in the unit of its axis.

    Parameters
    ----------
    value, stderr, low, high : float
        The mean over the legs, its standard error and the interval; NaN where it cannot be told.
    legs : int
        Legs (repeats) it rests on.
    recovery_steps : int
        Steps over which the shortfall is summed, m.
    recovered : bool
        Whether the legs are long enough to show the recovery; if not, the value is a lower bound
        (shortfall from the command).
    significant : bool
        Whether the interval excludes zero.
    note : str
        What limits it, "" if nothing does.
    """

    value: float
    stderr: float
    low: float
    high: float
    legs: int
    recovery_steps: int
    recovered: bool
    significant: bool
    note: str


@dataclass(frozen=True)
class Imaged:
    """What the images show of an axis, a value a step of the run, shape (n,); NaN where unknown.

    Parameters
    ----------
    displacement : ndarray
        Along the axis, µm.
    variance : ndarray
        Of `displacement`, from the registration, µm².
    cross : ndarray
        Displacement along the other axis of the image, µm.
    """

    displacement: NDArray[np.float64]
    variance: NDArray[np.float64]
    cross: NDArray[np.float64]


@dataclass(frozen=True)
class Deficit:
    """First-step deficit of one axis in one direction.

    Parameters
    ----------
    axis : str
    unit : str
        Of all lengths or angles below, µm or deg.
    direction : int
        +1 or -1.
    reported, actual : Estimate
        From the reported positions and from the images; the actual one is unknown for an axis
        that images do not show.
    steps, first_steps, later_steps, unknown_steps : int
        Number of steps in this direction, and how many of each class.
    cross_displacement, cross_stderr : float
        Mean actual displacement of the other axis in a step along this one, and its standard
        error; NaN for an axis that images do not show.
    """

    axis: str
    unit: str
    direction: int
    reported: Estimate
    actual: Estimate
    steps: int
    first_steps: int
    later_steps: int
    unknown_steps: int
    cross_displacement: float
    cross_stderr: float


def first_step_deficits(
    *,
    axis: str,
    unit: str,
    direction: int,
    target: NDArray[np.float64],
    reported: NDArray[np.float64],
    actual: Imaged | None,
    legs: Sequence[NDArray[np.int64]],
    steps: NDArray[np.int64],
) -> Deficit:
    """Deficit of one axis and direction, reported and actual.

    Parameters
    ----------
    axis, unit : str
    direction : int
        +1 or -1.
    target, reported : ndarray, shape (n,)
        Displacements along the axis of all steps of the run, in `unit`; NaN where unknown.
    actual : Imaged or None
        The same from the images, µm; None for an axis that they do not show.
    legs : sequence of ndarray of int
        Rows of each leg, first step after the reversal first.
    steps : ndarray of int
        Rows of all steps in this direction, of known history or not.
    """
    known = sum(leg.size for leg in legs)
    commands = [direction * target[leg] for leg in legs]
    exact = [np.zeros(leg.size) for leg in legs]
    if actual is None:
        from_images = _unknown(f"images do not show {axis}")
        cross, cross_stderr = np.nan, np.nan
    else:
        moved = [direction * actual.displacement[leg] for leg in legs]
        from_images = _estimate(commands, moved, [actual.variance[leg] for leg in legs])
        cross, cross_stderr = _mean(actual.cross[steps])
    return Deficit(
        axis=axis,
        unit=unit,
        direction=direction,
        reported=_estimate(commands, [direction * reported[leg] for leg in legs], exact),
        actual=from_images,
        steps=int(steps.size),
        first_steps=len(legs),
        later_steps=known - len(legs),
        unknown_steps=int(steps.size) - known,
        cross_displacement=cross,
        cross_stderr=cross_stderr,
    )


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of the finite values and its standard error; NaN where there are too few."""
    finite = values[np.isfinite(values)]
    stderr = finite.std(ddof=1) / np.sqrt(finite.size) if finite.size > 1 else np.nan
    return (float(finite.mean()) if finite.size else np.nan), float(stderr)


def _unknown(note: str) -> Estimate:
    return Estimate(np.nan, np.nan, np.nan, np.nan, 0, 0, False, False, note)


@dataclass(frozen=True)
class _Leg:
    """Commands, displacements and registration variances of the usable steps of one leg."""

    command: NDArray[np.float64]
    moved: NDArray[np.float64]
    variance: NDArray[np.float64]

    def gain(self, m: int) -> float:
        return float(self.moved[m:].sum() / self.command[m:].sum())

    def shortfall(self, m: int) -> float:
        return float(self.gain(m) * self.command[:m].sum() - self.moved[:m].sum())

    def lag(self, m: int) -> float:
        """How far step m + 1 stays behind the gain of those after it."""
        return float(self.gain(m + 1) * self.command[m] - self.moved[m])

    def shortfall_variance(self, m: int) -> float:
        ratio = self.command[:m].sum() / self.command[m:].sum()
        return float(self.variance[:m].sum() + ratio**2 * self.variance[m:].sum())

    def lag_variance(self, m: int) -> float:
        ratio = self.command[m] / self.command[m + 1 :].sum()
        return float(self.variance[m] + ratio**2 * self.variance[m + 1 :].sum())


def _estimate(
    commands: Sequence[NDArray[np.float64]],
    moved: Sequence[NDArray[np.float64]],
    variances: Sequence[NDArray[np.float64]],
) -> Estimate:
    rows = [_usable(*leg) for leg in zip(commands, moved, variances, strict=True)]
    found = [leg for leg in rows if leg is not None and leg.command.size > 1]
    if not found:
        return _unknown("no reversal with a known first and later step")
    m, recovered = _recovery(found)
    if not recovered:
        return _lower_bound(found)
    found = [leg for leg in found if leg.command.size > m]
    values = np.array([leg.shortfall(m) for leg in found])
    noise = float(np.mean([leg.shortfall_variance(m) for leg in found]))
    note = ""
    if max(leg.command.size for leg in found) == m + 1:
        note = "one step after the short ones: whether it has recovered cannot be told"
    return _interval(values, noise, _within_leg(found, m), m, note)


def _usable(
    command: NDArray[np.float64], moved: NDArray[np.float64], variance: NDArray[np.float64]
) -> _Leg | None:
    """Cut a leg at its first step without a registered displacement."""
    missing = np.flatnonzero(~np.isfinite(moved))
    end = int(missing[0]) if missing.size else moved.size
    return _Leg(command[:end], moved[:end], variance[:end]) if end else None


def _recovery(found: Sequence[_Leg]) -> tuple[int, bool]:
    """Return the number of steps until recovery, and whether the legs are long enough to tell."""
    longest = max(leg.command.size for leg in found)
    m = 1
    while m + 1 < longest:
        usable = [leg for leg in found if leg.command.size > m + 1]
        lags = np.array([leg.lag(m) for leg in usable])
        noise = float(np.mean([leg.lag_variance(m) for leg in usable]))
        spread, freedom = _pooled(lags, noise, _within_leg(usable, m + 1, single=True))
        if not freedom:
            break
        if lags.mean() <= _student(_TEST_LEVEL, freedom) * spread / np.sqrt(lags.size):
            break
        m += 1
    else:
        if longest > 2:
            return m, False
    typical = float(np.median([leg.command.size for leg in found]))
    if m > 1 and m + 2 < typical:
        # the step that just passes the test may still be a little short: leave it out of the gain,
        # unless that would leave out most of the legs
        m += 1
    gains = [leg.gain(m) for leg in found if leg.command.size > m]
    return m, bool(gains) and float(np.mean(gains)) >= _LEAST_GAIN


def _within_leg(found: Sequence[_Leg], m: int, *, single: bool = False) -> tuple[float, float]:
    """Variance of a deficit (or of one lag) as the scatter of recovered steps inside legs shows it.

    Returns
    -------
    variance : float
        Square of the unit of the axis.
    degrees of freedom : float
        0 if no leg has two recovered steps.
    """
    squares, freedom, factor = 0.0, 0, 0.0
    for leg in found:
        rest = leg.moved[m:] - leg.gain(m) * leg.command[m:]
        squares += float(np.sum(rest**2))
        freedom += rest.size - 1
        summed = 1 if single else m
        factor += (summed + summed**2 / rest.size) / len(found)
    return (factor * squares / freedom if freedom else 0.0), float(freedom)


def _spread(
    values: NDArray[np.float64], noise: float, within: tuple[float, float]
) -> tuple[float, float]:
    """Standard deviation of one value and its degrees of freedom (0: cannot be told)."""
    if values.size > 1:
        between = float(values.var(ddof=1))
        return float(np.sqrt(max(between, noise))), values.size - 1.0
    variance, freedom = within
    if freedom:
        return float(np.sqrt(max(variance, noise))), freedom
    # one pair of steps: nothing but the registration is known of its scatter
    return float(np.sqrt(noise)), 0.0


def _pooled(
    values: NDArray[np.float64], noise: float, within: tuple[float, float]
) -> tuple[float, float]:
    """As `_spread`, from the scatter between the legs and inside them together."""
    variance, freedom = within
    between = float(values.var(ddof=1)) if values.size > 1 else 0.0
    total = freedom + values.size - 1.0
    if not total:
        return float(np.sqrt(noise)), 0.0
    pooled = (freedom * variance + (values.size - 1.0) * between) / total
    return float(np.sqrt(max(pooled, noise))), total


def _interval(
    values: NDArray[np.float64],
    noise: float,
    within: tuple[float, float],
    m: int,
    note: str,
) -> Estimate:
    spread, freedom = _spread(values, noise, within)
    value = float(values.mean())
    if not freedom:
        note = "one reversal, one later step: repeat the run for an interval"
        return Estimate(value, np.nan, np.nan, np.nan, 1, m, True, False, note)
    stderr = spread / float(np.sqrt(values.size))
    half = _student(_INTERVAL_LEVEL, freedom) * stderr
    if values.size == 1:
        note = "one reversal: its scatter is taken from the later steps"
    return Estimate(
        value=value,
        stderr=stderr,
        low=value - half,
        high=value + half,
        legs=values.size,
        recovery_steps=m,
        recovered=True,
        significant=abs(value) > half,
        note=note,
    )


def _lower_bound(found: Sequence[_Leg]) -> Estimate:
    """Shortfall from the command over whole legs that never recover."""
    values = np.array([float(leg.command.sum() - leg.moved.sum()) for leg in found])
    steps = max(leg.command.size for leg in found)
    return Estimate(
        value=float(values.mean()),
        stderr=np.nan,
        low=np.nan,
        high=np.nan,
        legs=values.size,
        recovery_steps=steps,
        recovered=False,
        significant=False,
        note=f"a leg of {steps} steps is too short to recover: at least this, longer legs needed",
    )


def _student(level: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
