"""Requests, replies, errors, duplicates, deadlines, stops and garbage at a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import zmq

from devices.wire import (
    BusyError,
    CancelledError,
    Client,
    ConnectionLost,
    ExpiredError,
    InstrumentError,
    InternalError,
    LimitError,
    ProtocolError,
    Reply,
    Server,
    StateUnknown,
    UnknownCommandError,
)
from devices.wire.messages import MAGIC, Request, decode_answer


def test_the_handshake_says_what_the_instrument_can_do(client: Client) -> None:
    hello = client.connect()
    assert hello.server == "tem"
    assert hello.services["stage"]["axes"]["x"] == {"unit": "m", "limits": [-1e-3, 1e-3]}
    assert hello.commands["stage.move"] == {"access": "motion", "long": True}


def test_a_read_returns_values_and_the_servers_time(client: Client) -> None:
    reply = client.request("stage.read")
    assert reply.values == {"x": 0}
    assert abs(reply.server_time - time.time()) < 1


def test_a_frame_arrives_as_an_array(client: Client, instrument: Any) -> None:
    image = client.request("stage.frame").arrays["image"]
    np.testing.assert_array_equal(image, instrument.image)
    assert image.dtype == np.uint16


def test_arrays_travel_with_a_request(client: Client) -> None:
    sent = np.linspace(0, 1, 7)
    reply = client.request("stage.echo", {"note": "µm"}, arrays={"a": sent})
    assert reply.values == {"note": "µm"}
    np.testing.assert_array_equal(reply.arrays["a"], sent)


def test_a_submitted_request_ends_in_a_future(client: Client) -> None:
    futures = [client.submit("stage.echo", {"n": n}) for n in range(50)]
    assert [future.result(2).values["n"] for future in futures] == list(range(50))


def test_many_threads_share_a_client(client: Client) -> None:
    found: list[int] = []

    def ask(number: int) -> None:
        for n in range(20):
            value = 100 * number + n
            found.append(client.request("stage.echo", {"n": value}).values["n"] - value)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 120


def test_a_target_outside_the_limits_is_refused_before_anything_moves(
    client: Client, instrument: Any
) -> None:
    for x in (0.1, float("nan")):
        with pytest.raises(LimitError, match=r"outside -0\.001\.\.0\.001 m"):
            client.request("stage.nudge", {"x": x})
    assert instrument.moves == []


def test_the_instruments_own_reason_arrives(client: Client) -> None:
    with pytest.raises(InstrumentError, match="does not answer") as caught:
        client.request("stage.fail")
    assert caught.value.vendor_code == 0x80040005


def test_an_unforeseen_failure_is_one_line(client: Client) -> None:
    with pytest.raises(InternalError, match=r"stage\.break failed: ZeroDivisionError: nobody"):
        client.request("stage.break")


def test_an_unknown_command_names_the_known_ones(client: Client) -> None:
    with pytest.raises(UnknownCommandError, match=r"'stage\.fly'.*stage\.move.*stage\.read"):
        client.request("stage.fly")


def test_a_request_before_connect_says_so(server: Server) -> None:
    client = Client(server.control_address, name="early")
    with pytest.raises(ConnectionLost, match="call connect first"):
        client.request("stage.read")
    assert client.stop() is False
    client.close()


def test_a_resent_move_moves_once_and_gets_the_same_answer(bare: Any, instrument: Any) -> None:
    request = bare.command(1, "stage.nudge", x=1e-6)
    answers = [bare.ask(request) for _ in range(3)]
    assert instrument.moves == [1e-6]
    assert [answer.values for answer in answers] == [{"x": 1e-6}] * 3
    assert answers[0].clock == answers[2].clock


def test_a_move_resent_while_it_runs_moves_once(bare: Any, instrument: Any) -> None:
    instrument.gate.clear()
    request = bare.command(1, "stage.nudge", x=1e-6)
    bare.send(request)
    assert instrument.begun.wait(1)
    bare.send(request)
    bare.ask(bare.command(2, "ping"))  # the second has arrived when this is answered
    instrument.gate.set()
    answer = bare.receive()
    assert answer is not None
    assert answer.values == {"x": 1e-6}
    assert bare.receive(0.05) is None
    assert instrument.moves == [1e-6]


def test_a_move_whose_answer_is_forgotten_does_not_happen_again(bare: Any, instrument: Any) -> None:
    first = bare.command(1, "stage.nudge", deadline_s=60, x=1e-6)
    bare.ask(first)
    for id in range(2, 2 + 256):
        bare.ask(bare.command(id, "stage.nudge", x=1.0))  # refused by its limits, and kept
    answer = bare.ask(first)
    assert isinstance(answer.error, ExpiredError)
    assert instrument.moves == [1e-6]


def test_a_move_past_its_deadline_does_not_happen(bare: Any, instrument: Any) -> None:
    answer = bare.ask(bare.command(1, "stage.nudge", deadline_s=-0.001, x=1e-6))
    assert isinstance(answer.error, ExpiredError)
    assert instrument.moves == []


def test_a_move_without_a_deadline_is_refused(bare: Any, instrument: Any) -> None:
    answer = bare.ask(Request(1, "bare", "stage.nudge", {"x": 1e-6}, bare.session))
    assert isinstance(answer.error, ProtocolError)
    assert instrument.moves == []


def test_a_move_meant_for_another_run_of_the_server_does_not_happen(
    bare: Any, instrument: Any
) -> None:
    bare.session = "0" * 32
    answer = bare.ask(bare.command(1, "stage.nudge", x=1e-6))
    assert isinstance(answer.error, ConnectionLost)
    assert instrument.moves == []


def test_a_move_that_waits_behind_another_past_its_deadline_does_not_happen(
    client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    instrument.gate.clear()
    first = client.submit("stage.nudge", {"x": 1e-6}, deadline_s=2)
    assert instrument.begun.wait(1)
    with pytest.raises(StateUnknown, match="read the state"):
        client.request("stage.nudge", {"x": 1e-5}, deadline_s=0.05)
    instrument.gate.set()
    assert first.result(1).values == {"x": 1e-6}
    client.request("stage.nudge", {"x": 2e-6})
    assert instrument.moves == [1e-6, 2e-6]


def test_a_read_that_is_not_answered_in_time_may_be_tried_again(
    client: Client, instrument: Any
) -> None:
    instrument.gate.clear()
    begin = time.monotonic()
    with pytest.raises(ExpiredError) as caught:
        client.request("stage.wait", deadline_s=0.1)
    assert caught.value.retryable
    assert 0.1 <= time.monotonic() - begin < 0.4
    instrument.gate.set()
    assert client.request("stage.read").values == {"x": 0}


def test_a_stop_is_served_while_the_worker_is_blocked(client: Client, instrument: Any) -> None:
    instrument.gate.clear()
    blocked = client.submit("stage.nudge", {"x": 1e-6}, deadline_s=2)
    assert instrument.begun.wait(1)
    assert client.stop("stage.stop")
    assert instrument.stops == 1
    assert not blocked.done()
    instrument.gate.set()
    blocked.result(1)


def test_a_move_that_waits_when_the_stage_is_stopped_does_not_happen(
    client: Client, instrument: Any
) -> None:
    instrument.gate.clear()
    running = client.submit("stage.nudge", {"x": 1e-6}, deadline_s=2)
    assert instrument.begun.wait(1)
    waiting = client.submit("stage.nudge", {"x": 1e-5}, deadline_s=2)
    client.request("ping")
    client.stop("stage.stop")
    instrument.gate.set()
    running.result(1)
    with pytest.raises(CancelledError, match="when stage was stopped"):
        waiting.result(1)
    assert instrument.moves == [1e-6]


def test_a_move_that_a_later_stop_has_overtaken_does_not_happen(bare: Any, instrument: Any) -> None:
    assert bare.ask(bare.command(5, "stage.stop")).error is None
    answer = bare.ask(bare.command(4, "stage.nudge", x=1e-6))
    assert isinstance(answer.error, CancelledError)
    assert bare.ask(bare.command(6, "stage.nudge", x=1e-6)).error is None
    assert instrument.moves == [1e-6]


def test_the_priority_lane_serves_nothing_but_stops(
    server: Server, bare: Any, instrument: Any
) -> None:
    other = type(bare)(server.priority_address)
    other.session, other.clock = bare.session, bare.clock
    answer = other.ask(other.command(1, "stage.nudge", x=1e-6))
    other.socket.close()
    assert "no stop" in str(answer.error)
    assert instrument.moves == []


def test_a_full_queue_is_an_error_not_a_wait(client: Client, instrument: Any) -> None:
    instrument.gate.clear()
    futures: list[Future[Reply]] = [client.submit("stage.wait", deadline_s=2) for _ in range(70)]
    with pytest.raises(BusyError, match="commands wait for 'stage'"):
        futures[-1].result(1)
    instrument.gate.set()
    futures[0].result(1)


GARBAGE = {
    "one frame": [b"\xff" * 100],
    "no frames but an empty one": [b""],
    "random bytes": [np.random.default_rng(1).bytes(50) for _ in range(5)],
    "another protocol": [b"HTTP/1.1", b"GET /"],
    "bad msgpack": [MAGIC, b"\xc1\xff\xff"],
    "a list for a header": [MAGIC, b"\x93\x01\x02\x03"],
    "deep nesting": [MAGIC, b"\x91" * 5000 + b"\x01"],
    "a huge header": [MAGIC, b"\x00" * (1 << 21)],
    "too many frames": [MAGIC, *([b"x"] * 500)],
    "a map that claims four billion entries": [MAGIC, b"\xdf\xff\xff\xff\xff"],
}


@pytest.mark.parametrize("frames", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("lane", ["control_address", "priority_address"])
def test_garbage_is_answered_in_one_line_and_the_server_goes_on(
    server: Server, client: Client, frames: list[bytes], lane: str
) -> None:
    with zmq.Context.instance().socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(getattr(server, lane))
        socket.send_multipart(frames)
        assert socket.poll(1000)
        error = decode_answer(socket.recv_multipart()).error
    assert isinstance(error, ProtocolError)
    assert "\n" not in str(error)
    assert client.request("stage.read").values == {"x": 0}
    assert client.stop()


def test_bytes_that_are_not_zeromq_do_no_harm(server: Server, client: Client) -> None:
    import socket

    host, port = server.control_address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(np.random.default_rng(2).bytes(4096))
    assert client.request("stage.read").values == {"x": 0}


def test_a_reply_that_cannot_be_sent_is_an_error(client: Client, instrument: Any) -> None:
    instrument.image = np.array([object()])
    with pytest.raises(ProtocolError, match="Python objects"):
        client.request("stage.frame")
