"""The process that stands before one instrument."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.drivers import open_afm, open_tem
from station.keys import server_security
from station.settings import AFMSettings, SimulatorSettings, TEMSettings

if TYPE_CHECKING:
    from devices.wire import Service

__all__ = ["serve_afm", "serve_tem"]

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

    drivers = open_tem(settings, simulator)
    services = tem_services(drivers.stage, drivers.camera, drivers.column, poll_s=drivers.poll_s)
    instrument = _Instrument("tem", services, settings, drivers.facts)
    _serve(instrument, ready_file, parent, say)


def serve_afm(
    settings: AFMSettings,
    *,
    ready_file: Path | None = None,
    parent: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the atomic force microscope until SIGTERM, SIGINT or the death of the parent.

    On every way out the tip is withdrawn and the drive off.

    Parameters
    ----------
    settings : AFMSettings
        Section ``[afm]``.
    ready_file, parent, say
        As for `serve_tem`.

    Raises
    ------
    station.StationError
        The driver is no good; nothing was started.
    """
    from devices.drivers.afm import afm_services

    with open_afm(settings) as opened:
        services = afm_services(opened.drivers, poll_s=opened.poll_s)
        instrument = _Instrument("afm", services, settings, opened.facts)
        _serve(instrument, ready_file, parent, say)


@dataclass(frozen=True)
class _Instrument:
    name: str
    services: Sequence[Service]
    settings: TEMSettings | AFMSettings
    facts: Mapping[str, Any]


def _serve(
    instrument: _Instrument,
    ready_file: Path | None,
    parent: int | None,
    say: Callable[[str], None],
) -> None:
    from devices.wire import Server

    settings = instrument.settings
    with (
        _ended_by_signal() as ended,
        Server(
            instrument.services,
            control=settings.control_bind,
            events=settings.events_bind,
            name=instrument.name,
            security=server_security(settings.keys),
        ) as server,
    ):
        ready = {
            "name": instrument.name,
            "driver": settings.driver,
            "control": server.control_address,
            "events": server.events_address,
            "pid": os.getpid(),
            "facts": dict(instrument.facts),
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
        f"{ready['name']} ready: {ready['driver']} driver ({facts}) at {ready['control']}, "
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
