"""The numbers of an image are what they say, on images whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blend_images import MATRIX, RUBBER, BlendImages, blend, shown

from analysis.networks.features import feature_names, feature_table, features_of


def numbers(share: float, channel: str = "deformation") -> dict[str, float]:
    image = shown(blend(share, 64, seed=1), channel, noise=0.03, seed=1)
    return features_of([channel], image[..., np.newaxis])


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_share_and_the_levels_of_the_rubber_are_found(share: float) -> None:
    found = numbers(share)
    assert found["deformation.share"] == pytest.approx(share, abs=0.01)
    assert found["deformation.low_level"] == pytest.approx(MATRIX["deformation"] * 1e9, rel=0.05)
    assert found["deformation.high_level"] == pytest.approx(RUBBER["deformation"] * 1e9, rel=0.05)


def test_discs_are_counted_and_measured() -> None:
    y, x = np.mgrid[:64, :64]
    centres = [(12, 12), (12, 50), (45, 30)]
    mask = np.any([np.hypot(y - a, x - b) <= 8 for a, b in centres], axis=0)
    image = shown(mask, "deformation", noise=0.01, seed=0)
    found = features_of(["deformation"], image[..., np.newaxis])
    assert found["deformation.domains"] == 3
    assert found["deformation.diameter"] == pytest.approx(16, rel=0.05)
    assert found["deformation.eccentricity"] < 0.3


def test_a_coarser_blend_has_its_variance_at_longer_lengths() -> None:
    def low_rings(side: int) -> float:
        image = shown(blend(0.3, side, seed=2)[:64, :64], "deformation", noise=0.0, seed=2)
        found = features_of(["deformation"], image[..., np.newaxis])
        return float(
            np.sum(10.0 ** np.array([found[f"deformation.spectrum_{i}"] for i in range(4)]))
        )

    assert low_rings(256) > low_rings(64)


@pytest.mark.parametrize("channel", ["phase", "deformation", "dissipation", "dmt_modulus"])
def test_every_number_is_finite_even_of_an_even_image(channel: str) -> None:
    for image in (np.zeros((32, 32, 1)), np.full((32, 32, 1), MATRIX[channel])):
        found = features_of([channel], image.astype(np.float32))
        assert np.isfinite(list(found.values())).all()


def test_a_table_has_a_row_an_image_and_a_column_a_name() -> None:
    images = BlendImages(4, ("deformation", "phase"))
    table = feature_table(images, [2, 0])
    assert table.shape == (2, len(feature_names(images.channels)))
    expected = list(features_of(images.channels, images.images([2])[0]).values())
    np.testing.assert_allclose(table[0], expected)


def test_an_image_is_measured_once_whatever_its_place_in_a_set(tmp_path: Path) -> None:
    images, again = BlendImages(6), BlendImages(6)
    first = feature_table(images, range(6), tmp_path)
    again.read.clear()
    np.testing.assert_array_equal(feature_table(again, [5, 1], tmp_path), first[[5, 1]])
    assert not again.read
