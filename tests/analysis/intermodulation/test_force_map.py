"""Maps of forces: the same answer as the formulas as they stand, at every pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.intermodulation import MeasurementError, Mode
from analysis.intermodulation.batch import reconstruct_map
from analysis.intermodulation.polynomial import reconstruct_naive, reconstruct_polynomial


@pytest.fixture(scope="module")
def pixels(paper_case_1):
    """Three pixels of different forces."""
    own = paper_case_1.with_tones(24)
    change = own.engaged - own.free
    return replace(own, engaged=own.free + np.array([[1.0], [0.99], [1.01]]) * change)


def test_map_is_what_the_formulas_as_they_stand_give(pixels):
    found = reconstruct_map(pixels, threads=1)
    for pixel in range(pixels.pixels):
        naive = reconstruct_naive(pixels.pixel(pixel))
        inside = naive.z > -found.scale[pixel]
        own = found.conservative_force(naive.z)[pixel, inside]
        expected = naive.conservative[inside]
        assert np.linalg.norm(own - expected) < 5e-9 * np.linalg.norm(expected)
        own = found.damping_constant(naive.z)[pixel, inside]
        expected = naive.damping[inside]
        assert np.linalg.norm(own - expected) < 5e-8 * np.linalg.norm(expected)


def test_map_of_one_band_is_what_the_single_pixel_gives(paper_case_1):
    own = paper_case_1.with_tones(24)
    found = reconstruct_map(own, equation_tones=np.arange(24), threads=1)
    one = reconstruct_polynomial(own, equation_tones=np.arange(24))
    inside = one.z > -found.scale[0]
    np.testing.assert_allclose(
        found.conservative_force(one.z[inside])[0],
        one.conservative[inside],
        atol=1e-8 * np.ptp(one.conservative),
    )


def test_weighted_map_is_what_the_weighted_single_pixel_gives(paper_case_1):
    own = replace(paper_case_1.with_tones(24), noise=np.linspace(1e-13, 3e-13, 48))
    found = reconstruct_map(own, weighted=True, threads=1)
    one = reconstruct_polynomial(own, weighted=True)
    assert found.chi2[0] == pytest.approx(one.chi2, rel=1e-6)
    assert found.degrees_of_freedom == one.degrees_of_freedom


def test_threads_do_not_change_the_map(pixels):
    one, two = (reconstruct_map(pixels, threads=count) for count in (1, 2))
    np.testing.assert_array_equal(one.conservative, two.conservative)


def test_map_of_one_mode(paper_case_2):
    own = paper_case_2.with_tones(24).select(np.arange(24))
    found = reconstruct_map(own, threads=1)
    one = reconstruct_polynomial(own)
    inside = one.z > -found.scale[0]
    np.testing.assert_allclose(
        found.conservative_force(one.z[inside])[0],
        one.conservative[inside],
        atol=1e-8 * np.ptp(one.conservative),
    )


def test_pixel_that_never_touched_is_marked(pixels):
    lifted = replace(pixels, engaged=np.stack([pixels.engaged[0], pixels.free]))
    found = reconstruct_map(lifted, threads=1)
    assert found.touched.tolist() == [True, False]
    assert found.curve(1).verdict.reasons == ("never touched",)


def test_modes_whose_powers_fall_into_the_bands_are_refused(paper_case_1):
    own = paper_case_1.with_tones(24)
    tones = np.where(own.tones > 5000, own.tones - 9450 + 4501, own.tones)
    modes = (own.modes[0], Mode(3 * 300.1e3, 1200.0, 2000.0))
    with pytest.raises(MeasurementError, match="aliased powers") as refusal:
        reconstruct_map(replace(own, tones=tones, modes=modes))
    assert "\n" not in str(refusal.value)


def test_less_tones_than_unknowns_are_refused(pixels):
    with pytest.raises(MeasurementError, match="10 tones give 20 equations for 22 unknowns"):
        reconstruct_map(pixels, equation_tones=np.arange(10))


def test_torsional_tones_have_no_map(paper_case_2):
    with pytest.raises(MeasurementError, match="flexural tones only"):
        reconstruct_map(paper_case_2.with_tones(24))
