"""Legs of motion: a trapezoid in speed in one direction, which may begin at a speed.

Over a leg every effect of the stage is a function of the state at its start, of the way and of the
time since: the play operators need no history but their values at the start (`sim.play`), slip
grows with the way (`sim.friction`), and what creeps is an exponential (`sim.creep`). So the state
at any time is a function of the leg and of the time, and asking changes nothing.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sim.play import CELLS
from sim.records import RELAXING

__all__ = ["LEG", "plan_leg", "way_and_speed"]

# One leg. `start`, `end`: seconds; `issued`: when it was commanded. `commanded_*`: positions that
# the controller counts; `target`: where the command as a whole ends. `motor_*`: positions of the
# motor; `speed_*`: at the start and in the cruise; `ramp_*`: seconds of acceleration and braking.
# At the start: `sensor`, `loose` (behind the play), `cell`, `output` (behind the cells), `slip`,
# `stuck` (what a stuck specimen has to make up for), `shift` (by tilts), `relaxing`; `*_end` at the
# end; `rest`: position at the end, but for what relaxes; `short`: what the o-rings keep back of the
# leg. `direction`: of the drive; `travel`: way commanded since the last reversal, at the start;
# `limited`: 1 when it runs into a limit switch.
LEG = np.dtype(
    [
        *(
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
                "sensor_end",
                "loose",
                "output",
                "output_end",
                "slip",
                "slip_end",
                "stuck",
                "stuck_end",
                "shift",
                "rest",
                "short",
                "direction",
                "travel",
                "limited",
            )
        ),
        ("cell", np.float64, (CELLS,)),
        ("relaxing", np.float64, (RELAXING,)),
        ("relaxing_end", np.float64, (RELAXING,)),
    ]
)


@numba.njit(cache=True, error_model="numpy")
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


@numba.njit(cache=True, error_model="numpy")
def way_and_speed(leg, time: float) -> tuple[float, float]:
    """Return the motor's way since the start of a leg, and its speed, both 0 or more.

    Parameters
    ----------
    leg : record of LEG
        The leg.
    time : float
        Seconds; before the start it is at the start, after the end it rests.
    """
    distance = abs(leg.motor_end - leg.motor_start)
    elapsed = time - leg.start
    remaining = leg.end - time
    if remaining <= 0.0 or distance == 0.0:
        return distance, 0.0
    if elapsed <= 0.0:
        return 0.0, leg.speed_start
    if elapsed < leg.ramp_up:
        acceleration = (leg.speed_cruise - leg.speed_start) / leg.ramp_up
        speed = leg.speed_start + acceleration * elapsed
        return 0.5 * (leg.speed_start + speed) * elapsed, speed
    if remaining > leg.ramp_down:
        speed = leg.speed_cruise
        return 0.5 * (leg.speed_start + speed) * leg.ramp_up + speed * (
            elapsed - leg.ramp_up
        ), speed
    speed = leg.speed_cruise * remaining / leg.ramp_down
    return distance - 0.5 * speed * remaining, speed
