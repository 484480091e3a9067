"""The goniometer: five axes, in micrometres and degrees, honest about what they know.

An axis knows its target and its reported position; where the specimen actually is, neither it nor
the microscope knows (Fiedler et al., fig. 2): that is what analysis finds from images. Direction
and travel since the last reversal are recorded with every reading, since they decide how much of
the backlash has been taken up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from bluesky.protocols import Location
from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Device, PositionerBase

from devices.pole_piece import PolePieceRule
from devices.status import MotionStatus
from devices.units import DEGREE, MICROMETRE, Unit
from devices.wire import (
    CancelledError,
    ConnectionLost,
    LimitError,
    ProtocolError,
    Reply,
    StateUnknown,
    WireError,
)
from devices.wire.ophyd import (
    Snapshot,
    StaticSignal,
    ValueSignal,
    WireDevice,
    capabilities,
    checked_number,
)

__all__ = ["Axis", "Goniometer"]

_TIMEOUT_FACTOR = 2.0  # twice the time from distance and speed,
_TIMEOUT_MARGIN_S = 20.0  # and what a slow vendor server may take on top, its own checks included
_REQUEST_S = 0.9
_TOUCHING = ("alpha", "beta", "z")
_STOP_AGAIN_S = 1.0  # five axes of a dead link are not stopped five times when a plan is over


class AxisSignal(ValueSignal):
    """One value of an axis, in the axis' unit unless it has none."""

    def __init__(self, *, plain: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not plain:
            self.unit = self.device.unit

    def convert(self, reading: Mapping[str, Any]) -> Any:
        """Take the value of the axis out of a reading of the stage."""
        return super().convert(reading["axes"][self.device.axis])


class TargetSignal(AxisSignal):
    """Where the axis was last sent; described with the limits of the axis."""

    def describe(self) -> dict[str, DataKey]:
        """Describe the value, with the limits of the axis."""
        described = super().describe()
        low, high = self.device.limits
        described[self.name]["limits"] = {"control": {"low": low, "high": high}}
        return described


class CapabilitySignal(StaticSignal):
    """What the server said of the axis at the handshake."""

    def __init__(self, *, key: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit = self.device.unit
        self._key = key

    def _fresh(self) -> tuple[float, float]:
        return self.unit.from_si(self.device.capabilities[self._key]), time.time()


class Axis(WireDevice, PositionerBase):  # pyright: ignore[reportIncompatibleMethodOverride]
    """One axis of the goniometer, for ``bps.mv``, ``bps.mvr``, scans and ``%wa``.

    `state` is 0 at rest, 1 under way, 2 halted by a limit switch.

    Parameters
    ----------
    axis : str
        Name on the wire.
    unit : Unit
        Unit of targets, positions and limits.
    """

    operation = "stage.read"

    reported = Cpt(AxisSignal, key="position", kind="hinted")
    target = Cpt(TargetSignal, key="target", kind="normal")
    direction = Cpt(AxisSignal, key="direction", plain=True, dtype_numpy="<i8", kind="normal")
    travel = Cpt(AxisSignal, key="travel", kind="normal")
    in_motion = Cpt(AxisSignal, key="moving", plain=True, dtype_numpy="<i8", kind="omitted")
    state = Cpt(AxisSignal, key="status", plain=True, dtype_numpy="<i8", kind="omitted")
    lower_limit = Cpt(CapabilitySignal, key="lower", kind="config")
    upper_limit = Cpt(CapabilitySignal, key="upper", kind="config")
    speed = Cpt(CapabilitySignal, key="speed", kind="config")

    def __init__(self, prefix: str = "", *, axis: str, unit: Unit, **kwargs: Any) -> None:
        self.axis = axis
        self.unit = unit
        self.goniometer: Goniometer = kwargs["parent"]
        super().__init__(prefix, **kwargs)
        self.reported.name = self.name

    def _snapshot(self, parent: Any) -> Snapshot:
        return parent.snapshot

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server says of the axis, in SI."""
        axes = capabilities(self.client, "stage")["axes"]
        if self.axis not in axes:
            raise ProtocolError(f"the stage has no axis {self.axis}: it has {', '.join(axes)}")
        if axes[self.axis]["unit"] != self.unit.si:
            raise ProtocolError(
                f"the server gives {self.axis} in {axes[self.axis]['unit']}, not {self.unit.si}"
            )
        return axes[self.axis]

    @property
    def egu(self) -> str:
        """Symbol of the unit."""
        return self.unit.symbol

    @property
    def precision(self) -> int:
        """Decimals worth showing."""
        return self.unit.precision

    @property
    def limits(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Least and greatest target."""
        capabilities = self.capabilities
        return (
            self.unit.from_si(capabilities["lower"]),
            self.unit.from_si(capabilities["upper"]),
        )

    @property
    def position(self) -> float:
        """The reported position, asked of the server."""
        return self.reported.get()

    @property
    def moving(self) -> bool:
        """Whether the stage says that the axis moves, asked of the server."""
        return bool(self.in_motion.get())

    def locate(self) -> Location[float]:
        """Return target and reported position, from one request.

        Relative moves start from the target: the readback's noise does not add up over steps.
        """
        with self.snapshot.shared():
            return Location(setpoint=self.target.get(), readback=self.reported.get())

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a target that is not a finite number within the limits.

        Raises
        ------
        LimitError
            Before anything is sent.
        """
        checked_number(self.name, value, self.limits, self.unit)

    def move(
        self, position: Any, moved_cb: Any = None, timeout: float | None = None, wait: bool = False
    ) -> MotionStatus:
        """Start moving to `position`; see `set`."""
        status = self.goniometer.start(
            {self.axis: position},
            self,
            timeout=self.timeout if timeout is None else timeout,
            settle_time=self.settle_time,
        )
        if moved_cb is not None:
            status.add_callback(lambda done: moved_cb(done, obj=self))
        if wait:
            status.wait()
        return status

    def stop(self, *, success: bool = False) -> None:
        """Stop the stage, all axes of it; see `Goniometer.stop`."""
        self.goniometer.stop(success=success)

    def observe(self, reading: Mapping[str, Any]) -> None:
        """Tell subscribers of a position that the server has sent by itself."""
        value = self.reported.convert(reading)
        self.reported.observe(value, reading["time"])
        self._run_subs(sub_type=self.SUB_READBACK, timestamp=reading["time"], value=value)


@dataclass(eq=False)
class _Motion:
    """A move of this goniometer that has not been reported over."""

    status: MotionStatus
    lead: Axis
    timeout: float
    begun: float
    end_is_success: bool = False

    def cause(self, error: BaseException) -> Exception:
        """Return what to tell the user, whose timeout may have been the reason."""
        overdue = time.monotonic() - self.begun >= self.timeout
        if overdue and isinstance(error, CancelledError | StateUnknown):
            target = self.lead.unit.show(self.status.target)
            return TimeoutError(
                f"{self.lead.name} did not reach {target} within {self.timeout:g} s and was told "
                "to stop: read its position, then move again with a longer timeout"
            )
        return error if isinstance(error, Exception) else ConnectionLost(str(error))


class Goniometer(WireDevice):
    """The stage of a TEM. Reading it is one request, moving several axes is one as well."""

    operation = "stage.read"

    x = Cpt(Axis, axis="x", unit=MICROMETRE, kind="hinted", labels={"motors"})
    y = Cpt(Axis, axis="y", unit=MICROMETRE, kind="hinted", labels={"motors"})
    z = Cpt(Axis, axis="z", unit=MICROMETRE, kind="hinted", labels={"motors"})
    alpha = Cpt(Axis, axis="alpha", unit=DEGREE, kind="hinted", labels={"motors"})
    beta = Cpt(Axis, axis="beta", unit=DEGREE, kind="hinted", labels={"motors"})

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self._motions: list[_Motion] = []
        self._motions_lock = threading.Lock()
        self._at_rest = True
        self._unanswered = -math.inf
        super().__init__(prefix, **kwargs)

    @property
    def axes(self) -> dict[str, Axis]:
        """The axes by name."""
        return {name: getattr(self, name) for name in self.component_names}

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse targets of which any is unknown, not a number or outside its limits.

        Raises
        ------
        LimitError
            Before anything is sent.
        """
        axes = self.axes
        if not isinstance(value, Mapping) or not value:
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: give {{axis: value}} with axes of "
                + ", ".join(axes)
            )
        for name, target in value.items():
            if name not in axes:
                raise LimitError(
                    f"{self.name} has no axis {name!r}: choose among {', '.join(axes)}"
                )
            axes[name].check_value(target)

    def check_room(self, positions: Mapping[str, float]) -> None:
        """Refuse a place at which the holder would touch the pole piece.

        Parameters
        ----------
        positions : mapping of str to float
            Of z, alpha and beta, µm and degrees; those not named count as where they were sent.

        Raises
        ------
        LimitError
            Where the server tells the rule and it is broken. The server itself also looks at the
            way there.
        """
        rule = capabilities(self.client, "stage").get("pole_piece")
        if rule is None or not positions.keys() & set(_TOUCHING):
            return
        axes, places = self.axes, dict(positions)
        if set(_TOUCHING) - places.keys():
            reading = self.snapshot.get()
            places = {name: axes[name].target.convert(reading) for name in _TOUCHING} | places
        room = PolePieceRule(**rule).room(
            **{name: axes[name].unit.to_si(float(places[name])) for name in _TOUCHING}
        )
        if room < 0:
            told = ", ".join(f"{name} {axes[name].unit.show(places[name])}" for name in _TOUCHING)
            raise LimitError(
                f"{self.name} target {told} is not allowed: the holder would touch the pole piece, "
                f"{-1e6 * room:.0f} µm too high; tilt less or go nearer to z 0"
            )

    def set(self, targets: Mapping[str, float], *, timeout: float | None = None) -> MotionStatus:
        """Move several axes at once.

        Parameters
        ----------
        targets : mapping of str to float
            Target by name of the axis, in µm and degrees.
        timeout : float, optional
            Seconds; from distance and speed by default.

        Returns
        -------
        MotionStatus
            Done when all have arrived; its progress is that of the axis with the longest way.
        """
        self.check_value(targets)
        return self.start(targets, self, timeout=timeout)

    def start(
        self,
        targets: Mapping[str, float],
        device: Device,
        *,
        timeout: float | None = None,
        settle_time: float = 0.0,
    ) -> MotionStatus:
        """Start a move on behalf of `device`, the goniometer or one of its axes."""
        axes = self.axes
        for name, target in targets.items():
            axes[name].check_value(target)
        self.check_room(targets)
        reading = self.snapshot.get()
        durations = {
            name: _duration(axes[name], reading, float(target)) for name, target in targets.items()
        }
        lead = axes[max(durations, key=lambda name: durations[name])]
        if timeout is None:
            timeout = _TIMEOUT_FACTOR * durations[lead.axis] + _TIMEOUT_MARGIN_S
        wire_targets = {name: axes[name].unit.to_si(target) for name, target in targets.items()}
        initial = lead.reported.convert(reading)
        begun = time.monotonic()
        with self._motions_lock:
            self._at_rest = False  # before the command is on its way: a stop shall follow it
        operation = self.client.start(
            "stage.move", {"targets": wire_targets}, deadline_s=_REQUEST_S, timeout_s=timeout
        )
        status = MotionStatus(
            device,
            float(targets[lead.axis]),
            initial=initial,
            name=lead.name,
            unit=lead.egu,
            precision=lead.precision,
            settle_time=settle_time,
        )
        motion = _Motion(status, lead, timeout, begun)
        with self._motions_lock:
            self._motions.append(motion)
            self._at_rest = False
        operation.on_progress(lambda values: self._progress(motion, values))
        operation.future.add_done_callback(lambda done: self._finish(motion, done))
        return status

    def stop(self, *, success: bool = False) -> None:
        """Stop all axes. Never raises, and returns in half a second when the link is dead.

        Parameters
        ----------
        success : bool
            Let the moves that it ends count as done: the RunEngine says so when it pauses, and
            once more when a plan is over, when there is nothing to stop.
        """
        with self._motions_lock:
            unanswered = time.monotonic() - self._unanswered < _STOP_AGAIN_S
            if success and (self._at_rest or unanswered):
                return
            for motion in self._motions:
                motion.end_is_success = success
        acknowledged = self.client.stop("stage.stop")
        with self._motions_lock:
            self._at_rest = acknowledged and not self._motions
            if not acknowledged:
                self._unanswered = time.monotonic()

    def _progress(self, motion: _Motion, values: Mapping[str, Any]) -> None:
        if not motion.status.done:
            motion.status.report(motion.lead.reported.convert(values), values.get("remaining"))

    def _finish(self, motion: _Motion, done: Future[Reply]) -> None:
        """End a status with the move's own cause; on the client's thread for callbacks."""
        error = done.exception()
        unsure = isinstance(error, ConnectionLost | StateUnknown)
        if isinstance(error, StateUnknown):
            self.client.stop("stage.stop")
        with self._motions_lock:
            self._motions.remove(motion)
            self._at_rest = not unsure and not self._motions
        if error is None:
            error = self._arrived(motion, done.result().values)
        if error is None:
            motion.status.set_finished()
        elif motion.end_is_success and isinstance(error, CancelledError):
            motion.status.set_finished()
        else:
            motion.status.set_exception(motion.cause(error))

    def _arrived(self, motion: _Motion, values: Mapping[str, Any]) -> WireError | None:
        """Report the end of a move; return what is wrong with the server's words, if anything."""
        try:
            motion.status.report(motion.lead.reported.convert(values), 0.0)
            self.observe(values)
        except (KeyError, TypeError, ValueError) as error:
            return ProtocolError(f"{self.name} has moved, but where to cannot be read: {error!r}")
        return None

    def observe(self, reading: Mapping[str, Any]) -> None:
        """Tell subscribers of the axes of positions that the server has sent by itself."""
        for axis in self.axes.values():
            axis.observe(reading)


def _duration(axis: Axis, reading: Mapping[str, Any], target: float) -> float:
    capabilities = axis.capabilities
    distance = abs(axis.unit.to_si(target) - reading["axes"][axis.axis]["position"])
    return distance / capabilities["speed"] + capabilities["settling_time"]
