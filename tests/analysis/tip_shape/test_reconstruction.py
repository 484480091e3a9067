"""Blind reconstruction against Gwyddion's, and against what the method guarantees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from analysis.tip_shape import (
    certainty_map,
    frontier_tip,
    guaranteed_tip,
    reconstruct,
    surface_below,
)

DATA = Path(__file__).parents[2] / "data" / "tip"
NM = 1e-9


@pytest.fixture(scope="module")
def vectors() -> dict[str, NDArray[np.float64]]:
    with np.load(DATA / "gwyddion.npz") as found:
        return {name: found[name] for name in found.files}


@pytest.fixture(scope="module")
def image(vectors: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return vectors["image_pm"] * 1e-12


def _lopsided(size: int = 9) -> NDArray[np.float64]:
    """Return a tip without any symmetry, heights in sixteenths so that sums are exact."""
    y, x = np.mgrid[:size, :size] - size // 2
    return -np.round(16 * (0.5 * x**2 + 0.7 * y**2 + 0.2 * x * y - 0.3 * np.minimum(x, 0))) / 16


def _dilated(tip: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Return a surface of spikes as imaged by a tip."""
    rng = np.random.default_rng(seed)
    spikes = np.where(rng.random((80, 80)) < 0.01, 40.0, 0.0) + rng.integers(0, 16, (80, 80)) / 16
    return ndimage.grey_dilation(spikes, structure=tip)


@pytest.mark.parametrize("index", [0, 1])
def test_partial_estimate_equals_that_of_gwyddion(index, vectors, image) -> None:
    threshold = float(vectors["partial_thresholds_m"][index])
    tip = reconstruct(image, np.zeros((21, 21)), threshold, passes=1)
    np.testing.assert_allclose(tip, vectors["partial_m"][index], rtol=0, atol=0.1 * NM)


def test_fixed_point_is_at_most_as_blunt_as_one_pass(image) -> None:
    start = np.zeros((21, 21))
    assert (reconstruct(image, start) <= reconstruct(image, start, passes=1)).all()


def test_full_estimate_equals_that_of_gwyddion(vectors, image) -> None:
    threshold = float(vectors["full_thresholds_m"][0])
    tip = reconstruct(image, np.zeros((21, 21)), threshold, method="full")
    np.testing.assert_allclose(tip, vectors["full_m"][0], rtol=0, atol=0.1 * NM)


@pytest.mark.parametrize("method", ["partial", "full"])
def test_estimate_without_noise_is_never_sharper_than_the_tip(method) -> None:
    true = _lopsided()
    tip = reconstruct(_dilated(true), np.zeros(true.shape), method=method)
    assert (tip >= true).all()


def test_tip_that_imaged_spikes_is_found_as_deep_as_they_are_high() -> None:
    true = _lopsided()
    tip = reconstruct(_dilated(true), np.zeros(true.shape))
    seen = true > -30
    np.testing.assert_array_equal(tip[seen], true[seen])


def test_estimate_is_a_fixed_point() -> None:
    image = _dilated(_lopsided())
    tip = reconstruct(image, np.zeros((9, 9)))
    np.testing.assert_array_equal(reconstruct(image, tip), tip)


def test_full_estimate_is_at_most_as_blunt_as_the_partial_one() -> None:
    image = _dilated(_lopsided())
    start = np.zeros((9, 9))
    assert (reconstruct(image, start, method="full") <= reconstruct(image, start)).all()


def test_guaranteed_tip_is_never_sharper_than_the_tip_whatever_the_noise() -> None:
    true = _lopsided()
    image = _dilated(true) + np.random.default_rng(2).uniform(-0.5, 0.5, (80, 80))
    assert (guaranteed_tip(image, (9, 9), 2.0) >= true).all()


def test_surface_below_is_the_true_surface_where_the_tip_touched() -> None:
    true = _lopsided()
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, (60, 60)), 6)
    image = ndimage.grey_dilation(smooth, structure=true)
    found = surface_below(image, true)
    assert (found >= smooth - 1e-12).all()
    assert np.mean(np.abs(found - smooth) < 1e-9) > 0.9


def test_point_under_a_lone_spike_is_certain() -> None:
    spikes = np.zeros((40, 40))
    spikes[20, 17] = 10.0
    image = ndimage.grey_dilation(spikes, structure=_lopsided())
    assert certainty_map(image, _lopsided())[20, 17]


def test_ground_beside_a_spike_that_the_tip_cannot_reach_is_not_certain() -> None:
    spikes = np.zeros((40, 40))
    spikes[20, 17] = 10.0
    image = ndimage.grey_dilation(spikes, structure=_lopsided())
    assert not certainty_map(image, _lopsided())[20, 18]


def test_frontier_is_nearer_to_the_true_tip_than_any_threshold() -> None:
    with np.load(DATA / "btr_single.npz") as found:
        frames, true = found["frames_angstrom"].astype(float), found["tip_angstrom"][:13, :13]
    seen = true >= -110  # the features' height
    mosaic = np.block([[frames[5 * i + j] for j in range(5)] for i in range(5)])

    def miss(tip: NDArray[np.float64]) -> float:
        return float(np.sqrt(np.mean((tip - true)[seen] ** 2)))

    least = min(miss(reconstruct(mosaic, np.zeros((13, 13)), t)) for t in (0, 6, 12, 18, 24, 30))
    assert miss(frontier_tip(list(frames), (13, 13), 30.0)) < least


def test_frames_without_features_are_refused() -> None:
    with pytest.raises(ValueError, match="no feature of 30"):
        frontier_tip([np.zeros((20, 20))], (5, 5), 30.0)
