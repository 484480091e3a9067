"""A long operation as its sender sees it, and the book of those that are under way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any

from devices.wire.callbacks import Callbacks
from devices.wire.errors import (
    ConnectionLost,
    StateUnknown,
    UnknownCommandError,
    WireError,
    error_from_wire,
)
from devices.wire.messages import Answer, Event
from devices.wire.reply import Reply

__all__ = ["RemoteOperation", "RemoteOperations"]

_LOG = logging.getLogger(__name__)


class RemoteOperation:
    """A long command that was sent.

    Attributes
    ----------
    id : str
        Names the operation at the server.
    future : Future of Reply
        Its end: the result, or a `WireError` with the reason. `ConnectionLost` when the link went
        down meanwhile, `StateUnknown` when no end was heard of in time.
    """

    def __init__(self, id: str, op: str, until: float, callbacks: Callbacks) -> None:
        self.id = id
        self.op = op
        self.until = until
        self.future: Future[Reply] = Future()
        self.future.set_running_or_notify_cancel()
        self.accepted = False
        self.heard = 0.0
        self._callbacks = callbacks
        self._watchers: list[Callable[[dict[str, Any]], object]] = []

    def on_progress(self, callback: Callable[[dict[str, Any]], object]) -> None:
        """Call `callback` with the values of every progress report."""
        self._watchers.append(callback)

    def progress(self, values: dict[str, Any]) -> None:
        """Pass a progress report on."""
        for watcher in tuple(self._watchers):
            self._callbacks.put(watcher, values)

    def settle(self, outcome: Reply | WireError) -> None:
        """End the future, once."""
        self._callbacks.put(settle, self.future, outcome)


def settle(future: Future[Reply], outcome: Reply | WireError) -> None:
    """Set a future's result or exception, unless it has one."""
    try:
        if isinstance(outcome, WireError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    except InvalidStateError:
        _LOG.debug("An outcome that nobody waits for any more: %s", outcome)


class RemoteOperations:
    """The operations under way; I/O thread, except `add`.

    Parameters
    ----------
    ask : callable
        Sends a read (op, args) and calls a function with its answer or the error.
    poll_s : float
        Seconds without news of an operation after which the server is asked: an event may be lost.
    """

    def __init__(
        self,
        ask: Callable[[str, dict[str, Any], Callable[[Answer | WireError], None]], None],
        poll_s: float,
    ) -> None:
        self._ask = ask
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._operations: dict[str, RemoteOperation] = {}

    def __len__(self) -> int:
        return len(self._operations)

    def add(self, operation: RemoteOperation) -> None:
        """Follow `operation`, before its command is sent."""
        with self._lock:
            self._operations[operation.id] = operation

    def answered(self, op_id: str, outcome: Answer | WireError, now: float) -> None:
        """The command was accepted or refused."""
        operation = self._operations.get(op_id)
        if operation is None:
            return
        if isinstance(outcome, WireError):
            self._end(operation, outcome)
        else:
            operation.accepted = True
            operation.heard = now

    def event(self, event: Event, now: float) -> None:
        """News of an operation, of this client or of another."""
        operation = self._operations.get(str(event.values.get("op_id")))
        if operation is None:
            return
        operation.heard = now
        values = event.values.get("values")
        if event.topic == "op.progress":
            operation.progress(values if isinstance(values, dict) else {})
        elif event.topic == "op.failed":
            self._fail(operation, event.values)
        elif event.values.get("arrays"):
            self._poll(operation)
        else:
            reply = Reply(values if isinstance(values, dict) else {}, {}, event.time)
            self._end(operation, reply)

    def tick(self, now: float) -> None:
        """Ask after operations without news; give up those that take too long."""
        for operation in self._snapshot():
            if now > operation.until:
                if operation.accepted:
                    self._ask("op.cancel", {"op_id": operation.id}, lambda outcome: None)
                self._end(
                    operation,
                    StateUnknown(
                        f"{operation.op} was not finished in time and was told to end; read the "
                        "state before the next command"
                    ),
                )
            elif operation.accepted and now - operation.heard > self._poll_s:
                operation.heard = now
                self._poll(operation)

    def poll_all(self) -> None:
        """Ask after every operation: events were lost."""
        for operation in self._snapshot():
            if operation.accepted:
                self._poll(operation)

    def lose(self, error: WireError) -> None:
        """Fail every operation: the link is down."""
        for operation in self._snapshot():
            self._end(operation, ConnectionLost(f"{operation.op}: {error.message}"))

    def _poll(self, operation: RemoteOperation) -> None:
        self._ask(
            "op.status",
            {"op_id": operation.id},
            lambda outcome: self._status(operation, outcome),
        )

    def _status(self, operation: RemoteOperation, outcome: Answer | WireError) -> None:
        if isinstance(outcome, Answer) and outcome.error is None:
            values = outcome.values.get("values")
            match outcome.values.get("state"):
                case "done":
                    reply = Reply(
                        values if isinstance(values, dict) else {}, outcome.arrays, outcome.time
                    )
                    self._end(operation, reply)
                case "failed":
                    self._fail(operation, outcome.values)
            return
        error = outcome.error if isinstance(outcome, Answer) else outcome
        if isinstance(error, UnknownCommandError):
            self._end(operation, StateUnknown(f"{operation.op}: the server has forgotten it"))

    def _fail(self, operation: RemoteOperation, values: Mapping[str, Any]) -> None:
        error = values.get("error")
        self._end(operation, error_from_wire(error if isinstance(error, dict) else {}))

    def _end(self, operation: RemoteOperation, outcome: Reply | WireError) -> None:
        with self._lock:
            self._operations.pop(operation.id, None)
        operation.settle(outcome)

    def _snapshot(self) -> list[RemoteOperation]:
        with self._lock:
            return list(self._operations.values())
