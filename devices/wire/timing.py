"""Deadlines that hold although two machines' clocks disagree.

A client states a deadline in the *server's* steady clock. It knows that clock only from the stamps
on the server's messages: a stamp `s` that arrived at local time `r` was made at or before `r`, so
the server's clock read at least ``s + (d - r)`` at local time `d`. With that bound the server
never thinks a command fresh that its sender has given up; it may drop one early by no more than
the message's travel time. Cristian, Distributed Computing 3 (1989) 146, has the argument.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

__all__ = ["ServerClock", "steady"]

_SAMPLES = 16  # at one heartbeat a second, 100 ppm between two quartz clocks is 1.6 ms

#: Seconds that never jump and, where the system has such a clock, also count while it sleeps.
steady: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


class ServerClock:
    """What a client knows of its server's steady clock, from the stamps it has received."""

    def __init__(self) -> None:
        self._offsets: deque[float] = deque(maxlen=_SAMPLES)
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Forget all stamps: another server answers now."""
        with self._lock:
            self._offsets.clear()

    def sample(self, stamp: float, received: float) -> None:
        """Note that the server's `stamp` arrived at local steady time `received` (seconds)."""
        with self._lock:
            self._offsets.append(stamp - received)

    def deadline(self, local: float) -> float | None:
        """The latest server time known not to lie after local time `local`; None before a stamp."""
        with self._lock:
            return local + max(self._offsets) if self._offsets else None
