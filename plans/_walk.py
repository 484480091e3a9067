"""A plan walked message by message with nobody moving: the RunEngine's place in a rehearsal."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from bluesky.protocols import Checkable, Location
from bluesky.utils import Msg

from devices.approaches import Approach, Standing
from devices.camera import Camera
from devices.goniometer import Axis, Goniometer
from devices.microscope import Microscope
from devices.positioning import CompensatedAxis, CompensatedStage
from devices.wire import LimitError
from plans._exposures import Exposure, field_corners

__all__ = ["Walk"]

_MOST_MESSAGES = 1_000_000  # several times the largest mosaic: such a plan does not end
_UM_PER_NM, _ANGSTROM_PER_NM = 1e-3, 10.0


@singledispatch
def _stage_targets(device: Any, value: Any) -> dict[Axis, float]:
    """Axes of a stage that a set moves, with their targets."""
    return {}


@_stage_targets.register
def _(device: Goniometer, value: Any) -> dict[Axis, float]:
    return {device.axes[name]: float(target) for name, target in value.items()}


@_stage_targets.register
def _(device: Axis, value: Any) -> dict[Axis, float]:
    return {device: float(value)}


@singledispatch
def _asked(device: Any, value: Any) -> dict[CompensatedAxis, float]:
    """Axes of a compensated stage that are asked to be somewhere."""
    return {}


@_asked.register
def _(device: CompensatedStage, value: Any) -> dict[CompensatedAxis, float]:
    return {device.axes[name]: float(target) for name, target in value.items()}


@_asked.register
def _(device: CompensatedAxis, value: Any) -> dict[CompensatedAxis, float]:
    return {device: float(value)}


@singledispatch
def _camera(device: Any) -> Camera | None:
    """The camera that a trigger makes scan a frame, if any."""
    return None


@_camera.register
def _(device: Camera) -> Camera | None:
    return device


@_camera.register
def _(device: Microscope) -> Camera | None:
    return device.camera


def _factors(tem: Microscope, setting: Any, old: Any, new: Any) -> Mapping[Any, float]:
    """By what a setting multiplies others: the field of view, the pixel, the dose."""
    column, camera = tem.column, tem.camera
    widths = (camera.field_of_view, camera.pixel_size)
    if setting is column.magnification:
        return dict.fromkeys((column.field_of_view, *widths), float(old / new))
    if setting is column.field_of_view:
        wider = float(new / old)
        return {column.magnification: 1.0 / wider, **dict.fromkeys(widths, wider)}
    if setting is camera.shape:
        return {camera.pixel_size: old[1] / new[1]}
    if setting is camera.dwell_time:
        return {camera.electrons_per_pixel: new / old}
    return {}


def _move_s(axis: Axis, distance: float) -> float:
    """Seconds that an axis takes for a distance in its unit, by what the instrument tells.

    Where the server tells them: the axis takes `acceleration_time` to reach its speed, and a short
    way ends before; its rest shows in the readings `readback_lag` later.
    """
    said = axis.capabilities
    way, speed, ramp = axis.unit.to_si(distance), said["speed"], said.get("acceleration_time", 0.0)
    reaches_speed = way >= speed * ramp
    motion = way / speed + ramp if reaches_speed else 2.0 * math.sqrt(way * ramp / speed)
    return motion + said.get("readback_lag", 0.0) + said["settling_time"]


class Walk:
    """Answers the messages of a plan, and adds up what they ask for.

    Its sums: `now` and `beam_on`, seconds from the begin and with the beam on the specimen;
    `seconds` of ``moves``, ``frames`` and ``sleeps``; numbers of `moves` and `pixels`; the
    `exposures`; `travel` and `extents` of the axes that move.

    Parameters
    ----------
    answers : mapping of str to object
        What data keys tell, instead of what the instrument says and the plan has set.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.now = self.beam_on = 0.0
        self.moves = self.pixels = 0
        self.seconds: dict[str, float] = defaultdict(float)
        self.exposures: list[Exposure] = []
        self.travel: dict[Axis, float] = defaultdict(float)
        self.extents: dict[Axis, tuple[float, float]] = {}
        self._answers = answers
        self._messages = self._steps = 0
        self._tem: Microscope | None = None
        self._told: dict[str, Any] = {}
        self._located: dict[Any, Any] = {}
        self._readings: dict[Any, dict[str, Any]] = {}
        self._ends: dict[Any, float] = defaultdict(float)
        self._approaches: dict[CompensatedStage, Approach] = {}

    def see(self, message: Msg) -> Msg:
        """Look at every message: find the microscope, and give up a plan without end."""
        self._messages += 1
        if self._messages > _MOST_MESSAGES:
            raise ValueError(f"the plan has more than {_MOST_MESSAGES} messages: it does not end")
        root = getattr(message.obj, "root", None)
        if self._tem is None and isinstance(root, Microscope):
            self._tem = root
        return message

    def read(self, message: Msg) -> dict[str, Any]:
        """Answer with what the device said when it was first asked, and what was set since."""
        return {
            name: {**reading, "value": self._overlaid(name, reading["value"])}
            for name, reading in self._reading(message.obj).items()
        }

    def locate(self, message: Msg) -> Any:
        """Answer where devices were sent and where they are: at rest, the same."""
        places = [self._location(device) for device in (message.obj, *message.args)]
        squeeze = len(places) == 1 and message.kwargs.get("squeeze", True)
        return places[0] if squeeze else places

    def set(self, message: Msg) -> None:
        """Have the device check its target, and take it as reached when the group is waited for."""
        device, (target, *_) = message.obj, message.args
        self._steps += 1
        try:
            if isinstance(device, Checkable):
                device.check_value(target)
            legs = self._legs(device, target)
            for leg in legs:
                self._check(leg)
        except ValueError as error:
            raise LimitError(
                f"step {self._steps} of the plan, after {self.moves} moves and "
                f"{len(self.exposures)} images: {error}"
            ) from error
        if legs:
            self._move(legs, message)
        for axis, asked in _asked(device, target).items():
            self._told[axis.target.name] = asked
        self._tell(device, target)

    def trigger(self, message: Msg) -> None:
        """Take an image where the stage was sent."""
        camera = _camera(message.obj)
        if camera is None:
            return
        rows, columns = self._value(camera.shape)
        seconds = 1e-6 * self._value(camera.dwell_time) * rows * columns
        self.pixels += rows * columns
        self.exposures.append(self._exposure(camera, np.array([columns, rows])))
        self._begin(message, seconds, "frames")

    def sleep(self, message: Msg) -> None:
        """Let the time pass."""
        self.seconds["sleeps"] += message.args[0]
        self._pass_until(self.now + message.args[0])

    def wait(self, message: Msg) -> None:
        """Let the time pass until all of a group is done."""
        group = message.args[0] if message.args else message.kwargs["group"]
        self._pass_until(max(self.now, self._ends.pop(group, self.now)))

    def wait_for(self, message: Msg) -> None:
        """Refuse: what is waited for does not come."""
        raise ValueError(
            "the plan waits for a result that a rehearsal does not have: rehearse it without its "
            "analysis"
        )

    def _legs(self, device: Any, target: Any) -> list[dict[Axis, float]]:
        """Moves of the stage that a set brings about; none where it moves no stage."""
        targets, asked = _stage_targets(device, target), _asked(device, target)
        if not asked:
            return [targets] if targets else []
        stage = next(iter(asked)).stage_of
        if stage not in self._approaches:  # a copy: what it learns of the stage has not happened
            self._approaches[stage] = copy.deepcopy(stage.approach)
        axes = stage.goniometer.axes
        standing = {
            name: Standing(*map(self._value, (axis.target, axis.direction, axis.travel)))
            for name, axis in axes.items()
        }
        wanted = {axis.axis.axis: goal for axis, goal in asked.items()}
        legs = self._approaches[stage].waypoints(wanted, standing)
        return [{axes[name]: goal for name, goal in leg.items()} for leg in legs]

    def _check(self, leg: Mapping[Axis, float]) -> None:
        """Refuse a move beyond the limits, or to the pole piece."""
        goniometer = next(iter(leg)).goniometer
        sent = {name: self._value(axis.target) for name, axis in goniometer.axes.items()}
        targets = {axis.axis: target for axis, target in leg.items()}
        goniometer.check_value(targets)
        if targets.keys() - {"x", "y"}:
            goniometer.check_room(sent | targets)

    def _move(self, legs: Sequence[Mapping[Axis, float]], message: Msg) -> None:
        seconds = 0.0
        for leg in legs:
            longest = 0.0
            for axis, target in leg.items():
                before, gone = self._value(axis.target), self._value(axis.travel)
                way, direction = abs(target - before), int(np.sign(target - before))
                onward = direction == self._value(axis.direction)
                longest = max(longest, _move_s(axis, way))
                self.travel[axis] += way
                low, high = self.extents.get(axis, (target, target))
                self.extents[axis] = (min(low, target), max(high, target))
                if direction:
                    self._told[axis.travel.name] = gone + way if onward else way
                    self._told[axis.direction.name] = direction
                self._told[axis.target.name] = target
                self._tell(axis, target)
            seconds += longest
        self.moves += len(legs)
        self._begin(message, seconds, "moves")

    def _tell(self, device: Any, value: Any) -> None:
        tem, parent = self._tem, getattr(device, "parent", None)
        if tem is not None and parent in (tem.column, tem.camera):
            old = self._value(device)
            for signal, factor in _factors(tem, device, old, value).items():
                self._told[signal.name] = factor * self._value(signal)
        self._told[device.name] = value
        self._located[device] = value

    def _begin(self, message: Msg, seconds: float, what: str) -> None:
        group = message.kwargs.get("group")
        self.seconds[what] += seconds
        self._ends[group] = max(self._ends[group], self.now + seconds)

    def _pass_until(self, later: float) -> None:
        if self._tem is not None and not self._value(self._tem.column.beam_blank):
            self.beam_on += later - self.now
        self.now = later

    def _exposure(self, camera: Camera, pixels: Any) -> Exposure:
        tem: Any = camera.root
        pixel_nm = self._value(camera.pixel_size)
        shift = [self._value(s) for s in (tem.column.image_shift_x, tem.column.image_shift_y)]
        stage = [self._value(axis.target) for axis in (tem.goniometer.x, tem.goniometer.y)]
        low, high = field_corners(
            np.array(stage) + _UM_PER_NM * np.array(shift),
            _UM_PER_NM * pixel_nm * pixels,
            np.reshape(self._value(camera.to_stage), (2, 2)),
        )
        blanked = self._value(tem.column.beam_blank)
        electrons = 0.0 if blanked else self._value(camera.electrons_per_pixel)
        return Exposure(low, high, electrons / (_ANGSTROM_PER_NM * pixel_nm) ** 2)

    def _location(self, device: Any) -> Location[Any]:
        if device in self._located:
            value = self._located[device]
            place = Location(setpoint=value, readback=value)
        else:
            place = device.locate()
        return Location(
            setpoint=place["setpoint"], readback=self._answers.get(device.name, place["readback"])
        )

    def _value(self, signal: Any) -> Any:
        """What a signal would say at this step of the plan."""
        return self._overlaid(signal.name, self._reading(signal)[signal.name]["value"])

    def _overlaid(self, name: str, value: Any) -> Any:
        return self._answers.get(name, self._told.get(name, value))

    def _reading(self, device: Any) -> dict[str, Any]:
        if device not in self._readings:
            self._readings[device] = device.read()
        return self._readings[device]
