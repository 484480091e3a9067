"""Do the probabilities mean what they say? Accuracy against confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..style import letter
from ._style import CHANCE, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...evaluation import Reliability

__all__ = ["CalibrationPanel", "calibration_figure"]

_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class CalibrationPanel:
    """One model.

    Parameters
    ----------
    title : str
        Channel and model.
    before, after : Reliability
        As trained, and with a temperature.
    """

    title: str
    before: Reliability
    after: Reliability


def calibration_figure(panels: Sequence[CalibrationPanel]) -> Figure:
    """Draw the accuracy of predictions against the probability that was given to them.

    Parameters
    ----------
    panels : sequence of CalibrationPanel
        At least one.

    Returns
    -------
    matplotlib.figure.Figure
        3.4 inches wide a panel, three in a row.
    """
    from matplotlib.figure import Figure

    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    letter(axes[: len(panels)], [panel.title for panel in panels])
    return figure


def _draw(axis: Axes, panel: CalibrationPanel) -> None:
    axis.plot([0, 100], [0, 100], color=CHANCE, ls="--", lw=1.0, label="exact")
    kinds = ((panel.before, "as trained"), (panel.after, "with temperature"))
    for place, (found, words) in enumerate(kinds):
        colour, mark = series_style(place)
        # the standard error of a bin of independent predictions
        error = np.sqrt(found.accuracy * (1 - found.accuracy) / found.counts)
        axis.errorbar(
            100 * found.confidence,
            100 * found.accuracy,
            100 * error,
            fmt=mark + "-",
            color=colour,
            ms=4,
            lw=1.0,
            capsize=2.0,
            label=f"{words}: ECE {100 * found.error:.1f} %",
        )
    axis.set_xlim(0, 102)
    axis.set_ylim(0, 102)
    axis.set_aspect("equal")
    axis.set_xlabel("probability of the predicted label (%)")
    axis.set_ylabel("accuracy (%)")
    axis.legend(fontsize=8, frameon=False, loc="lower right")
