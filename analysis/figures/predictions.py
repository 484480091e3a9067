"""What a model says of an image, drawn beside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .qnm.channels import Channel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..networks.prediction import Prediction

__all__ = ["prediction_figure"]

_CLIPPED = (0.5, 99.5)  # percentiles: single bad pixels must not take the scale
_SURE, _SILENT = "#1f4e79", "0.7"


def prediction_figure(
    channel: Channel, size_um: tuple[float, float], prediction: Prediction, title: str = ""
) -> Figure:
    """Draw an image and the probabilities of its classes, or its properties.

    Parameters
    ----------
    channel : Channel
        That the model looked at.
    size_um : tuple of float
        Sides of the image along the lines and across them, µm.
    prediction : Prediction
        What it says.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    from ..qnm.channels import scaled

    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.15, 1.0]})
    values = np.asarray(channel.values, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, _CLIPPED) if finite.size else (0.0, 1.0)
    factor, unit = scaled(float(low), float(high), channel.unit)
    image = left.imshow(
        factor * values,
        origin="lower",
        extent=(0.0, size_um[0], 0.0, size_um[1]),
        cmap="cividis",
        vmin=factor * low,
        vmax=factor * high,
    )
    figure.colorbar(image, ax=left, shrink=0.85, label=f"{channel.title} ({unit})")
    left.set_facecolor("0.8")
    left.set_xlabel("fast axis (µm)")
    left.set_ylabel("slow axis (µm)")
    _bars(right, prediction)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _bars(panel: Axes, prediction: Prediction) -> None:
    places = np.arange(len(prediction.outputs))
    colour = _SILENT if prediction.abstained else _SURE
    panel.barh(places, prediction.values, xerr=prediction.spreads, color=colour, ecolor="0.2")
    panel.set_yticks(places, prediction.outputs)
    panel.invert_yaxis()
    if prediction.label:
        panel.set_xlim(0.0, 1.05)
        panel.set_xlabel("probability, with its standard deviation")
        said = f"{prediction.label}, {prediction.probability:.2f} ± {prediction.spread:.2f}"
    else:
        panel.set_xlabel("value, with its standard deviation")
        said = "prediction"
    if prediction.abstained:
        said = "abstains"
    panel.set_title(f"{said}; novelty {prediction.novelty:.2f} (limit 1)", fontsize=10)
