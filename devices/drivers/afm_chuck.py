"""The chuck of an AFM as a server offers it: which place of which sample is under the tip.

It moves only under a withdrawn tip, and has the instrument to itself meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from devices.drivers.afm_acquisition import Acquisition, ended_by_its_client
from devices.drivers.afm_head import HeadService
from devices.drivers.arguments import finite_number, no_others, within
from devices.drivers.imaging_protocols import ChuckDriver
from devices.units import MICROMETRE
from devices.wire import (
    Access,
    Call,
    CancelledError,
    Command,
    InstrumentError,
    LimitError,
    RefusedError,
    Result,
)

__all__ = ["ChuckService"]

_OVERDUE_FACTOR, _OVERDUE_S = 2.0, 10.0


class ChuckService:
    """Commands ``chuck.read``, ``.place`` and ``.stop``, and telemetry ``chuck.state``.

    Parameters
    ----------
    driver : ChuckDriver
        The chuck.
    head : HeadService
        Knows whether the tip is withdrawn.
    acquisition : Acquisition
        What goes on at the instrument.
    poll_s : float
        Seconds between two readings of a moving chuck.
    """

    name = "chuck"

    def __init__(
        self,
        driver: ChuckDriver,
        head: HeadService,
        acquisition: Acquisition,
        *,
        poll_s: float = 0.02,
    ) -> None:
        self._driver = driver
        self._head = head
        self._acquisition = acquisition
        self._poll_s = poll_s

    @property
    def moving(self) -> bool:
        """Whether the chuck is under way."""
        return self._driver.read().moving

    @property
    def sample(self) -> str:
        """Name of the sample under the tip; empty between two of them."""
        return self._driver.read().sample

    def describe(self) -> dict[str, Any]:
        """Return the positions and the limits of the offsets (m)."""
        limits = {f"offset_{name}": list(pair) for name, pair in self._driver.limits.items()}
        return {"positions": list(self._driver.positions), "limits": limits}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "place": Command(run=self._place, access=Access.MOTION, check=self._check, long=True),
            "stop": Command(run=self._stop, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return what is published while nobody asks."""
        return {"chuck.state": self._snapshot}

    def make_safe(self) -> None:
        """Stop where it is."""
        self._driver.stop()

    def _snapshot(self) -> dict[str, Any]:
        reading = self._driver.read()
        return {
            "time": reading.time,
            "sample": reading.sample,
            "offset_x": reading.x,
            "offset_y": reading.y,
            "moving": reading.moving,
        }

    def _read(self, call: Call) -> Result:
        no_others(call.args, "chuck.read")
        return Result(self._snapshot())

    def _check(self, args: dict[str, Any]) -> None:
        no_others(args, "chuck.place", "sample", "offset_x", "offset_y")
        self._target(args)
        self._acquisition.check_free("a move of the chuck")
        self._refuse_lowered()

    def _target(self, args: Mapping[str, Any]) -> tuple[str, float, float]:
        reading = self._driver.read()
        sample = args.get("sample", reading.sample)
        if sample not in self._driver.positions:
            known = ", ".join(self._driver.positions)
            raise LimitError(f"chuck sample {str(sample)[:60]!r} is not there: choose of {known}")
        offsets = []
        for axis, present in (("x", reading.x), ("y", reading.y)):
            value = args.get(f"offset_{axis}", present)
            offset = finite_number(f"chuck offset_{axis}", value, MICROMETRE)
            within(f"chuck offset_{axis}", offset, self._driver.limits[axis], MICROMETRE)
            offsets.append(offset)
        return sample, offsets[0], offsets[1]

    def _refuse_lowered(self) -> None:
        if not self._head.withdrawn:
            raise RefusedError("the chuck does not move under a lowered tip: withdraw it first")

    def _stop(self, call: Call) -> Result:
        self._driver.stop()
        return Result({})

    def _place(self, call: Call) -> Result:
        target = self._target(call.args)
        doing = self._acquisition.acquiring("a move of the chuck", "the chuck is moving")
        with doing as abort, ended_by_its_client(call, self._acquisition):
            self._refuse_lowered()
            self._go(call, target, abort)
        return Result(self._snapshot())

    def _go(self, call: Call, target: tuple[str, float, float], abort: threading.Event) -> None:
        operation = call.operation
        assert operation is not None
        expected = 0.0 if operation.cancelled.is_set() else self._driver.start_move(*target)
        begun = self._driver.read().time
        while True:
            reading = self._driver.read()
            elapsed = reading.time - begun
            if operation.cancelled.is_set() or abort.is_set():
                self._driver.stop()
                raise CancelledError(f"the chuck was stopped on its way to {target[0]}")
            if not reading.moving:
                return
            if elapsed > _OVERDUE_FACTOR * expected + _OVERDUE_S:
                self._driver.stop()
                raise InstrumentError(
                    f"the chuck still moves after {elapsed:.1f} s where {expected:.1f} s were "
                    "expected: stopped; look at the chuck"
                )
            operation.progress(
                sample=reading.sample,
                offset_x=reading.x,
                offset_y=reading.y,
                remaining=max(0.0, expected - elapsed),
            )
            abort.wait(self._poll_s)
