"""Continued drifts, against lines that are known and against a Kalman-free closed form."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.drift_prediction import predict_drift

SHARP = 1e-8 * np.eye(2)  # 0.1 nm


def test_a_straight_drift_is_continued():
    time = np.array([0.0, 2.0, 4.0])
    velocity = np.array([0.010, -0.004])
    found = predict_drift(time, np.outer(time, velocity) + 5.0, [SHARP] * 3, at=7.0)
    np.testing.assert_allclose(found.velocity, velocity, rtol=1e-3)
    np.testing.assert_allclose(found.position, 5.0 + 7.0 * velocity, atol=1e-4)


def test_a_single_fix_predicts_that_nothing_moves():
    found = predict_drift([1.0], [[2.0, 3.0]], [SHARP], at=11.0)
    np.testing.assert_allclose(found.position, [2.0, 3.0])
    # ten seconds at the velocity that may be, 15 nm/s
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), 0.15, rtol=1e-3)


def test_fixes_too_poor_to_show_a_drift_predict_none():
    poor = 1.0 * np.eye(2)
    found = predict_drift([0.0, 1.0], [[0.0, 0.0], [0.4, 0.0]], [poor] * 2, at=10.0)
    assert abs(found.velocity[0]) < 1e-3


def test_the_errors_are_those_of_the_prediction():
    rng = np.random.default_rng(5)
    time, own = np.array([0.0, 1.0, 2.0, 3.0]), 9e-6 * np.eye(2)  # 3 nm
    misses, inside = [], 0
    for _ in range(400):
        velocity = rng.normal(0.0, 0.015, 2)
        places = np.outer(time, velocity) + rng.normal(0.0, 3e-3, (4, 2))
        found = predict_drift(time, places, [own] * 4, at=5.0)
        miss = found.position - 5.0 * velocity
        misses.append(miss)
        inside += miss @ np.linalg.solve(found.covariance, miss) < 5.991  # chi², 95 %, 2
    assert 0.92 <= inside / 400 <= 0.98


@pytest.mark.parametrize(
    ("time", "position"), [([], np.zeros((0, 2))), ([1.0], np.zeros((2, 2))), ([1.0], [0.0])]
)
def test_shapes_that_do_not_agree_are_refused(time: object, position: object):
    with pytest.raises(ValueError, match=r"are needed, n from 1"):
        predict_drift(time, position, [SHARP] * len(time), at=0.0)  # type: ignore[arg-type]
