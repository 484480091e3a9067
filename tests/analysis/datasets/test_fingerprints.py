"""Fingerprints tell copies from other images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import downscale_local_mean

from analysis.datasets.fingerprints import FINGERPRINT, area_averaged, copies, fingerprint

SIZE = 2 * FINGERPRINT


def image(seed: int, lines: int = SIZE, points: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(size=(lines, points))


class TestAverage:
    def test_it_is_that_of_another_library(self):
        found = area_averaged(image(1, 60, 40), (20, 20))
        np.testing.assert_allclose(found, downscale_local_mean(image(1, 60, 40), (3, 2)))

    @given(old=st.integers(1, 60), new=st.integers(1, 60))
    def test_an_even_image_stays_even(self, old: int, new: int):
        np.testing.assert_allclose(area_averaged(np.full((old, 3), 7.0), (new, 2)), 7.0)

    def test_a_pixel_on_an_edge_counts_half_on_either_side(self):
        np.testing.assert_allclose(area_averaged([[3.0, 6.0, 12.0]], (1, 2)), [[4.0, 10.0]])


class TestFingerprint:
    def test_it_is_of_unit_norm(self):
        assert np.linalg.norm(fingerprint(image(1))) == pytest.approx(1.0, abs=1e-5)

    def test_gain_offset_and_slope_drop_out(self):
        line, point = np.mgrid[:SIZE, :SIZE]
        original = image(1)
        cut = np.clip(original, *np.percentile(original, (1.0, 99.0)))
        sloped = 1e-9 * (cut + 0.001 * line - 0.002 * point + 5.0)
        assert np.sum(fingerprint(original) * fingerprint(sloped)) > 0.99

    def test_an_image_without_contrast_has_none(self):
        line, point = np.mgrid[:SIZE, :SIZE]
        assert not fingerprint(np.full((SIZE, SIZE), 3.0)).any()
        assert np.linalg.norm(fingerprint(1.0 * (point + 2 * line))) < 2  # the cut corners alone

    def test_a_few_outliers_change_little(self):
        spoilt = image(1)
        spoilt.flat[[5, 900]] = 1e6
        assert np.sum(fingerprint(image(1)) * fingerprint(spoilt)) > 0.98


class TestCopies:
    def test_each_pair_of_a_set_is_found_once(self):
        prints = np.stack([fingerprint(image(n)) for n in (1, 2, 1, 3, 1)])[:, np.newaxis]
        found = list(copies(prints, range(5), range(5), similarity=0.9, square=True))
        assert [(each.first, each.second) for each in found] == [(0, 2), (0, 4), (2, 4)]

    def test_a_copy_in_any_channel_is_found(self):
        one, other, third = (fingerprint(image(n)) for n in (1, 2, 3))
        prints = np.stack([np.stack([one, other]), np.stack([third, other])])
        (found,) = copies(prints, [0], [1], similarity=0.9, square=True)
        assert (found.channel, found.orientation) == (1, 0)

    def test_what_is_not_square_cannot_be_turned(self):
        prints = np.stack([fingerprint(image(1)), fingerprint(np.rot90(image(1)))])[:, np.newaxis]
        assert not list(copies(prints, [0], [1], similarity=0.9, square=False))
        assert list(copies(prints, [0], [1], similarity=0.9, square=True))

    def test_more_images_than_are_compared_at_a_time_are_all_compared(self):
        seeds = [*range(300), 299]
        prints = np.stack([fingerprint(image(n, 32, 32)) for n in seeds])[:, np.newaxis]
        found = list(copies(prints, range(301), range(301), similarity=0.95, square=True))
        assert [(each.first, each.second) for each in found] == [(299, 300)]
