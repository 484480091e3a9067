"""The instrument's time: real, faster than real, or moved by hand.

A simulated instrument never asks the operating system for the time: it asks its clock, so that an
experiment of eight hours can run in seconds and a test can run in none.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "ScaledClock"]


class Clock(Protocol):
    """Tells the time and waits for it. Every method may be called from any thread."""

    def now(self) -> float:
        """Return the instrument's time, seconds since the epoch."""
        ...

    def wait(self, seconds: float, interrupt: threading.Event | None = None) -> bool:
        """Wait for `seconds` of the instrument's time.

        Parameters
        ----------
        seconds : float
            How long, in the instrument's seconds; 0 or more.
        interrupt : threading.Event, optional
            Ends the wait when set.

        Returns
        -------
        bool
            Whether the wait was interrupted.
        """
        ...


class ScaledClock:
    """A clock that starts at the real time and runs `rate` times as fast.

    Parameters
    ----------
    rate : float
        Instrument seconds in a real second; 1 is real time.
    """

    def __init__(self, rate: float = 1.0) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"clock rate {rate!r} is not allowed: give a finite number above 0")
        self._rate = float(rate)
        self._origin = time.time()
        self._started = time.monotonic()

    @property
    def rate(self) -> float:
        """Instrument seconds in a real second."""
        return self._rate

    def now(self) -> float:
        """Return the instrument's time, seconds since the epoch; never runs backwards."""
        return self._origin + self._rate * (time.monotonic() - self._started)

    def wait(self, seconds: float, interrupt: threading.Event | None = None) -> bool:
        """Wait for `seconds` of the instrument's time; see `Clock.wait`."""
        deadline = self.now() + _duration(seconds)
        event = threading.Event() if interrupt is None else interrupt
        while not event.is_set():
            remaining = (deadline - self.now()) / self._rate
            if remaining <= 0:
                return False
            event.wait(min(remaining, threading.TIMEOUT_MAX))
        return True


class ManualClock:
    """A clock that moves only when told to: by `advance`, or by `wait`, which takes no real time.

    Parameters
    ----------
    start : float
        The first time, seconds since the epoch.
    """

    def __init__(self, start: float = 0.0) -> None:
        if not math.isfinite(start):
            raise ValueError(f"clock start {start!r} is not allowed: give a finite time in seconds")
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the instrument's time, seconds since the epoch."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds`, 0 or more."""
        duration = _duration(seconds)
        with self._lock:
            self._now += duration

    def wait(self, seconds: float, interrupt: threading.Event | None = None) -> bool:
        """Advance by `seconds`, or not at all if `interrupt` is set already; see `Clock.wait`."""
        duration = _duration(seconds)
        if interrupt is not None and interrupt.is_set():
            return True
        self.advance(duration)
        return False


def _duration(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"a time of {seconds!r} s is not allowed: give a finite number, 0 or more")
    return float(seconds)
