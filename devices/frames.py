"""Frames in an HDF5 file that can be read while it is written (SWMR), one file a run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from event_model import StreamRange, compose_stream_resource
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

__all__ = ["DATASET", "FrameFile"]

DATASET = "/entry/data"


class FrameFile:
    """A file of frames, made with the first frame, and the documents that point into it.

    A frame that nobody has collected is overwritten by the next one, so that every index in the
    file belongs to one event. All methods may be called from any thread.

    Parameters
    ----------
    path : Path
        The file; must not exist. Its folder is made.
    data_key : str
        Under which the frames are recorded.
    """

    def __init__(self, path: Path, data_key: str) -> None:
        self._path = path
        self._data_key = data_key
        self._lock = threading.Lock()
        self._file: h5py.File | None = None
        self._dataset: Any = None
        self._bundle: Any = None
        self._collected = 0
        self._pending = False
        self._closed = False

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return self._path

    @property
    def begun(self) -> bool:
        """Whether the file holds frames, and so a shape that they keep."""
        return self._file is not None

    def write(self, image: NDArray[Any]) -> None:
        """Write a frame and flush it: readers see it when this returns.

        Raises
        ------
        ValueError
            When the file is closed, or the frame of another shape or type than those before.
        OSError
            When it cannot be written; the frames before it stay readable.
        """
        with self._lock:
            if self._closed:
                raise ValueError(f"{self._path.name} is closed: the frame came after the run")
            if self._file is None:
                self._open(image)
            if self._dataset.shape[1:] != image.shape or self._dataset.dtype != image.dtype:
                raise ValueError(
                    f"frame of {image.shape} {image.dtype} is not allowed: {self._path.name} holds "
                    f"{self._dataset.shape[1:]} {self._dataset.dtype}"
                )
            index = self._collected
            self._pending = False
            self._dataset.resize(index + 1, axis=0)
            try:
                self._dataset[index] = image
                self._dataset.flush()
            except BaseException:
                self._dataset.resize(index, axis=0)
                raise
            self._pending = True

    def collect(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the documents for the frame written last, once."""
        with self._lock:
            if not self._pending:
                return []
            documents = []
            if self._bundle is None:
                self._bundle = compose_stream_resource(
                    mimetype="application/x-hdf5",
                    uri="file://localhost" + quote(self._path.resolve().as_posix()),
                    data_key=self._data_key,
                    parameters={
                        "dataset": DATASET,
                        "chunk_shape": [1, *self._dataset.shape[1:]],
                        "swmr": True,
                    },
                )
                documents.append(("stream_resource", dict(self._bundle.stream_resource_doc)))
            index = self._collected
            datum = self._bundle.compose_stream_datum(
                indices=StreamRange(start=index, stop=index + 1)
            )
            documents.append(("stream_datum", dict(datum)))
            self._collected += 1
            self._pending = False
            return documents

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _open(self, image: NDArray[Any]) -> None:
        import h5py

        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = h5py.File(self._path, "x", libver="latest")
        try:
            self._dataset = file.create_dataset(
                DATASET,
                shape=(0, *image.shape),
                maxshape=(None, *image.shape),
                chunks=(1, *image.shape),
                dtype=np.dtype(image.dtype),
            )
            file["entry"].attrs["NX_class"] = "NXentry"
            file.swmr_mode = True
        except BaseException:
            file.close()
            self._path.unlink()
            raise
        self._file = file
