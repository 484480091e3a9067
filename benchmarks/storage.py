"""What storing a document costs the RunEngine: the journal, and TiledWriter in its place."""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky.callbacks.buffer import BufferingWrapper
from bluesky.plans import count

from benchmarks.tables import Table
from station.catalog import ensure_catalog, open_catalog, stop_catalog, wait_archived
from station.catalog.client import connect
from station.journal import Journal

__all__ = ["measure"]

EVENTS = 100
NUMBERS = 20  # a stage run records about as many an event
PATIENCE_S = 12.0  # a subscriber that has blocked for so long is not waited for any longer

Subscriber = Callable[[str, Mapping[str, Any]], object]


class _Numbers:
    """Something to read: twenty numbers, at once."""

    name = "numbers"
    parent = None

    def __init__(self) -> None:
        self._keys = [f"number_{index}" for index in range(NUMBERS)]

    def read(self) -> dict[str, Any]:
        now = time.time()
        return {key: {"value": now / 3, "timestamp": now} for key in self._keys}

    def describe(self) -> dict[str, Any]:
        return {key: {"source": "none", "dtype": "number", "shape": []} for key in self._keys}

    def read_configuration(self) -> dict[str, Any]:
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        return {}


class _Timed:
    """A subscriber whose calls are timed; at the middle of the run it may do something else."""

    def __init__(self, subscriber: Subscriber, in_the_middle: Callable[[], None]) -> None:
        self._subscriber = subscriber
        self._in_the_middle = in_the_middle
        self.all: list[float] = []
        self.events: list[float] = []

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "event" and doc["seq_num"] == EVENTS // 2:
            self._in_the_middle()
        began = time.perf_counter()
        self._subscriber(name, doc)
        took = time.perf_counter() - began
        self.all.append(took)
        if name == "event":
            self.events.append(took)


def _nothing(*_: object) -> None:
    """Do nothing: the subscriber, and the middle of the run, that the others are compared with."""


def _run(timed: _Timed) -> tuple[float, str]:
    """Take a run of `EVENTS` events; return its time in seconds and its uid."""
    engine: Any = RunEngine(call_returns_result=False)
    engine.subscribe(timed)
    numbers: Any = _Numbers()
    began = time.perf_counter()
    (uid,) = engine(count([numbers], EVENTS))
    return time.perf_counter() - began, uid


def _cost(name: str, subscriber: Subscriber) -> list[str]:
    timed = _Timed(subscriber, _nothing)
    seconds, _ = _run(timed)
    return [
        name,
        f"{statistics.median(timed.events) * 1e6:.0f}",
        f"{max(timed.all) * 1e3:.1f}",
        f"{seconds:.2f}",
    ]


def _costs(folder: Path) -> Table:
    from bluesky_tiled_plugins import TiledWriter

    address = ensure_catalog(folder)
    root = connect(address.uri, address.api_key)
    rows = [_cost("no subscriber", _nothing)]
    with Journal(folder / "journal") as journal:
        rows.append(_cost("journal", journal))
    rows.append(_cost("TiledWriter, every event at once", TiledWriter(root["raw"], batch_size=1)))
    rows.append(_cost("TiledWriter as it comes (all events at the end)", TiledWriter(root["raw"])))
    buffered = BufferingWrapper(TiledWriter(root["raw"], batch_size=1))
    rows.append(_cost("BufferingWrapper(TiledWriter)", buffered))
    buffered.shutdown()
    return Table(
        "What a subscriber costs the RunEngine",
        ("subscriber", "an event (µs)", "slowest document (ms)", f"run of {EVENTS} events (s)"),
        rows,
        f"{NUMBERS} numbers an event, everything on one machine. What the journal "
        "has taken survives a kill -9 of the process; BufferingWrapper has it in memory only, and "
        "loses what is in its queue.",
    )


def _kill_under_journal(folder: Path) -> list[str]:
    pid = ensure_catalog(folder).pid
    with Journal(folder / "journal") as journal:
        timed = _Timed(journal, lambda: os.kill(pid, signal.SIGKILL))
        seconds, uid = _run(timed)
    began = time.perf_counter()
    ensure_catalog(folder)
    wait_archived(folder, uid, 30)
    caught_up = time.perf_counter() - began
    found = len(open_catalog(folder)[uid]["primary"]["number_0"].read())
    return [
        "journal",
        f"{max(timed.all):.4f}",
        f"{seconds:.2f}",
        f"{found} of {EVENTS}, {caught_up:.1f} s after the restart",
    ]


def _kill_under_writer(folder: Path) -> list[str]:
    from bluesky_tiled_plugins import TiledWriter

    address = ensure_catalog(folder)
    writer = TiledWriter(connect(address.uri, address.api_key)["raw"], batch_size=1)
    timed = _Timed(writer, lambda: os.kill(address.pid, signal.SIGKILL))
    thread = threading.Thread(target=_run_aside, args=(timed,), daemon=True)
    thread.start()
    began = time.perf_counter()
    thread.join(PATIENCE_S)
    seconds = time.perf_counter() - began
    if not thread.is_alive():
        return ["TiledWriter", f"{max(timed.all):.1f}", f"{seconds:.1f}", "the run has failed"]
    blocked = seconds - sum(timed.all)
    return ["TiledWriter", f"> {blocked:.0f}, given up", "", f"{len(timed.events)} of {EVENTS}"]


def _run_aside(timed: _Timed) -> None:
    engine: Any = RunEngine(call_returns_result=False, context_managers=[])
    engine.subscribe(timed)
    numbers: Any = _Numbers()
    engine(count([numbers], EVENTS))


def _kills(folder: Path) -> Table:
    return Table(
        "The storage service is killed (kill -9) in the middle of a run",
        ("subscriber", "longest delay of a document (s)", "run (s)", "events in the catalog"),
        [_kill_under_journal(folder / "journal"), _kill_under_writer(folder / "writer")],
        "Aimed at: no document delayed by more than 0.05 s, every event in the catalog.",
    )


def _start(folder: Path) -> Table:
    rows = []
    for name in ("first start (the database is made)", "later start"):
        began = time.perf_counter()
        ensure_catalog(folder)
        started = time.perf_counter() - began
        began = time.perf_counter()
        stop_catalog(folder)
        rows.append([name, f"{started:.1f}", f"{time.perf_counter() - began:.2f}"])
    return Table("The catalog service", ("", "until ready (s)", "until ended (s)"), rows)


def measure() -> list[Table]:
    """Measure what storage costs a run, in under a minute.

    Returns
    -------
    list of Table
        Cost a document, delay when the service is killed, start of the service.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folders = [folder / "start", folder / "cost", folder / "kill"]
        try:
            return [_start(folders[0]), _costs(folders[1]), _kills(folders[2])]
        finally:
            for data in (folders[1], folders[2] / "journal", folders[2] / "writer"):
                stop_catalog(data)
