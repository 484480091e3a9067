"""How wide, how round and how steep is a tip at a height above its apex?

A section's effective diameter is that of the circle with its area, as tip qualification reports
it. Areas are those inside sub-pixel iso-contours: whole pixels of 5 nm would hide a change of
2 nm. A tip with two ends has a section of two parts, and the areas add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import root_scalar
from skimage.measure import find_contours, label
from skimage.morphology import reconstruction as flooded

__all__ = ["ApexRadius", "Section", "apex_radius", "count_apexes", "half_angles", "section"]

# Cubic splines between the pixels before the contour: straight lines between points of a round
# tip run inside it and make it 0.7 nm thinner at pixels of 5 nm.
_FINER = 4


@dataclass(frozen=True)
class Section:
    """A tip's section at one height.

    Parameters
    ----------
    height : float
        Above the apex, m.
    diameter : float
        Of the circle of the same area, m; NaN where the section is not whole within the tip's
        window.
    aspect_ratio : float
        Long over short axis of the ellipse with the same second moments; NaN likewise.
    parts : int
        How many separate areas it has.
    """

    height: float
    diameter: float
    aspect_ratio: float
    parts: int


@dataclass(frozen=True)
class ApexRadius:
    """The sphere that fits a tip's end.

    Parameters
    ----------
    radius : float
        m; NaN when the end is no cap.
    low, high : float
        What fits over other depths and errors of the height give, m.
    valid : bool
        Whether a sphere describes the end: it leaves no more than the tip's own error, and its
        radius does not depend on the depth that is fitted.
    """

    radius: float
    low: float
    high: float
    valid: bool


def _moments(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return area, first (y, x) and second (yy, xx, xy) moments of a closed polygon, by Green."""
    (y, x), (y1, x1) = ring[:-1].T, ring[1:].T
    cross = x * y1 - x1 * y
    sums = np.array(
        [
            cross.sum() / 2,
            (cross * (y + y1)).sum() / 6,
            (cross * (x + x1)).sum() / 6,
            (cross * (y * y + y * y1 + y1 * y1)).sum() / 12,
            (cross * (x * x + x * x1 + x1 * x1)).sum() / 12,
            (cross * (x * y1 + 2 * x * y + 2 * x1 * y1 + x1 * y)).sum() / 24,
        ]
    )
    return sums


def _rings(
    tip: NDArray[np.float64], height: float, pixel: tuple[float, float]
) -> list[NDArray[np.float64]]:
    """Return the closed contours of a tip at a height, points (y, x) in m."""
    fine = ndimage.zoom(tip, [(n - 1) * _FINER + 1 for n in tip.shape] / np.array(tip.shape))
    lines = find_contours(fine, -height)
    closed = (line for line in lines if np.array_equal(line[0], line[-1]))
    return [line * pixel / _FINER for line in closed]


def section(tip: NDArray[np.float64], height: float, pixel: tuple[float, float]) -> Section:
    """Return the section of a tip at a height.

    Parameters
    ----------
    tip : ndarray, shape (m, n)
        Height, apex 0, m.
    height : float
        Above the apex, m.
    pixel : tuple of float
        Distance of rows and of columns, m.

    Returns
    -------
    Section
    """
    rings = _rings(tip, height, pixel)
    border = np.concatenate([tip[0], tip[-1], tip[:, 0], tip[:, -1]])
    if not rings or border.max() >= -height:
        return Section(height, np.nan, np.nan, 0)
    parts = [_moments(ring) for ring in rings]
    total = np.sum(parts, axis=0)
    # the sense of a contour tells tip (one sign) from a hole in it (the other)
    total, sign = total * np.sign(total[0]), np.sign(total[0])
    area, my, mx, myy, mxx, mxy = total
    y, x = my / area, mx / area
    covariance = np.array(
        [[myy / area - y * y, mxy / area - x * y], [mxy / area - x * y, mxx / area - x * x]]
    )
    short, long = np.sqrt(np.linalg.eigvalsh(covariance))
    return Section(
        height,
        float(2 * np.sqrt(area / np.pi)),
        float(long / short),
        sum(1 for part in parts if part[0] * sign > 0),
    )


def half_angles(
    tip: NDArray[np.float64], low: float, high: float, pixel: tuple[float, float]
) -> dict[str, float]:
    """Return the angle between axis and side towards +x, -x, +y and -y, between two heights, rad.

    Returns
    -------
    dict
        Keys "+x", "-x", "+y", "-y"; NaN where the tip's window ends before the upper height.
    """
    row, column = tip.shape[0] // 2, tip.shape[1] // 2
    profiles = {
        "+x": (tip[row, column:], pixel[1]),
        "-x": (tip[row, column::-1], pixel[1]),
        "+y": (tip[row:, column], pixel[0]),
        "-y": (tip[row::-1, column], pixel[0]),
    }
    angles = {}
    for name, (profile, step) in profiles.items():
        depth = np.maximum.accumulate(-profile)
        if depth[-1] < high:
            angles[name] = np.nan
            continue
        at = np.interp((low, high), depth, step * np.arange(depth.size))
        angles[name] = float(np.arctan2(at[1] - at[0], high - low))
    return angles


def count_apexes(tip: NDArray[np.float64], depth: float, prominence: float) -> int:
    """Return how many ends a tip has, at most `depth` below the apex and rising by `prominence`, m.

    Ends are the regional maxima that stay when all lower by the prominence is filled (h-maxima).
    """
    held = np.maximum(tip, -depth - prominence)
    domes = held - flooded(held - prominence, held, method="dilation")
    # a dome that reaches its full prominence is an end; what only leans on a higher one is not
    labels = np.asarray(label(domes > 0.0, connectivity=2))
    enough = prominence * (1 - 1e-6)
    return sum(
        1
        for name in range(1, labels.max() + 1)
        if domes[labels == name].max() >= enough and tip[labels == name].max() >= -depth
    )


def _sphere(
    tip: NDArray[np.float64], depth: float, pixel: tuple[float, float]
) -> tuple[float, float]:
    """Return radius and rms residual of the sphere that fits a tip's cap of this depth, m."""
    row, column = tip.shape[0] // 2, tip.shape[1] // 2
    y = (np.arange(tip.shape[0]) - row)[:, None] * pixel[0]
    x = (np.arange(tip.shape[1]) - column)[None, :] * pixel[1]
    cap = tip >= -depth
    labels = np.asarray(label(cap, connectivity=1))
    cap = labels == labels[row, column]
    square, height = (x**2 + y**2)[cap], -tip[cap]
    if cap.sum() < 5:
        return np.nan, np.nan
    edge = square.max()

    def slope(curvature: float) -> float:
        root = np.sqrt(1 - curvature**2 * square)
        fitted = curvature * square / (1 + root)
        return float(np.sum((fitted - height) * square / root))

    top = 0.999 / np.sqrt(edge)
    if slope(1e-9 * top) >= 0 or slope(top) <= 0:
        return np.nan, np.nan
    curvature = root_scalar(slope, bracket=(1e-9 * top, top)).root
    fitted = curvature * square / (1 + np.sqrt(1 - curvature**2 * square))
    return float(1 / curvature), float(np.sqrt(np.mean((fitted - height) ** 2)))


def apex_radius(
    tip: NDArray[np.float64], depth: float, pixel: tuple[float, float], error: float
) -> ApexRadius:
    """Return the radius of a tip's end and how far it can be trusted.

    Parameters
    ----------
    tip : ndarray, shape (m, n)
        Height, apex 0, m.
    depth : float
        Of the cap that is fitted, m; halves of it give the bound.
    pixel : tuple of float
        Distance of rows and of columns, m.
    error : float
        Of the tip's heights, m.

    Returns
    -------
    ApexRadius
    """
    radius, residual = _sphere(tip, depth, pixel)
    shallow, _ = _sphere(tip, depth / 2, pixel)
    if not np.isfinite(radius):
        return ApexRadius(np.nan, np.nan, np.nan, False)
    # a height error e over a cap of depth d changes its radius by the share e / d
    share = error / depth
    near = [radius * (1 - share), radius * (1 + share)]
    if np.isfinite(shallow):
        near.append(shallow)
    low, high = min(near), max(near)
    agrees = bool(np.isfinite(shallow)) and abs(shallow - radius) < 0.25 * radius
    return ApexRadius(radius, low, high, agrees and residual <= max(error, 0.02 * depth))
