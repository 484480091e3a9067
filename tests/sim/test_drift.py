"""Thermal drift against the theory of its processes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.drift import GRID, ThermalDrift
from sim.stage import Stage, profile

NM = 1e-9


def test_drift_has_the_variance_of_an_integrated_ornstein_uhlenbeck_process():
    n, sigma, tau, walk_rate = 800, 0.3 * NM, 50.0, 0.5 * NM
    drift = ThermalDrift(np.full(n, sigma), np.full(n, walk_rate), correlation_time=tau, seed=1)
    times = np.array([0.0, GRID, 7 * GRID, 50 * GRID])
    h = times / tau
    variance = 2 * (sigma * tau) ** 2 * (h - 1 + np.exp(-h)) + walk_rate**2 * times
    measured = (drift(times) ** 2).mean(axis=1)
    np.testing.assert_allclose(measured, variance, rtol=5 * math.sqrt(2 / n))


def test_drift_does_not_depend_on_what_was_asked_before():
    near, far = (ThermalDrift([1.0], [0.1], correlation_time=60.0, seed=3) for _ in range(2))
    far(np.array([500000.0]))  # more than is kept
    near(np.array([10.0]))
    near(np.array([9000.0]))
    times = np.linspace(0.0, 20000.0, 99)
    np.testing.assert_array_equal(near(times), far(times))


def test_drift_is_continuous():
    drift = ThermalDrift([0.3 * NM], [0.0], correlation_time=60.0, seed=3)
    times = np.arange(4000.0, 4200.0, 0.01)  # across the grid and the chunks of the computation
    assert np.abs(np.diff(drift(times)[:, 0])).max() < 5 * 0.3 * NM * 0.01


def test_between_grid_points_the_drift_has_the_variance_of_the_process():
    n, tau = 4000, 60.0
    drift = ThermalDrift(np.ones(n), np.zeros(n), correlation_time=tau, seed=5)
    times = np.array([0.3, 3.7, 12.4, 29.9])
    h = times / tau
    variance = 2 * tau**2 * (h - 1 + np.exp(-h))
    np.testing.assert_allclose(
        (drift(times) ** 2).mean(axis=1), variance, rtol=5 * math.sqrt(2 / n)
    )


def test_the_velocity_forgets_itself_with_its_correlation_time():
    n, tau = 3000, 100.0
    drift = ThermalDrift(np.ones(n), np.zeros(n), correlation_time=tau, seed=2)
    here, there = (np.diff(drift(np.array([t, t + 1.0])), axis=0)[0] for t in (40.0, 140.0))
    assert np.corrcoef(here, there)[0, 1] == pytest.approx(math.exp(-1.0), abs=0.06)


def test_the_velocity_has_no_corners():
    drift = ThermalDrift([0.3 * NM], [0.0], correlation_time=60.0, seed=3)
    times = np.arange(0.0, 200.0, 0.01)
    velocity = np.diff(drift(times)[:, 0]) / 0.01
    assert np.abs(np.diff(velocity)).max() < 0.002 * NM


def test_a_fresh_holder_drifts_at_a_velocity_that_decays():
    drift = ThermalDrift(
        [0.0], [0.0], correlation_time=900.0, seed=6, insertion=[1 * NM], insertion_time=900.0
    )
    times = np.array([0.0, 900.0, 1800.0, 1e6])
    way = drift(times)[:, 0]
    np.testing.assert_allclose(way / way[-1], 1 - np.exp(-times / 900.0), atol=1e-9)
    assert abs(way[-1]) <= 900 * NM


def test_a_holder_of_an_hour_drifts_less_by_its_exponential():
    parameters = profile("ideal")
    axis = replace(parameters.x, insertion_velocity=1 * NM)
    way = [
        Stage(replace(parameters, x=axis, holder_age=age), seed=8, start_time=0.0).actual(600.0)[0]
        for age in (0.0, 3600.0)
    ]
    assert way[1] / way[0] == pytest.approx(math.exp(-4.0))
