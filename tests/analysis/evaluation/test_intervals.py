"""Intervals hold what they promise: closed forms, scipy, and simulated data of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.evaluation import (
    bootstrap,
    clopper_pearson,
    grouped_proportion,
    mean_interval,
    resampled_mean,
)


class TestClopperPearson:
    @pytest.mark.parametrize(("right", "images"), [(23, 24), (21, 24), (19, 22), (40, 51), (0, 7)])
    def test_it_is_the_exact_interval_of_scipy(self, right: int, images: int):
        found = clopper_pearson(right, images)
        expected = stats.binomtest(right, images).proportion_ci(method="exact")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_without_a_mistake_the_lower_end_is_a_root_of_the_tail(self):
        assert clopper_pearson(30, 30).low == pytest.approx(0.025 ** (1 / 30))

    @pytest.mark.parametrize(("right", "images"), [(1, 0), (5, 4), (-1, 4)])
    def test_what_is_no_proportion_is_refused(self, right: int, images: int):
        with pytest.raises(ValueError, match=f"{right} of {images} is no proportion"):
            clopper_pearson(right, images)

    def test_a_confidence_of_one_is_refused(self):
        with pytest.raises(ValueError, match="confidence 1 is not between 0 and 1"):
            clopper_pearson(1, 2, confidence=1.0)


def images_of_sessions(
    rng: np.random.Generator, sessions: int, each: int, mean: float, correlation: float
) -> tuple[np.ndarray, list[int]]:
    """Right and wrong ones; the accuracy of a session is drawn from a beta distribution."""
    scale = 1.0 / correlation - 1.0
    rate = rng.beta(mean * scale, (1.0 - mean) * scale, sessions)
    right = rng.random((sessions, each)) < rate[:, np.newaxis]
    return right.ravel().astype(float), np.repeat(np.arange(sessions), each).tolist()


class TestGroupedProportion:
    @pytest.mark.parametrize("mean", [0.65, 0.9])
    def test_it_holds_the_accuracy_of_sessions_that_differ(self, mean: float):
        rng = np.random.default_rng(4)
        draws = [images_of_sessions(rng, 12, 45, mean, 0.1) for _ in range(400)]
        share = np.mean([grouped_proportion(*draw).holds(mean) for draw in draws])
        assert share > 0.92

    def test_images_taken_as_independent_do_not(self):
        rng = np.random.default_rng(4)
        draws = [images_of_sessions(rng, 12, 45, 0.9, 0.1)[0] for _ in range(400)]
        share = np.mean([clopper_pearson(d.sum(), d.size).holds(0.9) for d in draws])
        assert share < 0.75

    def test_a_session_an_image_gives_about_the_exact_interval(self):
        right = np.arange(400) % 10 > 0
        found = grouped_proportion(right, range(400))
        exact = clopper_pearson(360, 400)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=2e-4)

    def test_without_a_mistake_each_session_counts_as_one_image(self):
        found = grouped_proportion(np.ones(60), np.repeat(range(6), 10).tolist())
        assert (found.low, found.high) == pytest.approx((0.025 ** (1 / 6), 1.0))

    def test_images_of_one_session_are_refused(self):
        with pytest.raises(ValueError, match="at least two groups, these are of 1"):
            grouped_proportion([1.0, 0.0], ["a", "a"])

    def test_what_is_no_share_is_refused(self):
        with pytest.raises(ValueError, match="between 0 and 1"):
            grouped_proportion([1.0, 2.0], ["a", "b"])


class TestBootstrap:
    def test_it_holds_the_mean_of_groups_that_differ(self):
        rng = np.random.default_rng(8)
        held = 0
        for _ in range(150):
            of_group = rng.normal(2.0, 1.0, 12)
            values = np.repeat(of_group, 5) + rng.normal(0.0, 1.0, 60)
            held += mean_interval(values, np.repeat(range(12), 5).tolist()).holds(2.0)
        assert held / 150 > 0.92

    def test_of_many_groups_it_is_as_wide_as_students_t(self):
        values = np.random.default_rng(1).normal(size=200)
        found = mean_interval(values, range(200))
        expected = stats.ttest_1samp(values, 0.0).confidence_interval()
        assert (found.low, found.high) == pytest.approx(expected, abs=0.02)

    def test_the_value_is_that_of_all_images(self):
        values = np.array([1.0, 2.0, 6.0])
        assert mean_interval(values, ["a", "b", "b"]).value == pytest.approx(3.0)

    def test_draws_without_a_figure_are_left_out(self):
        found = bootstrap(
            np.array([[1.0], [0.0]]),
            lambda sums: np.where(sums[:, 0] == 1.0, 1.0, np.nan),
            ["a", "b"],
        )
        assert (found.low, found.high) == (1.0, 1.0)


class TestResampledMean:
    def test_it_is_that_of_nadeau_and_bengio(self):
        scores = np.array([0.8, 0.85, 0.78, 0.9, 0.83])
        found = resampled_mean(scores, 0.25)
        error = np.sqrt((1 / 5 + 0.25) * scores.var(ddof=1))
        assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 4) * error)

    def test_one_score_is_refused(self):
        with pytest.raises(ValueError, match="1 score has no spread"):
            resampled_mean([0.8], 0.25)
