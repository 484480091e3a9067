"""A five-axis goniometer: where it was sent, what it reports, and where the specimen really is.

The three positions are those of Fiedler et al., fig. 2. A command moves the motor by a trapezoid
in speed; play between motor and sensor shortens the *reported* first step after a reversal, play
and Prandtl-Ishlinskii cells between sensor and specimen the *actual* one; the screw has its
periodic error, the specimen slips, the o-rings creep; cross-talk, the ball and the tilt axes bring
the axes together (`sim.kinematics`), and all of it drifts (`sim.drift`). The state is a list of
legs of motion (`sim.motion`), so that any time can be asked for, in any order and as often as
wanted, without changing anything.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import overload

import numpy as np
from numpy.typing import NDArray

from sim.axis import COMMANDED, LEGS_A_COMMAND, STATE, brake, first_leg, leg_at, position
from sim.controller import (
    command,
    heat,
    locate_many,
    newest_sample,
    read_sensors,
    sample_all,
)
from sim.drift import ThermalDrift
from sim.faults import LIMITER, NO_FAULTS, Fault, FaultPlan
from sim.limits import check_targets, refuse_touch
from sim.motion import LEG
from sim.readback import Readback
from sim.records import pack_axes, pack_body
from sim.stage_effects import PolePiece
from sim.stage_family import CASES, random_case, random_stage
from sim.stage_parameters import AXES, AxisParameters, StageParameters
from sim.stage_profiles import PROFILES, at_speed, profile

__all__ = [
    "AXES",
    "CASES",
    "PROFILES",
    "AxisParameters",
    "Readback",
    "Stage",
    "StageParameters",
    "at_speed",
    "profile",
    "random_case",
    "random_stage",
    "warm_up",
]

_PATH_POINTS = 200  # points at which the way of a tilt is checked against the pole piece
_LOOK_BACK = 100  # samples that may be lost in a row


def warm_up() -> None:
    """Compile what a stage is made of, or load it: seconds once on a machine, then next to none.

    Compiling holds the interpreter's lock: whoever serves clients does it before they come.
    """
    stage = Stage(profile("jeol-like"), seed=0, start_time=0.0)
    stage.command({"alpha": 1e-3}, 0.0)
    stage.stop(0.1)
    stage.switch_beam(0.2)
    stage.readback(0.3)
    stage.actual(0.3)
    stage.rotation(0.3)


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
    faults : FaultPlan
        What goes wrong; nothing by default.
    """

    def __init__(
        self,
        parameters: StageParameters,
        *,
        seed: int,
        start_time: float,
        faults: FaultPlan = NO_FAULTS,
    ) -> None:
        if not 0 <= seed < 2**63:
            raise ValueError(f"stage seed {seed!r} is not allowed: a whole number from 0 to 2^63-1")
        if not math.isfinite(start_time):
            raise ValueError(f"stage start_time {start_time!r} is not allowed: a finite time in s")
        self._parameters = parameters
        self._seed = int(seed)
        self._start_time = float(start_time)
        self._last_time = float(start_time)
        self._faults = faults
        self._commands = 0
        self._lock = threading.Lock()
        self._axes = pack_axes(parameters)
        self._body = pack_body(parameters, self._start_time)[0]
        self._drift = ThermalDrift(
            self._body["drift_velocity"],
            self._body["drift_walk"],
            correlation_time=parameters.drift_correlation_time,
            seed=self._seed,
            insertion=self._body["insertion_velocity"],
            insertion_time=parameters.insertion_time,
            holder_age=parameters.holder_age,
        )
        self._legs = np.zeros((len(AXES), 64), dtype=LEG)
        self._counts = np.ones(len(AXES), dtype=np.int64)
        self._drawn = np.zeros(len(AXES), dtype=np.int64)
        self._state = np.zeros(STATE)
        for index in range(len(AXES)):
            first_leg(self._legs[index, 0], self._axes[index], self._seed, index, self._start_time)

    @property
    def parameters(self) -> StageParameters:
        """What kind of stage it is; all that was put in is here."""
        return self._parameters

    @property
    def start_time(self) -> float:
        """The first time that can be asked for, seconds."""
        return self._start_time

    @property
    def fault(self) -> Fault | None:
        """The fault of the next command, for the driver to act upon; None for none."""
        return self._faults.of_command(self._commands, self._seed)

    def lose_command(self) -> None:
        """Count a command that never reached the stage (a time-out)."""
        with self._lock:
            self._commands += 1

    def command(self, targets: Mapping[str, float], time: float) -> float:
        """Send the named axes to new positions, all at once.

        Motion starts `start_delay` after the command. An axis under way takes the new target as it
        goes: it carries on if the target lies ahead and beyond its braking distance, else it brakes
        and comes back. An axis that is at its target or on its way there is left alone. Tilts leave
        the play of x, y and z in an unknown state.

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
            When an axis is unknown, a target not finite or outside the limits, the holder would
            touch the pole piece there or on its way, or the time is earlier than the last
            command's. Nothing moves.
        """
        goals = check_targets(self._parameters, targets)
        with self._lock:
            if not (math.isfinite(time) and time >= self._last_time):
                raise ValueError(
                    f"stage command at {time!r} s is not allowed: "
                    f"not before the last one, {self._last_time!r} s"
                )
            if self._parameters.pole_piece is not None and not np.isnan(goals[2:]).all():
                self._check_pole_piece(self._parameters.pole_piece, goals, time)
            fault = self.fault
            reach = np.ones(len(AXES))
            if fault is not None and fault.kind == LIMITER:
                reach[:] = fault.reach
            self._last_time = time
            self._commands += 1
            self._make_room()
            return self._command(self._legs, self._counts, self._drawn, goals, reach, time)

    def stop(self, time: float) -> None:
        """Brake every axis that is under way, at once and at its own deceleration.

        A time earlier than the last command's is taken as that: a stop is never refused.
        """
        with self._lock:
            time = max(time, self._last_time)
            self._last_time = time
            self._make_room()
            for i in range(len(AXES)):
                count, axis = int(self._counts[i]), self._axes[i]
                if self._legs[i, count - 1]["end"] > time:
                    self._counts[i] = brake(
                        self._legs, count, self._drawn, axis, self._seed, i,
                        time, time, math.nan, self._state,
                    )  # fmt: skip

    def switch_beam(self, time: float) -> None:
        """Let the beam go on or off: the specimen warms or cools and moves by a thermal step.

        A time earlier than the last command's is taken as that.
        """
        with self._lock:
            self._last_time = max(time, self._last_time)
            self._make_room()
            if self._parameters.beam_step > 0:
                heat(
                    self._legs, self._counts, self._drawn, self._axes, self._seed,
                    self._parameters.beam_step, self._last_time, self._state,
                )  # fmt: skip

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
        self._check_time(time)
        when, number = newest_sample(self._body, time)
        for _ in range(_LOOK_BACK):
            if number == 0 or not self._faults.drops(int(number), self._seed):
                break
            number -= 1
            when -= self._parameters.readback_interval
        reported = np.empty(len(AXES))
        with self._lock:
            now = self._sample(np.array([time]))[0]
            read_sensors(
                self._legs, self._counts, self._axes, self._body, self._seed, when, number, reported
            )
            newest = [self._legs[i, self._issued(i, time)] for i in range(len(AXES))]
            current = [self._legs[i, self._started(i, time)] for i in range(len(AXES))]
        early = self._parameters.early_idle
        moving = np.array(
            [when < leg["end"] and not 0 <= time - leg["issued"] < early for leg in newest]
        )
        limited = np.array([leg["limited"] > 0 for leg in newest])
        way = [now[i, COMMANDED] - leg["commanded_start"] for i, leg in enumerate(current)]
        return Readback(
            time=time,
            position=reported,
            target=np.array([leg["target"] for leg in newest]),
            moving=moving,
            direction=np.array([int(leg["direction"]) for leg in current]),
            travel=np.array([leg["travel"] for leg in current]) + np.abs(way),
            status=np.where(moving, 1, np.where(limited, 2, 0)),
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
        times = self._check_times(time)
        out = np.empty((times.size, len(AXES)))
        with self._lock:
            drift = self._drift(times - self._start_time)
            locate_many(self._legs, self._counts, self._axes, self._body, times, drift, out)
        return out if np.ndim(time) else out[0]

    def rotation(self, time: float | NDArray[np.floating]) -> NDArray[np.float64]:
        """Return by how much the specimen is turned in its plane, because y swings the rod.

        Parameters
        ----------
        time : float or ndarray, shape (n,)
            Seconds, from the start time on.

        Returns
        -------
        ndarray, shape (n,)
            Radians, from x towards y: y / L, 0.72 degrees at 1 mm; 0 without a ball.
        """
        times = self._check_times(time)
        mount = self._parameters.mount
        if mount is None:
            return np.zeros(times.size)
        with self._lock:
            y = [
                position(self._legs[1, self._started(1, t)], self._axes[1], t, self._state)
                for t in times
            ]
        return np.array(y) / mount.pivot_length

    def _check_times(self, time: float | NDArray[np.floating]) -> NDArray[np.float64]:
        times = np.atleast_1d(np.asarray(time, dtype=float))
        if times.ndim != 1 or not np.all(np.isfinite(times) & (times >= self._start_time)):
            raise ValueError(
                f"stage times are not allowed: give a number or 1-D array of finite times from "
                f"{self._start_time!r} s on"
            )
        return times

    def _check_time(self, time: float) -> None:
        if not (math.isfinite(time) and time >= self._start_time):
            raise ValueError(
                f"stage time {time!r} s is not allowed: finite, from {self._start_time!r} s on"
            )

    def _check_pole_piece(self, rule: PolePiece, goals: NDArray[np.float64], time: float) -> None:
        """Refuse a command at whose end, or on whose way, the holder would touch."""
        now = self._sample(np.array([time]))[0, :, COMMANDED]
        last = np.array([self._legs[i, self._counts[i] - 1]["target"] for i in range(len(AXES))])
        ends = np.where(np.isnan(goals), last, goals)
        z, alpha, beta = np.abs([now, last, ends]).max(axis=0)[2:]
        if rule.room(min(alpha, 0.5 * math.pi), min(beta, 0.5 * math.pi), z) >= 0:
            return
        room = rule.room(ends[3], ends[4], ends[2])
        where = "at its target"
        if room >= 0:
            # Somewhere on the way it might: the move is tried on a copy of the stage.
            self._make_room()
            legs, counts, drawn = self._legs.copy(), self._counts.copy(), self._drawn.copy()
            end = self._command(legs, counts, drawn, goals, np.ones(len(AXES)), time)
            times = np.linspace(time, max(end, legs["end"].max()), _PATH_POINTS)
            path = np.empty((times.size, len(AXES), STATE))
            sample_all(legs, counts, self._axes, times, path)
            room = min(rule.room(p[3], p[4], p[2]) for p in path[:, :, COMMANDED])
            where = "on its way"
        refuse_touch(room, ends, where)

    def _command(
        self,
        legs: NDArray[np.void],
        counts: NDArray[np.int64],
        drawn: NDArray[np.int64],
        goals: NDArray[np.float64],
        reach: NDArray[np.float64],
        time: float,
    ) -> float:
        return command(
            legs, counts, drawn, self._axes, self._body, self._seed, goals, reach, time, self._state
        )

    def _make_room(self) -> None:
        """See to it that a command can append to every axis."""
        if self._counts.max() + LEGS_A_COMMAND > self._legs.shape[1]:
            self._legs = np.concatenate([self._legs, np.zeros_like(self._legs)], axis=1)

    def _sample(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the states of all axes, shape (n, 5, STATE)."""
        out = np.empty((times.size, len(AXES), STATE))
        sample_all(self._legs, self._counts, self._axes, times, out)
        return out

    def _started(self, index: int, time: float) -> int:
        """Return which leg an axis is in at a time: the last that starts at or before it."""
        return leg_at(self._legs, index, int(self._counts[index]), time)

    def _issued(self, index: int, time: float) -> int:
        """Return the last leg of an axis that was commanded at or before a time."""
        issued = self._legs[index, : self._counts[index]]["issued"]
        return max(int(np.searchsorted(issued, time, side="right")) - 1, 0)
