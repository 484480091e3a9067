"""The kinds of stage against what is published of such stages, and the families drawn at random."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.fleet import run_fleet
from sim.stage import AXES, CASES, at_speed, profile, random_case, random_stage

UM, NM = 1e-6, 1e-9
DEG = np.pi / 180
REAL = ["jeol-like", "tfs-like"]


def on(axis: str, path) -> np.ndarray:
    targets = np.full((len(path), 5), np.nan)
    targets[:, AXES.index(axis)] = path
    return targets


@pytest.mark.parametrize("name", REAL)
def test_y_is_the_steadier_axis(name):
    parameters = profile(name)
    assert parameters.y.backlash < parameters.x.backlash
    assert parameters.y.repeatability < parameters.x.repeatability


@pytest.mark.parametrize(("name", "overshoot"), [("jeol-like", 10 * UM), ("tfs-like", 2 * UM)])
def test_the_overshoot_in_use_takes_up_the_backlash(name, overshoot):
    """SerialEM 10 um JEOL and 5 um TFS; Leginon 2 um TFS."""
    for axis in (profile(name).x, profile(name).y):
        assert overshoot - axis.way(overshoot) == pytest.approx(axis.backlash, rel=1e-9)
        assert axis.backlash > 0.05 * overshoot


def test_a_tfs_stage_reports_its_target_within_what_a_krios_does():
    """5 nm rms and 27 nm at most after a one-sided approach."""
    path = np.repeat(np.random.default_rng(1).uniform(-300, 300, 200), 2) * UM
    path[::2] -= 5 * UM
    run = run_fleet([profile("tfs-like")], on("x", path), seeds=[3])
    error = (run.reported - run.target)[0, 1::2, 0]
    error -= error.mean()
    assert np.std(error) == pytest.approx(5 * NM, rel=0.2)
    assert np.abs(error).max() < 27 * NM


def test_a_jeol_stage_reports_its_target_within_what_serialem_expects():
    path = np.random.default_rng(1).uniform(-300, 300, 400) * UM
    run = run_fleet([profile("jeol-like")], on("x", path), seeds=[3])
    assert np.abs((run.reported - run.target)[0, :, 0]).max() < 260 * NM


def test_the_first_step_after_a_reversal_is_short_even_in_the_reported_value():
    path = np.r_[np.arange(1, 7), np.arange(5, -1, -1)] * UM
    stages = [profile("jeol-like")] * 40
    steps = np.abs(np.diff(run_fleet(stages, on("x", path)).reported[:, :, 0], axis=1)).mean(axis=0)
    assert steps[5] == pytest.approx(1 * UM - 80 * NM, abs=4 * NM)
    np.testing.assert_allclose(np.delete(steps, 5)[1:], 1 * UM, atol=4 * NM)


def test_out_and_back_does_not_close():
    path = np.r_[np.arange(1, 6), np.arange(4, -1, -1)] * UM
    run = run_fleet([profile("jeol-like")] * 40, on("x", [-5 * UM, 0.0, *path]))
    closure = run.actual[:, -1, 0] - run.actual[:, 1, 0]
    assert np.median(closure) > 500 * NM


def test_a_tilt_series_moves_the_specimen_as_on_a_krios():
    """Over +-60 deg: image shift 0.45 and 0.69 um, defocus 4.2 um, within a factor of 2."""
    tilts = np.concatenate([[0], *([k, -k] for k in range(3, 61, 3))]) * DEG
    run = run_fleet([profile("tfs-like")] * 40, on("alpha", tilts), dwell=5.0)
    x, y, z = np.median(np.ptp(run.actual[:, :, :3], axis=1), axis=0)
    np.testing.assert_array_less([0.45 / 2, 0.69 / 2, 4.2 / 2], np.array([x, y, z]) / UM)
    np.testing.assert_array_less(np.array([x, y, z]) / UM, [0.45 * 2, 0.69 * 2, 4.2 * 2])


def krios_step() -> float:
    """Shift by a step of 3 degrees on one branch of a recorded tilt series, rms of both axes."""
    text = (Path(__file__).parents[1] / "data" / "em" / "tilt_series.mdoc").read_text()
    tilts = np.array([float(tilt) for tilt in re.findall(r"TiltAngle = (\S+)", text)])
    shifts = np.array([pair.split() for pair in re.findall(r"ImageShift = (.+)", text)], float)
    branches = [np.flatnonzero(side * tilts > -1.0) for side in (1, -1)]
    steps = np.concatenate([np.diff(shifts[branch], axis=0) for branch in branches])
    return float(np.sqrt(np.mean(np.sum(steps**2, axis=1)))) * UM


@pytest.mark.parametrize("scheme", ["continuous", "dose-symmetric"])
def test_a_step_of_3_degrees_shifts_a_stage_of_the_family_as_it_does_a_krios(scheme):
    """Stages at eucentric height and without the play that a tilt frees."""
    tilts = np.arange(-60, 61, 3)
    if scheme == "dose-symmetric":
        tilts = np.concatenate([[0], *([k, -k, -k - 3, k + 3] for k in range(3, 60, 6))])
    stages = []
    for stage in (random_stage(seed) for seed in range(60)):
        free = {
            name: replace(stage.axes[name], specimen_play=0.0, cells=()) for name in ("x", "y", "z")
        }
        assert stage.tilt is not None
        stages.append(replace(stage, **free, tilt=replace(stage.tilt, axis_z=0.0)))
    run = run_fleet(stages, on("alpha", tilts * DEG), dwell=1.5)
    order = np.argsort(tilts, kind="stable")
    steps = np.diff(run.actual[:, order[1:], :2], axis=1)
    shift = np.sqrt(np.mean(np.sum(steps**2, axis=2), axis=1))
    low, high = np.percentile(shift, [10, 90])
    assert low < krios_step() < high


def test_the_reported_value_differs_between_the_branches_of_a_tilt_series():
    """A Krios: 21 nm in x."""
    tilts = np.resize([10 * DEG, -10 * DEG], 200)
    run = run_fleet([profile("tfs-like")], on("alpha", tilts))
    x = run.reported[0, :, 0]
    assert x[::2].mean() - x[1::2].mean() == pytest.approx(21 * NM, abs=2 * NM)


@pytest.mark.parametrize(("speed", "seconds"), [("fast", 5.3), ("normal", 15.3), ("slow", 60.3)])
def test_a_way_of_300_um_takes_its_time_at_the_controllers_speeds(speed, seconds):
    axis = at_speed(profile("jeol-like"), speed).y
    assert axis.duration(300 * UM) == pytest.approx(seconds)


def test_random_stages_differ_and_their_steps_of_a_micrometre_exceed_the_play():
    stages = [random_stage(seed) for seed in range(50)]
    assert len({stage.x.backlash for stage in stages}) == 50
    assert all(axis.way(1 * UM) > 0.05 * UM for s in stages for axis in (s.x, s.y))
    assert stages[7] == random_stage(7)


@pytest.mark.parametrize("case", CASES)
def test_the_positions_of_a_case_agree_as_the_paper_says(case):
    """Slopes of reported and actual over the target, and what is left of them."""
    path = np.r_[np.arange(-5, 6), np.arange(4, -6, -1)] * UM
    for seed in range(20):
        run = run_fleet([random_case(case, seed)], on("x", [-9 * UM, *path]), seeds=[seed])
        target = run.target[0, 1:, 0]
        reported, reported_rest = slope(target, run.reported[0, 1:, 0])
        actual, actual_rest = slope(target, run.actual[0, 1:, 0])
        agree = [
            abs(reported - 1) < 0.005,  # target and reported
            abs(actual - 1) < 0.005,  # target and actual
            abs(actual - reported) < 0.005,  # reported and actual
        ]
        consistent = max(reported_rest, actual_rest) < 15 * NM
        assert consistent == (case != "f")
        if consistent:
            expected = {"a": [1, 1, 1], "b": [1, 0, 0], "c": [0, 1, 0], "d": [0, 0, 1]}
            assert agree == expected.get(case, [0, 0, 0])


def slope(target, position):
    line = np.polyfit(target, position, 1)
    return line[0], np.std(position - np.polyval(line, target))


def test_the_same_case_and_seed_give_the_same_stage_and_others_another():
    assert random_case("e", 4) == random_case("e", 4)
    assert random_case("e", 4) != random_case("e", 5)


def test_an_unknown_case_is_refused():
    with pytest.raises(ValueError, match="choose of a, b, c, d, e, f"):
        random_case("g", 0)


def test_a_stage_of_the_family_differs_from_another_by_its_seed_only():
    first, second = random_stage(1), random_stage(2)
    assert replace(first, name="") != replace(second, name="")


def test_without_chance_a_stage_does_the_same_in_every_run():
    path = np.r_[-5.0, np.arange(-4, 5), np.arange(3, -5, -1)] * UM
    quiet = random_stage(3).without_chance()
    found = run_fleet([quiet] * 3, on("x", [-9 * UM, *path]), seeds=[1, 2, 3]).actual[:, 2:, 0]
    np.testing.assert_allclose(found - found[:, :1], (found - found[:, :1])[[0, 0, 0]], atol=1 * NM)
