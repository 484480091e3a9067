"""The intervals of the deficits hold what they should, on stages that the simulator draws."""

from __future__ import annotations

import numpy as np

from analysis.alignment import analyse
from analysis.steps import steps_from_stops
from plans.stage import hysteresis_targets
from sim.fleet import run_fleet
from sim.stage import random_stage

STAGES, STEPS = 100, 5


def test_95_percent_intervals_hold_90_to_99_percent_of_the_deficits_without_chance():
    path = np.array(hysteresis_targets(0.0, 1e-6, STEPS, 3))
    moves = np.full((path.size, 5), np.nan)
    moves[:, 0] = path
    family = [random_stage(seed) for seed in range(STAGES)]
    run = run_fleet(family, moves)
    quiet = run_fleet([stage.without_chance() for stage in family], moves)
    signs = np.sign(np.diff(path)).reshape(-1, STEPS)[:, 0]
    held = []
    for k in range(STAGES):
        target, reported, actual = (
            1e6 * a[k, :, :2] for a in (run.target, run.reported, run.actual)
        )
        covariance = np.broadcast_to(1e-8 * np.eye(2), (path.size - 1, 2, 2))
        result = analyse(steps_from_stops(target, reported, np.diff(actual, axis=0), covariance))
        steps = 1e6 * np.diff(quiet.actual[k, :, 0]).reshape(-1, STEPS)
        for direction in (+1, -1):
            found = result.deficit("x", direction).actual
            m = found.recovery_steps
            if not found.recovered or m >= STEPS:
                continue
            turned = np.r_[False, signs[1:] != signs[:-1]] & (signs == direction)
            legs = direction * steps[turned]
            expected = np.mean(m * legs[:, m:].mean(axis=1) - legs[:, :m].sum(axis=1))
            held.append(found.low <= expected <= found.high)
    assert len(held) > 1.8 * STAGES
    assert 0.90 <= np.mean(held) <= 0.99
