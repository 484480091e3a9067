"""Tips: their shapes, their wear, and the images they make."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from sim.tip import Double, Paraboloid, SphereCone, Tip, Worn, reach, scan_surface, worn_by

_NM = 1e-9
_ALPHA = math.radians(18)


@pytest.mark.parametrize(
    ("tip", "height", "diameter"),
    [
        (SphereCone(30e-9, _ALPHA), 10e-9, 44.7e-9),
        (SphereCone(30e-9, _ALPHA), 20e-9, 56.6e-9),
        (Paraboloid(30e-9), 20e-9, 69.3e-9),
    ],
)
def test_a_section_is_as_wide_as_geometry_says(tip: Tip, height: float, diameter: float) -> None:
    assert 2 * tip.half_width(height) == pytest.approx(diameter, abs=0.06e-9)


@pytest.mark.parametrize("tip", [SphereCone(8e-9), Paraboloid(8e-9), Worn(8e-9, _ALPHA, 3e-9)])
@pytest.mark.parametrize("height", [1e-9, 5e-9, 40e-9])
def test_the_surface_rises_to_a_height_at_its_half_width(tip: Tip, height: float) -> None:
    assert float(tip.rise(tip.half_width(height), 0.0)) == pytest.approx(height, rel=1e-9)


def test_a_cone_has_its_half_angle() -> None:
    tip = SphereCone(10e-9, _ALPHA)
    run = tip.half_width(80e-9) - tip.half_width(40e-9)
    assert math.atan(run / 40e-9) == pytest.approx(_ALPHA)


def test_a_raster_is_the_tip_turned_upside_down_with_its_apex_in_the_middle() -> None:
    tip = Paraboloid(20e-9)
    raster = tip.raster(2e-9, 5)
    assert raster[2, 2] == 0.0
    assert raster[2, 4] == pytest.approx(-((4e-9) ** 2) / (2 * 20e-9))


def test_pixels_of_a_raster_may_be_oblong() -> None:
    raster = Paraboloid(20e-9).raster((4e-9, 2e-9), 3)
    assert raster[2, 1] == pytest.approx(4 * raster[1, 2])


def test_a_spike_shows_the_tip() -> None:
    tip = Double(SphereCone(10e-9), (12e-9, -6e-9), 3e-9)
    surface = np.zeros((31, 31))
    surface[15, 15] = 40e-9
    image = scan_surface(surface, 2e-9, tip)
    shown = np.maximum(40e-9 + tip.raster(2e-9, 31), 0.0)
    np.testing.assert_allclose(image, shown, atol=1e-18)


def test_an_image_is_the_lowest_that_the_tip_can_be_without_cutting_the_surface() -> None:
    rng = np.random.default_rng(4)
    surface = rng.uniform(0, 20e-9, (12, 12))
    tip = Double(Paraboloid(9e-9), (4e-9, 2e-9), 1e-9)
    pixel, places = 2e-9, np.arange(12)
    image = scan_surface(surface, pixel, tip)
    for row, column in [(5, 5), (6, 4), (5, 7)]:
        x, y = np.meshgrid(pixel * (places - column), pixel * (places - row))
        assert image[row, column] == pytest.approx(float(np.max(surface - tip.rise(x, y))))


def test_a_paraboloid_adds_its_radius_to_that_of_a_summit() -> None:
    pixel, places = 1e-9, np.arange(-20, 21)
    x, y = np.meshgrid(pixel * places, pixel * places)
    surface = -(x**2 + y**2) / (2 * 15e-9)
    image = scan_surface(surface, pixel, Paraboloid(25e-9))
    assert image[20, 20] - image[20, 28] == pytest.approx((8e-9) ** 2 / (2 * 40e-9), rel=0.01)


def test_a_second_apex_makes_a_ghost_at_its_offset() -> None:
    surface = np.zeros((61, 61))
    surface[30, 20] = 50e-9
    image = scan_surface(surface, 2e-9, Double(SphereCone(5e-9), (40e-9, 0.0), 10e-9))
    assert image[30, 40] == pytest.approx(40e-9)
    assert image[30, 8] == 0.0


def test_wear_takes_the_volume_that_archard_says() -> None:
    worn = worn_by(SphereCone(30e-9), 2.0, 3e-24)
    assert isinstance(worn, Worn)
    sphere = SphereCone(30e-9)
    gone, _ = quad(lambda h: math.pi * sphere.half_width(h) ** 2, 0.0, worn.lost)
    assert gone == pytest.approx(2.0 * 3e-24, rel=1e-6)


def test_wear_in_two_parts_is_wear_in_one() -> None:
    once = worn_by(SphereCone(30e-9), 0.5)
    twice = worn_by(worn_by(SphereCone(30e-9), 0.2), 0.3)
    assert twice.half_width(20e-9) == pytest.approx(once.half_width(20e-9), rel=1e-9)


def test_a_third_of_a_campaign_widens_the_tip_by_less_than_two_nanometres() -> None:
    new = SphereCone(30e-9)
    old = worn_by(new, 135 * 2 * 256 * 4e-6)
    grown = 2 * (old.half_width(20e-9) - new.half_width(20e-9))
    assert grown == pytest.approx(1.5e-9, abs=0.2e-9)


def test_a_worn_tip_presses_like_a_larger_sphere() -> None:
    assert Worn(30e-9, _ALPHA, 0.0).radius == pytest.approx(30e-9)
    assert worn_by(SphereCone(30e-9), 0.3).radius > 30e-9


def test_a_tip_that_did_not_move_is_as_it_was() -> None:
    tip = SphereCone(30e-9)
    assert worn_by(tip, 0.0) is tip


def test_both_ends_of_a_double_tip_wear() -> None:
    worn = worn_by(Double(SphereCone(30e-9), (50e-9, 0.0), 2e-9), 1.0)
    assert isinstance(worn, Double)
    assert isinstance(worn.tip, Worn)


def test_a_tip_without_a_sphere_must_be_replaced() -> None:
    with pytest.raises(ValueError, match="put in a new tip"):
        worn_by(SphereCone(5e-9), 1000.0)


def test_a_tip_touches_no_farther_than_its_width_at_the_relief() -> None:
    assert reach(Paraboloid(30e-9), 2e-9, 15e-9) == 15


@pytest.mark.parametrize(
    "make",
    [
        lambda: SphereCone(0.0),
        lambda: SphereCone(1e-9, 2.0),
        lambda: Paraboloid(-1e-9),
        lambda: Worn(10e-9, _ALPHA, 9.9e-9),
        lambda: Double(SphereCone(1e-9), (0.0, 0.0), -1e-9),
        lambda: SphereCone(1e-9).raster(1e-9, 4),
        lambda: SphereCone(1e-9).raster(0.0, 5),
        lambda: worn_by(SphereCone(1e-9), -1.0),
    ],
)
def test_a_shape_that_cannot_be_is_refused(make) -> None:
    with pytest.raises(ValueError, match="allowed"):
        make()
