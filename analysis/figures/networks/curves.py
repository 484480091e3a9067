"""Curves of a model: what more images would bring, and what abstaining costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ._style import CHANCE, reaches, series_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...evaluation import AbstentionCurve, Coverage, LearningCurve

__all__ = ["abstention_figure", "coverage_figure", "learning_figure"]

_SIZE = (5.6, 4.2)
_DODGE = 1.03  # so that intervals at one size lie beside each other
_DASHES = ("-", "--", "-.", ":")


def learning_figure(curves: Mapping[str, LearningCurve]) -> Figure:
    """Draw the error against the number of training images.

    Parameters
    ----------
    curves : mapping of str to LearningCurve
        By what they are of, at least one.

    Returns
    -------
    matplotlib.figure.Figure
        5.6 by 4.2 inches; lines are power laws with a floor, on to twice the largest number.
    """
    from matplotlib.ticker import NullFormatter

    figure, axis = _panel("training images, before augmentation", "error (%)")
    for place, (name, curve) in enumerate(curves.items()):
        colour, mark = series_style(place)
        intervals = [one.interval for one in curve.accuracies]
        error = 100 * np.array([1 - one.value for one in intervals])
        reach = 100 * reaches(intervals)[::-1]  # what is above the accuracy is below the error
        axis.errorbar(
            _DODGE ** (place - (len(curves) - 1) / 2) * np.array(curve.sizes),
            error,
            reach,
            fmt=mark,
            color=colour,
            ms=5,
            capsize=2.5,
            label=name,
        )
        if curve.law is not None:
            along = np.geomspace(curve.sizes[0], 2 * curve.sizes[-1], 100)
            axis.plot(along, 100 * curve.law.error(along), color=colour, lw=1.0)
    axis.set_xscale("log")
    ticks = sorted({size for curve in curves.values() for size in curve.sizes})
    axis.set_xticks(ticks, [str(size) for size in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=9, frameon=False)
    return figure


def abstention_figure(curves: Mapping[str, AbstentionCurve], allowed: float = 0.05) -> Figure:
    """Draw which share of unknown images is abstained on at which cost in known ones.

    Parameters
    ----------
    curves : mapping of str to AbstentionCurve
        By the kind of the unknown, at least one.
    allowed : float
        Share of the known ones that may be lost, 0 to 1.

    Returns
    -------
    matplotlib.figure.Figure
        5.6 by 4.2 inches.
    """
    figure, axis = _panel("known images abstained on (%)", "unknown images abstained on (%)")
    for place, (name, curve) in enumerate(curves.items()):
        _, _, caught = curve.best(allowed)
        _line(axis, place, (curve.known, curve.unknown), f"{name}: {100 * caught:.1f} %")
    axis.axvline(100 * allowed, color=CHANCE, lw=1.0)
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 101)
    axis.legend(
        fontsize=9,
        frameon=False,
        loc="lower right",
        title=f"caught where {100 * allowed:g} % of the known are lost",
        title_fontsize=9,
    )
    return figure


def coverage_figure(curves: Mapping[str, Coverage]) -> Figure:
    """Draw the accuracy of the images that are kept when the least certain are left out.

    Parameters
    ----------
    curves : mapping of str to Coverage
        By what they are of, at least one.

    Returns
    -------
    matplotlib.figure.Figure
        5.6 by 4.2 inches.
    """
    figure, axis = _panel("images answered, the most certain first (%)", "accuracy of these (%)")
    for place, (name, curve) in enumerate(curves.items()):
        _line(axis, place, (curve.coverage, curve.accuracy), name)
    axis.set_xlim(0, 100)
    axis.set_ylim(top=101)
    axis.legend(fontsize=9, frameon=False, loc="lower left")
    return figure


def _panel(x: str, y: str) -> tuple[Figure, Axes]:
    """Return a figure of one panel, and the panel with what is on its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axis = figure.subplots()
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    return figure, axis


def _line(axis: Axes, place: int, shares: tuple[ArrayLike, ArrayLike], label: str) -> None:
    """Draw shares against shares, in percent, as the series at a place."""
    x, y = (100 * np.asarray(each) for each in shares)
    colour, _ = series_style(place)
    axis.plot(x, y, color=colour, ls=_DASHES[place % len(_DASHES)], label=label)
