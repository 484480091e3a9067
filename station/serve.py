"""The process that stands before one instrument."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from station.drivers import open_tem
from station.keys import server_security
from station.settings import SimulatorSettings, TEMSettings

__all__ = ["serve_tem"]

_LOOK_FOR_PARENT = 0.25  # seconds


def serve_tem(
    settings: TEMSettings,
    simulator: SimulatorSettings | None = None,
    *,
    ready_file: Path | None = None,
    parent: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the microscope until SIGTERM, SIGINT or the death of the parent.

    On every way out the stage is stopped and the beam blanked.

    Parameters
    ----------
    settings : TEMSettings
        Section ``[tem]``.
    simulator : SimulatorSettings, optional
        Section ``[simulator]``.
    ready_file : Path, optional
        Written, whole or not at all, when requests are answered: addresses, pid, public facts.
    parent : int, optional
        Process without which this one ends.
    say : callable
        Takes the line that tells that the server is ready.

    Raises
    ------
    station.StationError
        The driver or the specimen is no good; nothing was started.
    """
    from devices.drivers.tem import tem_services
    from devices.wire import Server

    drivers = open_tem(settings, simulator)
    services = tem_services(drivers.stage, drivers.camera, drivers.column, poll_s=drivers.poll_s)
    with (
        _ended_by_signal() as ended,
        Server(
            services,
            control=settings.control_bind,
            events=settings.events_bind,
            name="tem",
            security=server_security(settings.keys),
        ) as server,
    ):
        ready = {
            "name": "tem",
            "driver": settings.driver,
            "control": server.control_address,
            "events": server.events_address,
            "pid": os.getpid(),
            "facts": dict(drivers.facts),
        }
        if ready_file is not None:
            _write_whole(ready_file, ready)
        say(_ready_line(ready))
        while not ended.wait(_LOOK_FOR_PARENT):
            if parent is not None and os.getppid() != parent:
                break


def _ready_line(ready: Mapping[str, Any]) -> str:
    facts = ", ".join(
        f"{key} {value}" for key, value in ready["facts"].items() if value is not True
    )
    return (
        f"tem ready: {ready['driver']} driver ({facts}) at {ready['control']}, "
        f"events {ready['events']}, pid {ready['pid']}"
    )


def _write_whole(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)


@contextmanager
def _ended_by_signal() -> Iterator[threading.Event]:
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
