"""Events: last value for late joiners, numbers, gaps, subscribers that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from devices.wire import Client, Server, StaleStream
from devices.wire.messages import Event, decode_event, encode_event, topic_frame
from devices.wire.stream import Stream


def test_a_late_joiner_gets_the_last_value_at_once(
    connect: Callable[..., Client], eventually: Callable[..., bool]
) -> None:
    first, seen = connect("first"), []
    first.subscribe("stage.position", seen.append)
    assert eventually(lambda: seen)
    late, begin = [], time.monotonic()
    connect("late").subscribe("stage.position", late.append)
    assert eventually(lambda: late)
    assert time.monotonic() - begin < 0.5  # idle telemetry comes once a second
    assert late[0]["x"] == 0


def test_telemetry_is_fast_while_something_moves(
    client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    seen: list[dict[str, Any]] = []
    client.subscribe("stage.position", seen.append)
    instrument.gate.clear()
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=3)
    assert eventually(lambda: len(seen) > 6, 1.0)
    instrument.gate.set()
    operation.future.result(1)
    assert eventually(lambda: seen[-1]["x"] == 1e-6, 0.5)


def test_a_callback_gets_no_more_events_after_it_has_unsubscribed(
    client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    kept: list[Any] = []
    dropped: list[Any] = []
    client.subscribe("hb", kept.append)
    unsubscribe = client.subscribe("hb", dropped.append)
    assert eventually(lambda: kept and dropped)
    unsubscribe()
    count, total = len(dropped), len(kept)
    assert eventually(lambda: len(kept) > total + 2)
    assert len(dropped) <= count + 1


def test_a_topic_does_not_match_a_longer_one() -> None:
    assert not topic_frame("stage.pos.x").startswith(topic_frame("stage.pos"))


@pytest.fixture
def stream() -> Any:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    stream = Stream(context, f"tcp://127.0.0.1:{port}", None, 1.0, ["a"])
    assert publisher.recv() == b"\x01a\0"

    def deliver(*events: tuple[str, int]) -> list[tuple[int, str | None]]:
        for session, sequence in events:
            publisher.send_multipart(encode_event(Event("a", sequence, session, 0.0)))
        seen: list[tuple[int, str | None]] = []
        while stream.socket.poll(50):
            seen += [(event.sequence, gap and str(gap)) for event, gap in stream.read()]
        return seen

    yield deliver
    stream.close()
    publisher.close()
    context.term()


def test_a_gap_in_the_numbers_is_reported(stream: Any) -> None:
    seen = stream(("s", 4), ("s", 5), ("s", 9))
    assert seen == [(4, None), (5, None), (9, "3 events on a were lost")]


def test_a_repeated_last_value_is_seen_once(stream: Any) -> None:
    assert stream(("s", 4), ("s", 4), ("s", 5)) == [(4, None), (5, None)]


def test_a_restarted_server_counts_from_the_beginning(stream: Any) -> None:
    assert stream(("s", 4), ("t", 0), ("t", 1)) == [(4, None), (0, None), (1, None)]


def test_the_user_is_told_of_lost_events(
    client: Client, server: Server, eventually: Callable[..., bool]
) -> None:
    stale: list[StaleStream] = []
    client.on_stale(stale.append)
    seen: list[Any] = []
    client.subscribe("hb", seen.append)
    assert eventually(lambda: seen)
    server._publisher._sequences["hb"] += 7  # as if the network had dropped seven
    assert eventually(lambda: stale)
    assert "7 events on hb" in str(stale[0])


def test_a_failing_snapshot_does_not_stop_the_others(
    client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    seen: list[Any] = []
    client.subscribe("hb", seen.append)
    instrument.moves = None  # the position cannot be read any more
    client.start("stage.scan", timeout_s=2).future.result(1)
    assert eventually(lambda: len(seen) > 3)


def test_events_carry_numbers_on_the_wire(server: Server) -> None:
    with zmq.Context.instance().socket(zmq.SUB) as socket:
        socket.subscribe(topic_frame("hb"))
        socket.connect(server.events_address)
        numbers = []
        for _ in range(4):
            assert socket.poll(1000)
            numbers.append(decode_event(socket.recv_multipart()).sequence)
    assert numbers == list(range(numbers[0], numbers[0] + 4))
