"""How well does each channel tell the samples apart, by each model, beside the note?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from ..style import letter
from ._style import CHANCE, NOTE, reaches, series_style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...evaluation import Interval

__all__ = ["AccuracyPanel", "AccuracyPoint", "accuracy_figure"]

_APART = 0.13  # of models of one channel


@dataclass(frozen=True)
class AccuracyPoint:
    """One accuracy.

    Parameters
    ----------
    channel, model : str
        Of which and by which.
    interval : Interval
        0 to 1.
    """

    channel: str
    model: str
    interval: Interval


@dataclass(frozen=True, eq=False)
class AccuracyPanel:
    """One task.

    Parameters
    ----------
    title : str
        What is told apart.
    points : sequence of AccuracyPoint
        Ours, at least one.
    note : sequence of AccuracyPoint
        The note's; of channels that ours have.
    chance : float
        Of guessing, 0 to 1.
    """

    title: str
    points: Sequence[AccuracyPoint]
    note: Sequence[AccuracyPoint]
    chance: float


def accuracy_figure(panels: Sequence[AccuracyPanel]) -> Figure:
    """Draw the accuracies of each task with their intervals of 95 %.

    Parameters
    ----------
    panels : sequence of AccuracyPanel
        At least one.

    Returns
    -------
    matplotlib.figure.Figure
        As wide as its channels need.
    """
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(point.model for panel in panels for point in panel.points))
    counts = [len({point.channel for point in panel.points}) for panel in panels]
    figure = Figure(figsize=(1.6 + 1.35 * sum(counts), 4.4), layout="constrained")
    axes = figure.subplots(
        1, len(panels), squeeze=False, sharey=True, gridspec_kw={"width_ratios": counts}
    ).ravel()
    handles: dict[str, Artist] = {}
    for axis, panel in zip(axes, panels, strict=True):
        handles |= _draw(axis, panel, models)
    axes[0].set_ylabel("accuracy (%)")
    order = [name for name in [*models, "application note 155", "chance"] if name in handles]
    figure.legend(
        [handles[name] for name in order],
        order,
        loc="outside lower center",
        ncols=min(4, len(order)),
        fontsize=9,
        frameon=False,
    )
    letter(axes, [_folded(panel.title, count) for panel, count in zip(panels, counts, strict=True)])
    return figure


def _folded(title: str, channels: int) -> str:
    """In as many lines as the width of the panel asks for."""
    return fill(title, 16 * channels)


def _draw(axis: Axes, panel: AccuracyPanel, models: Sequence[str]) -> dict[str, Artist]:
    channels = list(dict.fromkeys(point.channel for point in panel.points))
    handles: dict[str, Artist] = {}
    for point in panel.points:
        place = models.index(point.model)
        colour, mark = series_style(place)
        offset = _APART * (place - len(models) / 2)
        handles[point.model] = _bar(
            axis, channels.index(point.channel) + offset, point.interval, mark, colour
        )
    for point in panel.note:
        if point.channel in channels:
            offset = _APART * len(models) / 2
            handles["application note 155"] = _bar(
                axis, channels.index(point.channel) + offset, point.interval, "D", NOTE, "white"
            )
    line = axis.axhline(100 * panel.chance, color=CHANCE, ls="--", lw=1.0)
    handles["chance"] = line
    axis.set_xticks(range(len(channels)), [name.replace(" + ", "\n+ ") for name in channels])
    axis.set_xlim(-0.6, len(channels) - 0.4)
    axis.set_ylim(0, 102)
    axis.grid(axis="y", color="0.9", lw=0.6)
    axis.set_axisbelow(True)
    return handles


def _bar(
    axis: Axes, x: float, interval: Interval, mark: str, colour: str, face: str = ""
) -> Artist:
    reach = 100 * reaches([interval])
    style = {"fmt": mark, "color": colour, "mfc": face or colour, "ms": 5, "capsize": 2.5}
    found = axis.errorbar(x, 100 * interval.value, reach, lw=1.2, **style)
    return found.lines[0]
