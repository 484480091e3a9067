"""The server's book of what is queued, what runs, and what was stopped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from devices.wire.errors import BusyError, UnknownCommandError, WireError, error_to_wire
from devices.wire.lease import ClientKey
from devices.wire.messages import Request
from devices.wire.service import Command, Operation, Result

__all__ = ["Job", "Operations", "State", "Stops"]

_RUNNING = 16  # operations at once
_KEPT = 64  # finished operations that op.status still knows
_KEPT_BYTES = 1 << 27  # of their arrays


class State(StrEnum):
    """How far an operation has come."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """A request on its way to a handler.

    `deadline` is in the server's steady clock; `stops` is how often its service had been stopped
    when the request arrived.
    """

    service: str
    command: Command
    request: Request
    key: ClientKey
    client: str
    deadline: float | None
    stops: int
    route: bytes


@dataclass
class _Record:
    job: Job
    operation: Operation
    until: float | None
    state: State = State.RUNNING
    progress: dict[str, Any] = field(default_factory=dict)
    result: Result = field(default_factory=Result)
    error: WireError | None = None

    @property
    def size(self) -> int:
        return sum(array.nbytes for array in self.result.arrays.values())


class Operations:
    """Long operations, running and lately finished. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def add(self, job: Job, operation: Operation, until: float | None) -> None:
        """Note that `operation` runs, to be cancelled at steady time `until`."""
        with self._lock:
            running = [r for r in self._records.values() if r.state is State.RUNNING]
            if len(running) >= _RUNNING:
                raise BusyError(f"{_RUNNING} operations run already; wait for one", retryable=True)
            self._records[operation.id] = _Record(job, operation, until)

    def note_progress(self, op_id: str, values: dict[str, Any]) -> None:
        """Keep the latest progress for `status`."""
        with self._lock:
            record = self._records.get(op_id)
            if record is not None:
                record.progress = values

    def finish(self, op_id: str, outcome: Result | WireError) -> None:
        """Note how an operation ended."""
        with self._lock:
            record = self._records[op_id]
            if isinstance(outcome, WireError):
                record.state, record.error = State.FAILED, outcome
            else:
                record.state, record.result = State.DONE, outcome
            self._records.move_to_end(op_id)
            finished = [r for r in self._records.values() if r.state is not State.RUNNING]
            size = sum(r.size for r in finished)
            for number, old in enumerate(finished[:-1]):
                if len(finished) - number <= _KEPT and size <= _KEPT_BYTES:
                    break
                size -= old.size
                del self._records[old.operation.id]

    def status(self, op_id: str) -> Result:
        """State, progress, and the result or the error of an operation."""
        with self._lock:
            record = self._records.get(op_id)
            if record is None:
                raise UnknownCommandError(f"no operation {op_id!r} runs or has ended lately")
            values: dict[str, Any] = {
                "op_id": op_id,
                "state": record.state.value,
                "progress": record.progress,
                "values": record.result.values,
                "error": error_to_wire(record.error) if record.error else None,
            }
            return Result(values, record.result.arrays)

    def running(self, key: ClientKey | None = None) -> int:
        """How many operations run, of everybody or of one client."""
        with self._lock:
            return sum(
                record.state is State.RUNNING and (key is None or record.job.key == key)
                for record in self._records.values()
            )

    def cancel(self, op_id: str | None = None, service: str | None = None) -> int:
        """Ask running operations to end: one, those of a service, or all; returns how many."""
        with self._lock:
            chosen = [
                record
                for record in self._records.values()
                if record.state is State.RUNNING
                and (op_id is None or record.operation.id == op_id)
                and (service is None or record.job.service == service)
            ]
        for record in chosen:
            record.operation.cancelled.set()
        return len(chosen)

    def cancel_overdue(self, now: float) -> None:
        """Ask operations to end whose sender no longer waits."""
        with self._lock:
            overdue = [
                record
                for record in self._records.values()
                if record.state is State.RUNNING and record.until is not None and now > record.until
            ]
        for record in overdue:
            record.operation.cancelled.set()


class Stops:
    """How often each service was stopped: what was asked before a stop does not begin after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._last: dict[tuple[ClientKey, str], int] = {}

    def note(self, service: str, key: ClientKey, request_id: int) -> None:
        """`key` stopped `service` with its request number `request_id`."""
        with self._lock:
            self._counts[service] = self._counts.get(service, 0) + 1
            self._last[(key, service)] = max(self._last.get((key, service), -1), request_id)

    def count(self, service: str) -> int:
        """How often `service` was stopped."""
        with self._lock:
            return self._counts.get(service, 0)

    def overtook(self, service: str, key: ClientKey, request_id: int) -> bool:
        """Whether a stop that `key` sent later than this request has arrived before it."""
        with self._lock:
            return request_id < self._last.get((key, service), -1)

    def forget(self, key: ClientKey) -> None:
        """Drop what is known of a client that has long gone."""
        with self._lock:
            for owner, service in [entry for entry in self._last if entry[0] == key]:
                del self._last[(owner, service)]
