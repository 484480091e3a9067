"""What every test may rely on, and what no test may leave behind."""

from __future__ import annotations

# Before TensorFlow, which exports an SQLite without full-text search to whoever loads one later.
import sqlite3  # noqa: F401
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from bluesky import RunEngine
from ophyd.status import StatusBase

pytest_plugins = ["microscope_bench"]

# What starts servers and processes; two of these at a time would make each other late for the
# deadlines of the wire.
_STATION = ("tests/devices/wire/", "tests/station/", "tests/test_docs.py")
# Threads that libraries start once and keep for the whole process.
_LIBRARY_THREADS = ("bluesky-run-engine", "ThreadPoolExecutor", "asyncio_", "pytest_timeout")
_GRACE = 15.0  # seconds that a thread may take to end after its owner was closed


def _threads() -> set[threading.Thread]:
    return {
        thread
        for thread in threading.enumerate()
        if thread.is_alive() and not thread.name.startswith(_LIBRARY_THREADS)
    }


def _remember_instances(
    monkeypatch: pytest.MonkeyPatch, kind: type, remember: Callable[[Any], object]
) -> None:
    original = kind.__init__

    def init(self: object, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        remember(self)

    monkeypatch.setattr(kind, "__init__", init)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files, and all files of `_STATION` at once to the first worker.

    xdist begins with the unit of most tests: these, which take longest. Its mark `xdist_group`,
    which is for this, has no effect with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "station" if nodeid.startswith(_STATION) else nodeid.partition("::")[0]

    return Files(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile the simulator before the first test is timed, for this process and its children."""
    rooms = {item.path.parent.name for item in session.items}
    if rooms - {"analysis"} and not session.config.option.collectonly:
        import numpy as np

        from sim.specimen import ProceduralSpecimen
        from sim.stage import warm_up

        warm_up()
        ProceduralSpecimen(0).sample(np.zeros(1), np.zeros(1))


@pytest.fixture(scope="session", autouse=True)
def _zero_copy() -> None:
    """Start the thread with which pyzmq frees what was sent without a copy; it stays for good."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as a, context.socket(zmq.PAIR) as b:
        a.bind("inproc://zero-copy")
        b.connect("inproc://zero-copy")
        a.send(bytes(1 << 17), copy=False)
        b.recv()


def _end_loop(engine: RunEngine) -> None:
    """End the event loop of an engine and its thread, which else keep three files open for good."""
    loop = engine.loop
    if loop.is_closed():
        return
    loop.call_soon_threadsafe(loop.stop)
    deadline = time.monotonic() + _GRACE
    while loop.is_running() and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    if not loop.is_running():
        loop.close()


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a thread, a ZeroMQ socket or an unfinished status behind."""
    statuses: list[StatusBase] = []
    engines: list[RunEngine] = []
    sockets: weakref.WeakSet[zmq.Socket] = weakref.WeakSet()
    _remember_instances(monkeypatch, StatusBase, statuses.append)
    _remember_instances(monkeypatch, zmq.Socket, sockets.add)
    _remember_instances(monkeypatch, RunEngine, engines.append)
    threads = _threads()
    yield
    for engine in engines:
        _end_loop(engine)
    deadline = time.monotonic() + _GRACE
    while (left := _threads() - threads) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not left, f"threads left running: {sorted(thread.name for thread in left)}"
    unfinished = [status for status in statuses if not status.done]
    assert not unfinished, f"statuses left unfinished: {unfinished}"
    leaked = [socket for socket in sockets if not socket.closed]
    assert not leaked, f"ZeroMQ sockets left open: {leaked}"
