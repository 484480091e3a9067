"""Two axes stepped in turn: where the stage was sent, what it said, where it was, and its way back.

Fiedler et al. 2023, fig. 4.
"""

from __future__ import annotations

from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import HysteresisResult
from ..closure import Closure, closures
from ..steps import IMAGE_AXES
from .style import ACTUAL, FIRST, REPORTED, TARGET
from .tiles import Tiles, draw_tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cross_axis_figure"]

_CAPTION = (
    "actual: sum of the registered displacements, with actual = reported at the first stop; "
    "its standard errors are smaller than the marks"
)
_MOST_STRIPS = 4


def cross_axis_figure(result: HysteresisResult, images: Tiles | None = None) -> Figure:
    """Draw the plane of two axes, what is left of each way out and back, and the tiles on it.

    Parameters
    ----------
    result : HysteresisResult
        Of a run that moved two axes in turn; one of which images do not show has no actual
        positions.
    images : Tiles, optional
        Adds a strip of the way out in each direction: overlaid tiles, 50 % transparent, at their
        actual positions.

    Returns
    -------
    matplotlib.figure.Figure
        12 inches wide, 6.5 high, or 9.5 with tiles.
    """
    from matplotlib.figure import Figure

    axes = _moved(result)
    found = closures(result)
    imaged = max(axes) < len(IMAGE_AXES)
    strips = _ways_out(result, found)[:_MOST_STRIPS] if images and imaged else []
    figure = Figure(figsize=(12.0, 9.5 if strips else 6.5), layout="constrained")
    rows = figure.add_gridspec(2 if strips else 1, 1, height_ratios=[1.9, 1.0][: 1 + bool(strips)])
    top = rows[0].subgridspec(1, 2, width_ratios=[1.35, 1.0])
    _draw_plane(figure.add_subplot(top[0]), result, axes)
    _draw_way_back(figure.add_subplot(top[1]), result, found)
    if images and strips:
        bottom = rows[1].subgridspec(1, len(strips))
        for column, (closure, stops) in enumerate(strips):
            panel = figure.add_subplot(bottom[column])
            _draw_strip(panel, result, closure, stops, images, letter=ascii_lowercase[column + 2])
    figure.legend(
        handles=_legend(), loc="outside upper center", ncols=6, frameon=False, fontsize=8.5
    )
    figure.supxlabel(_CAPTION, fontsize=8, color="0.3")
    return figure


def _moved(result: HysteresisResult) -> tuple[int, int]:
    moves = np.count_nonzero(result.steps.direction, axis=0)
    first, second = sorted(np.argsort(moves, kind="stable")[-2:].tolist())
    return first, second


def _draw_plane(panel: Axes, result: HysteresisResult, axes: tuple[int, int]) -> None:
    place = list(axes)
    target, reported = result.target[:, place], result.reported[:, place]
    panel.plot(*target.T, ls="", marker="s", ms=6, mfc="none", mec=TARGET, mew=0.9, zorder=2)
    panel.plot(*reported.T, ls="", marker="o", ms=3.5, color=REPORTED, zorder=4)
    if max(axes) < len(IMAGE_AXES):
        actual = result.actual[:, place]
        panel.plot(*actual.T, color=ACTUAL, lw=0.6, alpha=0.35, zorder=1)
        panel.plot(*actual.T, ls="", marker="^", ms=4.5, color=ACTUAL, mec="0.3", mew=0.3, zorder=4)
        panel.quiver(
            *reported.T,
            *(actual - reported).T,
            angles="xy",
            scale_units="xy",
            scale=1.0,
            width=0.0022,
            headwidth=5.0,
            color="0.35",
            zorder=3,
        )
        panel.set_aspect("equal", adjustable="datalim")
    names = [f"{result.steps.axes[k]} ({result.steps.units[k]})" for k in place]
    panel.set_xlabel(names[0])
    panel.set_ylabel(names[1])
    panel.margins(0.06)
    panel.set_title("(a)  the plane of the two axes: all stops", loc="left", fontsize=10)


def _draw_way_back(panel: Axes, result: HysteresisResult, found: tuple[Closure, ...]) -> None:
    """Where the specimen was each time the stage was back at its first target."""
    home = np.array([found[0].stops[0], *(c.stops[-1] for c in found)] if found else [0])
    origin = result.target[0, : len(IMAGE_AXES)]
    reported = 1e3 * (result.reported[home, : len(IMAGE_AXES)] - origin)
    actual = 1e3 * (result.actual[home] - origin)
    panel.plot(0.0, 0.0, ls="", marker="s", ms=8, mfc="none", mec=TARGET, mew=1.2, zorder=2)
    panel.plot(*reported.T, ls="", marker="o", ms=4.5, color=REPORTED, zorder=4)
    panel.plot(*actual.T, ls="", marker="^", ms=7, color=ACTUAL, mec="0.3", mew=0.4, zorder=5)
    panel.annotate("begin", actual[0], xytext=(7, -11), textcoords="offset points", fontsize=8)
    lines = ["out and back along   actual distance"]
    for number, closure in enumerate(found):
        first, last = actual[number], actual[number + 1]
        panel.annotate(
            "", last, first, arrowprops={"arrowstyle": "-|>", "color": FIRST, "lw": 1.4}, zorder=3
        )
        panel.annotate(
            str(number + 1),
            0.5 * (first + last),
            ha="center",
            va="center",
            fontsize=8,
            color=FIRST,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": FIRST, "lw": 0.7},
            zorder=6,
        )
        lines.append(_closed_in_words(number + 1, closure))
    if not found:
        lines.append("no way out and back")
    panel.set_xlabel("x from its first target (nm)")
    panel.set_ylabel("y from its first target (nm)")
    panel.set_title("(b)  back at the first target", loc="left", fontsize=10)
    places = np.concatenate([actual, reported, np.zeros((1, 2))])
    middle = 0.5 * (places.min(axis=0) + places.max(axis=0))
    half = max(0.62 * np.ptp(places, axis=0).max(), 1.0)
    panel.set_xlim(middle[0] - half, middle[0] + half)
    panel.set_ylim(middle[1] - half, middle[1] + half * (1.0 + 0.1 * len(lines)))
    panel.set_aspect("equal")
    panel.text(
        0.98,
        0.98,
        "\n".join(lines),
        transform=panel.transAxes,
        ha="right",
        va="top",
        ma="left",
        fontsize=7.5,
        family="monospace",
        bbox={"fc": "white", "ec": "0.8", "lw": 0.6, "alpha": 0.9},
    )


def _closed_in_words(number: int, closure: Closure) -> str:
    sign = "+" if closure.direction > 0 else "\N{MINUS SIGN}"
    if np.isnan(closure.distance):
        return f"{number}: {sign}{closure.axis}   images are missing"
    error = float(closure.stderr @ np.abs(closure.actual)) / max(closure.distance, 1e-12)
    return f"{number}: {sign}{closure.axis}   {1e3 * closure.distance:.0f} ± {1e3 * error:.1f} nm"


def _ways_out(
    result: HysteresisResult, found: tuple[Closure, ...]
) -> list[tuple[Closure, NDArray[np.int64]]]:
    """Stops from the first to the furthest of the first excursion in each direction."""
    ways: dict[tuple[str, int], tuple[Closure, NDArray[np.int64]]] = {}
    for closure in found:
        stops = np.array(closure.stops, dtype=np.int64)
        axis = result.steps.axes.index(closure.axis)
        away = closure.direction * (result.target[stops, axis] - result.target[stops[0], axis])
        out = stops[: int(np.argmax(away)) + 1]
        ways.setdefault((closure.axis, closure.direction), (closure, out))
    return list(ways.values())


def _draw_strip(
    panel: Axes,
    result: HysteresisResult,
    closure: Closure,
    stops: NDArray[np.int64],
    images: Tiles,
    *,
    letter: str,
) -> None:
    shown = images.shown(result, stops)
    sign = "+" if closure.direction > 0 else "\N{MINUS SIGN}"
    panel.set_title(
        f"({letter})  {sign}{closure.axis}: {shown.size} images at 50 %", loc="left", fontsize=8.5
    )
    if not shown.size:
        panel.set_axis_off()
        panel.text(0.5, 0.5, "no images", ha="center", va="center")
        return
    draw_tiles(panel, result, shown, images)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, **how: Any) -> Line2D:
        return Line2D([], [], ls="", label=label, **how)

    return [
        mark("target", marker="s", ms=6, mfc="none", mec=TARGET),
        mark("reported", marker="o", ms=4, color=REPORTED),
        mark("actual (images)", marker="^", ms=5.5, color=ACTUAL, mec="0.3", mew=0.3),
        mark("from reported to actual", marker=r"$\rightarrow$", ms=11, color="0.35"),
        mark("what an out-and-back leaves", marker=r"$\rightarrow$", ms=11, color=FIRST),
    ]
