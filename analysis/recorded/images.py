"""Images of other programs, with the size of their pixels where the file tells it.

Each format is read by the library that knows it: TIFF by tifffile, MRC by mrcfile, what digital
cameras and screens write by imageio. DigitalMicrograph, EMD and TIA files are read by rosettasciio,
which is under the GPL: it is the extra ``formats``, and imported only when such a file is opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageFile", "read_images"]

_NM = {"m": 1e9, "mm": 1e6, "µm": 1e3, "μm": 1e3, "um": 1e3, "micron": 1e3, "nm": 1.0, "å": 0.1}


@dataclass(frozen=True)
class ImageFile:
    """What a file holds.

    Parameters
    ----------
    images : ndarray, shape (n, rows, columns) or (n, rows, columns, 3)
        As stored, the topmost row first; a single image is a stack of one.
    pixel_size : float
        nm; NaN where the file does not tell.
    steps : ndarray, shape (n,)
        Of the axis along which the images are stacked, such as tilts; NaN where not told.
    steps_unit : str
        Of `steps`; "" where not told.
    """

    images: NDArray[Any]
    pixel_size: float
    steps: NDArray[np.float64]
    steps_unit: str = ""


def read_images(path: str | Path) -> ImageFile:
    """Read an image or a stack of images.

    Parameters
    ----------
    path : str or Path
        TIFF (also OME, ImageJ, Thermo Fisher), MRC (.mrc, .mrcs, .st, .rec, .map), PNG, JPEG, BMP;
        with the extra ``formats`` also .dm3, .dm4, .emd, .ser and .emi.

    Returns
    -------
    ImageFile

    Raises
    ------
    ValueError
        If there is no such file, it cannot be read or holds no images, or the extra is missing.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"image file {file} does not exist")
    read = _READERS.get(file.suffix.lower(), _picture)
    try:
        return read(file)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{file.name} needs the reader of {file.suffix} files: pip install 'twinscope[formats]'"
        ) from error
    except Exception as error:  # the decoders raise whatever their formats bring about
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file} cannot be read as an image ({reason})") from error


def _stack(array: Any, pixel_size: float | None, *, colour: bool = False) -> ImageFile:
    image = np.asarray(array)
    own = 3 if colour else 2
    if image.ndim < own or image.size == 0:
        raise ValueError(f"it holds an array of shape {image.shape}, no image")
    stack = image.reshape(-1, *image.shape[image.ndim - own :])
    size = math.nan if not pixel_size or not math.isfinite(pixel_size) else float(pixel_size)
    return ImageFile(stack, size, np.full(len(stack), np.nan))


def _picture(path: Path) -> ImageFile:
    import imageio.v3

    # Its bytes, not its name: imageio leaves a file open that it cannot decode.
    image = np.squeeze(imageio.v3.imread(path.read_bytes(), extension=path.suffix))
    return _stack(image, None, colour=image.ndim > 2 and image.shape[-1] in (3, 4))


def _tiff(path: Path) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(path) as file:
        samples = file.pages.first.samplesperpixel
        return _stack(np.squeeze(file.asarray()), _tiff_pixel(file), colour=samples in (3, 4))


def _tiff_pixel(file: Any) -> float | None:
    """Pixel size, nm, by whoever wrote the file."""
    if file.is_ome:
        pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
        if pixels is not None and "PhysicalSizeX" in pixels.attrib:
            unit = pixels.attrib.get("PhysicalSizeXUnit", "µm")
            return float(pixels.attrib["PhysicalSizeX"]) * _NM[unit.lower()]
    if file.is_fei:
        return float(file.fei_metadata["Scan"]["PixelWidth"]) * _NM["m"]
    if file.is_imagej:
        unit = str(file.imagej_metadata.get("unit", "")).replace("\\u00B5", "µ").lower()
        resolution = file.pages.first.tags.get("XResolution")
        if unit in _NM and resolution is not None:
            pixels, units = resolution.value
            return units / pixels * _NM[unit]
    return None


def _mrc(path: Path) -> ImageFile:
    import mrcfile

    with mrcfile.open(path, permissive=True) as file:
        # MRC files begin with the lowest row.
        return _stack(np.array(file.data)[..., ::-1, :], float(file.voxel_size.x) * _NM["å"])


def _by_rosettasciio(module: str) -> Callable[[Path], ImageFile]:
    def read(path: Path) -> ImageFile:
        reader = import_module(f"rsciio.{module}").file_reader
        # EMD files hold spectra and sums beside the images: the largest is what was recorded.
        signals = [signal for signal in reader(str(path)) if _image_axes(signal)]
        if not signals:
            raise ValueError("it holds no image")
        signal = max(signals, key=lambda held: np.asarray(held["data"]).size)
        _, columns = _image_axes(signal)
        size = columns["scale"] * _NM.get(str(columns["units"]).lower(), math.nan)
        found = _stack(signal["data"], size)
        along = [axis for axis in signal["axes"] if axis.get("navigate")]
        if len(along) != 1:
            return found
        steps = along[0]["offset"] + along[0]["scale"] * np.arange(len(found.images))
        unit = along[0]["units"]
        return ImageFile(found.images, found.pixel_size, steps, unit if unit else "")

    return read


def _image_axes(signal: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Axes of rows and columns of a signal of rosettasciio; none where it is not of images."""
    axes = [axis for axis in signal["axes"] if not axis.get("navigate")]
    return axes if len(axes) == 2 else []


_READERS: dict[str, Callable[[Path], ImageFile]] = {
    **dict.fromkeys((".tif", ".tiff"), _tiff),
    **dict.fromkeys((".mrc", ".mrcs", ".st", ".rec", ".map", ".ali"), _mrc),
    **dict.fromkeys((".dm3", ".dm4"), _by_rosettasciio("digitalmicrograph")),
    ".emd": _by_rosettasciio("emd"),
    **dict.fromkeys((".ser", ".emi"), _by_rosettasciio("tia")),
}
