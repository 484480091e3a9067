"""Screw, slip, sticking and creep, each alone on an otherwise ideal axis."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.fleet import run_fleet
from sim.stage import Stage, StageParameters, profile
from sim.stage_effects import Creep, PeriodicError, StickyRegion

UM, NM = 1e-6, 1e-9


def with_x(**changes) -> StageParameters:
    ideal = profile("ideal")
    return replace(ideal, x=replace(ideal.x, **changes))


def errors(stage: StageParameters, path, seeds=(2,), dwell=1.0) -> np.ndarray:
    """Return actual less target of x after each move of `path`, a row a seed."""
    targets = np.full((len(path), 5), np.nan)
    targets[:, 0] = path
    run = run_fleet([stage] * len(seeds), targets, seeds=seeds, dwell=dwell)
    return run.actual[:, :, 0] - run.target[:, :, 0]


def test_the_screw_adds_its_two_harmonics_and_nothing_at_zero():
    screw = PeriodicError(61.9 * UM, (350 * NM, 120 * NM), (0.7, 2.1))
    path = np.linspace(-90, 90, 61) * UM
    turn = 2 * np.pi * path / (61.9 * UM)
    expected = 350 * NM * (np.sin(turn + 0.7) - math.sin(0.7))
    expected += 120 * NM * (np.sin(2 * turn + 2.1) - math.sin(2.1))
    np.testing.assert_allclose(errors(with_x(periodic=screw), path)[0], expected, atol=1e-6 * NM)


def test_long_moves_slip_as_an_autoregression():
    """s <- 0.7 s + N(0, 80 nm): standard deviation 80 / sqrt(1 - 0.49), correlation 0.7."""
    path = np.resize([0.0, 5 * UM], 4000)
    slip = errors(with_x(repeatability=80 * NM), path)[0]
    assert np.std(slip) == pytest.approx(80 * NM / math.sqrt(1 - 0.49), rel=0.07)
    assert np.corrcoef(slip[1:], slip[:-1])[0, 1] == pytest.approx(0.7, abs=0.05)
    assert np.std(slip[1:] - 0.7 * slip[:-1]) == pytest.approx(80 * NM, rel=0.05)


def test_short_moves_slip_in_proportion():
    path = np.arange(1, 3000) * 0.1 * UM
    slip = errors(with_x(repeatability=80 * NM), path)[0]
    innovation = slip[1:] - 0.7**0.05 * slip[:-1]
    assert np.std(innovation) == pytest.approx(80 * NM * 0.05, rel=0.05)


def test_a_move_that_does_not_reach_the_specimen_does_not_let_it_slip():
    stage = with_x(repeatability=80 * NM, specimen_play=600 * NM)
    actual = errors(stage, [5 * UM, 4.8 * UM, 4.6 * UM])[0] + [5 * UM, 4.8 * UM, 4.6 * UM]
    assert actual[0] == actual[1] == actual[2]


def test_half_of_the_moves_below_the_threshold_stick():
    stage = with_x(stick_threshold=25 * NM)
    found = errors(stage, [0.0, 10 * NM], seeds=range(2000))[:, 1]
    assert np.mean(found < -9 * NM) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000))
    assert set(np.round(found / NM, 6)) == {-10.0, 0.0}


def test_what_stuck_is_released_by_a_longer_move():
    found = errors(with_x(stick_threshold=25 * NM), [0.0, 10 * NM, 1 * UM], seeds=range(50))
    np.testing.assert_allclose(found[:, 2], 0.0, atol=1e-6 * NM)


def test_a_sticky_region_makes_moves_slip_more():
    region = StickyRegion(4 * UM, 6 * UM, factor=3.0)
    stage = with_x(repeatability=10 * NM, slip_memory=0.0, sticky=region)
    found = errors(stage, np.resize([0.0, 5 * UM], 2000))[0]
    assert np.std(found[1::2]) / np.std(found[::2]) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(("way", "held"), [(0.5 * UM, 30 * NM), (5 * UM, 60 * NM)])
def test_the_orings_hold_back_and_give_by_two_exponentials(way, held):
    stage = Stage(with_x(creep=Creep()), seed=1, start_time=0.0)
    end = stage.command({"x": way}, 0.0)
    times = np.array([0.0, 1.0, 4.0, 20.0, 60.0, 300.0])
    short = way - stage.actual(end + times)[:, 0]
    expected = held * (0.6 * np.exp(-times / 4) + 0.4 * np.exp(-times / 60))
    np.testing.assert_allclose(short, expected, atol=1e-6 * NM)


def test_the_orings_never_hold_more_than_their_limit():
    found = errors(with_x(creep=Creep()), np.arange(1, 60) * 5 * UM, dwell=0.0)[0]
    assert np.abs(found).max() <= 60 * NM * (1 + 1e-9)


def test_a_move_back_takes_off_what_the_move_before_left():
    stage = Stage(with_x(creep=Creep()), seed=1, start_time=0.0)
    end = stage.command({"x": 0.5 * UM}, 0.0)
    end = stage.command({"x": 0.0}, end)
    assert abs(stage.actual(end)[0]) < 4 * NM  # but for what relaxed on the way
