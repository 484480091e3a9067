"""Known images and new ones: distances against another library, limits against their promise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from analysis.networks.descriptors import descriptors, filled, names_of, scales_of
from analysis.networks.last_layer import LastLayer
from analysis.networks.novelty import Neighbourhood, NoveltyDetector, Seen, limit_of

Floats = NDArray[np.float64]


def images(rng: np.random.Generator, count: int, blur: float = 1.0) -> NDArray[np.float32]:
    """Textures of a few nm, shape (count, 32, 32, 1)."""
    noise = rng.normal(size=(count, 32, 32))
    smooth = np.stack([gaussian_filter(each, blur, mode="wrap") for each in noise])
    smooth /= smooth.std(axis=(1, 2), keepdims=True)
    return (1e-9 * (5.0 + smooth))[..., np.newaxis].astype(np.float32)


def embeddings(rng: np.random.Generator, count: int) -> Floats:
    """Two classes in four of twelve dimensions, and hardly anything in the others."""
    found = 0.01 * rng.normal(size=(count, 12))
    found[:, :4] += rng.normal(size=(count, 4))
    found[:, 0] += 8.0 * (np.arange(count) % 2)
    return found


def decided(rng: np.random.Generator, count: int) -> Floats:
    """Logits of two classes, some six apart."""
    apart = 6.0 + rng.normal(size=count)
    return np.stack([apart, np.zeros(count)], axis=1)


def classes(count: int) -> list[str]:
    return ["AB"[index % 2] for index in range(count)]


@pytest.fixture(scope="module")
def detector() -> NoveltyDetector:
    rng = np.random.default_rng(1)
    training = Seen(embeddings(rng, 200), images(rng, 200), decided(rng, 200))
    validation = Seen(embeddings(rng, 200), images(rng, 200), decided(rng, 200))
    return NoveltyDetector.fit(training, classes(200), validation, allowed=0.05)


def share_new(detector: NoveltyDetector, vectors: Floats, pictures: NDArray[np.float32]) -> float:
    logits = decided(np.random.default_rng(len(vectors)), len(vectors))
    return float(np.mean(detector.novelty(Seen(vectors, pictures, logits)) > 1.0))


def test_the_distance_is_that_of_mahalanobis_with_the_covariance_of_ledoit_and_wolf() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    vectors = rng.normal(size=(60, 3)) @ mixing
    vectors[::2] += 4.0
    labels = classes(60)
    found = Neighbourhood.fit(vectors, labels)
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    inner = standard @ found.axes
    centres = np.stack([inner[::2].mean(axis=0), inner[1::2].mean(axis=0)])
    scatter = inner - centres[np.arange(60) % 2]
    inverse = LedoitWolf(assume_centered=True).fit(scatter).precision_
    expected = cdist(inner, centres, "mahalanobis", VI=inverse).min(axis=1)
    np.testing.assert_allclose(found.distance(vectors), expected, rtol=1e-9)


class TestDetector:
    def test_known_images_are_taken_for_new_as_seldom_as_was_asked(
        self, detector: NoveltyDetector
    ) -> None:
        rng = np.random.default_rng(2)
        # 5 % of 400 are 20 ± 4.4, and the limit itself rests on 200
        assert share_new(detector, embeddings(rng, 400), images(rng, 400)) < 0.10

    def test_a_class_that_was_not_trained_is_new(self, detector: NoveltyDetector) -> None:
        rng = np.random.default_rng(3)
        apart = embeddings(rng, 50)
        apart[:, 1] += 12.0
        assert share_new(detector, apart, images(rng, 50)) == 1.0

    def test_what_lies_outside_the_space_of_the_training_is_new(
        self, detector: NoveltyDetector
    ) -> None:
        rng = np.random.default_rng(4)
        outside = embeddings(rng, 50)
        outside[:, 7] += 5.0
        assert share_new(detector, outside, images(rng, 50)) == 1.0

    def test_a_blurred_image_is_new_though_the_network_is_blind_to_it(
        self, detector: NoveltyDetector
    ) -> None:
        rng = np.random.default_rng(5)
        assert share_new(detector, embeddings(rng, 50), images(rng, 50, blur=2.5)) == 1.0

    def test_a_doubled_image_is_new_though_the_network_is_blind_to_it(
        self, detector: NoveltyDetector
    ) -> None:
        rng = np.random.default_rng(6)
        once = images(rng, 50)
        twice = np.maximum(once, np.roll(once, (5, 4), axis=(1, 2)))
        assert share_new(detector, embeddings(rng, 50), twice) > 0.9

    def test_lost_lines_are_new(self, detector: NoveltyDetector) -> None:
        rng = np.random.default_rng(7)
        broken = images(rng, 50)
        broken[:, 20:] = broken[:, 19:20]
        assert share_new(detector, embeddings(rng, 50), broken) > 0.9

    def test_an_undecided_answer_is_new_however_known_the_image_looks(
        self, detector: NoveltyDetector
    ) -> None:
        rng = np.random.default_rng(10)
        seen = Seen(embeddings(rng, 50), images(rng, 50), 0.1 * decided(rng, 50))
        assert (detector.novelty(seen) > 1.0).all()
        assert set(detector.foremost(seen)) == {"answer"}

    def test_of_a_network_that_predicts_values_there_is_no_such_view(self) -> None:
        rng = np.random.default_rng(11)
        some = Seen(embeddings(rng, 40), images(rng, 40))
        assert NoveltyDetector.fit(some, classes(40), some).views(some).shape == (40, 3)

    def test_it_comes_back_from_a_file_as_it_was(
        self, detector: NoveltyDetector, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(8)
        np.savez(tmp_path / "a.npz", **detector.arrays())
        with np.load(tmp_path / "a.npz") as arrays:
            read = NoveltyDetector.of_arrays(arrays)
        some = Seen(embeddings(rng, 5), images(rng, 5), decided(rng, 5))
        np.testing.assert_array_equal(read.novelty(some), detector.novelty(some))

    def test_a_share_that_is_none_is_refused(self) -> None:
        rng = np.random.default_rng(9)
        some = Seen(embeddings(rng, 8), images(rng, 8))
        with pytest.raises(ValueError, match="a share between 0 and 1"):
            NoveltyDetector.fit(some, classes(8), some, allowed=1.0)


def test_too_few_images_set_no_limit() -> None:
    assert limit_of([3.0, 1.0, 2.0], 0.05) == math.inf


class TestDescriptors:
    def test_each_column_has_a_name(self) -> None:
        stack = np.repeat(images(np.random.default_rng(0), 2), 2, axis=-1)
        found = descriptors(stack, scales_of(stack))
        assert found.shape == (2, len(names_of(("deformation", "adhesion"))))

    def test_they_do_not_depend_on_the_unit(self) -> None:
        stack = images(np.random.default_rng(0), 3).astype(np.float64)
        nano = 1e9 * stack
        np.testing.assert_allclose(
            descriptors(nano, scales_of(nano)), descriptors(stack, scales_of(stack)), atol=1e-9
        )

    def test_an_image_that_is_nothing_but_even_is_described_too(self) -> None:
        assert np.isfinite(descriptors(np.zeros((1, 16, 16, 1)), np.ones(1))).all()

    def test_what_is_missing_is_filled_with_the_median_and_told(self) -> None:
        image = np.full((10, 10, 1), 2.0, dtype=np.float32)
        image[3] = np.nan
        image[4, 4] = np.inf
        found, missing = filled(image)
        assert (found == 2.0).all()
        assert missing == pytest.approx(0.11)


class TestLastLayer:
    def test_the_scatter_of_a_value_is_that_of_its_errors(self) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(400, 5))
        errors = 2.0 * rng.normal(size=(400, 1))
        found = LastLayer.of_values(vectors, (errors, np.zeros((400, 1))))
        scatter = np.sqrt(found.variances(rng.normal(size=(100, 5))))
        np.testing.assert_allclose(scatter, 2.0, rtol=0.15)

    def test_a_value_scatters_more_far_from_the_training_images(self) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(50, 5))
        found = LastLayer.of_values(vectors, (rng.normal(size=(50, 1)), np.zeros((50, 1))))
        near, far = found.variances(np.array([np.zeros(5), np.full(5, 30.0)]))[:, 0]
        assert far > 3.0 * near

    def classifier(self) -> LastLayer:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(200, 3))
        logits = np.stack([vectors[:, 0], -vectors[:, 0]], axis=1)
        truth = (rng.random(200) > 1.0 / (1.0 + np.exp(-2.0 * vectors[:, 0]))).astype(int)
        half = slice(0, 100), slice(100, 200)
        return LastLayer.of_classes(
            (vectors[half[0]], logits[half[0]]), (vectors[half[1]], logits[half[1]], truth[half[1]])
        )

    def test_a_probability_scatters_more_where_no_training_image_was(self) -> None:
        found = self.classifier()
        undecided = np.zeros(2)
        near = found.probability_spreads(np.zeros(3), undecided)
        far = found.probability_spreads(np.array([0.0, 40.0, 0.0]), undecided)
        assert far[0] > 2.0 * near[0]

    def test_it_scatters_the_same_for_the_same_image(self) -> None:
        found, vector = self.classifier(), np.array([0.3, -1.0, 0.5])
        first = found.probability_spreads(vector, np.array([0.2, -0.2]))
        np.testing.assert_array_equal(
            first, found.probability_spreads(vector, np.array([0.2, -0.2]))
        )
