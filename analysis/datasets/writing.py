"""Runs and files become a set of images: all alike, calibrated, and each told from where it is.

What a network learns from must be one kind of image. So the first image says which technique, size,
shape and units the set has, and whatever differs is refused by name, before a file is left.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from operator import length_hint
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ._images import Documents, Image, Progress
from ._runs import images_of_run
from .fingerprints import FINGERPRINT, area_averaged, fingerprint
from .image_set import FORMAT, ImageSet, open_image_set, pixel_digest
from .records import ImageRecord

if TYPE_CHECKING:
    import h5py

__all__ = ["checked_channels", "write_image_set", "write_images"]

_UNCALIBRATED = ("", "Arb")
_ALIKE = ("technique", "size", "aspect", "shape")
_SAME_SIZE = 1e-3  # of a size: headers round theirs
_BLOCK = 64  # images by which the file grows


def write_image_set(
    path: str | Path,
    runs: Iterable[Documents],
    channels: Iterable[str],
    *,
    lines: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """Write the images of runs to one file.

    Runs are read one at a time. A file that is there is replaced at the end, when all is written;
    of what cannot be made a set nothing is left.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made.
    runs : iterable of iterable of (name, document)
        Finished runs of images, as a journal or a catalog gives them.
    channels : iterable of str
        Which channels.
    lines : int, optional
        Resample all images to so many lines, by area averaging.
    progress : callable(done, all), optional
        Called after each run; `all` is 0 where `runs` does not tell its length.

    Returns
    -------
    ImageSet

    Raises
    ------
    ValueError
        A run that is not finished, lacks a channel, is uncalibrated, or is not like the others;
        names it.
    """
    wanted = checked_channels(channels)
    total = length_hint(runs, 0)

    def images() -> Iterator[Image]:
        for done, documents in enumerate(runs, start=1):
            yield from images_of_run(documents, wanted)
            if progress is not None:
                progress(done, total)

    return write_images(path, images(), wanted, lines=lines)


def write_images(
    path: str | Path,
    images: Iterable[Image],
    channels: tuple[str, ...],
    *,
    lines: int | None = None,
) -> ImageSet:
    """Write images to one file; see `write_image_set`.

    Parameters
    ----------
    path : str or Path
    images : iterable of Image
    channels : tuple of str
        Those of every image.
    lines : int, optional

    Returns
    -------
    ImageSet

    Raises
    ------
    ValueError
        No image, or one that is not like the others.
    """
    if lines is not None and lines < 1:
        raise ValueError(f"lines is {lines}, must be 1 or more")
    target = Path(path).absolute()
    with _unfinished(target) as part, _Writer(part, channels) as writer:
        for image in images:
            writer.add(image if lines is None else _resampled(image, lines))
        if not writer.records:
            raise ValueError(f"no image is given to make {target.name} of")
    return open_image_set(target)


def checked_channels(channels: Iterable[str]) -> tuple[str, ...]:
    """Names of channels, each once.

    Raises
    ------
    ValueError
        None, or one twice.
    """
    if isinstance(channels, str):
        raise ValueError(f"channels is {channels!r}: give a sequence of names")
    found = tuple(channels)
    if not found or len(set(found)) != len(found):
        raise ValueError(f"channels {list(found)}: name each once, and one or more")
    return found


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A file beside the target that becomes it at the end, if nothing fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _resampled(image: Image, lines: int) -> Image:
    old_lines, old_points = image.record.shape
    points, rest = divmod(old_points * lines, old_lines)
    if lines > old_lines or rest:
        raise ValueError(
            f"{image.record} has {old_lines} lines of {old_points} points: it cannot be averaged "
            f"to {lines} lines"
        )
    shape = (lines, points)
    if shape == image.record.shape:
        return image
    data = {name: area_averaged(array, shape) for name, array in image.data.items()}
    return Image(replace(image.record, shape=shape), data, image.units)


class _Writer:
    """The file while it grows, and the checks that all images are alike."""

    def __init__(self, path: Path, channels: tuple[str, ...]) -> None:
        import h5py

        self.records: list[ImageRecord] = []
        self._channels = channels
        self._units: Mapping[str, str] = {}
        self._events: set[tuple[str, int]] = set()
        self._digests: dict[str, list[str]] = {name: [] for name in channels}
        self._stacks: dict[str, dict[str, h5py.Dataset]] = {}
        self._file = h5py.File(path, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self.records:
                self._finish()
        finally:
            self._file.close()

    def add(self, image: Image) -> None:
        """Check an image and write it."""
        self._check(image)
        if not self.records:
            self._begin(image)
        row = len(self.records)
        self.records.append(image.record)
        self._events.add((image.record.run_uid, image.record.event))
        if row % _BLOCK == 0:
            self._resize(row + _BLOCK)
        for name in self._channels:
            pixels = np.asarray(image.data[name], dtype=np.float32)
            self._stacks["images"][name][row] = pixels
            self._stacks["fingerprints"][name][row] = fingerprint(pixels)
            self._digests[name].append(pixel_digest(pixels))

    def _check(self, image: Image) -> None:
        record = image.record
        if (record.run_uid, record.event) in self._events:
            raise ValueError(f"{record} is given twice")
        for name in self._channels:
            _check_unit(record, name, image.units[name])
            missing = int(np.count_nonzero(~np.isfinite(image.data[name])))
            if missing:
                raise ValueError(f"{record}: {name} has {missing} pixels without a value")
        if not self.records:
            return
        first = self.records[0]
        for key in _ALIKE:
            told, wanted = getattr(record, key), getattr(first, key)
            if not _alike(told, wanted):
                raise ValueError(
                    f"{record} has {_shown(key, told)}, {first} has {_shown(key, wanted)}: "
                    "a set has one"
                )
        for name in self._channels:
            if image.units[name] != self._units[name]:
                raise ValueError(
                    f"{record}: {name} is in {image.units[name]}, of {first} in "
                    f"{self._units[name]}: a set has one unit"
                )

    def _begin(self, image: Image) -> None:
        self._units = {name: image.units[name] for name in self._channels}
        shapes = {"images": image.record.shape, "fingerprints": (FINGERPRINT, FINGERPRINT)}
        for group, shape in shapes.items():
            self._stacks[group] = {
                name: self._file.create_dataset(
                    f"{group}/{name}",
                    shape=(0, *shape),
                    maxshape=(None, *shape),
                    chunks=(1, *shape),
                    dtype="<f4",
                    fletcher32=True,
                )
                for name in self._channels
            }
        for name, stack in self._stacks["images"].items():
            stack.attrs["units"] = self._units[name]
            stack.attrs["dims"] = ["image", "line", "point"]
            stack.attrs["orientation"] = "line 0 is the lowest; point 0 is at the left"

    def _resize(self, length: int) -> None:
        for stacks in self._stacks.values():
            for stack in stacks.values():
                stack.resize(length, axis=0)

    def _finish(self) -> None:
        import h5py

        text = h5py.string_dtype()
        self._resize(len(self.records))
        lines = [record.to_json() for record in self.records]
        self._file.create_dataset("records", data=lines, dtype=text)
        for name, digests in self._digests.items():
            self._file.create_dataset(f"digests/{name}", data=digests, dtype=text)
        self._file.attrs["format"] = FORMAT
        self._file.attrs["channels"] = list(self._channels)


def _check_unit(record: ImageRecord, channel: str, unit: str) -> None:
    """Refuse what only a calibration of the probe would bring into its unit."""
    in_volts = not record.calibrated and unit.split(" ")[0] == "V"
    if in_volts or unit in _UNCALIBRATED:
        raise ValueError(
            f"{record}: {channel} is in {unit or 'no unit'}, as its probe was not calibrated; "
            "calibrate it, or leave the run out"
        )


def _alike(told: Any, wanted: Any) -> bool:
    if isinstance(told, float):
        return abs(told - wanted) <= _SAME_SIZE * abs(wanted)
    return told == wanted


def _shown(key: str, value: Any) -> str:
    if key == "size":
        return f"a scan size of {value:g} µm"
    if key == "shape":
        return f"{value[0]} lines of {value[1]} points"
    return f"the {key} {value:g}" if isinstance(value, float) else f"the {key} {value}"
