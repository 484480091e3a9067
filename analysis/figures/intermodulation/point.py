"""What was measured at one point, and the force that it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...intermodulation import ForceCurve, Measurement
from .forces import draw_curve
from .spectra import draw_spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["point_figure"]


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
    upper, lower = figure.subfigures(2, 1, squeeze=False).flat
    draw_spectrum(upper, measurement)
    bands = sum(places.size > 0 for places in measurement.bands())
    draw_curve(lower, curve, measurement.height, begin=bands)
    return figure
