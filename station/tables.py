"""Tables for the terminal, and the same numbers for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from analysis.alignment import HysteresisResult
    from analysis.deficit import Deficit, Estimate
    from analysis.mosaic import MosaicResult
    from station.journal import RunSummary

__all__ = [
    "axis_in_words",
    "deficit_rows",
    "deficit_table",
    "in_words",
    "mosaic_row",
    "mosaic_rows",
    "mosaic_table",
    "run_row",
    "run_table",
]


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


def mosaic_rows(result: MosaicResult) -> list[tuple[str, str]]:
    """What a mosaic tells, a name and a value in words each.

    Parameters
    ----------
    result : MosaicResult
        Of an analysis.

    Returns
    -------
    list of (str, str)
        In nm.
    """
    pairs = result.pairs
    alone = int((~result.placed).sum())
    rows = [
        ("fields", f"{len(result.seq_num)}, {alone} of them placed by the stage alone"),
        (
            "pairs",
            f"{int(pairs.used.sum())} used, {int((~pairs.accepted).sum())} refused, "
            f"{int(pairs.left_out.sum())} contradicted by the others",
        ),
    ]
    for name, values in (
        ("actual − target", result.actual_minus_target),
        ("actual − reported", result.actual_minus_reported),
    ):
        known = 1e3 * values[result.placed]
        if len(known):
            spread = (
                f"{axis} {round(mean):+d} ± {round(deviation)} nm"
                for axis, mean, deviation in zip("xy", known.mean(0), known.std(0), strict=True)
            )
            rows.append((name, ", ".join(spread)))
    if pairs.used.any():
        rows.append(("pairs agree to", f"{1e3 * result.residual_rms:.2f} nm rms"))
    if result.loops:
        rows.append((f"{result.loops} loops close to", f"{1e3 * result.closure_rms:.2f} nm rms"))
    if result.montage is not None:
        size = " x ".join(map(str, result.montage.shape))
        rows.append(("montage", result.montage.reason or f"{result.montage.file}, {size} pixels"))
    return rows


def mosaic_table(result: MosaicResult) -> Table:
    """Write what a mosaic tells for the terminal; the pairs left out are named below.

    Parameters
    ----------
    result : MosaicResult
        Of an analysis.

    Returns
    -------
    rich.table.Table
        A row a quantity.
    """
    table = Table(title="Mosaic (mean ± spread over the fields)", show_header=False)
    for row in mosaic_rows(result):
        table.add_row(*row)
    if result.outliers:
        table.caption = "left out: " + "; ".join(result.outliers)
    return table


def mosaic_row(result: MosaicResult) -> dict[str, Any]:
    """The result of a mosaic for a script.

    Parameters
    ----------
    result : MosaicResult
        Of an analysis.

    Returns
    -------
    dict
        Positions in um; None for what is unknown.
    """
    montage = result.montage
    stderr = [[float(v) ** 0.5 for v in (c[0, 0], c[1, 1])] for c in result.covariance]
    return {
        "fields": [
            {
                "row": int(row),
                "column": int(column),
                "target": target.tolist(),
                "reported": reported.tolist(),
                "actual": actual.tolist(),
                "stderr": error,
                "group": int(group),
            }
            for (row, column), target, reported, actual, error, group in zip(
                result.grid,
                result.target,
                result.reported,
                result.actual,
                stderr,
                result.group,
                strict=True,
            )
        ],
        "unit": "um",
        "pairs": len(result.pairs.first),
        "pairs_used": int(result.pairs.used.sum()),
        "outliers": list(result.outliers),
        "residual_rms": _plain_number(result.residual_rms),
        "closure_rms": _plain_number(result.closure_rms),
        "montage": None if montage is None or not montage.file else montage.file,
    }


def _plain_number(value: float) -> float | None:
    return None if value != value else float(value)


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
