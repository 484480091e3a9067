"""A simulated microscope on the real wire whose time does not depend on the machine's."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluesky import RunEngine

from devices.drivers.simulated import SimulatedTEM
from devices.drivers.tem import tem_services
from devices.microscope import Microscope
from devices.wire import Client, Server
from sim.specimen import ProceduralSpecimen
from sim.stage import StageParameters

__all__ = ["Bench", "PatientClock", "microscope"]

# Of the instrument's time goes by whenever it is asked for: some 40 readings in a long move.
_TICK_S = 0.05
_PATIENCE_S = 60.0  # for an answer


class PatientClock:
    """A clock that goes on when it is looked at: no machine is too slow for the instrument."""

    def __init__(self) -> None:
        self._now = 1.7e9
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time, a tick later."""
        with self._lock:
            self._now += _TICK_S
            return self._now

    def wait(self, seconds: float, interrupt: threading.Event | None = None) -> bool:
        """Let the time go by at once."""
        with self._lock:
            self._now += seconds
        return interrupt is not None and interrupt.is_set()


class _CountingClient(Client):
    """Counts what it starts, and is as patient as the clock: no machine is too busy for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started: Counter[str] = Counter()

    def request(self, op: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(op, *args, **{**kwargs, "deadline_s": _PATIENCE_S})

    def submit(self, op: str, *args: Any, **kwargs: Any) -> Any:
        return super().submit(op, *args, **{**kwargs, "deadline_s": _PATIENCE_S})

    def start(self, op: str, *args: Any, **kwargs: Any) -> Any:
        self.started[op] += 1
        return super().start(op, *args, **{**kwargs, "deadline_s": _PATIENCE_S})


@dataclass(frozen=True)
class Bench:
    """A simulated microscope and the devices that talk to it."""

    simulated: SimulatedTEM
    clock: PatientClock
    client: _CountingClient
    tem: Microscope
    engine: RunEngine


@contextmanager
def microscope(
    parameters: StageParameters, seed: int, *, pixels: int, field_um: float
) -> Iterator[Bench]:
    """Connect to a microscope with a procedural specimen; frames of pixels x pixels."""
    clock = PatientClock()
    simulated = SimulatedTEM(parameters, ProceduralSpecimen(seed), seed, clock)
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=2e-4)
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(services, name="benchmark") as server,
        closing(
            _CountingClient(server.control_address, server.events_address, name="benchmark")
        ) as client,
        closing(Microscope(client, asset_folder=Path(folder))) as tem,
    ):
        tem.wait_for_connection(timeout=30)
        tem.camera.shape.put((pixels, pixels))
        tem.column.field_of_view.put(field_um)
        yield Bench(simulated, clock, client, tem, RunEngine({}, call_returns_result=True))
