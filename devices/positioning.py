"""A stage that goes where it is wanted, for every plan that moves a stage.

A `CompensatedStage` stands over a goniometer and looks like one to a plan. How it approaches a
target is an object passed in; `devices.approaches` has those that need no model of the stage.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bluesky.protocols import Location
from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Device, PositionerBase

from devices.approaches import Approach, Standing
from devices.goniometer import Axis, Goniometer
from devices.status import MotionStatus
from devices.units import MICROMETRE
from devices.wire import BusyError, CancelledError, LimitError
from devices.wire.ophyd import StaticSignal

__all__ = ["CompensatedAxis", "CompensatedStage"]

_SAME_UM = 1e-5  # a target comes back from the server through its units: this much is none


class _Requested(StaticSignal):
    """Where the specimen was asked to be."""

    def _fresh(self) -> tuple[float, float]:
        return self.device.requested, time.time()


class _Commanded(StaticSignal):
    """Where the goniometer's axis was sent for it."""

    def _fresh(self) -> tuple[float, float]:
        (reading,) = self.device.axis.target.read().values()
        return reading["value"], reading["timestamp"]


class _Reported(StaticSignal):
    """What the goniometer's axis reports."""

    def _fresh(self) -> tuple[float, float]:
        (reading,) = self.device.axis.reported.read().values()
        return reading["value"], reading["timestamp"]


class CompensatedAxis(Device, PositionerBase):  # pyright: ignore[reportIncompatibleMethodOverride]
    """One axis of a compensated stage, for ``bps.mv``, ``bps.mvr``, scans and ``%wa``; µm.

    Parameters
    ----------
    axis : str
        Name of the goniometer's axis.
    """

    reported = Cpt(_Reported, unit=MICROMETRE, kind="hinted")
    target = Cpt(_Requested, unit=MICROMETRE, kind="normal")
    commanded = Cpt(_Commanded, unit=MICROMETRE, kind="normal")

    def __init__(self, prefix: str = "", *, axis: str, **kwargs: Any) -> None:
        self.stage_of: CompensatedStage = kwargs["parent"]
        self.axis: Axis = self.stage_of.goniometer.axes[axis]
        self.client = self.axis.client
        super().__init__(prefix, **kwargs)
        self.reported.name = self.name

    @property
    def connected(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether the server answers."""
        return self.axis.connected

    @property
    def egu(self) -> str:
        """Symbol of the unit."""
        return self.axis.egu

    @property
    def precision(self) -> int:
        """Decimals worth showing."""
        return self.axis.precision

    @property
    def limits(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Least and greatest command; an approach needs some room within them."""
        return self.axis.limits

    @property
    def position(self) -> float:
        """The reported position, asked of the server."""
        return self.axis.position

    @property
    def moving(self) -> bool:
        """Whether the stage says that the axis moves, asked of the server."""
        return self.axis.moving

    @property
    def requested(self) -> float:
        """Where the specimen was asked to be; the command, where another has moved the stage."""
        commanded = self.axis.target.get()
        asked, sent = self.stage_of.last_asked(self.axis.axis)
        return asked if abs(sent - commanded) <= _SAME_UM else commanded

    def locate(self) -> Location[float]:
        """Return requested target and reported position, from one request."""
        with self.axis.snapshot.shared():
            return Location(setpoint=self.requested, readback=self.position)

    def read(self) -> Any:
        """Read all from one request."""
        with self.axis.snapshot.shared():
            return super().read()

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a target that the axis cannot reach; its way there is checked when it starts.

        Raises
        ------
        LimitError
            Before anything is sent.
        """
        self.axis.check_value(value)

    def move(
        self, position: Any, moved_cb: Any = None, timeout: float | None = None, wait: bool = False
    ) -> MotionStatus:
        """Start moving to `position`; `timeout` is that of each leg."""
        status = self.stage_of.start(
            {self.axis.axis: position},
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
        """Stop the stage, all axes of it; see `CompensatedStage.stop`."""
        self.stage_of.stop(success=success)


@dataclass(eq=False)
class _Journey:
    """A move over several waypoints."""

    status: MotionStatus
    axes: frozenset[str]
    lead: Axis
    legs: list[Mapping[str, float]]
    timeout: float | None
    stopped: bool = False
    end_is_success: bool = False


class CompensatedStage(Device):
    """A goniometer that brings the specimen to its targets by an approach.

    Parameters
    ----------
    goniometer : Goniometer
        What moves.
    approach : Approach
        By which commands.
    name : str
        First part of all data keys.
    """

    x = Cpt(CompensatedAxis, axis="x", kind="hinted", labels={"motors"})
    y = Cpt(CompensatedAxis, axis="y", kind="hinted", labels={"motors"})
    z = Cpt(CompensatedAxis, axis="z", kind="normal", labels={"motors"})

    def __init__(
        self, goniometer: Goniometer, approach: Approach, *, name: str, **kwargs: Any
    ) -> None:
        self.goniometer = goniometer
        self.approach = approach
        self._journeys: list[_Journey] = []
        self._asked: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()
        super().__init__(name=name, **kwargs)

    @property
    def axes(self) -> dict[str, CompensatedAxis]:
        """The axes by name."""
        return {name: getattr(self, name) for name in self.component_names}

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.goniometer.connected

    def last_asked(self, axis: str) -> tuple[float, float]:
        """Where the specimen was last asked to be and the last command for it; NaN if never."""
        with self._lock:
            return self._asked.get(axis, (math.nan, math.nan))

    def read(self) -> Any:
        """Read all axes from one request."""
        with self.goniometer.snapshot.shared():
            return super().read()

    def describe(self) -> Any:
        """Describe all axes."""
        return super().describe()

    def read_configuration(self) -> Any:
        """Read the configuration, with the approach and its parameters."""
        now = time.time()
        found = {f"{self.name}_approach": {"value": self.approach.name, "timestamp": now}}
        for name, value in self.approach.parameters.items():
            found[f"{self.name}_approach_{name}"] = {"value": float(value), "timestamp": now}
        return {**super().read_configuration(), **found}

    def describe_configuration(self) -> Any:
        """Describe the configuration, with the approach and its parameters."""
        source = f"approach:{self.name}"
        named: DataKey = {"source": source, "dtype": "string", "shape": []}
        found = {f"{self.name}_approach": named}
        for name in self.approach.parameters:
            key: DataKey = {"source": source, "dtype": "number", "shape": []}
            found[f"{self.name}_approach_{name}"] = key
        return {**super().describe_configuration(), **found}

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse targets of which any is unknown, not a number or outside its limits.

        Raises
        ------
        LimitError
            Before anything is sent.
        """
        axes = self.axes
        if isinstance(value, Mapping):
            for name in value:
                if name not in axes:
                    raise LimitError(
                        f"{self.name} has no axis {name!r}: choose among {', '.join(axes)}"
                    )
        self.goniometer.check_value(value)

    def set(self, targets: Mapping[str, float], *, timeout: float | None = None) -> MotionStatus:
        """Bring several axes to their targets at once.

        Parameters
        ----------
        targets : mapping of str to float
            Target by name of the axis, µm.
        timeout : float, optional
            Seconds a leg; from distance and speed by default.

        Returns
        -------
        MotionStatus
            Done when the last waypoint is reached.

        Raises
        ------
        LimitError
            When a target, or a waypoint on the way to it, is outside the limits: nothing moves.
        BusyError
            When one of the axes is on its way already.
        """
        return self.start(targets, self, timeout=timeout)

    def start(
        self,
        targets: Mapping[str, float],
        device: Device,
        *,
        timeout: float | None = None,
        settle_time: float = 0.0,
    ) -> MotionStatus:
        """Start a move on behalf of `device`, the stage or one of its axes."""
        self.check_value(targets)
        wanted = {name: float(target) for name, target in targets.items()}
        self._refuse_busy(wanted)
        reading = self.goniometer.snapshot.get()
        axes = self.goniometer.axes
        standing = {
            name: Standing(
                axis.target.convert(reading),
                axis.direction.convert(reading),
                axis.travel.convert(reading),
            )
            for name, axis in axes.items()
        }
        legs: list[Mapping[str, float]] = [
            dict(leg) for leg in self.approach.waypoints(wanted, standing)
        ]
        for leg in legs:
            self.goniometer.check_value(leg)
        ways = {name: abs(wanted[name] - standing[name].target) for name in wanted}
        lead = axes[max(ways, key=lambda name: ways[name])]
        status = MotionStatus(
            device,
            wanted[lead.axis],
            initial=lead.reported.convert(reading),
            name=self.axes[lead.axis].name,
            unit=lead.egu,
            precision=lead.precision,
            settle_time=settle_time,
        )
        journey = _Journey(status, frozenset(wanted), lead, legs, timeout)
        ends = {name: command for leg in legs for name, command in leg.items()}
        with self._lock:
            self._journeys = [*self._under_way(), journey]
            self._asked.update({name: (wanted[name], ends[name]) for name in wanted})
        self._go_on(journey)
        return status

    def stop(self, *, success: bool = False) -> None:
        """Stop the goniometer; no further waypoint is gone to. Never raises.

        Parameters
        ----------
        success : bool
            Let the move that it ends count as done; see `Goniometer.stop`.
        """
        with self._lock:
            for journey in self._under_way():
                journey.end_is_success = success
                journey.stopped = True
        self.goniometer.stop(success=success)

    def _under_way(self) -> list[_Journey]:
        return [journey for journey in self._journeys if not journey.status.done]

    def _refuse_busy(self, targets: Mapping[str, float]) -> None:
        """Refuse to move an axis that has waypoints to go: the two moves would alternate."""
        with self._lock:
            going_on = [journey for journey in self._under_way() if not journey.stopped]
        busy = sorted({name for journey in going_on for name in journey.axes} & set(targets))
        if busy:
            raise BusyError(
                f"{self.name}: {', '.join(busy)} is moving: wait for its end, or stop it first"
            )

    def _go_on(self, journey: _Journey) -> None:
        """Start the next leg, or end the journey."""
        if journey.stopped or not journey.legs:
            self._end(journey)
            return
        try:
            leg = self.goniometer.start(
                journey.legs.pop(0), self.goniometer, timeout=journey.timeout
            )
        except Exception as error:  # whatever it is, somebody waits for the status
            journey.status.set_exception(error)
            return
        if journey.stopped:
            self.goniometer.stop(success=journey.end_is_success)  # the first may have come before

        def report(*, name: str, current: float, time_remaining: float | None, **_: Any) -> None:
            if name == journey.lead.name and not journey.status.done:
                journey.status.report(current, time_remaining)

        def arrived(status: Any) -> None:
            error = status.exception(timeout=0)
            if error is None:
                self._go_on(journey)
            else:
                journey.status.set_exception(error)

        leg.watch(report)
        leg.add_callback(arrived)

    def _end(self, journey: _Journey) -> None:
        if journey.stopped and not journey.end_is_success and journey.legs:
            journey.status.set_exception(
                CancelledError(f"{self.name} was stopped with {len(journey.legs)} legs to go")
            )
        else:
            journey.status.set_finished()
