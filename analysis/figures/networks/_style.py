"""Colours of models and channels, told apart by every reader, and in grey by their lightness.

Beside them, the lengths of the bars that intervals are drawn with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...evaluation import Interval

# Okabe & Ito's palette, and a marker for each, so that colour is not needed
SERIES = (
    ("#0072B2", "o"),
    ("#E69F00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#56B4E9", "v"),
    ("0.35", "P"),
)
NOTE = "0.45"
CHANCE = "0.6"


def series_style(place: int) -> tuple[str, str]:
    """Colour and marker of the series at a place."""
    return SERIES[place % len(SERIES)]


def reaches(intervals: Sequence[Interval]) -> NDArray[np.float64]:
    """How far intervals reach below and above their values.

    Returns
    -------
    ndarray, shape (2, n)
        At least 0; NaN, which is not drawn, where an interval has no ends.
    """
    ends = np.array([[each.low, each.value, each.high] for each in intervals]).reshape(-1, 3)
    ends[~np.isfinite(ends).all(axis=1)] = np.nan
    return np.maximum(np.diff(ends, axis=1).T, 0.0)
