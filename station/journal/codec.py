"""One document, one line: JSON that keeps what JSON alone loses.

Plain values are plain JSON, so that a journal can be read with any tool. What JSON cannot say is
wrapped in an object with one reserved key: numpy arrays and scalars (dtype, shape and bytes),
NaN and the infinities, bytes, and mappings whose keys are not strings. Tuples become lists, as in
every JSON document. Each line ends with the CRC-32 of what stands before it.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

ARRAY, SCALAR, FLOAT, BYTES, ITEMS = "$ndarray", "$numpy", "$float", "$bytes", "$items"
_TAGS = frozenset((ARRAY, SCALAR, FLOAT, BYTES, ITEMS))
_BINARY_KINDS = "biufcSUmM"
_READABLE_KINDS = "biuf"
_CRC_KEY = b',"crc32":"'
_TAIL = len(_CRC_KEY) + len('01234567"}')

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)


class LineError(ValueError):
    """A line that is not what was written: incomplete, altered, or no journal line at all."""


def encode_line(name: str, doc: Mapping[str, Any]) -> bytes:
    """Write a document as one line.

    Parameters
    ----------
    name : str
        Name of the document, ``"start"``, ``"event"``, ...
    doc : mapping
        The document: JSON values, numpy arrays and scalars, bytes.

    Returns
    -------
    bytes
        One line of JSON, its checksum and a newline at its end.

    Raises
    ------
    TypeError
        For a value that has no exact representation; names where it stands.
    """
    body = _encoder.encode({"name": name, "doc": _pack(doc, name)})[:-1].encode("ascii")
    return b'%b%b%08x"}\n' % (body, _CRC_KEY, zlib.crc32(body))


def decode_line(line: bytes) -> tuple[str, dict[str, Any]]:
    """Read what `encode_line` wrote, after a check of its checksum.

    Parameters
    ----------
    line : bytes
        One line, with or without its newline.

    Returns
    -------
    name : str
        Name of the document.
    doc : dict
        The document, numpy content restored.

    Raises
    ------
    LineError
        For a line whose checksum does not fit.
    """
    line = line.rstrip(b"\n")
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if tail != b'%b%08x"}' % (_CRC_KEY, zlib.crc32(body)):
        raise LineError("the checksum does not fit the line")
    try:
        content = json.loads(body + b"}", object_hook=_unpack)
        return content["name"], content["doc"]
    except (ValueError, KeyError, TypeError) as error:
        raise LineError(f"no document in the line ({error})") from error


def _pack(value: Any, where: str) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else {FLOAT: _float_text(value)}
    if kind is dict or isinstance(value, Mapping):
        return _pack_mapping(value, where)
    if isinstance(value, list | tuple):
        return [_pack(item, where) for item in value]
    if isinstance(value, np.ndarray):
        return {ARRAY: _pack_array(value, where)}
    if isinstance(value, np.generic):
        return {SCALAR: _pack_scalar(value, where)}
    if isinstance(value, bytes | bytearray):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, str):  # a member of an enumeration, as those below
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _pack(float(value), where)
    raise TypeError(
        f"{where} is a {kind.__name__}: a document may hold text, numbers, lists, mappings, "
        "bytes and numpy arrays; convert it first"
    )


def _pack_mapping(value: Mapping[Any, Any], where: str) -> dict[str, Any]:
    packed = {}
    for key, item in value.items():
        if type(key) is not str or key in _TAGS:
            break
        packed[key] = _pack(item, f"{where}.{key}")
    else:
        return packed
    items = [
        [_pack(key, f"a key of {where}"), _pack(item, f"{where}.{key}")]
        for key, item in value.items()
    ]
    return {ITEMS: items}


def _pack_array(array: np.ndarray, where: str) -> dict[str, Any]:
    packed: dict[str, Any] = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.dtype.kind == "O":
        packed["items"] = [_pack(item, where) for item in array.ravel().tolist()]
    elif array.dtype.kind in _BINARY_KINDS:
        packed["data"] = base64.b64encode(array.tobytes()).decode("ascii")
    else:
        raise TypeError(
            f"{where} is an array of {array.dtype}: a document may hold arrays of numbers, "
            "booleans, text and dates; split a record array into its fields"
        )
    return packed


def _pack_scalar(value: np.generic, where: str) -> list[Any]:
    dtype = value.dtype
    readable = dtype.kind in _READABLE_KINDS and dtype.itemsize <= 8
    if readable and (dtype.kind != "f" or np.isfinite(value)):
        return [dtype.str, value.item()]
    if dtype.kind not in _BINARY_KINDS:
        raise TypeError(f"{where} is a numpy {dtype}: a document may hold numbers, text and dates")
    return [dtype.str, {"data": base64.b64encode(value.tobytes()).decode("ascii")}]


def _float_text(value: float) -> str:
    """Write a number that JSON has no word for; sign and payload of a NaN survive."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    bits = int(np.float64(value).view(np.uint64))
    return "nan" if bits == 0x7FF8_0000_0000_0000 else f"0x{bits:016x}"


def _float_value(text: str) -> float:
    if text.startswith("0x"):
        return np.uint64(int(text, 16)).view(np.float64).item()
    return float(text)


def _unpack(mapping: dict[str, Any]) -> Any:
    if len(mapping) != 1:
        return mapping
    ((tag, content),) = mapping.items()
    if tag not in _TAGS:
        return mapping
    if tag == ITEMS:
        return {_hashable(key): item for key, item in content}
    if tag == FLOAT:
        return _float_value(content)
    if tag == BYTES:
        return base64.b64decode(content)
    if tag == SCALAR:
        return _unpack_scalar(*content)
    return _unpack_array(content)


def _hashable(key: Any) -> Any:
    return tuple(map(_hashable, key)) if isinstance(key, list) else key


def _unpack_scalar(dtype: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _from_bytes(value["data"], np.dtype(dtype), ())[()]
    return np.array(value, dtype=dtype)[()]


def _unpack_array(content: dict[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(content["dtype"]), tuple(content["shape"])
    if dtype.kind != "O":
        return _from_bytes(content["data"], dtype, shape)
    array = np.empty(math.prod(shape), dtype=object)
    for index, item in enumerate(content["items"]):
        array[index] = item
    return array.reshape(shape)


def _from_bytes(text: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    data = bytearray(base64.b64decode(text))
    if not data:
        return np.zeros(shape, dtype)
    return np.ndarray(shape, dtype, buffer=data)
