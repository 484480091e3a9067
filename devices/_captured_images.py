"""What a folder that is followed hands to a run: images of one kind, and the files left out.

Images of one kind have the same channels, shape, units and settings, and so one stream. They are
written to HDF5 as they come and handed on as events when the run collects them.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.frames import RecordFile

__all__ = ["CapturedChannel", "CapturedFile", "CapturedImages", "CapturedSetting", "LeftOut"]

_SCALARS = ("x_offset", "y_offset", "tip_frame_count", "tip_scanned_distance")
_SCALARS += ("captured_automatically",)
_KINDS = {str: ("string", "<U64"), int: ("integer", "<i8"), float: ("number", "<f8")}


class CapturedChannel(Protocol):
    """A channel of a file that was read."""

    @property
    def title(self) -> str:
        """As in the file."""
        ...

    @property
    def data(self) -> NDArray[np.float64]:
        """Shape (lines, points), the lowest line first."""
        ...

    @property
    def unit(self) -> str:
        """SI."""
        ...


class CapturedSetting(Protocol):
    """What the header says of one thing."""

    @property
    def value(self) -> str | int | float:
        """Its value."""
        ...

    @property
    def unit(self) -> str:
        """In which the value is; empty for none."""
        ...


class CapturedFile(Protocol):
    """A file that was read; `analysis.recorded.ChannelFile` is one."""

    @property
    def channels(self) -> Sequence[CapturedChannel]:
        """All of them."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether forces are known in newtons."""
        ...

    @property
    def time(self) -> float | None:
        """Of the recording, s since the epoch."""
        ...

    @property
    def settings(self) -> Mapping[str, CapturedSetting]:
        """By the names of the instrument's devices."""
        ...

    def keys(self) -> Sequence[str]:
        """Different names for the channels."""
        ...


class _Stream:
    """Events of one stream, waiting to be collected."""

    parent = None

    def __init__(self, name: str, stream: str) -> None:
        self.name = name
        self.stream = stream
        self._lock = threading.Lock()
        self._waiting: list[tuple[dict[str, Any], float]] = []
        self._handed: list[tuple[dict[str, Any], float]] = []

    @property
    def waiting(self) -> bool:
        """Whether there are events to collect."""
        with self._lock:
            return bool(self._waiting)

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield nothing; what is waiting now is what `collect` hands on."""
        with self._lock:
            self._hand()
        yield from ()

    def collect(self) -> Iterator[dict[str, Any]]:
        """Yield the events whose assets were collected before."""
        with self._lock:
            handed, self._handed = self._handed, []
        for data, moment in handed:
            yield {"data": data, "timestamps": dict.fromkeys(data, moment), "time": moment}

    def _hand(self) -> None:
        self._handed += self._waiting
        self._waiting = []


class LeftOut(_Stream):
    """The files that could not be read, with the reasons."""

    def add(self, file: str, reason: str) -> None:
        """Add a file."""
        with self._lock:
            data = {f"{self.name}_file": file, f"{self.name}_reason": reason}
            self._waiting.append((data, time.time()))

    def describe_collect(self) -> dict[str, Any]:
        """Describe name and reason."""
        return {
            f"{self.name}_{what}": _key(f"{self.name}_{what}", str) for what in ("file", "reason")
        }


class CapturedImages(_Stream):
    """Images of one kind.

    Parameters
    ----------
    name : str
        Before the data keys.
    stream : str
        Of the events.
    first : CapturedFile
        Of the kind.
    folder : Path
        Where the arrays go.
    """

    def __init__(self, name: str, stream: str, first: CapturedFile, folder: Path) -> None:
        super().__init__(name, stream)
        self.kind = kind_of(first)
        self._settings = {key: first.settings[key] for key in self.kind[2]}
        self._scalars = {key: first.settings[key] for key in _SCALARS if key in first.settings}
        self._calibrated = first.calibrated
        self._since = time.time()
        self._told: list[tuple[str, dict[str, Any]]] = []
        self._channels = {
            f"{name}_{key}": channel
            for key, channel in zip(first.keys(), first.channels, strict=True)
        }
        self._shapes = {key: channel.data.shape for key, channel in self._channels.items()}
        self._units = {key: channel.unit for key, channel in self._channels.items()}
        attributes = {
            key: {
                "units": channel.unit,
                "long_name": channel.title,
                "calibrated": first.calibrated,
                "dims": ["image", "line", "point"],
                "orientation": "line 0 is the lowest; point 0 is at the left",
            }
            for key, channel in self._channels.items()
        }
        self._channels.clear()
        day = time.strftime("%Y/%m/%d")
        path = folder / day / f"{time.strftime('%H%M%S')}-{name}-{uuid.uuid4().hex[:8]}.h5"
        datasets = {key: f"/entry/{key.removeprefix(f'{name}_')}" for key in self._shapes}
        self._file = RecordFile(path, datasets, attributes)

    @property
    def keys(self) -> dict[str, str]:
        """Data key of each channel."""
        return {key.removeprefix(f"{self.name}_"): key for key in self._shapes}

    def add(self, file: str, recorded: CapturedFile) -> None:
        """Write an image of this kind and keep its event.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        record = {
            f"{self.name}_{key}": np.asarray(channel.data, np.float32)
            for key, channel in zip(recorded.keys(), recorded.channels, strict=True)
        }
        moment = time.time()
        told = {key: recorded.settings.get(key, kept) for key, kept in self._scalars.items()}
        data: dict[str, Any] = {f"{self.name}_{key}": item.value for key, item in told.items()}
        data[f"{self.name}_file"] = file
        data[f"{self.name}_time"] = moment if recorded.time is None else recorded.time
        self._file.append(record)
        documents = self._file.collect()
        with self._lock:
            self._told += documents
            self._waiting.append((data, moment))

    def close(self) -> None:
        """Close the file of arrays."""
        self._file.close()

    def describe_collect(self) -> dict[str, Any]:
        """Describe channels and scalars."""
        described: dict[str, Any] = {}
        for key, shape in self._shapes.items():
            described[key] = {
                "source": f"file:{self.name}",
                "dtype": "array",
                "dtype_numpy": "<f4",
                "shape": list(shape),
                "dims": ["line", "point"],
                "external": "STREAM:",
                "units": self._units[key],
            }
        for key, setting in self._scalars.items():
            name = f"{self.name}_{key}"
            described[name] = _key(name, type(setting.value), setting.unit)
        described[f"{self.name}_file"] = _key(f"{self.name}_file", str)
        described[f"{self.name}_time"] = _key(f"{self.name}_time", float, "s")
        return described

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield where the arrays of the waiting images are: one range for each channel."""
        with self._lock:
            told, self._told = self._told, []
            self._hand()
        ranges: dict[str, dict[str, Any]] = {}
        for name, doc in told:
            if name == "stream_resource":
                yield name, doc
            elif doc["stream_resource"] in ranges:
                ranges[doc["stream_resource"]]["indices"]["stop"] = doc["indices"]["stop"]
            else:
                ranges[doc["stream_resource"]] = doc
        for doc in ranges.values():
            yield "stream_datum", doc

    def read_configuration(self) -> dict[str, Any]:
        """Return the settings that all images of this kind share."""
        read = {
            f"{self.name}_{key}": {"value": setting.value, "timestamp": self._since}
            for key, setting in self._settings.items()
        }
        calibrated = {"value": int(self._calibrated), "timestamp": self._since}
        return {**read, f"{self.name}_calibrated": calibrated}

    def describe_configuration(self) -> dict[str, Any]:
        """Describe them."""
        described = {}
        for key, setting in self._settings.items():
            name = f"{self.name}_{key}"
            described[name] = _key(name, type(setting.value), setting.unit)
        name = f"{self.name}_calibrated"
        return {**described, name: _key(name, int)}


def kind_of(recorded: CapturedFile) -> tuple[Any, ...]:
    """Return what images of one stream have in common."""
    settings = {
        key: (setting.value, setting.unit)
        for key, setting in recorded.settings.items()
        if key not in _SCALARS
    }
    channels = tuple(
        (key, channel.data.shape, channel.unit)
        for key, channel in zip(recorded.keys(), recorded.channels, strict=True)
    )
    scalars = tuple(key for key in _SCALARS if key in recorded.settings)
    return recorded.calibrated, (channels, scalars), settings


def _key(name: str, kind: type, unit: str = "") -> dict[str, Any]:
    dtype, numpy_dtype = _KINDS[kind]
    described: dict[str, Any] = {
        "source": f"file:{name}",
        "dtype": dtype,
        "dtype_numpy": numpy_dtype,
        "shape": [],
    }
    return {**described, "units": unit} if unit else described
