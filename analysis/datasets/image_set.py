"""Images and where they are from, in one file that is read as they are needed.

A set is an HDF5 file with a data set a channel, so that a training reads the images of one channel
alone and never more of them than it asks for. Selections of it are views: they hold no images.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .records import ImageRecord

if TYPE_CHECKING:
    import h5py

__all__ = ["FORMAT", "ImageSet", "image_digest", "open_image_set"]

FORMAT = "twinscope image set 1"
"""Attribute `format` of the file."""

Digests = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class ImageSet:
    """Images of one technique, size and shape, with their records.

    Parameters
    ----------
    path : Path
        The file.
    records : tuple of ImageRecord
        Where each image is from.
    channels : tuple of str
        In the order of the last axis of `images`.
    units : mapping of str to str
        Of each channel.
    digests : tuple of mapping
        SHA-256 of the pixels of each image, by channel.
    rows : tuple of int
        Place of each image in the file.
    """

    path: Path
    records: tuple[ImageRecord, ...]
    channels: tuple[str, ...]
    units: Mapping[str, str]
    digests: Digests
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def shape(self) -> tuple[int, int]:
        """Lines and points of each image."""
        return self.records[0].shape

    @property
    def size_um(self) -> float:
        """Fast side of the frame, µm."""
        return self.records[0].size

    @property
    def square(self) -> bool:
        """Whether frame and pixels are square, so that an image may be turned by 90°."""
        return self.shape[0] == self.shape[1] and abs(self.records[0].aspect - 1.0) < 1e-3

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the samples, sorted."""
        return tuple(sorted({record.sample for record in self.records}))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over pixels, units and records of all images, whatever their order."""
        images = (
            image_digest(record, self.units, {name: digest[name] for name in self.channels})
            for record, digest in zip(self.records, self.digests, strict=True)
        )
        return hashlib.sha256("\n".join(sorted(images)).encode("ascii")).hexdigest()

    def labels(self) -> tuple[str, ...]:
        """Sample of each image."""
        return tuple(record.sample for record in self.records)

    def counts(self) -> dict[str, int]:
        """Number of images of each sample."""
        return dict(sorted(Counter(self.labels()).items()))

    def images(self, indices: ArrayLike | None = None) -> NDArray[np.float32]:
        """Read images.

        Parameters
        ----------
        indices : array_like of int, optional
            Which, in any order; all unless given.

        Returns
        -------
        ndarray of float32, shape (n, lines, points, channels)
            In the units of the channels; line 0 is the lowest.

        Raises
        ------
        ValueError
            No such image, or the file cannot be read.
        """
        chosen = self._chosen(indices)
        found = np.empty((len(chosen), *self.shape, len(self.channels)), dtype=np.float32)
        with _opened(self.path) as file:
            for place, name in enumerate(self.channels):
                stack = _stack(file, f"images/{name}")
                for row, index in enumerate(chosen):
                    found[row, ..., place] = stack[self.rows[index]]
        return found

    def fingerprints(self, indices: ArrayLike | None = None) -> NDArray[np.float32]:
        """Read fingerprints, shape (n, channels, lines, points); see `fingerprints.fingerprint`."""
        rows = np.asarray([self.rows[index] for index in self._chosen(indices)], dtype=np.intp)
        with _opened(self.path) as file:
            every = [_stack(file, f"fingerprints/{name}")[()] for name in self.channels]
        return np.stack([stack[rows] for stack in every], axis=1)

    def only(
        self,
        *,
        samples: Collection[str] | None = None,
        channels: Iterable[str] | None = None,
        indices: ArrayLike | None = None,
    ) -> ImageSet:
        """Select images and channels; the file stays as it is.

        Parameters
        ----------
        samples : collection of str, optional
            Images of these alone.
        channels : iterable of str, optional
            These alone, in this order.
        indices : array_like of int, optional
            These alone, in this order.

        Returns
        -------
        ImageSet

        Raises
        ------
        ValueError
            What is asked for is not there.
        """
        named = self.channels if channels is None else _named(channels, "channel")
        _check_known("channel", named, self.channels)
        wanted = self.samples if samples is None else _named(samples, "sample")
        _check_known("sample", wanted, self.samples)
        chosen = [
            index for index in self._chosen(indices) if self.records[index].sample in set(wanted)
        ]
        if not chosen:
            raise ValueError(f"no image of {self.path.name} is left by this selection")
        return replace(
            self,
            records=tuple(self.records[index] for index in chosen),
            channels=named,
            units={name: self.units[name] for name in named},
            digests=tuple(self.digests[index] for index in chosen),
            rows=tuple(self.rows[index] for index in chosen),
        )

    def verify(self) -> None:
        """Compare all pixels with what was written.

        Raises
        ------
        ValueError
            An image was changed, or cannot be read.
        """
        with _opened(self.path) as file:
            for name in self.channels:
                stack = _stack(file, f"images/{name}")
                for index, row in enumerate(self.rows):
                    if pixel_digest(stack[row]) != self.digests[index][name]:
                        raise ValueError(
                            f"{self.path.name}: {name} of {self.records[index]} is not what was "
                            "written; make the set again"
                        )

    def _chosen(self, indices: ArrayLike | None) -> list[int]:
        if indices is None:
            return list(range(len(self)))
        array = np.asarray(indices)
        if array.size and array.dtype.kind not in "iu":
            raise ValueError(f"indices are of type {array.dtype}: give whole numbers")
        outside = array[(array < 0) | (array >= len(self))]
        if outside.size:
            raise ValueError(f"image {outside[0]} is asked for, of 0 to {len(self) - 1}")
        return [int(index) for index in np.atleast_1d(array)]


def open_image_set(path: str | Path) -> ImageSet:
    """Open a file of images.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ImageSet
        Of all its images and channels.

    Raises
    ------
    ValueError
        It is no such file, or it cannot be read.
    """
    path = Path(path).absolute()
    with _opened(path) as file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"{path.name} is no image set of this version ({FORMAT})")
        records = tuple(ImageRecord.from_json(text) for text in _texts(_stack(file, "records")))
        channels = tuple(str(name) for name in np.asarray(file.attrs["channels"]))
        units = {name: str(_stack(file, f"images/{name}").attrs["units"]) for name in channels}
        columns = {name: _texts(_stack(file, f"digests/{name}")) for name in channels}
    digests = tuple({name: columns[name][row] for name in channels} for row in range(len(records)))
    return ImageSet(path, records, channels, units, digests, tuple(range(len(records))))


def pixel_digest(image: ArrayLike) -> str:
    """SHA-256 of the pixels of an image in one channel."""
    return hashlib.sha256(np.ascontiguousarray(image, dtype="<f4").tobytes()).hexdigest()


def image_digest(record: ImageRecord, units: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """SHA-256 of an image: its record, and unit and pixels of its channels, in any order."""
    lines = [record.to_json(), *(f"{key} {units[key]} {digests[key]}" for key in sorted(digests))]
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def _opened(path: Path) -> h5py.File:
    import h5py

    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise ValueError(f"there is no image set {path}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read as an image set: {error}") from None


def _stack(file: h5py.File, name: str) -> Any:
    """A data set of the file."""
    if name not in file:
        raise ValueError(f"{file.filename} is damaged: it has no {name}")
    return file[name]


def _texts(dataset: Any) -> list[str]:
    return [str(text) for text in dataset.asstr()[()]]


def _named(names: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{what}s is {names!r}: give a sequence of names")
    found = tuple(names)
    if not found or len(set(found)) != len(found):
        raise ValueError(f"{what}s {list(found)}: name each once, and one or more")
    return found


def _check_known(what: str, asked: Iterable[str], known: Collection[str]) -> None:
    for name in asked:
        if name not in known:
            raise ValueError(f"no {what} {name!r} in this image set: it has {', '.join(known)}")
