"""The chain motor → sensor → specimen of one axis, in closed form over legs of monotone motion.

A leg is a stretch of motion in one direction: a trapezoid in speed that may begin at a speed. Over
a leg the play operator (Krejci 1996; stage-motion literature calls it backlash),

    P[u](t) = max(u(t) - r, min(u(t) + r, P(t0))),    2 r the full width,

needs no history but its value at the start of the leg, so the state at any time is a function of
the leg and of the time. What else hysteretic a stage has (Prandtl-Ishlinskii cells, creep) is of
the same kind: a value at the start of the leg and a function of the way or of the time since. What
is a map of the position (periodic error, cross-talk, kinematics) comes behind the chain.
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["LEG", "plan_leg", "play", "sample_axes", "sample_leg"]

# One leg. `start`, `end`: seconds; `issued`: when it was commanded. `commanded_*`: positions that
# the controller counts; `target`: where the command as a whole ends. `motor_*`: positions of the
# motor; `speed_*`: at the start and in the cruise; `ramp_*`: seconds of acceleration and braking.
# `sensor`, `specimen`, `seat`: state at the start; `specimen_end`, `seat_end`: at the end.
# `direction`: of the drive; `travel`: way commanded since the last reversal, at the start.
LEG = np.dtype(
    [
        (name, np.float64)
        for name in (
            "issued",
            "start",
            "end",
            "commanded_start",
            "commanded_end",
            "target",
            "motor_start",
            "motor_end",
            "speed_start",
            "speed_cruise",
            "ramp_up",
            "ramp_down",
            "sensor",
            "specimen",
            "seat",
            "seat_end",
            "specimen_end",
            "direction",
            "travel",
        )
    ]
)


@numba.njit(cache=True)
def play(position: float, half_width: float, previous: float) -> float:
    """Return the play operator's output for a monotone input that was at `previous` before."""
    return max(position - half_width, min(position + half_width, previous))


def plan_leg(
    distance: float, speed_start: float, speed: float, acceleration: float
) -> tuple[float, float, float, float]:
    """Plan a leg of `distance` that ends at rest.

    Parameters
    ----------
    distance : float
        Way to go, at least the braking distance of `speed_start`, v^2 / 2a.
    speed_start : float
        Speed at the start, 0 or more.
    speed : float
        Greatest speed.
    acceleration : float
        Of speeding up and of braking.

    Returns
    -------
    tuple of float
        Greatest speed reached, seconds of speeding up, of braking, and of the whole leg.
    """
    cruise = min(speed, math.sqrt(acceleration * distance + 0.5 * speed_start**2))
    cruise = max(cruise, speed_start)
    if cruise == 0.0:
        return 0.0, 0.0, 0.0, 0.0
    ramp_up = (cruise - speed_start) / acceleration
    ramp_down = cruise / acceleration
    rest = distance - 0.5 * (cruise + speed_start) * ramp_up - 0.5 * cruise * ramp_down
    return cruise, ramp_up, ramp_down, ramp_up + max(rest, 0.0) / cruise + ramp_down


@numba.njit(cache=True)
def sample_leg(leg, time, sensor_play, specimen_play, out):
    """Sample a leg at a time into `out`.

    Parameters
    ----------
    leg : record of LEG
        The leg.
    time : float
        Seconds; before the start it is at the start, after the end it rests.
    sensor_play, specimen_play : float
        Full widths.
    out : ndarray, shape (6,)
        Commanded position, motor, sensor, specimen, seat, speed.
    """
    distance = abs(leg.motor_end - leg.motor_start)
    sign = 1.0 if leg.motor_end >= leg.motor_start else -1.0
    elapsed = time - leg.start
    remaining = leg.end - time
    if remaining <= 0.0 or distance == 0.0:
        way, speed = distance, 0.0
    elif elapsed <= 0.0:
        way, speed = 0.0, leg.speed_start
    elif elapsed < leg.ramp_up:
        acceleration = (leg.speed_cruise - leg.speed_start) / leg.ramp_up
        speed = leg.speed_start + acceleration * elapsed
        way = 0.5 * (leg.speed_start + speed) * elapsed
    elif remaining > leg.ramp_down:
        speed = leg.speed_cruise
        way = 0.5 * (leg.speed_start + speed) * leg.ramp_up + speed * (elapsed - leg.ramp_up)
    else:
        speed = leg.speed_cruise * remaining / leg.ramp_down
        way = distance - 0.5 * speed * remaining
    progress = way / distance if distance > 0.0 else 1.0
    motor = leg.motor_end if progress == 1.0 else leg.motor_start + sign * way
    sensor = play(motor, 0.5 * sensor_play, leg.sensor)
    specimen = play(sensor, 0.5 * specimen_play, leg.specimen)
    seat = leg.seat
    if leg.specimen_end != leg.specimen:
        driven = (specimen - leg.specimen) / (leg.specimen_end - leg.specimen)
        seat += (leg.seat_end - leg.seat) * driven
    if progress == 1.0:
        out[0] = leg.commanded_end
    else:
        out[0] = leg.commanded_start + (leg.commanded_end - leg.commanded_start) * progress
    out[1] = motor
    out[2] = sensor
    out[3] = specimen
    out[4] = seat
    out[5] = speed


@numba.njit(cache=True)
def sample_axes(legs, counts, plays, times, out):
    """Sample all axes at the times given.

    Parameters
    ----------
    legs : record array of LEG, shape (n_axes, capacity)
        The legs of each axis in order of time.
    counts : ndarray of int, shape (n_axes,)
        How many legs of each row are in use.
    plays : ndarray, shape (n_axes, 2)
        Full widths of the play before and behind the sensor.
    times : ndarray, shape (n,)
        Seconds.
    out : ndarray, shape (n, n_axes, 6)
        As of `sample_leg`.
    """
    for axis in range(legs.shape[0]):
        index = 0
        for i in range(times.size):
            time = times[i]
            if time < legs[axis, index].start:
                index = 0
            low, high = index, counts[axis]  # the last leg that starts at or before `time`
            while high - low > 1:
                middle = (low + high) // 2
                if legs[axis, middle].start <= time:
                    low = middle
                else:
                    high = middle
            index = low
            sample_leg(legs[axis, index], time, plays[axis, 0], plays[axis, 1], out[i, axis])
