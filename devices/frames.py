"""Frames in an HDF5 file that can be read while it is written (SWMR), one file a run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from event_model import StreamRange, compose_stream_resource
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

__all__ = ["RecordFile"]


class RecordFile:
    """A file of records, made with the first one, and the documents that point into it.

    A record is one array a dataset, and belongs to one event. A record that nobody has collected
    is overwritten by the next one, so that every index in the file belongs to one event. All
    methods may be called from any thread.

    Parameters
    ----------
    path : Path
        The file; must not exist. Its folder is made.
    datasets : mapping of str to str
        The path in the file of each data key, for example ``{"tem_camera_image": "/entry/data"}``.
    attributes : mapping of str to mapping, optional
        What a reader of the file alone is told of the dataset of each data key, by name.
    entry : mapping, optional
        What he is told of the whole.
    """

    def __init__(
        self,
        path: Path,
        datasets: Mapping[str, str],
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        entry: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = path
        self._names = dict(datasets)
        self._attributes = {} if attributes is None else dict(attributes)
        self._entry = {} if entry is None else dict(entry)
        self._lock = threading.Lock()
        self._file: h5py.File | None = None
        self._datasets: dict[str, Any] = {}
        self._bundles: dict[str, Any] = {}
        self._collected = 0
        self._pending = False
        self._closed = False

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return self._path

    @property
    def told(self) -> bool:
        """Whether documents point into the file."""
        return self._collected > 0

    def append(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Write a record and flush it: readers see it when this returns.

        Parameters
        ----------
        record : mapping of str to ndarray
            An array for each data key.

        Raises
        ------
        ValueError
            When the file is closed, or an array of another shape or type than those before.
        OSError
            When it cannot be written; the records before it stay readable.
        """
        with self._lock:
            if self._closed:
                raise ValueError(f"{self._path.name} is closed: the frame came after the run")
            if self._file is None:
                self._open(record)
            for key, dataset in self._datasets.items():
                array = record[key]
                if dataset.shape[1:] != array.shape or dataset.dtype != array.dtype:
                    raise ValueError(
                        f"frame of {array.shape} {array.dtype} is not allowed: {self._path.name} "
                        f"holds {dataset.shape[1:]} {dataset.dtype}"
                    )
            self._pending = False
            self._write(self._collected, record)
            self._pending = True

    def collect(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the documents for the record written last, once."""
        with self._lock:
            if not self._pending:
                return []
            documents = []
            index = self._collected
            for key in self._names:
                if key not in self._bundles:
                    bundle = self._bundles[key] = self._compose(key)
                    documents.append(("stream_resource", dict(bundle.stream_resource_doc)))
                datum = self._bundles[key].compose_stream_datum(
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

    def discard(self) -> None:
        """Close the file and remove it; only while no document points into it.

        Raises
        ------
        ValueError
            When documents do.
        """
        if self.told:
            raise ValueError(f"{self._path.name} is part of a run: it stays")
        self.close()
        self._path.unlink(missing_ok=True)

    def _write(self, index: int, record: Mapping[str, NDArray[Any]]) -> None:
        for dataset in self._datasets.values():
            dataset.resize(index + 1, axis=0)
        try:
            for key, dataset in self._datasets.items():
                dataset[index] = record[key]
                dataset.flush()
        except BaseException:
            for dataset in self._datasets.values():
                dataset.resize(index, axis=0)
            raise

    def _compose(self, key: str) -> Any:
        return compose_stream_resource(
            mimetype="application/x-hdf5",
            uri="file://localhost" + quote(self._path.resolve().as_posix()),
            data_key=key,
            parameters={
                "dataset": self._names[key],
                "chunk_shape": [1, *self._datasets[key].shape[1:]],
                "swmr": True,
            },
        )

    def _open(self, record: Mapping[str, NDArray[Any]]) -> None:
        import h5py

        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = h5py.File(self._path, "x", libver="latest")
        try:
            for key, name in self._names.items():
                array = record[key]
                self._datasets[key] = file.create_dataset(
                    name,
                    shape=(0, *array.shape),
                    maxshape=(None, *array.shape),
                    chunks=(1, *array.shape),
                    dtype=np.dtype(array.dtype),
                )
                self._datasets[key].attrs.update(self._attributes.get(key, {}))
            file["entry"].attrs.update({"NX_class": "NXentry", **self._entry})
            file.swmr_mode = True
        except BaseException:
            self._datasets.clear()
            file.close()
            self._path.unlink()
            raise
        self._file = file
