"""Camera-to-stage matrices put in and found again."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.calibration import camera_to_stage


def turned(angle_deg, pixel=0.0073, anisotropy=1.0, mirror=1.0):
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([anisotropy, mirror]) * pixel


def calibrated(matrix, sigma, seed=0, n=24, wrong=0):
    """Moves of up to 1 um with an error of `sigma` um, and the shifts they make."""
    rng = np.random.default_rng(seed)
    actual = rng.uniform(-1.0, 1.0, (n, 2))
    shifts = np.linalg.solve(matrix, actual.T).T[:, ::-1]
    moves = actual + sigma * rng.standard_normal((n, 2))
    moves[:wrong] += 0.6
    return camera_to_stage(moves, shifts)


def test_exact_moves_give_the_matrix_back():
    matrix = turned(17.0, anisotropy=1.02, mirror=-1.0)
    found = calibrated(matrix, 0.0)
    np.testing.assert_allclose(found.matrix, matrix, rtol=1e-9)


def test_what_the_matrix_means_is_what_was_put_in():
    found = calibrated(turned(-31.0, anisotropy=1.04, mirror=-1.0), 0.0)
    assert found.rotation_deg == pytest.approx(-31.0)
    assert found.anisotropy == pytest.approx(1.04)
    assert found.scale == pytest.approx(0.0073 * np.sqrt(1.04))
    assert found.skew_deg == pytest.approx(0.0, abs=1e-9)
    assert found.mirrored
    np.testing.assert_allclose(found.pixel_size, (0.0073 * 1.04, 0.0073))


def test_skew_is_the_departure_from_a_right_angle():
    rows = np.radians(90.0 + 10.0 + 1.5)
    columns = np.radians(10.0)
    matrix = 0.01 * np.array([[np.cos(columns), np.cos(rows)], [np.sin(columns), np.sin(rows)]])
    assert calibrated(matrix, 0.0).skew_deg == pytest.approx(1.5)


def test_backlashed_moves_are_named_and_do_not_count():
    matrix = turned(5.0)
    found = calibrated(matrix, 0.005, wrong=5)
    assert found.outliers == (0, 1, 2, 3, 4)
    np.testing.assert_allclose(found.matrix, matrix, atol=4e-5)


def test_standard_errors_cover_the_truth():
    z = []
    for seed in range(150):
        found = calibrated(turned(20.0), 0.02, seed)
        z.append((found.rotation_deg - 20.0) / found.stderr["rotation_deg"])
        z.append((found.scale - 0.0073) / found.stderr["scale"])
    # 300 values of a t-like distribution
    assert 0.85 < np.sqrt(np.mean(np.square(z))) < 1.2


def test_moves_along_one_axis_only_are_refused():
    with pytest.raises(ValueError, match="along x and along y"):
        camera_to_stage([[1, 0], [2, 0], [3, 0]], [[0, 10], [0, 20], [0, 30]])
