"""Many stages and many moves without a clock: the physics of `sim.stage`, compiled from end to end.

For learning, for statistics over families of stages and for plans that are tried out before they
run. The same seed and the same moves at the same times give the numbers of the live stage to the
last bit, because both call the functions of `sim.controller`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.axis import LEGS_A_COMMAND, STATE, first_leg
from sim.controller import command, locate, newest_sample, read_sensors
from sim.drift import (
    GRID,
    NODE,
    between_nodes,
    first_node,
    kick_sizes,
    next_node,
    warming,
    warming_speed,
)
from sim.motion import LEG
from sim.records import AXIS, BODY, pack_axes, pack_body
from sim.stage_parameters import AXES, StageParameters

__all__ = ["FleetRun", "run_fleet"]

_CAPACITY, _KEPT = 64, 16


@dataclass(frozen=True)
class FleetRun:
    """What n stages did in m moves each; axes in the order of `AXES`, m and rad.

    Parameters
    ----------
    time : ndarray, shape (n, m)
        When each move was judged, seconds from the start.
    target : ndarray, shape (n, m, 5)
        Where each axis had last been sent.
    reported : ndarray, shape (n, m, 5)
        What the controller said then.
    actual : ndarray, shape (n, m, 5)
        Where the specimen was.
    """

    time: NDArray[np.float64]
    target: NDArray[np.float64]
    reported: NDArray[np.float64]
    actual: NDArray[np.float64]


def run_fleet(
    stages: Sequence[StageParameters],
    targets: ArrayLike,
    *,
    seeds: Sequence[int] | None = None,
    dwell: float = 1.0,
) -> FleetRun:
    """Send every stage through its targets, one after the other.

    Parameters
    ----------
    stages : sequence of StageParameters
        n stages.
    targets : array_like, shape (m, 5) or (n, m, 5)
        Where to, in the order of `AXES`, m and rad; nan leaves an axis where it is.
    seeds : sequence of int, optional
        Of each stage; 0, 1, 2, ... by default.
    dwell : float
        Seconds from the end of a motion to the judgement and to the next command.

    Returns
    -------
    FleetRun
        Where everything was after each move.

    Raises
    ------
    ValueError
        When a target is outside the limits of its stage or would touch the pole piece; the way
        there is not looked at, as `Stage.command` does.
    """
    goals = np.array(targets, dtype=float)
    if goals.ndim == 2:
        goals = np.broadcast_to(goals, (len(stages), *goals.shape)).copy()
    if goals.ndim != 3 or goals.shape[0] != len(stages) or goals.shape[2] != len(AXES):
        raise ValueError(
            f"fleet targets of shape {np.shape(targets)} are not allowed: "
            f"(moves, 5) or ({len(stages)}, moves, 5)"
        )
    if not 0 <= dwell < np.inf:
        raise ValueError(f"fleet dwell {dwell!r} is not allowed: finite seconds, 0 or more")
    numbers = np.array(range(len(stages)) if seeds is None else seeds, dtype=np.int64)
    if numbers.shape != (len(stages),) or (numbers < 0).any():
        raise ValueError(f"fleet seeds are not allowed: {len(stages)} whole numbers, 0 or more")
    sent = _held(goals)
    packed: dict[int, NDArray[np.void]] = {}
    axes = np.zeros((len(stages), len(AXES)), dtype=AXIS)
    bodies = np.zeros(len(stages), dtype=BODY)
    for index, stage in enumerate(stages):
        _check(stage, sent[index])
        if id(stage) not in packed:
            packed[id(stage)] = pack_axes(stage)
        axes[index] = packed[id(stage)]
        bodies[index] = pack_body(stage, 0.0)[0]
    shape = goals.shape[:2]
    run = FleetRun(np.empty(shape), sent, np.empty(goals.shape), np.empty(goals.shape))
    _run(
        axes,
        bodies,
        numbers,
        goals,
        float(dwell),
        np.zeros((len(AXES), _CAPACITY), dtype=LEG),
        np.zeros(1, dtype=LEG),
        run.time,
        run.reported,
        run.actual,
    )
    return run


@numba.njit(cache=True)
def _held(goals):
    """Return the targets with nan replaced by the last one of the axis; 0 before the first."""
    sent = np.zeros_like(goals)
    for stage in range(goals.shape[0]):
        for axis in range(goals.shape[2]):
            last = 0.0
            for move in range(goals.shape[1]):
                if not np.isnan(goals[stage, move, axis]):
                    last = goals[stage, move, axis]
                sent[stage, move, axis] = last
    return sent


def _check(stage: StageParameters, sent: NDArray[np.float64]) -> None:
    for index, (name, axis) in enumerate(stage.axes.items()):
        outside = ~((sent[:, index] >= axis.lower) & (sent[:, index] <= axis.upper))
        if outside.any():
            worst = float(sent[outside, index][0])
            raise ValueError(
                f"{name} target {worst!r} {axis.unit} of stage {stage.name} is "
                f"outside {axis.lower:g}..{axis.upper:g} {axis.unit}"
            )
    rule = stage.pole_piece
    if rule is not None:
        rise = rule.half_width * np.abs(np.sin(sent[:, 3]))
        rise += rule.half_length * np.abs(np.sin(sent[:, 4])) + np.abs(sent[:, 2])
        if (rise > rule.clearance).any():
            raise ValueError(f"a target of stage {stage.name} would touch the pole piece")


@numba.njit(cache=True, error_model="numpy")
def _run(axes, bodies, seeds, targets, dwell, legs, blank, times, reported, actual):
    n_axes = axes.shape[1]
    counts = np.ones(n_axes, dtype=np.int64)
    drawn = np.zeros(n_axes, dtype=np.int64)
    reach = np.ones(n_axes)
    state = np.zeros(STATE)
    drift, speeds = np.zeros(n_axes), np.zeros(n_axes)
    left, right = np.zeros((n_axes, NODE)), np.zeros((n_axes, NODE))
    for stage in range(seeds.size):
        own, body, seed = axes[stage], bodies[stage], seeds[stage]
        sizes = kick_sizes(body.drift_correlation_time)
        counts[:] = 1
        drawn[:] = 0
        for i in range(n_axes):
            legs[i, 0] = blank[0]
            first_leg(legs[i, 0], own[i], seed, i, body.start_time)
            speeds[i] = warming_speed(
                body.insertion_velocity[i], body.insertion_time, body.holder_age, seed, i
            )
        number = 0
        first_node(left, body.drift_velocity, seed)
        next_node(left, right, body.drift_velocity, body.drift_walk, sizes, seed, 1)
        now = body.start_time
        for move in range(targets.shape[1]):
            for i in range(n_axes):
                if counts[i] + LEGS_A_COMMAND > legs.shape[1]:
                    for k in range(_KEPT):
                        legs[i, k] = legs[i, counts[i] - _KEPT + k]
                    counts[i] = _KEPT
            goal = targets[stage, move]
            now = command(legs, counts, drawn, own, body, seed, goal, reach, now, state) + dwell
            when, sample_number = newest_sample(body, now)
            read_sensors(legs, counts, own, body, seed, when, sample_number, reported[stage, move])
            elapsed = now - body.start_time
            while number + 1 <= elapsed / GRID:
                number += 1
                for i in range(n_axes):  # not left[:] = right, whose check of shapes compiles long
                    for k in range(NODE):
                        left[i, k] = right[i, k]
                next_node(
                    left, right, body.drift_velocity, body.drift_walk, sizes, seed, number + 1
                )
            seconds = warming(body.insertion_time, elapsed)
            for i in range(n_axes):
                drift[i] = between_nodes(left, right, i, elapsed / GRID - number)
                drift[i] += seconds * speeds[i]
            locate(legs, counts, own, body, now, drift, actual[stage, move], state)
            times[stage, move] = elapsed
