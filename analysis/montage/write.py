"""One image of many fields: the paper's 50 % overlay of two, and a seam-free mosaic of all.

The overlay is Fiedler et al., Microsc. Microanal. 29 (2023): each field at half weight, so that
what does not fit shows double. The mosaic evens out gain and offset of the fields by least squares
in their overlaps (Brown & Lowe, Int. J. Comput. Vis. 74 (2007) 59, section 6), blends with weights
that fall to nothing at a field's edge, and is written strip by strip as a tiled, pyramidal
OME-TIFF, so that a mosaic larger than memory is no trouble.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._blend import Balance, Mosaic, balance

__all__ = ["Balance", "MontageInfo", "balance", "overlay", "overview", "write_montage"]

_TILE = 512
# A level narrower than this fits a screen: the pyramid ends.
_SMALLEST_LEVEL = 1024

Load = Callable[[int], NDArray[Any]]


@dataclass(frozen=True)
class MontageInfo:
    """What was written.

    Parameters
    ----------
    path : Path
    shape : (int, int)
        Rows and columns of the full resolution.
    levels : int
        Of the pyramid, the full resolution included.
    origin : ndarray, shape (2,)
        Position of the first pixel in the frame of the fields' positions, (rows, columns) px.
    """

    path: Path
    shape: tuple[int, int]
    levels: int
    origin: NDArray[np.float64]


def overlay(fixed: ArrayLike, moving: ArrayLike, shift: ArrayLike) -> NDArray[np.float32]:
    """Two fields at half weight each, as in the paper's figures.

    Parameters
    ----------
    fixed, moving : array_like, shape (rows, columns)
    shift : (rows, columns)
        Of the moving field, px, as `registration.register` gives it; taken to the whole pixel.

    Returns
    -------
    ndarray of float32, shape (rows + |shift|, columns + |shift|)
        Mean of both where both are, half of one where one is, zero elsewhere.
    """
    images = [np.asarray(image, dtype=np.float32) for image in (fixed, moving)]
    if images[0].ndim != 2 or images[0].shape != images[1].shape:
        raise ValueError(
            f"the images have shapes {images[0].shape} and {images[1].shape}, must be equal and 2-D"
        )
    move = np.asarray(shift, dtype=float)
    if move.shape != (2,) or not np.isfinite(move).all():
        raise ValueError(f"shift is {shift!r}, must be finite (rows, columns) px")
    whole = np.rint(move).astype(int)
    rows, columns = images[0].shape
    canvas = np.zeros((rows + abs(whole[0]), columns + abs(whole[1])), np.float32)
    for image, corner in zip(images, (np.maximum(0, -whole), np.maximum(0, whole)), strict=True):
        canvas[corner[0] : corner[0] + rows, corner[1] : corner[1] + columns] += 0.5 * image
    return canvas


def overview(path: Path | str) -> NDArray[Any]:
    """Read the coarsest level of a montage.

    Parameters
    ----------
    path : path
        A file of `write_montage`.

    Returns
    -------
    ndarray, shape (rows, columns)
        At most 1024 pixels each way.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        return np.asarray(file.series[0].levels[-1].asarray())


def write_montage(
    path: Path | str,
    load: Load,
    positions: ArrayLike,
    *,
    pixel_size_nm: float,
    stage_origin_um: tuple[float, float] = (0.0, 0.0),
    camera_to_stage: ArrayLike | None = None,
    levelled: Balance | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> MontageInfo:
    """Blend fields and write them as a tiled, pyramidal OME-TIFF (BigTIFF, zlib).

    Nothing is left of a file that was not finished: it is written under another name in the same
    folder and renamed at the end; an exception raised by `progress` or Ctrl-C ends it cleanly.

    Parameters
    ----------
    path : path
        Ends in ``.ome.tif`` or ``.ome.tiff``; an existing file is replaced at the end.
    load : callable(number) -> ndarray, shape (rows, columns)
        The image of a field; all have one shape and type. Called about twice a field.
    positions : array_like, shape (n, 2)
        Of the first pixel of each field, (rows, columns) px.
    pixel_size_nm : float
        nm.
    stage_origin_um : (x, y)
        Stage coordinates at position (0, 0), µm.
    camera_to_stage : array_like, shape (2, 2), optional
        From (columns, rows) to (x, y), without the pixel size; the unit matrix if not given.
    levelled : Balance, optional
        From `balance`; none is applied if not given.
    progress : callable(done, all), optional
        Called after each strip.

    Returns
    -------
    MontageInfo
    """
    path = Path(path)
    if not path.name.endswith((".ome.tif", ".ome.tiff")):
        raise ValueError(f"{path.name} is not allowed: the name must end in .ome.tif")
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise ValueError(f"pixel_size_nm is {pixel_size_nm!r}, must be positive")
    mosaic = Mosaic(load, positions, levelled)
    matrix = np.eye(2) if camera_to_stage is None else np.reshape(camera_to_stage, (2, 2))
    corner = matrix @ mosaic.origin[::-1] * pixel_size_nm * 1e-3 + np.asarray(stage_origin_um)
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": pixel_size_nm,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": pixel_size_nm,
        "PhysicalSizeYUnit": "nm",
        "Plane": {
            "PositionX": float(corner[0]),
            "PositionXUnit": "µm",
            "PositionY": float(corner[1]),
            "PositionYUnit": "µm",
        },
        "MapAnnotation": {
            "stage position of": "the centre of the first pixel",
            "camera_to_stage (columns, rows) to (x, y)": " ".join(f"{v:.9g}" for v in matrix.flat),
            "fields": str(len(mosaic)),
        },
    }
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        levels = _write(unfinished, mosaic, metadata, pixel_size_nm, progress)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return MontageInfo(path, mosaic.shape, levels, mosaic.origin)


def _write(
    path: Path,
    mosaic: Mosaic,
    metadata: dict[str, Any],
    pixel_size_nm: float,
    progress: Callable[[int, int], object] | None,
) -> int:
    """Write all levels; each leaves its halved image in a scratch file for the next."""
    import tifffile

    shapes = [mosaic.shape]
    while max(shapes[-1]) > _SMALLEST_LEVEL:
        rows, columns = shapes[-1]
        shapes.append(((rows + 1) // 2, (columns + 1) // 2))
    strips = [-(-rows // _TILE) for rows, _ in shapes]
    total, done = sum(strips), 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".montage-") as folder,
        tifffile.TiffWriter(path, bigtiff=True, ome=True) as file,
    ):
        for level, shape in enumerate(shapes):
            source, sink = (Path(folder) / f"level-{n}" for n in (level, level + 1))
            pixels_per_cm = 1e7 / (pixel_size_nm * 2**level)
            with sink.open("wb") as halved:
                strip = (
                    mosaic.strips(_TILE)
                    if level == 0
                    else _stored(source, shape, mosaic.dtype, _TILE)
                )
                file.write(
                    _tiles(strip, halved, advance),
                    shape=shape,
                    dtype=mosaic.dtype,
                    tile=(_TILE, _TILE),
                    compression="zlib",
                    predictor=mosaic.dtype.kind == "u",
                    photometric="minisblack",
                    resolution=(pixels_per_cm, pixels_per_cm),
                    resolutionunit="CENTIMETER",
                    subifds=len(shapes) - 1 if level == 0 else None,
                    subfiletype=0 if level == 0 else 1,
                    metadata=metadata if level == 0 else None,
                    maxworkers=1,
                )
            source.unlink(missing_ok=True)
    return len(shapes)


def _tiles(
    strips: Iterator[NDArray[Any]], halved: BinaryIO, advance: Callable[[], None]
) -> Iterator[NDArray[Any]]:
    for strip in strips:
        halved.write(_half(strip).tobytes())
        # before its tiles: the writer takes as many as it needs and does not ask for more
        advance()
        columns = strip.shape[1]
        for start in range(0, columns, _TILE):
            tile = strip[:, start : start + _TILE]
            missing = [(0, _TILE - n) for n in tile.shape]
            yield np.ascontiguousarray(np.pad(tile, missing))


def _stored(
    path: Path, shape: tuple[int, int], dtype: np.dtype[Any], height: int
) -> Iterator[NDArray[Any]]:
    with path.open("rb") as file:
        for start in range(0, shape[0], height):
            rows = min(height, shape[0] - start)
            data = file.read(rows * shape[1] * dtype.itemsize)
            yield np.frombuffer(data, dtype).reshape(rows, shape[1])


def _half(image: NDArray[Any]) -> NDArray[Any]:
    """Mean of 2 x 2 pixels; an odd last row or column is repeated."""
    even = np.pad(image, [(0, n % 2) for n in image.shape], mode="edge")
    total = even[0::2, 0::2].astype(np.float32)
    total += even[1::2, 0::2]
    total += even[0::2, 1::2]
    total += even[1::2, 1::2]
    total *= 0.25
    return (
        total.astype(image.dtype) if image.dtype.kind == "f" else np.rint(total).astype(image.dtype)
    )
