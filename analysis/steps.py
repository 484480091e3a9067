"""Each step of a stage run and its place in the commanded history of its axis.

Positions are in micrometres; arrays hold (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "AxisHistory", "StepClass", "Steps", "classify", "legs", "steps_from_stops"]

AXES = ("x", "y")
# Targets closer than this are the same target: far below any encoder, far above rounding.
SAME_TARGET_UM = 1e-4


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
        """Take the commanded displacement (um) of one step; return its direction and class."""
        if not abs(displacement) > SAME_TARGET_UM:
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
    """The steps of a run, one row a pair of consecutive stops.

    Parameters
    ----------
    seq_num : ndarray of int, shape (n, 2)
        Event numbers of the stops at which each step began and ended.
    target, reported : ndarray, shape (n, 2)
        Positions at the end of the step, um.
    target_displacement, reported_displacement, actual_displacement : ndarray, shape (n, 2)
        um; the actual one from the images, NaN where the registration was refused.
    covariance : ndarray, shape (n, 2, 2)
        Of the actual displacement, um².
    confidence : ndarray, shape (n,)
    accepted : ndarray of bool, shape (n,)
        Whether the registration may be used.
    reason : tuple of str
        Why each registration was accepted or refused.
    direction : ndarray of int, shape (n, 2)
        -1, 0, +1 for each axis.
    step_class : tuple of (StepClass, StepClass)
        For each axis.
    """

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
    step_class: tuple[tuple[StepClass, StepClass], ...]

    def __len__(self) -> int:
        return len(self.seq_num)

    def of_axis(self, axis: int) -> NDArray[np.int64]:
        """Rows of the steps that move this axis (0 x, 1 y) and no other."""
        alone = (self.direction[:, axis] != 0) & (self.direction[:, 1 - axis] == 0)
        return np.flatnonzero(alone)


def steps_from_stops(
    target: NDArray[Any],
    reported: NDArray[Any],
    displacement: NDArray[Any],
    covariance: NDArray[Any],
    *,
    accepted: Sequence[bool] | NDArray[Any] | None = None,
    seq_num: Sequence[int] | NDArray[Any] | None = None,
) -> Steps:
    """Make the table of steps from that of the stops.

    Parameters
    ----------
    target, reported : array_like, shape (n + 1, 2)
        (x, y) of the stops in order of time, um.
    displacement : array_like, shape (n, 2)
        From the images, um.
    covariance : array_like, shape (n, 2, 2)
        Of `displacement`, um².
    accepted : array_like of bool, shape (n,), optional
        Registrations that may be used; all that are finite if not given.
    seq_num : array_like of int, shape (n + 1,), optional
        Event numbers of the stops; 1, 2, ... if not given.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    target, reported = (np.asarray(a, dtype=float) for a in (target, reported))
    moved = np.array(displacement, dtype=float)
    spread = np.asarray(covariance, dtype=float)
    n = len(moved)
    shapes = (target.shape, reported.shape, moved.shape, spread.shape)
    if shapes != ((n + 1, 2), (n + 1, 2), (n, 2), (n, 2, 2)):
        raise ValueError(
            f"target, reported, displacement and covariance have shapes {shapes}, "
            "must be (n + 1, 2), (n + 1, 2), (n, 2) and (n, 2, 2)"
        )
    usable = np.isfinite(moved[:, 0]) & np.isfinite(moved[:, 1])
    if accepted is not None:
        usable &= np.asarray(accepted, dtype=bool)
    moved[~usable] = np.nan
    numbers = np.arange(1, n + 2) if seq_num is None else np.asarray(seq_num, dtype=np.int64)
    steps = np.diff(target, axis=0)
    direction, classes = classify(steps)
    return Steps(
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
) -> tuple[NDArray[np.int64], tuple[tuple[StepClass, StepClass], ...]]:
    """Directions and classes of steps from their commanded displacements, shape (n, 2), um."""
    histories = (AxisHistory(), AxisHistory())
    directions, classes = [], []
    for step in displacement:
        x, y = (h.advance(float(d)) for h, d in zip(histories, step, strict=True))
        directions.append((x[0], y[0]))
        classes.append((x[1], y[1]))
    return np.array(directions, dtype=np.int64).reshape(-1, 2), tuple(classes)


def legs(steps: Steps, axis: int, direction: int) -> list[NDArray[np.int64]]:
    """Rows of each run of steps of one axis in one direction that begins with a reversal.

    Steps of the other axis in between do not end a leg; a step of both axes at once does, for
    nobody can tell what it did to either.
    """
    found: list[list[int]] = []
    open_leg = False
    for row in range(len(steps)):
        if steps.direction[row, axis] == 0:
            continue
        if steps.direction[row, 1 - axis] != 0:
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
