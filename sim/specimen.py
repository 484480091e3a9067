"""What is there to be seen: a texture without end, or a real micrograph.

A specimen gives the signal of an annular dark-field detector, 0 to 1, at any point of the plane.
Both specimens are smooth (continuously differentiable), so that a shift of a fraction of a pixel
is as physical as one of many.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim.texture import (
    PARTICLE,
    TEXTURE,
    add_gradient_noise,
    add_particles,
    sample_spline,
    to_signal,
)

__all__ = ["MicrographSpecimen", "ProceduralSpecimen", "Specimen"]

_SMALLEST_MICROGRAPH = 16  # pixels: less holds nothing to register


class Specimen(Protocol):
    """Anything that has a signal at every point of the plane."""

    def sample(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the signal at points of the specimen.

        Parameters
        ----------
        x, y : ndarray
            Coordinates in metres, of the same shape.

        Returns
        -------
        ndarray of float32
            Signal, 0 to 1, of the same shape.
        """
        ...


class ProceduralSpecimen:
    """A supported catalyst: a mottled support of unlimited extent with sparse bright particles.

    Gradient noise (Perlin 2002) in octaves from 10 nm to several um, each on a lattice of its own,
    turned against the others, with grains of the support up to 1 um in radius and metal particles
    of 5 nm to 0.6 um. Lattice points get their values by hashing, so nothing is stored and nothing
    repeats.

    Parameters
    ----------
    seed : int
        The same seed gives the same specimen.
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 2**63:
            raise ValueError(
                f"specimen seed {seed!r} is not allowed: a whole number from 0 to 2^63-1"
            )
        self._seed = int(seed)

    def sample(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the signal at points of the specimen; see `Specimen.sample`."""
        flat_x, flat_y, shape = _points(x, y)
        signal = np.zeros(flat_x.size, dtype=np.float32)
        add_gradient_noise(flat_x, flat_y, self._seed, TEXTURE, signal)
        add_particles(flat_x, flat_y, self._seed, PARTICLE, signal)
        to_signal(signal)
        return signal.reshape(shape)


class MicrographSpecimen:
    """A real micrograph, mirrored at its edges, between its pixels a cubic B-spline.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Any real numbers; scaled so that the least becomes 0 and the greatest 1. Columns lie along
        x, rows along y.
    pixel_size_m : float
        Metres.
    origin : tuple of float, optional
        Row and column of the pixel that lies at x = y = 0; the middle of the image by default.

    Raises
    ------
    ValueError
        When the image is not two-dimensional, too small, constant or not finite.
    """

    def __init__(
        self,
        image: NDArray[np.generic],
        pixel_size_m: float,
        *,
        origin: tuple[float, float] | None = None,
    ) -> None:
        from scipy.ndimage import spline_filter

        image = np.asarray(image)
        if image.ndim != 2:
            raise ValueError(f"micrograph of shape {image.shape} is not allowed: 2-D greyscale")
        if min(image.shape) < _SMALLEST_MICROGRAPH:
            raise ValueError(
                f"micrograph of shape {image.shape} is too small: "
                f"at least {_SMALLEST_MICROGRAPH} pixels a side"
            )
        if image.dtype.kind not in "buif":
            raise ValueError(f"micrograph of type {image.dtype} is not allowed: real numbers")
        values = image.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("micrograph holds NaN or infinity: only finite values are allowed")
        least, greatest = values.min(), values.max()
        if least == greatest:
            raise ValueError("micrograph is constant: there is nothing to be seen in it")
        if not (math.isfinite(pixel_size_m) and pixel_size_m > 0):
            raise ValueError(f"micrograph pixel size {pixel_size_m!r} m is not allowed: above 0")
        self._pixel_size = float(pixel_size_m)
        rows, cols = image.shape
        self._shape = (rows, cols)
        row, col = ((rows - 1) / 2, (cols - 1) / 2) if origin is None else origin
        if not (0 <= row <= rows - 1 and 0 <= col <= cols - 1):
            raise ValueError(
                f"micrograph origin {origin!r} is outside the image: "
                f"row 0..{rows - 1}, column 0..{cols - 1}"
            )
        self._origin = (float(row), float(col))
        scaled = (values - least) / (greatest - least)
        self._coefficients = np.ascontiguousarray(spline_filter(scaled, order=3, mode="mirror"))

    @property
    def extent(self) -> tuple[float, float]:
        """Width along x and height along y before it is mirrored, metres."""
        return self._shape[1] * self._pixel_size, self._shape[0] * self._pixel_size

    def sample(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the signal at points of the specimen; see `Specimen.sample`."""
        flat_x, flat_y, shape = _points(x, y)
        signal = np.empty(flat_x.size, dtype=np.float32)
        sample_spline(
            flat_x, flat_y, self._coefficients, 1.0 / self._pixel_size, self._origin, signal
        )
        return signal.reshape(shape)


def _points(
    x: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
    """Return the coordinates as flat arrays, and their shape."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"x of shape {x.shape} and y of shape {y.shape}: give equal shapes")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("specimen coordinates hold NaN or infinity: give finite metres")
    return np.ascontiguousarray(x).ravel(), np.ascontiguousarray(y).ravel(), x.shape
