"""Positions of many fields: against networks whose truth is drawn, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.positions import Pair, solve_positions

SIGMA = 0.05


def network(side, seed, wrong=0, stage=30.0):
    """Expected and true positions of a grid with its diagonals, pairs, and which are wrong."""
    rng = np.random.default_rng(seed)
    index = np.indices((side, side)).reshape(2, -1).T
    expected = index * 819.0
    truth = expected + rng.normal(0.0, stage, expected.shape)
    pairs = []
    for i, place in enumerate(index):
        for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
            row, column = place + step
            if 0 <= row < side and 0 <= column < side:
                j = int(row * side + column)
                shift = truth[j] - truth[i] + rng.normal(0.0, SIGMA, 2)
                pairs.append(Pair(i, j, shift, np.eye(2) * SIGMA**2))
    spoilt = set(rng.choice(len(pairs), wrong, replace=False).tolist())
    for k in spoilt:
        old = pairs[k]
        pairs[k] = Pair(old.first, old.second, old.shift + rng.uniform(5, 80, 2), old.covariance)
    return expected, truth, pairs, spoilt


def centred(values):
    return values - values.mean(axis=0)


def test_two_fields_are_their_weighted_mean_of_pair_and_stage():
    # closed form: difference d with variance s² against a prior difference 0 with variance 2 S²
    pair = Pair(0, 1, np.array([0.3, 0.0]), np.eye(2))
    found = solve_positions([pair], np.zeros((2, 2)), 1.0)
    assert found.position[1, 0] - found.position[0, 0] == pytest.approx(0.3 * 2.0 / 3.0)
    # half of the difference's variance 1 / (1 + 1/2), relative to the mean: a quarter of it
    np.testing.assert_allclose(found.relative_covariance[1], np.eye(2) * (2.0 / 3.0) / 4.0)


def test_positions_of_a_grid_are_better_than_a_single_pair():
    expected, truth, pairs, _ = network(8, 1)
    errors = centred(solve_positions(pairs, expected, 30.0).position - truth)
    assert np.sqrt(np.mean(errors**2)) < SIGMA


def test_every_wrong_pair_is_found_and_named_and_no_other():
    expected, _, pairs, spoilt = network(8, 2, wrong=20)
    found = solve_positions(pairs, expected, 30.0)
    assert {item.pair for item in found.outliers} == spoilt
    worst = found.outliers[0]
    assert f"fields {worst.first}-{worst.second}" in str(worst)


def test_wrong_pairs_do_not_move_the_positions():
    expected, truth, pairs, _ = network(8, 2, wrong=20)
    errors = centred(solve_positions(pairs, expected, 30.0).position - truth)
    assert np.sqrt(np.mean(errors**2)) < SIGMA


def test_an_outlier_s_prediction_is_the_truth():
    expected, truth, pairs, _ = network(8, 3, wrong=5)
    for item in solve_positions(pairs, expected, 30.0).outliers:
        right = truth[item.second] - truth[item.first]
        np.testing.assert_allclose(item.predicted, right, atol=5 * SIGMA)


def test_relative_covariances_cover_the_truth():
    z2 = []
    for seed in range(12):
        expected, truth, pairs, _ = network(5, seed)
        found = solve_positions(pairs, expected, 30.0)
        errors = centred(found.position - truth)
        information = np.linalg.inv(found.relative_covariance)
        z2.append(np.einsum("ni,nij,nj->n", errors, information, errors))
    # chi-square of two degrees of freedom: mean 2, 95 % below 5.99; 300 correlated samples
    assert 1.6 < np.mean(z2) < 2.4
    assert np.mean(np.array(z2) < 5.99) > 0.91


def test_absolute_covariance_holds_the_offset_that_only_the_stage_knows():
    expected, _, pairs, _ = network(5, 0)
    found = solve_positions(pairs, expected, 30.0)
    np.testing.assert_allclose(found.covariance[:, 0, 0], 30.0**2 / 25, rtol=1e-3)


def test_covariances_that_are_too_small_are_scaled_to_the_residuals():
    expected, _, pairs, _ = network(8, 4)
    narrow = [Pair(p.first, p.second, p.shift, p.covariance / 9.0) for p in pairs]
    assert solve_positions(narrow, expected, 30.0).scale == pytest.approx(3.0, rel=0.25)


def test_a_field_without_pairs_stays_where_the_stage_reported_it():
    expected = np.array([[0.0, 0.0], [0.0, 800.0], [500.0, 9000.0]])
    pair = Pair(0, 1, np.array([1.0, 803.0]), np.eye(2) * 0.01)
    found = solve_positions([pair], expected, 20.0)
    np.testing.assert_allclose(found.position[2], expected[2])
    np.testing.assert_allclose(found.covariance[2], np.eye(2) * 400.0)
    assert found.group[0] == found.group[1] != found.group[2]
    assert found.unchecked == (0,)


def test_a_pair_that_only_the_stage_contradicts_is_left_out():
    pair = Pair(0, 1, np.array([0.0, 1500.0]), np.eye(2) * 0.01)
    found = solve_positions([pair], [[0.0, 0.0], [0.0, 800.0]], 20.0)
    assert [item.pair for item in found.outliers] == [0]


def test_loop_closure_is_the_sum_round_the_loop():
    shifts = {(0, 1): (0.0, 10.0), (1, 2): (10.0, 0.0), (0, 2): (10.0, 10.3)}
    pairs = [Pair(a, b, np.array(s), np.eye(2)) for (a, b), s in shifts.items()]
    closure = solve_positions(pairs, np.zeros((3, 2)), 100.0).closure
    assert len(closure.fields) == 1
    assert set(closure.fields[0]) == {0, 1, 2}
    np.testing.assert_allclose(np.abs(closure.misfit[0]), (0.0, 0.3), atol=1e-12)
    assert closure.z[0] == pytest.approx(0.3 / np.sqrt(3.0))


def test_no_pairs_leave_the_stage_s_positions():
    found = solve_positions([], [[1.0, 2.0], [3.0, 4.0]], 5.0)
    np.testing.assert_allclose(found.position, [[1.0, 2.0], [3.0, 4.0]])
    assert np.isnan(found.closure.rms)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (Pair(0, 9, np.zeros(2), np.eye(2)), "joins fields 0 and 9"),
        (Pair(1, 1, np.zeros(2), np.eye(2)), "with itself"),
        (Pair(0, 1, np.array([np.nan, 0.0]), np.eye(2)), "fields 0-1"),
        (Pair(0, 1, np.zeros(2), np.zeros((2, 2))), "not positive"),
    ],
)
def test_a_pair_that_makes_no_sense_is_refused_by_name(pair, words):
    with pytest.raises(ValueError, match=words):
        solve_positions([pair], np.zeros((2, 2)), 1.0)
