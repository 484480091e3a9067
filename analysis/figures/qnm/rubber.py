"""How stiff is the rubber of each sample? Bruker application note 155, fig. 1b."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...qnm.channels import scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...qnm import Rubber

__all__ = ["RubberCurve", "modulus_figure"]

_POINTS = 160  # of a curve over all moduli
# Okabe & Ito's palette, then the same dashed: nine samples are told apart, in grey by their marks
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9")
_STYLES = ("-", "--")


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
    """Draw the distribution of the DMT modulus over the rubber of each sample.

    Parameters
    ----------
    curves : sequence of RubberCurve
        At least one.
    unit : str
        Of the moduli.

    Returns
    -------
    matplotlib.figure.Figure
        7.2 by 4.6 inches.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    low = min(image.log_range[0] for curve in curves for image in curve.images)
    high = max(image.log_range[1] for curve in curves for image in curve.images)
    edges = np.linspace(low, high, _POINTS + 1)
    factor, named = scaled(0.0, 10.0 ** (0.5 * (low + high)), unit)
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    panel = figure.subplots()
    middles = factor * 10.0 ** (0.5 * (edges[1:] + edges[:-1]))
    for place, curve in enumerate(curves):
        panel.plot(
            middles,
            curve.density(edges),
            color=_COLOURS[place % len(_COLOURS)],
            ls=_STYLES[place // len(_COLOURS) % len(_STYLES)],
            label=f"{curve.name}, {factor * curve.median:.3g} {named} "
            f"({len(curve.images)} image{'s' if len(curve.images) > 1 else ''})",
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_formatter(ScalarFormatter())
    panel.set_xlabel(f"DMT modulus of the rubber ({named})")
    panel.set_ylabel("share of the pixels a decade")
    panel.set_ylim(bottom=0.0)
    panel.legend(fontsize=9, frameon=False, title="sample, median")
    return figure
