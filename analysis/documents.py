"""The tables of a hysteresis analysis run: which columns they have, written and read back.

One place knows the columns, so that what the live callback writes is what the report reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .deficit import Deficit
from .registration import Registration
from .steps import AXES, StepClass, Steps, classify

__all__ = [
    "DEFICIT_KEYS",
    "DISPLACEMENT_KEYS",
    "Displacement",
    "Stop",
    "deficit_row",
    "displacement_row",
    "steps_from_rows",
]

_PER_AXIS = ("_x", "_y")


def _number(units: str, precision: int) -> dict[str, Any]:
    return {
        "source": "analysis",
        "dtype": "number",
        "dtype_numpy": "<f8",
        "shape": [],
        "units": units,
        "precision": precision,
    }


def _integer() -> dict[str, Any]:
    return {"source": "analysis", "dtype": "integer", "dtype_numpy": "<i8", "shape": []}


def _boolean() -> dict[str, Any]:
    return {"source": "analysis", "dtype": "boolean", "dtype_numpy": "|b1", "shape": []}


def _string() -> dict[str, Any]:
    return {"source": "analysis", "dtype": "string", "shape": []}


def _both(stem: str, units: str = "µm", precision: int = 4) -> dict[str, dict[str, Any]]:
    return {stem + axis: _number(units, precision) for axis in _PER_AXIS}


DISPLACEMENT_KEYS: Mapping[str, Mapping[str, Any]] = {
    "raw_seq_num": _integer(),
    "raw_seq_num_start": _integer(),
    "axis": _string(),
    "direction": _integer(),
    "step_class": _string(),
    **_both("target"),
    **_both("reported"),
    **_both("target_displacement"),
    **_both("reported_displacement"),
    **_both("actual_displacement"),
    "actual_displacement_x_stderr": _number("µm", 5),
    "actual_displacement_y_stderr": _number("µm", 5),
    "actual_displacement_xy_covariance": _number("µm²", 9),
    "confidence": _number("", 3),
    "overlap": _number("", 3),
    "accepted": _boolean(),
    "reason": _string(),
}

DEFICIT_KEYS: Mapping[str, Mapping[str, Any]] = {
    "axis": _string(),
    "direction": _integer(),
    "steps": _integer(),
    "first_steps": _integer(),
    "later_steps": _integer(),
    "unknown_steps": _integer(),
    **{
        f"{quantity}_{key}": description
        for quantity in ("reported", "actual")
        for key, description in {
            "deficit": _number("µm", 4),
            "deficit_stderr": _number("µm", 4),
            "deficit_low": _number("µm", 4),
            "deficit_high": _number("µm", 4),
            "legs": _integer(),
            "recovery_steps": _integer(),
            "recovered": _boolean(),
            "significant": _boolean(),
            "note": _string(),
        }.items()
    },
    "cross_displacement": _number("µm", 4),
    "cross_displacement_stderr": _number("µm", 4),
}


@dataclass(frozen=True)
class Stop:
    """One stop of the stage: event number, and (x, y) target and reported position, um."""

    seq_num: int
    target: tuple[float, float]
    reported: tuple[float, float]


@dataclass(frozen=True)
class Displacement:
    """What the images say of one step: (x, y) um, covariance um², and the registration."""

    moved: np.ndarray[Any, np.dtype[np.float64]]
    covariance: np.ndarray[Any, np.dtype[np.float64]]
    registration: Registration


def displacement_row(
    before: Stop,
    after: Stop,
    found: Displacement,
    direction: tuple[int, int],
    step_class: tuple[StepClass, StepClass],
) -> dict[str, Any]:
    """One row of the table of displacements."""
    moving = [axis for axis in range(2) if direction[axis]]
    classes = {step_class[axis] for axis in moving} or {StepClass.NONE}
    row: dict[str, Any] = {
        "raw_seq_num": after.seq_num,
        "raw_seq_num_start": before.seq_num,
        "axis": "".join(AXES[axis] for axis in moving) or "none",
        "direction": direction[moving[0]] if len(moving) == 1 else 0,
        "step_class": str(classes.pop()) if len(classes) == 1 else "mixed",
    }
    stderr = np.sqrt(np.diag(found.covariance))
    for index, axis in enumerate(AXES):
        row[f"target_{axis}"] = after.target[index]
        row[f"reported_{axis}"] = after.reported[index]
        row[f"target_displacement_{axis}"] = after.target[index] - before.target[index]
        row[f"reported_displacement_{axis}"] = after.reported[index] - before.reported[index]
        row[f"actual_displacement_{axis}"] = float(found.moved[index])
        row[f"actual_displacement_{axis}_stderr"] = float(stderr[index])
    row["actual_displacement_xy_covariance"] = float(found.covariance[0, 1])
    row["confidence"] = found.registration.confidence
    row["overlap"] = found.registration.overlap
    row["accepted"] = found.registration.accepted
    row["reason"] = found.registration.reason
    return {key: row[key] for key in DISPLACEMENT_KEYS}


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
    return {key: row[key] for key in DEFICIT_KEYS}


def steps_from_rows(rows: Sequence[Mapping[str, Any]]) -> Steps:
    """Read the table of displacements back, in the order of time."""

    def column(key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        # a table service may return what it holds as NaN as None
        return np.array([np.nan if row[key] is None else row[key] for row in rows], dtype=float)

    def both(stem: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.stack([column(stem + axis) for axis in _PER_AXIS], axis=-1)

    moved = both("actual_displacement")
    accepted = np.array([bool(row["accepted"]) for row in rows], dtype=bool) & np.isfinite(
        moved
    ).all(axis=1)
    moved[~accepted] = np.nan
    covariance = np.empty((len(rows), 2, 2))
    covariance[:, 0, 0] = column("actual_displacement_x_stderr") ** 2
    covariance[:, 1, 1] = column("actual_displacement_y_stderr") ** 2
    covariance[:, 0, 1] = covariance[:, 1, 0] = column("actual_displacement_xy_covariance")
    commanded = both("target_displacement")
    direction, step_class = classify(commanded)
    return Steps(
        seq_num=np.array(
            [(int(row["raw_seq_num_start"]), int(row["raw_seq_num"])) for row in rows],
            dtype=np.int64,
        ).reshape(-1, 2),
        target=both("target"),
        reported=both("reported"),
        target_displacement=commanded,
        reported_displacement=both("reported_displacement"),
        actual_displacement=moved,
        covariance=covariance,
        confidence=column("confidence"),
        accepted=accepted,
        reason=tuple(str(row["reason"]) for row in rows),
        direction=direction,
        step_class=step_class,
    )
