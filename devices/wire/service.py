"""What an instrument offers over the wire: commands, telemetry, and how to make it safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from devices.wire.timing import steady

__all__ = ["Access", "Call", "Command", "Operation", "Result", "Service"]

_PROGRESS_INTERVAL = 0.02  # seconds: no eye and no progress bar wants more


class Access(StrEnum):
    """What a command does to the instrument. WRITE and MOTION need the lease."""

    READ = "read"
    WRITE = "write"
    MOTION = "motion"
    STOP = "stop"


class Operation:
    """A long command while it runs.

    Parameters
    ----------
    id : str
        Names the operation in events and in ``op.status``.
    publish : callable
        Takes the values that `progress` was given.
    """

    def __init__(self, id: str, publish: Callable[[str, dict[str, Any]], None]) -> None:
        self.id = id
        self.cancelled = threading.Event()
        self._publish = publish
        self._next = 0.0

    def progress(self, **values: Any) -> None:
        """Tell everybody how far the operation is; more than 50 calls a second are thinned out."""
        now = steady()
        if now >= self._next:
            self._next = now + _PROGRESS_INTERVAL
            self._publish(self.id, values)


@dataclass(frozen=True)
class Call:
    """One use of a command: its arguments (SI), and the operation if the command is long."""

    args: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    client: str
    operation: Operation | None = None


@dataclass(frozen=True)
class Result:
    """What a command returns. Arrays are sent without a copy: do not write to them afterwards."""

    values: dict[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command of a service.

    Parameters
    ----------
    run : callable
        Does it. What it raises is the answer; a `WireError` travels as it is.
    access : Access
        What it does to the instrument.
    check : callable, optional
        Looks at the arguments on arrival, before anything is queued, and raises a `WireError`.
    long : bool
        Answered ``accepted`` after `check`; runs in a thread of its own, as an `Operation`. Look
        at ``call.operation.cancelled`` after starting a motion as well as while it goes on.
    inline : bool
        Served on the thread that carries all messages: for reads of less than 100 µs.
    """

    run: Callable[[Call], Result]
    access: Access
    check: Callable[[dict[str, Any]], None] | None = None
    long: bool = False
    inline: bool = False


class Service(Protocol):
    """A part of an instrument behind a server."""

    @property
    def name(self) -> str:
        """The first half of its commands' names."""
        ...

    def describe(self) -> dict[str, Any]:
        """Capabilities, units and limits, for the handshake."""
        ...

    def commands(self) -> Mapping[str, Command]:
        """Commands by verb."""
        ...

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """What to publish: a quick snapshot by topic."""
        ...

    def make_safe(self) -> None:
        """Stop and blank: the client that moved things has vanished, or the server closes."""
        ...
