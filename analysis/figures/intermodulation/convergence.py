"""How many tones does a reconstruction need?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..style import letter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Convergence", "convergence_figure"]

_LOOKS = (("o", "-", "#0072B2"), ("s", "--", "#009E73"))


@dataclass(frozen=True, eq=False)
class Convergence:
    """Error of reconstructions from a growing number of tones.

    Parameters
    ----------
    tones : ndarray of int, shape (n,)
        Tones of the band that were used.
    conservative, dissipative : ndarray, shape (n,)
        Relative rms errors; NaN where there are fewer equations than unknowns.
    """

    tones: NDArray[np.int64]
    conservative: NDArray[np.float64]
    dissipative: NDArray[np.float64]


def convergence_figure(bands: Mapping[str, Convergence], degree: int) -> Figure:
    """Draw the error against the number of tones (fig. 8).

    Parameters
    ----------
    bands : mapping of str to Convergence
        By the words of the legend.
    degree : int
        Of the polynomial: half of it and the whole are marked.

    Returns
    -------
    matplotlib.figure.Figure
        10 by 4.2 inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for (name, found), (marker, dash, color) in zip(bands.items(), _LOOKS, strict=False):
        style = {"marker": marker, "ls": dash, "color": color, "ms": 5.0, "label": name}
        panels[0].plot(found.tones, found.conservative, **style)
        panels[1].plot(found.tones, found.dissipative, **style)
    for panel in panels:
        panel.set_yscale("log")
        panel.set_xlabel("tones of the band")
        panel.set_ylabel("relative error")
        for mark in (degree / 2, degree):
            panel.axvline(mark, color="0.7", lw=0.8, ls=":", zorder=0)
        panel.legend(fontsize=8.5, frameon=False)
    letter(panels, (f"conservative; dotted: {degree} / 2 and {degree} tones", "dissipative"))
    return figure
