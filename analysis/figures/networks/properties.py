"""Which bulk properties do the images tell? Bruker application note 155, figs. 4 and 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..style import letter
from ._style import reaches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...evaluation import Interval, SampleMean

__all__ = ["PropertyPanel", "properties_figure"]

# the note's: purple is measured in bulk, green PeakForce QNM, orange phase; the others are for more
_BULK = "#5D3A9B"
_PREDICTED = ("#009E73", "#E69F00", "#56B4E9", "#CC79A7", "0.55")
_HATCHES = ("", "//", "..", "xx", "\\\\")
_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class PropertyPanel:
    """One property.

    Parameters
    ----------
    name, unit : str
        In words.
    predicted : mapping of str to sequence of SampleMean
        By the name of the model or channel; the same samples in each.
    r2 : mapping of str to Interval
        By the same names.
    """

    name: str
    unit: str
    predicted: Mapping[str, Sequence[SampleMean]]
    r2: Mapping[str, Interval]


def properties_figure(panels: Sequence[PropertyPanel], title: str = "") -> Figure:
    """Draw each property of each sample, as measured and as predicted, and R² of all.

    Parameters
    ----------
    panels : sequence of PropertyPanel
        At least one.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels in a row, the last one of R²; as wide as their samples need.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for panel in panels for name in panel.predicted))
    samples = max(len(means) for panel in panels for means in panel.predicted.values())
    columns = min(len(panels) + 1, _COLUMNS)
    rows = ceil((len(panels) + 1) / columns)
    width = 1.1 + 0.16 * samples * (1 + len(names)) + 0.16 * samples
    figure = Figure(figsize=(max(3.6, width) * columns, 3.5 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _bars(axis, panel, names)
    _scores(axes[len(panels)], panels, names)
    for axis in axes[len(panels) + 1 :]:
        axis.set_axis_off()
    letter(axes[: len(panels) + 1], [*(panel.name for panel in panels), "R² of each property"])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9, frameon=False
    )
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _bars(axis: Axes, panel: PropertyPanel, names: Sequence[str]) -> None:
    first = next(iter(panel.predicted.values()))
    places = np.arange(len(first))
    width = 0.8 / (1 + len(names))
    axis.bar(
        places - 0.4 + width / 2,
        [mean.true for mean in first],
        width,
        color=_BULK,
        label="measured in bulk",
    )
    for turn, name in enumerate(names):
        means = panel.predicted.get(name, ())
        axis.bar(
            places[: len(means)] - 0.4 + width * (turn + 1.5),
            [mean.predicted.value for mean in means],
            width,
            yerr=reaches([mean.predicted for mean in means]),
            color=_PREDICTED[turn % len(_PREDICTED)],
            hatch=_HATCHES[turn % len(_HATCHES)],
            edgecolor="white",
            lw=0,
            error_kw={"lw": 0.9, "capsize": 1.5},
            label=f"predicted, {name}",
        )
    axis.set_xticks(places, [mean.sample for mean in first])
    axis.set_xlabel("sample")
    axis.set_ylabel(f"{panel.name} ({panel.unit})")


def _scores(axis: Axes, panels: Sequence[PropertyPanel], names: Sequence[str]) -> None:
    places = np.arange(len(panels))
    width = 0.8 / len(names)
    for turn, name in enumerate(names):
        own = [(place, panel.r2[name]) for place, panel in enumerate(panels) if name in panel.r2]
        axis.bar(
            np.array([place for place, _ in own]) - 0.4 + width * (turn + 0.5),
            [r2.value for _, r2 in own],
            width,
            yerr=reaches([r2 for _, r2 in own]),
            color=_PREDICTED[turn % len(_PREDICTED)],
            hatch=_HATCHES[turn % len(_HATCHES)],
            edgecolor="white",
            lw=0,
            error_kw={"lw": 0.9, "capsize": 2.0},
        )
    axis.axhline(0.0, color="black", lw=0.8)
    axis.set_ylim(top=1.0)
    axis.set_xticks(places, [panel.name.replace(" ", "\n") for panel in panels], fontsize=8)
    axis.set_ylabel("R²")
