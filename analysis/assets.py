"""Frames of a run from the files its documents point to.

``event_model.Filler`` fills datum documents only; images of a stream live in one HDF5 file per
detector and run, named by a stream_resource and indexed by stream_datum documents, and may still
be growing (SWMR) when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
from numpy.typing import NDArray

__all__ = ["AssetError", "AssetReader", "FrameNotReady", "path_of_uri"]


class AssetError(RuntimeError):
    """A frame cannot be read; the message names the file."""


class FrameNotReady(AssetError):  # noqa: N818 - not an error while the run goes on
    """The frame is not in its file yet; it may come."""


def path_of_uri(uri: str) -> Path:
    """Path of a ``file://localhost/...`` uri, percent-decoded.

    Raises
    ------
    AssetError
        If the uri does not name a file of this machine.
    """
    parts = urlparse(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise AssetError(f"cannot read {uri}: only file://localhost/... is read here")
    return Path(unquote(parts.path))


class AssetReader:
    """Reads frames by event number.

    Feed it the documents ``stream_resource`` and ``stream_datum`` of one run in any order; then
    `frame` reads. Files are opened for each frame and closed again, so that a reader never keeps
    a file alive that its writer has closed.
    """

    def __init__(self) -> None:
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._datums: list[Mapping[str, Any]] = []

    def stream_resource(self, doc: Mapping[str, Any]) -> None:
        """Take a stream_resource document."""
        self._resources[doc["uid"]] = doc

    def stream_datum(self, doc: Mapping[str, Any]) -> None:
        """Take a stream_datum document."""
        self._datums.append(doc)

    def frame(self, data_key: str, seq_num: int) -> NDArray[Any]:
        """Read the frame of one event.

        Parameters
        ----------
        data_key : str
            Name of the image in the descriptor.
        seq_num : int
            Number of the event.

        Returns
        -------
        ndarray
            An image (rows, columns), the spectra of a line (pixels, tones), or what else an event
            points to.

        Raises
        ------
        FrameNotReady
            If its documents or its pixels have not come yet.
        AssetError
            If it will never be readable.
        """
        for datum in self._datums:
            first, last = int(datum["seq_nums"]["start"]), int(datum["seq_nums"]["stop"])
            if not first <= seq_num < last:
                continue
            resource = self._resources.get(datum["stream_resource"])
            if resource is None or resource["data_key"] != data_key:
                continue
            start, stop = int(datum["indices"]["start"]), int(datum["indices"]["stop"])
            if stop - start != last - first:
                raise AssetError(
                    f"{resource['uri']} holds {stop - start} frames for {last - first} events, "
                    "must hold one an event"
                )
            return _read(resource, start + seq_num - first)
        raise FrameNotReady(f"no document says where {data_key} of event {seq_num} is")


def _read(resource: Mapping[str, Any], index: int) -> NDArray[Any]:
    import h5py

    if resource["mimetype"] != "application/x-hdf5":
        raise AssetError(
            f"{resource['uri']} has type {resource['mimetype']}, must be application/x-hdf5"
        )
    path = path_of_uri(resource["uri"])
    dataset = str(resource["parameters"].get("dataset", "/entry/data"))
    if not path.exists():
        raise FrameNotReady(f"{path} does not exist")
    try:
        with h5py.File(path, "r", libver="latest", swmr=True) as file:
            if dataset not in file:
                raise FrameNotReady(f"{path} has no dataset {dataset}")
            data = file[dataset]
            if not isinstance(data, h5py.Dataset) or data.ndim < 1:
                raise AssetError(f"{dataset} in {path} must be a stack of arrays, one an event")
            data.refresh()
            if index >= data.shape[0]:
                raise FrameNotReady(f"{path} holds {data.shape[0]} frames, asked for {index}")
            return np.asarray(data[index])
    except OSError as error:
        # a file that its writer has not yet opened to readers, or no HDF5 file at all
        raise FrameNotReady(f"cannot read {path}: {error}") from error
