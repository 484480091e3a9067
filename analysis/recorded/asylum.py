"""Asylum Research images (.ibw): every layer in SI units, from a wave that igor2 reads.

The instrument writes calibrated numbers and names the layers (HeightTrace, PhaseRetrace); units are
not in the file but follow from the names, as the controller has them. igor2 is under the LGPL: it
is part of the extra ``afm-files``, and imported only when such a file is opened.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .channels import (
    Channel,
    ChannelFile,
    Setting,
    channel_name,
    missing_extra,
    read_beginning,
)

__all__ = ["is_ibw", "read_ibw"]

_FORMAT = "Asylum Research"
_VERSION = 5  # of Igor 3 and newer
_HEADER_BYTES = 64 + 320  # of the file and of the wave, with one checksum over both
_SIZES = "13i"  # of the wave and of what follows it, from byte 4 on
_DIRECTIONS = {"Retrace": "retrace", "Trace": "trace"}
_UNITS = (
    ("phase", "deg"),
    ("potential", "V"),
    ("height", "m"),
    ("zsensor", "m"),
    ("amplitude", "m"),
    ("deflection", "m"),
    ("current", "A"),
    ("frequency", "Hz"),
)
_DEFAULT_SENSITIVITY = 1e-7  # m/V, of a lever that nobody has calibrated
_SETTINGS = {
    "ImagingMode": ("mode", "", 1.0),
    "FastScanSize": ("scan_size", "µm", 1e6),
    "ScanRate": ("scan_rate", "Hz", 1.0),
    "ScanLines": ("lines", "", 1.0),
    "ScanPoints": ("samples_per_line", "", 1.0),
    "ScanAngle": ("scan_angle", "deg", 1.0),
    "XOffset": ("x_offset", "µm", 1e6),
    "YOffset": ("y_offset", "µm", 1e6),
    "TipSerialNumber": ("serial", "", 1.0),
}
_COUNTS = ("lines", "samples_per_line")


def is_ibw(beginning: bytes) -> bool:
    """Whether a file that begins so is an Igor binary wave."""
    return beginning[:2] in (struct.pack("<h", _VERSION), struct.pack(">h", _VERSION))


def read_ibw(path: str | Path) -> ChannelFile:
    """Read an image file of an Asylum Research microscope.

    Parameters
    ----------
    path : str or Path
        An Igor binary wave whose layers are the channels.

    Returns
    -------
    ChannelFile
        `calibrated` tells whether the sensitivity (InvOLS) is another than that of a lever that
        nobody has calibrated; amplitudes and deflections are in metres all the same.

    Raises
    ------
    ValueError
        If there is no such file, it is of another kind, ends too early or makes no sense, or the
        extra ``afm-files`` is missing.
    """
    file = Path(path)
    beginning = read_beginning(file, _HEADER_BYTES)
    if not is_ibw(beginning):
        raise ValueError(f"{file.name} is no Igor binary wave of version {_VERSION}")
    _check_sizes(file, beginning)
    try:
        from igor2 import binarywave
    except ModuleNotFoundError:
        raise missing_extra(f"an {_FORMAT} file such as {file.name}") from None
    try:
        with file.open("rb") as opened:
            return _read(binarywave.load(opened)["wave"])
    except Exception as error:  # the decoder raises whatever a garbled wave brings about
        reason = " ".join(str(error).split()) if isinstance(error, ValueError) else f"{error!r:.80}"
        raise ValueError(f"{file.name} cannot be read as an {_FORMAT} image: {reason}") from None


def _check_sizes(path: Path, header: bytes) -> None:
    """Refuse what is cut off or garbled: igor2 would believe a size of any number of gigabytes."""
    order = "<" if header[0] else ">"
    if len(header) < _HEADER_BYTES:
        raise ValueError(f"{path.name} ends within its header: it was cut off, or is still written")
    if sum(struct.unpack(f"{order}{_HEADER_BYTES // 2}h", header)) & 0xFFFF:
        raise ValueError(f"{path.name} has a header whose checksum is wrong")
    sizes = struct.unpack_from(f"{order}{_SIZES}", header, 4)
    length, there = 64 + sum(sizes), path.stat().st_size
    if min(sizes) < 0 or there < length:
        raise ValueError(f"{path.name} is cut off: of its {length} bytes there are {there}")


def _read(wave: Mapping[str, Any]) -> ChannelFile:
    data = np.asarray(wave["wData"])
    if data.ndim != 3 or 0 in data.shape or data.dtype.kind not in "fiu":
        raise ValueError(f"it holds an array of shape {data.shape}, no images with layers")
    names = [label.decode("latin1") for label in wave["labels"][2] if label]
    if len(names) != data.shape[2]:
        raise ValueError(f"it has {data.shape[2]} layers with {len(names)} names")
    steps = [float(step) for step in wave["wave_header"]["sfA"][:2]]
    if not all(math.isfinite(step) and step > 0.0 for step in steps):
        raise ValueError(f"its points are {steps[0]:g} m and its lines {steps[1]:g} m apart")
    note = dict(_lines(wave["note"].decode("latin1")))
    channels = [
        _channel(name, data[:, :, index], steps, number=index) for index, name in enumerate(names)
    ]
    sensitivity = float(note.get("InvOLS", "nan"))
    return ChannelFile(
        channels=tuple(channels),
        calibrated=math.isfinite(sensitivity) and sensitivity != _DEFAULT_SENSITIVITY,
        metadata=note,
        time=_time(note),
        format=_FORMAT,
        settings=_settings(note),
    )


def _channel(title: str, layer: Any, steps: list[float], *, number: int) -> Channel:
    """One layer: points first in the wave, lines first here."""
    quantity, direction = title, ""
    for ending, found in _DIRECTIONS.items():
        if title.endswith(ending):
            quantity, direction = title.removesuffix(ending), found
            break
    interleaved = quantity.startswith("Nap")
    points, lines = layer.shape
    name = channel_name(quantity.removeprefix("Nap").replace("ZSensor", "Height Sensor"))
    return Channel(
        name=name or f"layer_{number}",
        title=title,
        data=np.ascontiguousarray(layer.T, dtype=np.float64),
        unit=next((unit for word, unit in _UNITS if word in quantity.lower()), "1"),
        x_size=points * steps[0],
        y_size=lines * steps[1],
        direction=direction,
        interleaved=interleaved,
    )


def _lines(note: str) -> list[tuple[str, str]]:
    pairs = [line.partition(":") for line in note.replace("\n", "\r").split("\r")]
    return [(key.strip(), value.strip()) for key, colon, value in pairs if colon]


def _time(note: Mapping[str, str]) -> float | None:
    text = f"{note.get('Date', '')} {note.get('Time', '')}"
    try:
        return datetime.strptime(text, "%Y-%m-%d %I:%M:%S %p").timestamp()
    except (ValueError, OverflowError):
        return None


def _settings(note: Mapping[str, str]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for key, (name, unit, factor) in _SETTINGS.items():
        text = note.get(key, "")
        if not text:
            continue
        try:
            number = round(float(text) * factor, 9)
        except ValueError:
            found[name] = Setting(text, unit)
            continue
        found[name] = Setting(int(number) if name in _COUNTS else number, unit)
    return found
