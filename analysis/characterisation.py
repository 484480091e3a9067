"""Where to send x and y so that few images identify a model of the stage.

Three parts in one chain of overlapping images, both axes at once (each image shows both):

1. Loops: long legs out and back, over which every play and cell gives way. The images lie close
   where the play is taken up, and apart where the cells follow.
2. A diamond over hundreds of µm: each axis runs over its whole span once in each direction, and the
   two are uncorrelated, which parts cross-talk from scale. Steps are uneven, so that no harmonic of
   the screw hides behind another.
3. A rest: creep and drift, seen when nothing moves.

A stage slips in proportion to the way of a move (reference model: 80 nm for 2 µm or more), so that
many small moves add up to less scatter than one large. The path is therefore full of small moves
without images: all along the loops, and before every image of the diamond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["CharacterisationPath", "characterisation_path", "characterisation_targets"]

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
_UNEVEN = 0.7
_LEGS = 8
# Way of a leg to each of its images, µm.
_IMAGED = (0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.9, 1.2, 1.6, 2.2, 3.0)
_LONG = _IMAGED[-1]
# Twice what sticks in the reference model (25 nm).
_SMALL = 0.05
# Moves of half a µm before an image of the diamond: after them little is left of earlier slip.
_APPROACH, _APPROACH_STEP = 5, 0.5
# Before the loops, over any play, so that it is known on which side all of them begin.
_PREPARE = 4.0
_SIDES = 4


@dataclass(frozen=True)
class CharacterisationPath:
    """The moves of a characterisation, in order.

    Parameters
    ----------
    target : ndarray, shape (n, 2)
        Of x and y, µm.
    imaged : ndarray of bool, shape (n,)
        Whether an image is taken there. At the others the stage need not settle, and the actual
        position stays unknown.
    """

    target: NDArray[np.float64]
    imaged: NDArray[np.bool_]


def characterisation_targets(
    *,
    field_of_view: float = 32.0,
    centre: tuple[float, float] = (0.0, 0.0),
    diamond_images: int = 96,
    rest_images: int = 4,
) -> NDArray[np.float64]:
    """Targets of the images of `characterisation_path`, shape (n, 2), µm, with its parameters."""
    path = characterisation_path(
        field_of_view=field_of_view,
        centre=centre,
        diamond_images=diamond_images,
        rest_images=rest_images,
    )
    return path.target[path.imaged]


def characterisation_path(
    *,
    field_of_view: float = 32.0,
    centre: tuple[float, float] = (0.0, 0.0),
    diamond_images: int = 96,
    rest_images: int = 4,
) -> CharacterisationPath:
    """Moves of x and y, in order; 198 images by default.

    Parameters
    ----------
    field_of_view : float
        Smaller side of the image, µm, at least 10; the longest way between two images is 0.7 of it,
        so that they overlap.
    centre : tuple of float
        Of the diamond, (x, y) µm; the run begins and ends at its corner on +x.
    diamond_images : int
        Images along the four sides, a multiple of 4, at least 16.
    rest_images : int
        Images at rest in the end, 0 or more.

    Returns
    -------
    CharacterisationPath

    Raises
    ------
    ValueError
        If a number is not allowed.
    """
    if not 10.0 <= field_of_view < math.inf:
        raise ValueError(f"field_of_view is {field_of_view!r} µm, must be 10 or more")
    if diamond_images < 16 or diamond_images % _SIDES:
        raise ValueError(f"diamond_images is {diamond_images!r}, must be a multiple of 4, from 16")
    if rest_images < 0:
        raise ValueError(f"rest_images is {rest_images!r}, must be 0 or more")
    a_side = diamond_images // _SIDES
    # the longest of the uneven steps is (1 + 0.7 x 0.62) of the mean, along both axes at once
    reach = 0.7 * field_of_view / math.sqrt(2.0) / (1.0 + _UNEVEN * _GOLDEN) * a_side
    corners = reach * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]], dtype=float)
    loops, seen = _loops()
    moves = [_approached(a, b) for a, b in pairwise(_stops(corners, a_side))]
    rest = np.repeat(corners[:1], rest_images, axis=0)
    target = np.concatenate([loops[:, None] + corners[0], *moves, rest]) + np.asarray(centre)
    last_of_each = np.concatenate([np.arange(1, len(move) + 1) == len(move) for move in moves])
    return CharacterisationPath(
        target, np.concatenate([seen, last_of_each, np.ones(rest_images, dtype=bool)])
    )


def _loops() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Positions of either axis, µm, to 0 reached from above; and where there are images."""
    moves = round(_LONG / _SMALL)
    way = _SMALL * np.arange(1, moves + 1)
    wanted = np.isin(np.arange(1, moves + 1), np.rint(np.array(_IMAGED) / _SMALL))
    legs = [-_PREPARE + (way if leg % 2 == 0 else _LONG - way) for leg in range(_LEGS)]
    position = np.concatenate([[0.0, -_PREPARE], *legs]) + _PREPARE
    return position, np.concatenate([[True, True], np.tile(wanted, _LEGS)])


def _stops(corners: NDArray[np.float64], a_side: int) -> NDArray[np.float64]:
    """Where the diamond has its images, its first corner before them, shape (4 a_side + 1, 2)."""
    along = np.arange(1, a_side + 1) + _UNEVEN * ((_GOLDEN * np.arange(1, a_side + 1)) % 1.0 - 0.5)
    along[-1] = a_side
    part = (along / a_side)[:, None]
    return np.concatenate([corners[:1], *(a + part * (b - a) for a, b in pairwise(corners))])


def _approached(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Targets on the way from one image to the next, the next one last."""
    way = end - start
    left = _APPROACH_STEP * np.arange(_APPROACH, -1, -1) / np.abs(way).max()
    return end - left[left < 1.0, None] * way
