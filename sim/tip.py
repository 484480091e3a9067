"""The shape of a tip: what it is, how it wears, and what it makes of a surface.

An image is the grey dilation of the surface by the tip (Villarrubia, J. Res. Natl. Inst. Stand.
Technol. 102, 425 (1997)). Wear follows Archard, J. Appl. Phys. 24, 981 (1953): the volume that is
gone grows with the distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import grey_dilation
from scipy.optimize import brentq

__all__ = ["Double", "Paraboloid", "SphereCone", "Tip", "Worn", "reach", "scan_surface", "worn_by"]

_HALF_ANGLE = math.radians(18.0)  # of an etched silicon tip; instruments assume 0.314 rad
_WORKING_DEPTH = 10e-9  # m: how deep tips press into a polymer; sets the radius of a worn one


class Tip(Protocol):
    """A tip that points down, its apex at the origin."""

    @property
    def radius(self) -> float:
        """Radius of the sphere that presses into a sample like this tip, m."""
        ...

    def rise(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return how far the tip's surface is above its apex at x, y (m), m."""
        ...

    def half_width(self, height: float) -> float:
        """Return the radius of a circle that holds the tip's section at a height (m), m."""
        ...

    def raster(self, pixel: float | tuple[float, float], size: int) -> NDArray[np.float64]:
        """Return the tip as a spike would image it: 0 in the middle, falling around it.

        Parameters
        ----------
        pixel : float or tuple of float
            Distance of rows and columns, m.
        size : int
            Rows and columns, an odd number.

        Returns
        -------
        ndarray, shape (size, size)
            m.
        """
        ...


class _Shape:
    """What all tips share."""

    def rise(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return how far the tip's surface is above its apex at x, y (m), m."""
        raise NotImplementedError

    def raster(self, pixel: float | tuple[float, float], size: int) -> NDArray[np.float64]:
        """Return the tip as a spike would image it; see `Tip.raster`.

        Raises
        ------
        ValueError
            When the size is not odd or the pixel not above 0.
        """
        dy, dx = pixel if isinstance(pixel, tuple) else (pixel, pixel)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size {size!r} is not allowed: an odd number of pixels")
        if not (dy > 0 and dx > 0):
            raise ValueError(f"pixel {pixel!r} m is not allowed: above 0")
        offset = np.arange(size) - size // 2
        y, x = np.meshgrid(dy * offset, dx * offset, indexing="ij")
        return -self.rise(-x, -y)


@dataclass(frozen=True)
class Paraboloid(_Shape):
    """A paraboloid of revolution.

    Parameters
    ----------
    radius : float
        Of curvature at the apex, m.
    """

    radius: float

    def __post_init__(self) -> None:
        _require_positive("radius", self.radius)

    def rise(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return how far the tip's surface is above its apex at x, y (m), m."""
        return (np.square(x) + np.square(y)) / (2 * self.radius)

    def half_width(self, height: float) -> float:
        """Return the radius of the section at a height above the apex (m), m."""
        return math.sqrt(2 * self.radius * height)


@dataclass(frozen=True)
class SphereCone(_Shape):
    """A cone that ends in a sphere, joined smoothly.

    Parameters
    ----------
    radius : float
        Of the sphere, m.
    half_angle : float
        Between the cone's side and its axis, rad.
    """

    radius: float
    half_angle: float = _HALF_ANGLE

    def __post_init__(self) -> None:
        _require_positive("radius", self.radius)
        _require_angle(self.half_angle)

    def rise(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return how far the tip's surface is above its apex at x, y (m), m."""
        rho = np.hypot(x, y)
        join = self.radius * math.cos(self.half_angle)
        sphere = self.radius - np.sqrt(self.radius**2 - np.minimum(rho, join) ** 2)
        return sphere + np.maximum(rho - join, 0.0) / math.tan(self.half_angle)

    def half_width(self, height: float) -> float:
        """Return the radius of the section at a height above the apex (m), m."""
        cap = self.radius * (1 - math.sin(self.half_angle))
        if height <= cap:
            return math.sqrt(2 * self.radius * height - height**2)
        return self.radius * math.cos(self.half_angle) + (height - cap) * math.tan(self.half_angle)


@dataclass(frozen=True)
class Worn(_Shape):
    """A sphere-cone with a flat where its end was.

    Parameters
    ----------
    sphere_radius : float
        Of the sphere that it was, m.
    half_angle : float
        Between the cone's side and its axis, rad.
    plateau : float
        Radius of the flat, m; from 0 to where the sphere meets the cone.
    """

    sphere_radius: float
    half_angle: float = _HALF_ANGLE
    plateau: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("sphere_radius", self.sphere_radius)
        _require_angle(self.half_angle)
        join = self.sphere_radius * math.cos(self.half_angle)
        if not 0 <= self.plateau < join:
            raise ValueError(
                f"plateau {self.plateau!r} m is not allowed: 0 to below {join:.3g} m, where the "
                "sphere meets the cone"
            )

    @property
    def radius(self) -> float:
        """Radius of the sphere whose cross-section 10 nm above the apex is the same, m."""
        return (self.half_width(_WORKING_DEPTH) ** 2 + _WORKING_DEPTH**2) / (2 * _WORKING_DEPTH)

    @property
    def lost(self) -> float:
        """Height of the cap that is gone, m."""
        return self.sphere_radius - math.sqrt(self.sphere_radius**2 - self.plateau**2)

    def rise(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return how far the tip's surface is above its apex at x, y (m), m."""
        whole = SphereCone(self.sphere_radius, self.half_angle).rise(x, y)
        return np.maximum(whole - self.lost, 0.0)

    def half_width(self, height: float) -> float:
        """Return the radius of the section at a height above the flat (m), m."""
        return SphereCone(self.sphere_radius, self.half_angle).half_width(height + self.lost)


@dataclass(frozen=True)
class Double(_Shape):
    """A tip with a second, higher apex of the same shape beside it.

    Parameters
    ----------
    tip : Tip
        Either of the two.
    offset : tuple of float
        From a feature to its ghost in an image, x and y, m.
    depth : float
        By how much the second apex is higher up than the first, m.
    """

    tip: Tip
    offset: tuple[float, float]
    depth: float

    def __post_init__(self) -> None:
        if not self.depth >= 0:
            raise ValueError(f"depth {self.depth!r} m is not allowed: 0 or more")

    @property
    def radius(self) -> float:
        """Of the lower apex, which presses, m."""
        return self.tip.radius

    def rise(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return how far the tip's surface is above its apex at x, y (m), m."""
        second = self.tip.rise(np.add(x, self.offset[0]), np.add(y, self.offset[1])) + self.depth
        return np.minimum(self.tip.rise(x, y), second)

    def half_width(self, height: float) -> float:
        """Return the radius of a circle about the first apex that holds both sections (m), m."""
        return self.tip.half_width(height) + math.hypot(*self.offset)


def worn_by(tip: Tip, distance: float, rate: float = 1.35e-24) -> Tip:
    """Return the tip after it has been dragged over a sample.

    Parameters
    ----------
    tip : Tip
        As it was. A paraboloid wears at its end into the sphere-cone of the same radius.
    distance : float
        Travelled, m.
    rate : float
        Volume that a metre takes off, m^3/m. The default flattens a 30 nm tip so much within
        0.3 m, 135 images of 4 µm and 256 lines there and back, that its diameter at 20 nm grows
        by 1.5 nm; 2 nm was the most that was seen on polymers (Bruker application note 155).

    Returns
    -------
    Tip

    Raises
    ------
    ValueError
        When distance or rate are below 0, or nothing of the tip's sphere would be left.
    """
    if not (distance >= 0 and rate >= 0):
        raise ValueError(f"distance {distance!r} m and rate {rate!r} m^3/m: 0 or more is allowed")
    if distance * rate == 0:
        return tip
    if isinstance(tip, Double):
        return Double(worn_by(tip.tip, distance, rate), tip.offset, tip.depth)
    half_angle = getattr(tip, "half_angle", _HALF_ANGLE)
    sphere = tip.sphere_radius if isinstance(tip, Worn) else tip.radius
    gone = tip.lost if isinstance(tip, Worn) else 0.0
    volume = _cap_volume(gone, sphere) + distance * rate
    deepest = sphere * (1 - math.sin(half_angle)) * (1 - 1e-9)
    if volume >= _cap_volume(deepest, sphere):
        raise ValueError(
            f"{distance!r} m at {rate!r} m^3/m would wear off the whole sphere of {sphere:.3g} m: "
            "put in a new tip"
        )
    lost = float(brentq(lambda h: _cap_volume(h, sphere) - volume, 0.0, deepest, xtol=1e-16))  # pyright: ignore[reportArgumentType]
    return Worn(sphere, half_angle, math.sqrt(2 * sphere * lost - lost**2))


def scan_surface(
    heights: ArrayLike, pixel: float | tuple[float, float], tip: Tip
) -> NDArray[np.float64]:
    """Return the image that a tip makes of a surface: its grey dilation by the tip.

    Parameters
    ----------
    heights : array_like, shape (rows, columns)
        Of the surface, m.
    pixel : float or tuple of float
        Distance of rows and columns, m.
    tip : Tip
        That scans it.

    Returns
    -------
    ndarray, shape (rows, columns)
        Height of the tip's apex where it touches, m. Beyond the edges the surface goes on as it
        is at them.
    """
    heights = np.asarray(heights, np.float64)
    size = 2 * reach(tip, pixel, float(np.ptp(heights))) + 1
    return grey_dilation(heights, structure=tip.raster(pixel, size), mode="nearest")


def reach(tip: Tip, pixel: float | tuple[float, float], relief: float) -> int:
    """Return how many pixels from its apex a tip may touch a surface.

    Parameters
    ----------
    tip : Tip
        The tip.
    pixel : float or tuple of float
        Distance of rows and columns, m.
    relief : float
        Height of the surface from its lowest to its highest point, m.
    """
    fine = min(pixel) if isinstance(pixel, tuple) else pixel
    return max(1, math.ceil(tip.half_width(relief) / fine))


def _cap_volume(height: float, radius: float) -> float:
    return math.pi * height**2 * (radius - height / 3)


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} {value!r} m is not allowed: above 0")


def _require_angle(half_angle: float) -> None:
    if not 0 < half_angle < math.pi / 2:
        raise ValueError(f"half_angle {half_angle!r} rad is not allowed: between 0 and pi/2")
