"""The requests that wait for an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from devices.wire.errors import WireError
from devices.wire.messages import Answer

__all__ = ["Outcome", "Pending"]

Outcome = Answer | WireError


@dataclass(frozen=True)
class _Request:
    op: str
    until: float
    deliver: Callable[[Outcome], None]


class Pending:
    """Requests by id; each gets one outcome. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[int, _Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def add(
        self, request_id: int, op: str, until: float, deliver: Callable[[Outcome], None]
    ) -> None:
        """Have `deliver` called with the outcome of a request that ends at steady time `until`."""
        with self._lock:
            self._requests[request_id] = _Request(op, until, deliver)

    def deliver(self, request_id: int, outcome: Outcome) -> None:
        """Hand an outcome over, if somebody still waits for it."""
        with self._lock:
            request = self._requests.pop(request_id, None)
        if request is not None:
            request.deliver(outcome)

    def expire(self, now: float, overdue: Callable[[str], WireError]) -> bool:
        """Fail the requests whose time is over; whether there were any."""
        with self._lock:
            late = [item for item in self._requests.items() if now >= item[1].until]
        for request_id, request in late:
            self.deliver(request_id, overdue(request.op))
        return bool(late)

    def fail(self, error: WireError) -> None:
        """Fail all of them."""
        with self._lock:
            waiting = list(self._requests)
        for request_id in waiting:
            self.deliver(request_id, error)

    def next_due(self, otherwise: float) -> float:
        """When the first of them ends, but not after `otherwise`."""
        with self._lock:
            return min((otherwise, *(request.until for request in self._requests.values())))
