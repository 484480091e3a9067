"""How stiff is the rubber of each sample? Bruker application note 155, fig. 1b."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ...qnm.channels import scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...qnm import Rubber

__all__ = ["RubberCurve", "modulus_figure"]

_POINTS = 160  # of a curve over all moduli
_BLUR = 2.0  # points: few images make a rough curve
_HEIGHT = 0.9  # of a ridge, of the distance of two
_FILL, _LINE, _MEDIAN = "#9ECAE1", "#0072B2", "black"


@dataclass(frozen=True, eq=False)
class RubberCurve:
    """The rubber of one sample, in one image or many.

    Parameters
    ----------
    name : str
        Of the sample.
    images : sequence of Rubber
        At least one.
    """

    name: str
    images: Sequence[Rubber]

    @property
    def median(self) -> float:
        """Median over the images of the modulus of each, in the unit of the modulus."""
        return float(np.median([image.modulus for image in self.images]))

    def density(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the pixels a factor of ten of modulus, between `edges` (its logarithm)."""
        total = np.zeros(edges.size - 1)
        for image in self.images:
            old = np.linspace(*image.log_range, image.counts.size + 1)
            cumulative = np.concatenate([[0.0], np.cumsum(image.counts)]) / image.counts.sum()
            total += np.diff(np.interp(edges, old, cumulative))
        return total / len(self.images) / np.diff(edges)


def modulus_figure(curves: Sequence[RubberCurve], unit: str = "Pa") -> Figure:
    """Draw the distribution of the DMT modulus over the rubber of each sample, one above another.

    Parameters
    ----------
    curves : sequence of RubberCurve
        At least one.
    unit : str
        Of the moduli.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 inches wide, 1.4 high and 0.5 a sample.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    low = min(image.log_range[0] for curve in curves for image in curve.images)
    high = max(image.log_range[1] for curve in curves for image in curve.images)
    edges = np.linspace(low, high, _POINTS + 1)
    factor, named = scaled(0.0, 10.0 ** (0.5 * (low + high)), unit)
    figure = Figure(figsize=(7.2, 1.4 + 0.5 * len(curves)), layout="constrained")
    panel = figure.subplots()
    middles = factor * 10.0 ** (0.5 * (edges[1:] + edges[:-1]))
    for row, curve in enumerate(reversed(curves)):
        density = gaussian_filter1d(curve.density(edges), _BLUR)
        ridge = row + _HEIGHT * density / density.max()
        panel.fill_between(middles, row, ridge, color=_FILL, lw=0, zorder=-row)
        panel.plot(middles, ridge, color=_LINE, lw=1.0, zorder=-row)
        median = factor * curve.median
        panel.plot([median, median], [row, row + _HEIGHT], color=_MEDIAN, lw=1.4, zorder=1)
        count = len(curve.images)
        panel.text(
            1.01,
            row,
            f"{median:.3g} {named}, {count} image{'s' if count > 1 else ''}",
            transform=panel.get_yaxis_transform(),
            fontsize=9,
        )
    panel.set_yticks(range(len(curves)), [curve.name for curve in reversed(curves)])
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(f"DMT modulus of the rubber ({named}); line: median")
    panel.set_ylabel("sample")
    return figure
