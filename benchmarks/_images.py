"""Overlapping fields cut from real images, with fresh noise.

The micrographs that come with the repository, a few images that come with scikit-image (most of
them not of a microscope: what lies outside the domain must be refused, too), and every TIFF in the
folder that `TWINSCOPE_IMAGES` names.

A field lies at a sub-pixel place. To move an image by a fraction of a pixel it is cut with a
margin, faded out there smoothly, and its spectrum turned: the fade leaves no seam to ring at the
wrap, and the margin is wider than what the interpolation reaches to any effect, so that inside it
the field is the band-limited interpolation of the image, without loss at high frequencies. The
image's own grain moves with the specimen; the noise that is added does not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLDER", "NOISES", "REAL_SNRS", "Image", "RealPair", "load_images", "real_pair"]

FOLDER = "TWINSCOPE_IMAGES"
NOISES = ("gaussian", "poisson")
REAL_SNRS = (5.0, 2.0, 1.0)

_HERE = Path(__file__).parent
_SHIPPED = (
    _HERE.parent / "station" / "data" / "micrograph.tif",
    _HERE / "data" / "fibsem_test_image_2.tif",
)
# cell is a micrograph (phase contrast); the others are photographs, outside the domain.
_SCIKIT = ("cell", "moon", "brick", "grass", "gravel")
_OVERLAPS = (0.2, 0.9)
_MARGIN = 24
_TRIES = 50


@dataclass(frozen=True)
class Image:
    """An image to cut fields from.

    Parameters
    ----------
    name, origin : str
        What it is called; "shipped", "scikit-image" or "folder".
    pixels : ndarray of float32, shape (rows, columns)
    """

    name: str
    origin: str
    pixels: NDArray[np.float32]


@dataclass(frozen=True)
class RealPair:
    """Two fields of an image.

    Parameters
    ----------
    fixed, moving : ndarray of float32, shape (size, size)
    shift : ndarray, shape (2,)
        How far the moving field lies from the fixed one, (rows, columns) px.
    overlap : float
        Share of the field that both show.
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    shift: NDArray[np.float64]
    overlap: float


def load_images() -> list[Image]:
    """Return the images at hand; those of the folder need only be readable by tifffile.

    Raises
    ------
    ValueError
        If `TWINSCOPE_IMAGES` names no folder, or an image in it is constant or no image.
    """
    import skimage.data
    import tifffile

    images = [Image(path.stem, "shipped", _grey(tifffile.imread(path))) for path in _SHIPPED]
    images += [
        Image(name, "scikit-image", _grey(getattr(skimage.data, name)())) for name in _SCIKIT
    ]
    if given := os.environ.get(FOLDER):
        folder = Path(given)
        if not folder.is_dir():
            raise ValueError(f"{FOLDER} is {given!r}, must name a folder of TIFF images")
        images += [
            Image(path.name, "folder", _grey(tifffile.imread(path)))
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in (".tif", ".tiff")
        ]
    for image in images:
        if image.pixels.ndim != 2 or not image.pixels.max() > image.pixels.min():
            raise ValueError(
                f"{image.name} has shape {image.pixels.shape} and pixels from "
                f"{image.pixels.min():g} to {image.pixels.max():g}: not an image to cut from"
            )
    return images


def _grey(data: NDArray[np.generic]) -> NDArray[np.float32]:
    """First page of a stack, mean of the colours (not of a transparency)."""
    pixels = np.asarray(data, dtype=np.float32)
    if pixels.ndim > 2 and pixels.shape[-1] in (3, 4):
        pixels = pixels[..., :3].mean(axis=-1)
    while pixels.ndim > 2:
        pixels = pixels[0]
    return pixels


def real_pair(image: Image, size: int, snr: float, noise: str, seed: int) -> RealPair | None:
    """Cut a pair of fields at random places and add noise.

    Parameters
    ----------
    image : Image
    size : int
        Rows and columns of a field, px.
    snr : float
        Standard deviation of the whole image over the root mean square of the noise.
    noise : str
        Of `NOISES`; poisson's variance is proportional to the brightness above the darkest pixel.
    seed : int
        Of everything random.

    Returns
    -------
    RealPair or None
        None if the image is too small for two fields of this size.
    """
    rng = np.random.default_rng([seed, size, int(10 * snr), NOISES.index(noise)])
    room = np.array(image.pixels.shape) - size - 2 * _MARGIN - 1
    if (room < 1).any():
        return None
    for _ in range(_TRIES):
        overlap, share = rng.uniform(*_OVERLAPS), rng.uniform()
        common = np.array([overlap**share, overlap ** (1.0 - share)])
        shift = (1.0 - common) * size * rng.choice([-1.0, 1.0], 2)
        if (np.abs(shift) < room).all():
            break
    else:
        return None
    start = rng.uniform(np.maximum(0.0, -shift), np.minimum(room, room - shift))
    # 0 is dark, 1 the mean
    bright = image.pixels - image.pixels.min()
    bright = bright / bright.mean()
    spread = float(bright.std())
    fields = []
    for place in (start, start + shift):
        field = _cut(bright, place + _MARGIN, size)
        if noise == "gaussian":
            field = field + rng.normal(scale=spread / snr, size=field.shape)
        else:
            counts = (snr / spread) ** 2
            field = rng.poisson(counts * np.clip(field, 0.0, None))
        fields.append(field.astype(np.float32))
    return RealPair(fields[0], fields[1], shift, float(np.prod(1.0 - np.abs(shift) / size)))


def _cut(pixels: NDArray[np.float32], place: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Field whose first pixel lies at `place`, interpolated without a seam (see the module)."""
    whole = np.floor(place).astype(int)
    rest = place - whole
    first = whole - _MARGIN
    length = size + 2 * _MARGIN
    window = pixels[first[0] : first[0] + length, first[1] : first[1] + length].astype(float)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_MARGIN // 2) + 0.5) / (_MARGIN // 2))
    fade = np.ones(length)
    fade[: ramp.size], fade[-ramp.size :] = ramp, ramp[::-1]
    mean = window.mean()
    window = (window - mean) * fade[:, None] * fade[None, :]
    rows, columns = np.fft.fftfreq(length), np.fft.rfftfreq(length)
    turn = np.exp(2j * np.pi * (rest[0] * rows[:, None] + rest[1] * columns[None, :]))
    moved = np.fft.irfft2(np.fft.rfft2(window) * turn, s=window.shape) + mean
    return moved[_MARGIN : _MARGIN + size, _MARGIN : _MARGIN + size]
