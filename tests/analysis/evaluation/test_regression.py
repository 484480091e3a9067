"""R² and errors of properties: scikit-learn and closed forms as the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from analysis.evaluation import Regressed, compare_r2, regression_scores, sample_means

VALUES = {"A2": 172.0, "B3": 379.0, "C5": 547.0}


def values(seed: int | np.random.Generator, error: float = 60.0, each: int = 60) -> Regressed:
    """Draw predictions of one property of three samples."""
    rng = np.random.default_rng(seed)
    samples = [name for name in VALUES for _ in range(each)]
    true = np.array([[VALUES[name]] for name in samples])
    return Regressed(
        images=[f"image {n}" for n in range(len(samples))],
        groups=[f"session {n % 12}" for n in range(len(samples))],
        samples=samples,
        properties=("notched_izod",),
        true=true,
        predicted=true + rng.normal(0.0, error, true.shape),
    )


class TestScores:
    def test_r2_is_that_of_scikit_learn(self):
        found = values(1)
        (score,) = regression_scores(found)
        assert score.r2.value == pytest.approx(metrics.r2_score(found.true, found.predicted))

    def test_the_error_is_that_of_scikit_learn(self):
        found = values(2)
        (score,) = regression_scores(found)
        expected = metrics.root_mean_squared_error(found.true, found.predicted)
        assert score.rmse.value == pytest.approx(expected)

    def test_the_interval_holds_the_r2_of_endless_images(self):
        spread = np.var(list(VALUES.values()))
        expected = float(1 - 60.0**2 / spread)
        rng = np.random.default_rng(5)
        held = [regression_scores(values(rng))[0].r2.holds(expected) for _ in range(200)]
        assert np.mean(held) > 0.90

    def test_a_model_that_says_the_mean_has_none(self):
        found = values(1)
        mean = Regressed(
            found.images,
            found.groups,
            found.samples,
            found.properties,
            found.true,
            np.full_like(found.true, found.true.mean()),
        )
        (score,) = regression_scores(mean)
        assert score.r2.value == pytest.approx(0.0, abs=1e-12)

    def test_one_value_for_all_is_refused(self):
        found = Regressed(
            ["i", "j"], ["a", "b"], ["A2", "A2"], ("izod",), np.ones((2, 1)), np.ones((2, 1))
        )
        with pytest.raises(ValueError, match="all images have izod 1: R² needs values that differ"):
            regression_scores(found)

    def test_values_that_are_no_numbers_are_refused(self):
        with pytest.raises(ValueError, match="predicted values that are not finite"):
            Regressed(["i"], ["a"], ["A2"], ("izod",), np.ones((1, 1)), np.full((1, 1), np.inf))

    def test_an_unknown_property_is_refused(self):
        with pytest.raises(ValueError, match="no property 'hardness'; there are notched_izod"):
            values(1).column("hardness")


class TestSamples:
    def test_the_mean_of_each_sample_is_told(self):
        found = values(3)
        means = sample_means(found, "notched_izod")
        assert [mean.sample for mean in means] == list(VALUES)
        assert means[0].predicted.value == pytest.approx(found.predicted[:60].mean())

    def test_a_sample_of_one_session_has_no_interval(self):
        found = Regressed(
            ["i", "j"], ["a", "a"], ["A2", "A2"], ("izod",), np.ones((2, 1)), np.eye(2)[:, :1]
        )
        (mean,) = sample_means(found, "izod")
        assert np.isnan(mean.predicted.low)


class TestComparison:
    def test_the_difference_is_that_of_the_two(self):
        first, second = values(1, error=40.0), values(2, error=120.0)
        found = compare_r2(first, second, "notched_izod")
        expected = [regression_scores(one)[0].r2.value for one in (first, second)]
        assert found.difference.value == pytest.approx(expected[0] - expected[1])
        assert found.verdict == "better"

    def test_models_that_are_alike_do_not_differ(self):
        assert compare_r2(values(1), values(2), "notched_izod").verdict == "no difference shown"
