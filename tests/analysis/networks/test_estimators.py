"""Networks and baselines answer behind one protocol, on one split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from blend_images import BlendImages, Parts, parts_of

from analysis.networks import Problem, TrainingOptions
from analysis.networks.estimators import ESTIMATORS, Estimator, estimator_of

IMAGES = BlendImages(45)
PARTS = parts_of(45)
CLASSES = Problem("classification", ("deformation",), ("A", "B", "C"), (32, 32))
VALUES = Problem("regression", ("deformation",), ("rubber", "matrix"), (32, 32))
BASELINES = ("features+logistic", "features+forest")


def truth() -> np.ndarray:
    return np.hstack([IMAGES.shares, 1 - IMAGES.shares])


@pytest.fixture(scope="module")
def fitted() -> dict[str, Estimator]:
    options = TrainingOptions(epochs=1, batch=9)
    names = (*BASELINES, "small_cnn")
    return {
        name: estimator_of(name, CLASSES, options=options).fit(IMAGES, IMAGES.classes, PARTS)
        for name in names
    }


def test_the_table_has_the_networks_and_the_baselines() -> None:
    assert set(ESTIMATORS) == {
        "resnet50",
        "small_resnet",
        "small_cnn",
        "features+logistic",
        "features+forest",
    }


@pytest.mark.parametrize("name", [*BASELINES, "small_cnn"])
def test_probabilities_add_up_to_one(name: str, fitted: dict[str, Estimator]) -> None:
    answers = fitted[name].predict(IMAGES, PARTS.test)
    assert answers.shape == (len(PARTS.test), 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", [*BASELINES, "small_cnn"])
def test_evidence_orders_the_classes_as_the_probabilities_do(
    name: str, fitted: dict[str, Estimator]
) -> None:
    answers = fitted[name].predict(IMAGES, PARTS.test)
    evidence = fitted[name].evidence(IMAGES, PARTS.test)
    np.testing.assert_array_equal(answers.argmax(axis=1), evidence.argmax(axis=1))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_tells_blends_apart_by_their_share_of_rubber(
    name: str, fitted: dict[str, Estimator]
) -> None:
    answers = fitted[name].predict(IMAGES, PARTS.test).argmax(axis=1)
    expected = [CLASSES.outputs.index(IMAGES.classes[index]) for index in PARTS.test]
    assert np.mean(answers == expected) >= 0.8


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_predicts_values_in_their_units(name: str) -> None:
    estimator = estimator_of(name, VALUES).fit(IMAGES, truth(), PARTS)
    answers = estimator.predict(IMAGES, PARTS.test)
    np.testing.assert_allclose(answers, truth()[list(PARTS.test)], atol=0.06)


def test_the_same_seed_gives_the_same_forest() -> None:
    def answers() -> np.ndarray:
        estimator = estimator_of("features+forest", CLASSES, seed=4)
        return estimator.fit(IMAGES, IMAGES.classes, PARTS).predict(IMAGES, PARTS.test)

    np.testing.assert_array_equal(answers(), answers())


@pytest.mark.parametrize("name", [*BASELINES, "small_cnn"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_set": BlendImages(45, units={"deformation": "V"})}, "deformation is in V"),
        ({"split": Parts((0, 1, 2, 3, 4), (), (7,))}, "class C has 1 training images"),
    ],
)
def test_bad_input_is_refused_alike(name: str, changed: dict[str, Any], message: str) -> None:
    given = {"image_set": IMAGES, "targets": IMAGES.classes, "split": PARTS} | changed
    with pytest.raises(ValueError, match=message):
        estimator_of(name, CLASSES).fit(**given)


@pytest.mark.parametrize("name", ["features+logistic", "small_cnn"])
def test_what_has_learnt_nothing_answers_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="fit first"):
        estimator_of(name, CLASSES).predict(IMAGES, [0])


def test_an_unknown_estimator_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="'svm' is not known: choose of resnet50"):
        estimator_of("svm", CLASSES)
