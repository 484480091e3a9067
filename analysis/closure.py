"""Does the stage come back? What is left of an excursion that ends where it began.

Fiedler et al., Microsc. Microanal. 29 (2023), fig. 4: two axes are stepped in turn, outward along
each cardinal direction and back; target and reported position return, the actual one may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .alignment import HysteresisResult
from .steps import IMAGE_AXES

__all__ = ["Closure", "closures"]

_SAME_TARGET = 1e-4  # µm or deg, as in `analysis.steps`


@dataclass(frozen=True)
class Closure:
    """One excursion of several axes, one moving at a time, that ends at the target it began at.

    Parameters
    ----------
    stops : tuple of int
        Rows of the result, from the first stop to the last.
    axis, direction : str, int
        Where it went furthest.
    reported, actual : ndarray, shape (2,)
        Last less first position of x and y, µm; the actual one is NaN where images are missing.
    stderr : ndarray, shape (2,)
        Of `actual`, from the registrations.
    """

    stops: tuple[int, ...]
    axis: str
    direction: int
    reported: NDArray[np.float64]
    actual: NDArray[np.float64]
    stderr: NDArray[np.float64]

    @property
    def distance(self) -> float:
        """How far from its beginning the specimen ended, µm."""
        return float(np.hypot(*self.actual))


def closures(result: HysteresisResult) -> tuple[Closure, ...]:
    """Find the excursions of a run, in their order.

    Parameters
    ----------
    result : HysteresisResult

    Returns
    -------
    tuple of Closure
        Empty where no excursion moved several axes in turn.
    """
    away = result.target - result.target[0]
    home = np.flatnonzero((np.abs(np.nan_to_num(away)) < _SAME_TARGET).all(axis=1))
    return tuple(
        _closure(result, away, int(first), int(last))
        for first, last in pairwise(home)
        if last - first > 1 and _in_turn(result, int(first), int(last))
    )


def _in_turn(result: HysteresisResult, first: int, last: int) -> bool:
    moved = result.steps.direction[first:last] != 0
    return bool((moved.sum(axis=1) <= 1).all() and moved.any(axis=0).sum() > 1)


def _closure(result: HysteresisResult, away: NDArray[np.float64], first: int, last: int) -> Closure:
    reach = np.abs(away[first:last])
    stop, axis = np.unravel_index(int(np.nanargmax(reach)), reach.shape)
    images = slice(len(IMAGE_AXES))
    variance = np.full(2, np.nan)
    actual = np.full(2, np.nan)
    if result.chain[first] == result.chain[last]:
        variance = np.einsum("nii->i", result.steps.covariance[first:last])
        actual = result.actual[last] - result.actual[first]
    return Closure(
        stops=tuple(range(first, last + 1)),
        axis=result.steps.axes[axis],
        direction=1 if away[first + stop, axis] > 0 else -1,
        reported=result.reported[last, images] - result.reported[first, images],
        actual=actual,
        stderr=np.sqrt(variance),
    )
