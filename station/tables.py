"""Tables for the terminal, and the same numbers for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from analysis.alignment import HysteresisResult
    from analysis.deficit import Deficit, Estimate
    from station.journal import RunSummary

__all__ = ["axis_in_words", "deficit_rows", "deficit_table", "in_words", "run_row", "run_table"]


def in_words(estimate: Estimate, unit: str) -> str:
    """Write an estimate with its 95 % confidence interval: lengths in nm, angles in degrees."""
    if estimate.value != estimate.value:
        return f"unknown ({estimate.note})" if estimate.note else "unknown"
    shown, factor, digits = ("nm", 1e3, 0) if unit == "µm" else (unit, 1.0, 4)
    value, low, high = (
        f"{factor * number:+.{digits}f}" for number in (estimate.value, estimate.low, estimate.high)
    )
    text = f"{value} {shown}"
    if estimate.low == estimate.low:
        text += f" [{low}, {high}]"
    return text if estimate.recovered else f"≥ {text}"


def deficit_table(result: HysteresisResult) -> Table:
    """First-step deficits, a row an axis and direction.

    Parameters
    ----------
    result : HysteresisResult
        Of an analysis.

    Returns
    -------
    rich.table.Table
        In nm and degrees, with 95 % confidence intervals.
    """
    table = Table(title="First-step deficit after a reversal, 95 % confidence interval")
    table.add_column("axis")
    for name in ("actual (images)", "reported (stage)"):
        table.add_column(name, justify="right")
    table.add_column("reversals", justify="right")
    for deficit in result.deficits:
        table.add_row(
            axis_in_words(deficit),
            in_words(deficit.actual, deficit.unit),
            in_words(deficit.reported, deficit.unit),
            str(max(deficit.actual.legs, deficit.reported.legs)),
        )
    if not result.deficits:
        table.caption = "no step of one axis alone"
    return table


def axis_in_words(deficit: Deficit) -> str:
    """Write axis and direction, as ``+x``."""
    return f"{'+' if deficit.direction > 0 else '−'}{deficit.axis}"


def deficit_rows(result: HysteresisResult) -> list[dict[str, Any]]:
    """The deficits for a script.

    Parameters
    ----------
    result : HysteresisResult
        Of an analysis.

    Returns
    -------
    list of dict
        In ``unit``, um or deg; None for what is unknown.
    """
    return [
        {
            "axis": deficit.axis,
            "direction": deficit.direction,
            "actual": _plain(deficit.actual, deficit.unit),
            "reported": _plain(deficit.reported, deficit.unit),
        }
        for deficit in result.deficits
    ]


def _plain(estimate: Estimate, unit: str) -> dict[str, Any]:
    numbers = {
        name: None if (value := float(getattr(estimate, name))) != value else value
        for name in ("value", "stderr", "low", "high")
    }
    plain_unit = "um" if unit == "µm" else unit
    return {**numbers, "unit": plain_unit, "legs": estimate.legs, "recovered": estimate.recovered}


def run_row(run: RunSummary) -> dict[str, Any]:
    """A run for a script.

    Parameters
    ----------
    run : RunSummary
        Of the journal.

    Returns
    -------
    dict
        JSON-able.
    """
    return {
        "uid": run.uid,
        "scan_id": run.scan_id,
        "time": run.time,
        "plan_name": run.plan_name,
        "purpose": run.purpose,
        "raw_uid": run.raw_uid,
        "exit_status": run.exit_status,
        "reason": (run.stop or {}).get("reason", ""),
        "duration": run.duration,
        "num_events": dict(run.num_events),
        "problem": run.problem,
    }


def run_table(runs: Sequence[RunSummary]) -> Table:
    """Runs, a row each.

    Parameters
    ----------
    runs : sequence of RunSummary
        In the order to be shown.

    Returns
    -------
    rich.table.Table
        For the terminal.
    """
    table = Table()
    for name in ("scan", "uid", "started", "plan", "ended", "s", "events"):
        right = name in ("scan", "s", "events")
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "started")
    for run in sorted(runs, key=lambda run: (run.time, run.purpose == "analysis")):
        table.add_row(
            "" if run.scan_id is None else str(run.scan_id),
            run.uid[:8],
            f"{datetime.fromtimestamp(run.time):%Y-%m-%d %H:%M:%S}",
            run.plan_name if run.purpose == "raw" else f"analysis: {run.plan_name}",
            run.problem or run.exit_status or "unfinished",
            "" if run.duration is None else f"{run.duration:.1f}",
            str(sum(run.num_events.values())) if run.num_events else "",
        )
    return table
