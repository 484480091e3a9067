"""Widths, angles and radii of tips whose geometry is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.tip_shape.section import apex_radius, count_apexes, half_angles, section
from sim.tip import Double, Paraboloid, SphereCone, Worn

NM = 1e-9
PIXEL = (4.88 * NM, 4.88 * NM)


@pytest.mark.parametrize(
    ("radius", "height", "diameter"),
    [(30, 10, 2 * math.sqrt(500)), (30, 20, 2 * math.sqrt(800)), (32, 20, 2 * math.sqrt(880))],
)
def test_diameter_of_a_sphere_is_that_of_its_chord(radius, height, diameter) -> None:
    tip = SphereCone(radius * NM).raster(PIXEL, 41)
    assert section(tip, height * NM, PIXEL).diameter == pytest.approx(diameter * NM, abs=0.3 * NM)


def test_diameter_of_a_paraboloid() -> None:
    tip = Paraboloid(30 * NM).raster(PIXEL, 41)
    found = section(tip, 20 * NM, PIXEL)
    assert found.diameter == pytest.approx(2 * math.sqrt(2 * 30 * 20) * NM, abs=0.1 * NM)


def test_pixels_that_are_not_square_give_the_same_diameter() -> None:
    pixel = (2 * PIXEL[0], PIXEL[1])
    tip = Paraboloid(30 * NM).raster(pixel, 41)
    assert section(tip, 20 * NM, pixel).diameter == pytest.approx(69.28 * NM, abs=0.2 * NM)


def test_aspect_ratio_of_an_elliptic_paraboloid() -> None:
    y, x = np.mgrid[-20:21, -20:21] * PIXEL[0]
    tip = -(x**2 / (2 * 60 * NM) + y**2 / (2 * 15 * NM))
    assert section(tip, 10 * NM, PIXEL).aspect_ratio == pytest.approx(2.0, abs=0.02)


def test_section_that_leaves_the_window_has_no_diameter() -> None:
    tip = Paraboloid(300 * NM).raster(PIXEL, 21)
    assert math.isnan(section(tip, 20 * NM, PIXEL).diameter)


def test_double_tip_has_a_section_of_two_parts() -> None:
    tip = Double(SphereCone(30 * NM), (80 * NM, 0.0), 5 * NM).raster(PIXEL, 61)
    assert section(tip, 10 * NM, PIXEL).parts == 2


@pytest.mark.parametrize(("offset", "ends"), [(80 * NM, 2), (0.0, 1)])
def test_ends_of_a_tip_are_counted(offset, ends) -> None:
    tip = Double(SphereCone(30 * NM), (offset, 0.0), 5 * NM).raster(PIXEL, 61)
    assert count_apexes(tip, 20 * NM, 2 * NM) == ends


def test_half_angle_of_a_cone() -> None:
    y, x = np.mgrid[-20:21, -20:21] * PIXEL[0]
    tip = -np.hypot(x, y) / math.tan(math.radians(18))
    angles = half_angles(tip, 20 * NM, 40 * NM, PIXEL)
    assert list(angles.values()) == pytest.approx([math.radians(18)] * 4, abs=1e-6)


def test_half_angle_beyond_the_window_is_unknown() -> None:
    tip = Paraboloid(300 * NM).raster(PIXEL, 21)
    assert math.isnan(half_angles(tip, 20 * NM, 40 * NM, PIXEL)["+x"])


def test_radius_of_a_sphere_is_found_and_valid() -> None:
    tip = SphereCone(30 * NM).raster(PIXEL, 41)
    found = apex_radius(tip, 10 * NM, PIXEL, 0.1 * NM)
    assert found.valid
    assert found.radius == pytest.approx(30 * NM, rel=1e-6)


def test_bound_of_the_radius_grows_with_the_error() -> None:
    tip = SphereCone(30 * NM).raster(PIXEL, 41)
    low, high = (apex_radius(tip, 10 * NM, PIXEL, e * NM) for e in (0.1, 1.0))
    assert high.high - high.low == pytest.approx(10 * (low.high - low.low), rel=1e-3)


def test_radius_of_a_flat_end_is_not_valid() -> None:
    tip = Worn(30 * NM, plateau=18 * NM).raster(PIXEL, 41)
    assert not apex_radius(tip, 10 * NM, PIXEL, 0.1 * NM).valid
