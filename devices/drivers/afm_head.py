"""The head of an AFM as a server offers it: height, feedback, and a withdrawal that always works.

The tip is *lifted* when it is withdrawn, when nobody has said yet that it is engaged, or when it
is `lift` or more above its working height. The working height is where the head was when it was
declared engaged, and follows the feedback from there; to withdraw forgets it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.comb import FLEXURAL
from devices.drivers.afm_acquisition import Acquisition
from devices.drivers.afm_probe import ProbeService
from devices.drivers.afm_protocols import HeadDriver, HeadReading
from devices.drivers.arguments import finite_number, no_others, within
from devices.units import NANOMETRE
from devices.wire import (
    Access,
    BusyError,
    Call,
    CancelledError,
    Command,
    InstrumentError,
    RefusedError,
    Result,
)

__all__ = ["FEEDBACK", "HeadService"]

FEEDBACK = ("off", "line")
_SETPOINT = (0.0, 1e-6)  # m; no cantilever is driven farther
_LEAST_LIFT = 10e-9  # m; closer to the surface van der Waals forces still show in a spectrum
_PRESSED = 20e-9  # m of static deflection; a soft lever of 1 N/m presses with 20 nN by then
_STOPPING_S = 1.0  # in which a move that was stopped is over
_OVERDUE_FACTOR = 2.0
_OVERDUE_S = 10.0


@dataclass(frozen=True)
class _Settings:
    feedback: str = "off"
    setpoint: float = 0.0
    lift: float = 100e-9
    working_height: float = math.nan


class HeadService:
    """Commands ``head.read``, ``.move``, ``.set``, ``.stop`` and ``.withdraw``.

    Parameters
    ----------
    driver : HeadDriver
        The head.
    probe : ProbeService
        Knows how many metres a volt of the detector is.
    acquisition : Acquisition
        What goes on at the instrument.
    poll_s : float
        Seconds between two readings of a moving head.
    """

    name = "head"

    def __init__(
        self,
        driver: HeadDriver,
        probe: ProbeService,
        acquisition: Acquisition,
        *,
        poll_s: float = 0.02,
    ) -> None:
        self._driver = driver
        self._probe = probe
        self._acquisition = acquisition
        self._poll_s = poll_s
        self._settings = _Settings()
        self._amplitude = 0.0
        self._moving = threading.Lock()
        self._withdrawals = 0
        self._never = threading.Event()

    def describe(self) -> dict[str, Any]:
        """Return the limits of z, setpoint and lift (m), and the kinds of feedback."""
        limits = {name: list(pair) for name, pair in self._limits().items()}
        return {"limits": limits, "feedback": list(FEEDBACK)}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "move": Command(
                run=self._move, access=Access.MOTION, check=self._check_move, long=True
            ),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check_settings),
            "stop": Command(run=self._stop, access=Access.STOP),
            "withdraw": Command(run=self._withdraw, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return what is published while nobody asks."""
        return {"head.state": self._snapshot}

    def make_safe(self) -> None:
        """Withdraw the tip: whoever lowered it has gone."""
        self.withdraw("the client that moved it has gone")

    @property
    def time(self) -> float:
        """The instrument's time, seconds since the epoch."""
        return self._driver.read().time

    @property
    def moving(self) -> bool:
        """Whether the head is under way."""
        return self._driver.read().moving

    @property
    def lifted(self) -> bool:
        """Whether the tip is off the sample; see the module."""
        return self._is_lifted(self._driver.read())

    @property
    def withdrawn(self) -> bool:
        """Whether the tip is retracted as far as it goes, and rests there."""
        reading = self._driver.read()
        return reading.withdrawn and not reading.moving

    @property
    def withdrawals(self) -> int:
        """How often the tip was withdrawn: who engages it must know when that was undone."""
        return self._withdrawals

    def engage(self, withdrawals: int) -> None:
        """Take the present height as the working height: the tip is at the sample.

        Parameters
        ----------
        withdrawals : int
            How many there had been before the tip went there.

        Raises
        ------
        CancelledError
            There was another one.
        """
        working = replace(self._settings, working_height=self._driver.read().z)
        if self._withdrawals != withdrawals:
            raise CancelledError("the tip was withdrawn on its way to the sample")
        self._settings = working

    def keep_up(self) -> None:
        """Take the present height as the working height, if there is one: the feedback moved it."""
        if math.isfinite(self._settings.working_height):
            withdrawals = self._withdrawals
            working = replace(self._settings, working_height=self._driver.read().z)
            if self._withdrawals == withdrawals:
                self._settings = working

    def withdraw(self, reason: str) -> None:
        """Retract fully, whatever goes on; an acquisition that does ends with `reason`."""
        self._withdrawals += 1
        self._acquisition.abort(f"the tip was withdrawn, {reason}")
        self._settings = replace(self._settings, working_height=math.nan)
        self._driver.withdraw()

    def prepare(self) -> None:
        """Follow the sample in the next acquisition, or hold the height if it shall not."""
        settings = self._settings
        following = settings.feedback == "line" and not self.lifted
        sensitivity = self._probe.calibration.sensitivity[FLEXURAL]
        self._driver.follow(settings.setpoint / sensitivity if following else None)

    def acquired(self, amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take note of an acquisition and return the height of each of its pixels, m.

        Parameters
        ----------
        amplitude : ndarray, shape (pixels,)
            m.
        """
        trace = self._driver.trace(amplitude.size)
        self._amplitude = float(amplitude.mean())
        if self._settings.feedback == "line" and not self.lifted:
            height = self._driver.read().z
            self._settings = replace(self._settings, working_height=height)
        return trace

    def _limits(self) -> dict[str, tuple[float, float]]:
        highest = self._driver.limits["z"][1]
        return {
            "z": self._driver.limits["z"],
            "setpoint": _SETPOINT,
            "lift": (_LEAST_LIFT, highest),
        }

    def _is_lifted(self, reading: HeadReading) -> bool:
        above = reading.z - self._settings.working_height
        return reading.withdrawn or not above < self._settings.lift

    def _deflection(self, reading: HeadReading) -> float:
        return reading.deflection * self._probe.calibration.sensitivity[FLEXURAL]

    def _snapshot(self) -> dict[str, Any]:
        reading, settings = self._driver.read(), self._settings
        return {
            "time": reading.time,
            "z": reading.z,
            "moving": reading.moving,
            "withdrawn": reading.withdrawn,
            "lifted": self._is_lifted(reading),
            "engaged": math.isfinite(settings.working_height),
            "working_height": settings.working_height,
            "amplitude": self._amplitude,
            "deflection": self._deflection(reading),
            "feedback": settings.feedback,
            "setpoint": settings.setpoint,
            "lift": settings.lift,
        }

    def _read(self, call: Call) -> Result:
        no_others(call.args, "head.read")
        return Result(self._snapshot())

    def _check_move(self, args: dict[str, Any]) -> None:
        no_others(args, "head.move", "z")
        if "z" not in args:
            raise RefusedError("head.move has no z: give the height in m")
        z = finite_number("head z", args["z"], NANOMETRE)
        within("head z", z, self._driver.limits["z"], NANOMETRE)
        self._acquisition.check_free("a move of the head")

    def _check_settings(self, args: dict[str, Any]) -> None:
        no_others(args, "head.set", "feedback", "setpoint", "lift", "engaged")
        limits = self._limits()
        for name in ("setpoint", "lift"):
            if name in args:
                value = finite_number(f"head {name}", args[name], NANOMETRE)
                within(f"head {name}", value, limits[name], NANOMETRE)
        feedback = args.get("feedback", self._settings.feedback)
        if feedback not in FEEDBACK:
            known = " or ".join(FEEDBACK)
            raise RefusedError(f"head feedback {feedback!r} is not allowed: it is {known}")
        if feedback != "off" and not args.get("setpoint", self._settings.setpoint) > 0:
            raise RefusedError("head feedback needs a setpoint above 0 nm: set that first")
        if not isinstance(args.get("engaged", False), bool):
            raise RefusedError(f"head engaged {args['engaged']!r} is not allowed: true or false")
        if args.get("engaged") and self._driver.read().withdrawn:
            raise RefusedError("the tip is withdrawn, so it cannot be engaged: lower it first")
        self._acquisition.check_free("a setting of the head")

    def _set(self, call: Call) -> Result:
        args = dict(call.args)
        with self._acquisition.aside("a setting of the head"):
            if "engaged" in args:
                engaged = args.pop("engaged")
                args["working_height"] = self._driver.read().z if engaged else math.nan
            self._settings = replace(self._settings, **args)
        return Result(self._snapshot())

    def _stop(self, call: Call) -> Result:
        self._driver.stop()
        return Result({})

    def _withdraw(self, call: Call) -> Result:
        self.withdraw(f"by {call.client}")
        return Result({})

    def _move(self, call: Call) -> Result:
        target, withdrawals = float(call.args["z"]), self._withdrawals
        if not self._moving.acquire(timeout=_STOPPING_S):
            raise BusyError("the head is moving: wait for its end, or stop it first")
        try:
            with self._acquisition.aside("a move of the head"):
                self._follow_move(call, target, withdrawals)
        finally:
            self._moving.release()
        return Result(self._snapshot())

    def _follow_move(self, call: Call, target: float, withdrawals: int) -> None:
        operation = call.operation
        assert operation is not None
        if operation.cancelled.is_set():  # while it waited for another move to end
            raise CancelledError(
                f"head z to {NANOMETRE.show(NANOMETRE.from_si(target))} was stopped before it began"
            )
        expected = self._driver.start_move(target)
        if self._withdrawals != withdrawals:
            self._driver.withdraw()  # again: the first may have come just before the start
        begun = self._driver.read().time
        while True:
            if operation.cancelled.is_set() and self._withdrawals == withdrawals:
                self._driver.stop()
            reading = self._driver.read()
            self._refuse_pressed(reading)
            if operation.cancelled.is_set():
                why = "withdrawn" if self._withdrawals != withdrawals else "stopped"
                raise CancelledError(
                    f"head z was {why} on its way to {NANOMETRE.show(NANOMETRE.from_si(target))}"
                )
            if not reading.moving:
                return
            elapsed = reading.time - begun
            if elapsed > _OVERDUE_FACTOR * expected + _OVERDUE_S:
                self.withdraw("the head did not come to rest")
                raise InstrumentError(
                    f"the head still moves after {elapsed:.1f} s where {expected:.1f} s were "
                    "expected: tip withdrawn; look at the head"
                )
            operation.progress(z=reading.z, remaining=max(0.0, expected - elapsed))
            self._never.wait(self._poll_s)

    def _refuse_pressed(self, reading: HeadReading) -> None:
        deflection = self._deflection(reading)
        if deflection > _PRESSED:
            self.withdraw("it was pressed onto the sample")
            raise InstrumentError(
                f"the tip was pressed onto the sample, {NANOMETRE.from_si(deflection):.0f} nm of "
                "static deflection: tip withdrawn; approach again in smaller steps"
            )
