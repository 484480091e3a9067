"""What a stage run found, in words, tables and JSON: verdict, way back, model, drift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from analysis.agreement import Agreement, AxisAgreement, Comparison
    from analysis.alignment import HysteresisResult
    from analysis.closure import Closure
    from analysis.stage_drift import StageDrift
    from analysis.stage_model import AxisModel, Quantity, StageModel

__all__ = [
    "closure_name",
    "closure_table",
    "closure_words",
    "closures_of",
    "drift_table",
    "evidence_rows",
    "model_rows",
    "model_table",
    "model_words",
    "plain",
    "stage_row",
    "verdict_sentence",
    "verdict_table",
]

_JUDGED = {True: "agree", False: "disagree", None: "unknown"}
# What of an axis model is shown, in its unit: name, attribute, factor, unit, decimals.
_SHOWN = (
    ("scale", "scale", 1.0, "", 4),
    ("scale of the reported position", "reported_scale", 1.0, "", 4),
    ("play before the sensor", "reported_play", 1e3, "nm", 0),
    ("play behind the sensor", "play", 1e3, "nm", 0),
    ("backlash, all together", "backlash", 1e3, "nm", 0),
    ("period of the screw", "period", 1.0, "µm", 2),
    ("slip of a full move", "repeatability", 1e3, "nm", 0),
    ("creep, part of a move", "creep", 100.0, "%", 1),
    ("drift", "drift", 1e3, "nm/s", 3),
    ("cross-talk", "crosstalk", 100.0, "%", 3),
)


def verdict_sentence(axis: AxisAgreement) -> str:
    """The verdict on an axis in a sentence."""
    from analysis.agreement import CASES

    if axis.case is None:
        return f"{axis.axis}: the case cannot be told. {axis.reason}"
    return f"{axis.axis}: case ({axis.case}), {CASES[axis.case]}. {axis.reason}"


def verdict_table(verdict: Agreement) -> Table:
    """Do target, reported and actual position agree? A row an axis.

    Parameters
    ----------
    verdict : Agreement
        Of an analysis.

    Returns
    -------
    rich.table.Table
        Root mean square difference of each pair, and whether it counts.
    """
    tolerance = f"errors up to {100 * verdict.tolerance:g} % of a step pass"
    table = Table(title=f"Do the three positions agree? ({tolerance})")
    table.add_column("axis")
    table.add_column("case")
    for first, second in _pairs(verdict):
        table.add_column(f"{first} – {second}")
    for axis in verdict.axes:
        pairs = (_pair_in_words(found, axis.unit) for found in axis.comparisons)
        table.add_row(axis.axis, f"({axis.case})" if axis.case else "?", *pairs)
    table.caption, table.caption_justify = "\n".join(map(verdict_sentence, verdict.axes)), "left"
    return table


def evidence_rows(axis: AxisAgreement) -> list[tuple[str, str, str]]:
    """What the verdict on an axis rests on: the pair, the judgement and the evidence."""
    return [
        (f"{found.first} – {found.second}", _judgement(found), "; ".join(found.evidence))
        for found in axis.comparisons
    ]


def _pairs(verdict: Agreement) -> list[tuple[str, str]]:
    return [(found.first, found.second) for found in verdict.axes[0].comparisons]


def _judgement(found: Comparison) -> str:
    return "inconsistent" if found.consistent is False else _JUDGED[found.agrees]


def _pair_in_words(found: Comparison, unit: str) -> str:
    shown = "nm" if unit == "µm" else f"m{unit}"
    rms = "" if math.isnan(found.rms) else f", rms {1e3 * found.rms:.3g} {shown}"
    return _judgement(found) + rms


def closures_of(result: HysteresisResult) -> tuple[Closure, ...]:
    """The excursions of a run that moved two axes in turn; see `analysis.closure`."""
    from analysis.closure import closures

    return () if result.model is not None or result.drift is not None else closures(result)


def closure_table(found: tuple[Closure, ...]) -> Table:
    """What is left after each excursion, a row each.

    Parameters
    ----------
    found : tuple of Closure
        Of a cross-axis run.

    Returns
    -------
    rich.table.Table
        In nm, with standard errors.
    """
    table = Table(title="Out and back: last less first position (nm)")
    for name in ("direction", "actual x", "actual y", "reported x", "reported y"):
        table.add_column(name, justify="left" if name == "direction" else "right")
    for closure in found:
        actual = [
            f"{1e3 * value:+.0f} ± {1e3 * error:.1f}"
            for value, error in zip(closure.actual, closure.stderr, strict=True)
        ]
        reported = [f"{1e3 * value:+.0f}" for value in closure.reported]
        table.add_row(closure_name(closure), *actual, *reported)
    return table


def closure_name(closure: Closure) -> str:
    """Axis and direction of an excursion, as ``+x``."""
    return f"{'+' if closure.direction > 0 else '−'}{closure.axis}"


def closure_words(closure: Closure) -> tuple[str, str]:
    """What an excursion left of the actual and of the reported position."""
    names = ("x", "y")
    actual = ", ".join(
        f"{name} {1e3 * value:+.0f} ± {1e3 * error:.1f} nm"
        for name, value, error in zip(names, closure.actual, closure.stderr, strict=True)
    )
    reported = ", ".join(
        f"{name} {1e3 * value:+.0f} nm" for name, value in zip(names, closure.reported, strict=True)
    )
    return actual, reported


def model_rows(model: StageModel) -> list[tuple[str, list[str]]]:
    """The quantities of a model in words: name, and value with 95 % interval for each axis."""
    rows = [
        (name, [_in_words(getattr(axis, key), factor, unit, digits) for axis in model.axes])
        for name, key, factor, unit, digits in _SHOWN
    ]
    for k, harmonic in enumerate(("screw, first harmonic", "screw, second harmonic")):
        words = [_in_words(axis.amplitudes[k], 1e3, "nm", 0) for axis in model.axes]
        rows.append((harmonic, words))
    most = max(len(axis.cells) for axis in model.axes)
    rows += [(f"cell {k + 1}", [_cell(axis, k) for axis in model.axes]) for k in range(most)]
    return rows


def _cell(axis: AxisModel, k: int) -> str:
    if k >= len(axis.cells):
        return ""
    cell = axis.cells[k]
    width = _in_words(cell.half_width, 2e3, "nm wide", 0)
    return f"{width}, {100 * cell.weight.value:.0f} % of the way"


def _in_words(quantity: Quantity, factor: float, unit: str, digits: int) -> str:
    if math.isnan(quantity.value):
        return "not seen"
    value, low, high = (
        f"{factor * number:.{digits}f}" for number in (quantity.value, quantity.low, quantity.high)
    )
    return f"{value} [{low}, {high}] {unit}".rstrip()


def model_table(model: StageModel) -> Table:
    """A stage model for the terminal.

    Parameters
    ----------
    model : StageModel
        Of a characterisation.

    Returns
    -------
    rich.table.Table
        With 95 % intervals.
    """
    table = Table(title="Model of the stage, 95 % intervals")
    table.add_column("")
    for axis in model.axes:
        table.add_column(axis.axis)
    for name, words in model_rows(model):
        table.add_row(name, *words)
    table.caption, table.caption_justify = "\n".join([model_words(model), *model.notes]), "left"
    return table


def model_words(model: StageModel) -> str:
    """Where a model comes from, and how long it is good for."""
    until = model.measured + timedelta(hours=model.good_for_hours)
    return (
        f"measured {model.measured:%Y-%m-%d %H:%M %Z} from {model.images} images; measure again "
        f"after {until:%Y-%m-%d %H:%M}, or when the holder was exchanged"
    )


def drift_table(drift: StageDrift) -> Table:
    """A drift for the terminal.

    Parameters
    ----------
    drift : StageDrift
        Of a run at rest.

    Returns
    -------
    rich.table.Table
        In nm/s, with 95 % intervals.
    """
    table = Table(title=f"Drift over {drift.elapsed[-1]:.0f} s: {drift.speed:.3f} nm/s")
    for name in ("axis", "velocity (nm/s)", "95 % interval", "rms about the line (nm)"):
        table.add_column(name, justify="left" if name == "axis" else "right")
    for k, axis in enumerate("xy"):
        table.add_row(
            axis,
            f"{drift.velocity[k]:+.3f} ± {drift.stderr[k]:.3f}",
            f"[{drift.low[k]:+.3f}, {drift.high[k]:+.3f}]",
            f"{drift.rms[k]:.2f}",
        )
    return table


def stage_row(result: HysteresisResult) -> dict[str, Any]:
    """Verdict, way back, model and drift of a run for a script; None for what there is not.

    Parameters
    ----------
    result : HysteresisResult
        Of an analysis.

    Returns
    -------
    dict
        JSON-able, in µm and degrees, the drift in nm/s.
    """
    from dataclasses import asdict

    model, drift = result.model, result.drift
    closed = [
        {
            "axis": closure.axis,
            "direction": closure.direction,
            "actual": closure.actual.tolist(),
            "stderr": closure.stderr.tolist(),
            "reported": closure.reported.tolist(),
        }
        for closure in closures_of(result)
    ]
    return plain(
        {
            "verdict": None if result.verdict is None else _verdict_row(result.verdict),
            "closures": closed,
            "model": None if model is None else asdict(model) | {"measured": str(model.measured)},
            "drift": None if drift is None else _drift_row(drift),
            "note": result.note,
        }
    )


def _verdict_row(verdict: Agreement) -> dict[str, Any]:
    from dataclasses import asdict

    axes = [asdict(axis) | {"unit": axis.unit.replace("µ", "u")} for axis in verdict.axes]
    return {"case": verdict.case, "tolerance": verdict.tolerance, "axes": axes}


def _drift_row(drift: StageDrift) -> dict[str, Any]:
    names = ("velocity", "stderr", "low", "high", "rms", "elapsed", "track")
    return {name: getattr(drift, name).tolist() for name in names}


def plain(value: Any) -> Any:
    """What JSON can say: tuples as lists, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
