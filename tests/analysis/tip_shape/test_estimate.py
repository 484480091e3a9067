"""Estimates from images of the simulated tip sample against the tips that made them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.tip_shape import TipSettings, estimate_tip
from analysis.tip_shape.noise import noise_of
from sim.tip import SphereCone, Worn

NM = 1e-9
PIXEL = 2.5e-6 / 512


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3, 0.5])
def test_noise_is_measured(noise, scan) -> None:
    image = scan(SphereCone(30 * NM), noise=noise * NM)
    assert noise_of(image) == pytest.approx(noise * NM, rel=0.15)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3, 0.5])
def test_diameter_at_20_nm_is_within_1_nm(noise, scan) -> None:
    tip = SphereCone(30 * NM)
    found = estimate_tip(scan(tip, noise=noise * NM), PIXEL)
    assert found.diameters[1] == pytest.approx(2 * tip.half_width(20 * NM), abs=1 * NM)


def test_error_covers_the_miss(new_tip) -> None:
    miss = abs(new_tip.diameters[1] - 2 * SphereCone(30 * NM).half_width(20 * NM))
    assert miss < 3 * new_tip.diameter_errors[1]


def test_round_tip_is_round(new_tip) -> None:
    assert new_tip.aspect_ratios == pytest.approx((1.0, 1.0), abs=0.1)


def test_radius_of_the_end_is_within_its_bound(new_tip) -> None:
    found = new_tip.apex_radius
    assert found.radius == pytest.approx(30 * NM, rel=0.1)
    assert found.low <= found.radius <= found.high


def test_worn_tip_is_wider_than_a_new_one(scan, new_tip) -> None:
    worn = estimate_tip(scan(Worn(30 * NM, plateau=18 * NM), noise=0.3 * NM), PIXEL)
    assert worn.diameters[1] - new_tip.diameters[1] > 2 * NM


def test_lines_twice_as_far_apart_give_the_same_tip(scan) -> None:
    tip, pixel = SphereCone(30 * NM), (2 * PIXEL, PIXEL)
    image = scan(tip, noise=0.1 * NM, pixel=pixel, shape=(128, 256))
    found = estimate_tip(image, pixel)
    assert found.diameters[1] == pytest.approx(2 * tip.half_width(20 * NM), abs=2 * NM)


def test_window_grows_until_it_holds_the_section(scan) -> None:
    tip = SphereCone(80 * NM)
    found = estimate_tip(scan(tip, noise=0.1 * NM, shape=(256, 256)), PIXEL)
    assert found.diameters[1] == pytest.approx(2 * tip.half_width(20 * NM), abs=2 * NM)


def test_retrace_gives_the_noise_of_one_scan(scan) -> None:
    tip = SphereCone(30 * NM)
    trace, retrace = (scan(tip, noise=0.3 * NM, seed=seed) for seed in (0, 1))
    found = estimate_tip(trace, PIXEL, retrace=retrace)
    assert found.noise == pytest.approx(0.3 * NM, rel=0.03)


def test_estimate_does_not_depend_on_the_height_of_the_sample(scan, new_tip) -> None:
    image = scan(SphereCone(30 * NM), noise=0.3 * NM) + 1e-6
    found = estimate_tip(image, PIXEL)
    np.testing.assert_allclose(found.diameters, new_tip.diameters, atol=0.01 * NM)


def test_threshold_that_is_given_is_used(scan) -> None:
    image = scan(SphereCone(30 * NM), noise=0.3 * NM)
    found = estimate_tip(image, PIXEL, TipSettings(threshold=0.5 * NM))
    assert found.threshold == 0.5 * NM
    assert found.sweep is None


def test_higher_threshold_makes_a_blunter_tip(scan) -> None:
    image = scan(SphereCone(30 * NM), noise=0.3 * NM)
    thin, wide = (
        estimate_tip(image, PIXEL, TipSettings(threshold=t * NM, prefilter=1.0)).diameters[1]
        for t in (0.1, 1.0)
    )
    assert wide > thin


@pytest.mark.parametrize(
    ("image", "pixel", "message"),
    [
        (np.full((64, 64), np.nan), PIXEL, "4096 of 4096 pixels without a finite height"),
        (np.zeros((5, 5)), PIXEL, "5 x 5 pixels is too small"),
        (np.zeros(64), PIXEL, r"heights of shape \(lines, points\)"),
        (np.zeros((64, 64), complex), PIXEL, "complex128 is not allowed"),
        (np.zeros((64, 64)), 0.0, "one number above 0"),
        (np.zeros((64, 64)), (PIXEL, -PIXEL), "one number above 0"),
        (np.zeros((64, 64)), np.nan, "one number above 0"),
    ],
)
def test_bad_image_is_refused_in_one_line(image, pixel, message) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        estimate_tip(image, pixel)
    assert "\n" not in str(refusal.value)


def test_retrace_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit an image"):
        estimate_tip(np.zeros((64, 64)), PIXEL, retrace=np.zeros((64, 32)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (20, 20)}, "odd numbers"),
        ({"method": "blind"}, "partial or full"),
        ({"noise": -1.0}, "0 or more"),
        ({"prefilter": np.inf}, "0 or more"),
        ({"heights": (20 * NM, 10 * NM)}, "rising"),
        ({"oversampling": 9}, "1 to 4"),
    ],
)
def test_bad_setting_is_refused(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        TipSettings(**wrong)
