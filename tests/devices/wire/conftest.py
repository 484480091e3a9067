"""An instrument that records what happens to it, and a client made of a bare socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zmq

from devices.wire import (
    Access,
    Call,
    Client,
    Command,
    InstrumentError,
    LimitError,
    RefusedError,
    Result,
    Server,
)
from devices.wire.messages import Answer, Request, decode_answer, encode_request

HEARTBEAT = 0.1


class Instrument:
    """A service whose moves, stops and rescues can be counted; `gate` holds its handlers up."""

    name = "stage"

    def __init__(self) -> None:
        self.moves: list[float] = []
        self.stops = 0
        self.safe = threading.Event()
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.image = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)

    def describe(self) -> dict[str, Any]:
        return {"axes": {"x": {"unit": "m", "limits": [-1e-3, 1e-3]}}}

    def commands(self) -> Mapping[str, Command]:
        return {
            "read": Command(self.read, Access.READ, inline=True),
            "wait": Command(self.wait, Access.READ),
            "frame": Command(lambda call: Result({}, {"image": self.image}), Access.READ),
            "nudge": Command(self.nudge, Access.MOTION, self.check),
            "move": Command(self.move, Access.MOTION, self.check, long=True),
            "scan": Command(self.scan, Access.WRITE, long=True),
            "fail": Command(self.fail, Access.WRITE),
            "break": Command(self.collapse, Access.READ),
            "echo": Command(lambda call: Result(call.args, call.arrays), Access.READ),
            "stop": Command(self.stop, Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        return {"stage.position": lambda: {"x": sum(self.moves)}}

    def make_safe(self) -> None:
        self.safe.set()

    def check(self, args: dict[str, Any]) -> None:
        x = args.get("x", 0.0)
        if not abs(x) <= 1e-3:
            raise LimitError(f"x target {x} m is outside -0.001..0.001 m")

    def read(self, call: Call) -> Result:
        return Result({"x": sum(self.moves)})

    def wait(self, call: Call) -> Result:
        self.begun.set()
        self.gate.wait(5)
        return Result()

    def nudge(self, call: Call) -> Result:
        self.begun.set()
        self.gate.wait(5)
        self.moves.append(call.args["x"])
        return Result({"x": sum(self.moves)})

    def move(self, call: Call) -> Result:
        assert call.operation is not None
        self.begun.set()
        call.operation.progress(fraction=0.5)
        while not self.gate.wait(0.005):
            if call.operation.cancelled.is_set():
                raise RefusedError("stopped on the way")
        self.moves.append(call.args["x"])
        return Result({"x": sum(self.moves)})

    def scan(self, call: Call) -> Result:
        self.gate.wait(5)
        return Result({"lines": 64}, {"image": self.image})

    def fail(self, call: Call) -> Result:
        raise InstrumentError("the goniometer does not answer", vendor_code=0x80040005)

    def collapse(self, call: Call) -> Result:
        raise ZeroDivisionError("nobody foresaw this")

    def stop(self, call: Call) -> Result:
        self.stops += 1
        return Result()


class Bare:
    """A client of nothing but a DEALER: sends what it is told to, as often as it is told to."""

    def __init__(self, address: str) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address)
        self.session = ""
        self.clock = 0.0

    def send(self, request: Request) -> None:
        self.socket.send_multipart(encode_request(request))

    def receive(self, timeout_s: float = 1.0) -> Answer | None:
        if not self.socket.poll(int(1000 * timeout_s)):
            return None
        return decode_answer(self.socket.recv_multipart())

    def ask(self, request: Request, timeout_s: float = 30.0) -> Answer:
        self.send(request)
        answer = self.receive(timeout_s)
        assert answer is not None
        return answer

    def greet(self, client: str = "bare") -> None:
        answer = self.ask(Request(0, client, "hello", {"protocol": 1, "name": client}))
        self.session, self.clock = answer.session, answer.clock

    def command(self, id: int, op: str, deadline_s: float = 1.0, **args: Any) -> Request:
        request = Request(id, "bare", op, args, self.session)
        return replace(request, deadline=self.clock + deadline_s)


def wait_for(condition: Callable[[], object], timeout_s: float = 30.0) -> bool:
    """Whether `condition` becomes true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.002)
    return True


@pytest.fixture
def eventually() -> Callable[..., bool]:
    return wait_for


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    instrument = Instrument()
    yield instrument
    instrument.gate.set()


@pytest.fixture
def server(instrument: Instrument) -> Iterator[Server]:
    with Server([instrument], heartbeat_s=HEARTBEAT, lease_s=0.3, idle_s=0.3) as server:
        yield server
        instrument.gate.set()


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(name: str = "alice", **keywords: Any) -> Client:
        client = Client(server.control_address, name=name, heartbeat_s=HEARTBEAT, **keywords)
        clients.append(client)
        client.connect()
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


@pytest.fixture
def bare(server: Server) -> Iterator[Bare]:
    bare = Bare(server.control_address)
    bare.greet()
    yield bare
    bare.socket.close()
