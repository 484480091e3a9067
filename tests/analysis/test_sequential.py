"""When so many images of a sample make its class certain: against closed forms and drawn truths."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from analysis.sequential import (
    Decision,
    Dependence,
    ImageEvidence,
    StoppingRule,
    expected_accuracy,
    fit_dependence,
    pooled,
)

CLASSES = ("A2", "C3", "C5")
MEANS = np.array([[0.0, 0.0], [1.2, 0.0], [0.3, 1.1]])  # of the features of three classes
INDEPENDENT = Dependence(0.0)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
images = st.lists(
    st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
        lambda drawn: [each / sum(drawn) for each in drawn]
    ),
    min_size=1,
    max_size=8,
)


def one_image(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bayes' probabilities of the classes, by features that are unit normal about their means."""
    logs = -0.5 * ((features[:, np.newaxis, :] - MEANS) ** 2).sum(axis=2)
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def drawn(
    rng: np.random.Generator, label: int, count: int, correlation: float
) -> NDArray[np.float64]:
    """Features of images of one sample, that part of their variance common to them all."""
    common = np.sqrt(correlation) * rng.standard_normal(2)
    return MEANS[label] + common + np.sqrt(1 - correlation) * rng.standard_normal((count, 2))


def campaigns(
    correlation: float, groups: int, count: int = 16, seed: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.intp], list[int]]:
    """Probabilities, labels and groups of so many samples."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=groups)
    told = [one_image(drawn(rng, label, count, correlation)) for label in labels]
    return np.vstack(told), np.repeat(labels, count), np.repeat(range(groups), count).tolist()


class TestPooled:
    """The evidence of several images."""

    def test_that_of_one_image_is_its_own(self) -> None:
        chances = pooled([[0.7, 0.2, 0.1]], ["1"], Dependence(0.4))
        np.testing.assert_allclose(chances, [0.7, 0.2, 0.1])

    def test_independent_images_multiply_their_odds(self) -> None:
        chances = pooled([[0.8, 0.2], [0.6, 0.4]], ["1", "1"], INDEPENDENT)
        assert chances[0] / chances[1] == pytest.approx(4.0 * 1.5)

    def test_images_that_repeat_each_other_count_as_one(self) -> None:
        chances = pooled([[0.8, 0.2]] * 30, ["1"] * 30, Dependence(1.0))
        np.testing.assert_allclose(chances, [0.8, 0.2])

    def test_images_of_different_probes_are_independent(self) -> None:
        chances = pooled([[0.8, 0.2], [0.6, 0.4]], ["1", "2"], Dependence(1.0))
        assert chances[0] / chances[1] == pytest.approx(4.0 * 1.5)

    @pytest.mark.parametrize("correlation", [0.0, 0.15, 0.6])
    def test_is_the_exact_posterior_where_a_probe_shifts_all_images_alike(
        self, correlation: float
    ) -> None:
        features = drawn(np.random.default_rng(3), 1, 7, correlation)
        ours = pooled(one_image(features), ["1"] * 7, Dependence(correlation))
        block = correlation * np.ones((7, 7)) + (1 - correlation) * np.eye(7)
        covariance: Any = np.kron(block, np.eye(2))
        logs = np.array(
            [
                multivariate_normal.logpdf(features.ravel(), np.tile(mean, 7), covariance)
                for mean in MEANS
            ]
        )
        exact = np.exp(logs - logs.max())
        np.testing.assert_allclose(ours, exact / exact.sum(), rtol=1e-9)

    @EXAMPLES
    @given(images, st.floats(0.0, 1.0), st.randoms(use_true_random=False))
    def test_the_order_of_the_images_does_not_matter(
        self, told: list[list[float]], correlation: float, order: Any
    ) -> None:
        probes = [str(number % 2) for number in range(len(told))]
        shuffled = list(zip(told, probes, strict=True))
        order.shuffle(shuffled)
        again = pooled(
            [each for each, _ in shuffled], [p for _, p in shuffled], Dependence(correlation)
        )
        np.testing.assert_allclose(again, pooled(told, probes, Dependence(correlation)), rtol=1e-9)

    def test_no_image_rules_a_class_out(self) -> None:
        chances = pooled([[0.0, 1.0], *[[0.9, 0.1]] * 6], ["1"] * 7, INDEPENDENT)
        assert chances[0] > 0.99

    @pytest.mark.parametrize(
        ("told", "message"),
        [
            ([[0.5, 0.6]], "add up to 1.1: 1 is needed"),
            ([[1.5, -0.5]], "numbers from 0 to 1"),
            ([[float("nan"), 1.0]], "numbers from 0 to 1"),
            ([[1.0]], "two classes or more"),
            ([], "two classes or more"),
            ([[0.5, 0.5]] * 2, "1 probes for 2 images"),
        ],
    )
    def test_refuses_what_are_no_probabilities(self, told: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            pooled(told, ["1"], INDEPENDENT)
        assert "\n" not in str(caught.value)


class TestRule:
    """When a class is certain."""

    @staticmethod
    def told(*firsts: float, abstained: bool = False) -> list[ImageEvidence]:
        """Images that say how probable the first class is, the others alike."""
        return [
            ImageEvidence((first, (1 - first) / 2, (1 - first) / 2), "1", abstained)
            for first in firsts
        ]

    def test_without_images_nothing_is_known(self) -> None:
        assert StoppingRule().decision(CLASSES, []) == Decision()

    def test_a_class_is_certain_at_the_confidence(self) -> None:
        rule = StoppingRule(0.99, 1, dependence=INDEPENDENT)
        odds = 0.9 / 0.05
        found = rule.decision(CLASSES, self.told(0.9, 0.9))
        assert (found.certain, found.label, found.images) == (True, "A2", 2)
        assert found.confidence == pytest.approx(odds**2 / (odds**2 + 2))
        surer = StoppingRule(0.995, 1, dependence=INDEPENDENT)
        assert not surer.decision(CLASSES, self.told(0.9, 0.9)).certain

    def test_not_before_the_least_number_of_images(self) -> None:
        rule = StoppingRule(0.9, 3)
        assert not rule.decision(CLASSES, self.told(0.99, 0.99)).certain
        assert rule.decision(CLASSES, self.told(0.99, 0.99, 0.99)).certain

    def test_images_that_are_abstained_on_count_nothing(self) -> None:
        rule = StoppingRule(0.9, 2)
        every = self.told(0.99) + self.told(0.01, 0.01, 0.01, abstained=True)
        found = rule.decision(CLASSES, every)
        assert (found.certain, found.label, found.images, found.abstained) == (False, "A2", 1, 3)
        assert found.confidence == pytest.approx(0.99)

    def test_images_of_one_probe_alone_may_never_make_it_certain(self) -> None:
        rule = StoppingRule(0.99, 2, dependence=Dependence(0.5))
        assert not rule.decision(CLASSES, self.told(*[0.6] * 1000)).certain

    def test_further_probes_make_it_certain(self) -> None:
        rule = StoppingRule(0.99, 2, dependence=Dependence(1.0))
        by_one = [ImageEvidence((0.8, 0.1, 0.1), "1")] * 9
        by_many = [ImageEvidence((0.8, 0.1, 0.1), number) for number in range(9)]
        assert not rule.decision(CLASSES, by_one).certain
        assert rule.decision(CLASSES, by_many).certain

    def test_is_right_as_often_as_it_says_though_it_stops_when_it_likes(self) -> None:
        rule, rng = StoppingRule(0.9, 2, dependence=Dependence(0.2)), np.random.default_rng(8)
        right, confidence = [], []
        for _ in range(400):
            label = int(rng.integers(3))
            every = one_image(drawn(rng, label, 40, 0.2))
            count, chances = 2, pooled(every[:2], ["1"] * 2, rule.dependence)
            while chances.max() < rule.confidence and count < 40:
                count += 1
                chances = pooled(every[:count], ["1"] * count, rule.dependence)
            right.append(chances.argmax() == label)
            confidence.append(chances.max())
        # four standard errors of 400 samples
        assert np.mean(right) == pytest.approx(np.mean(confidence), abs=4 * 0.3 / 20)

    def test_is_the_same_after_its_document(self) -> None:
        rule = StoppingRule(0.97, 3, 0.01, Dependence(0.25))
        assert StoppingRule.of_document(json.loads(json.dumps(rule.to_document()))) == rule

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"confidence": 1.0}, "no number of images makes a class quite certain"),
            ({"confidence": 0.5}, "above 0.5 and below 1"),
            ({"confidence": float("nan")}, "above 0.5 and below 1"),
            ({"least": 0}, "least is 0: a whole number of at least 1"),
            ({"least": 1.5}, "least is 1.5"),
            ({"gain": -0.1}, "gain is -0.1: from 0 to below 1"),
        ],
    )
    def test_refuses_what_makes_no_rule(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            StoppingRule(**arguments)

    @pytest.mark.parametrize("correlation", [-0.1, 1.1, float("nan")])
    def test_refuses_what_is_no_correlation(self, correlation: float) -> None:
        with pytest.raises(ValueError, match="from 0 to 1 is allowed"):
            Dependence(correlation)

    def test_refuses_probabilities_of_other_classes(self) -> None:
        with pytest.raises(ValueError, match="3 probabilities for the classes A2, C5"):
            StoppingRule().decision(("A2", "C5"), self.told(0.9))


class TestPromise:
    """Whether further images are worth their time."""

    RULE = StoppingRule(0.99, 2, dependence=Dependence(0.5))

    @pytest.mark.parametrize("information", [0.1, 1.0, 9.0])
    def test_two_even_classes_are_told_apart_by_their_distance(self, information: float) -> None:
        # of normal classes d apart, d**2 the variance of the log-odds, d / 2 is on either side
        expected = norm.cdf(0.5 * math.sqrt(information))
        assert expected_accuracy(0.5, 0.5, information) == pytest.approx(expected)

    @pytest.mark.parametrize(("first", "information"), [(0.6, 0.5), (0.8, 2.0), (0.95, 0.2)])
    def test_is_the_mean_of_the_posterior_to_come(self, first: float, information: float) -> None:
        prior = math.log(first / (1 - first))

        def right(evidence: float) -> float:
            spread = math.sqrt(information)
            if_first = float(norm.pdf(evidence, 0.5 * information, spread))
            if_second = float(norm.pdf(evidence, -0.5 * information, spread))
            return first * if_first if prior + evidence > 0 else (1 - first) * if_second

        expected, _ = quad(right, -30, 30, points=[-prior], limit=200)
        found = expected_accuracy(first, 1 - first, information)
        assert found == pytest.approx(expected, rel=1e-6)

    def test_a_probe_that_has_told_all_it_can_is_given_up(self) -> None:
        many = [ImageEvidence((0.6, 0.3, 0.1), "1")] * 30
        found = self.RULE.decision(CLASSES, many)
        assert (found.certain, found.exhausted, found.settled) == (False, True, True)

    def test_another_probe_promises_more(self) -> None:
        many = [ImageEvidence((0.6, 0.3, 0.1), "1")] * 30
        assert not self.RULE.decision(CLASSES, many, probe="2").settled

    def test_images_that_contradict_each_other_call_for_more(self) -> None:
        images = [ImageEvidence((0.9, 0.05, 0.05), "1"), ImageEvidence((0.05, 0.9, 0.05), "1")]
        assert not self.RULE.decision(CLASSES, images).settled

    def test_images_that_tell_nothing_call_for_no_more(self) -> None:
        assert self.RULE.decision(CLASSES, [ImageEvidence((0.34, 0.33, 0.33), "1")] * 2).exhausted

    def test_no_sample_is_given_up_before_the_least_number_of_images(self) -> None:
        assert not self.RULE.decision(CLASSES, [ImageEvidence((0.34, 0.33, 0.33), "1")]).settled

    def test_nor_where_nothing_must_be_gained(self) -> None:
        rule = StoppingRule(0.99, 2, 0.0, Dependence(0.5))
        assert not rule.decision(CLASSES, [ImageEvidence((0.6, 0.3, 0.1), "1")] * 300).settled

    def test_what_is_given_up_costs_hardly_any_accuracy(self) -> None:
        rng, images, right, at_last = np.random.default_rng(4), [], [], []
        for _ in range(300):
            label = int(rng.integers(3))
            every = one_image(drawn(rng, label, 40, 0.5))
            told = [ImageEvidence(tuple(each), "1") for each in every.tolist()]
            count, found = 2, self.RULE.decision(CLASSES, told[:2])
            while count < 40 and not found.settled:
                count += 1
                found = self.RULE.decision(CLASSES, told[:count])
            right.append(found.label == CLASSES[label])
            at_last.append(pooled(every, ["1"] * 40, self.RULE.dependence).argmax() == label)
            images.append(count)
        assert np.mean(images) < 0.6 * 40
        assert np.mean(right) == pytest.approx(np.mean(at_last), abs=0.03)


class TestFit:
    """How far images of one probe repeat each other, as held-out images tell."""

    @pytest.mark.parametrize("correlation", [0.0, 0.1, 0.3, 0.5])
    def test_finds_the_part_of_the_variance_that_is_common(self, correlation: float) -> None:
        found = fit_dependence(*campaigns(correlation, groups=600))
        assert found.correlation == pytest.approx(correlation, abs=0.05)

    def test_makes_pooled_probabilities_right_as_often_as_they_say(self) -> None:
        fitted = fit_dependence(*campaigns(0.3, groups=300, seed=1))
        told, labels, _ = campaigns(0.3, groups=1500, seed=2)
        of_each = told.reshape(1500, 16, 3)
        chances = np.array([pooled(images, ["1"] * 16, fitted) for images in of_each])
        right = chances.argmax(axis=1) == labels[::16]
        assert right.mean() == pytest.approx(chances.max(axis=1).mean(), abs=0.04)

    @pytest.mark.parametrize(
        ("labels", "groups", "message"),
        [
            ([0, 0], [1, 2], "no probe has two images"),
            ([0, 1], [1, 1], "images of two classes"),
            ([0], [1, 1], "one of each an image"),
        ],
    )
    def test_refuses_what_tells_nothing(self, labels: Any, groups: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            fit_dependence([[0.5, 0.5]] * 2, labels, groups)


@pytest.mark.slow
def test_the_rule_needs_nothing_but_numpy() -> None:
    asked = (
        "import sys, analysis.sequential; "
        "print(sorted({'scipy', 'sklearn', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
