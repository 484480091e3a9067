"""Messages: a magic frame, a msgpack header, and one raw frame an array.

Whatever bytes arrive, decoding returns a message or raises `ProtocolError`; nothing on the wire is
ever executed or unpickled. Messages are plain slotted dataclasses: frozen ones take three times as
long to make, and they are made for every reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgpack
import numpy as np

from devices.wire.arrays import MAX_FRAMES, Arrays, pack_arrays, short, unpack_arrays
from devices.wire.errors import ProtocolError, WireError, error_from_wire, error_to_wire

__all__ = [
    "MAGIC",
    "MAX_HEADER",
    "PROTOCOL",
    "Answer",
    "Event",
    "Frames",
    "Request",
    "decode_answer",
    "decode_event",
    "decode_request",
    "encode_answer",
    "encode_event",
    "encode_request",
]

MAGIC = b"tcz1"
PROTOCOL = 1
MAX_HEADER = 1 << 20  # bytes

Frames: TypeAlias = list[bytes | memoryview]


@dataclass(slots=True)
class Request:
    """What a client asks.

    Parameters
    ----------
    id : int
        Counts up within one client; resent requests keep theirs.
    client : str
        The client's own identifier, the same on all of its sockets.
    op : str
        The command, ``"service.verb"``.
    args : dict
        Arguments, SI units.
    session : str or None
        The server session that the client believes to talk to.
    deadline : float or None
        The time in that server's steady clock (s) after which the command must not begin.
    timeout : float or None
        Seconds after which a long operation is to be cancelled.
    arrays : mapping of str to ndarray
        Arrays that belong to the request.
    """

    id: int
    client: str
    op: str
    args: dict[str, Any] = field(default_factory=dict)
    session: str | None = None
    deadline: float | None = None
    timeout: float | None = None
    arrays: Arrays = field(default_factory=dict)


@dataclass(slots=True)
class Answer:
    """What a server answers: values and arrays, or an error.

    Parameters
    ----------
    id : int or None
        The request's; None when the request could not be read.
    session : str
        Names this run of the server.
    time, clock : float
        The server's wall clock (s since the epoch) and steady clock (s).
    values : dict
        Result, SI units.
    arrays : mapping of str to ndarray
        Result arrays.
    error : WireError or None
        Why there is no result.
    """

    id: int | None
    session: str
    time: float
    clock: float
    values: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)
    error: WireError | None = None


@dataclass(slots=True)
class Event:
    """What a server publishes on a topic; `sequence` counts up by one within topic and session."""

    topic: str
    sequence: int
    session: str
    time: float
    values: dict[str, Any] = field(default_factory=dict)


def encode_request(request: Request, *, checksum: bool = False) -> Frames:
    """The frames of a request."""
    descriptors, buffers = pack_arrays(request.arrays, checksum)
    header = {
        "id": request.id,
        "client": request.client,
        "op": request.op,
        "args": request.args,
        "session": request.session,
        "deadline": request.deadline,
        "timeout": request.timeout,
        "arrays": descriptors,
    }
    return [MAGIC, _pack(header), *buffers]


def decode_request(frames: Sequence[bytes | memoryview]) -> Request:
    """The request in `frames`; a `ProtocolError` carries the request's id where it is known."""
    header = _unpack(frames)
    request_id = header.get("id")
    try:
        return Request(
            id=_integer(header, "id"),
            client=_text(header, "client"),
            op=_text(header, "op"),
            args=_mapping(header, "args"),
            session=_text(header, "session") if header.get("session") is not None else None,
            deadline=_optional_number(header, "deadline"),
            timeout=_optional_number(header, "timeout"),
            arrays=unpack_arrays(header.get("arrays", []), frames[2:]),
        )
    except ProtocolError as error:
        if isinstance(request_id, int) and not isinstance(request_id, bool):
            error.request_id = request_id
        raise


def encode_answer(answer: Answer, *, checksum: bool = False) -> Frames:
    """The frames of an answer."""
    descriptors, buffers = pack_arrays(answer.arrays, checksum)
    header: dict[str, Any] = {
        "id": answer.id,
        "session": answer.session,
        "time": answer.time,
        "clock": answer.clock,
    }
    if answer.error is None:
        header["values"] = answer.values
        header["arrays"] = descriptors
    else:
        header["error"] = error_to_wire(answer.error)
    return [MAGIC, _pack(header), *buffers]


def decode_answer(frames: Sequence[bytes | memoryview]) -> Answer:
    """The answer in `frames`."""
    header = _unpack(frames)
    error = header.get("error")
    return Answer(
        id=_integer(header, "id") if header.get("id") is not None else None,
        session=_text(header, "session"),
        time=_number(header, "time"),
        clock=_number(header, "clock"),
        values=_mapping(header, "values") if error is None else {},
        arrays=unpack_arrays(header.get("arrays", []), frames[2:]),
        error=None if error is None else error_from_wire(_mapping(header, "error")),
    )


def encode_event(event: Event) -> Frames:
    """The frames of an event; the first is what subscriptions match."""
    header = {
        "topic": event.topic,
        "sequence": event.sequence,
        "session": event.session,
        "time": event.time,
        "values": event.values,
    }
    return [topic_frame(event.topic), MAGIC, _pack(header)]


def decode_event(frames: Sequence[bytes | memoryview]) -> Event:
    """The event in `frames`."""
    header = _unpack(frames[1:])
    return Event(
        topic=_text(header, "topic"),
        sequence=_integer(header, "sequence"),
        session=_text(header, "session"),
        time=_number(header, "time"),
        values=_mapping(header, "values"),
    )


def topic_frame(topic: str) -> bytes:
    """What a subscriber subscribes to: the zero byte keeps ``a.b`` from matching ``a.bc``."""
    return topic.encode() + b"\0"


def _pack(header: dict[str, Any]) -> bytes:
    try:
        packed = bytes(msgpack.packb(header, default=_plain, use_bin_type=True) or b"")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(
            f"cannot send {short(header)}: {error}; allowed are None, bool, int of 64 bits, "
            "float, str, bytes, list and dict, and arrays as arrays"
        ) from error
    if len(packed) > MAX_HEADER:
        raise ProtocolError(
            f"a header of {len(packed)} bytes is longer than {MAX_HEADER}; send arrays as arrays"
        )
    return packed


def _plain(value: object) -> object:
    """What msgpack should pack for a numpy scalar."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} has no place in a header")


def _unpack(frames: Sequence[bytes | memoryview]) -> dict[str, Any]:
    if len(frames) < 2:
        raise ProtocolError(
            f"a message of {len(frames)} frames; at least {MAGIC!r} and a header are needed"
        )
    if len(frames) > MAX_FRAMES:
        raise ProtocolError(f"a message of more than {MAX_FRAMES} frames")
    if frames[0] != MAGIC:
        raise ProtocolError(
            f"a message that begins with {bytes(frames[0][:8])!r}; this is protocol {MAGIC!r}: "
            "use the same version of twinscope at both ends"
        )
    if len(frames[1]) > MAX_HEADER:
        raise ProtocolError(f"a header of {len(frames[1])} bytes is longer than {MAX_HEADER}")
    try:
        header = msgpack.unpackb(frames[1], raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise ProtocolError(f"the header is not msgpack: {str(error)[:100]}") from error
    if not isinstance(header, dict):
        raise ProtocolError(f"the header is a {type(header).__name__}, not a mapping")
    return header


def _integer(header: Mapping[str, Any], key: str) -> int:
    value = header.get(key)
    if type(value) is not int:
        raise ProtocolError(f"the header's {key!r} is {short(value)}, not an integer")
    return value


def _number(header: Mapping[str, Any], key: str) -> float:
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError(f"the header's {key!r} is {short(value)}, not a finite number")
    return float(value)


def _optional_number(header: Mapping[str, Any], key: str) -> float | None:
    return None if header.get(key) is None else _number(header, key)


def _text(header: Mapping[str, Any], key: str) -> str:
    value = header.get(key)
    if not isinstance(value, str) or len(value) > 256:
        raise ProtocolError(f"the header's {key!r} is {short(value)}, not a short text")
    return value


def _mapping(header: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = header.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ProtocolError(f"the header's {key!r} is {short(value)}, not a mapping from names")
    return value
