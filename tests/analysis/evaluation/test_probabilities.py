"""Calibration, abstention and learning curves: scikit-learn and drawn truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from analysis.evaluation import (
    Classified,
    abstained,
    abstention_curve,
    abstention_threshold,
    brier_score,
    calibration,
    calibration_error,
    coverage,
    fit_power_law,
    fit_temperature,
    learning_curve,
    negative_log_likelihood,
    reliability,
    tempered,
)


def drawn(seed: int, images: int = 2000, sureness: float = 1.0) -> Classified:
    """Draw classes from exact probabilities, and tell them with logits `sureness` times as large.

    The truth by construction: the temperature that mends them is `sureness`.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 1.5, (images, 3))
    exact = softmax(logits, axis=1)
    true = (rng.random((images, 1)) > np.cumsum(exact, axis=1)).sum(axis=1).clip(0, 2)
    return Classified(
        images=[str(n) for n in range(images)],
        groups=[str(n) for n in range(images)],
        classes=("A2", "C3", "C5"),
        true=true,
        probabilities=softmax(sureness * logits, axis=1),
    )


class TestScores:
    def test_the_log_loss_is_that_of_scikit_learn(self):
        found = drawn(1)
        expected = metrics.log_loss(found.true, found.probabilities)
        assert negative_log_likelihood(found.probabilities, found.true) == pytest.approx(expected)

    def test_the_brier_score_is_the_mean_square_of_scikit_learn(self):
        found = drawn(2)
        expected = 3 * metrics.mean_squared_error(np.eye(3)[found.true], found.probabilities)
        assert brier_score(found.probabilities, found.true) == pytest.approx(expected)

    def test_the_calibration_error_of_one_bin_is_confidence_less_accuracy(self):
        assert calibration_error([0.9, 0.8, 0.7, 1.0], [1, 0, 0, 1], bins=1) == pytest.approx(0.35)

    def test_bins_hold_as_many_images_each(self):
        found = reliability(np.linspace(0.3, 1.0, 153), np.ones(153), bins=15)
        assert set(found.counts.tolist()) == {10, 11}

    def test_the_bins_are_those_of_scikit_learn(self):
        from sklearn.calibration import calibration_curve

        rng = np.random.default_rng(5)
        confidence = rng.random(600)
        right = rng.random(600) < confidence
        found = reliability(confidence, right, bins=10)
        share, mean = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
        np.testing.assert_allclose(found.accuracy, share)
        np.testing.assert_allclose(found.confidence, mean)


class TestCalibration:
    def test_exact_probabilities_are_found_exact(self):
        assert calibration(drawn(3)).exact

    def test_too_sure_ones_are_not(self):
        assert not calibration(drawn(3, sureness=2.5)).exact

    @pytest.mark.parametrize("sureness", [0.4, 1.0, 2.5])
    def test_the_temperature_is_the_one_that_was_put_in(self, sureness: float):
        found = drawn(4, images=8000, sureness=sureness)
        assert fit_temperature(found.probabilities, found.true) == pytest.approx(sureness, rel=0.06)

    def test_it_mends_other_images(self):
        validation, test = drawn(5, sureness=2.5), drawn(6, sureness=2.5)
        temperature = fit_temperature(validation.probabilities, validation.true)
        mended = test.with_probabilities(tempered(test.probabilities, temperature))
        assert calibration(mended).exact

    def test_a_temperature_changes_no_verdict(self):
        found = drawn(7)
        mended = tempered(found.probabilities, 3.0)
        np.testing.assert_array_equal(mended.argmax(axis=1), found.predicted)

    def test_a_part_without_mistakes_does_not_make_a_model_certain(self):
        probabilities = np.tile([0.8, 0.1, 0.1], (50, 1))
        temperature = fit_temperature(probabilities, np.zeros(50, int))
        # what is left of doubt is Laplace's: one of fifty-two
        assert tempered(probabilities, temperature)[0, 0] == pytest.approx(51 / 52, abs=1e-3)

    @pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
    def test_no_temperature_is_refused(self, temperature: float):
        with pytest.raises(ValueError, match="is not above 0"):
            tempered([[0.5, 0.5]], temperature)


class TestAbstention:
    def test_the_curve_is_that_of_scikit_learn(self):
        rng = np.random.default_rng(1)
        known, unknown = rng.normal(0, 1, 300), rng.normal(2, 1, 200)
        labels = np.repeat([0, 1], [300, 200])
        expected = metrics.roc_auc_score(labels, np.concatenate([known, unknown]))
        assert abstention_curve(known, unknown).area == pytest.approx(expected)

    def test_the_best_threshold_loses_no_more_than_allowed(self):
        rng = np.random.default_rng(2)
        known, unknown = rng.normal(0, 1, 300), rng.normal(2, 1, 200)
        threshold, lost, caught = abstention_curve(known, unknown).best(0.05)
        assert lost == np.mean(known > threshold) <= 0.05
        assert caught == pytest.approx(np.mean(unknown > threshold))

    def test_a_threshold_keeps_its_promise_on_new_images(self):
        rng = np.random.default_rng(3)
        lost = [
            np.mean(rng.normal(size=500) > abstention_threshold(rng.normal(size=59), 0.05))
            for _ in range(400)
        ]
        # split conformal: the mean is between 0.05 - 1/60 and 0.05, here 3 of 60 exactly
        assert np.mean(lost) == pytest.approx(0.05, abs=0.006)

    def test_too_few_images_promise_nothing(self):
        assert abstention_threshold([0.1, 0.2, 0.3], 0.05) == np.inf

    def test_the_share_of_abstained_images_has_an_interval(self):
        found = abstained([1.0, 2.0, 3.0, 4.0], 2.5)
        assert found.value == 0.5

    def test_scores_that_are_no_numbers_are_refused(self):
        with pytest.raises(ValueError, match="a score is not a number"):
            abstention_curve([0.0, np.nan], [1.0])


class TestCoverage:
    def test_the_surest_images_are_kept_first(self):
        found = coverage([0.9, 0.5, 0.8, 0.6], [1, 0, 1, 0])
        np.testing.assert_allclose(found.accuracy, [1, 1, 2 / 3, 1 / 2])
        assert found.at(0.5) == 1.0

    def test_images_of_equal_confidence_share_their_mean(self):
        np.testing.assert_allclose(coverage([0.9, 0.9], [0, 1]).accuracy, [0.5, 0.5])


class TestLearning:
    def test_a_power_law_is_found(self):
        sizes = np.array([20, 50, 100, 200, 500])
        found = fit_power_law(sizes, 0.04 + 1.5 * sizes**-0.6)
        assert (found.floor, found.scale, found.exponent) == pytest.approx(
            (0.04, 1.5, 0.6), rel=1e-3
        )

    def test_two_sizes_are_refused(self):
        with pytest.raises(ValueError, match="2 sizes do not tell them"):
            fit_power_law([10, 20], [0.3, 0.2])

    def test_sizes_are_put_in_order(self):
        found = learning_curve([(200, drawn(1, 60)), (50, drawn(2, 60))])
        assert found.sizes == (50, 200)
        assert found.law is None

    def test_a_size_twice_is_refused(self):
        with pytest.raises(ValueError, match="not different numbers of images"):
            learning_curve([(50, drawn(1, 60)), (50, drawn(2, 60))])
