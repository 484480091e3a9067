"""What is said of forces found from intermodulation spectra: tables, rows and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from analysis.intermodulation.results import IntermodulationResult, PixelCurve

__all__ = ["force_row", "force_table", "map_lines"]

_NANO, _GIGA, _MICRO = 1e9, 1e-9, 1e6
# Quantities of a map in the units of people: name, column, unit, factor.
_QUANTITIES = (
    ("adhesion", "adhesion", "nN", _NANO),
    ("modulus", "modulus", "GPa", _GIGA),
    ("damping at the surface", "damping", "µN s/m", _MICRO),
    ("topography", "topography", "nm", _NANO),
)


def force_table(result: IntermodulationResult) -> RenderableType:
    """Force curves, fields, and what a map shows, for the terminal.

    Parameters
    ----------
    result : IntermodulationResult
        Of an analysis.

    Returns
    -------
    rich.console.RenderableType
    """
    shown: list[RenderableType] = []
    if result.maps:
        valid = sum(found.curve.verdict.ok for found in result.curves)
        shown.append(f"{valid} of {len(result.curves)} force curves of no given form are valid")
    elif result.curves:
        shown.append(_curve_table(result))
        shown += [
            f"event {found.seq_num}: {reason}"
            for found in result.curves
            for reason in found.curve.verdict.reasons
        ]
    shown += [f"force field of event {field.seq_num}: {words}" for field, words in _fields(result)]
    if result.maps:
        shown.append(_map_table(result))
    if not shown:
        shown.append(f"{len(result.spectra)} spectra, none of them engaged")
    if result.note:
        shown.append(result.note)
    return Group(*shown)


def _curve_table(result: IntermodulationResult) -> Table:
    table = Table(title="Force curves")
    for name in ("event", "pixel", "depth (nm)", "adhesion (nN)", "largest damping (µN s/m)"):
        table.add_column(name, justify="right")
    table.add_column("valid")
    for found in result.curves:
        pixel = "mean" if found.pixel < 0 else str(found.pixel)
        valid = "yes" if found.curve.verdict.ok else "no"
        numbers = (f"{value:.3g}" for value in _key_figures(found))
        table.add_row(str(found.seq_num), pixel, *numbers, valid)
    return table


def _key_figures(found: PixelCurve) -> tuple[float, float, float]:
    """Depth (nm), adhesion (nN) and largest damping (µN s/m) of a curve."""
    curve = found.curve
    return (
        -_NANO * float(curve.z[0]),
        -_NANO * float(curve.conservative.min()),
        _MICRO * float(curve.damping.max()),
    )


def _fields(result: IntermodulationResult) -> Iterator[tuple[Any, str]]:
    for field in result.fields:
        forces = field.forces
        verdicts = (("along z", forces.verdict_z), ("along y", forces.verdict_y))
        bad = [f"{name}: {'; '.join(v.reasons)}" for name, v in verdicts if not v.ok]
        yield field, "valid" if not bad else "not valid, " + ", ".join(bad)


def _summary(result: IntermodulationResult, column: str, factor: float) -> tuple[float, ...]:
    """Median and quartiles over the pixels that were found."""
    values = factor * result.maps[column]
    found = values[np.isfinite(values)]
    if not found.size:
        return (float("nan"),) * 3
    return tuple(float(value) for value in np.percentile(found, (50, 25, 75)))


def _good(result: IntermodulationResult) -> tuple[int, int]:
    """Pixels that may be used, and pixels."""
    verdict = result.maps["verdict"]
    return int(np.count_nonzero(verdict == 0)), int(verdict.size)


def _map_table(result: IntermodulationResult) -> Table:
    rows, columns = result.maps["verdict"].shape
    table = Table(title=f"Map of {rows} x {columns} pixels")
    for name in ("quantity", "median", "quartiles"):
        table.add_column(name)
    for name, column, unit, factor in _QUANTITIES:
        middle, low, high = _summary(result, column, factor)
        table.add_row(name, f"{middle:.3g} {unit}", f"{low:.3g} to {high:.3g} {unit}")
    good, pixels = _good(result)
    table.caption = f"{good} of {pixels} pixels are described by the law"
    return table


def map_lines(result: IntermodulationResult) -> list[str]:
    """What a map shows, as lines of Markdown."""
    good, pixels = _good(result)
    lines = ["| quantity | median | quartiles |", "|---|---|---|"]
    for name, column, unit, factor in _QUANTITIES:
        middle, low, high = _summary(result, column, factor)
        lines.append(f"| {name} | {middle:.3g} {unit} | {low:.3g} to {high:.3g} {unit} |")
    return [*lines, "", f"{good} of {pixels} pixels are described by the law."]


def force_row(result: IntermodulationResult) -> dict[str, Any]:
    """The same for a script, JSON-able.

    Parameters
    ----------
    result : IntermodulationResult
        Of an analysis.

    Returns
    -------
    dict
    """
    curves = [
        {
            "event": found.seq_num,
            "pixel": found.pixel,
            **dict(
                zip(("depth_nm", "adhesion_nN", "damping_uN_s_m"), _key_figures(found), strict=True)
            ),
            "valid": found.curve.verdict.ok,
            "reasons": list(found.curve.verdict.reasons),
        }
        for found in result.curves
    ]
    row: dict[str, Any] = {"spectra": len(result.spectra), "curves": curves}
    if result.maps:
        good, pixels = _good(result)
        row["map"] = {
            "pixels": pixels,
            "good": good,
            **{
                column: {"median": middle, "low": low, "high": high, "unit": unit}
                for _, column, unit, factor in _QUANTITIES
                for middle, low, high in [_summary(result, column, factor)]
            },
        }
    return row
