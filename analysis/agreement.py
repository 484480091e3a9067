"""Do target, reported and actual position agree, and do they do so every time?

The framework of Fiedler et al., Microsc. Microanal. 29 (2023), fig. 2, as tests: the three
positions of an axis are compared in pairs for accuracy (scale and straightness), consistency (what
does not repeat) and state dependence (direction of approach, drift). From these follows the case:

(a) all three agree; (b) target and reported agree, the actual position is elsewhere; (c) target and
actual agree, reported is elsewhere; (d) reported and actual agree, target is elsewhere; (e) none
agree; (f) inconsistent: large statistical errors, or a dependence on the state such as hysteresis.

Errors up to a tolerance, 1 % of a step, are none: "a 1 % error in displacement will translate to
being off by a full movement command after 100 steps" (ibid.). An actual position is known from
images, relative to the others of its segment only, so that a constant offset cannot be judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ._evidence import Difference, Line, Spread, direction_effect, fit_line, repeat_spread
from .record import StageRecord

__all__ = ["CASES", "PAIRS", "Agreement", "AxisAgreement", "Comparison", "evaluate"]

CASES = {
    "a": "ideal: target, reported and actual agree",
    "b": "target and reported agree, actual is elsewhere",
    "c": "target and actual agree, reported is elsewhere",
    "d": "reported and actual agree, target is elsewhere",
    "e": "none agree",
    "f": "inconsistent",
}
PAIRS = (("target", "reported"), ("target", "actual"), ("reported", "actual"))
_ALONE = {0: "b", 1: "c", 2: "d"}
_SAME_TARGET = 1e-4
_LEAST_STOPS = 6
_DIRECTION_LEVEL = 0.05
_BEND_LEVEL = 0.01
_DRIFT_SIGMAS = 3.0


@dataclass(frozen=True)
class Comparison:
    """Two kinds of position of one axis compared; lengths in the unit of the axis.

    Parameters
    ----------
    first, second : str
        ``"target"``, ``"reported"`` or ``"actual"``.
    stops : int
        Stops at which both are known.
    rms : float
        Root mean square of second - first, about the mean where an actual position is compared.
    line : Line or None
        Scale error and drift; None where there are too few stops.
    spread : Spread or None
        What does not repeat.
    direction_effect, direction_p : float
        Mean after approaches from below less that from above, and its p-value; NaN if unknown.
    legs : int
        Legs that the test of direction permutes.
    agrees, consistent : bool or None
        The judgements; None where they cannot be made.
    faults : tuple of str
        What counts against agreement or consistency; none where both hold.
    evidence : tuple of str
        Why, and what cannot be known.
    """

    first: str
    second: str
    stops: int
    rms: float
    line: Line | None
    spread: Spread | None
    direction_effect: float
    direction_p: float
    legs: int
    agrees: bool | None
    consistent: bool | None
    faults: tuple[str, ...]
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        words = {True: "agree", False: "disagree", None: "cannot be compared"}[self.agrees]
        if self.consistent is False:
            words = "are inconsistent"
        return f"{self.first} and {self.second} {words}: " + "; ".join(self.evidence)


@dataclass(frozen=True)
class AxisAgreement:
    """The verdict on one axis.

    Parameters
    ----------
    axis, unit : str
    step : float
        Median commanded step, in `unit`.
    comparisons : tuple of Comparison
        Target-reported, target-actual, reported-actual.
    case : str or None
        ``"a"`` to ``"f"``; None where it cannot be known.
    reason : str
    """

    axis: str
    unit: str
    step: float
    comparisons: tuple[Comparison, ...]
    case: str | None
    reason: str

    def __str__(self) -> str:
        lines = [f"{self.axis}: {_case_words(self.case)}. {self.reason}"]
        return "\n".join(lines + [f"  {comparison}" for comparison in self.comparisons])


@dataclass(frozen=True)
class Agreement:
    """The verdict on a stage.

    Parameters
    ----------
    source : str
        What was evaluated.
    tolerance : float
        Part of a step that counts as no error.
    axes : tuple of AxisAgreement
        Axes that were moved.
    case : str or None
        Of all axes whose actual position is known, together.
    """

    source: str
    tolerance: float
    axes: tuple[AxisAgreement, ...]
    case: str | None

    def axis(self, name: str) -> AxisAgreement:
        """Verdict on one axis.

        Raises
        ------
        ValueError
            If the axis was not moved.
        """
        for found in self.axes:
            if found.axis == name:
                return found
        moved = ", ".join(found.axis for found in self.axes)
        raise ValueError(f"axis {name!r} was not moved: choose of {moved}")

    def __str__(self) -> str:
        head = f"Stage: {_case_words(self.case)}."
        about = f"{self.source or 'record'}; errors up to {100 * self.tolerance:g} % of a step pass"
        return "\n".join([head, about, *map(str, self.axes)])


def evaluate(record: StageRecord, *, tolerance: float = 0.01, seed: int = 0) -> Agreement:
    """Compare the three positions of every axis that was moved, and give the case.

    Parameters
    ----------
    record : StageRecord
    tolerance : float
        Part of a step (and of a scale) that counts as no error, above 0 and below 1.
    seed : int
        Of the permutations, where there are too many to take all.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        If no axis was moved, or the tolerance is not allowed.
    """
    if not 0.0 < tolerance < 1.0:
        raise ValueError(
            f"tolerance is {tolerance!r}, must be above 0 and below 1 (part of a step)"
        )
    found = []
    for axis in range(len(record.axes)):
        stops = _moved(record, axis)
        if np.count_nonzero(record.direction[stops, axis]):
            found.append(_axis(record, axis, stops, tolerance, np.random.default_rng(seed)))
    if not found:
        raise ValueError(
            "no axis was moved as far as is known: two different targets are needed at least"
        )
    known = [axis for axis in found if axis.case is not None]
    case = None
    if known and any(axis.case == "f" for axis in known):
        case = "f"
    elif known:
        case = _case([all(axis.comparisons[k].agrees for axis in known) for k in range(3)])
    return Agreement(record.source, tolerance, tuple(found), case)


def _case_words(case: str | None) -> str:
    return "case unknown" if case is None else f"case ({case}), {CASES[case]}"


def _case(agree: list[bool]) -> str:
    """Case of what target-reported, target-actual and reported-actual agree."""
    if all(agree):
        return "a"
    return _ALONE[agree.index(True)] if sum(agree) == 1 else "e"


def _moved(record: StageRecord, axis: int) -> NDArray[np.int64]:
    """Stops to which the axis moved, the first of each sequence with them."""
    target, sequence = record.target[:, axis], record.sequence
    step = np.abs(np.diff(target, prepend=np.nan))
    first = np.append(True, sequence[1:] != sequence[:-1])
    return np.flatnonzero(first | (step > _SAME_TARGET))


def _axis(
    record: StageRecord, axis: int, stops: NDArray[np.int64], tolerance: float,
    rng: np.random.Generator,
) -> AxisAgreement:  # fmt: skip
    same = np.diff(record.sequence[stops]) == 0
    step = float(np.median(np.abs(np.diff(record.target[stops, axis]))[same]))
    comparisons = tuple(_compare(record, axis, stops, pair, step, tolerance, rng) for pair in PAIRS)
    comparisons = _closest_pair(comparisons)
    case, reason = _judge(comparisons)
    return AxisAgreement(record.axes[axis], record.units[axis], step, comparisons, case, reason)


def _closest_pair(comparisons: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
    """Of two pairs that agree where the third does not, let the closer one stand.

    Two errors just below the tolerance may add up to one above it.
    """
    disagree = [c for c in comparisons if c.agrees is False]
    agree = [c for c in comparisons if c.agrees]
    if len(disagree) != 1 or len(agree) != 2:
        return comparisons
    further = max(agree, key=lambda c: c.rms)
    words = "within the tolerance, but the third is not: the closer pair decides"
    changed = replace(further, agrees=False, faults=(words,), evidence=(*further.evidence, words))
    return tuple(changed if c is further else c for c in comparisons)


def _judge(comparisons: tuple[Comparison, ...]) -> tuple[str | None, str]:
    inconsistent = [c for c in comparisons if c.consistent is False]
    unknown = [c for c in comparisons if c.agrees is None]
    if unknown:
        names = {name for c in unknown for name in (c.first, c.second)}
        missing = names - {
            n for c in comparisons if c.agrees is not None for n in (c.first, c.second)
        }
        what = " and ".join(sorted(missing)) or "not enough"
        words = f"The {what} position is not known at enough stops to tell the case"
        if inconsistent:
            pairs = ", ".join(f"{c.first}-{c.second}" for c in inconsistent)
            return None, f"{words}; but it would be (f), for {pairs} is inconsistent."
        return None, f"{words}."
    if inconsistent:
        return "f", " ".join(map(_faults, inconsistent))
    case = _case([bool(c.agrees) for c in comparisons])
    words = "Consistent, and the same from both sides." if _both(comparisons) else (
        "Consistent, as far as one direction of approach can tell."
    )  # fmt: skip
    return case, " ".join([words, *(_faults(c) for c in comparisons if c.faults)])


def _faults(found: Comparison) -> str:
    return f"{found.first.capitalize()}–{found.second}: {', '.join(found.faults)}."


def _both(comparisons: tuple[Comparison, ...]) -> bool:
    return all(np.isfinite(c.direction_effect) for c in comparisons)


def _compare(
    record: StageRecord, axis: int, stops: NDArray[np.int64], pair: tuple[str, str], step: float,
    tolerance: float, rng: np.random.Generator,
) -> Comparison:  # fmt: skip
    found = _difference(record, axis, stops, pair)
    n = len(found.value)
    if n < _LEAST_STOPS:
        why = (f"both are known at {n} stops that were moved to, {_LEAST_STOPS} are needed",)
        empty = (None, None, np.nan, np.nan, 0, None, None, (), why)
        return Comparison(*pair, n, np.nan, *empty)
    relative = "actual" in pair
    rms = float(np.sqrt(np.mean((found.value - (found.value.mean() if relative else 0.0)) ** 2)))
    line, residual = fit_line(found)
    spread = repeat_spread(residual, found)
    effect, p, legs = direction_effect(residual, found, rng)
    unit, limit = record.units[axis], tolerance * step
    seconds = float(np.nanmedian(np.diff(found.time))) if np.isfinite(found.time).all() else np.nan
    off, straight = _accuracy(line, spread, tolerance, limit, unit)
    unsteady, steady = _consistency(line, spread, (effect, p, legs), seconds, limit, unit)
    evidence = (f"rms {_length(rms, unit)} at {n} stops", *straight, *steady)
    if not relative and abs(found.value.mean()) > max(limit, 3.0 * spread.value):
        evidence += (f"offset {_length(float(found.value.mean()), unit)} throughout, not judged",)
    judged = (effect, p, legs, not off, not unsteady, (*unsteady, *off), evidence)
    return Comparison(*pair, n, rms, line, spread, *judged)


def _accuracy(
    line: Line, spread: Spread, tolerance: float, limit: float, unit: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What counts against agreement, and the evidence."""
    faults = []
    interval = f"{100 * line.scale_low:+.2f}..{100 * line.scale_high:+.2f} %"
    words = [f"scale {100 * line.scale:+.2f} % ({interval})"]
    if abs(line.scale) > tolerance and line.scale_low * line.scale_high > 0.0:
        faults.append(f"scale off by {100 * line.scale:+.2f} %")
    elif max(-line.scale_low, line.scale_high) > tolerance:
        words.append("the interval reaches beyond the tolerance: more steps would tell")
    if spread.bend > limit and spread.bend_p < _BEND_LEVEL:
        faults.append(f"repeatably not straight by {_length(spread.bend, unit)} rms")
        words.append(faults[-1])
    return tuple(faults), tuple(words)


def _consistency(
    line: Line, spread: Spread, direction: tuple[float, float, int], seconds: float, limit: float,
    unit: str,
) -> tuple[tuple[str, ...], tuple[str, ...]]:  # fmt: skip
    """What counts against consistency, and the evidence."""
    effect, p, legs = direction
    faults = []
    interval = f"{_length(spread.low, unit)}..{_length(spread.high, unit)}"
    words = [f"spread {_length(spread.value, unit)} ({interval})"]
    if not spread.repeated:
        words.append("no place was visited again from the same side: all that is not straight")
    scattered = spread.low > limit
    if not scattered and spread.value > limit:
        words.append("the interval reaches below the tolerance: more repeats would tell")
        scattered = spread.value > 2.0 * limit
    if scattered:
        faults.append(f"scatters by {_length(spread.value, unit)}")
    if np.isnan(effect):
        words.append("one direction of approach only: hysteresis cannot be known")
    else:
        found = f"{_length(effect, unit)} (p {p:.2g}, {legs} legs)"
        words.append(f"direction effect {found}")
        if abs(effect) > limit and p < _DIRECTION_LEVEL:
            faults.append(f"depends on the direction of approach by {found}")
        elif abs(effect) > limit:
            words.append("too few legs to be sure of the direction effect")
    drifts = abs(line.drift) * seconds > limit and abs(line.drift) > _DRIFT_SIGMAS * (
        line.drift_stderr
    )
    if drifts:
        words.append(f"drift {_length(line.drift * 60.0, unit)} a minute")
        faults.append(f"drifts by {_length(line.drift * 60.0, unit)} a minute")
    return tuple(faults), tuple(words)


def _difference(
    record: StageRecord, axis: int, stops: NDArray[np.int64], pair: tuple[str, str]
) -> Difference:
    first, second = (getattr(record, name)[:, axis] for name in pair)
    relative = "actual" in pair
    leg = np.cumsum(np.abs(np.diff(record.direction[stops, axis], prepend=0)) > 0)
    origin = record.segment[stops] if relative else record.sequence[stops]
    leg += 10 * len(stops) * origin
    known = np.isfinite(first[stops]) & np.isfinite(second[stops])
    known &= record.direction[stops, axis] != 0
    if relative:  # a stop alone with its origin says nothing
        known &= np.bincount(origin - origin.min(), known)[origin - origin.min()] > 1
    stops, leg = stops[known], leg[known]
    segment = record.segment[stops] if relative else np.zeros(len(stops), dtype=np.int64)
    place = first[stops].copy()
    for one in np.unique(segment):
        place[segment == one] -= place[segment == one].mean()
    variance = record.measured_variance(axis)[stops] if relative else np.zeros(len(stops))
    return Difference(
        place=place,
        value=second[stops] - first[stops],
        variance=variance,
        time=record.time[stops],
        target=record.target[stops, axis],
        direction=record.direction[stops, axis],
        leg=leg,
        segment=segment,
    )


def _length(value: float, unit: str) -> str:
    return f"{1e3 * value:.3g} nm" if unit == "µm" else f"{1e3 * value:.3g} mdeg"
