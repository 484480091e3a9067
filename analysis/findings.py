"""The tables of what a stage run tells beyond its steps: verdict, stage model, drift.

Written by the live analysis and read back from its documents, so that what is shown later is what
was found. A column has one unit: axes in degrees have a table of verdicts of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._columns import integer, number, real, string
from ._evidence import Line, Spread
from .agreement import PAIRS, Agreement, AxisAgreement, Comparison
from .stage_drift import StageDrift
from .stage_model import AxisModel, Cell, Quantity, StageModel

__all__ = [
    "drift_from_rows",
    "drift_keys",
    "drift_row",
    "model_from_rows",
    "model_keys",
    "model_rows",
    "track_keys",
    "track_rows",
    "verdict_from_rows",
    "verdict_keys",
    "verdict_row",
]

_JUDGED = {True: "yes", False: "no", None: "unknown"}
_BETWEEN = "; "
_AXES = ("x", "y")
_IN_WORDS = {"axis", "measured", "source", "notes"}
_BOUNDS = tuple(field.name for field in fields(Quantity))
# Units of the quantities of a stage model that are no lengths.
_UNITS = {
    "reported_scale": "",
    "scale": "",
    "phases": "rad",
    "slip_memory": "",
    "creep": "",
    "drift": "µm/s",
    "crosstalk": "",
    "weight": "",
}


def verdict_keys(unit: str) -> dict[str, dict[str, Any]]:
    """Columns of the table of the verdicts on all axes of one unit."""
    pair = {
        "stops": integer(),
        "rms": number(unit, 4),
        "scale": number("", 5),
        "scale_low": number("", 5),
        "scale_high": number("", 5),
        "drift": number(f"{unit}/s", 6),
        "drift_stderr": number(f"{unit}/s", 6),
        "spread": number(unit, 4),
        "spread_low": number(unit, 4),
        "spread_high": number(unit, 4),
        "spread_repeated": string(),
        "bend": number(unit, 4),
        "bend_p": number("", 4),
        "direction_effect": number(unit, 4),
        "direction_p": number("", 4),
        "legs": integer(),
        "agrees": string(),
        "consistent": string(),
        "faults": string(),
        "evidence": string(),
    }
    return {
        "axis": string(),
        "case": string(),
        "reason": string(),
        "step": number(unit, 4),
        "tolerance": number("", 3),
        "stage_case": string(),
        **{_named(names, key): value for names in PAIRS for key, value in pair.items()},
    }


def verdict_row(verdict: Agreement, axis: AxisAgreement) -> dict[str, Any]:
    """One row of the table of verdicts."""
    return {
        "axis": axis.axis,
        "case": axis.case or "",
        "reason": axis.reason,
        "step": axis.step,
        "tolerance": verdict.tolerance,
        "stage_case": verdict.case or "",
        **{
            _named((found.first, found.second), key): value
            for found in axis.comparisons
            for key, value in _comparison_row(found).items()
        },
    }


def _comparison_row(found: Comparison) -> dict[str, Any]:
    nan, line, spread = float("nan"), found.line, found.spread
    of_line = [field.name for field in fields(Line)]
    return {
        "stops": found.stops,
        "rms": found.rms,
        **{name: nan if line is None else getattr(line, name) for name in of_line},
        "spread": nan if spread is None else spread.value,
        "spread_low": nan if spread is None else spread.low,
        "spread_high": nan if spread is None else spread.high,
        "spread_repeated": _JUDGED[None if spread is None else spread.repeated],
        "bend": nan if spread is None else spread.bend,
        "bend_p": nan if spread is None else spread.bend_p,
        "direction_effect": found.direction_effect,
        "direction_p": found.direction_p,
        "legs": found.legs,
        "agrees": _JUDGED[found.agrees],
        "consistent": _JUDGED[found.consistent],
        "faults": _BETWEEN.join(found.faults),
        "evidence": _BETWEEN.join(found.evidence),
    }


def verdict_from_rows(
    rows: Sequence[tuple[str, Mapping[str, Any]]], source: str
) -> Agreement | None:
    """Read the tables of verdicts back.

    Parameters
    ----------
    rows : sequence of (unit, mapping)
        In the order of the axes.
    source : str
        What was evaluated.
    """
    if not rows:
        return None
    axes = tuple(
        AxisAgreement(
            axis=str(row["axis"]),
            unit=unit,
            step=real(row, "step"),
            comparisons=tuple(_comparison(row, names) for names in PAIRS),
            case=row["case"] or None,
            reason=str(row["reason"]),
        )
        for unit, row in rows
    )
    whole = rows[0][1]
    return Agreement(source, real(whole, "tolerance"), axes, whole["stage_case"] or None)


def _comparison(row: Mapping[str, Any], names: tuple[str, str]) -> Comparison:
    def value(key: str) -> float:
        return real(row, _named(names, key))

    def judged(key: str) -> bool | None:
        return {word: judgement for judgement, word in _JUDGED.items()}[row[_named(names, key)]]

    line, spread, repeated = None, None, judged("spread_repeated")
    if np.isfinite(value("scale")):
        line = Line(**{field.name: value(field.name) for field in fields(Line)})
    if repeated is not None:
        spread = Spread(
            value("spread"),
            value("spread_low"),
            value("spread_high"),
            repeated,
            value("bend"),
            value("bend_p"),
        )
    return Comparison(
        *names,
        stops=int(row[_named(names, "stops")]),
        rms=value("rms"),
        line=line,
        spread=spread,
        direction_effect=value("direction_effect"),
        direction_p=value("direction_p"),
        legs=int(row[_named(names, "legs")]),
        agrees=judged("agrees"),
        consistent=judged("consistent"),
        faults=_apart(row[_named(names, "faults")]),
        evidence=_apart(row[_named(names, "evidence")]),
    )


def _apart(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(_BETWEEN) if part)


def _named(names: Sequence[str], key: str) -> str:
    return "_".join([*names, key])


def model_keys(model: StageModel) -> dict[str, dict[str, Any]]:
    """Columns of the table of a stage model: each quantity with its standard error and interval."""
    found: dict[str, dict[str, Any]] = {"axis": string()}
    for name in _quantities(model.axes[0]):
        unit = next((unit for stem, unit in _UNITS.items() if _is_of(name, stem)), "µm")
        found |= {key: number(unit, 6) for key in _bounds(name)}
    rest = {"measured": string(), "images": integer(), "good_for_hours": number("h", 1)}
    return {**found, **rest, "source": string(), "notes": string()}


def model_rows(model: StageModel) -> list[dict[str, Any]]:
    """One row an axis."""
    return [
        {
            "axis": axis.axis,
            **{
                key: getattr(quantity, bound)
                for name, quantity in _quantities(axis).items()
                for key, bound in zip(_bounds(name), _BOUNDS, strict=True)
            },
            "measured": model.measured.isoformat(),
            "images": model.images,
            "good_for_hours": model.good_for_hours,
            "source": model.source,
            "notes": _BETWEEN.join(model.notes),
        }
        for axis in model.axes
    ]


def model_from_rows(rows: Sequence[Mapping[str, Any]]) -> StageModel | None:
    """Read the table of a stage model back."""
    if not rows:
        return None
    whole = rows[0]
    return StageModel(
        axes=tuple(_axis_model(row) for row in rows),
        measured=datetime.fromisoformat(whole["measured"]),
        source=str(whole["source"]),
        images=int(whole["images"]),
        good_for_hours=real(whole, "good_for_hours"),
        notes=_apart(whole["notes"]),
    )


def _quantities(axis: AxisModel) -> dict[str, Quantity]:
    """Every quantity of an axis by the name of its column."""
    found: dict[str, Quantity] = {}
    for field in fields(AxisModel):
        value = getattr(axis, field.name)
        if field.name == "cells":
            for k, cell in enumerate(value, 1):
                found |= {f"cell_{k}_half_width": cell.half_width, f"cell_{k}_weight": cell.weight}
        elif isinstance(value, tuple):
            found |= {f"{field.name}_{k}": quantity for k, quantity in enumerate(value, 1)}
        elif field.name not in _IN_WORDS:
            found[field.name] = value
    return found


def _axis_model(row: Mapping[str, Any]) -> AxisModel:
    def quantity(name: str) -> Quantity:
        return Quantity(*(real(row, key) for key in _bounds(name)))

    def numbered(pattern: str) -> Iterable[str]:
        k = 1
        while pattern.format(k) in row:
            yield pattern.format(k).removesuffix("_half_width")
            k += 1

    values: dict[str, Any] = {"axis": str(row["axis"])}
    for field in fields(AxisModel):
        if field.name == "cells":
            values["cells"] = tuple(
                Cell(quantity(f"{cell}_half_width"), quantity(f"{cell}_weight"))
                for cell in numbered("cell_{}_half_width")
            )
        elif field.name in row and field.name not in _IN_WORDS:
            values[field.name] = quantity(field.name)
        elif field.name not in _IN_WORDS:
            values[field.name] = tuple(map(quantity, numbered(f"{field.name}_{{}}")))
    return AxisModel(**values)


def _bounds(name: str) -> tuple[str, ...]:
    """Columns of a quantity: value, standard error, lower and upper end."""
    return (name, *(f"{name}_{bound}" for bound in _BOUNDS[1:]))


def _is_of(name: str, stem: str) -> bool:
    return name in (stem, f"{stem}_1", f"{stem}_2") or name.endswith(f"_{stem}")


def drift_keys() -> dict[str, dict[str, Any]]:
    """Columns of the table of a drift: one row."""
    bounds = ("", "_stderr", "_low", "_high")
    return {
        **{f"velocity_{axis}{bound}": number("nm/s", 4) for axis in _AXES for bound in bounds},
        **{f"rms_{axis}": number("nm", 3) for axis in _AXES},
    }


def drift_row(drift: StageDrift) -> dict[str, Any]:
    """The row of a drift."""
    row: dict[str, Any] = {}
    for k, axis in enumerate(_AXES):
        row[f"velocity_{axis}"] = float(drift.velocity[k])
        row |= {f"velocity_{axis}_{n}": float(getattr(drift, n)[k]) for n in _BOUNDS[1:]}
    return row | {f"rms_{axis}": float(drift.rms[k]) for k, axis in enumerate(_AXES)}


def track_keys() -> dict[str, dict[str, Any]]:
    """Columns of the table of where the specimen was, a row an image."""
    return {"elapsed": number("s", 3), **{axis: number("nm", 3) for axis in _AXES}}


def track_rows(drift: StageDrift) -> list[dict[str, Any]]:
    """The rows of a track."""
    return [
        {"elapsed": float(elapsed), "x": float(x), "y": float(y)}
        for elapsed, (x, y) in zip(drift.elapsed, drift.track, strict=True)
    ]


def drift_from_rows(
    row: Mapping[str, Any] | None, track: Sequence[Mapping[str, Any]]
) -> StageDrift | None:
    """Read both tables of a drift back."""
    if row is None:
        return None

    def pair(stem: str, bound: str = "") -> NDArray[np.float64]:
        return np.array([real(row, f"{stem}_{axis}{bound}") for axis in _AXES])

    return StageDrift(
        velocity=pair("velocity"),
        stderr=pair("velocity", "_stderr"),
        low=pair("velocity", "_low"),
        high=pair("velocity", "_high"),
        rms=pair("rms"),
        elapsed=np.array([real(place, "elapsed") for place in track]),
        track=np.array([[real(place, axis) for axis in _AXES] for place in track]).reshape(-1, 2),
    )
