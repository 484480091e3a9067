"""Target, reported and actual position along each axis that was stepped to and fro."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import HysteresisResult
from ..deficit import Estimate
from ..steps import IMAGE_AXES, StepClass
from .style import ACTUAL, FIRST, REPORTED, Shown, shown_in
from .tiles import Tiles, draw_tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["hysteresis_figure"]

_MARKERS = {1: ">", -1: "<"}
_WORDS = {1: "+", -1: "\N{MINUS SIGN}"}
_CAPTION = (
    "actual: sum of the registered displacements, with actual = reported at the first stop; "
    "bars: standard error of one step"
)


def hysteresis_figure(result: HysteresisResult, images: Tiles | None = None) -> Figure:
    """Draw reported − target and actual − target against position, and the tiles of one leg.

    Fiedler et al. 2023, fig. 3, with the actual positions added: first steps after a reversal in
    red, steps of unknown history open, the direction as the way the marker points. A panel for
    each axis that was stepped; of those that images do not show, reported − target only.

    Parameters
    ----------
    result : HysteresisResult
    images : Tiles, optional
        Adds a strip of overlaid tiles, 50 % transparent, at their actual positions, for x and y.

    Returns
    -------
    matplotlib.figure.Figure
        7 inches high with tiles, else 5; 10 wide, 5 a panel where there are more than two.
    """
    from matplotlib.figure import Figure

    axes = [a for a in range(len(result.steps.axes)) if result.steps.of_axis(a).size] or [0]
    if axes[0] >= len(IMAGE_AXES):
        images = None
    size = (max(10.0, 5.0 * len(axes)), 7.0 if images else 5.0)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(
        2 if images else 1, len(axes), height_ratios=[3.0, 1.9] if images else [1.0]
    )
    for column, axis in enumerate(axes):
        panel = figure.add_subplot(grid[0, column])
        _draw_errors(panel, result, axis, letter=ascii_lowercase[column])
        if images and axis < len(IMAGE_AXES):
            _draw_leg(figure.add_subplot(grid[1, column]), result, axis, images)
    figure.legend(
        handles=_legend(),
        loc="outside upper center",
        ncols=6,
        frameon=False,
        fontsize=8,
        columnspacing=1.3,
        handletextpad=0.2,
    )
    figure.supxlabel(_CAPTION, fontsize=8, color="0.3")
    return figure


def _draw_errors(panel: Axes, result: HysteresisResult, axis: int, *, letter: str) -> None:
    name, unit = result.steps.axes[axis], result.steps.units[axis]
    shown = shown_in(unit)
    rows = result.steps.of_axis(axis)
    drawn: list[tuple[str, str, NDArray[np.float64], NDArray[np.float64] | None]]
    drawn = [("reported", REPORTED, result.reported_minus_target, None)]
    if axis < len(IMAGE_AXES):
        variance = result.steps.covariance[:, axis, axis]
        drawn.append(("actual", ACTUAL, result.actual_minus_target, variance))
    for quantity, color, difference, variance in drawn:
        error = shown.factor * difference[:, axis]
        place = result.reported[:, axis]
        for run in _unbroken(rows, result.chain if quantity == "actual" else None):
            stops = np.concatenate([run[:1], run + 1])
            panel.plot(place[stops], error[stops], color=color, lw=0.7, alpha=0.45, zorder=1)
        for row in rows:
            if quantity == "actual" and not result.steps.accepted[row]:
                continue
            step_class = result.steps.step_class[row][axis]
            face = {StepClass.FIRST: FIRST, StepClass.UNKNOWN: "white"}.get(step_class, color)
            panel.errorbar(
                place[row + 1],
                error[row + 1],
                yerr=None if variance is None else shown.factor * np.sqrt(variance[row]),
                fmt=_MARKERS[int(result.steps.direction[row, axis])],
                ms=7 if step_class is StepClass.FIRST else 5.5,
                mfc=face,
                mec=color,
                mew=1.1,
                ecolor=color,
                elinewidth=0.8,
                zorder=3 if step_class is StepClass.FIRST else 2,
            )
    if not rows.size:
        panel.text(0.5, 0.5, "no step of one axis alone", transform=panel.transAxes, ha="center")
    panel.axhline(0.0, color="0.6", lw=0.7, zorder=0)
    panel.set_xlabel(f"reported {name} ({unit})")
    panel.set_ylabel(f"{name}: difference from target ({shown.unit})")
    panel.set_title(f"({letter})  steps along {name}", loc="left", fontsize=10)
    panel.margins(x=0.06)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.36 * (high - low))
    panel.text(
        0.98,
        0.98,
        _deficits_in_words(result, name, shown),
        transform=panel.transAxes,
        ha="right",
        va="top",
        ma="left",
        fontsize=7.5,
        family="monospace",
        bbox={"fc": "white", "ec": "0.8", "lw": 0.6, "alpha": 0.9},
    )


def _unbroken(rows: NDArray[np.int64], chain: NDArray[np.int64] | None) -> list[NDArray[np.int64]]:
    """Steps that follow each other (and share a chain of registrations)."""
    breaks = np.diff(rows) != 1
    if chain is not None:
        breaks |= chain[rows[1:] + 1] != chain[rows[:-1]]
    return [run for run in np.split(rows, np.flatnonzero(breaks) + 1) if run.size]


def _deficits_in_words(result: HysteresisResult, name: str, shown: Shown) -> str:
    lines = [f"first-step deficit of {name} ({shown.unit}), 95 % interval"]
    for deficit in result.deficits:
        if deficit.axis == name:
            sign = _WORDS[deficit.direction]
            found = [("actual", deficit.actual)] if name in IMAGE_AXES else []
            lines += [
                f"{sign}{name} {quantity:<8} {_in_words(estimate, shown)}"
                for quantity, estimate in (*found, ("reported", deficit.reported))
            ]
    return "\n".join(lines)


def _in_words(estimate: Estimate, shown: Shown) -> str:
    if np.isnan(estimate.value):
        return "no reversal".rjust(23)
    value, low, high = (
        f"{shown.factor * number:.{shown.digits}f}"
        for number in (estimate.value, estimate.low, estimate.high)
    )
    if not estimate.recovered:
        return f"> {value} (leg too short)".rjust(23)
    if np.isnan(estimate.low):
        return f"{value:>5}  (repeat for an interval)"
    return f"{value:>5}  [{low:>5}, {high:>5}]".replace("-", "\N{MINUS SIGN}")


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, face: str, edge: str, marker: str = ">") -> Line2D:
        return Line2D(
            [], [], ls="", marker=marker, mfc=face, mec=edge, mew=1.1, ms=6.5, label=label
        )

    grey = "0.35"
    return [
        mark("reported \N{MINUS SIGN} target", REPORTED, REPORTED, "o"),
        mark("actual \N{MINUS SIGN} target", ACTUAL, ACTUAL, "o"),
        mark("step towards +", grey, grey, ">"),
        mark("step towards \N{MINUS SIGN}", grey, grey, "<"),
        mark("first step after a reversal", FIRST, grey, "o"),
        mark("history of the axis unknown", "white", grey, "o"),
    ]


def _leg_to_show(result: HysteresisResult, axis: int, images: Tiles) -> NDArray[np.int64]:
    """Stops of the first leg after a reversal whose images are there; else of any steps."""
    rows = result.steps.of_axis(axis)
    legs: list[list[int]] = []
    for row in rows:
        direction = result.steps.direction[row, axis]
        first = result.steps.step_class[row][axis] is StepClass.FIRST
        follows = bool(legs) and row == legs[-1][-1] + 1 and not first
        if follows and result.steps.direction[legs[-1][-1], axis] == direction:
            legs[-1].append(int(row))
        else:
            legs.append([int(row)])

    def stops(leg: Sequence[int]) -> NDArray[np.int64]:
        return images.shown(result, np.array([leg[0], *(row + 1 for row in leg)], dtype=np.int64))

    known = [leg for leg in legs if result.steps.step_class[leg[0]][axis] is StepClass.FIRST]
    found = [stops(leg) for leg in [*known, *legs]]
    return next((s for s in found if s.size > 1), np.zeros(0, dtype=np.int64))


def _draw_leg(panel: Axes, result: HysteresisResult, axis: int, tiles: Tiles) -> None:
    """Overlay the tiles of one leg; y is laid along the page too."""
    stops = _leg_to_show(result, axis, tiles)
    if not stops.size:
        panel.set_axis_off()
        words = f"no images of a leg along {IMAGE_AXES[axis]}"
        panel.text(0.5, 0.5, words, ha="center", va="center")
        return
    classes = result.steps.step_class
    first = [int(stop) for stop in stops[1:2] if classes[stop - 1][axis] is StepClass.FIRST]
    draw_tiles(panel, result, stops, tiles, along=axis, marked=first)
    begin, end = (int(n) for n in result.seq_num[stops[[0, -1]]])
    panel.set_title(
        f"images {begin} to {end}, 50 % transparent; red: after the first step",
        loc="left",
        fontsize=8.5,
    )
