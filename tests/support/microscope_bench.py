"""A microscope on the real wire: an in-process server over the simulated TEM on a fast clock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from event_model import DocumentNames, schema_validators
from numpy.typing import NDArray

from devices import Microscope
from devices.drivers import CameraSettings, tem_services
from devices.drivers.simulated import SimulatedTEM
from devices.wire import Client, Server
from sim.clock import ScaledClock
from sim.faults import NO_FAULTS, FaultPlan
from sim.stage import profile


class Texture:
    """A specimen that costs nothing to look at."""

    def sample(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        return (0.5 + 0.4 * np.sin(1e7 * x) * np.cos(1.3e7 * y)).astype(np.float32)


class CountingClient(Client):
    """A client that counts what it is asked to send."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sent: Counter[str] = Counter()

    def request(self, op: str, *args: Any, **kwargs: Any) -> Any:
        self.sent[op] += 1
        return super().request(op, *args, **kwargs)

    def submit(self, op: str, *args: Any, **kwargs: Any) -> Any:
        self.sent[op] += 1
        return super().submit(op, *args, **kwargs)

    def start(self, op: str, *args: Any, **kwargs: Any) -> Any:
        self.sent[op] += 1
        return super().start(op, *args, **kwargs)


@dataclass
class Bench:
    """A simulated microscope, its server and the devices that talk to it."""

    simulated: SimulatedTEM
    server: Server
    client: CountingClient
    tem: Microscope
    assets: Path
    closing: list[Any] = field(default_factory=list)

    def close(self) -> None:
        self.tem.close()
        self.client.close()
        self.server.close()


def make_bench(
    assets: Path,
    *,
    rate: float = 50.0,
    slow_axis: bool = False,
    heartbeat_s: float = 1.0,
    faults: FaultPlan = NO_FAULTS,
) -> Bench:
    """Start a server and connect to it; `slow_axis` makes x move at 1 µm/s."""
    parameters = profile("jeol-like")
    if slow_axis:
        parameters = replace(parameters, x=replace(parameters.x, speed=1e-6))
    clock = ScaledClock(rate)
    simulated = SimulatedTEM(parameters, specimen=Texture(), seed=3, clock=clock, faults=faults)
    simulated.camera.configure(CameraSettings((32, 48), 1e-6))
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=0.002)
    server = Server(services)
    server.start()
    client = CountingClient(server.control_address, name="ana", heartbeat_s=heartbeat_s)
    tem = Microscope(client, asset_folder=assets)
    tem.wait_for_connection(timeout=30)
    return Bench(simulated, server, client, tem, assets)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A microscope that is fast enough for a test."""
    bench = make_bench(tmp_path / "assets")
    yield bench
    bench.close()


@pytest.fixture
def eager_bench(tmp_path: Path) -> Iterator[Bench]:
    """A microscope whose client loses no time before it tries to connect again."""
    bench = make_bench(tmp_path / "assets", heartbeat_s=0.2)
    yield bench
    bench.close()


@pytest.fixture
def slow_bench(tmp_path: Path) -> Iterator[Bench]:
    """A microscope whose x axis takes long enough to be stopped on its way."""
    bench = make_bench(tmp_path / "assets", rate=5.0, slow_axis=True)
    yield bench
    bench.close()


class Documents:
    """Collects the documents of a run, each valid by its schema."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        schema_validators[DocumentNames[name]].validate(doc)
        self.all.append((name, doc))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the documents of a kind."""
        return [doc for name, doc in self.all if name == kind]


@pytest.fixture
def documents() -> Documents:
    """Collect documents."""
    return Documents()


@pytest.fixture
def engine(documents: Documents) -> RunEngine:
    """A RunEngine that hands its documents to `documents`."""
    engine = RunEngine({}, call_returns_result=True)
    engine.subscribe(documents)
    return engine


def wait(condition: Any, timeout_s: float = 30.0) -> None:
    """Wait until a condition holds, and fail the test if it never does."""
    ticks = threading.Event()
    for _ in range(int(timeout_s / 0.002)):
        if condition():
            return
        ticks.wait(0.002)
    raise AssertionError("waited in vain")


@pytest.fixture
def until() -> Any:
    """Wait until a condition holds."""
    return wait
