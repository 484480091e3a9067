"""ophyd signals on the wire: a value is asked of the server, never remembered for it.

What is read together comes from one request (`Snapshot`), with the instrument's time as timestamp.
A setting returns the request's own status: no thread a set, and no polling for equality, which is
what `ophyd.Signal.set` does.
"""

from __future__ import annotations

import math
import numbers
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from bluesky.protocols import Reading
from event_model import DataKey
from ophyd import Device, Signal
from ophyd.utils import ReadOnlyError

from devices.status import RequestStatus
from devices.units import NONE, Unit
from devices.wire import Client, ConnectionLost, LimitError, ProtocolError, Reply

__all__ = [
    "SettingSignal",
    "Snapshot",
    "StaticSignal",
    "ValueSignal",
    "WireDevice",
    "capabilities",
    "checked_number",
]

_READ_DEADLINE_S = 0.9  # a read holds the RunEngine's thread: less than a second, always
_WRITE_DEADLINE_S = 5.0


def capabilities(client: Client, service: str) -> Mapping[str, Any]:
    """Return what the server said of a service at the handshake.

    Raises
    ------
    ConnectionLost
        Before the first handshake.
    ProtocolError
        When the server does not offer the service.
    """
    hello = client.hello
    if hello is None:
        raise ConnectionLost(
            f"{service} was never connected: call wait_for_connection() of its instrument first"
        )
    if service not in hello.services:
        offered = ", ".join(hello.services) or "nothing"
        raise ProtocolError(f"the server {hello.server!r} offers no {service}: it has {offered}")
    return hello.services[service]


class Snapshot:
    """One reading, shared by all that is read within a `shared` block of the same thread.

    Parameters
    ----------
    fetch : callable
        Asks the server; returns a dict with ``"time"``.
    """

    def __init__(self, fetch: Callable[[], dict[str, Any]]) -> None:
        self._fetch = fetch
        self._local = threading.local()

    def get(self) -> dict[str, Any]:
        """Return the block's reading, or a new one outside a block."""
        if getattr(self._local, "depth", 0) == 0:
            return self._fetch()
        if self._local.values is None:
            self._local.values = self._fetch()
        return self._local.values

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Share one reading; blocks may be nested."""
        depth = getattr(self._local, "depth", 0)
        if depth == 0:
            self._local.values = None
        self._local.depth = depth + 1
        try:
            yield
        finally:
            self._local.depth = depth


class WireDevice(Device):
    """A device whose signals read one snapshot.

    Parameters
    ----------
    client : Client, optional
        The connection; taken from the parent when it is not given.
    """

    operation: str
    """The command that reads the device, for example ``"stage.read"``."""

    def __init__(self, prefix: str = "", *, client: Client | None = None, **kwargs: Any) -> None:
        parent: Any = kwargs.get("parent")
        self.client: Client = parent.client if client is None else client
        self.snapshot = self._snapshot(parent)
        super().__init__(prefix, **kwargs)

    def _snapshot(self, parent: Any) -> Snapshot:
        def ask() -> dict[str, Any]:
            return self.client.request(self.operation, deadline_s=_READ_DEADLINE_S).values

        return Snapshot(ask)

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.client.connected

    def read(self) -> Any:
        """Read all components from one request."""
        with self.snapshot.shared():
            return super().read()

    def describe(self) -> Any:
        """Describe all components from one request."""
        with self.snapshot.shared():
            return super().describe()

    def read_configuration(self) -> Any:
        """Read the configuration from one request."""
        with self.snapshot.shared():
            return super().read_configuration()

    def describe_configuration(self) -> Any:
        """Describe the configuration from one request."""
        with self.snapshot.shared():
            return super().describe_configuration()


class StaticSignal(Signal):
    """A read-only value that its device knows; the base of the signals on the wire.

    Parameters
    ----------
    unit : Unit
        As shown and recorded.
    dtype_numpy : str
        Type of the value, for example ``"<f8"``.
    shape : tuple of int
        Shape of the value; empty for a number.
    """

    def __init__(
        self,
        *,
        unit: Unit = NONE,
        dtype_numpy: str = "<f8",
        shape: tuple[int, ...] = (),
        **kwargs: Any,
    ) -> None:
        self.device: Any = kwargs["parent"]
        super().__init__(**kwargs)
        self.unit = unit
        self._dtype_numpy = dtype_numpy
        self._shape = shape
        self._metadata.update(write_access=False)

    def _fresh(self) -> tuple[Any, float]:
        """Return the value in the user's unit and its time."""
        raise NotImplementedError

    @property
    def egu(self) -> str:
        """Symbol of the unit."""
        return self.unit.symbol

    @property
    def precision(self) -> int:
        """Decimals worth showing."""
        return self.unit.precision

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.device.connected

    @property
    def source_name(self) -> str:
        """Where the value comes from."""
        hello = self.device.client.hello
        return f"{hello.server if hello is not None else 'wire'}:{self.dotted_name}"

    def get(self, **kwargs: Any) -> Any:
        """Return the present value."""
        self._readback, self._metadata["timestamp"] = self._fresh()
        return self._readback

    # ophyd infers plain dicts here; plans are checked against bluesky's protocols.
    def read(self) -> dict[str, Reading[Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the present value and the instrument's time."""
        value, timestamp = self._fresh()
        return {self.name: {"value": value, "timestamp": timestamp}}

    def observe(self, value: Any, timestamp: float) -> None:
        """Tell subscribers of a value that the server has sent by itself."""
        super().put(value, timestamp=timestamp, force=True)

    def put(self, value: Any, **kwargs: Any) -> None:
        """Refuse: the value is the instrument's."""
        raise ReadOnlyError(f"{self.name} is read-only: it is what the instrument reports")

    def set(self, value: Any, **kwargs: Any) -> Any:
        """Refuse: the value is the instrument's."""
        raise ReadOnlyError(f"{self.name} is read-only: it is what the instrument reports")

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Describe the value: type, unit, decimals."""
        whole = self._dtype_numpy[1] in "iu"
        key: DataKey = {
            "source": self.source_name,
            "dtype": "array" if self._shape else "integer" if whole else "number",
            "dtype_numpy": self._dtype_numpy,
            "shape": list(self._shape),
        }
        if self.unit.symbol:
            key["units"] = self.unit.symbol
        if not whole:
            key["precision"] = self.unit.precision
        return {self.name: key}


class ValueSignal(StaticSignal):
    """A read-only value from its device's snapshot.

    Parameters
    ----------
    key : str
        Where it is in the reading.
    """

    def __init__(self, *, key: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key = key

    def convert(self, reading: Mapping[str, Any]) -> Any:
        """Take the value out of a reading, into the user's unit."""
        value = reading[self._key]
        if self._dtype_numpy[1] in "iu" and not self._shape:
            return int(value)
        return value if self._shape else self.unit.from_si(value)

    def _fresh(self) -> tuple[Any, float]:
        reading = self.device.snapshot.get()
        return self.convert(reading), reading["time"]


class SettingSignal(ValueSignal):
    """A setting of the instrument: checked here, then set by one request.

    Parameters
    ----------
    command : str
        The command that sets it, for example ``"column.set"``.
    service : str
        The service whose handshake holds the limits.
    limit : str
        Name of the limits there.
    """

    def __init__(
        self, *, command: str, service: str, limit: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._command = command
        self._service = service
        self._limit = limit
        self._metadata.update(write_access=True)

    @property
    def limits(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Least and greatest value allowed."""
        if self._limit is None:
            return (-math.inf, math.inf)
        low, high = capabilities(self.device.client, self._service)["limits"][self._limit]
        return (self.unit.from_si(low), self.unit.from_si(high))

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a value that the instrument would refuse, before anything is sent.

        Raises
        ------
        LimitError
            When it is not a finite number within the limits.
        """
        checked_number(self.name, value, self.limits, self.unit)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the command's arguments for a checked value."""
        return {self._key: self.unit.to_si(value)}

    def set(self, value: Any, *, timeout: float | None = None, **kwargs: Any) -> RequestStatus:
        """Set the value; the status is the request's.

        Parameters
        ----------
        value : float
            In the unit of the signal.
        timeout : float, optional
            Seconds after which the server gives up; 5 by default.
        """
        self.check_value(value)
        deadline = _WRITE_DEADLINE_S if timeout is None else timeout
        future = self.device.client.submit(
            self._command, self.arguments(value), deadline_s=deadline
        )
        status = RequestStatus(self, f"{self.name} to {value} {self.egu}".rstrip())
        future.add_done_callback(lambda done: self._complete(done, status))
        return status

    def put(self, value: Any, **kwargs: Any) -> None:
        """Set the value and wait until the instrument has it."""
        self.check_value(value)
        self.device.client.request(
            self._command, self.arguments(value), deadline_s=_WRITE_DEADLINE_S
        )

    def describe(self) -> dict[str, DataKey]:
        """Describe the value, with its limits."""
        described = super().describe()
        if self._limit is not None and not self._shape:
            low, high = self.limits
            described[self.name]["limits"] = {"control": {"low": low, "high": high}}
        return described

    def _complete(self, done: Future[Reply], status: RequestStatus) -> None:
        """Finish the status; on the client's thread for callbacks, where asking is allowed."""
        try:
            reading = done.result().values
            self.observe(self.convert(reading), reading["time"])
        except Exception as error:  # whatever it is, somebody waits for the status
            status.set_exception(error)
            return
        status.set_finished()


def checked_number(
    name: str, value: object, limits: tuple[float, float], unit: Unit, *, whole: bool = False
) -> float:
    """Return `value` if it is a finite (or `whole`) number within `limits`.

    Raises
    ------
    LimitError
        When it is not; says what was asked and what is allowed.
    """
    low, high = limits
    allowed = f"{low:.9g}..{unit.show(high)}"
    if isinstance(value, bool) or not isinstance(
        value, numbers.Integral if whole else numbers.Real
    ):
        what = "whole number" if whole else "number"
        raise LimitError(f"{name} target {value!r} is not a {what}: give one within {allowed}")
    number = float(value)
    if not math.isfinite(number):
        raise LimitError(f"{name} target {number} is not finite: give one within {allowed}")
    if not low <= number <= high:
        raise LimitError(
            f"{name} target {unit.show(number)} is outside {allowed}: "
            "choose a target within these limits"
        )
    return number
