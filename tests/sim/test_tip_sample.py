"""The tip-characterisation sample shows the tip that scans it."""

from __future__ import annotations

import numpy as np
import pytest

from sim.peakforce import Frame
from sim.tip import SphereCone, scan_surface
from sim.tip_sample import TipSample

_FRAME = Frame(size=1.25e-6, aspect=1.0, lines=256, points=256)


def test_the_same_seed_makes_the_same_needles_and_another_others() -> None:
    x, y = Frame(size=1e-6, lines=16, points=16).positions()
    np.testing.assert_array_equal(TipSample(1).height(x, y), TipSample(1).height(x, y))
    assert np.any(TipSample(1).height(x, y) != TipSample(2).height(x, y))


def test_a_point_is_as_high_wherever_it_is_asked_from() -> None:
    x, y = _FRAME.positions()
    height = TipSample(3).height(x, y)
    assert height[100, 37] == pytest.approx(float(TipSample(3).height(x[100, 37], y[100, 37])))


@pytest.mark.parametrize("radius", [15e-9, 30e-9])
def test_the_highest_summits_have_the_shape_of_the_tip(radius: float) -> None:
    tip = SphereCone(radius)
    image = scan_surface(TipSample(0).height(*_FRAME.positions()), _FRAME.pixel, tip)
    raster = tip.raster(_FRAME.pixel, 25)
    inner = image[12:-12, 12:-12]
    row, column = np.unravel_index(np.argmax(inner), inner.shape)
    around = image[row : row + 25, column : column + 25] - image[row + 12, column + 12]
    seen = (raster > -20e-9) & (np.abs(np.arange(25) - 12) < 12)
    # no lower than the tip, and wider by no more than the needle's own width
    assert np.all(around[seen] >= raster[seen] - 1e-15)
    wider = np.sqrt(np.sum(around > -10e-9) / np.sum(raster > -10e-9))
    assert wider < 1.25


def test_it_is_hard_and_hardly_sticks() -> None:
    contact = TipSample().contact(np.zeros(3), np.zeros(3), 30e-9)
    assert np.all(contact.modulus > 100e9)
    assert np.all(contact.adhesion < 10e-9)


def test_it_has_a_law_at_every_point() -> None:
    laws = TipSample().forces(np.zeros(4), np.zeros(4), 10e-9)
    assert len(laws) == 4
