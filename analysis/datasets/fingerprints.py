"""Are two images the same one, perhaps turned, flipped or a little changed?

A thumbnail of few pixels, by area averaging, levelled and of unit norm, is an image's fingerprint:
the scalar product of two is their correlation. Noise averages out in it and a gain drops out, so
copies stay near 1, while images of different fields of one material stay far below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FINGERPRINT", "ORIENTATIONS", "Copy", "area_averaged", "copies", "fingerprint"]

FINGERPRINT = 32
"""Lines and points of a fingerprint."""

ORIENTATIONS: tuple[str, ...] = (
    "as it is",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "flipped",
    "flipped and turned by 90°",
    "flipped and turned by 180°",
    "flipped and turned by 270°",
)
"""The orientations of a square."""

_TURNED = (1, 3, 5, 7)  # of the orientations, those that exchange lines and points
_OUTLIERS = (1.0, 99.0)  # percentiles to which an image is cut: spikes would be all that is left
_ROWS = 256  # images at a time: 8 MB of correlations with a thousand others


@dataclass(frozen=True)
class Copy:
    """Two images that are one.

    Parameters
    ----------
    first, second : int
        The images.
    channel : int
        In which they are.
    orientation : int
        Of the second against the first, of `ORIENTATIONS`.
    correlation : float
        Of their fingerprints.
    """

    first: int
    second: int
    channel: int
    orientation: int
    correlation: float


def area_averaged(image: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Resample an image: each new pixel is the mean over its area.

    Parameters
    ----------
    image : array_like, shape (lines, points)
    shape : (int, int)
        New lines and points.

    Returns
    -------
    ndarray, shape (lines, points)
    """
    array = np.asarray(image, dtype=np.float64)
    lines, points = (_weights(old, new) for old, new in zip(array.shape, shape, strict=True))
    return lines @ array @ points.T


def _weights(old: int, new: int) -> NDArray[np.float64]:
    """Part of each new pixel, a row, that lies in each old one, a column."""
    edges = np.arange(new + 1) * (old / new)
    pixels = np.arange(old)
    upper = np.minimum(edges[1:, np.newaxis], pixels + 1)
    lower = np.maximum(edges[:-1, np.newaxis], pixels)
    return np.clip(upper - lower, 0.0, None) * (new / old)


def fingerprint(image: ArrayLike) -> NDArray[np.float32]:
    """Make the fingerprint of an image.

    Parameters
    ----------
    image : array_like, shape (lines, points)
        In any unit.

    Returns
    -------
    ndarray of float32, shape (FINGERPRINT, FINGERPRINT)
        Of unit norm; zero for an image without any contrast but a slope.
    """
    array = np.asarray(image, dtype=np.float64)
    cut = np.clip(array, *np.percentile(array, _OUTLIERS))
    spread = float(np.ptp(cut))
    if spread == 0.0:
        return np.zeros((FINGERPRINT, FINGERPRINT), np.float32)
    small = area_averaged((cut - cut.mean()) / spread, (FINGERPRINT, FINGERPRINT))
    line = np.arange(FINGERPRINT) - (FINGERPRINT - 1) / 2
    line /= np.linalg.norm(line) * np.sqrt(FINGERPRINT)
    small -= small.mean()
    small -= np.sum(small * line) * line
    small -= np.sum(small * line[:, np.newaxis]) * line[:, np.newaxis]
    norm = float(np.linalg.norm(small))
    # what is left of a plane is rounding
    return (small / norm if norm > 1e-9 else np.zeros_like(small)).astype(np.float32)


def copies(
    fingerprints: NDArray[np.float32],
    rows: ArrayLike,
    columns: ArrayLike,
    *,
    similarity: float,
    square: bool,
) -> Iterator[Copy]:
    """Find images of one set that are those of another, in any orientation.

    Parameters
    ----------
    fingerprints : ndarray of float32, shape (n, channels, FINGERPRINT, FINGERPRINT)
    rows, columns : array_like of int
        The two sets; of images that are in both, each pair is found once.
    similarity : float
        Least correlation of a copy.
    square : bool
        Whether the images are square: others cannot be turned by 90°.

    Yields
    ------
    Copy
        At most one for each pair of images, in their most similar channel and orientation.
    """
    left, right = (np.unique(np.asarray(each, dtype=np.intp)) for each in (rows, columns))
    if not left.size or not right.size:
        return
    turned = [
        (number, image)
        for number, image in enumerate(_oriented(fingerprints[right]))
        if square or number not in _TURNED
    ]
    shared = np.isin(right, left)
    for first in range(0, len(left), _ROWS):
        block = left[first : first + _ROWS]
        best = np.full((len(block), len(right)), -1.0, dtype=np.float32)
        where = np.zeros((2, len(block), len(right)), dtype=np.int8)
        for channel in range(fingerprints.shape[1]):
            mine = fingerprints[block, channel].reshape(len(block), -1)
            for number, image in turned:
                found = mine @ image[:, channel].reshape(len(right), -1).T
                better = found > best
                best[better] = found[better]
                where[0][better], where[1][better] = channel, number
        itself = (block[:, np.newaxis] >= right) & shared & np.isin(block, right)[:, np.newaxis]
        best[itself] = -1.0
        for i, j in zip(*np.nonzero(best >= similarity), strict=True):
            channel, number = int(where[0, i, j]), int(where[1, i, j])
            yield Copy(int(block[i]), int(right[j]), channel, number, float(best[i, j]))


def _oriented(images: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for flipped in (images, images[..., ::-1, :]):
        for turns in range(4):
            yield np.rot90(flipped, turns, axes=(-2, -1))
