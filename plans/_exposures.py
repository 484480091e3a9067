"""Images as rectangles on the specimen: how far they overlap, and what dose they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Exposure", "field_corners", "least_overlap", "most_exposed"]

_DECIMALS = 6  # of µm: fields that touch do not overlap by rounding


@dataclass(frozen=True, eq=False)
class Exposure:
    """An image to be taken.

    Parameters
    ----------
    low, high : ndarray, shape (2,)
        Corners of the field along the camera's (columns, rows), µm.
    dose : float
        Electrons per Å², 0 with the beam blanked.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    dose: float


def field_corners(
    centre: ArrayLike, size: NDArray[Any], camera_to_stage: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of a field along the camera's (columns, rows), µm.

    Parameters
    ----------
    centre : (x, y)
        On the stage, µm.
    size : ndarray, shape (2,)
        Of the field, (columns, rows) µm.
    camera_to_stage : ndarray, shape (2, 2)
        Takes (columns, rows) to (x, y).
    """
    middle = np.linalg.solve(camera_to_stage, np.asarray(centre, dtype=float))
    return np.round(middle - size / 2, _DECIMALS), np.round(middle + size / 2, _DECIMALS)


def least_overlap(exposures: Sequence[Exposure]) -> float:
    """Least part of the smaller field that two consecutive images share; NaN without two."""
    shared = [
        float(
            np.prod(np.maximum(0.0, np.minimum(a.high, b.high) - np.maximum(a.low, b.low)))
            / min(np.prod(a.high - a.low), np.prod(b.high - b.low))
        )
        for a, b in pairwise(exposures)
    ]
    return min(shared, default=float("nan"))


def most_exposed(exposures: Sequence[Exposure]) -> float:
    """Dose where most is added up, electrons per Å²; NaN if a dose is unknown.

    A line along the rows is swept over the columns: it changes at the sides of fields only.
    """
    if not exposures:
        return 0.0
    low, high = (np.array([getattr(e, side) for e in exposures]) for side in ("low", "high"))
    dose = np.array([e.dose for e in exposures])
    if np.isnan(dose).any():
        return float("nan")
    edges = np.unique([low[:, 1], high[:, 1]])
    first, last = np.searchsorted(edges, low[:, 1]), np.searchsorted(edges, high[:, 1])
    along, most = np.zeros(len(edges)), 0.0
    # at the same place fields end before others begin
    sides = [(x, 1, k) for k, x in enumerate(low[:, 0])]
    sides += [(x, -1, k) for k, x in enumerate(high[:, 0])]
    for _, sign, k in sorted(sides, key=lambda side: side[:2]):
        along[first[k] : last[k]] += sign * dose[k]
        most = max(most, float(along[first[k] : last[k]].max(initial=0.0)))
    return most
