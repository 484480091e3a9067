"""The scanner of an AFM as a server offers it: the line of an acquisition, the frame of an image.

A frame is set whole, and looked at as a whole, or one setting after the other: then what the
settings are together is looked at when an image is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from devices.drivers.afm_acquisition import Acquisition
from devices.drivers.afm_protocols import Line, ScannerDriver
from devices.drivers.arguments import finite_number, no_others, within
from devices.scan_frame import FRAME_UNITS, FrameLimits, ScanFrame, check_frame
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
    """Commands ``scanner.read``, ``.set_line``, ``.set``, ``.set_frame`` and ``.stop``.

    Telemetry ``scanner.state``.

    Parameters
    ----------
    driver : ScannerDriver
        The scanner.
    acquisition : Acquisition
        What goes on at the instrument.
    poll_s : float
        Seconds between two readings of a moving scanner.
    frame_limits : FrameLimits, optional
        What frames the instrument can scan.
    """

    name = "scanner"

    def __init__(
        self,
        driver: ScannerDriver,
        acquisition: Acquisition,
        *,
        poll_s: float = 0.02,
        frame_limits: FrameLimits | None = None,
    ) -> None:
        self._driver = driver
        limits = FrameLimits() if frame_limits is None else frame_limits
        self._ranges = limits.ranges(driver.limits)
        self._frame = ScanFrame()
        self._acquisition = acquisition
        self._poll_s = poll_s
        self._going = threading.Lock()
        self._never = threading.Event()

    @property
    def moving(self) -> bool:
        """Whether the scanner is under way to the start of a line."""
        return self._driver.read().moving

    @property
    def frame(self) -> ScanFrame:
        """The frame of the next image."""
        return self._frame

    def check_frame(self) -> None:
        """Refuse the frame as it is now if it cannot be scanned."""
        check_frame(self._frame, self._ranges)

    def describe(self) -> dict[str, Any]:
        """Return the limits of x and y (m), and of the settings of a frame (SI)."""
        limits = {**self._driver.limits, **self._ranges}
        return {"limits": {name: list(pair) for name, pair in limits.items()}}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "set_line": Command(
                run=self._set_line, access=Access.MOTION, check=self._check, long=True
            ),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check_setting),
            "set_frame": Command(run=self._set_frame, access=Access.WRITE, check=self._check_frame),
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
            **self._frame.to_wire(),
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

    def _check_setting(self, args: dict[str, Any]) -> None:
        no_others(args, "scanner.set", *FRAME_UNITS)
        frame = replace(self._frame, **args)
        for name in args:
            within(f"scanner {name}", getattr(frame, name), self._ranges[name], FRAME_UNITS[name])
        self._acquisition.check_free("a setting of the frame")

    def _set(self, call: Call) -> Result:
        with self._acquisition.aside("a setting of the frame"):
            self._frame = replace(self._frame, **call.args)
        return Result(self._snapshot())

    def _check_frame(self, args: dict[str, Any]) -> None:
        no_others(args, "scanner.set_frame", *FRAME_UNITS)
        missing = [name for name in FRAME_UNITS if name not in args]
        if missing:
            raise RefusedError(f"scanner.set_frame has no {', '.join(missing)}: give all")
        check_frame(ScanFrame(**args), self._ranges)
        self._acquisition.check_free("a setting of the frame")

    def _set_frame(self, call: Call) -> Result:
        with self._acquisition.aside("a setting of the frame"):
            self._frame = ScanFrame(**call.args)
        return Result(self._snapshot())

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
