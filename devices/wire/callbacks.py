"""User callbacks, on a thread of their own: a slow one never delays a message or a heartbeat."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial

__all__ = ["Callbacks"]

_LOG = logging.getLogger(__name__)


class Callbacks:
    """Calls functions, one after the other, in the order in which they were given."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, function: Callable[..., object], *args: object) -> None:
        """Have ``function(*args)`` called soon; after `close` at once, by the caller itself.

        What comes late may be the end of something that somebody still waits for.
        """
        call = partial(function, *args)
        with self._lock:
            if not self._closed:
                self._queue.put(call)
                return
        _call(call)

    def close(self, timeout_s: float) -> None:
        """End the thread when it has called what it was given."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (function := self._queue.get()) is not None:
            _call(function)


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:
        _LOG.exception("A callback failed")
