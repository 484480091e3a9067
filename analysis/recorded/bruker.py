"""Bruker NanoScope images (.spm): every channel in SI units, from a header that pySPM parses.

pySPM reads the header; its own conversion of the pixels takes every hard unit for volts, so that a
phase comes out in V and an amplitude error a thousand times too large, finds the first only of
channels of one name, and unpacks pixels one by one. So the pixels are decoded here, from what it
found in the header. Files begin with the lowest line, and so do our arrays. pySPM needs Python
below 3.13; beyond, SurfaceTopography reads the channels of length and the others are left out.
Format: http://www.physics.arizona.edu/~smanne/DI/software/fileformats.html.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._spm_settings import spm_settings
from ._spm_units import in_si, parse_quantity, resolve
from .channels import (
    Channel,
    ChannelFile,
    Setting,
    channel_name,
    missing_extra,
    read_beginning,
)

__all__ = ["is_spm", "read_spm"]

_log = logging.getLogger(__name__)

_FORMAT = "Bruker NanoScope"
_MAGIC = b"\\*File list"
_END = b"*File list end"
_MOST_HEADER = 1 << 20  # bytes; real ones have 35 to 90 thousand
_TYPES = {2: "<i2", 4: "<i4", 8: "<i8"}
_DATE = "%I:%M:%S %p %a %b %d %Y"

_Keys = Mapping[str, str]


def is_spm(beginning: bytes) -> bool:
    """Whether a file that begins so is a NanoScope image."""
    return beginning.startswith(_MAGIC)


def read_spm(path: str | Path) -> ChannelFile:
    """Read an image file of a Bruker (Veeco, Digital Instruments) microscope.

    Parameters
    ----------
    path : str or Path
        Of NanoScope 5 or newer.

    Returns
    -------
    ChannelFile
        All channels, several of one name too.

    Raises
    ------
    ValueError
        If there is no such file, it is of another kind, ends too early or makes no sense, or the
        extra ``afm-files`` is missing.
    """
    file = Path(path)
    header = _checked_header(file)
    try:
        try:
            sections = _sections(file)
        except ModuleNotFoundError:
            return _lengths_only(file, header)
        return _read(file, header, *sections)
    except Exception as error:  # a garbled header brings about whatever it may
        reason = " ".join(str(error).split()) if isinstance(error, ValueError) else f"{error!r:.80}"
        if isinstance(error, ValueError) and file.name in reason:
            raise
        raise ValueError(f"{file.name} cannot be read as a {_FORMAT} image: {reason}") from None


def _checked_header(path: Path) -> str:
    """Return the header, certain to have its end: pySPM would look for it for ever."""
    beginning = read_beginning(path, _MOST_HEADER)
    if not is_spm(beginning):
        raise ValueError(
            f"{path.name} is no {_FORMAT} image: it begins with {beginning[:12]!r}, not {_MAGIC!r}"
        )
    lines = beginning.split(b"\n")  # as pySPM does, for which a bare \r ends no line
    for number, line in enumerate(lines):
        if line.rstrip().replace(b"\\", b"") == _END:
            return b"\n".join(lines[:number]).decode("latin1")
    raise ValueError(f"{path.name} ends within its header: it was cut off, or is still written")


def _sections(path: Path) -> tuple[_Keys, list[_Keys]]:
    """What pySPM finds: scanner and scan lists together, and the list of each image."""
    import pySPM

    parsed = pySPM.Bruker(str(path))
    scan: dict[str, str] = {}
    for section in parsed.scanners:
        scan |= _text(section)
    return scan, [_text(layer) for layer in parsed.layers]


def _text(section: Mapping[bytes, list[bytes]]) -> _Keys:
    return {
        key.decode("latin1"): b": ".join(values).decode("latin1") for key, values in section.items()
    }


def _read(path: Path, header: str, scan: _Keys, images: list[_Keys]) -> ChannelFile:
    calibrated = _calibrated(scan)
    channels = []
    with path.open("rb") as file:
        for image in images:
            title = _image_title(image)
            if title:
                pixels = _pixels(file, title, image, scan)
                channels.append(_channel(title, pixels, image, scan, calibrated=calibrated))
    if not channels:
        raise ValueError(f"{path.name} holds no image: it may be a force curve")
    return ChannelFile(
        channels=tuple(channels),
        calibrated=calibrated,
        metadata=dict(_lines(header)),
        time=_time(header),
        format=_FORMAT,
        settings={**spm_settings(scan), **_setpoint(scan, calibrated=calibrated)},
    )


def _calibrated(scan: _Keys) -> bool:
    """Whether the sensitivity of the deflection has a unit: NanoScope writes a bare 1 if not."""
    text = scan.get("@Sens. DeflSens", "")
    return bool(text) and bool(parse_quantity(text).unit)


def _value(keys: _Keys, name: str) -> str:
    """The value of ``@2:name``, where 2 may be another number; "" where there is none."""
    pattern = re.compile(rf"@\d+:{name}", re.IGNORECASE)
    return next((text for key, text in keys.items() if pattern.fullmatch(key)), "")


def _image_title(image: _Keys) -> str:
    found = re.search(r'"([^"]*)"', _value(image, "Image Data"))
    return found[1] if found else ""


def _shape(title: str, image: _Keys, scan: _Keys) -> tuple[int, int, int]:
    """Lines, points, and bytes of a pixel."""
    length = int(image["Data length"])
    own = int(image["Number of lines"]), int(image["Samps/line"])
    whole = int(scan.get("Lines", 0)), int(scan.get("Samps/line", 0))
    for lines, points in (own, whole):  # that of the image is wrong in some files
        pixels = lines * points
        if lines > 0 and points > 0 and length % pixels == 0 and length // pixels in _TYPES:
            return lines, points, length // pixels
    raise ValueError(f"channel {title!r} of {own[0]} x {own[1]} pixels cannot have {length} bytes")


def _pixels(
    file: BinaryIO, title: str, image: _Keys, scan: _Keys
) -> NDArray[np.signedinteger[Any]]:
    lines, points, size = _shape(title, image, scan)
    offset, length = int(image["Data offset"]), lines * points * size
    there = max(0, os.fstat(file.fileno()).st_size - offset)
    if offset < 0 or there < length:
        raise ValueError(
            f"it is cut off in channel {title!r}: of its {length} bytes from {offset} on there are "
            f"{there}"
        )
    file.seek(offset)
    return np.frombuffer(file.read(length), _TYPES[size]).reshape(lines, points)


def _channel(
    title: str,
    pixels: NDArray[np.signedinteger[Any]],
    image: _Keys,
    scan: _Keys,
    *,
    calibrated: bool,
) -> Channel:
    scale = _value(image, "Z scale")
    name = re.match(r"\s*[A-Z]\s+\[([^\]]*)\]", scale)
    soft = scan.get(f"@{name[1]}", "") if name else ""
    unit, span = resolve(
        parse_quantity(scale), parse_quantity(soft) if soft else None, calibrated=calibrated
    )
    # The range belongs to the bytes that the header tells, though newer files store four.
    step = span / 256.0 ** int(image.get("Bytes/pixel", pixels.itemsize))
    x_size, y_size = _sizes(pixels.shape, image, scan)
    if not math.isfinite(step) or step == 0.0:
        raise ValueError(f"channel {title!r} has steps of {step:g} {unit}")
    return Channel(
        name=channel_name(title),
        title=title,
        data=pixels.astype(np.float64) * step,
        unit=unit,
        x_size=x_size,
        y_size=y_size,
        direction=image.get("Line Direction", "").lower(),
        interleaved=image.get("Scan Line", "") == "Interleave",
    )


def _sizes(shape: tuple[int, ...], image: _Keys, scan: _Keys) -> tuple[float, float]:
    """Sides of an image, m."""
    *sides, unit = image["Scan Size"].split()
    factor = in_si(unit)[1]
    x_size, y_size = float(sides[0]) * factor, float(sides[-1]) * factor
    if "Slow Axis Size" in scan:  # newer files; the second side of the image is not right in them
        slow = parse_quantity(scan["Slow Axis Size"])
        y_size = slow.value * in_si(slow.unit)[1]
    lines, whole = shape[0], int(scan.get("Lines", 0))
    if image.get("Aspect Ratio", "1:1").strip() != "1:1" and lines < whole:
        y_size *= lines / whole  # ended before its last line
    if not all(math.isfinite(side) and side > 0.0 for side in (x_size, y_size)):
        raise ValueError(f"its sides are {x_size:g} and {y_size:g} m")
    return x_size, y_size


def _setpoint(scan: _Keys, *, calibrated: bool) -> dict[str, Setting]:
    """The peak force setpoint: in nN where the probe is calibrated, else in V."""
    text, sensitivity = scan.get("@2:SoftHarmoniXSetpoint"), scan.get("@Sens. ForceDeflSens")
    if text is None or sensitivity is None:
        return {}
    soft = parse_quantity(sensitivity)
    unit, value = resolve(parse_quantity(text), soft, calibrated=calibrated)
    if unit == "N":
        unit, value = "nN", round(1e9 * value, 9)
    return {"peak_force_setpoint": Setting(value, unit)}


def _lines(header: str) -> Iterator[tuple[str, str]]:
    """Key and value of each line; a key of an image has the number of the image before it."""
    image, before = 0, ""
    for line in header.splitlines():
        text = line.strip().lstrip("\\")
        if text.startswith("*"):
            image += "image list" in text.lower()
            before = f"{image}:" if "image list" in text.lower() else ""
        elif ":" in text:
            key, _, value = text.partition(": ")
            yield before + key.rstrip(":"), value.strip()


def _time(header: str) -> float | None:
    found = re.search(r"^\\Date: (.*?)\s*$", header, re.MULTILINE)
    try:
        return datetime.strptime(found[1], _DATE).timestamp() if found else None
    except (ValueError, OverflowError):
        return None


def _lengths_only(path: Path, header: str) -> ChannelFile:
    """Read the channels of length with SurfaceTopography."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # that it computes without MPI
            from SurfaceTopography.Exceptions import CorruptFile, UnsupportedFormatFeature
            from SurfaceTopography.IO.DI import DIReader
    except ModuleNotFoundError:
        raise missing_extra(f"a {_FORMAT} file such as {path.name}") from None
    try:
        reader = DIReader(str(path))
        lengths = [entry for entry in reader.channels if entry.height_scale_factor is not None]
        keys = dict(_lines(header))
        channels = [_length(reader, entry, keys) for entry in lengths]
    except (CorruptFile, UnsupportedFormatFeature, RuntimeError) as error:
        raise ValueError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None
    left_out = tuple(entry.name for entry in reader.channels if entry not in lengths)
    if left_out:
        _log.warning(
            "%s: %s left out: these channels need pySPM, and that Python below 3.13",
            path.name,
            ", ".join(left_out),
        )
    return ChannelFile(
        channels=tuple(channels),
        calibrated=_calibrated(keys),
        metadata=keys,
        time=_time(header),
        format=_FORMAT,
        settings={**spm_settings(keys), **_setpoint(keys, calibrated=_calibrated(keys))},
        left_out=left_out,
    )


def _length(reader: Any, entry: Any, scan: _Keys) -> Channel:
    image = {key: str(value) for key, value in entry.info["raw_metadata"].items()}
    told = {
        "Scan Size": image["scan size"],
        "Aspect Ratio": image.get("aspect ratio", "1:1"),
    }
    topography = reader.topography(channel_index=entry.index)
    # (points, lines) with the topmost line first
    heights = np.ascontiguousarray(np.asarray(topography.heights(), float).T[::-1])
    title = _image_title(image) or entry.name
    x_size, y_size = _sizes(heights.shape, told, scan)
    return Channel(
        name=channel_name(title),
        title=title,
        data=heights * in_si(topography.unit)[1],
        unit="m",
        x_size=x_size,
        y_size=y_size,
        direction=image.get("line direction", "").lower(),
        interleaved=image.get("scan line", "").lower() == "interleave",
    )
