"""A network sees what the application note says it should: checked against scipy and skimage."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from blend_images import BlendImages, blend, shown
from numpy.typing import NDArray

from analysis.networks.features import prepared_channel
from analysis.networks.preprocessing import (
    AsIs,
    ChannelPreprocessing,
    CleanModulus,
    RelativePhase,
    Statistics,
    measure_statistics,
    preprocessing_of,
)

MASK = blend(0.2, 64, seed=3)


def out_of(layer: keras.layers.Layer, images: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(keras.ops.convert_to_numpy(layer(images)), dtype=np.float64)


def through(layer: keras.layers.Layer, image: NDArray[np.float32]) -> NDArray[np.float64]:
    return out_of(layer, image[np.newaxis, ..., np.newaxis].astype(np.float32))[0, ..., 0]


def test_the_two_components_of_a_phase_become_0_and_1() -> None:
    relative = through(RelativePhase(), shown(MASK, "phase", noise=0.05, seed=0))
    # the rubber has the lower phase here
    assert np.median(relative[MASK]) == pytest.approx(0, abs=0.02)
    assert np.median(relative[~MASK]) == pytest.approx(1, abs=0.02)


def test_degrees_do_not_matter_to_the_relative_phase() -> None:
    image = shown(MASK, "phase", noise=0.05, seed=0)
    other = (3.1 * image - 40).astype(np.float32)
    np.testing.assert_allclose(
        through(RelativePhase(), other), through(RelativePhase(), image), atol=1e-4
    )


@pytest.mark.parametrize("share", [0.08, 0.3, 0.6])
def test_the_components_are_parted_as_skimage_parts_them(share: float) -> None:
    image = shown(blend(share, 64, seed=5), "phase", noise=0.1, seed=5)
    expected = prepared_channel("phase", image)
    np.testing.assert_allclose(through(RelativePhase(), image), expected, atol=0.02)


def test_wild_pixels_do_not_move_the_relative_phase() -> None:
    image = shown(MASK, "phase", noise=0.05, seed=0)
    wild = image.copy()
    wild[::32, ::32] = 1000.0
    calm = np.ones_like(MASK)
    calm[::32, ::32] = False
    change = through(RelativePhase(), wild) - through(RelativePhase(), image)
    assert np.abs(change[calm]).max() < 0.01


def test_an_even_phase_stays_finite() -> None:
    assert np.isfinite(through(RelativePhase(), np.full((32, 32), 12.0, np.float32))).all()


def test_deformation_is_taken_as_it_is_in_nanometres() -> None:
    image = shown(MASK, "deformation", noise=0.05, seed=0)
    np.testing.assert_allclose(through(AsIs(1e-9), image), image.astype(float) * 1e9, rtol=1e-5)


def test_the_modulus_loses_its_outliers_and_keeps_the_rest() -> None:
    clean = shown(MASK, "dmt_modulus", noise=0.005, seed=1)
    noisy = clean.copy()
    at = np.random.default_rng(0).choice(clean.size, clean.size // 50, replace=False)
    noisy.flat[at] *= 50.0
    noisy.flat[at[::4]] = -1.0  # no force curve was fitted
    decades = through(CleanModulus(), noisy)
    error = np.abs(decades - np.log10(np.maximum(clean, 1e5)))
    edge = np.abs(np.diff(MASK.astype(int), prepend=0)) > 0
    assert np.quantile(error[~edge], 0.99) < 0.2  # a wild pixel was off by 1.7 decades
    assert np.median(error) == pytest.approx(0, abs=1e-6)


def test_the_modulus_is_cleaned_as_scipy_cleans_it() -> None:
    image = shown(MASK, "dmt_modulus", noise=0.05, seed=2)
    image[5, 5] = 1e12
    expected = prepared_channel("dmt_modulus", image)
    # the limit is a median, which the two take of an even number in two ways
    differing = np.abs(through(CleanModulus(), image) - expected) > 1e-4
    assert differing.mean() < 0.002


@pytest.mark.parametrize("channel", ["phase", "deformation", "dmt_modulus"])
def test_pixels_that_were_not_measured_leave_no_hole(channel: str) -> None:
    image = shown(MASK, channel, noise=0.05, seed=0)
    image[3:6, 4:9] = np.nan
    assert np.isfinite(through(preprocessing_of([channel]), image)).all()


def test_each_channel_is_brought_to_mean_0_and_spread_1_of_the_training_images() -> None:
    images = BlendImages(12, ("phase", "deformation", "dissipation", "dmt_modulus"))
    every = images.images(range(12))
    statistics = measure_statistics(images.channels, (every[:5], every[5:]))
    out = out_of(preprocessing_of(images.channels, statistics), every)
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(out.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_levels_of_a_channel_keep_their_meaning_from_image_to_image() -> None:
    statistics = {"deformation": Statistics(4.0, 2.0)}
    layer = preprocessing_of(["deformation"], statistics)
    for level in (2e-9, 8e-9):
        out = out_of(layer, np.full((1, 32, 32, 1), level, dtype=np.float32))
        np.testing.assert_allclose(out, (level * 1e9 - 4.0) / 2.0, rtol=1e-5)


def test_a_channel_that_never_changes_is_refused() -> None:
    with pytest.raises(ValueError, match="deformation is the same in all pixels"):
        measure_statistics(["deformation"], [np.full((2, 32, 32, 1), 1e-9, np.float32)])


def test_the_preprocessing_is_rebuilt_from_its_config() -> None:
    layer = preprocessing_of(["phase", "adhesion"], {"adhesion": Statistics(3.0, 2.0)})
    again = ChannelPreprocessing.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="images have 1 channels"):
        preprocessing_of(["phase", "adhesion"])(np.zeros((1, 32, 32, 1), np.float32))
