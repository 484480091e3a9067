"""Reading a micrograph that shall serve as specimen."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from station import StationError

__all__ = [
    "SHIPPED_ORIGIN",
    "SHIPPED_PIXEL_SIZE_NM",
    "MicrographError",
    "read_micrograph",
    "shipped_micrograph",
]

# The scale that the shipped micrograph is given: a field of view of 3.75 µm then meets structure
# from one pixel to its whole width. Its own is not recorded (station/data/NOTICE).
SHIPPED_PIXEL_SIZE_NM = 10.0
# Row and column of the lamella, the most telling part: what lies under the beam at (0, 0).
SHIPPED_ORIGIN = (456, 540)

# A field of view sees nothing but the mirror images of an image that is smaller.
_LEAST_SIZE = 64


class MicrographError(StationError):
    """A file cannot serve as specimen; says why."""


def read_micrograph(path: Path) -> NDArray[np.float32]:
    """Read one grey image.

    Colour images are taken by their luminance (Rec. 709, `skimage.color.rgb2gray`), which leaves a
    grey image that was saved as colour as it is.

    Parameters
    ----------
    path : Path
        Of any format that `analysis.recorded.read_images` knows.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        The image as stored; for colour its luminance, 0 to 1.

    Raises
    ------
    MicrographError
        Not a file, not an image, a stack, too small, without contrast, or with values that are not
        finite.
    """
    image = _decoded(path)
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        from skimage.color import rgb2gray

        image = rgb2gray(image[..., :3])
    if image.ndim != 2:
        raise MicrographError(
            f"{path} holds an array of shape {image.shape}: a single image is needed"
        )
    if min(image.shape) < _LEAST_SIZE:
        raise MicrographError(
            f"{path} is {image.shape[0]} x {image.shape[1]} pixels: at least "
            f"{_LEAST_SIZE} x {_LEAST_SIZE} are needed"
        )
    image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise MicrographError(f"{path} holds values that are not finite (NaN or infinity)")
    if image.min() == image.max():
        raise MicrographError(f"{path} is uniform: an image with contrast is needed")
    return image


def _decoded(path: Path) -> NDArray[np.generic]:
    from analysis.recorded import read_images

    try:
        return np.squeeze(read_images(path).images)
    except ValueError as error:
        raise MicrographError(
            f"{error}: a TIFF, MRC, PNG, JPEG or BMP is needed, or a file of the extra formats"
        ) from error


def shipped_micrograph() -> NDArray[np.float32]:
    """The scanning electron micrograph that comes with the station.

    Returns
    -------
    ndarray of float32, shape (1024, 1536)
        Grey values.
    """
    with as_file(files("station") / "data" / "micrograph.tif") as path:
        return read_micrograph(path)
