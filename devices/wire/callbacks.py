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
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, function: Callable[..., object], *args: object) -> None:
        """Have ``function(*args)`` called soon."""
        self._queue.put(partial(function, *args))

    def close(self, timeout_s: float) -> None:
        """End the thread when it has called what it was given."""
        self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (function := self._queue.get()) is not None:
            try:
                function()
            except Exception:
                _LOG.exception("A callback failed")
