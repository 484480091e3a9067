"""The five answers of a tip check, and the trend of a probe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.tip_shape import Baseline, TipLimits, baseline_of, estimate_tip, qualify, tip_trend
from sim.tip import Double, SphereCone, Worn

NM = 1e-9
PIXEL = 2.5e-6 / 512
ELSEWHERE = (-11e-6, 7e-6)


def _with_diameter(estimate, diameter):
    low, high = estimate.sections
    return replace(estimate, sections=(low, replace(high, diameter=diameter)))


def test_new_tip_is_good(new_tip) -> None:
    assert qualify(new_tip, baseline=new_tip).status == "good"


def test_change_of_radius_from_30_to_32_nm_at_another_place_is_told(new_tip, scan) -> None:
    later = estimate_tip(scan(SphereCone(32 * NM), 0.3 * NM, seed=5, place=ELSEWHERE), PIXEL)
    assert qualify(later, baseline=new_tip).changed


def test_no_change_at_another_place_is_none(new_tip, scan) -> None:
    later = estimate_tip(scan(SphereCone(30 * NM), 0.3 * NM, seed=5, place=ELSEWHERE), PIXEL)
    verdict = qualify(later, baseline=new_tip)
    assert verdict.status == "good"
    assert not verdict.changed


def test_flattened_tip_is_worn(new_tip, scan) -> None:
    worn = estimate_tip(scan(Worn(30 * NM, plateau=18 * NM), 0.3 * NM, place=ELSEWHERE), PIXEL)
    verdict = qualify(worn, baseline=new_tip)
    assert verdict.status == "worn"
    assert "wider than the baseline (allowed 2.0 nm)" in verdict.reason


@pytest.mark.parametrize(
    ("offset", "depth", "noise"),
    [((60, 20), 6, 0.0), ((60, 20), 6, 0.3), ((-40, 50), 2, 0.3), ((70, -10), 12, 0.3)],
    ids=str,
)
def test_double_tip_is_bad(offset, depth, noise, scan) -> None:
    tip = Double(SphereCone(30 * NM), (offset[0] * NM, offset[1] * NM), depth * NM)
    verdict = qualify(estimate_tip(scan(tip, noise * NM), PIXEL))
    assert verdict.status == "bad"
    assert "2 ends" in verdict.reason


def test_blunt_tip_is_bad(scan) -> None:
    verdict = qualify(estimate_tip(scan(SphereCone(70 * NM), 0.3 * NM), PIXEL))
    assert verdict.status == "bad"
    assert "bad above 90.0 nm" in verdict.reason


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_flat_image_shows_no_tip(noise) -> None:
    image = np.random.default_rng(0).normal(0, noise * NM, (128, 128))
    verdict = qualify(estimate_tip(image, PIXEL))
    assert verdict.status == "no tip"
    assert np.isnan(verdict.diameter)


def test_tilted_flat_image_shows_no_tip() -> None:
    image = np.linspace(0, 100 * NM, 128)[:, np.newaxis] * np.ones(128)
    assert qualify(estimate_tip(image, PIXEL)).status == "no tip"


def test_tip_that_changed_during_the_scan_is_suspect(scan) -> None:
    image = scan(SphereCone(30 * NM), 0.3 * NM)
    image[128:] = scan(SphereCone(45 * NM), 0.3 * NM)[128:]
    verdict = qualify(estimate_tip(image, PIXEL))
    assert verdict.status == "suspect"
    assert "parts of the scan differ" in verdict.reason


def test_few_sharp_features_are_suspect(new_tip) -> None:
    assert qualify(replace(new_tip, binding_peaks=2)).status == "suspect"


def test_tip_thinner_than_its_baseline_is_suspect(new_tip) -> None:
    wide = Baseline(new_tip.diameters[1] + 3 * NM, 0.3 * NM, 20 * NM)
    verdict = qualify(new_tip, baseline=wide)
    assert verdict.status == "suspect"
    assert "wear does not do" in verdict.reason


def test_errors_of_image_and_baseline_add_in_squares(new_tip) -> None:
    verdict = qualify(
        replace(new_tip, diameter_errors=(0.1 * NM, 0.3 * NM)),
        baseline=Baseline(56 * NM, 0.4 * NM, 20 * NM),
    )
    assert verdict.change_error == pytest.approx(0.5 * NM)


def test_baseline_of_another_height_is_refused(new_tip) -> None:
    with pytest.raises(ValueError, match="does not fit diameters at 20 nm"):
        qualify(new_tip, baseline=Baseline(56 * NM, 0.3 * NM, 15 * NM))


def test_baseline_of_images_without_a_tip_is_refused() -> None:
    flat = estimate_tip(np.zeros((128, 128)), PIXEL)
    with pytest.raises(ValueError, match="needs an image with a tip"):
        baseline_of([flat])


def test_limits_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="at least worn_diameter"):
        TipLimits(worn_diameter=90e-9, bad_diameter=80e-9)


def test_trend_tells_the_first_change_beyond_2_nm(new_tip) -> None:
    start = new_tip.diameters[1]
    series = [_with_diameter(new_tip, start + k * 0.9 * NM) for k in range(5)]
    trend = tip_trend(series)
    assert trend.first_change == 3
    assert [verdict.status for verdict in trend.verdicts] == ["good"] * 3 + ["worn"] * 2


def test_trend_of_steady_wear_has_its_growth(new_tip) -> None:
    start = new_tip.diameters[1]
    trend = tip_trend([_with_diameter(new_tip, start + k * 0.5 * NM) for k in range(4)])
    assert trend.growth == pytest.approx(0.5 * NM)


def test_trend_passes_over_images_without_a_tip(new_tip) -> None:
    flat = estimate_tip(np.zeros((128, 128)), PIXEL)
    trend = tip_trend([new_tip, flat, new_tip])
    assert np.isnan(trend.changes[1])
    assert trend.first_change is None


def test_trend_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 images"):
        tip_trend([])
