"""The documents of a run of one image, made from a file: those of `plans.imaging.image`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from analysis.recorded.channels import ChannelFile, Setting
from devices.frames import RecordFile
from devices.image_channels import FEEDBACK_CHANNEL

__all__ = ["Origin", "RecordedImage", "image_uid"]

Document = tuple[str, dict[str, Any]]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "twinscope/recorded-image")
_IMAGER, _SCANNER, _PROBE, _CHUCK = "afm_imager", "afm_scanner", "afm_probe", "afm_chuck"
_OF_SCANNER = ("scan_size", "aspect_ratio", "scan_rate", "lines", "samples_per_line")
_OF_SCANNER += ("scan_angle", "x_offset", "y_offset")
_OF_PROBE = ("serial", "radius")
_COUNTED = ("tip_frame_count", "tip_scanned_distance")
_ERROR_UNITS = {"N": ("nN", 1e9), "m": ("nm", 1e9), "V": ("V", 1.0)}
_MODES = {"AC Mode": "Tapping"}
_KINDS = {str: ("string", "<U64"), int: ("integer", "<i8"), float: ("number", "<f8")}


@dataclass(frozen=True)
class Origin:
    """What a file does not say of its image.

    Parameters
    ----------
    sample : str
        What is imaged.
    field : int
        Number of the place on it.
    """

    sample: str
    field: int = 0


def image_uid(digest: str) -> str:
    """Uid of the run of a file: the same for the same content."""
    return str(uuid.uuid5(_NAMESPACE, digest))


class RecordedImage:
    """One file, and the documents of its run.

    Parameters
    ----------
    path : Path
        The file.
    recorded : ChannelFile
        What was read from it.
    origin : Origin
        What it does not say.
    digest : str
        Of its content, SHA-256 in hexadecimal digits.
    """

    def __init__(self, path: Path, recorded: ChannelFile, origin: Origin, digest: str) -> None:
        self._path = path
        self._recorded = recorded
        self._origin = origin
        self._uid = image_uid(digest)
        self._digest = digest
        self._time = path.stat().st_mtime if recorded.time is None else recorded.time
        told = recorded.settings.get("mode", Setting("unknown")).value
        self._mode = _MODES.get(str(told), str(told))
        self._keys = {key: f"{_IMAGER}_{key}" for key in recorded.keys()}
        self._feedback_error = self._find_feedback_error()

    def write(self, folder: Path) -> list[Document]:
        """Write the arrays; return the documents that point to them."""
        moment = datetime.fromtimestamp(self._time)
        path = folder / f"{moment:%Y/%m/%d}" / f"{moment:%H%M%S}-{_IMAGER}-{self._uid[:8]}.h5"
        path.unlink(missing_ok=True)  # of an attempt that was cut short
        channels = dict(zip(self._keys.values(), self._recorded.channels, strict=True))
        attributes = {
            key: {
                "units": channel.unit,
                "calibrated": self._recorded.calibrated,
                "long_name": channel.title,
                "dims": ["image", "line", "point"],
                "orientation": "line 0 is the lowest; point 0 is at the left",
                "scan_size_m": channel.x_size,
                "height_m": channel.y_size,
            }
            for key, channel in channels.items()
        }
        datasets = {key: f"/entry/{name}" for name, key in self._keys.items()}
        file = RecordFile(path, datasets, attributes, {"source_file": self._path.name})
        try:
            file.append({key: item.data.astype(np.float32) for key, item in channels.items()})
            return file.collect()
        finally:
            file.close()

    def start(self) -> dict[str, Any]:
        """The start document, as of an image that our plan took."""
        serial = str(self._setting("serial", ""))
        scan = self._scan()
        duration = scan["lines"] / scan["rate"] if scan["rate"] > 0.0 else 0.0
        return {
            "time": self._time - duration,
            "plan_name": "image",
            "purpose": "raw",
            "detectors": [_IMAGER],
            "motors": [],
            "num_points": 1,
            "technique": self._mode.lower().replace(" ", "_"),
            "sample": self._origin.sample,
            "field": self._origin.field,
            "probe_serial": serial,
            "session": f"{datetime.fromtimestamp(self._time):%Y-%m-%d} {serial}".rstrip(),
            "calibrated": self._recorded.calibrated,
            "channels": list(self._keys),
            "scan": scan,
            "fields": self._fields(),
            "hints": {"dimensions": [(("time",), "primary")]},
            "recorded": {
                "file": self._path.name,
                "format": self._recorded.format,
                "sha256": self._digest,
                "left_out": list(self._recorded.left_out),
            },
        }

    def documents(self, start: Mapping[str, Any], assets: Sequence[Document]) -> Iterator[Document]:
        """Give the documents of the run, in their order."""
        from event_model import compose_run

        metadata = {key: value for key, value in start.items() if key not in ("time", "uid")}
        run = compose_run(uid=self._uid, time=start["time"], metadata=metadata)
        yield "start", dict(run.start_doc)
        data_keys, data = self._data()
        configuration = self._configuration()
        objects = {key["object_name"] for key in data_keys.values()} | set(configuration)
        bundle = run.compose_descriptor(
            "primary",
            data_keys,
            hints={},
            object_keys={
                name: [key for key, told in data_keys.items() if told["object_name"] == name]
                for name in sorted(objects)
            },
            configuration=configuration,
            time=start["time"],
            uid=self._derived("primary"),
        )
        yield "descriptor", dict(bundle.descriptor_doc)
        yield from self._pointing(assets, bundle.descriptor_doc["uid"])
        event = bundle.compose_event(
            data=data,
            timestamps=dict.fromkeys(data, self._time),
            time=self._time,
            uid=self._derived("event"),
        )
        yield "event", dict(event)
        stop = run.compose_stop(time=self._time, uid=self._derived("stop"))
        yield "stop", dict(stop)

    def _pointing(self, assets: Sequence[Document], descriptor: str) -> Iterator[Document]:
        """Complete the documents of the arrays as a RunEngine does."""
        uids: dict[str, str] = {}
        for name, doc in assets:
            if name == "stream_resource":
                uids[doc["uid"]] = self._derived(doc["data_key"])
                yield name, {**doc, "uid": uids[doc["uid"]], "run_start": self._uid}
            else:
                resource = uids[doc["stream_resource"]]
                numbers = {"seq_nums": {"start": 1, "stop": 2}, "descriptor": descriptor}
                yield name, {**doc, "uid": f"{resource}/0", "stream_resource": resource, **numbers}

    def _data(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data keys and values of the event."""
        source = f"file:{self._path.name}"
        keys: dict[str, Any] = {}
        for key, channel in zip(self._keys.values(), self._recorded.channels, strict=True):
            keys[key] = {
                "source": source,
                "dtype": "array",
                "dtype_numpy": "<f4",
                "shape": list(channel.data.shape),
                "dims": ["line", "point"],
                "external": "STREAM:",
                "units": channel.unit,
                "object_name": _IMAGER,
            }
        scalars = {(_IMAGER, "time"): Setting(self._time, "s")}
        if self._feedback_error is not None:
            scalars[_IMAGER, "feedback_error"] = self._feedback_error
        for name, setting in self._settings(_COUNTED).items():
            scalars[_PROBE, name] = setting
        scalars[_CHUCK, "sample"] = Setting(self._origin.sample)
        for (device, name), setting in scalars.items():
            keys[f"{device}_{name}"] = {**_described(setting, source), "object_name": device}
        return keys, {f"{device}_{name}": item.value for (device, name), item in scalars.items()}

    def _configuration(self) -> dict[str, Any]:
        scan = {name: Setting(value) for name, value in self._frame().items()}
        scanner = {**self._settings(_OF_SCANNER), **scan}
        probe = self._settings(_OF_PROBE)
        apart = {*_OF_SCANNER, *_OF_PROBE, *_COUNTED, "mode"}
        imager = {
            "mode": Setting(self._mode),
            **{
                name: setting
                for name, setting in self._recorded.settings.items()
                if name not in apart
            },
        }
        probe["calibrated"] = Setting(int(self._recorded.calibrated))
        source = f"file:{self._path.name}"
        found = {
            device: _configured(device, settings, self._time, source)
            for device, settings in ((_IMAGER, imager), (_SCANNER, scanner), (_PROBE, probe))
        }
        key = f"{_IMAGER}_channels"
        found[_IMAGER]["data"][key] = list(self._keys)
        found[_IMAGER]["timestamps"][key] = self._time
        found[_IMAGER]["data_keys"][key] = {
            "source": source,
            "dtype": "array",
            "dtype_numpy": "<U64",
            "shape": [len(self._keys)],
        }
        return found

    def _scan(self) -> dict[str, Any]:
        first = self._recorded.channels[0]
        lines, points = first.data.shape
        return {
            "size": round(1e6 * first.x_size, 9),
            "rate": float(self._setting("scan_rate", 0.0)),
            "lines": lines,
            "points": points,
            "aspect": round(first.x_size / first.y_size, 9),
            "angle": float(self._setting("scan_angle", 0.0)),
        }

    def _frame(self) -> dict[str, int | float]:
        """What the image is, where the header tells what was meant to be."""
        scan = self._scan()
        named = {"aspect_ratio": "aspect", "lines": "lines", "samples_per_line": "points"}
        return {name: scan[key] for name, key in named.items()}

    def _find_feedback_error(self) -> Setting | None:
        """Root mean square of the channel that tells how far the feedback was off."""
        name = FEEDBACK_CHANNEL.get(self._mode, "")
        if name not in self._keys:
            return None
        channel = self._recorded.channel(name)
        unit, factor = _ERROR_UNITS.get(channel.unit, (channel.unit, 1.0))
        return Setting(float(factor * np.sqrt(np.mean(np.square(channel.data)))), unit)

    def _fields(self) -> dict[str, str]:
        scalars = ["time"] if self._feedback_error is None else ["time", "feedback_error"]
        return {**self._keys, **{name: f"{_IMAGER}_{name}" for name in scalars}}

    def _setting(self, name: str, default: str | float) -> Any:
        return self._recorded.settings.get(name, Setting(default)).value

    def _settings(self, names: Iterable[str]) -> dict[str, Setting]:
        told = self._recorded.settings
        return {name: told[name] for name in names if name in told}

    def _derived(self, name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self._uid), name))


def _described(setting: Setting, source: str) -> dict[str, Any]:
    dtype, numpy_dtype = _KINDS[type(setting.value)]
    key: dict[str, Any] = {"source": source, "dtype": dtype, "dtype_numpy": numpy_dtype}
    key["shape"] = []
    return {**key, "units": setting.unit} if setting.unit else key


def _configured(
    device: str, settings: Mapping[str, Setting], time: float, source: str
) -> dict[str, Any]:
    return {
        "data": {f"{device}_{name}": setting.value for name, setting in settings.items()},
        "timestamps": {f"{device}_{name}": time for name in settings},
        "data_keys": {
            f"{device}_{name}": _described(setting, source) for name, setting in settings.items()
        },
    }
