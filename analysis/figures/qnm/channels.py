"""What an image shows: a map and a histogram of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...qnm.channels import scaled
from ..style import letter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Channel", "channels_figure"]

_COLUMNS = 4
_CLIPPED = (0.5, 99.5)  # percentiles: single bad pixels must not take the scale
_BINS = 64


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel of an image.

    Parameters
    ----------
    name : str
        As recorded.
    values : ndarray, shape (lines, points)
        The first line lies lowest; NaN where nothing is measured yet.
    unit : str
        Of the values.
    """

    name: str
    values: NDArray[np.floating]
    unit: str

    @property
    def title(self) -> str:
        """The name in words."""
        words = self.name.replace("_", " ")
        return words.replace("dmt", "DMT")


def channels_figure(
    channels: Sequence[Channel], size: tuple[float, float], title: str = ""
) -> Figure:
    """Draw each channel as a map, with its histogram below it.

    Parameters
    ----------
    channels : sequence of Channel
        At least one.
    size : tuple of float
        Sides along the lines and across them, µm.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure
        3.9 inches wide a panel, four in a row.
    """
    from matplotlib.figure import Figure

    columns = min(len(channels), _COLUMNS)
    rows = ceil(len(channels) / columns)
    figure = Figure(figsize=(3.9 * columns, 4.6 * rows), layout="constrained")
    panels = figure.subplots(
        2 * rows, columns, squeeze=False, gridspec_kw={"height_ratios": [3.4, 1.0] * rows}
    )
    maps, histograms = panels[0::2].ravel(), panels[1::2].ravel()
    for place, channel in enumerate(channels):
        _draw(maps[place], histograms[place], channel, size)
    for panel in (*maps[len(channels) :], *histograms[len(channels) :]):
        panel.set_axis_off()
    letter(maps, [channel.title for channel in channels])
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _draw(panel, histogram, channel: Channel, size: tuple[float, float]) -> None:
    values = np.asarray(channel.values, dtype=np.float64)
    if channel.name.startswith("height"):
        values = _levelled(values)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, _CLIPPED) if finite.size else (0.0, 1.0)
    factor, unit = scaled(low, high, channel.unit)
    shown = f"{channel.title} ({unit})" if unit not in ("", "1") else channel.title
    extent = (0.0, size[0], 0.0, size[1])
    low, high = factor * low, factor * high
    panel.set_facecolor("0.8")
    image = panel.imshow(
        factor * values, origin="lower", extent=extent, cmap="cividis", vmin=low, vmax=high
    )
    panel.set_xlabel("fast axis (µm)")
    panel.set_ylabel("slow axis (µm)")
    panel.figure.colorbar(image, ax=panel, shrink=0.85, label="" if unit == "1" else unit)
    if high > low:
        histogram.hist(factor * finite, bins=_BINS, range=(low, high), color="0.35")
    histogram.set_xlabel(shown)
    histogram.set_ylabel("pixels")


def _levelled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Less the plane through it, as every AFM shows heights; lowest at 0."""
    known = np.isfinite(values)
    if known.sum() < 3:
        return values
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    terms = np.stack([np.ones(known.sum()), rows[known], columns[known]], axis=-1)
    smooth = ndimage.median_filter(np.where(known, values, np.nanmedian(values)), 3)
    plane, *_ = np.linalg.lstsq(terms, smooth[known], rcond=None)
    level = values - (plane[0] + plane[1] * rows + plane[2] * columns)
    return level - np.nanpercentile(level, _CLIPPED[0])
