"""Images of a run laid on the stage where the images say they are, half transparent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..alignment import HysteresisResult
from ..steps import IMAGE_AXES
from .style import FIRST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Tiles", "draw_tiles"]

_LOW, _HIGH = 1.0, 99.5  # percentiles of the grey levels that are shown


@dataclass(frozen=True)
class Tiles:
    """Images of a run and what lays them on the stage.

    Parameters
    ----------
    images : mapping of int to ndarray (rows, columns)
        Image of each event number; those of one leg an axis are enough.
    pixel_size_nm : float
    camera_to_stage : ndarray, shape (2, 2)
        Takes (columns, rows) to (x, y).
    """

    images: Mapping[int, NDArray[Any]]
    pixel_size_nm: float
    camera_to_stage: ArrayLike = ((1.0, 0.0), (0.0, 1.0))

    def shown(self, result: HysteresisResult, stops: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the stops that have an image and share the chain of the first."""
        chained = result.chain[stops] == result.chain[stops[0]]
        there = np.array([int(number) in self.images for number in result.seq_num[stops]])
        return stops[chained & there]


def draw_tiles(
    panel: Axes,
    result: HysteresisResult,
    stops: NDArray[np.int64],
    tiles: Tiles,
    *,
    along: int = 0,
    marked: Collection[int] = (),
) -> None:
    """Overlay tiles, 50 % transparent, at their actual positions.

    Parameters
    ----------
    panel : matplotlib.axes.Axes
    result : HysteresisResult
    stops : ndarray of int
        Rows of the result, in the order they are laid down; each with an image.
    tiles : Tiles
    along : int
        Axis (0 or 1, x or y) along the page; y turns the view by 90 degrees, x points down.
    marked : collection of int
        Stops outlined in red.
    """
    from matplotlib.transforms import Affine2D

    order = [along, 1 - along]
    scale = np.asarray(tiles.camera_to_stage, dtype=float) * tiles.pixel_size_nm * 1e-3
    scale = scale[order]
    corners = []
    shown = [np.asarray(tiles.images[int(n)], dtype=float) for n in result.seq_num[stops]]
    low, high = np.percentile(np.stack(shown), (_LOW, _HIGH))
    for stop, image in zip(stops, shown, strict=True):
        rows, columns = image.shape
        centre = np.nan_to_num(result.actual[stop][order])  # an axis that was not recorded
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = scale, centre
        half = np.array([(columns, rows), (-columns, rows), (-columns, -rows), (columns, -rows)])
        outline = centre + 0.5 * half @ scale.T
        corners.append(outline)
        # an opaque copy below keeps the page from shining through
        for alpha, level in ((1.0, 0), (0.5, 1)):
            drawn = panel.imshow(
                image,
                cmap="gray",
                vmin=low,
                vmax=high,
                alpha=alpha,
                zorder=level,
                origin="lower",
                extent=(-columns / 2, columns / 2, -rows / 2, rows / 2),
                interpolation="antialiased",
            )
            drawn.set_transform(Affine2D(matrix) + panel.transData)
        edge, width, level = (FIRST, 1.6, 3) if stop in marked else ("0.15", 0.6, 2)
        panel.fill(*outline.T, fill=False, ec=edge, lw=width, zorder=level)
    low_xy, high_xy = np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0)
    margin = 0.02 * (high_xy - low_xy).max()
    panel.set_xlim(low_xy[0] - margin, high_xy[0] + margin)
    upright = (low_xy[1] - margin, high_xy[1] + margin)
    panel.set_ylim(upright if along == 0 else upright[::-1])
    panel.set_aspect("equal")
    panel.set_xlabel(f"actual {IMAGE_AXES[along]} (µm)")
    panel.set_ylabel(f"actual {IMAGE_AXES[1 - along]} (µm)")
