"""Each step of a stage run and its place in the commanded history of its axis.

The axes of a run are x and y, whose actual displacements the images show, then all others that it
records, of which the stage's own word is all there is. Positions are in micrometres or degrees,
as `Steps.units` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "IMAGE_AXES",
    "AxisHistory",
    "StepClass",
    "Steps",
    "classify",
    "legs",
    "steps_from_stops",
]

IMAGE_AXES = ("x", "y")
# Targets closer than this (um or deg) are the same target: far below any encoder, far above
# rounding.
_SAME_TARGET = 1e-4


class StepClass(StrEnum):
    """Where a step stands in the commanded history of its axis."""

    FIRST = "first after reversal"
    LATER = "later"
    UNKNOWN = "unknown history"
    NONE = "no step"


@dataclass
class AxisHistory:
    """What the commands to one axis say about its backlash.

    Before the first reversal nobody knows where the axis stands in its play: the steps up to it
    have an unknown history. From then on a step against the one before it is the first after a
    reversal, any other is a later one, whatever happened to the other axes in between.
    """

    direction: int = 0
    reversed_once: bool = False

    def advance(self, displacement: float) -> tuple[int, StepClass]:
        """Take the commanded displacement (um or deg) of one step; return direction and class."""
        if not abs(displacement) > _SAME_TARGET:
            return 0, StepClass.NONE
        direction = 1 if displacement > 0 else -1
        turned = direction == -self.direction
        self.direction = direction
        self.reversed_once = self.reversed_once or turned
        if turned:
            return direction, StepClass.FIRST
        return direction, StepClass.LATER if self.reversed_once else StepClass.UNKNOWN


@dataclass(frozen=True)
class Steps:
    """The steps of a run of k axes, one row a pair of consecutive stops.

    Parameters
    ----------
    axes : tuple of str, length k
        x, y, and what else the run records.
    units : tuple of str, length k
        Unit of each axis, µm or deg.
    seq_num : ndarray of int, shape (n, 2)
        Event numbers of the stops at which each step began and ended.
    target, reported : ndarray, shape (n, k)
        Positions at the end of the step, in `units`.
    target_displacement, reported_displacement : ndarray, shape (n, k)
        In `units`.
    actual_displacement : ndarray, shape (n, 2)
        Of x and y from the images, µm; NaN where the registration was refused.
    covariance : ndarray, shape (n, 2, 2)
        Of the actual displacement, µm².
    confidence : ndarray, shape (n,)
    accepted : ndarray of bool, shape (n,)
        Whether the registration may be used.
    reason : tuple of str
        Why each registration was accepted or refused.
    direction : ndarray of int, shape (n, k)
        -1, 0, +1 for each axis.
    step_class : tuple of tuple of StepClass, n by k
        For each axis.
    """

    axes: tuple[str, ...]
    units: tuple[str, ...]
    seq_num: NDArray[np.int64]
    target: NDArray[np.float64]
    reported: NDArray[np.float64]
    target_displacement: NDArray[np.float64]
    reported_displacement: NDArray[np.float64]
    actual_displacement: NDArray[np.float64]
    covariance: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reason: tuple[str, ...]
    direction: NDArray[np.int64]
    step_class: tuple[tuple[StepClass, ...], ...]

    def __len__(self) -> int:
        return len(self.seq_num)

    def of_axis(self, axis: int) -> NDArray[np.int64]:
        """Rows of the steps that move this axis (by its place in `axes`) and no other."""
        alone = np.count_nonzero(self.direction, axis=1) == 1
        return np.flatnonzero(alone & (self.direction[:, axis] != 0))


def steps_from_stops(
    target: NDArray[Any],
    reported: NDArray[Any],
    displacement: NDArray[Any],
    covariance: NDArray[Any],
    *,
    accepted: Sequence[bool] | NDArray[Any] | None = None,
    seq_num: Sequence[int] | NDArray[Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> Steps:
    """Make the table of steps from that of the stops.

    Parameters
    ----------
    target, reported : array_like, shape (n + 1, k)
        Positions at the stops in order of time, x and y (µm) first.
    displacement : array_like, shape (n, 2)
        Of x and y from the images, µm.
    covariance : array_like, shape (n, 2, 2)
        Of `displacement`, um².
    accepted : array_like of bool, shape (n,), optional
        Registrations that may be used; all that are finite if not given.
    seq_num : array_like of int, shape (n + 1,), optional
        Event numbers of the stops; 1, 2, ... if not given.
    units : mapping of str to str, optional
        Unit of each of the k axes, in their order; x and y in µm if not given.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    target, reported = (np.asarray(a, dtype=float) for a in (target, reported))
    moved = np.array(displacement, dtype=float)
    spread = np.asarray(covariance, dtype=float)
    units = dict.fromkeys(IMAGE_AXES, "µm") if units is None else units
    n, k = len(moved), len(units)
    shapes = (target.shape, reported.shape, moved.shape, spread.shape)
    if shapes != ((n + 1, k), (n + 1, k), (n, 2), (n, 2, 2)):
        raise ValueError(
            f"target, reported, displacement and covariance have shapes {shapes}, "
            f"must be (n + 1, {k}), (n + 1, {k}), (n, 2) and (n, 2, 2)"
        )
    usable = np.isfinite(moved[:, 0]) & np.isfinite(moved[:, 1])
    if accepted is not None:
        usable &= np.asarray(accepted, dtype=bool)
    moved[~usable] = np.nan
    numbers = np.arange(1, n + 2) if seq_num is None else np.asarray(seq_num, dtype=np.int64)
    steps = np.diff(target, axis=0)
    direction, classes = classify(steps)
    return Steps(
        axes=tuple(units),
        units=tuple(units.values()),
        seq_num=np.stack([numbers[:-1], numbers[1:]], axis=1).astype(np.int64),
        target=target[1:],
        reported=reported[1:],
        target_displacement=steps,
        reported_displacement=np.diff(reported, axis=0),
        actual_displacement=moved,
        covariance=spread,
        confidence=usable.astype(float),
        accepted=usable,
        reason=tuple("" if ok else "refused" for ok in usable),
        direction=direction,
        step_class=classes,
    )


def classify(
    displacement: NDArray[np.float64],
) -> tuple[NDArray[np.int64], tuple[tuple[StepClass, ...], ...]]:
    """Directions and classes of steps from their commanded displacements.

    Parameters
    ----------
    displacement : ndarray, shape (n, k)
        In the units of the k axes, µm or deg.

    Returns
    -------
    direction : ndarray of int, shape (n, k)
    step_class : tuple of tuple of StepClass, n by k
    """
    histories = [AxisHistory() for _ in range(displacement.shape[1])]
    directions, classes = np.zeros(displacement.shape, dtype=np.int64), []
    for row, step in enumerate(displacement):
        found = [h.advance(float(d)) for h, d in zip(histories, step, strict=True)]
        directions[row] = [direction for direction, _ in found]
        classes.append(tuple(step_class for _, step_class in found))
    return directions, tuple(classes)


def legs(steps: Steps, axis: int, direction: int) -> list[NDArray[np.int64]]:
    """Rows of each run of steps of one axis in one direction that begins with a reversal.

    Steps of other axes in between do not end a leg; a step of several axes at once does, for
    nobody can tell what it did to each.
    """
    found: list[list[int]] = []
    open_leg = False
    for row in range(len(steps)):
        if steps.direction[row, axis] == 0:
            continue
        if np.count_nonzero(steps.direction[row]) > 1:
            open_leg = False
            continue
        if steps.direction[row, axis] != direction:
            open_leg = False
            continue
        if steps.step_class[row][axis] is StepClass.FIRST:
            found.append([])
            open_leg = True
        if open_leg:
            found[-1].append(row)
    return [np.array(rows, dtype=np.int64) for rows in found]
