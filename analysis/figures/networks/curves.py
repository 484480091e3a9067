"""Curves of a model: what more images would bring, and what abstaining costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._style import CHANCE, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...evaluation import AbstentionCurve, Coverage, LearningCurve

__all__ = ["abstention_figure", "coverage_figure", "learning_figure"]

_SIZE = (5.6, 4.2)
_DODGE = 1.03  # so that intervals at one size lie beside each other


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
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=_SIZE, layout="constrained")
    axis = figure.subplots()
    for place, (name, curve) in enumerate(curves.items()):
        colour, mark = series_style(place)
        intervals = [one.interval for one in curve.accuracies]
        error = 100 * np.array([1 - one.value for one in intervals])
        reach = 100 * np.array([[i.high - i.value, i.value - i.low] for i in intervals]).T
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
    axis.set_xlabel("training images, before augmentation")
    axis.set_ylabel("error (%)")
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
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axis = figure.subplots()
    for place, (name, curve) in enumerate(curves.items()):
        colour, _ = series_style(place)
        _, _, caught = curve.best(allowed)
        axis.plot(
            100 * curve.known,
            100 * curve.unknown,
            color=colour,
            ls=("-", "--", "-.", ":")[place % 4],
            label=f"{name}: {100 * caught:.1f} %",
        )
    axis.axvline(100 * allowed, color=CHANCE, lw=1.0)
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 101)
    axis.set_xlabel("known images abstained on (%)")
    axis.set_ylabel("unknown images abstained on (%)")
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
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axis = figure.subplots()
    for place, (name, curve) in enumerate(curves.items()):
        colour, _ = series_style(place)
        axis.plot(
            100 * curve.coverage,
            100 * curve.accuracy,
            color=colour,
            ls=("-", "--", "-.", ":")[place % 4],
            label=name,
        )
    axis.set_xlim(0, 100)
    axis.set_ylim(top=101)
    axis.set_xlabel("images answered, the most certain first (%)")
    axis.set_ylabel("accuracy of these (%)")
    axis.legend(fontsize=9, frameon=False, loc="lower left")
    return figure
