"""What every step of registration needs of a field: its overlap, its window, its rings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fft import Image
from ._kernels import spikes_out

__all__ = [
    "edge_taper",
    "inner",
    "overlap_slices",
    "plane",
    "ring_index",
    "ring_members",
    "without_spikes",
]

# Noise gives one of some hundred thousand pixels so far from all four of its neighbours.
_SPIKE = 5.0


def overlap_slices(shift: int, length: int) -> tuple[slice, slice]:
    """Slices along one axis of the fixed and the moving image that show the same specimen."""
    return slice(max(0, shift), length + min(0, shift)), slice(
        max(0, -shift), length - max(0, shift)
    )


def plane(image: Image) -> tuple[Image, Image]:
    """Offsets of the rows and of the columns that make the mean and the linear gradient."""
    rows, columns = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in image.shape)
    along_rows, along_columns = image.mean(axis=1), image.mean(axis=0)
    mean = along_rows.mean()
    slope_rows = np.sum(rows * (along_rows - mean)) / np.sum(rows * rows)
    slope_columns = np.sum(columns * (along_columns - mean)) / np.sum(columns * columns)
    return mean + slope_rows * rows, slope_columns * columns


def without_spikes(image: Image) -> Image:
    """Give single pixels far outside their neighbours (hot, dead, hit by a particle) their mean."""
    # the median of the difference of two neighbours, as a standard deviation of one
    step = np.abs(np.diff(image[:: max(1, len(image) // 32)], axis=1))
    bound = np.float32(_SPIKE * float(np.median(step)) / (0.6745 * np.sqrt(2.0)))
    if not bound:
        return image
    return spikes_out(image, bound)


@lru_cache(maxsize=64)
def edge_taper(length: int, share: float, offset: float = 0.0) -> NDArray[np.float64]:
    """Tukey window of `length` samples, moved by `offset` samples; `share` tapers at each end."""
    position = (np.arange(length) + 0.5 + offset) / length
    edge = np.clip(np.minimum(position, 1.0 - position) / share, 0.0, 1.0)
    return _kept(0.5 - 0.5 * np.cos(np.pi * edge))


@lru_cache(maxsize=16)
def ring_index(shape: tuple[int, ...]) -> tuple[NDArray[np.intp], int]:
    """Ring number of each bin of an rfft2; bins beyond 0.5 cycles/px get the ring after the last.

    Returns
    -------
    rings : ndarray of int, shape (rows, columns // 2 + 1)
    count : int
        Number of rings up to 0.5 cycles per pixel.
    """
    count = int(np.clip(min(shape) // 4, 4, 64))
    rows = np.fft.fftfreq(shape[0]).astype(np.float32)
    columns = np.fft.rfftfreq(shape[1]).astype(np.float32)
    radius = np.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    return _kept(np.minimum(radius * (2 * count), count).astype(np.intp)), count


@lru_cache(maxsize=16)
def ring_members(shape: tuple[int, ...]) -> NDArray[np.int_]:
    """Number of bins of each ring of `ring_index`, shape (count + 1,)."""
    rings, count = ring_index(shape)
    return _kept(np.bincount(rings.ravel(), minlength=count + 1))


def _kept(array: NDArray[Any]) -> NDArray[Any]:
    """An array that is handed out more than once, and so must not be written to."""
    array.flags.writeable = False
    return array


def inner(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Sum of the products of two images, summed in an order that no thread count changes."""
    return float(np.einsum("ij,ij->i", a, b).sum(dtype=np.float64))
