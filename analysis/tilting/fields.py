"""How far has the field of view moved between two tilts of the same specimen?

A flat specimen looks shorter across the tilt axis by the cosine of the tilt: before two images are
registered, the more tilted one is drawn out to the scale of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.registration import Registration, register

__all__ = ["Foreshortening", "TiltedField", "cosine", "locate_field", "unchanged"]

Foreshortening = Callable[[float], float]
"""From the tilt (degrees) to how long a unit of the specimen looks across the tilt axis."""


def cosine(alpha: float) -> float:
    """Foreshortening of a flat specimen in projection."""
    return math.cos(math.radians(alpha))


def unchanged(alpha: float) -> float:
    """No foreshortening: images that show the specimen as though it lay flat."""
    return 1.0


@dataclass(frozen=True)
class TiltedField:
    """An image taken at a tilt, and where it lies.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
    scale : float
        How long a unit of the specimen looks in it across the tilt axis.
    position : ndarray, shape (2,)
        (x, y) of its centre from that of the first image of the series, µm as seen at its tilt.
    covariance : ndarray, shape (2, 2)
        Of the position, µm².
    """

    image: NDArray[np.generic]
    scale: float
    position: NDArray[np.float64]
    covariance: NDArray[np.float64]


def locate_field(
    known: TiltedField,
    image: NDArray[np.generic],
    scale: float,
    camera_to_stage: NDArray[np.float64],
    expected: NDArray[np.float64],
    expected_sigma: float,
) -> tuple[TiltedField | None, Registration]:
    """Find where a field lies from one that shows the same part of the specimen.

    Parameters
    ----------
    known : TiltedField
        An image whose place is known.
    image : ndarray, shape (rows, columns)
        The other image.
    scale : float
        How long a unit of the specimen looks in `image` across the tilt axis.
    camera_to_stage : ndarray, shape (2, 2)
        From (columns, rows) in pixels to (x, y) in µm.
    expected : ndarray, shape (2,)
        Where the field is expected, (x, y) µm as of `TiltedField`.
    expected_sigma : float
        Standard deviation of that, µm.

    Returns
    -------
    TiltedField or None, Registration
        The field, None where the registration was refused and says why.
    """
    ratio = scale / known.scale
    narrow = np.diag([1.0, ratio])
    fixed, moving = known.image, image
    # the coordinates in which the two are compared are those of the less tilted one
    if ratio <= 1.0:
        moving = _drawn_out(moving, narrow, camera_to_stage)
        before, after = np.eye(2), narrow
    else:
        fixed = _drawn_out(fixed, np.diag([1.0, 1.0 / ratio]), camera_to_stage)
        before, after = narrow, np.eye(2)
    way = np.linalg.solve(after, expected) - before @ known.position
    pixels = np.linalg.solve(camera_to_stage, way)[::-1]
    pixel = math.sqrt(abs(np.linalg.det(camera_to_stage)))
    found = register(fixed, moving, expected=pixels, expected_sigma=expected_sigma / pixel)
    if not found.accepted:
        return None, found
    position = after @ (before @ known.position + camera_to_stage @ found.shift[::-1])
    own = camera_to_stage @ found.covariance[::-1, ::-1] @ camera_to_stage.T
    covariance = after @ (before @ known.covariance @ before.T + own) @ after.T
    return TiltedField(image, scale, position, covariance), found


def _drawn_out(
    image: NDArray[np.generic], narrow: NDArray[np.float64], camera_to_stage: NDArray[np.float64]
) -> NDArray[np.generic]:
    """Return the image with (x, y) about its centre looked up at ``narrow @ (x, y)``."""
    if np.array_equal(narrow, np.eye(2)):
        return image
    from scipy.ndimage import affine_transform

    pixels = np.linalg.solve(camera_to_stage, narrow @ camera_to_stage)[::-1, ::-1]
    middle = (np.array(image.shape) - 1) / 2
    offset: Any = middle - pixels @ middle  # scipy's stubs know one number for all axes only
    return affine_transform(np.asarray(image, np.float32), pixels, offset=offset, order=3)
