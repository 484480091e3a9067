"""The scanner of an AFM as a server offers it: the line along which an acquisition goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from devices.drivers.afm_acquisition import Acquisition
from devices.drivers.afm_protocols import Line, ScannerDriver
from devices.drivers.arguments import finite_number, no_others, within
from devices.units import MICROMETRE
from devices.wire import (
    Access,
    BusyError,
    Call,
    CancelledError,
    Command,
    Operation,
    RefusedError,
    Result,
)

__all__ = ["ScannerService"]

_STOPPING_S = 1.0  # in which a move that was stopped is over
_ENDS = ("x0", "y0", "x1", "y1")


class ScannerService:
    """Commands ``scanner.read``, ``.set_line`` and ``.stop``, and telemetry ``scanner.state``.

    Parameters
    ----------
    driver : ScannerDriver
        The scanner.
    acquisition : Acquisition
        What goes on at the instrument.
    poll_s : float
        Seconds between two readings of a moving scanner.
    """

    name = "scanner"

    def __init__(
        self, driver: ScannerDriver, acquisition: Acquisition, *, poll_s: float = 0.02
    ) -> None:
        self._driver = driver
        self._acquisition = acquisition
        self._poll_s = poll_s
        self._going = threading.Lock()
        self._never = threading.Event()

    @property
    def moving(self) -> bool:
        """Whether the scanner is under way to the start of a line."""
        return self._driver.read().moving

    def describe(self) -> dict[str, Any]:
        """Return the limits of x and y (m)."""
        return {"limits": {name: list(pair) for name, pair in self._driver.limits.items()}}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "set_line": Command(
                run=self._set_line, access=Access.MOTION, check=self._check, long=True
            ),
            "stop": Command(run=self._stop, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return what is published while nobody asks."""
        return {"scanner.state": self._snapshot}

    def make_safe(self) -> None:
        """Stop where it is."""
        self._driver.stop()

    def _snapshot(self) -> dict[str, Any]:
        reading = self._driver.read()
        return {
            "time": reading.time,
            "position": [reading.x, reading.y],
            "line": list(reading.line),
            "moving": reading.moving,
        }

    def _read(self, call: Call) -> Result:
        no_others(call.args, "scanner.read")
        return Result(self._snapshot())

    def _check(self, args: dict[str, Any]) -> None:
        no_others(args, "scanner.set_line", "line")
        line = args.get("line")
        if not isinstance(line, list) or len(line) != len(_ENDS):
            raise RefusedError(f"scanner line {str(line)[:60]} is not allowed: give x0, y0, x1, y1")
        for name, value in zip(_ENDS, line, strict=True):
            number = finite_number(f"scanner {name}", value, MICROMETRE)
            within(f"scanner {name}", number, self._driver.limits[name[0]], MICROMETRE)
        self._acquisition.check_free("a line of the scanner")

    def _stop(self, call: Call) -> Result:
        self._driver.stop()
        return Result({})

    def _set_line(self, call: Call) -> Result:
        x0, y0, x1, y1 = (float(value) for value in call.args["line"])
        line: Line = (x0, y0, x1, y1)
        operation = call.operation
        assert operation is not None
        if not self._going.acquire(timeout=_STOPPING_S):
            raise BusyError("the scanner is moving: wait for its end, or stop it first")
        try:
            with self._acquisition.aside("a line of the scanner"):
                self._go(operation, line)
        finally:
            self._going.release()
        return Result(self._snapshot())

    def _go(self, operation: Operation, line: Line) -> None:
        if operation.cancelled.is_set():  # while it waited for another line to end
            raise CancelledError("the scanner was stopped before it began")
        self._driver.set_line(line)
        while True:
            if operation.cancelled.is_set():
                self._driver.stop()
                raise CancelledError("the scanner was stopped on its way to a line")
            reading = self._driver.read()
            if not reading.moving:
                return
            operation.progress(position=[reading.x, reading.y])
            self._never.wait(self._poll_s)
