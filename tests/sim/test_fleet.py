"""The headless fleet is the live stage, and keeps the reference model's figures."""

from dataclasses import replace

import numpy as np
import pytest

from sim.fleet import run_fleet
from sim.stage import AXES, Stage, profile, random_stage

UM, NM = 1e-6, 1e-9


@pytest.mark.parametrize("dwell", [0.0, 0.7])
def test_a_fleet_does_to_the_last_bit_what_the_live_stage_does(dwell):
    parameters = [random_stage(3), profile("jeol-like"), profile("ideal")]
    rng = np.random.default_rng(1)
    targets = rng.uniform(-1, 1, (80, 5)) * [50 * UM, 50 * UM, 20 * UM, 0.3, 0.1]
    targets[rng.random(targets.shape) < 0.5] = np.nan
    fleet = run_fleet(parameters, targets, seeds=[11, 12, 13], dwell=dwell)
    for number, kind in enumerate(parameters):
        stage = Stage(kind, seed=11 + number, start_time=0.0)
        time = 0.0
        for move, goal in enumerate(targets):
            named = {n: float(v) for n, v in zip(AXES, goal, strict=True) if not np.isnan(v)}
            time = (stage.command(named, time) if named else time) + dwell
            assert fleet.time[number, move] == time
            reading = stage.readback(time)
            np.testing.assert_array_equal(fleet.reported[number, move], reading.position)
            np.testing.assert_array_equal(fleet.target[number, move], reading.target)
            np.testing.assert_array_equal(fleet.actual[number, move], stage.actual(time))


def test_stages_of_a_fleet_do_not_depend_on_each_other():
    targets = np.random.default_rng(0).uniform(-5, 5, (20, 5)) * [UM, UM, UM, 0.01, 0.01]
    stages = [random_stage(seed) for seed in range(4)]
    together = run_fleet(stages, targets).actual
    alone = run_fleet([stages[2]], targets, seeds=[2]).actual
    np.testing.assert_array_equal(together[2], alone[0])


@pytest.mark.parametrize(
    ("targets", "seeds", "message"),
    [
        (np.zeros((3, 4)), None, r"shape \(3, 4\)"),
        (np.full((3, 5), 1.0), None, "x target 1.0 m of stage jeol-like is outside"),
        (np.array([[0, 0, 200 * UM, 1.2, 0.5]]), None, "would touch the pole piece"),
        (np.zeros((3, 5)), [-1], "seeds"),
    ],
)
def test_what_a_fleet_cannot_do_is_refused(targets, seeds, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_fleet([profile("jeol-like")], targets, seeds=seeds)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def reference():
    """60 stages of the reference profile, the screw at any phase; 40 targets in +-30 um."""
    base = profile("jeol-like")
    assert base.x.periodic is not None
    stages = []
    for seed in range(60):
        phases = tuple(np.random.default_rng([seed, 77]).uniform(0, 2 * np.pi, 2))
        periodic = replace(base.x.periodic, phases=phases)
        stages.append(replace(base, x=replace(base.x, periodic=periodic)))
    rngs = [np.random.default_rng([seed, 5]) for seed in range(60)]
    return stages, np.array([rng.uniform(-30, 30, 40) * UM for rng in rngs])


def judged(stages, path, every=1):
    """Return actual and reported of x after every n-th move."""
    targets = np.full((*path.shape, 5), np.nan)
    targets[:, :, 0] = path
    run = run_fleet(stages, targets, dwell=0.5)
    kept = slice(every - 1, None, every)
    return run.actual[:, kept, 0], run.reported[:, kept, 0]


def rms(values):
    """Return the median over the stages of the rms of each, nm."""
    return float(np.median(np.sqrt(np.mean(values**2, axis=1)))) / NM


def test_naive_moves_miss_by_the_600_nm_of_the_reference(reference):
    stages, targets = reference
    actual, reported = judged(stages, targets)
    assert rms(actual - targets) == pytest.approx(611, rel=0.1)
    assert np.percentile(np.abs(actual - targets), 95) == pytest.approx(1070 * NM, rel=0.1)
    assert rms(reported - targets) == pytest.approx(40, rel=0.05)


def test_play_inversion_leaves_the_400_nm_of_the_reference(reference):
    stages, targets = reference
    direction = np.sign(np.diff(targets, axis=1, prepend=0.0))
    actual, _ = judged(stages, targets + 340 * NM * direction)
    assert rms(actual - targets) == pytest.approx(399, rel=0.1)


def test_over_travel_leaves_the_350_nm_of_the_reference(reference):
    """The lag behind a rise, half of the backlash, is a constant and taken off."""
    stages, targets = reference
    path = np.stack([targets - 10 * UM, targets], axis=2).reshape(len(targets), -1)
    actual, _ = judged(stages, path, every=2)
    error = actual - targets + 0.5 * stages[0].x.backlash
    assert rms(error) == pytest.approx(348, rel=0.1)
    assert 250 < rms(error - error.mean(axis=1, keepdims=True)) < 350  # a Krios: 247, 305 nm
