"""Ctrl-C on the command line: at once, and once is enough."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from bluesky import RunEngine
from bluesky.utils import TransitionError  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["StopAtOnce"]

_GRACE = 2.0  # seconds in which pressing again means no more than pressing once


class StopAtOnce:
    """Context manager for a RunEngine: the first SIGINT or SIGTERM pauses it immediately.

    The pause stops everything that moves; who called the RunEngine then aborts the plan. (At the
    console bluesky's own handler waits for a checkpoint first, because there one may go on.)
    Another that comes more than two seconds later breaks off whatever the plan still does to end
    well.

    Parameters
    ----------
    engine : bluesky.RunEngine
        The one that runs the plan.
    """

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self._asked = threading.Event()
        self._over = False
        self._first = 0.0

    def __enter__(self) -> Self:
        self._watcher = threading.Thread(target=self._watch, name="stop-at-once", daemon=True)
        self._watcher.start()
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._asked.is_set():
            self._first = now
            self._asked.set()
        elif now - self._first > _GRACE:  # the plan does not end by itself
            raise KeyboardInterrupt

    def _watch(self) -> None:
        self._asked.wait()
        if self._over:
            return
        try:
            self._engine.request_pause(defer=False)
        except TransitionError:
            return  # the plan is ending anyway

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._over = True
        self._asked.set()
        self._watcher.join(1.0)
