"""The tables of a hysteresis analysis run: which columns they have, written and read back.

One place knows the columns, so that what the live callback writes is what the report reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._columns import boolean, integer, number, string
from .deficit import Deficit
from .registration import Registration
from .steps import IMAGE_AXES, StepClass, Steps, classify

__all__ = [
    "Displacement",
    "Stop",
    "axis_units",
    "deficit_keys",
    "deficit_row",
    "displacement_keys",
    "displacement_row",
    "in_order",
    "steps_from_rows",
    "times_from_rows",
]

_COMMANDED = "target_displacement_"


def in_order(axes: Iterable[str]) -> tuple[str, ...]:
    """Axes of a run in the order of all tables: x and y, then the others by name.

    A catalog may give back a mapping in another order than it got it.
    """
    return (*IMAGE_AXES, *sorted(set(axes) - set(IMAGE_AXES)))


def displacement_keys(units: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Columns of the table of displacements.

    Parameters
    ----------
    units : mapping of str to str
        Unit of each axis of the run.
    """
    stems = ("target_", "reported_", _COMMANDED, "reported_displacement_")
    return {
        "raw_seq_num": integer(),
        "raw_seq_num_start": integer(),
        "raw_time": number("s", 6),
        "raw_time_start": number("s", 6),
        "axis": string(),
        "direction": integer(),
        "step_class": string(),
        **{stem + axis: number(unit, 4) for stem in stems for axis, unit in units.items()},
        **{f"actual_displacement_{axis}": number("µm", 4) for axis in IMAGE_AXES},
        **{f"actual_displacement_{axis}_stderr": number("µm", 5) for axis in IMAGE_AXES},
        "actual_displacement_xy_covariance": number("µm²", 9),
        "confidence": number("", 3),
        "overlap": number("", 3),
        "accepted": boolean(),
        "reason": string(),
    }


def axis_units(data_keys: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Unit of each axis, from the columns of a table of displacements."""
    axes = [key.removeprefix(_COMMANDED) for key in data_keys if key.startswith(_COMMANDED)]
    return {axis: str(data_keys[_COMMANDED + axis]["units"]) for axis in in_order(axes)}


def deficit_keys(unit: str) -> dict[str, dict[str, Any]]:
    """Columns of the table of the deficits of all axes of one unit."""
    return {
        "axis": string(),
        "direction": integer(),
        "steps": integer(),
        "first_steps": integer(),
        "later_steps": integer(),
        "unknown_steps": integer(),
        **{
            f"{quantity}_{key}": description
            for quantity in ("reported", "actual")
            for key, description in {
                "deficit": number(unit, 4),
                "deficit_stderr": number(unit, 4),
                "deficit_low": number(unit, 4),
                "deficit_high": number(unit, 4),
                "legs": integer(),
                "recovery_steps": integer(),
                "recovered": boolean(),
                "significant": boolean(),
                "note": string(),
            }.items()
        },
        "cross_displacement": number(unit, 4),
        "cross_displacement_stderr": number(unit, 4),
    }


@dataclass(frozen=True)
class Stop:
    """One stop of the stage: event number, time (s), target and reported position by axis.

    The time is that of the image, on the instrument's clock where the run records it.
    """

    seq_num: int
    time: float
    target: Mapping[str, float]
    reported: Mapping[str, float]


@dataclass(frozen=True)
class Displacement:
    """What the images say of one step: (x, y) um, covariance um², and the registration."""

    moved: NDArray[np.float64]
    covariance: NDArray[np.float64]
    registration: Registration


def displacement_row(
    before: Stop,
    after: Stop,
    found: Displacement,
    history: Mapping[str, tuple[int, StepClass]],
) -> dict[str, Any]:
    """One row of the table of displacements.

    Parameters
    ----------
    before, after : Stop
        Where the step began and ended.
    found : Displacement
        What the images say of it.
    history : mapping
        Direction and class of the step for each axis.
    """
    moving = [axis for axis, (direction, _) in history.items() if direction]
    classes = {history[axis][1] for axis in moving} or {StepClass.NONE}
    row: dict[str, Any] = {
        "raw_seq_num": after.seq_num,
        "raw_seq_num_start": before.seq_num,
        "raw_time": after.time,
        "raw_time_start": before.time,
        "axis": "+".join(moving) or "none",
        "direction": history[moving[0]][0] if len(moving) == 1 else 0,
        "step_class": str(classes.pop()) if len(classes) == 1 else "mixed",
    }
    for axis in history:
        row[f"target_{axis}"] = after.target[axis]
        row[f"reported_{axis}"] = after.reported[axis]
        row[_COMMANDED + axis] = after.target[axis] - before.target[axis]
        row[f"reported_displacement_{axis}"] = after.reported[axis] - before.reported[axis]
    stderr = np.sqrt(np.diag(found.covariance))
    for index, axis in enumerate(IMAGE_AXES):
        row[f"actual_displacement_{axis}"] = float(found.moved[index])
        row[f"actual_displacement_{axis}_stderr"] = float(stderr[index])
    row["actual_displacement_xy_covariance"] = float(found.covariance[0, 1])
    row["confidence"] = found.registration.confidence
    row["overlap"] = found.registration.overlap
    row["accepted"] = found.registration.accepted
    row["reason"] = found.registration.reason
    return row


def deficit_row(deficit: Deficit) -> dict[str, Any]:
    """One row of the table of deficits."""
    row: dict[str, Any] = {
        key: getattr(deficit, key)
        for key in (
            "axis",
            "direction",
            "steps",
            "first_steps",
            "later_steps",
            "unknown_steps",
            "cross_displacement",
        )
    }
    row["cross_displacement_stderr"] = deficit.cross_stderr
    for quantity, estimate in (("reported", deficit.reported), ("actual", deficit.actual)):
        row[f"{quantity}_deficit"] = estimate.value
        row[f"{quantity}_deficit_stderr"] = estimate.stderr
        row[f"{quantity}_deficit_low"] = estimate.low
        row[f"{quantity}_deficit_high"] = estimate.high
        for key in ("legs", "recovery_steps", "recovered", "significant", "note"):
            row[f"{quantity}_{key}"] = getattr(estimate, key)
    return row


def times_from_rows(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Read the times of the stops back, shape (n + 1,) s; NaN where a run of old has none."""
    times = [row.get("raw_time") for row in rows]
    times[:0] = [row.get("raw_time_start") for row in rows[:1]]
    return np.array([np.nan if time is None else time for time in times], dtype=float)


def steps_from_rows(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> Steps:
    """Read the table of displacements back.

    Parameters
    ----------
    rows : sequence of mapping
        In the order of time.
    units : mapping of str to str
        Unit of each axis of the table, as `axis_units` gives it.
    """

    def column(key: str) -> NDArray[np.float64]:
        # a table service may return what it holds as NaN as None
        return np.array([np.nan if row[key] is None else row[key] for row in rows], dtype=float)

    def columns(stem: str, axes: Iterable[str]) -> NDArray[np.float64]:
        return np.stack([column(f"{stem}_{axis}") for axis in axes], axis=-1)

    moved = columns("actual_displacement", IMAGE_AXES)
    accepted = np.array([bool(row["accepted"]) for row in rows], dtype=bool) & np.isfinite(
        moved
    ).all(axis=1)
    moved[~accepted] = np.nan
    covariance = np.empty((len(rows), 2, 2))
    covariance[:, 0, 0] = column("actual_displacement_x_stderr") ** 2
    covariance[:, 1, 1] = column("actual_displacement_y_stderr") ** 2
    covariance[:, 0, 1] = covariance[:, 1, 0] = column("actual_displacement_xy_covariance")
    commanded = columns("target_displacement", units)
    direction, step_class = classify(commanded)
    return Steps(
        axes=tuple(units),
        units=tuple(units.values()),
        seq_num=np.array(
            [(int(row["raw_seq_num_start"]), int(row["raw_seq_num"])) for row in rows],
            dtype=np.int64,
        ).reshape(-1, 2),
        target=columns("target", units),
        reported=columns("reported", units),
        target_displacement=commanded,
        reported_displacement=columns("reported_displacement", units),
        actual_displacement=moved,
        covariance=covariance,
        confidence=column("confidence"),
        accepted=accepted,
        reason=tuple(str(row["reason"]) for row in rows),
        direction=direction,
        step_class=step_class,
    )
