"""Closed forms: the play operator and the trapezoid in speed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.motion import plan_leg
from sim.play import play
from sim.stage import AXES, Stage, profile, random_stage
from sim.stage_parameters import AxisParameters

UM, NM = 1e-6, 1e-9


def quiet(**changes) -> Stage:
    """Return an ideal stage whose x axis differs by `changes`."""
    ideal = profile("ideal")
    return Stage(replace(ideal, x=replace(ideal.x, **changes)), seed=5, start_time=0.0)


def test_play_transmits_nothing_inside_its_width():
    assert play(0.4, 0.5, 0.0) == 0.0


def test_play_pushes_from_behind():
    assert play(2.0, 0.5, 0.0) == 1.5
    assert play(-2.0, 0.5, 0.0) == -1.5


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=20),
    st.floats(0, 3),
    st.floats(-0.5, 0.5),
)
def test_play_of_a_path_is_play_of_its_turning_points(path, half_width, start):
    coarse = fine = start * half_width
    here = 0.0
    for turning_point in path:
        coarse = play(turning_point, half_width, coarse)
        for position in np.linspace(here, turning_point, 7):
            fine = play(position, half_width, fine)
        here = turning_point
    assert fine == pytest.approx(coarse, abs=1e-12)
    assert abs(fine - here) <= half_width + 1e-12


@pytest.mark.parametrize("distance", [0.1 * UM, 1 * UM, 6 * UM, 100 * UM])
def test_a_move_takes_the_time_of_the_trapezoid(distance):
    speed, acceleration = 20 * UM, 20 * UM / 0.3
    long = distance > speed**2 / acceleration
    expected = distance / speed + 0.3 if long else 2 * math.sqrt(distance / acceleration)
    stage = quiet()
    assert stage.command({"x": distance}, 0.0) == pytest.approx(expected, rel=1e-12)
    assert profile("ideal").x.duration(distance) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("distance", [1 * UM, -37 * UM])
def test_speed_and_acceleration_stay_within_the_parameters(distance):
    stage = quiet()
    end = stage.command({"x": distance}, 0.0)
    times = np.linspace(0.0, end + 0.1, 4001)
    x = stage.actual(times)[:, 0]
    speed = np.gradient(x, times)
    assert np.abs(speed).max() <= 20 * UM * (1 + 1e-9)
    assert np.abs(np.gradient(speed, times)).max() <= 20 * UM / 0.3 * (1 + 1e-3)
    assert x[-1] == distance
    assert np.all(np.diff(x) * np.sign(distance) >= 0)


@given(st.floats(0, 1), st.floats(1.0, 50.0))
def test_a_leg_that_begins_at_speed_covers_its_distance(fraction, reserve):
    speed, acceleration = 20 * UM, 66 * UM
    start = fraction * speed
    distance = reserve * 0.5 * start**2 / acceleration + 1 * NM
    cruise, up, down, total = plan_leg(distance, start, speed, acceleration)
    covered = 0.5 * (start + cruise) * up + cruise * (total - up - down) + 0.5 * cruise * down
    assert covered == pytest.approx(distance, rel=1e-9)
    assert cruise <= speed


def test_motion_begins_after_the_start_delay():
    parameters = profile("jeol-like")
    stage = Stage(parameters, seed=1, start_time=0.0)
    before = stage.actual(0.0)[0]
    end = stage.command({"x": 50 * UM}, 0.0)
    drift = 1 * NM
    assert abs(stage.actual(parameters.start_delay)[0] - before) < drift
    assert end == pytest.approx(parameters.start_delay + 50 / 20 + 0.3, abs=1e-2)


def test_all_axes_move_at_the_same_time():
    stage = Stage(profile("ideal"), seed=1, start_time=0.0)
    targets = {"x": 3 * UM, "y": -2 * UM, "z": 1 * UM, "alpha": 0.1, "beta": -0.05}
    end = stage.command(targets, 0.0)
    axes = profile("ideal").axes
    longest = max(axes[name].duration(target) for name, target in targets.items())
    assert end == pytest.approx(longest, rel=1e-12)
    assert stage.actual(end).tolist() == [targets[name] for name in AXES]


def test_stop_brakes_at_the_deceleration_of_the_axis():
    stage = quiet()
    stage.command({"x": 100 * UM}, 0.0)
    stage.stop(2.0)
    at_stop = 20 * UM * (2.0 - 0.15)
    rest = at_stop + (20 * UM) ** 2 / (2 * 20 * UM / 0.3)
    assert stage.actual(2.0)[0] == pytest.approx(at_stop, rel=1e-12)
    assert stage.actual(2.3)[0] == pytest.approx(rest, rel=1e-12)
    assert stage.actual(50.0)[0] == stage.actual(2.3 + 1e-9)[0]
    assert stage.readback(50.0).target[0] == pytest.approx(rest, rel=1e-12)


def test_stop_before_the_motion_begins_moves_nothing():
    stage = Stage(profile("jeol-like"), seed=1, start_time=0.0)
    stage.command({"x": 50 * UM}, 1.0)
    stage.stop(1.1)
    assert abs(stage.actual(20.0)[0] - stage.actual(0.0)[0]) < 5 * NM  # drift
    assert stage.readback(20.0).target[0] == 0.0
    assert not stage.readback(20.0).moving.any()


def test_a_new_target_ahead_is_taken_without_a_halt():
    stage = quiet()
    stage.command({"x": 20 * UM}, 0.0)
    end = stage.command({"x": 40 * UM}, 0.6)
    assert end == pytest.approx(40 / 20 + 0.3, rel=1e-9)
    assert stage.actual(end)[0] == 40 * UM


@pytest.mark.parametrize("target", [-5 * UM, 0.0, 12 * UM])
def test_a_new_target_behind_is_reached_after_braking(target):
    stage = quiet()
    stage.command({"x": 40 * UM}, 0.0)
    at = 20 * UM * (0.7 - 0.15)
    turning = at + (20 * UM) ** 2 / (2 * 20 * UM / 0.3)
    end = stage.command({"x": target}, 0.7)
    x = stage.actual(np.linspace(0.0, end, 2001))[:, 0]
    assert x.max() == pytest.approx(turning, rel=1e-4)
    assert x[-1] == target
    assert end == pytest.approx(0.7 + 0.3 + profile("ideal").x.duration(turning - target))
    assert np.abs(np.diff(x)).max() <= 20 * UM * end / 2000 * 1.001


@pytest.mark.parametrize("seed", range(5))
def test_no_position_ever_jumps_under_random_commands_and_stops(seed):
    drawn = random_stage(seed).x
    x = replace(
        profile("ideal").x,
        speed=drawn.speed,
        motor_noise=drawn.motor_noise,
        sensor_play=drawn.sensor_play,
        specimen_play=drawn.specimen_play,
        cells=drawn.cells,
    )
    parameters = replace(profile("ideal"), x=x)
    stage = Stage(parameters, seed=seed, start_time=0.0)
    rng = np.random.default_rng(seed)
    time = 0.0
    for _ in range(40):
        time += rng.exponential(0.5)
        if rng.random() < 0.3:
            stage.stop(time)
        else:
            stage.command({"x": rng.uniform(-20, 20) * UM}, time)
    times = np.arange(0.0, time + 5.0, 1e-3)
    steps = np.abs(np.diff(stage.actual(times)[:, 0]))
    assert steps.max() <= parameters.x.speed * 1e-3 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": 0.0}, "speed 0.0 is not allowed"),
        ({"sensor_play": -1.0}, "sensor_play -1.0 is not allowed"),
        ({"unit": "mm"}, "'m' or 'rad'"),
        ({"lower": 2.0}, "lower below upper"),
        ({"motor_noise": math.nan}, "motor_noise nan is not allowed"),
    ],
)
def test_impossible_parameters_are_refused(change, message):
    good = {"unit": "m", "lower": -1.0, "upper": 1.0, "speed": 1.0, "acceleration_time": 1.0}
    with pytest.raises(ValueError, match=message):
        AxisParameters(**{**good, **change})
