"""What was measured at one point, and the force that it tells; and a map beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...intermodulation import ForceCurve, Measurement
from .forces import draw_curve
from .maps import Map, draw_maps
from .spectra import draw_spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

__all__ = ["point_figure", "progress_figure"]

_CURVE_PANELS = 2
_MAP_COLUMNS = 2


def point_figure(measurement: Measurement, curve: ForceCurve) -> Figure:
    """Draw the tones, free and engaged, and below them conservative force and damping.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel, or the mean of several.
    curve : ForceCurve
        What was found in it.

    Returns
    -------
    matplotlib.figure.Figure
        10 by 8.6 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 8.6), layout="constrained")
    _draw_point(figure, measurement, curve)
    return figure


def progress_figure(
    measurement: Measurement,
    curve: ForceCurve,
    maps: Sequence[Map],
    extent: tuple[float, float, float, float],
) -> Figure:
    """Draw a map that grows, and on its left the latest spectrum and the force that it tells.

    Parameters
    ----------
    measurement, curve
        As of `point_figure`.
    maps, extent
        As of `maps_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        16 by 9 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16.0, 9.0), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1.0), squeeze=False).flat
    begin = _draw_point(left, measurement, curve)
    draw_maps(right, maps, extent, _MAP_COLUMNS, begin)
    return figure


def _draw_point(figure: FigureBase, measurement: Measurement, curve: ForceCurve) -> int:
    """Draw tones and force; returns the number of panels."""
    upper, lower = figure.subfigures(2, 1, squeeze=False).flat
    draw_spectrum(upper, measurement)
    bands = sum(places.size > 0 for places in measurement.bands())
    draw_curve(lower, curve, measurement.height, begin=bands)
    return bands + _CURVE_PANELS
