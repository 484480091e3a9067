"""What images of a known sample tell: channels, rubber, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.qnm import find_rubber, image_quality, segment, summarise
from analysis.qnm.channels import scaled
from sim.copolymer import FORMULATIONS, Copolymer
from sim.peakforce import ForceProbe, Frame, PeakForceSettings, scan

SETPOINT = 30e-9


@pytest.fixture(scope="module")
def scanned():
    """An image of C5, 128 by 128, and what lies in each of its pixels."""
    surface = Copolymer(FORMULATIONS["C5"], 1)
    frame = Frame(size=4e-6, lines=128, points=128)
    channels = scan(surface, ForceProbe(), frame, PeakForceSettings(), np.random.default_rng(3))
    return channels, surface.component(*frame.positions())


def disc(modulus_in: float, modulus_out: float, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """An image with one round domain, with a twentieth of scatter, and where the domain is."""
    y, x = np.mgrid[:size, :size] - 0.5 * size
    inside = np.hypot(x, y) < 0.25 * size
    scatter = np.exp(0.02 * np.random.default_rng(0).standard_normal(inside.shape))
    return np.where(inside, modulus_in, modulus_out) * scatter, inside


class TestRubber:
    def test_its_area_is_that_of_the_sample(self, scanned):
        channels, component = scanned
        found = find_rubber(channels["dmt_modulus"])
        assert found.area_fraction == pytest.approx((component > 0).mean(), abs=0.01)

    def test_its_modulus_is_that_of_the_formulation(self, scanned):
        channels, _ = scanned
        found = find_rubber(channels["dmt_modulus"])
        assert found.modulus == pytest.approx(FORMULATIONS["C5"].rubber_modulus, rel=0.05)

    def test_polyethylene_within_it_is_told_from_it(self, scanned):
        channels, component = scanned
        found = find_rubber(channels["dmt_modulus"])
        true = (component == 2).sum() / (component > 0).sum()
        assert found.inclusion_fraction == pytest.approx(true, abs=0.08)

    def test_a_disc_is_found_whole(self):
        image, inside = disc(30e6, 1.5e9)
        soft, threshold = segment(image)
        assert np.array_equal(soft, inside) or np.mean(soft != inside) < 0.01
        assert 30e6 < threshold < 1.5e9

    def test_a_disc_has_the_median_that_was_put_in(self):
        image, inside = disc(30e6, 1.5e9)
        found = find_rubber(image)
        assert found.domains == 1
        assert found.modulus == pytest.approx(30e6, rel=0.01)
        assert found.diameter == pytest.approx(np.sqrt(4 / np.pi * inside.sum()), rel=0.02)
        assert found.counts.sum() == pytest.approx(inside.sum(), rel=0.15)  # without its edge

    def test_wild_pixels_change_nothing(self):
        image, _ = disc(30e6, 1.5e9)
        clean = find_rubber(image).modulus
        image[np.random.default_rng(1).random(image.shape) < 0.02] = 1e12
        assert find_rubber(image).modulus == pytest.approx(clean, rel=0.01)

    def test_an_even_sample_has_none(self):
        image = 1.5e9 * np.exp(0.1 * np.random.default_rng(0).standard_normal((64, 64)))
        with pytest.raises(ValueError, match="one material only"):
            find_rubber(image)

    def test_an_image_without_fits_is_refused(self):
        with pytest.raises(ValueError, match="above 0 in 0% of the pixels only"):
            find_rubber(np.full((32, 32), -1.0))

    def test_an_image_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="the modulus has no finite pixel"):
            find_rubber(np.full((32, 32), np.nan))


class TestQuality:
    def test_a_good_image_has_no_problem(self, scanned):
        channels, _ = scanned
        found = image_quality(channels, SETPOINT)
        assert found.problems == ()
        assert found.feedback_error < 0.1

    def test_a_change_of_the_tip_is_seen_where_it_was(self, scanned):
        channels, _ = scanned
        changed = channels["adhesion"].copy()
        changed[77:] *= 1.5
        found = image_quality({**channels, "adhesion": changed}, SETPOINT)
        assert found.tip_change == 77
        assert found.problems == ("the tip changed at line 77",)

    def test_a_feedback_that_fails_is_seen(self, scanned):
        channels, _ = scanned
        off = channels["peak_force_error"] + np.float32(0.5 * SETPOINT)
        found = image_quality({**channels, "peak_force_error": off}, SETPOINT)
        assert found.problems[0].startswith("the feedback is 5")

    def test_lines_that_are_missing_are_seen(self, scanned):
        channels, _ = scanned
        part = channels["height"].copy()
        part[64:] = np.nan
        assert image_quality({"height": part}).problems == ("50% of height was not measured",)


class TestChannel:
    def test_the_histogram_holds_every_pixel(self, scanned):
        channels, _ = scanned
        found = summarise("deformation", "m", channels["deformation"])
        assert found.counts.sum() + found.missing == channels["deformation"].size

    def test_a_channel_of_one_value_has_a_histogram(self):
        found = summarise("height", "m", np.full((8, 8), 3.0))
        assert (found.median, found.counts.sum()) == (3.0, 64)

    def test_an_image_of_three_dimensions_is_refused(self):
        with pytest.raises(ValueError, match=r"height has shape \(2, 2, 2\): give \(lines, points"):
            summarise("height", "m", np.zeros((2, 2, 2)))

    @pytest.mark.parametrize(
        ("largest", "unit", "shown"),
        [(3e-8, "m", "nm"), (1.3e8, "Pa", "MPa"), (2e-16, "J", "aJ"), (9.1, "1", "1")],
    )
    def test_units_are_those_that_read_well(self, largest, unit, shown):
        factor, named = scaled(0.0, largest, unit)
        assert named == shown
        assert unit == "1" or 1.0 <= factor * largest < 1000.0
