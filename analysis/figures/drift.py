"""Where the specimen went while the stage stood still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..stage_drift import StageDrift
from .style import ACTUAL, REPORTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drift_figure"]

_SHOWN = (("x", ACTUAL, "o", "-"), ("y", REPORTED, "s", "--"))


def drift_figure(drift: StageDrift) -> Figure:
    """Draw x and y against time with the fitted velocity, and the track of the specimen.

    Parameters
    ----------
    drift : StageDrift

    Returns
    -------
    matplotlib.figure.Figure
        10 by 4.6 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1.0])
    _draw_course(left, drift)
    _draw_track(right, drift)
    return figure


def _draw_course(panel: Axes, drift: StageDrift) -> None:
    middle = drift.elapsed.mean()
    for k, (name, color, marker, dash) in enumerate(_SHOWN):
        line = drift.velocity[k] * drift.elapsed
        half = 0.5 * (drift.high[k] - drift.low[k]) * np.abs(drift.elapsed - middle)
        panel.fill_between(drift.elapsed, line - half, line + half, color=color, alpha=0.18, lw=0)
        panel.plot(drift.elapsed, line, color=color, lw=1.2, ls=dash)
        words = (
            f"{name}: {drift.velocity[k]:+.3f} nm/s, 95 % interval "
            f"{drift.low[k]:+.3f} to {drift.high[k]:+.3f}"
        ).replace("-", "\N{MINUS SIGN}")
        panel.plot(
            drift.elapsed, drift.track[:, k], color=color, marker=marker, ms=4.5, ls="", label=words
        )
    panel.set_xlabel("time from the first image (s)")
    panel.set_ylabel("drift of the specimen (nm)")
    panel.set_title(
        "(a)  straight lines with the 95 % band of their slope", loc="left", fontsize=10
    )
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.22 * (high - low))
    panel.legend(loc="upper left", fontsize=8.5, frameon=False)


def _draw_track(panel: Axes, drift: StageDrift) -> None:
    panel.plot(*drift.track.T, color="0.6", lw=0.8, zorder=1)
    dots = panel.scatter(
        *drift.track.T, c=drift.elapsed, cmap="viridis", s=30, ec="0.3", lw=0.4, zorder=2
    )
    panel.figure.colorbar(dots, ax=panel, label="time from the first image (s)")
    panel.set_aspect("equal", adjustable="datalim")
    panel.margins(0.1)
    panel.set_xlabel("x (nm)")
    panel.set_ylabel("y (nm)")
    panel.set_title(f"(b)  track, {drift.speed:.3f} nm/s on the whole", loc="left", fontsize=10)
