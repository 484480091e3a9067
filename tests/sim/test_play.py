"""Play and Prandtl-Ishlinskii: the theorems that the operators must obey (Krejci 1996)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.fleet import run_fleet
from sim.play import play, play_between
from sim.stage import StageParameters, profile
from sim.stage_effects import Cell

UM, NM = 1e-6, 1e-9

inputs = st.lists(st.floats(-10, 10), min_size=1, max_size=20)


def output(path, half_width, start=0.0):
    """Return the play's output after each of `path`."""
    out = [start]
    for position in path:
        out.append(play(position, half_width, out[-1]))
    return out[1:]


def with_cells(play_width: float, *cells: tuple[float, float]) -> StageParameters:
    ideal = profile("ideal")
    held = tuple(Cell(half_width, weight) for half_width, weight in cells)
    return replace(ideal, x=replace(ideal.x, specimen_play=play_width, cells=held))


def drive(stage: StageParameters, path) -> np.ndarray:
    """Return where the specimen is at the end of each move of x."""
    targets = np.full((len(path), 5), np.nan)
    targets[:, 0] = path
    return run_fleet([stage], targets, seeds=[4]).actual[0, :, 0]


@given(inputs, st.floats(0, 3))
def test_stop_is_what_play_leaves_and_stays_within_its_half_width(path, half_width):
    stop = np.array(path) - output(path, half_width)
    assert np.all(np.abs(stop) <= half_width + 1e-12)


@given(inputs, st.floats(0, 3))
def test_the_stop_follows_its_own_definition(path, half_width):
    """s(t) = min(r, max(-r, s(t0) + u(t) - u(t0)))."""
    stop, before = 0.0, 0.0
    expected = []
    for position in path:
        stop = min(half_width, max(-half_width, stop + position - before))
        before = position
        expected.append(stop)
    np.testing.assert_allclose(np.array(path) - output(path, half_width), expected, atol=1e-9)


@given(inputs, st.floats(0, 2), st.floats(0, 2))
def test_plays_in_series_are_a_play_of_the_sum_of_their_widths(path, first, second):
    series = output(output(path, first), second)
    np.testing.assert_allclose(series, output(path, first + second), atol=1e-9)


@given(inputs, st.floats(0.1, 2), st.floats(0.1, 2))
def test_a_play_with_two_sides_is_a_shifted_play_of_their_mean(path, rising, falling):
    sided = [0.0]
    for position in path:
        sided.append(play_between(position, rising, falling, sided[-1]))
    shift = 0.5 * (rising - falling)
    plain = output(path, 0.5 * (rising + falling), shift)
    np.testing.assert_allclose(sided[1:], np.array(plain) - shift, atol=1e-9)


def test_the_specimen_does_not_depend_on_the_speed():
    slow = with_cells(600 * NM, (150 * NM, 0.15), (500 * NM, 0.10))
    fast = replace(slow, x=replace(slow.x, speed=60 * UM))
    path = np.random.default_rng(0).uniform(-3, 3, 50) * UM
    np.testing.assert_array_equal(drive(slow, path), drive(fast, path))


def test_a_closed_inner_loop_is_forgotten():
    stage = with_cells(600 * NM, (150 * NM, 0.15), (500 * NM, 0.10))
    without = drive(stage, [-9 * UM, 2 * UM, 9 * UM])
    inner = drive(stage, [-9 * UM, 2 * UM, 0.5 * UM, 1.7 * UM, 0.9 * UM, 1.2 * UM, 2 * UM, 9 * UM])
    assert inner[-2] == pytest.approx(without[1], abs=1e-6 * NM)  # return-point memory
    assert inner[-1] == pytest.approx(without[2], abs=1e-6 * NM)


def test_minor_loops_between_the_same_ends_are_congruent():
    stage = with_cells(600 * NM, (150 * NM, 0.15), (500 * NM, 0.10))
    up_and_down = np.r_[np.linspace(2.0, 3.0, 21), np.linspace(3.0, 2.0, 21)[1:]] * UM
    low = drive(stage, [-9 * UM, *up_and_down, *up_and_down])[-40:]
    high = drive(stage, [9 * UM, *up_and_down, *up_and_down])[-40:]
    np.testing.assert_allclose(low - low[-1], high - high[-1], atol=1e-6 * NM)
    assert abs(low[-1] - high[-1]) > 10 * NM


def test_a_loop_has_the_area_of_the_closed_form():
    """A play of half width r driven over +-A encloses 4 r (A - r); a sum, the weighted sum."""
    half, cells, amplitude = 300 * NM, ((150 * NM, 0.15), (500 * NM, 0.10)), 4 * UM
    stage = with_cells(2 * half, *cells)
    turn = np.linspace(0, 2 * np.pi, 4001)
    path = amplitude * np.sin(turn)
    actual = drive(stage, [*path, *path[1:]])[-4000:]
    area = abs(np.sum(0.5 * (actual + np.roll(actual, 1)) * (path[1:] - np.roll(path[1:], 1))))
    parts = [(half, 0.75), *((half + r, weight) for r, weight in cells)]
    expected = sum(weight * 4 * r * (amplitude - r) for r, weight in parts)
    assert area == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("way", [0.05, 0.5, 0.9, 1.3, 3.0])
def test_the_way_after_a_reversal_is_the_parameters_closed_form(way):
    stage = with_cells(600 * NM, (150 * NM, 0.15), (500 * NM, 0.10))
    stage = replace(stage, x=replace(stage.x, sensor_play=80 * NM, specimen_asymmetry=1.15))
    actual = drive(stage, [9 * UM, (9 - way) * UM])
    assert actual[0] - actual[1] == pytest.approx(stage.x.way(way * UM), abs=1e-6 * NM)


def test_the_backlash_is_all_that_a_long_leg_loses():
    stage = with_cells(600 * NM, (150 * NM, 0.15), (500 * NM, 0.10))
    assert stage.x.backlash == pytest.approx((600 + 0.15 * 300 + 0.10 * 1000) * NM)
    actual = drive(stage, [9 * UM, 0.0])
    assert 9 * UM - (actual[0] - actual[1]) == pytest.approx(stage.x.backlash, abs=1e-6 * NM)
