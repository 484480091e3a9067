"""What is encoded is decoded; what is garbage is refused in one line."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from devices.wire import LimitError, ProtocolError, WireError
from devices.wire.messages import (
    MAGIC,
    MAX_HEADER,
    Answer,
    Event,
    Request,
    decode_answer,
    decode_event,
    decode_request,
    encode_answer,
    encode_event,
    encode_request,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)
ARGS = st.dictionaries(st.text(max_size=8), VALUES, max_size=5)
DTYPES = (
    stn.boolean_dtypes()
    | stn.integer_dtypes()
    | stn.unsigned_integer_dtypes()
    | stn.floating_dtypes()
    | stn.complex_number_dtypes()
    | stn.datetime64_dtypes()
    | stn.timedelta64_dtypes()
    | stn.byte_string_dtypes(min_len=1)
    | stn.unicode_string_dtypes(min_len=1)
)
SHAPES = stn.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)
ARRAYS = stn.arrays(DTYPES, SHAPES)


def packed(value: Any) -> bytes:
    return msgpack.packb(value) or b""


def as_frames(encoded: list[Any]) -> list[bytes]:
    return [bytes(frame) for frame in encoded]


@given(args=ARGS, id=st.integers(0, 2**62), deadline=st.none() | st.floats(-1e9, 1e9))
def test_a_request_arrives_as_it_was_sent(
    args: dict[str, Any], id: int, deadline: float | None
) -> None:
    request = Request(id, "client", "stage.read", args, "session", deadline)
    assert decode_request(as_frames(encode_request(request))) == request


@given(array=ARRAYS, checksum=st.booleans())
def test_an_array_of_any_type_and_shape_arrives_bit_for_bit(
    array: np.ndarray, checksum: bool
) -> None:
    answer = Answer(1, "s", 0.0, 0.0, {}, {"a": array})
    arrived = decode_answer(as_frames(encode_answer(answer, checksum=checksum))).arrays["a"]
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    assert arrived.tobytes() == array.tobytes()


@given(stn.arrays(stn.array_dtypes(max_size=3), (3,)))
def test_a_structured_array_keeps_its_fields(array: np.ndarray) -> None:
    answer = Answer(1, "s", 0.0, 0.0, {}, {"a": array})
    arrived = decode_answer(as_frames(encode_answer(answer))).arrays["a"]
    assert arrived.dtype == array.dtype
    assert arrived.tobytes() == array.tobytes()


@pytest.mark.parametrize("view", ["transposed", "strided", "reversed"])
def test_an_array_that_is_not_contiguous_keeps_its_order(view: str) -> None:
    base = np.arange(60, dtype="<i4").reshape(6, 10)
    array = {"transposed": base.T, "strided": base[::2, 1::3], "reversed": base[::-1]}[view]
    answer = Answer(1, "s", 0.0, 0.0, {}, {"a": array})
    np.testing.assert_array_equal(
        decode_answer(as_frames(encode_answer(answer))).arrays["a"], array
    )


def test_a_contiguous_array_is_sent_without_a_copy() -> None:
    array = np.zeros((8, 8), np.uint16)
    frame = encode_answer(Answer(1, "s", 0.0, 0.0, {}, {"a": array}))[2]
    assert np.shares_memory(np.frombuffer(frame, np.uint8), array)


def test_an_array_is_received_without_a_copy() -> None:
    frames = as_frames(encode_answer(Answer(1, "s", 0.0, 0.0, {}, {"a": np.arange(9)})))
    arrived = decode_answer(frames).arrays["a"]
    assert np.shares_memory(arrived, np.frombuffer(frames[2], np.uint8))
    assert not arrived.flags.writeable


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_are_refused(frames: list[bytes]) -> None:
    for decode in (decode_request, decode_answer, decode_event):
        with pytest.raises(ProtocolError):
            decode(frames)


@given(header=VALUES, extra=st.lists(st.binary(max_size=20), max_size=3))
def test_a_header_of_wrong_types_is_refused(header: Any, extra: list[bytes]) -> None:
    frames = [MAGIC, packed(header), *extra]
    for decode in (decode_request, decode_answer):
        with pytest.raises(ProtocolError) as caught:
            decode(frames)
        assert "\n" not in str(caught.value)


@given(
    field=st.sampled_from(["id", "client", "op", "args", "deadline", "session", "arrays"]),
    value=VALUES,
)
def test_a_request_with_one_wrong_field_is_refused_or_valid(field: str, value: Any) -> None:
    header = msgpack.unpackb(encode_request(Request(1, "c", "a.b"))[1])
    header[field] = value
    try:
        request = decode_request([MAGIC, packed(header)])
    except ProtocolError:
        return
    assert isinstance(request.id, int)
    assert isinstance(request.op, str)
    assert isinstance(request.args, dict)


@given(
    dtype=st.text(max_size=6) | VALUES,
    shape=VALUES | st.lists(st.integers(-2, 2**70), max_size=40),
    buffer=st.binary(max_size=64),
)
def test_any_description_of_an_array_gives_an_array_or_an_error(
    dtype: Any, shape: Any, buffer: bytes
) -> None:
    header = msgpack.unpackb(encode_request(Request(1, "c", "a.b"))[1])
    try:
        header["arrays"] = [{"name": "a", "dtype": dtype, "shape": shape}]
        description = packed(header)
    except OverflowError:
        return
    try:
        array = decode_request([MAGIC, description, buffer]).arrays["a"]
    except ProtocolError:
        return
    assert array.nbytes == len(buffer)


@pytest.mark.parametrize("dtype", ["|O", "O", "object", "f4,f4", "<O8", [["a", "|O"]], "", None, 5])
def test_a_type_that_could_hold_objects_is_refused(dtype: Any) -> None:
    header = msgpack.unpackb(encode_request(Request(1, "c", "a.b"))[1])
    header["arrays"] = [{"name": "a", "dtype": dtype, "shape": [1]}]
    with pytest.raises(ProtocolError, match="no valid type"):
        decode_request([MAGIC, packed(header), bytes(8)])


def test_an_array_of_objects_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="Python objects"):
        encode_request(Request(1, "c", "a.b", arrays={"a": np.array([None])}))


def test_a_damaged_array_is_noticed() -> None:
    frames = as_frames(
        encode_answer(Answer(1, "s", 0.0, 0.0, {}, {"a": np.arange(4)}), checksum=True)
    )
    frames[2] = bytes([frames[2][0] ^ 1]) + frames[2][1:]
    with pytest.raises(ProtocolError, match="checksum"):
        decode_answer(frames)


def test_numpy_scalars_travel_as_numbers() -> None:
    values = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.float64(math.pi)}
    arrived = decode_answer(as_frames(encode_answer(Answer(1, "s", 0.0, 0.0, values)))).values
    assert arrived == {"a": 0.5, "b": 3, "c": True, "d": math.pi}


@pytest.mark.parametrize("value", [object(), {1: 2}.keys(), 2**70, {"a": np.arange(3)}])
def test_what_has_no_place_in_a_header_is_not_sent(value: Any) -> None:
    with pytest.raises(ProtocolError, match="cannot send"):
        encode_request(Request(1, "c", "a.b", {"value": value}))


def test_a_huge_header_is_refused_at_both_ends() -> None:
    with pytest.raises(ProtocolError, match="longer than"):
        encode_request(Request(1, "c", "a.b", {"value": "x" * (MAX_HEADER + 1)}))
    with pytest.raises(ProtocolError, match="longer than"):
        decode_request([MAGIC, bytes(MAX_HEADER + 1)])


def test_another_protocol_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"tcz9.*tcz1"):
        decode_request([b"tcz9", b"\x80"])


def test_the_id_of_an_unreadable_request_is_kept_for_the_answer() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request([MAGIC, packed({"id": 7, "client": 3})])
    assert caught.value.request_id == 7


@given(values=ARGS)
def test_an_event_arrives_as_it_was_published(values: dict[str, Any]) -> None:
    event = Event("stage.position", 4, "s", 12.5, values)
    assert decode_event(as_frames(encode_event(event))) == event


def test_an_error_keeps_its_class_and_the_instruments_code() -> None:
    error = LimitError("alpha is outside", vendor_code="E-17", retryable=True)
    arrived = decode_answer(as_frames(encode_answer(Answer(1, "s", 0.0, 0.0, error=error)))).error
    assert isinstance(arrived, LimitError)
    assert isinstance(arrived, ValueError)
    assert (arrived.vendor_code, arrived.retryable) == ("E-17", True)
    assert str(arrived) == "alpha is outside (instrument code E-17)"


def test_an_unknown_code_is_still_a_wire_error() -> None:
    error = WireError("from-the-future", "something new")
    arrived = decode_answer(as_frames(encode_answer(Answer(1, "s", 0.0, 0.0, error=error)))).error
    assert arrived is not None
    assert (type(arrived), arrived.code) == (WireError, "from-the-future")
