"""What a force map shows of the sample: one panel a quantity, on the sample's own coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..style import letter

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

__all__ = ["Map", "draw_maps", "maps_figure"]

_COLUMNS = 3
_CLIPPED = (1.0, 99.0)  # percentiles: single bad pixels must not take the scale


@dataclass(frozen=True, eq=False)
class Map:
    """One quantity of a map.

    Parameters
    ----------
    name : str
        In words, with its unit.
    values : ndarray, shape (rows, columns)
        NaN where nothing was found.
    factor : float
        From the unit of `values` to that of the name.
    """

    name: str
    values: NDArray[np.float64]
    factor: float = 1.0


def maps_figure(maps: Sequence[Map], extent: tuple[float, float, float, float]) -> Figure:
    """Draw the maps, three in a row.

    Parameters
    ----------
    maps : sequence of Map
        At least one.
    extent : tuple of float
        x from, x to, y from, y to, µm; the first row lies at the first y.

    Returns
    -------
    matplotlib.figure.Figure
        4.2 inches wide and 3.7 high a panel.
    """
    from matplotlib.figure import Figure

    rows = ceil(len(maps) / _COLUMNS)
    columns = min(len(maps), _COLUMNS)
    figure = Figure(figsize=(4.2 * columns, 3.7 * rows), layout="constrained")
    draw_maps(figure, maps, extent, columns)
    return figure


def draw_maps(
    figure: FigureBase,
    maps: Sequence[Map],
    extent: tuple[float, float, float, float],
    columns: int,
    begin: int = 0,
) -> None:
    """Draw maps into a figure or a part of one, lettered from number `begin` of the alphabet on."""
    panels = figure.subplots(ceil(len(maps) / columns), columns, squeeze=False)
    for panel, shown in zip(panels.flat, maps, strict=False):
        values = shown.factor * shown.values
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, _CLIPPED) if finite.size else (0.0, 1.0)
        panel.set_facecolor("0.8")
        image = panel.imshow(
            values, origin="lower", extent=extent, cmap="cividis", vmin=low, vmax=high
        )
        panel.set_xlabel("x (µm)")
        panel.set_ylabel("y (µm)")
        figure.colorbar(image, ax=panel, shrink=0.85)
    for panel in panels.flat[len(maps) :]:
        panel.set_axis_off()
    letter(panels.flat, [shown.name for shown in maps], begin)
