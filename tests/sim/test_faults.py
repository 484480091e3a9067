"""What goes wrong: limits that act together, quirks, disturbances by tilts, injected faults."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from sim.faults import Fault, FaultPlan
from sim.stage import AXES, Stage, profile
from sim.stage_effects import PolePiece, TiltDisturbance

UM, NM, DEG = 1e-6, 1e-9, math.pi / 180


def ideal(faults: FaultPlan | None = None, **changes) -> Stage:
    parameters = replace(profile("ideal"), **changes)
    return Stage(parameters, seed=5, start_time=0.0, faults=faults or FaultPlan())


@pytest.mark.parametrize(
    "target", [{"alpha": 70 * DEG}, {"beta": 29.7 * DEG}, {"z": 220 * UM}, {"z": -220 * UM}]
)
def test_every_axis_alone_may_go_to_its_limit(target):
    ideal(pole_piece=PolePiece()).command(target, 0.0)


def test_all_at_their_limits_would_touch_and_nothing_moves():
    stage = ideal(pole_piece=PolePiece())
    with pytest.raises(ValueError, match="at its target the holder would touch the pole piece"):
        stage.command({"alpha": -70 * DEG, "beta": 29.7 * DEG, "z": 100 * UM}, 0.0)
    assert not stage.actual(50.0).any()


def test_the_room_at_the_pole_piece_is_that_of_a_tilted_slab():
    rule = PolePiece(clearance=2e-3, half_width=1.5e-3, half_length=1e-3)
    room = rule.room(30 * DEG, -30 * DEG, -100 * UM)
    assert room == pytest.approx(2e-3 - 0.75e-3 - 0.5e-3 - 0.1e-3)


def test_axes_that_stand_count_too():
    stage = ideal(pole_piece=PolePiece())
    end = stage.command({"beta": 29.7 * DEG}, 0.0)
    with pytest.raises(ValueError, match="pole piece"):
        stage.command({"alpha": 70 * DEG}, end)


def test_a_touch_on_the_way_between_two_allowed_places_is_refused():
    slow = replace(profile("ideal").alpha, speed=1 * DEG)
    stage = ideal(pole_piece=PolePiece(), alpha=slow)
    end = stage.command({"alpha": 70 * DEG, "z": 150 * UM}, 0.0)
    # beta is at 29 deg, 5 deg/s, before alpha has left: 1.5 mm sin 64 + 1 mm sin 29 + 0.15 mm
    with pytest.raises(ValueError, match="on its way"):
        stage.command({"alpha": 1 * DEG, "beta": 29 * DEG}, end + 1.0)


def test_a_way_that_stays_clear_is_allowed_though_its_corners_are_not():
    stage = ideal(pole_piece=PolePiece())
    end = stage.command({"alpha": 60 * DEG}, 0.0)
    stage.command({"alpha": 0.0, "beta": 29 * DEG}, end + 1.0)


def test_a_controller_with_the_quirk_says_idle_just_after_a_command():
    stage = ideal(early_idle=0.3)
    stage.command({"x": 20 * UM}, 1.0)
    moving = [bool(stage.readback(t).moving[0]) for t in (1.0, 1.29, 1.31, 2.0)]
    assert moving == [False, False, True, True]


@pytest.mark.parametrize("axis", ["alpha", "beta"])
def test_a_tilt_leaves_the_play_anywhere(axis):
    base = profile("ideal")
    still = TiltDisturbance(wander=0.0, step=0.0)
    parameters = replace(base, x=replace(base.x, specimen_play=600 * NM), tilt_disturbance=still)
    places = []
    for seed in range(300):
        stage = Stage(parameters, seed=seed, start_time=0.0)
        end = stage.command({"x": 5 * UM}, 0.0)
        end = stage.command({axis: 0.2}, end)
        places.append(stage.actual(end + 60.0)[0] - 5 * UM)
    assert np.abs(places).max() <= 300 * NM
    assert np.std(places) == pytest.approx(600 * NM / math.sqrt(12), rel=0.12)


@pytest.mark.parametrize(("tilt", "shift"), [(1.0, 43.3), (3.0, 75.0), (27.0, 225.0)])
def test_a_tilt_shifts_the_specimen_by_its_square_root(tilt, shift):
    disturbance = TiltDisturbance(wander=75 * NM, step=0.0)
    parameters = replace(profile("ideal"), tilt_disturbance=disturbance)
    shifts = []
    for seed in range(400):
        stage = Stage(parameters, seed=seed, start_time=0.0)
        end = stage.command({"alpha": tilt * DEG}, 0.0)
        shifts.append(stage.actual(end + 60.0)[:3])
    np.testing.assert_allclose(np.std(shifts, axis=0), shift * NM, rtol=0.15)


def test_a_tilt_that_is_come_back_to_finds_the_specimen_where_it_was():
    disturbance = TiltDisturbance(wander=75 * NM, step=0.0)
    parameters = replace(profile("ideal"), tilt_disturbance=disturbance)
    stage = Stage(parameters, seed=4, start_time=0.0)
    places, end = [], 0.0
    for tilt in (6.0, -9.0, 6.0):
        end = stage.command({"alpha": tilt * DEG}, end) + 60.0
        places.append(stage.actual(end)[:3])
    np.testing.assert_allclose(places[2], places[0], atol=1e-3 * NM)
    assert np.abs(places[1] - places[0]).max() > 10 * NM


def test_a_tilt_does_not_disturb_a_motion_under_way():
    parameters = replace(profile("ideal"), tilt_disturbance=TiltDisturbance())
    stage = Stage(parameters, seed=1, start_time=0.0)
    end = stage.command({"x": 40 * UM}, 0.0)
    stage.command({"alpha": 0.1}, 0.5)
    assert stage.readback(end).position[0] == pytest.approx(40 * UM, abs=1e-3 * NM)
    assert stage.readback(end + 1e-6).moving.tolist() == [False] * 5


@pytest.mark.parametrize("seed", range(5))
def test_no_position_jumps_when_everything_is_disturbed(seed):
    parameters = profile("jeol-like")
    stage = Stage(parameters, seed=seed, start_time=0.0)
    rng = np.random.default_rng(seed)
    time = 0.0
    for _ in range(40):
        time += rng.exponential(0.7)
        if rng.random() < 0.2:
            stage.stop(time)
        elif rng.random() < 0.1:
            stage.switch_beam(time)
        else:
            name = AXES[rng.integers(5)]
            stage.command({name: rng.uniform(-1, 1) * (5 * UM if name in "xyz" else 0.05)}, time)
    times = np.arange(0.0, time + 5.0, 1e-4)
    steps = np.abs(np.diff(stage.actual(times)[:, :3], axis=0))
    assert steps.max() < 3 * NM + 1e-4 * 25 * UM


def test_the_beam_warms_the_specimen_with_its_time_constant():
    stage = ideal(beam_step=5 * NM)
    stage.switch_beam(10.0)
    before, after, end = stage.actual(np.array([10.0, 70.0, 2000.0]))[:, 0]
    assert before == 0
    assert after / end == pytest.approx(1 - math.exp(-1))
    assert 0 < abs(end) < 25 * NM


def test_a_limit_switch_halts_the_stage_with_status_2():
    stage = ideal(FaultPlan(scheduled={1: Fault("limiter", reach=0.25)}))
    end = stage.command({"x": 8 * UM}, 0.0)
    end = stage.command({"x": 16 * UM}, end)
    reading = stage.readback(end)
    assert reading.position[0] == pytest.approx(10 * UM)
    assert reading.target[0] == pytest.approx(10 * UM)
    assert reading.status.tolist() == [2, 0, 0, 0, 0]
    end = stage.command({"x": 16 * UM}, end)
    assert stage.readback(end).status[0] == 0
    assert stage.readback(end).position[0] == 16 * UM


def test_faults_of_the_line_are_announced_to_the_driver():
    stage = ideal(FaultPlan(scheduled={0: Fault("timeout"), 1: Fault("block", seconds=30.0)}))
    assert stage.fault is not None
    assert stage.fault.kind == "timeout"
    stage.lose_command()
    assert stage.fault is not None
    assert stage.fault.seconds == 30.0
    stage.command({"x": 1 * UM}, 0.0)
    assert stage.fault is None


def test_faults_come_as_often_as_they_should_and_to_the_same_commands_every_time():
    plan = FaultPlan(timeout=0.02, block=0.03, limiter=0.05)
    kinds = [f.kind if (f := plan.of_command(n, 7)) else "" for n in range(20_000)]
    for kind, rate in (("timeout", 0.02), ("block", 0.03), ("limiter", 0.05)):
        assert kinds.count(kind) / 20_000 == pytest.approx(rate, rel=0.15)
    again = [f.kind if (f := plan.of_command(n, 7)) else "" for n in range(100)]
    assert again == kinds[:100]


def test_a_dropped_reading_repeats_the_one_before():
    parameters = replace(profile("jeol-like"), early_idle=0.0)
    whole = Stage(parameters, seed=3, start_time=0.0)
    holed = Stage(parameters, seed=3, start_time=0.0, faults=FaultPlan(dropped=0.5))
    times = np.arange(100) * 0.2 + 0.1
    full = [whole.readback(float(t)).position[0] for t in times]
    some = [holed.readback(float(t)).position[0] for t in times]
    repeated = np.mean([b == c for b, c in itertools.pairwise(some)])
    assert repeated == pytest.approx(0.5, abs=0.15)
    assert set(some) <= set(full)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault("fire"), "'fire' is unknown"),
        (lambda: Fault("limiter", reach=1.0), "reach 1.0"),
        (lambda: FaultPlan(timeout=0.6, block=0.6), r"1\.2"),
        (lambda: PolePiece(clearance=0.0), "clearance 0.0"),
    ],
)
def test_impossible_faults_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
