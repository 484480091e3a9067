"""The documents of an image that was simulated without a station: those that `plans.image` leaves.

The same start document, data keys, units and files, so that whatever reads the runs of a journal
reads these like any others. What only the simulator knows is not in them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from event_model import compose_run
from numpy.typing import NDArray

from devices.frames import RecordFile
from devices.image_channels import CHANNELS, FEEDBACK_CHANNEL
from plans.scans import Place, Scan

__all__ = ["Document", "TakenImage", "asset_file", "documents"]

Document = tuple[str, dict[str, Any]]

_SOURCE = "sim:network_runs"
_IMAGER, _CHUCK, _PROBE, _SCANNER = "afm_imager", "afm_chuck", "afm_probe", "afm_scanner"
_NANO = 1e9  # nN and nm of SI


@dataclass(frozen=True)
class TakenImage:
    """An image, and what a start document tells of it.

    Parameters
    ----------
    uid : str
        Of its run.
    time : float
        When it was begun, s since the epoch.
    place : Place
        Where.
    scan : Scan
        How.
    mode : str
        One of `devices.image_channels.MODES`.
    serial : str
        Of the probe.
    channels : mapping of str to ndarray of float32, shape (lines, points)
        What is kept of it, SI units.
    error : float
        Root mean square of the error of the feedback, SI units.
    settings : mapping
        Of the imager: value and unit by name.
    """

    uid: str
    time: float
    place: Place
    scan: Scan
    mode: str
    serial: str
    channels: Mapping[str, NDArray[np.float32]]
    error: float
    settings: Mapping[str, tuple[Any, str]]

    @property
    def moment(self) -> datetime:
        """When it was begun."""
        return datetime.fromtimestamp(self.time, UTC)

    @property
    def ended(self) -> float:
        """When it was done, s since the epoch."""
        return self.time + self.scan.duration


def asset_file(image: TakenImage, folder: Path) -> Path:
    """Return where the arrays of an image lie."""
    return folder / f"{image.moment:%Y/%m/%d}" / f"{_IMAGER}-{image.uid}.h5"


def documents(image: TakenImage, folder: Path) -> Iterator[Document]:
    """Write the arrays of an image, and yield the documents of its run in their order.

    Parameters
    ----------
    image : TakenImage
        The image.
    folder : Path
        Of the arrays.
    """
    run = compose_run(uid=image.uid, time=image.time, metadata=_metadata(image))
    yield "start", dict(run.start_doc)
    keys, data = _data(image)
    of_device: dict[str, list[str]] = {}
    for key, told in keys.items():
        of_device.setdefault(told["object_name"], []).append(key)
    bundle = run.compose_descriptor(
        "primary",
        keys,
        hints={},
        object_keys=of_device,
        configuration=_configuration(image),
        time=image.time,
        uid=_derived(image, "primary"),
    )
    descriptor = dict(bundle.descriptor_doc)
    yield "descriptor", descriptor
    yield from _assets(image, folder, str(descriptor["uid"]))
    yield (
        "event",
        dict(
            bundle.compose_event(
                data=data,
                timestamps=dict.fromkeys(data, image.ended),
                time=image.ended,
                uid=_derived(image, "event"),
            )
        ),
    )
    yield "stop", dict(run.compose_stop(time=image.ended, uid=_derived(image, "stop")))


def _metadata(image: TakenImage) -> dict[str, Any]:
    place, scan = image.place, asdict(image.scan)
    setpoint = image.settings.get("peak_force_setpoint", (None, ""))[0]
    return {
        "plan_name": "image",
        "plan_args": {
            "afm": "afm",
            "place": {"sample": place.sample, "x": place.x, "y": place.y},
            "scan": scan,
            "mode": image.mode,
            "setpoint": setpoint,
        },
        "purpose": "raw",
        "detectors": [_IMAGER],
        "motors": [f"{_CHUCK}_sample", f"{_CHUCK}_offset_x", f"{_CHUCK}_offset_y"],
        "num_points": 1,
        "technique": image.mode.lower().replace(" ", "_"),
        "sample": place.sample,
        "field": place.field,
        "probe_serial": image.serial,
        "session": f"{image.moment:%Y-%m-%d} {image.serial}",
        "calibrated": True,
        "channels": list(image.channels),
        "scan": scan,
        "fields": {
            name: f"{_IMAGER}_{name}" for name in (*image.channels, "time", "feedback_error")
        },
        "hints": {"dimensions": [(("time",), "primary")]},
    }


def _data(image: TakenImage) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data keys and values of the event."""
    keys: dict[str, Any] = {
        f"{_IMAGER}_{name}": {
            "source": _SOURCE,
            "dtype": "array",
            "dtype_numpy": "<f4",
            "shape": list(array.shape),
            "dims": ["line", "point"],
            "external": "STREAM:",
            "units": CHANNELS[name].unit,
            "object_name": _IMAGER,
        }
        for name, array in image.channels.items()
    }
    error_unit = f"n{CHANNELS[FEEDBACK_CHANNEL[image.mode]].unit}"
    scalars = {
        (_IMAGER, "time"): ((image.time + image.ended) / 2, "s"),
        (_IMAGER, "feedback_error"): (_NANO * image.error, error_unit),
        (_CHUCK, "sample"): (image.place.sample, ""),
        (_CHUCK, "offset_x"): (image.place.x, "µm"),
        (_CHUCK, "offset_y"): (image.place.y, "µm"),
    }
    for (device, name), (value, unit) in scalars.items():
        keys[f"{device}_{name}"] = {**_described(value, unit), "object_name": device}
    return keys, {f"{device}_{name}": value for (device, name), (value, _) in scalars.items()}


def _configuration(image: TakenImage) -> dict[str, Any]:
    scan = image.scan
    scanner = {
        "scan_size": (scan.size, "µm"),
        "aspect_ratio": (scan.aspect, ""),
        "scan_rate": (scan.rate, "Hz"),
        "lines": (scan.lines, ""),
        "samples_per_line": (scan.points, ""),
        "scan_angle": (scan.angle, "deg"),
    }
    imager = {"mode": (image.mode, ""), **image.settings}
    probe = {"serial": (image.serial, ""), "calibrated": (1, "")}
    devices = ((_IMAGER, imager), (_SCANNER, scanner), (_PROBE, probe))
    return {
        device: {
            "data": {f"{device}_{name}": value for name, (value, _) in told.items()},
            "timestamps": {f"{device}_{name}": image.time for name in told},
            "data_keys": {
                f"{device}_{name}": _described(value, unit) for name, (value, unit) in told.items()
            },
        }
        for device, told in devices
    }


def _assets(image: TakenImage, folder: Path, descriptor: str) -> Iterator[Document]:
    """Write the arrays, and complete the documents of the file as a RunEngine does."""
    path = asset_file(image, folder)
    path.unlink(missing_ok=True)  # of an attempt that was cut short
    keys = {name: f"{_IMAGER}_{name}" for name in image.channels}
    attributes = {
        keys[name]: {
            "units": CHANNELS[name].unit,
            "calibrated": True,
            "long_name": CHANNELS[name].long_name,
            "dims": ["image", "line", "point"],
            "orientation": "line 0 is the first, at -y; point 0 is at -x",
            "scan_size_m": 1e-6 * image.scan.size,
        }
        for name in keys
    }
    datasets = {key: f"/entry/{name}" for name, key in keys.items()}
    entry = {"mode": image.mode, "calibrated": True, "sample": image.place.sample}
    file = RecordFile(path, datasets, attributes, {**entry, "probe_serial": image.serial})
    try:
        file.append({keys[name]: array for name, array in image.channels.items()})
        written = file.collect()
    finally:
        file.close()
    uids: dict[str, str] = {}
    for name, doc in written:
        if name == "stream_resource":
            uids[doc["uid"]] = _derived(image, doc["data_key"])
            yield name, {**doc, "uid": uids[doc["uid"]], "run_start": image.uid}
        else:
            resource = uids[doc["stream_resource"]]
            numbers = {"seq_nums": {"start": 1, "stop": 2}, "descriptor": descriptor}
            yield name, {**doc, "uid": f"{resource}/0", "stream_resource": resource, **numbers}


def _described(value: str | float, unit: str) -> dict[str, Any]:
    kinds = {str: ("string", "<U64"), int: ("integer", "<i8"), float: ("number", "<f8")}
    dtype, numpy_dtype = kinds[type(value)]
    key: dict[str, Any] = {"source": _SOURCE, "dtype": dtype, "dtype_numpy": numpy_dtype}
    return {**key, "shape": [], **({"units": unit} if unit else {})}


def _derived(image: TakenImage, name: str) -> str:
    return str(uuid.uuid5(uuid.UUID(image.uid), name))
