"""Heartbeats, loss and return of the link, versions, and closing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
import zmq

from devices.wire import Client, ConnectionLost, ProtocolError, Server
from devices.wire.callbacks import Callbacks
from devices.wire.messages import MAGIC, PROTOCOL
from devices.wire.timing import ServerClock


class Dealer(threading.Thread):
    """A man in the middle: passes messages between clients and a server until told not to."""

    def __init__(self, server: str) -> None:
        super().__init__(daemon=True)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.front = context.socket(zmq.ROUTER)
        self.back = context.socket(zmq.DEALER)
        self.address = f"tcp://127.0.0.1:{self.front.bind_to_random_port('tcp://127.0.0.1')}"
        self.back.connect(server)
        self.context = context
        self.silent = threading.Event()
        self.ended = threading.Event()

    def run(self) -> None:
        client = b""
        while not self.ended.is_set():
            if self.front.poll(5):
                client, *message = self.front.recv_multipart()
                if not self.silent.is_set():
                    self.back.send_multipart(message)
            if self.back.poll(5):
                message = self.back.recv_multipart()
                if not self.silent.is_set():
                    self.front.send_multipart([client, *message])
        self.context.destroy(linger=0)


def test_nobody_at_the_address_is_said_within_the_timeout() -> None:
    client = Client("tcp://127.0.0.1:9", name="alice")
    begin = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"no server answers at tcp://127\.0\.0\.1:9"):
        client.connect(0.2)
    assert time.monotonic() - begin < 0.4
    client.close()


def test_a_server_that_starts_later_is_found(
    instrument: Any, eventually: Callable[..., bool]
) -> None:
    with Server([instrument]) as server:
        address = server.control_address
    client = Client(address, name="alice", heartbeat_s=0.1)
    with pytest.raises(ConnectionLost):
        client.connect(0.1)
    with Server([instrument], control=address):
        assert client.connect(2.0).server == "tem"
    client.close()


def test_silence_is_a_lost_connection_and_a_sign_of_life_restores_it(
    server: Server, eventually: Callable[..., bool]
) -> None:
    proxy = Dealer(server.control_address)
    proxy.start()
    # the events go past the proxy; without them only the commands' heartbeats count
    client = Client(proxy.address, "tcp://127.0.0.1:9", name="alice", heartbeat_s=0.1)
    states: list[bool] = []
    client.on_connection(states.append)
    client.connect()
    proxy.silent.set()
    begin = time.monotonic()
    with pytest.raises(ConnectionLost):
        client.request("stage.read", deadline_s=5)
    assert 0.15 < time.monotonic() - begin < 0.8
    assert not client.connected
    with pytest.raises(ConnectionLost, match="no sign of"):
        client.request("stage.read")
    assert client.stop()  # stops have a connection of their own
    proxy.silent.clear()
    assert eventually(lambda: client.connected, 5)
    assert eventually(lambda: states == [True, False, True])
    client.close()
    proxy.ended.set()
    proxy.join()


def test_a_closed_server_is_noticed_at_once_and_its_successor_is_found(
    instrument: Any, eventually: Callable[..., bool]
) -> None:
    first = Server([instrument], heartbeat_s=0.1).start()
    client = Client(first.control_address, name="alice", heartbeat_s=0.1)
    before = client.connect().session
    first.close()
    assert eventually(lambda: not client.connected, 0.5)
    with Server([instrument], control=first.control_address, heartbeat_s=0.1):
        assert eventually(lambda: client.connected)
        hello = client.hello
        assert hello is not None
        assert hello.session != before
        client.request("stage.nudge", {"x": 1e-6})
        assert client.stop()
    client.close()


@pytest.mark.parametrize("speak", ["another version", "another protocol", "too little"])
def test_a_version_mismatch_fails_in_connect(speak: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def serve() -> None:
        if not socket.poll(2000):
            return
        route, _, header = socket.recv_multipart()
        values = {"protocol": PROTOCOL + (speak == "another version")}
        answer = {
            "id": msgpack.unpackb(header)["id"],
            "session": "s",
            "time": 0.0,
            "clock": 0.0,
            "values": values,
            "arrays": [],
        }
        magic = b"tcz9" if speak == "another protocol" else MAGIC
        socket.send_multipart([route, magic, msgpack.packb(answer) or b""])

    thread = threading.Thread(target=serve)
    thread.start()
    client = Client(f"tcp://127.0.0.1:{port}", name="alice")
    with pytest.raises(ProtocolError, match=r"version|incomplete"):
        client.connect()
    client.close()
    thread.join()
    context.destroy(linger=0)


def test_a_server_refuses_a_client_of_another_version(bare: Any) -> None:
    from devices.wire.messages import Request

    answer = bare.ask(Request(9, "bare", "hello", {"protocol": PROTOCOL + 1}))
    assert isinstance(answer.error, ProtocolError)


def test_closing_is_prompt_and_final(connect: Callable[..., Client]) -> None:
    client = connect()
    waiting = client.submit("stage.read")
    begin = time.monotonic()
    client.close()
    assert time.monotonic() - begin < 0.5
    assert waiting.done()
    with pytest.raises(ConnectionLost):
        client.request("stage.read")
    with pytest.raises(ConnectionLost, match="was closed"):
        client.connect()
    client.close()


def test_closing_ends_a_request_that_waits_in_another_thread(
    connect: Callable[..., Client], instrument: Any
) -> None:
    client = connect()
    instrument.gate.clear()
    errors: list[Exception] = []

    def wait() -> None:
        try:
            client.request("stage.wait", deadline_s=10)
        except ConnectionLost as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert instrument.begun.wait(1)
    begin = time.monotonic()
    client.close()
    thread.join(1)
    assert time.monotonic() - begin < 0.5
    assert len(errors) == 1


def test_a_callback_may_use_the_client(client: Client, eventually: Callable[..., bool]) -> None:
    seen: list[Any] = []
    client.subscribe("hb", lambda values: seen.append(client.request("stage.read").values))
    assert eventually(lambda: seen)


def test_a_slow_callback_does_not_cost_the_connection(
    client: Client, eventually: Callable[..., bool]
) -> None:
    blocked = threading.Event()
    client.subscribe("hb", lambda values: blocked.wait(0.5))
    assert not eventually(lambda: not client.connected, 0.4)
    blocked.set()


def test_an_address_in_use_is_named(server: Server, instrument: Any) -> None:
    with pytest.raises(Exception, match=f"cannot listen on {server.control_address}"):
        Server([instrument], control=server.control_address).start()


def test_a_server_on_a_unix_socket_serves(instrument: Any, tmp_path: Any) -> None:
    with (
        Server(
            [instrument], control=f"ipc://{tmp_path}/control", events=f"ipc://{tmp_path}/events"
        ) as server,
        Client(server.control_address, name="alice") as client,
    ):
        assert client.request("stage.read").values == {"x": 0}
        assert client.stop()


def test_a_deadline_is_never_later_by_the_servers_clock_than_by_the_clients() -> None:
    clock, offset = ServerClock(), 1234.5
    for stamped, travel in ((10.0, 0.3), (11.0, 0.001), (12.0, 0.2)):
        clock.sample(stamped + offset, stamped + travel)
    deadline = clock.deadline(20.0)
    assert deadline is not None
    assert 20.0 + offset - 0.001 - 1e-9 <= deadline <= 20.0 + offset


def test_what_is_asked_of_a_client_while_it_closes_is_answered(client: Client) -> None:
    client.close()
    client._link.connected = True  # what another thread saw just before
    for future in (
        client.submit("stage.read"),
        client.start("stage.move", {"x": 0.0}, timeout_s=5).future,
    ):
        with pytest.raises(ConnectionLost):
            future.result(1)


def test_what_comes_after_the_end_of_the_callbacks_is_called_all_the_same() -> None:
    callbacks, called = Callbacks("test"), []
    callbacks.start()
    callbacks.close(1)
    callbacks.put(called.append, 1)
    assert called == [1]
