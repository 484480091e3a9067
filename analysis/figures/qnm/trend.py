"""How did the tip wear? Its diameter at every check, against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TipPoint", "trend_figure"]

_MARKS = {"good": ("o", "#0072B2"), "suspect": ("s", "#E69F00")}
_OTHER = ("X", "#D00000")
_ALLOWED_NM = 2.0  # by which the note's tips changed at most


@dataclass(frozen=True)
class TipPoint:
    """What one check of the tip said.

    Parameters
    ----------
    image : int
        After how many images.
    diameter, error : float
        Effective diameter, and its standard error, nm.
    status : str
        Its verdict.
    probe : str
        Serial number of the probe.
    """

    image: int
    diameter: float
    error: float
    status: str
    probe: str


def trend_figure(points: Sequence[TipPoint]) -> Figure:
    """Draw the diameter of each probe over the images, with the change that is allowed.

    Parameters
    ----------
    points : sequence of TipPoint
        In the order of the images; those that tell no diameter are left out.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 by 4.2 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    panel = figure.subplots()
    named: set[str] = set()
    for probe in dict.fromkeys(point.probe for point in points):
        own = [p for p in points if p.probe == probe and isfinite(p.diameter)]
        if not own:
            continue
        span = (own[0].image, own[-1].image)
        first = own[0].diameter
        panel.fill_between(
            span, first - _ALLOWED_NM, first + _ALLOWED_NM, color="0.9", lw=0, zorder=0
        )
        panel.plot([p.image for p in own], [p.diameter for p in own], color="0.6", lw=0.8)
        panel.annotate(
            f"probe {probe}", (span[0], first), (4, -14), textcoords="offset points", fontsize=9
        )
        for point in own:
            mark, colour = _MARKS.get(point.status, _OTHER)
            label = None if point.status in named else point.status
            named.add(point.status)
            panel.errorbar(
                point.image,
                point.diameter,
                point.error,
                fmt=mark,
                color=colour,
                capsize=2.5,
                label=label,
            )
    panel.set_xlabel("images taken")
    panel.set_ylabel("effective tip diameter (nm)")
    panel.legend(fontsize=9, frameon=False, title=f"grey: ±{_ALLOWED_NM:g} nm of the first check")
    return figure
