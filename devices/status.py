"""Statuses that tell how far a motion is and, when one fails, why."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self

from ophyd.status import DeviceStatus, MoveStatus, StatusBase

__all__ = ["MotionStatus", "RequestStatus", "combine"]

_log = logging.getLogger(__name__)


class _ToldWhy(StatusBase):
    """A status whose text says what it is of and, when it failed, why.

    The RunEngine raises ``FailedStatus(status)``: that text is the line that a user reads.
    """

    what: str

    def __str__(self) -> str:
        if not self.done:
            return f"{self.what}: under way"
        return f"{self.what}: {'done' if self._exception is None else f'failed, {self._exception}'}"

    __repr__ = __str__


class RequestStatus(_ToldWhy, DeviceStatus):
    """Something that was asked of a device: done, or failed with the server's reason.

    Parameters
    ----------
    device : Device or Signal
        Of what it was asked.
    what : str
        What was asked, for messages.
    """

    def __init__(self, device: Any, what: str) -> None:
        self.what = what
        super().__init__(device, call_stop_on_failure=False)

    def following(self, future: Future[Any]) -> Self:
        """End as `future` ends, and return this status."""
        future.add_done_callback(self._follow)
        return self

    def _follow(self, done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            self.set_finished()
        else:
            self.set_exception(error)

    __repr__ = _ToldWhy.__str__


class MotionStatus(_ToldWhy, MoveStatus):
    """A motion that the server watches; progress comes from its reports.

    It starts no thread and asks the device nothing: `ophyd.MoveStatus` reads the position when it
    begins and when it ends, on whatever thread that is. It does not stop the device when it fails
    either, since by then the server has.

    Parameters
    ----------
    device : Device
        What moves.
    target, initial : float
        Where to and where from.
    name : str
        Of the axis that the progress is shown for.
    unit : str
        Of `target`.
    precision : int
        Decimals worth showing.
    settle_time : float
        Seconds that the status waits after the end of the motion.
    """

    def __init__(
        self,
        device: Any,
        target: float,
        *,
        initial: float,
        name: str,
        unit: str,
        precision: int,
        settle_time: float = 0.0,
    ) -> None:
        self.what = f"{name} to {target:.9g} {unit}"
        self.pos = device
        self.target = target
        self.start_ts = time.time()
        self.start_pos = initial
        self.finish_ts: float | None = None
        self.finish_pos: float | None = None
        self._unit = unit
        self._precision = precision
        self._name = name
        self._reported: dict[str, Any] | None = None
        self._current = initial
        # Not MoveStatus.__init__, which asks the device for its position and subscribes to it.
        DeviceStatus.__init__(self, device, call_stop_on_failure=False, settle_time=settle_time)

    def watch(self, func: Callable[..., Any]) -> None:
        """Call `func` with every report of progress, the last one at once.

        Parameters
        ----------
        func : callable
            Gets the keywords name, current, initial, target, unit, precision, fraction (what
            remains, 1 to 0), time_elapsed and time_remaining (seconds).
        """
        self._watchers.append(func)
        if self._reported is not None:
            self._tell(func, self._reported)

    def report(self, current: float, time_remaining: float | None) -> None:
        """Tell the watchers where the axis is.

        Parameters
        ----------
        current : float
            Position, in the unit of the target.
        time_remaining : float, optional
            Seconds that the server expects it to take still.
        """
        self._current = current
        distance = abs(self.target - self.start_pos)
        fraction = min(abs(self.target - current) / distance, 1.0) if distance else 0.0
        self._reported = {
            "name": self._name,
            "current": current,
            "initial": self.start_pos,
            "target": self.target,
            "unit": self._unit,
            "precision": self._precision,
            "fraction": fraction,
            "time_elapsed": time.time() - self.start_ts,
            "time_remaining": time_remaining,
        }
        for watcher in tuple(self._watchers):
            self._tell(watcher, self._reported)

    def _tell(self, watcher: Callable[..., Any], progress: dict[str, Any]) -> None:
        try:
            watcher(**progress)
        except Exception:
            _log.exception("a watcher of %s failed", self._name)

    def _settled(self) -> None:
        self.finish_ts = time.time()
        self.finish_pos = self._current
        if self._reported is not None:
            last = {**self._reported, "fraction": 0.0, "time_remaining": 0.0}
            for watcher in tuple(self._watchers):
                self._tell(watcher, last)
        self._watchers.clear()

    __repr__ = _ToldWhy.__str__


def combine(statuses: Sequence[StatusBase]) -> StatusBase:
    """Return a status that is done when all of `statuses` are, or when the first of them fails.

    Unlike ``a & b`` it fails with the failed status's own exception.

    Parameters
    ----------
    statuses : sequence of StatusBase
        None of them makes a status that is done.
    """
    combined = StatusBase()
    if not statuses:
        combined.set_finished()
        return combined
    lock = threading.Lock()
    left, over = len(statuses), False

    def count(status: StatusBase) -> None:
        nonlocal left, over
        error = status.exception(timeout=0)
        with lock:
            left -= 1
            first = not over and (error is not None or left == 0)
            over = over or first
        if not first:
            return
        if error is None:
            combined.set_finished()
        else:
            combined.set_exception(error)

    for status in statuses:
        status.add_callback(count)
    return combined
