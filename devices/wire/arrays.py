"""Arrays as raw frames: a description in the header, and the memory itself.

Only plain types travel (numbers, times, text, bytes, and structures of them). A contiguous array
is sent from where it lies and read where it arrived.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from devices.wire.errors import ProtocolError

__all__ = ["MAX_FRAMES", "MAX_MESSAGE", "Arrays", "pack_arrays", "short", "unpack_arrays"]

MAX_FRAMES = 64  # a message
MAX_MESSAGE = 1 << 28  # bytes a frame: an 8k x 8k image of 32 bits
_MAX_DIMENSIONS = 32
_MAX_INTEGER = 1 << 63
_DTYPE = re.compile(r"[<>|=]?(?:[biufcSUV]\d{1,9}|[mM]8(?:\[\d{0,9}[A-Za-z]{1,2}\])?)")

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


def pack_arrays(
    arrays: Arrays, checksum: bool
) -> tuple[list[dict[str, Any]], list[bytes | memoryview]]:
    """Descriptions and frames of `arrays`, with a crc32 each if wanted."""
    if len(arrays) > MAX_FRAMES - 2:
        raise ProtocolError(f"{len(arrays)} arrays in one message; at most {MAX_FRAMES - 2}")
    descriptors: list[dict[str, Any]] = []
    buffers: list[bytes | memoryview] = []
    for name, value in arrays.items():
        array = np.asarray(value, order="C")
        if array.dtype.hasobject:
            raise ProtocolError(f"array {name!r} holds Python objects; only plain numbers travel")
        if array.nbytes > MAX_MESSAGE:
            raise ProtocolError(f"array {name!r} has {array.nbytes} bytes; at most {MAX_MESSAGE}")
        buffer = array.reshape(-1).view(np.uint8).data if array.nbytes else b""
        descriptor: dict[str, Any] = {
            "name": name,
            "dtype": np.lib.format.dtype_to_descr(array.dtype),
            "shape": array.shape,
        }
        if checksum:
            descriptor["crc32"] = zlib.crc32(buffer)
        descriptors.append(descriptor)
        buffers.append(buffer)
    return descriptors, buffers


def unpack_arrays(
    descriptors: object, buffers: Sequence[bytes | memoryview]
) -> dict[str, NDArray[Any]]:
    """The arrays that `descriptors` describe, read-only views of `buffers`."""
    if not isinstance(descriptors, list) or len(descriptors) != len(buffers):
        raise ProtocolError(f"{len(buffers)} array frames do not match the header's list of arrays")
    arrays: dict[str, NDArray[Any]] = {}
    for descriptor, buffer in zip(descriptors, buffers, strict=True):
        if not isinstance(descriptor, dict):
            raise ProtocolError("an array is described by a mapping of name, dtype and shape")
        name = descriptor.get("name")
        if not isinstance(name, str):
            raise ProtocolError(f"an array's name is {short(name)}, not a text")
        arrays[name] = _array(name, descriptor, buffer)
    return arrays


def _array(name: str, descriptor: dict[str, Any], buffer: bytes | memoryview) -> NDArray[Any]:
    dtype = _dtype(name, descriptor.get("dtype"))
    shape = descriptor.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_DIMENSIONS
        or not all(type(n) is int and 0 <= n < _MAX_INTEGER for n in shape)
    ):
        raise ProtocolError(f"array {name!r} has no valid shape: {short(shape)}")
    size = math.prod(shape)
    if size * dtype.itemsize != len(buffer):
        raise ProtocolError(
            f"array {name!r} of shape {short(shape)} and type {dtype} needs "
            f"{size * dtype.itemsize} bytes, not {len(buffer)}"
        )
    crc = descriptor.get("crc32")
    if crc is not None and crc != zlib.crc32(buffer):
        raise ProtocolError(f"array {name!r} was damaged on the way: its checksum differs")
    try:
        if len(buffer) == 0:
            array = np.zeros(shape, dtype)
        else:
            array = np.frombuffer(buffer, dtype).reshape(shape)
    except (ValueError, MemoryError) as error:
        raise ProtocolError(f"array {name!r} cannot be read: {str(error)[:100]}") from error
    array.flags.writeable = False
    return array


def _dtype(name: str, description: object) -> np.dtype[Any]:
    try:
        return np.lib.format.descr_to_dtype(_checked_description(description))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"array {name!r} has no valid type: {short(description)}") from error


def _checked_description(description: object) -> Any:
    """`description` as numpy wants it, if it names only plain number and text types."""
    if isinstance(description, str):
        if _DTYPE.fullmatch(description) is None:
            raise ValueError("not a plain type")
        return description
    if isinstance(description, list) and description:
        if all(isinstance(entry, list) and len(entry) in (2, 3) for entry in description):
            return [
                (
                    _checked_name(entry[0]),
                    _checked_description(entry[1]),
                    *map(_checked_shape, entry[2:]),
                )
                for entry in description
            ]
        if len(description) == 2:
            return _checked_description(description[0]), _checked_shape(description[1])
    raise ValueError("not a plain type")


def _checked_name(name: object) -> str | tuple[str, str]:
    """A field's name, or its title and its name."""
    if isinstance(name, str):
        return name
    if isinstance(name, list) and len(name) == 2 and all(isinstance(part, str) for part in name):
        return name[0], name[1]
    raise ValueError("not a name")


def _checked_shape(shape: object) -> tuple[int, ...]:
    if isinstance(shape, list) and len(shape) <= _MAX_DIMENSIONS:
        lengths = tuple(n for n in shape if type(n) is int and 0 <= n < MAX_MESSAGE)
        if len(lengths) == len(shape):
            return lengths
    raise ValueError("not a shape")


def short(value: object) -> str:
    """What to show of `value` in a one-line message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
