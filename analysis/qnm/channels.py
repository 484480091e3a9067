"""What is in a channel, in a few numbers and a histogram?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log10

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BINS", "ChannelSummary", "as_image", "scaled", "summarise"]

BINS = 64
_RANGE = (0.5, 99.5)  # percentiles between which the histogram lies: outliers would take it all

_UNITS = ("m", "N", "Pa", "J", "V")
_PREFIXES: Mapping[int, str] = {
    -18: "a",
    -15: "f",
    -12: "p",
    -9: "n",
    -6: "µ",
    -3: "m",
    0: "",
    3: "k",
    6: "M",
    9: "G",
}


@dataclass(frozen=True, eq=False)
class ChannelSummary:
    """One channel of an image.

    Parameters
    ----------
    name, unit : str
        As recorded.
    low, median, high : float
        Percentiles 0.5, 50 and 99.5, in `unit`.
    counts : ndarray of int, shape (64,)
        Pixels in equal bins from `low` to `high`; what lies beyond them is in the outermost.
    missing : int
        Pixels that are not finite.
    """

    name: str
    unit: str
    low: float
    median: float
    high: float
    counts: NDArray[np.int64]
    missing: int

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (65,), in `unit`."""
        return np.linspace(self.low, self.high, self.counts.size + 1)


def as_image(image: ArrayLike, what: str = "the image") -> NDArray[np.float64]:
    """Return `image` as a float array of two dimensions.

    Raises
    ------
    ValueError
        It has others, or no finite pixel.
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"{what} has shape {array.shape}: give (lines, points)")
    if not np.isfinite(array).any():
        raise ValueError(f"{what} has no finite pixel")
    return array


def summarise(name: str, unit: str, image: ArrayLike) -> ChannelSummary:
    """Summarise a channel.

    Parameters
    ----------
    name, unit : str
        As recorded.
    image : array_like, shape (lines, points)
        NaN where nothing was measured.

    Raises
    ------
    ValueError
        The image has not two dimensions, or no finite pixel.
    """
    array = as_image(image, name)
    finite = array[np.isfinite(array)]
    low, median, high = np.percentile(finite, (_RANGE[0], 50.0, _RANGE[1]))
    # a channel may hold one value alone: a bin of no width holds nothing
    span = (low, high) if high > low else (low - 0.5, low + 0.5)
    counts, _ = np.histogram(np.clip(finite, *span), bins=BINS, range=span)
    return ChannelSummary(
        name=name,
        unit=unit,
        low=float(span[0]),
        median=float(median),
        high=float(span[1]),
        counts=counts,
        missing=array.size - finite.size,
    )


def scaled(low: float, high: float, unit: str) -> tuple[float, str]:
    """Return factor and unit in which a range of values reads well, such as 1e9 and nm."""
    largest = max(abs(low), abs(high))
    if unit not in _UNITS or not largest > 0:
        return 1.0, unit
    power = 3 * floor(log10(largest) / 3)
    power = min(max(power, min(_PREFIXES)), max(_PREFIXES))
    return 10.0**-power, _PREFIXES[power] + unit
