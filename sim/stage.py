"""A five-axis goniometer: where it was sent, what it reports, and where the specimen really is.

The three positions are those of Fiedler et al., fig. 2. A command moves the motor by a trapezoid
in speed; play between motor and sensor shortens the *reported* first step after a reversal, play
between sensor and specimen the *actual* one; the specimen seats itself with a limited
repeatability, and drifts. The state is a list of legs of motion (`sim.motion`), so that any time
can be asked for, in any order and as often as wanted, without changing anything.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from sim.drift import ThermalDrift
from sim.motion import LEG, plan_leg, play, sample_axes
from sim.noise import normal, uniform
from sim.stage_parameters import AXES, AxisParameters, StageParameters, profile, random_stage

__all__ = [
    "AXES",
    "AxisParameters",
    "Readback",
    "Stage",
    "StageParameters",
    "profile",
    "random_stage",
]

_STREAM_START, _STREAM_MOTOR, _STREAM_SEAT, _STREAM_READBACK = 1, 2, 3, 4
_COMMANDED, _MOTOR, _SENSOR, _SPECIMEN, _SEAT, _SPEED = range(6)


@dataclass(frozen=True)
class Readback:
    """What the stage's own controller knows at a time; arrays are in the order of `AXES`.

    Parameters
    ----------
    time : float
        Seconds, the time asked for.
    position : ndarray, shape (5,)
        Reported position, from the newest sample of the sensors; m and rad.
    target : ndarray, shape (5,)
        Where each axis was last sent; after a stop, where it came to rest.
    moving : ndarray of bool, shape (5,)
        Whether the axis is under way. Falls only with a sample taken at rest, so that `position`
        is final when `moving` is false.
    direction : ndarray of int, shape (5,)
        Direction of the last drive, -1 or +1; 0 when the axis has not been driven.
    travel : ndarray, shape (5,)
        Way commanded in that direction since the last reversal.
    """

    time: float
    position: NDArray[np.float64]
    target: NDArray[np.float64]
    moving: NDArray[np.bool_]
    direction: NDArray[np.int_]
    travel: NDArray[np.float64]


class Stage:
    """A stage that starts at zero with its play in an unknown state.

    All methods may be called from any thread. Commands and stops must come in order of time.

    Parameters
    ----------
    parameters : StageParameters
        What kind of stage.
    seed : int
        The same seed and the same commands at the same times give the same motion.
    start_time : float
        Seconds; no earlier time can be asked for.
    """

    def __init__(self, parameters: StageParameters, *, seed: int, start_time: float) -> None:
        if not 0 <= seed < 2**63:
            raise ValueError(f"stage seed {seed!r} is not allowed: a whole number from 0 to 2^63-1")
        if not math.isfinite(start_time):
            raise ValueError(f"stage start_time {start_time!r} is not allowed: a finite time in s")
        self._parameters = parameters
        self._axes = [parameters.axes[name] for name in AXES]
        self._seed = int(seed)
        self._start_time = float(start_time)
        self._last_time = float(start_time)
        self._lock = threading.Lock()
        self._plays = np.array([(axis.sensor_play, axis.specimen_play) for axis in self._axes])
        self._drift = ThermalDrift(
            [axis.drift_velocity for axis in self._axes],
            [axis.drift_walk for axis in self._axes],
            correlation_time=parameters.drift_correlation_time,
            seed=self._seed,
        )
        self._legs = np.zeros((len(AXES), 64), dtype=LEG)
        self._counts = np.ones(len(AXES), dtype=np.int64)
        self._drawn = np.zeros(len(AXES), dtype=np.int64)
        for index, axis in enumerate(self._axes):
            self._legs[index, 0] = self._first_leg(index, axis)

    @property
    def parameters(self) -> StageParameters:
        """What kind of stage it is; the backlash put in is here, as full widths."""
        return self._parameters

    @property
    def start_time(self) -> float:
        """The first time that can be asked for, seconds."""
        return self._start_time

    def command(self, targets: Mapping[str, float], time: float) -> float:
        """Send the named axes to new positions, all at once.

        Motion starts `start_delay` after the command. An axis under way takes the new target as it
        goes: it carries on if the target lies ahead and beyond its braking distance, else it brakes
        and comes back. An axis that is at its target or on its way there is left alone.

        Parameters
        ----------
        targets : mapping of str to float
            Positions by axis name, m and rad.
        time : float
            Seconds; not before the last command or stop.

        Returns
        -------
        float
            When the last of the named axes will be at rest; the readback shows it up to
            ``parameters.readback_lag`` later.

        Raises
        ------
        ValueError
            When an axis is unknown, a target not finite or outside the limits, or the time earlier
            than the last command's. Nothing moves.
        """
        checked = self._check_targets(targets)
        with self._lock:
            if not (math.isfinite(time) and time >= self._last_time):
                raise ValueError(
                    f"stage command at {time!r} s is not allowed: "
                    f"not before the last one, {self._last_time!r} s"
                )
            self._last_time = time
            end = time
            for index, target in checked.items():
                last = self._legs[index, self._counts[index] - 1]
                if target != last["target"]:
                    self._send(index, target, time)
                    last = self._legs[index, self._counts[index] - 1]
                end = max(end, float(last["end"]))
            return end

    def stop(self, time: float) -> None:
        """Brake every axis that is under way, at once and at its own deceleration.

        A time earlier than the last command's is taken as that: a stop is never refused.
        """
        with self._lock:
            time = max(time, self._last_time)
            self._last_time = time
            for index in range(len(AXES)):
                if self._legs[index, self._counts[index] - 1]["end"] > time:
                    self._brake(index, time, time, None)

    def readback(self, time: float) -> Readback:
        """Return what the controller reports.

        The sensors are sampled every `readback_interval`, and a sample is reported
        `readback_latency` later. Its noise belongs to the sample: reading twice between two samples
        gives the same value twice.

        Parameters
        ----------
        time : float
            Seconds; the present.

        Returns
        -------
        Readback
            Positions, targets and states.
        """
        sample_time, sample = self._sample_time(time)
        with self._lock:
            now = self._chain(np.array([time]))[0]
            sampled = self._chain(np.array([sample_time]))[0]
            newest = [self._legs[i, self._issued(i, time)] for i in range(len(AXES))]
            current = [self._legs[i, self._started(i, time)] for i in range(len(AXES))]
        position = sampled[:, _SENSOR]
        for i, axis in enumerate(self._axes):
            if axis.readback_noise > 0:
                noise = normal(self._seed, _STREAM_READBACK, i, sample)
                position[i] += axis.readback_noise * noise
            position[i] = _quantised(position[i], axis.readback_quantum)
        way = [now[i, _COMMANDED] - leg["commanded_start"] for i, leg in enumerate(current)]
        return Readback(
            time=time,
            position=position,
            target=np.array([leg["target"] for leg in newest]),
            moving=np.array([sample_time < leg["end"] for leg in newest]),
            direction=np.array([int(leg["direction"]) for leg in current]),
            travel=np.array([leg["travel"] for leg in current]) + np.abs(way),
        )

    @overload
    def actual(self, time: float) -> NDArray[np.float64]: ...
    @overload
    def actual(self, time: NDArray[np.floating]) -> NDArray[np.float64]: ...
    def actual(self, time: float | NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the truth that no microscope tells: which point of the specimen is on the axis.

        Parameters
        ----------
        time : float or ndarray, shape (n,)
            Seconds, from the start time on. Beyond the last command it is the motion as planned.

        Returns
        -------
        ndarray, shape (5,) or (n, 5)
            x, y, z in m and alpha, beta in rad.
        """
        times = np.atleast_1d(np.asarray(time, dtype=float))
        if times.ndim != 1 or not np.all(np.isfinite(times) & (times >= self._start_time)):
            raise ValueError(
                f"stage times are not allowed: give a number or 1-D array of finite times from "
                f"{self._start_time!r} s on"
            )
        with self._lock:
            chain = self._chain(times)
            drift = self._drift(times - self._start_time)
        truth = chain[:, :, _SPECIMEN] + chain[:, :, _SEAT] + drift
        return truth if np.ndim(time) else truth[0]

    def _check_targets(self, targets: Mapping[str, float]) -> dict[int, float]:
        if not targets:
            raise ValueError(f"stage command without an axis: name one of {', '.join(AXES)}")
        checked = {}
        for name, target in targets.items():
            if name not in AXES:
                raise ValueError(f"stage axis {name!r} is unknown: choose of {', '.join(AXES)}")
            axis = self._axes[AXES.index(name)]
            if not axis.lower <= target <= axis.upper:
                raise ValueError(
                    f"{name} target {target!r} {axis.unit} is outside "
                    f"{axis.lower:g}..{axis.upper:g} {axis.unit}"
                )
            checked[AXES.index(name)] = float(target)
        return checked

    def _first_leg(self, index: int, axis: AxisParameters) -> NDArray[np.void]:
        """Return a leg of no length: at rest at zero, the play anywhere between its flanks."""
        sensor = axis.sensor_play * (uniform(self._seed, _STREAM_START, index, 0) - 0.5)
        play = axis.specimen_play * (uniform(self._seed, _STREAM_START, index, 1) - 0.5)
        leg = np.zeros((), dtype=LEG)
        leg["issued"] = leg["start"] = leg["end"] = self._start_time
        leg["sensor"] = sensor
        leg["specimen"] = leg["specimen_end"] = sensor + play
        leg["seat"] = axis.repeatability * normal(self._seed, _STREAM_START, index, 2)
        leg["seat_end"] = leg["seat"]
        return leg

    def _send(self, index: int, target: float, time: float) -> None:
        """Append the legs that take an axis to `target`."""
        axis = self._axes[index]
        noise = normal(self._seed, _STREAM_MOTOR, index, self._drawn[index] + 1)
        motor_end = _quantised(target + axis.motor_noise * noise, axis.motor_quantum)
        start = time + self._parameters.start_delay
        _, motor, speed, forward = self._motion(index, start)
        if speed > 0 and (motor_end - motor) * forward < 0.5 * speed**2 / axis.acceleration:
            start = self._brake(index, time, start, target)
            speed = 0.0
        self._append(index, time, start, speed, target, motor_end, target)

    def _brake(self, index: int, issued: float, start: float, target: float | None) -> float:
        """Append the leg that brings an axis to rest, and return when it is at rest."""
        commanded, motor, speed, forward = self._motion(index, start)
        way = forward * 0.5 * speed**2 / self._axes[index].acceleration
        rest = commanded + way
        target = rest if target is None else target
        return self._append(index, issued, start, speed, rest, motor + way, target)

    def _append(
        self,
        index: int,
        issued: float,
        start: float,
        speed: float,
        commanded_end: float,
        motor_end: float,
        target: float,
    ) -> float:
        """Append a leg from the state at `start`, in place of what was planned after it."""
        axis = self._axes[index]
        commanded, motor, sensor, specimen, seat, _ = self._chain(np.array([start]))[0, index]
        current = self._legs[index, self._started(index, start)].copy()
        self._counts[index] = self._started(index, start) + 1
        if self._counts[index] == self._legs.shape[1]:
            self._legs = np.concatenate([self._legs, np.zeros_like(self._legs)], axis=1)
        way = commanded_end - commanded
        direction = np.sign(way) if way else current["direction"]
        travel = 0.0
        if direction == current["direction"]:
            travel = current["travel"] + abs(commanded - current["commanded_start"])
        cruise, ramp_up, ramp_down, duration = plan_leg(
            abs(motor_end - motor), speed, axis.speed, axis.acceleration
        )
        leg = np.zeros((), dtype=LEG)
        leg["issued"], leg["start"], leg["end"] = issued, start, start + duration
        leg["commanded_start"], leg["commanded_end"] = commanded, commanded_end
        leg["target"] = target
        leg["motor_start"], leg["motor_end"] = motor, motor_end
        leg["speed_start"], leg["speed_cruise"] = speed, cruise
        leg["ramp_up"], leg["ramp_down"] = ramp_up, ramp_down
        leg["sensor"], leg["specimen"] = sensor, specimen
        leg["direction"], leg["travel"] = direction, travel
        sensor_end = play(motor_end, 0.5 * axis.sensor_play, sensor)
        leg["specimen_end"] = play(sensor_end, 0.5 * axis.specimen_play, specimen)
        leg["seat"] = seat
        kept = math.exp(-abs(leg["specimen_end"] - specimen) / axis.repeatability_length)
        self._drawn[index] += 1
        noise = normal(self._seed, _STREAM_SEAT, index, self._drawn[index])
        leg["seat_end"] = kept * seat + axis.repeatability * math.sqrt(1 - kept**2) * noise
        self._legs[index, self._counts[index]] = leg
        self._counts[index] += 1
        return float(leg["end"])

    def _motion(self, index: int, time: float) -> tuple[float, float, float, float]:
        """Return commanded position, motor, speed and sense of the motor of an axis at a time."""
        state = self._chain(np.array([time]))[0, index]
        leg = self._legs[index, self._started(index, time)]
        forward = 1.0 if leg["motor_end"] >= leg["motor_start"] else -1.0
        return float(state[_COMMANDED]), float(state[_MOTOR]), float(state[_SPEED]), forward

    def _started(self, index: int, time: float) -> int:
        """Return which leg an axis is in at a time: the last that starts at or before it."""
        starts = self._legs[index, : self._counts[index]]["start"]
        return max(int(np.searchsorted(starts, time, side="right")) - 1, 0)

    def _issued(self, index: int, time: float) -> int:
        """Return the last leg of an axis that was commanded at or before a time."""
        issued = self._legs[index, : self._counts[index]]["issued"]
        return max(int(np.searchsorted(issued, time, side="right")) - 1, 0)

    def _chain(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return commanded, motor, sensor, specimen, seat, speed: shape (n, 5, 6)."""
        out = np.empty((times.size, len(AXES), 6))
        sample_axes(self._legs, self._counts, self._plays, times, out)
        return out

    def _sample_time(self, time: float) -> tuple[float, int]:
        """Return when the sample reported at a time was taken, and its number."""
        if not (math.isfinite(time) and time >= self._start_time):
            raise ValueError(
                f"stage time {time!r} s is not allowed: finite, from {self._start_time!r} s on"
            )
        age = max(time - self._parameters.readback_latency - self._start_time, 0.0)
        interval = self._parameters.readback_interval
        if interval == 0:
            return self._start_time + age, int(np.float64(self._start_time + age).view(np.int64))
        number = math.floor(age / interval)
        return self._start_time + number * interval, number


def _quantised(value: float, quantum: float) -> float:
    return round(value / quantum) * quantum if quantum > 0 else value
