"""The five axes together, compiled: a command, what the sensors say, where the specimen is.

`sim.stage` and `sim.fleet` both stand on these functions. Arrays are in the order of `AXES`;
`legs` has shape (5, capacity), `counts` and `drawn` (5,), `axes` are records of AXIS, `body` is one
of BODY.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sim.axis import COMMANDED, STATE, leg_at, position, quantised, sample, send, sense, shake
from sim.kinematics import place
from sim.noise import normal

__all__ = [
    "command",
    "heat",
    "locate",
    "locate_many",
    "newest_sample",
    "read_sensors",
    "sample_all",
]

_READBACK = 4
_WANDER = 7
_THREE_DEGREES = math.radians(3.0)
_KNOT = math.radians(0.5)  # between the points of the random walk
_ONE_DEGREE = math.radians(1.0)


@numba.njit(cache=True, error_model="numpy")
def wandered(seed, number, tilt):
    """Return how far a tilt (radians) has shifted an axis: a random walk in the angle from 0.

    Its standard deviation is 1 for 3 degrees. It is a function of the tilt, so that a tilt that is
    come back to shifts by nothing.
    """
    side = 1 if tilt >= 0.0 else -1
    knots = abs(tilt) / _KNOT
    whole = math.floor(knots)
    total = (knots - whole) * normal(seed, _WANDER, number, side * (whole + 1))
    for k in range(1, whole + 1):
        total += normal(seed, _WANDER, number, side * k)
    return total * math.sqrt(_KNOT / _THREE_DEGREES)


@numba.njit(cache=True, error_model="numpy")
def command(legs, counts, drawn, axes, body, seed, targets, reach, time, state):
    """Send axes to targets, all at once; what tilts frees the play of x, y and z.

    Parameters
    ----------
    targets : ndarray, shape (5,)
        Where to; nan leaves an axis alone, and so does the target that it has already.
    reach : ndarray, shape (5,)
        Part of the way after which an axis runs into a limit switch; 1 for none.
    time : float
        Seconds.
    state : ndarray, shape (STATE,)
        Room to work in.

    Returns
    -------
    float
        When the last of the axes with a target is at rest.
    """
    start = time + body.start_delay
    end = time
    tilts = np.zeros((2, 2))  # of alpha and beta: from, to
    for i in range(targets.size):
        if math.isnan(targets[i]):
            continue
        if legs[i, counts[i] - 1].target != targets[i]:
            if i > 2:
                sample(legs[i, leg_at(legs, i, counts[i], start)], axes[i], start, state)
                tilts[i - 3, 0], tilts[i - 3, 1] = state[COMMANDED], targets[i]
            counts[i] = send(
                legs, counts[i], drawn, axes[i], seed, i, time, start, targets[i], reach[i], state
            )
        end = max(end, legs[i, counts[i] - 1].end)
    tilt = abs(tilts[0, 1] - tilts[0, 0]) + abs(tilts[1, 1] - tilts[1, 0])
    if body.disturbs and tilt > 0.0:
        freed = min(1.0, tilt / body.release_angle)
        warmed = math.sqrt(min(1.0, tilt / _THREE_DEGREES)) * body.heat_step
        for i in range(3):
            shift = 0.0
            for k in range(2):
                shift += wandered(seed, 2 * i + k, tilts[k, 1])
                shift -= wandered(seed, 2 * i + k, tilts[k, 0])
            kick = (freed, body.wander * shift, warmed)
            counts[i] = shake(legs, counts[i], drawn, axes[i], seed, i, start, kick, state)
    return end


@numba.njit(cache=True, error_model="numpy")
def heat(legs, counts, drawn, axes, seed, step, time, state):
    """Warm or cool x, y and z by a thermal step of standard deviation `step`, from `time` on."""
    kick = (0.0, 0.0, step)
    for i in range(3):
        counts[i] = shake(legs, counts[i], drawn, axes[i], seed, i, time, kick, state)


@numba.njit(cache=True, error_model="numpy")
def newest_sample(body, time):
    """Return when the sample was taken that is reported at a time, and its number."""
    age = max(time - body.readback_latency - body.start_time, 0.0)
    if body.readback_interval == 0.0:
        return body.start_time + age, np.int64(age * 1e9)
    number = math.floor(age / body.readback_interval)
    return body.start_time + number * body.readback_interval, np.int64(number)


@numba.njit(cache=True, error_model="numpy")
def read_sensors(legs, counts, axes, body, seed, when, number, out):
    """Put what the sensors report of sample `number`, taken at `when`, into `out`, shape (5,)."""
    for i in range(out.size):
        out[i] = sense(legs[i, leg_at(legs, i, counts[i], when)], axes[i], when)
    # The branches of a tilt series differ in the reported value; within a degree it changes over.
    branch = 0.5 * max(-1.0, min(1.0, out[3] / _ONE_DEGREE))
    for i in range(out.size):
        axis = axes[i]
        reported = axis.readback_scale * out[i] + axis.readback_offset
        reported += axis.readback_branch * branch
        if axis.readback_noise > 0.0:
            reported += axis.readback_noise * normal(seed, _READBACK, i, number)
        out[i] = quantised(reported, axis.readback_quantum)


@numba.njit(cache=True, error_model="numpy")
def locate(legs, counts, axes, body, time, drift, out, state):
    """Put where the specimen is at a time into `out`, shape (5,); `drift` is added, shape (5,)."""
    for i in range(out.size):
        leg = legs[i, leg_at(legs, i, counts[i], time)]
        out[i] = position(leg, axes[i], time, state)
    place(out, body, out)
    for i in range(out.size):
        out[i] += drift[i]


@numba.njit(cache=True, error_model="numpy")
def locate_many(legs, counts, axes, body, times, drift, out):
    """Locate at several times: `times` has shape (n,), `drift` and `out` (n, 5)."""
    state = np.zeros(STATE)
    for i in range(times.size):
        locate(legs, counts, axes, body, times[i], drift[i], out[i], state)


@numba.njit(cache=True, error_model="numpy")
def sample_all(legs, counts, axes, times, out):
    """Put the states of all axes at the times into `out`, shape (n, 5, STATE)."""
    for i in range(times.size):
        for k in range(counts.size):
            leg = legs[k, leg_at(legs, k, counts[k], times[i])]
            sample(leg, axes[k], times[i], out[i, k])
