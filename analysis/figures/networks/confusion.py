"""Which sample is taken for which? Bruker application note 155, figs. 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..style import letter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...evaluation import Confusion, Interval

__all__ = ["ConfusionPanel", "confusion_figure"]

_COLUMNS = 2
_DARK = 0.5  # share from which on a number is white


@dataclass(frozen=True, eq=False)
class ConfusionPanel:
    """One matrix.

    Parameters
    ----------
    title : str
        Channel and model.
    matrix : Confusion
        What was counted.
    interval : Interval
        Of the accuracy.
    """

    title: str
    matrix: Confusion
    interval: Interval


def confusion_figure(panels: Sequence[ConfusionPanel], title: str = "") -> Figure:
    """Draw confusion matrices with the true label horizontal and the predicted one vertical.

    Parameters
    ----------
    panels : sequence of ConfusionPanel
        At least one.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        4.1 inches wide a matrix, two in a row.
    """
    from matplotlib.figure import Figure

    columns = min(len(panels), _COLUMNS)
    rows = ceil(len(panels) / columns)
    figure = Figure(figsize=(4.1 * columns + 0.7, 4.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    shown = axes[: len(panels)]
    images = [_draw(axis, panel) for axis, panel in zip(shown, panels, strict=True)]
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    bar = figure.colorbar(images[0], ax=list(axes), shrink=0.7, aspect=30)
    bar.set_label("share of the images of the true label")
    letter(shown, [_heading(panel) for panel in panels])
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _heading(panel: ConfusionPanel) -> str:
    value, low, high = (
        100 * each for each in (panel.interval.value, panel.interval.low, panel.interval.high)
    )
    return f"{panel.title}\n{value:.1f} %  [{low:.1f}, {high:.1f}]"


def _draw(axis: Axes, panel: ConfusionPanel):
    matrix = panel.matrix
    shares = np.nan_to_num(matrix.shares).T  # columns of the image are true labels
    image = axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for predicted, true in np.ndindex(*shares.shape):
        share = shares[predicted, true]
        axis.text(
            true,
            predicted,
            f"{matrix.counts[true, predicted]}\n{100 * share:.0f} %",
            ha="center",
            va="center",
            fontsize=9 if len(matrix.classes) < 5 else 8,
            color="white" if share > _DARK else "black",
        )
    axis.set_xticks(range(len(matrix.classes)), matrix.classes)
    axis.set_yticks(range(len(matrix.classes)), matrix.classes)
    axis.set_xlabel("true label")
    axis.set_ylabel("predicted label")
    return image
