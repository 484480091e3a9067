"""Where to send x and y so that few images identify a model of the stage.

Three parts in one unbroken chain of overlapping images, both axes at once (each image shows both):

1. Loops: legs of small steps, long ones over which every play and cell gives way, short ones that
   repeat the reversal. A stage slips in proportion to the way of a step, so that many small steps
   add up to less scatter than one large (reference model: 80 nm for a step of 2 µm or more).
2. A diamond over hundreds of µm: each axis runs over its whole span once in each direction, and the
   two are uncorrelated, which parts cross-talk from scale. Steps are uneven, so that no harmonic of
   the screw hides behind another.
3. A rest: creep and drift, seen when nothing moves.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["characterisation_targets"]

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
_UNEVEN = 0.7
_LONG_LEGS, _SHORT_LEGS = 6, 6
_LONG, _SHORT = 2.2, 1.0
_SMALL = 0.2
# Before the loops, over any play, so that it is known on which side all of them begin.
_PREPARE = 4.0
_SIDES = 4


def characterisation_targets(
    *,
    field_of_view: float = 32.0,
    centre: tuple[float, float] = (0.0, 0.0),
    diamond_images: int = 88,
    rest_images: int = 12,
) -> NDArray[np.float64]:
    """Targets of x and y, one row an image, in order.

    Parameters
    ----------
    field_of_view : float
        Smaller side of the image, µm, at least 10; the longest step is 0.7 of it, so that images
        overlap.
    centre : tuple of float
        Of the diamond, (x, y) µm; the run begins and ends at its corner on +x.
    diamond_images : int
        Images along the four sides, a multiple of 4, at least 16.
    rest_images : int
        Images at rest in the end, 0 or more.

    Returns
    -------
    ndarray, shape (n, 2)
        µm; 198 images by default.

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
    loops = _loops()
    along = np.arange(1, a_side + 1) + _UNEVEN * ((_GOLDEN * np.arange(1, a_side + 1)) % 1.0 - 0.5)
    along[-1] = a_side
    part = (along / a_side)[:, None]
    corners = reach * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]], dtype=float)
    sides = [a + part * (b - a) for a, b in pairwise(corners)]
    rest = np.repeat(corners[:1], rest_images, axis=0)
    return np.concatenate([loops[:, None] + corners[0], *sides, rest]) + np.asarray(centre)


def _loops() -> NDArray[np.float64]:
    """Positions of the loops of either axis about 0, µm; they end at 0, reached from above."""
    legs = [_LONG, -_LONG] * (_LONG_LEGS // 2) + [_SHORT, -_SHORT] * (_SHORT_LEGS // 2)
    steps = [-_PREPARE, *(math.copysign(_SMALL, leg) for leg in legs for _ in _steps(leg))]
    return np.concatenate([[0.0], np.cumsum(steps)]) + _PREPARE


def _steps(leg: float) -> range:
    return range(round(abs(leg) / _SMALL))
