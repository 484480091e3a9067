"""Refusal of images and pixel sizes that no tip can be estimated from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["checked_image", "checked_pixel"]


def checked_pixel(pixel_size: float | tuple[float, float]) -> tuple[float, float]:
    """Return the distances of lines and points, m.

    Raises
    ------
    ValueError
        When they are not one or two finite numbers above 0.
    """
    sizes = np.atleast_1d(np.asarray(pixel_size, np.float64))
    if sizes.shape not in ((1,), (2,)) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(
            f"pixel_size {pixel_size!r} m is not allowed: one number above 0, or (lines, points)"
        )
    return float(sizes[0]), float(sizes[-1])


def checked_image(image: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return an image as contiguous numbers.

    Raises
    ------
    ValueError
        When it is not two-dimensional, or not finite everywhere.
    """
    heights = np.asarray(image)
    if heights.ndim != 2 or heights.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} of shape {heights.shape} and type {heights.dtype} is not allowed: "
            "heights of shape (lines, points)"
        )
    heights = np.ascontiguousarray(heights, dtype=np.float64)
    missing = heights.size - int(np.isfinite(heights).sum())
    if missing:
        raise ValueError(f"{name} has {missing} of {heights.size} pixels without a finite height")
    return heights
