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

__all__ = ["deficit_rows", "deficit_table", "in_nm", "run_row", "run_table"]


def in_nm(estimate: Estimate) -> str:
    """Write an estimate in nm with its 95 % confidence interval."""
    if estimate.value != estimate.value:
        return f"unknown ({estimate.note})" if estimate.note else "unknown"
    text = f"{1e3 * estimate.value:+.0f} nm"
    if estimate.low == estimate.low:
        text += f" [{1e3 * estimate.low:+.0f}, {1e3 * estimate.high:+.0f}]"
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
        In nm, with 95 % confidence intervals.
    """
    table = Table(title="First-step deficit after a reversal, 95 % confidence interval")
    table.add_column("axis")
    for name in ("actual (images)", "reported (stage)"):
        table.add_column(name, justify="right")
    table.add_column("reversals", justify="right")
    for deficit in result.deficits:
        table.add_row(
            _axis(deficit),
            in_nm(deficit.actual),
            in_nm(deficit.reported),
            str(deficit.actual.legs),
        )
    if not result.deficits:
        table.caption = "no steps along x or y: images tell the actual position of these axes only"
    return table


def _axis(deficit: Deficit) -> str:
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
        Lengths in µm; None for what is unknown.
    """
    return [
        {
            "axis": deficit.axis,
            "direction": deficit.direction,
            "actual": _plain(deficit.actual),
            "reported": _plain(deficit.reported),
        }
        for deficit in result.deficits
    ]


def _plain(estimate: Estimate) -> dict[str, Any]:
    numbers = {
        name: None if (value := float(getattr(estimate, name))) != value else value
        for name in ("value", "stderr", "low", "high")
    }
    return {**numbers, "unit": "um", "legs": estimate.legs, "recovered": estimate.recovered}


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
