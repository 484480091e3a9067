"""What the stage reports, where it really is, and what is left of it between two readings."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.stage import AXES, Stage, StageParameters, profile, random_stage

UM, NM = 1e-6, 1e-9


def play_only(sensor: float, specimen: float) -> StageParameters:
    """Return an ideal stage with play in x."""
    ideal = profile("ideal")
    return replace(ideal, x=replace(ideal.x, sensor_play=sensor, specimen_play=specimen))


def walk(stage: Stage, targets, axis="x"):
    """Return reported and actual positions at rest after each of `targets`."""
    time, index = stage.start_time, AXES.index(axis)
    reported, actual = [], []
    for target in targets:
        time = stage.command({axis: float(target)}, time) + 5.0
        reported.append(stage.readback(time).position[index])
        actual.append(stage.actual(time)[index])
    return np.array(reported), np.array(actual)


@pytest.mark.parametrize("sign", [1, -1])
def test_first_step_deficits_are_the_widths_put_in(sign):
    stage = Stage(play_only(80 * NM, 600 * NM), seed=3, start_time=0.0)
    out = sign * np.arange(1, 6) * UM
    reported, actual = walk(stage, [*out, *out[-2::-1], 0.0])
    reported_steps, actual_steps = np.diff(reported), np.diff(actual)
    reversal = 4
    assert abs(reported_steps[reversal]) == pytest.approx(1 * UM - 80 * NM, abs=1e-3 * NM)
    assert abs(actual_steps[reversal]) == pytest.approx(1 * UM - 680 * NM, abs=1e-3 * NM)
    later = np.delete(actual_steps, [reversal])[1:]
    np.testing.assert_allclose(np.abs(later), 1 * UM, rtol=0, atol=1e-3 * NM)


def test_the_parameters_say_what_the_deficits_are():
    axis = play_only(80 * NM, 600 * NM).x
    assert axis.reported_backlash == 80 * NM
    assert axis.backlash == pytest.approx(680 * NM)


def test_a_step_inside_the_play_moves_the_sensor_but_not_the_specimen():
    stage = Stage(play_only(80 * NM, 600 * NM), seed=3, start_time=0.0)
    reported, actual = walk(stage, [5 * UM, 4.7 * UM])
    assert reported[1] - reported[0] == pytest.approx(-220 * NM, abs=1e-3 * NM)
    assert actual[1] == actual[0]


@pytest.mark.parametrize("axis", AXES)
def test_the_play_at_start_up_is_anywhere_within_its_width(axis):
    parameters = profile("jeol-like")
    width = parameters.axes[axis].specimen_play
    still = replace(profile("ideal").axes[axis], specimen_play=width)
    parameters = replace(profile("ideal"), **{axis: still})
    starts = [
        Stage(parameters, seed=seed, start_time=0.0).actual(0.0)[AXES.index(axis)]
        for seed in range(200)
    ]
    assert np.abs(starts).max() <= width / 2
    assert np.std(starts) == pytest.approx(width / math.sqrt(12), rel=0.12)


def test_an_ideal_stage_is_where_it_was_sent_and_says_so():
    reported, actual = walk(
        Stage(profile("ideal"), seed=1, start_time=0.0), [1 * UM, -3.3 * UM, 7 * NM]
    )
    assert reported.tolist() == actual.tolist() == [1 * UM, -3.3 * UM, 7 * NM]


def test_the_motor_comes_to_rest_with_the_noise_and_quantum_of_the_parameters():
    ideal = profile("ideal")
    axis = replace(ideal.x, motor_noise=40 * NM, motor_quantum=10 * NM)
    stage = Stage(replace(ideal, x=axis), seed=2, start_time=0.0)
    targets = np.resize([1 * UM, 2 * UM], 1000)
    _, actual = walk(stage, targets)
    errors = actual - targets
    assert np.std(errors) == pytest.approx(math.hypot(40 * NM, 10 * NM / math.sqrt(12)), rel=0.08)
    np.testing.assert_allclose(actual / (10 * NM), np.rint(actual / (10 * NM)), atol=1e-6)


def test_the_same_seed_and_commands_give_the_same_motion():
    first, second = (Stage(random_stage(4), seed=9, start_time=10.0) for _ in range(2))
    targets = [1 * UM, 3 * UM, -2 * UM]
    np.testing.assert_array_equal(walk(first, targets), walk(second, targets))


def test_another_seed_gives_another_motion():
    first, second = (Stage(random_stage(4), seed=seed, start_time=10.0) for seed in (1, 2))
    assert not np.array_equal(walk(first, [UM])[1], walk(second, [UM])[1])


def test_reading_changes_nothing():
    read, unread = (Stage(profile("jeol-like"), seed=9, start_time=0.0) for _ in range(2))
    for stage in (read, unread):
        end = stage.command({"x": 5 * UM}, 0.0)
        if stage is read:
            for time in np.random.default_rng(0).uniform(0, 40, 200):
                stage.readback(time)
                stage.actual(time)
                stage.actual(np.linspace(0, 5000.0, 7))
        stage.stop(0.5 * end)
        stage.command({"x": -1 * UM, "alpha": 0.02}, end)
    times = np.linspace(0, 40, 301)
    np.testing.assert_array_equal(read.actual(times), unread.actual(times))
    for time in times:
        np.testing.assert_array_equal(read.readback(time).position, unread.readback(time).position)


def test_an_array_of_times_gives_what_each_time_gives():
    stage = Stage(profile("jeol-like"), seed=9, start_time=0.0)
    end = stage.command({"x": 5 * UM, "z": 1 * UM}, 0.0)
    stage.command({"x": 0.0}, end + 1.0)
    times = np.random.default_rng(1).uniform(0, 5, 50)
    together = stage.actual(times)
    assert together.shape == (50, 5)
    np.testing.assert_array_equal(together, [stage.actual(float(time)) for time in times])


def test_the_past_stays_as_it_was():
    stage = Stage(profile("jeol-like"), seed=9, start_time=0.0)
    stage.command({"x": 50 * UM}, 0.0)
    times = np.linspace(0, 1.0, 11)
    before = stage.actual(times)
    stage.stop(1.0)
    stage.command({"x": -5 * UM}, 2.0)
    np.testing.assert_array_equal(stage.actual(times), before)


def test_a_reading_is_renewed_at_the_interval_and_late_by_the_latency():
    parameters = profile("jeol-like")
    stage = Stage(parameters, seed=9, start_time=0.0)
    stage.command({"x": 50 * UM}, 0.0)
    times = np.arange(0.0, 3.0, 0.01) + 0.001
    reported = np.array([stage.readback(t).position[0] for t in times])
    renewed = times[1:][np.diff(reported) != 0] - parameters.readback_latency
    moving = renewed[(renewed > 0.4) & (renewed < 2.0)]
    np.testing.assert_allclose(np.diff(moving), 0.2, atol=0.011)
    np.testing.assert_allclose(np.mod(moving + 0.005, 0.2), 0.0, atol=0.012)


def test_the_noise_of_the_readback_is_that_of_the_parameters():
    parameters = profile("jeol-like")
    stage = Stage(parameters, seed=9, start_time=0.0)
    reported = [stage.readback(float(t)).position[0] for t in np.arange(1000) * 0.2 + 0.1]
    assert np.std(reported) == pytest.approx(3 * NM, rel=0.1)
    assert len(set(reported)) > 50


def test_when_moving_falls_the_reported_position_is_final():
    parameters = profile("jeol-like")
    parameters = replace(parameters, x=replace(parameters.x, readback_noise=0.0))
    stage = Stage(parameters, seed=9, start_time=0.0)
    end = stage.command({"x": 5 * UM}, 0.1)
    readings = [stage.readback(float(t)) for t in np.arange(0.1, 3.0, 0.01)]
    assert readings[0].moving.tolist() == [True, False, False, False, False]
    idle = [r for r in readings if not r.moving[0]]
    assert end <= idle[0].time <= end + parameters.readback_lag + 0.01
    assert {r.position[0] for r in idle} == {stage.readback(50.0).position[0]}


def test_direction_and_travel_are_those_commanded_since_the_reversal():
    stage = Stage(profile("jeol-like"), seed=9, start_time=0.0)
    known = []
    time = 0.0
    for target in (1.0, 3.0, 2.5, 1.0, 4.0):
        time = stage.command({"y": target * UM}, time) + 1.0
        reading = stage.readback(time)
        known.append((int(reading.direction[1]), round(reading.travel[1] / UM, 9)))
    assert known == [(1, 1.0), (1, 3.0), (-1, 0.5), (-1, 2.0), (1, 3.0)]
    assert stage.readback(time).direction.tolist() == [0, 1, 0, 0, 0]


def test_travel_of_a_stopped_move_is_what_was_driven():
    stage = Stage(profile("ideal"), seed=9, start_time=0.0)
    stage.command({"x": 50 * UM}, 0.0)
    stage.stop(1.0)
    reading = stage.readback(5.0)
    assert reading.travel[0] == pytest.approx(reading.position[0])
    assert 0 < reading.position[0] < 30 * UM


def test_an_axis_on_its_target_is_left_alone():
    stage = Stage(profile("jeol-like"), seed=9, start_time=0.0)
    end = stage.command({"x": 1 * UM}, 0.0)
    before = stage.readback(10.0).position[0]
    assert stage.command({"x": 1 * UM}, end + 10.0) == end + 10.0
    assert stage.readback(10.0).position[0] == before


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"x": 1.0}, r"x target 1.0 m is outside -0.00099..0.00099 m"),
        ({"x": math.nan}, r"x target nan m is outside"),
        ({"alpha": 82.0}, r"alpha target 82.0 rad is outside -1.2"),
        ({"gamma": 0.0}, r"'gamma' is unknown: choose of x, y, z, alpha, beta"),
        ({}, r"name one of x, y, z, alpha, beta"),
        ({"y": 1e-6, "x": -math.inf}, r"x target -inf m is outside"),
    ],
)
def test_a_bad_command_is_refused_and_moves_nothing(targets, message):
    stage = Stage(profile("ideal"), seed=9, start_time=0.0)
    with pytest.raises(ValueError, match=message) as caught:
        stage.command(targets, 1.0)
    assert "\n" not in str(caught.value)
    assert not stage.actual(100.0).any()
    assert not stage.readback(1.0).moving.any()


def test_a_command_before_the_last_one_is_refused_but_a_stop_never_is():
    stage = Stage(profile("ideal"), seed=9, start_time=0.0)
    stage.command({"x": 50 * UM}, 2.0)
    with pytest.raises(ValueError, match="not before the last one"):
        stage.command({"x": 0.0}, 1.9)
    stage.stop(1.9)
    assert stage.readback(3.0).position[0] == 0.0


@pytest.mark.parametrize("time", [-1.0, math.nan, math.inf])
def test_a_time_before_the_start_is_refused(time):
    stage = Stage(profile("ideal"), seed=9, start_time=0.0)
    with pytest.raises(ValueError, match=r"from 0\.0 s on"):
        stage.actual(time)
    with pytest.raises(ValueError, match=r"from 0\.0 s on"):
        stage.readback(time)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="choose one of ideal, jeol-like, tfs-like"):
        profile("hitachi")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_cannot_be_used_is_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        Stage(profile("ideal"), seed=seed, start_time=0.0)
