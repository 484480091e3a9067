"""One axis of a stage, compiled: from a command to legs of motion, and from a leg to a position.

A row of `legs` is the history and the plan of an axis; a command, a stop and a tilt append to it
from the state at their time and drop what was planned after. The live stage and the headless fleet
run the same functions, and random numbers belong to the number of the leg, not to the call.
"""

from __future__ import annotations

import math

import numba

from sim.creep import GLIDE, HEAT, relaxed, rest, shortfall
from sim.friction import next_slip, sticks
from sim.motion import plan_leg, way_and_speed
from sim.noise import normal, uniform
from sim.play import CELLS, play, play_between
from sim.records import RELAXING

__all__ = [
    "COMMANDED",
    "LEGS_A_COMMAND",
    "SENSOR",
    "SPEED",
    "STATE",
    "brake",
    "first_leg",
    "leg_at",
    "position",
    "quantised",
    "sample",
    "send",
    "sense",
    "shake",
]

# State of an axis at a time: where `sample` puts what. From `CELL` on CELLS values, from `RELAX`
# on RELAXING.
COMMANDED, MOTOR, SENSOR, LOOSE, OUTPUT, SLIP, STUCK, SHIFT, SPEED = range(9)
CELL = 9
RELAX = CELL + CELLS
STATE = RELAX + RELAXING

LEGS_A_COMMAND = 8  # more than a command, with its braking and its tilts, ever appends to an axis

_START, _MOTOR, _SEAT, _STICK, _SHAKE = 1, 2, 3, 5, 6


@numba.njit(cache=True, error_model="numpy")
def quantised(value, quantum):
    """Return the multiple of a quantum next to a value; the value if there is none."""
    return round(value / quantum) * quantum if quantum > 0.0 else value


@numba.njit(cache=True, error_model="numpy")
def _screw(axis, output):
    """Return the periodic error at a position, 0 at 0."""
    if axis.amplitude_1 == 0.0 and axis.amplitude_2 == 0.0:
        return 0.0
    turn = 2.0 * math.pi * output / axis.period
    first = axis.amplitude_1 * math.sin(turn + axis.phase_1)
    return first + axis.amplitude_2 * math.sin(2.0 * turn + axis.phase_2) - axis.screw_at_zero


@numba.njit(cache=True, error_model="numpy")
def _output(axis, loose, cells, first):
    """Return what the cells, whose new values are `cells[first:]`, make of the play's output."""
    output = axis.rigid * loose
    for k in range(axis.cells):
        output += axis.cell_weight[k] * cells[first + k]
    return output


@numba.njit(cache=True, error_model="numpy")
def leg_at(legs, index, count, time):
    """Return the number of the last of the first `count` legs that starts at or before `time`.

    `legs` are those of all axes, shape (5, capacity); `index` is the number of the axis. (Rows are
    not cut out of the array, because compiled code counts references to every view.)
    """
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if legs[index, middle].start <= time:
            low = middle
        else:
            high = middle
    return low


@numba.njit(cache=True, error_model="numpy")
def sample(leg, axis, time, out):
    """Put the state of an axis at a time into `out`, shape (STATE,)."""
    distance = abs(leg.motor_end - leg.motor_start)
    sign = 1.0 if leg.motor_end >= leg.motor_start else -1.0
    way, speed = way_and_speed(leg, time)
    progress = way / distance if distance > 0.0 else 1.0
    if progress == 1.0:
        motor, out[COMMANDED] = leg.motor_end, leg.commanded_end
    else:
        motor = leg.motor_start + sign * way
        out[COMMANDED] = leg.commanded_start + (leg.commanded_end - leg.commanded_start) * progress
    sensor = play(motor, axis.sensor_half, leg.sensor)
    loose = play_between(sensor, axis.rising, axis.falling, leg.loose)
    for k in range(axis.cells):
        out[CELL + k] = play_between(loose, axis.cell_rising[k], axis.cell_falling[k], leg.cell[k])
    output = _output(axis, loose, out, CELL)
    driven = 0.0
    if leg.output_end != leg.output:
        driven = (output - leg.output) / (leg.output_end - leg.output)
    slip = leg.slip + (leg.slip_end - leg.slip) * driven
    stuck = leg.stuck + (leg.stuck_end - leg.stuck) * driven
    for k in range(RELAXING):
        out[RELAX + k] = relaxed(leg, axis, time, driven, k)
    out[MOTOR], out[SENSOR], out[LOOSE], out[OUTPUT] = motor, sensor, loose, output
    out[SLIP], out[STUCK], out[SHIFT], out[SPEED] = slip, stuck, leg.shift, speed


@numba.njit(cache=True, error_model="numpy")
def position(leg, axis, time, state):
    """Return where an axis has the specimen at a time, before cross-talk and kinematics.

    `state`, shape (STATE,), is room to work in.
    """
    if time >= leg.end:
        at = leg.rest
        for k in range(RELAXING):
            at += relaxed(leg, axis, time, 1.0, k)
        return at
    sample(leg, axis, time, state)
    at = state[OUTPUT] + _screw(axis, state[OUTPUT])
    at += state[SLIP] + state[STUCK] + state[SHIFT]
    for k in range(RELAXING):
        at += state[RELAX + k]
    return at


@numba.njit(cache=True, error_model="numpy")
def sense(leg, axis, time):
    """Return the position of the sensor at a time: what `sample` finds, without the rest."""
    if time >= leg.end:
        return leg.sensor_end
    distance = abs(leg.motor_end - leg.motor_start)
    way, _ = way_and_speed(leg, time)
    motor = leg.motor_end
    if way < distance:
        motor = leg.motor_start + (way if leg.motor_end >= leg.motor_start else -way)
    return play(motor, axis.sensor_half, leg.sensor)


@numba.njit(cache=True, error_model="numpy")
def first_leg(leg, axis, seed, index, time):
    """Fill a leg of no length: at rest at zero, the plays anywhere between their flanks."""
    leg.issued = leg.start = leg.end = time
    leg.sensor = axis.sensor_half * (2.0 * uniform(seed, _START, index, 0) - 1.0)
    leg.loose = _between(leg.sensor, axis.rising, axis.falling, uniform(seed, _START, index, 1))
    for k in range(axis.cells):
        chance = uniform(seed, _START, index, 3 + k)
        leg.cell[k] = _between(leg.loose, axis.cell_rising[k], axis.cell_falling[k], chance)
    leg.output = leg.output_end = _output(axis, leg.loose, leg.cell, 0)
    spread = axis.repeatability / math.sqrt(max(1.0 - axis.slip_memory**2, 1e-12))
    leg.slip = leg.slip_end = spread * normal(seed, _START, index, 2)
    leg.sensor_end = leg.sensor
    _settle(leg, axis)


@numba.njit(cache=True, error_model="numpy")
def _between(position, rising, falling, chance):
    """Return a place within a play about `position`: at 0 lagging behind a rise, at 1 a fall."""
    return position - rising + (rising + falling) * chance


@numba.njit(cache=True, error_model="numpy")
def _append(legs, count, drawn, axis, seed, index, issued, start, speed, ends, state):
    """Append a leg from `state`, that of the axis at `start`; return the new count.

    `ends` are the commanded position and the motor's at the end, and the target of the command.
    """
    current = legs[index, leg_at(legs, index, count, start)]
    commanded, motor = state[COMMANDED], state[MOTOR]
    commanded_end, motor_end, target = ends
    way = commanded_end - commanded
    direction = current.direction
    if way != 0.0:
        direction = 1.0 if way > 0.0 else -1.0
    travel = 0.0
    if direction == current.direction:
        travel = current.travel + abs(commanded - current.commanded_start)
    cruise, ramp_up, ramp_down, duration = plan_leg(
        abs(motor_end - motor), speed, axis.speed, axis.acceleration
    )
    count = leg_at(legs, index, count, start) + 1
    leg = legs[index, count]
    leg.issued, leg.start, leg.end = issued, start, start + duration
    leg.commanded_start, leg.commanded_end, leg.target = commanded, commanded_end, target
    leg.motor_start, leg.motor_end = motor, motor_end
    leg.speed_start, leg.speed_cruise = speed, cruise
    leg.ramp_up, leg.ramp_down = ramp_up, ramp_down
    leg.direction, leg.travel, leg.limited = direction, travel, 0.0
    leg.sensor, leg.loose, leg.output = state[SENSOR], state[LOOSE], state[OUTPUT]
    leg.slip, leg.stuck, leg.shift = state[SLIP], state[STUCK], state[SHIFT]
    for k in range(RELAXING):
        leg.relaxing[k] = state[RELAX + k]
    leg.sensor_end = play(motor_end, axis.sensor_half, leg.sensor)
    loose = play_between(leg.sensor_end, axis.rising, axis.falling, leg.loose)
    leg.output_end = axis.rigid * loose
    for k in range(axis.cells):
        leg.cell[k] = state[CELL + k]
        end = play_between(loose, axis.cell_rising[k], axis.cell_falling[k], leg.cell[k])
        leg.output_end += axis.cell_weight[k] * end
    leg.slip_end, leg.stuck_end, leg.short = leg.slip, leg.stuck, 0.0
    drawn[index] += 1
    if leg.output_end != leg.output:
        driven = leg.output_end - leg.output - leg.stuck
        if axis.stick_threshold > 0.0 and sticks(
            axis, driven, uniform(seed, _STICK, index, drawn[index])
        ):
            leg.stuck_end = -driven
        else:
            noise = normal(seed, _SEAT, index, drawn[index]) if axis.repeatability > 0.0 else 0.0
            leg.slip_end = next_slip(axis, leg.slip, driven, leg.output_end, noise)
            leg.stuck_end = 0.0
            leg.short = shortfall(axis, leg.relaxing[0] + leg.relaxing[1], driven)
    _settle(leg, axis)
    return count + 1


@numba.njit(cache=True, error_model="numpy")
def _settle(leg, axis):
    """Fill in where a leg ends, once the rest of it is there."""
    rest(leg, axis)
    leg.rest = leg.output_end + _screw(axis, leg.output_end)
    leg.rest += leg.slip_end + leg.stuck_end + leg.shift


@numba.njit(cache=True, error_model="numpy")
def brake(legs, count, drawn, axis, seed, index, issued, start, target, state):
    """Bring an axis to rest from `start` on, keeping `target` or, if that is nan, where it rests.

    Returns
    -------
    int
        The new count of legs; the last one ends at rest.
    """
    leg = legs[index, leg_at(legs, index, count, start)]
    sample(leg, axis, start, state)
    speed = state[SPEED]
    forward = 1.0 if leg.motor_end >= leg.motor_start else -1.0
    way = forward * 0.5 * speed**2 / axis.acceleration
    rest = state[COMMANDED] + way / axis.motor_scale
    ends = (rest, state[MOTOR] + way, rest if math.isnan(target) else target)
    return _append(legs, count, drawn, axis, seed, index, issued, start, speed, ends, state)


@numba.njit(cache=True, error_model="numpy")
def send(legs, count, drawn, axis, seed, index, issued, start, target, reach, state):
    """Take an axis to a target.

    It carries on if the target lies ahead and beyond its braking distance, else it brakes and
    comes back.

    Parameters
    ----------
    legs : record array of LEG, shape (5, capacity)
        Of all axes; `LEGS_A_COMMAND` must be free in this one's row.
    count : int
        How many of this axis are in use.
    drawn : ndarray of int, shape (5,)
        How many random numbers each axis has used.
    axis : record of AXIS
        The axis.
    seed, index : int
        Of the stage and the axis.
    issued, start : float
        When it was commanded and when it starts, seconds.
    target : float
        Where to.
    reach : float
        Part of the way after which it halts: 1, or less when it runs into a limit switch.
    state : ndarray, shape (STATE,)
        Room to work in.

    Returns
    -------
    int
        The new count.
    """
    leg = legs[index, leg_at(legs, index, count, start)]
    sample(leg, axis, start, state)
    if reach < 1.0:
        target = state[COMMANDED] + reach * (target - state[COMMANDED])
    noise = 0.0
    if axis.motor_noise > 0.0:
        noise = axis.motor_noise * normal(seed, _MOTOR, index, drawn[index] + 1)
    motor_end = quantised(axis.motor_scale * target + noise, axis.motor_quantum)
    speed = state[SPEED]
    forward = 1.0 if leg.motor_end >= leg.motor_start else -1.0
    if speed > 0.0 and (motor_end - state[MOTOR]) * forward < 0.5 * speed**2 / axis.acceleration:
        count = brake(legs, count, drawn, axis, seed, index, issued, start, target, state)
        start = legs[index, count - 1].end
        speed = 0.0
        sample(legs[index, count - 1], axis, start, state)
    ends = (target, motor_end, target)
    count = _append(legs, count, drawn, axis, seed, index, issued, start, speed, ends, state)
    legs[index, count - 1].limited = 1.0 if reach < 1.0 else 0.0
    return count


@numba.njit(cache=True, error_model="numpy")
def shake(legs, count, drawn, axis, seed, index, start, kick, state):
    """Free the play of an axis, shift it and warm it; its motion goes on as planned.

    The specimen glides to its new place, so that its position never jumps.

    Parameters
    ----------
    legs, count, drawn, axis, seed, index, state
        As of `send`.
    start : float
        When, seconds.
    kick : tuple of float
        How free the play gets: at 0 it stays where it is, at 1 it ends anywhere between its
        flanks; then the shift, and the standard deviation of the thermal step.

    Returns
    -------
    int
        The new count.
    """
    first = leg_at(legs, index, count, start)
    later = legs[index, first:count].copy()
    count = first + 1
    for number in range(later.size):
        leg = later[number]
        begin = max(leg.start, start)
        if number > 0:
            begin = max(begin, legs[index, count - 1].end)
        sample(legs[index, leg_at(legs, index, count, begin)], axis, begin, state)
        if number == 0:
            _kick(axis, seed, index, drawn[index], kick, state)
        ends = (leg.commanded_end, leg.motor_end, leg.target)
        count = _append(
            legs, count, drawn, axis, seed, index, leg.issued, begin, state[SPEED], ends, state
        )
        legs[index, count - 1].limited = leg.limited
    return count


@numba.njit(cache=True, error_model="numpy")
def _kick(axis, seed, index, number, kick, state):
    """Change the state of an axis as a tilt does, without moving the specimen yet."""
    freed, shift, heat_step = kick
    before = state[OUTPUT] + _screw(axis, state[OUTPUT])
    place = _between(
        state[SENSOR], axis.rising, axis.falling, uniform(seed, _SHAKE, index, 4 * number)
    )
    state[LOOSE] += freed * (place - state[LOOSE])
    for k in range(axis.cells):
        state[CELL + k] = play_between(
            state[LOOSE], axis.cell_rising[k], axis.cell_falling[k], state[CELL + k]
        )
    state[OUTPUT] = _output(axis, state[LOOSE], state, CELL)
    heat = heat_step * normal(seed, _SHAKE, index, 4 * number + 2)
    after = state[OUTPUT] + _screw(axis, state[OUTPUT])
    state[SHIFT] += shift + heat
    state[RELAX + GLIDE] += before - after - shift
    state[RELAX + HEAT] -= heat
