"""What every test may rely on, and what no test may leave behind."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest
import zmq
from ophyd.status import StatusBase

# Threads that libraries start once and keep for the whole process.
_LIBRARY_THREADS = ("bluesky-run-engine", "ThreadPoolExecutor", "asyncio_", "pytest_timeout")
_GRACE = 2.0  # seconds that a thread may take to end after its owner was closed


def _threads() -> set[threading.Thread]:
    return {
        thread
        for thread in threading.enumerate()
        if thread.is_alive() and not thread.name.startswith(_LIBRARY_THREADS)
    }


def _open_sockets() -> set[int]:
    return {
        id(item) for item in gc.get_objects() if isinstance(item, zmq.Socket) and not item.closed
    }


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a thread, a ZeroMQ socket or an unfinished status behind."""
    statuses: list[StatusBase] = []
    original = StatusBase.__init__

    def remember(self: StatusBase, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)  # type: ignore[arg-type]
        statuses.append(self)

    monkeypatch.setattr(StatusBase, "__init__", remember)
    threads, sockets = _threads(), _open_sockets()
    yield
    deadline = time.monotonic() + _GRACE
    while (left := _threads() - threads) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not left, f"threads left running: {sorted(thread.name for thread in left)}"
    unfinished = [status for status in statuses if not status.done]
    assert not unfinished, f"statuses left unfinished: {unfinished}"
    leaked = _open_sockets() - sockets
    assert not leaked, f"{len(leaked)} ZeroMQ sockets left open"
