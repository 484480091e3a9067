"""Confusion, accuracy and comparisons: scikit-learn, scipy and numbers by hand as the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from analysis.evaluation import (
    Classified,
    Interval,
    accuracy,
    compare_accuracy,
    confusion,
    confusion_of,
    holm,
    independent_difference,
    mcnemar,
)

CLASSES = ("A2", "C3", "C5")


def predictions(seed: int, images: int = 120, skill: float = 1.5, repeats: int = 1) -> Classified:
    """Draw predictions of images of twelve sessions."""
    rng = np.random.default_rng(seed)
    true = np.tile(np.arange(images) % 3, repeats)
    logits = rng.normal(size=(true.size, 3)) + skill * np.eye(3)[true]
    powers = np.exp(logits)
    return Classified(
        images=[f"image {n}" for n in range(images)] * repeats,
        groups=[f"session {n // 10}" for n in range(images)] * repeats,
        classes=CLASSES,
        true=true,
        probabilities=powers / powers.sum(axis=1, keepdims=True),
        splits=[str(repeat) for repeat in range(repeats) for _ in range(images)],
    )


class TestConfusion:
    def test_counts_are_those_of_scikit_learn(self):
        found = predictions(1)
        expected = metrics.confusion_matrix(found.true, found.predicted)
        np.testing.assert_array_equal(confusion_of(found).counts, expected)

    def test_names_count_as_numbers_do(self):
        found = predictions(1)
        true, predicted = ([CLASSES[n] for n in each] for each in (found.true, found.predicted))
        np.testing.assert_array_equal(
            confusion(true, predicted, CLASSES).counts, confusion_of(found).counts
        )

    def test_recall_and_precision_are_those_of_scikit_learn(self):
        found = predictions(2)
        expected = metrics.precision_recall_fscore_support(found.true, found.predicted)
        matrix = confusion_of(found)
        np.testing.assert_allclose(matrix.precision, expected[0])
        np.testing.assert_allclose(matrix.recall, expected[1])

    def test_chance_is_what_independent_predictions_reach(self):
        matrix = confusion(["A2", "A2", "C3", "C3"], ["A2", "C3", "A2", "C3"], ("A2", "C3"))
        assert matrix.chance == pytest.approx(0.5)

    def test_the_notes_interval_is_that_of_23_of_24(self):
        matrix = confusion(["A2"] * 24, ["A2"] * 23 + ["C3"], CLASSES)
        found = matrix.exact_interval()
        assert [round(100 * x, 1) for x in (found.value, found.low, found.high)] == [
            95.8,
            78.9,
            99.9,
        ]

    def test_a_class_that_is_not_there_has_no_share(self):
        assert np.isnan(confusion(["A2"], ["A2"], ("A2", "C3")).recall[1])

    def test_an_unknown_class_is_refused(self):
        with pytest.raises(ValueError, match="class 'B1' is not one of A2, C3, C5"):
            confusion(["A2"], ["B1"], CLASSES)

    def test_nothing_is_refused(self):
        with pytest.raises(ValueError, match="0 true and 0 predicted"):
            confusion([], [], CLASSES)


class TestAccuracy:
    def test_it_is_that_of_scikit_learn(self):
        found = predictions(3)
        expected = metrics.accuracy_score(found.true, found.predicted)
        assert accuracy(found).value == pytest.approx(expected)

    def test_repeats_do_not_pass_for_more_images(self):
        assert accuracy(predictions(4, repeats=5)).images == 120

    def test_the_same_answers_ten_times_are_no_surer_than_once(self):
        once = predictions(5)
        often = Classified(
            images=list(once.images) * 10,
            groups=list(once.groups) * 10,
            classes=once.classes,
            true=np.tile(once.true, 10),
            probabilities=np.tile(once.probabilities, (10, 1)),
        )
        first, second = accuracy(once).interval, accuracy(often).interval
        assert (second.low, second.high) == pytest.approx((first.low, first.high))

    def test_the_spread_is_that_of_the_splits(self):
        found = predictions(6, repeats=4)
        each = found.correct.reshape(4, -1).mean(axis=1)
        assert accuracy(found).spread == pytest.approx(each.std(ddof=1))

    def test_an_image_in_two_groups_is_refused(self):
        found = Classified(
            ["i", "i"], ["a", "b"], CLASSES, np.array([0, 0]), np.full((2, 3), 1 / 3)
        )
        with pytest.raises(ValueError, match="image i is in group a and in group b"):
            accuracy(found)

    def test_probabilities_of_another_shape_are_refused(self):
        with pytest.raises(ValueError, match="do not belong to 1 images of 3 classes"):
            Classified(["i"], ["a"], CLASSES, np.array([0]), np.ones((1, 2)))

    def test_probabilities_that_are_no_numbers_are_refused(self):
        with pytest.raises(ValueError, match="not finite"):
            Classified(["i"], ["a"], CLASSES, np.array([0]), np.full((1, 3), np.nan))


class TestComparison:
    @pytest.mark.parametrize(("one", "other"), [(3, 11), (0, 6), (25, 22)])
    def test_mcnemars_is_twice_the_binomial_tail(self, one: int, other: int):
        tail = stats.binom.cdf(min(one, other), one + other, 0.5)
        assert mcnemar(one, other) == pytest.approx(min(1.0, 2 * tail))

    def test_no_difference_has_no_significance(self):
        assert mcnemar(0, 0) == 1.0

    def test_a_model_differs_from_itself_by_nothing(self):
        found = compare_accuracy(predictions(1), predictions(1))
        assert (found.difference.low, found.difference.high, found.p_groups) == (0.0, 0.0, 1.0)

    def test_the_better_one_is_told(self):
        found = compare_accuracy(predictions(1, skill=3.0), predictions(2, skill=0.5))
        assert found.verdict == "better"
        assert found.p_groups < 0.01

    def test_the_discordant_images_are_counted(self):
        first, second = predictions(1), predictions(2)
        found = compare_accuracy(first, second)
        assert found.only_first == int((first.correct & ~second.correct).sum())
        assert found.only_second == int((~first.correct & second.correct).sum())

    def test_rows_are_matched_by_image(self):
        first = predictions(1)
        order = np.random.default_rng(0).permutation(len(first)).tolist()
        turned = Classified(
            [first.images[int(n)] for n in order],
            [first.groups[int(n)] for n in order],
            CLASSES,
            first.true[order],
            first.probabilities[order],
            [first.splits[int(n)] for n in order],
        )
        assert compare_accuracy(first, turned).difference.value == 0.0

    def test_exchanging_groups_is_exact_for_few(self):
        # three of ten groups gain by one: two of the eight exchanges of these are as large
        gains = Classified(
            [str(n) for n in range(10)],
            [str(n) for n in range(10)],
            ("a", "b"),
            np.zeros(10, int),
            np.tile([0.9, 0.1], (10, 1)),
        )
        wrong = gains.probabilities.copy()
        wrong[:3] = [0.1, 0.9]
        found = compare_accuracy(gains, gains.with_probabilities(wrong))
        assert found.p_groups == pytest.approx(2 / 2**3)

    def test_models_of_one_accuracy_seldom_differ(self):
        found = [
            compare_accuracy(predictions(seed), predictions(seed + 1000)).p_groups < 0.05
            for seed in range(60)
        ]
        assert np.mean(found) < 0.12

    def test_other_images_are_refused(self):
        with pytest.raises(ValueError, match="30 predictions of one model have no partner"):
            compare_accuracy(predictions(1), predictions(1, images=90))

    def test_the_difference_of_other_images_is_wider_than_each_interval(self):
        found = independent_difference(Interval(0.9, 0.85, 0.94), Interval(0.7, 0.62, 0.77))
        assert found.low == pytest.approx(0.2 - np.hypot(0.05, 0.07))
        assert found.high == pytest.approx(0.2 + np.hypot(0.04, 0.08))

    def test_adjusted_probabilities_are_holms(self):
        # by hand: 3 x 0.01, 2 x 0.02, then no less than the one before
        assert holm([0.03, 0.01, 0.02]) == pytest.approx((0.04, 0.03, 0.04))
