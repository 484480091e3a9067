"""The force of the paper's first case, from tones of an independent integrator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from analysis.intermodulation import MeasurementError, Mode, motion, response
from analysis.intermodulation._poly_columns import even_by_constraint
from analysis.intermodulation.motion import motion_from_spectra, spectrum
from analysis.intermodulation.polynomial import reconstruct_naive, reconstruct_polynomial

BANDS = [(0,), (1,), (0, 1)]


def equations(case, bands, tones=24):
    chosen = case.with_tones(24)
    lowest = [(1500, 9450)[band] - tones // 2 + 1 for band in bands]
    return np.flatnonzero(
        np.any([(chosen.tones >= low) & (chosen.tones < low + tones) for low in lowest], axis=0)
    )


def conservative_error(curve, case, relative_error):
    z = np.linspace(curve.z[0], 0.0, 2001)
    return relative_error(z, curve.force(z), case.force.conservative(z))


def dissipative_error(curve, case, relative_error):
    z = np.linspace(curve.z[0], 0.0, 2001)
    velocity = 0.2 * motion(case.with_tones(24)).velocity.max()
    found = curve.force(z, velocity) - curve.force(z)
    return relative_error(z, found, case.force.normal(z, velocity) - case.force.conservative(z))


@pytest.mark.parametrize("bands", BANDS)
def test_conservative_force_is_within_3_6_percent(paper_case_1, relative_error, bands):
    own = equations(paper_case_1, bands)
    curve = reconstruct_polynomial(paper_case_1.with_tones(24), equation_tones=own)
    assert conservative_error(curve, paper_case_1, relative_error) < 0.036


@pytest.mark.parametrize("bands", BANDS)
def test_dissipative_force_is_within_3_2_percent(paper_case_1, relative_error, bands):
    own = equations(paper_case_1, bands)
    curve = reconstruct_polynomial(paper_case_1.with_tones(24), equation_tones=own)
    assert dissipative_error(curve, paper_case_1, relative_error) < 0.032


@pytest.mark.parametrize("bands", BANDS)
def test_conservative_force_beside_cubic_damping_is_within_5_8_percent(
    paper_case_1_cubic, relative_error, bands
):
    own = equations(paper_case_1_cubic, bands)
    curve = reconstruct_polynomial(paper_case_1_cubic.with_tones(24), equation_tones=own)
    assert conservative_error(curve, paper_case_1_cubic, relative_error) < 0.058


@pytest.mark.parametrize("band", [0, 1])
def test_error_drops_where_the_equations_outnumber_the_unknowns(
    paper_case_1_cubic, relative_error, band
):
    errors = [
        conservative_error(
            reconstruct_polynomial(
                paper_case_1_cubic.with_tones(24),
                equation_tones=equations(paper_case_1_cubic, (band,), tones),
            ),
            paper_case_1_cubic,
            relative_error,
        )
        for tones in (14, 24)
    ]
    assert max(errors) < 0.065


@pytest.fixture(scope="module")
def completed(paper_case_1):
    """Curves of the paper's case with a completed motion, by the bands that are equations."""
    own = paper_case_1.with_tones(24)
    return {
        bands: reconstruct_polynomial(
            own, equation_tones=equations(paper_case_1, bands), completions=2
        )
        for bands in BANDS
    }


@pytest.mark.parametrize("bands", BANDS)
def test_completed_motion_brings_the_dissipation_within_one_percent(
    completed, paper_case_1, relative_error, bands
):
    assert dissipative_error(completed[bands], paper_case_1, relative_error) < 0.01


@pytest.mark.parametrize("bands", BANDS)
def test_completed_motion_leaves_the_conservative_force_within_3_6_percent(
    completed, paper_case_1, relative_error, bands
):
    assert conservative_error(completed[bands], paper_case_1, relative_error) < 0.036


@pytest.mark.parametrize("bands", BANDS)
def test_completed_motion_of_the_right_model_is_trusted(completed, bands):
    assert completed[bands].verdict.ok


def test_completed_motion_without_damping_asked_for_has_none(paper_case_1):
    own = paper_case_1.with_tones(24)
    assert not reconstruct_polynomial(own, velocity_degree=0, completions=1).damping.any()


def test_completed_motion_tells_cubic_damping(paper_case_1_cubic, relative_error):
    own = paper_case_1_cubic.with_tones(24)
    curve = reconstruct_polynomial(own, velocity_degree=3, completions=2)
    assert dissipative_error(curve, paper_case_1_cubic, relative_error) < 0.01


def test_cubic_damping_that_was_not_asked_for_shows_in_the_verdict(paper_case_1_cubic):
    verdict = reconstruct_polynomial(paper_case_1_cubic.with_tones(24), completions=1).verdict
    assert "no force of this kind explains the tones" in verdict.reasons[0]


def test_tip_that_never_touched_has_no_motion_to_complete(paper_case_1):
    own = paper_case_1.with_tones(24)
    curve = reconstruct_polynomial(replace(own, engaged=own.free), completions=2)
    assert "never touched" in curve.verdict.reasons[0]


def test_equation_outside_of_the_motion_is_not_completed(paper_case_1):
    own = paper_case_1.with_tones(24)
    with pytest.raises(MeasurementError, match="tone 9439 is an equation but not in the motion"):
        reconstruct_polynomial(own, motion_tones=own.tones < 5000, completions=1)


def test_stable_form_agrees_with_the_formulas_as_they_stand(paper_case_1):
    own = paper_case_1.with_tones(24)
    stable, naive = reconstruct_polynomial(own), reconstruct_naive(own)
    z = np.linspace(0.999 * stable.z[0], 0.0, 500)
    np.testing.assert_allclose(
        stable.force(z, 0.02), naive.force(z, 0.02), atol=1e-6 * np.ptp(stable.conservative)
    )


def test_less_than_the_unknowns_is_refused_in_one_line(paper_case_1):
    own = equations(paper_case_1, (0,), 10)
    with pytest.raises(MeasurementError, match="10 tones give 20 equations for 22 unknowns"):
        reconstruct_polynomial(paper_case_1.with_tones(24), equation_tones=own)


def test_few_tones_more_than_the_unknowns_are_told_in_the_verdict(paper_case_1):
    own = equations(paper_case_1, (0,), 12)
    curve = reconstruct_polynomial(paper_case_1.with_tones(24), equation_tones=own)
    assert not curve.verdict.ok
    assert "too few tones" in curve.verdict.reasons[0]


def test_enough_tones_of_the_right_model_are_trusted(paper_case_1):
    assert reconstruct_polynomial(paper_case_1.with_tones(24)).verdict.ok


def test_tip_that_never_touched_is_told_in_the_verdict(paper_case_1):
    own = paper_case_1.with_tones(24)
    verdict = reconstruct_polynomial(replace(own, engaged=own.free)).verdict
    assert not verdict.ok
    assert "never touched" in verdict.reasons[0]


def with_force(case, law, noise=0.0, rng=None):
    """Tones of the case's motion under another force, by eq. 10 turned round."""
    own = case.with_tones(24)
    path = motion(own)
    force = spectrum(law(path.z, path.velocity))[own.tones]
    free = own.engaged - own.response() * force
    engaged = own.engaged
    if rng is not None:
        shake = rng.standard_normal((2, own.tones.size))
        engaged = engaged + noise * (shake[0] + 1j * shake[1])
    return replace(own, free=free, engaged=engaged, noise=np.full(own.tones.size, noise))


def odd_cubic(z, velocity):
    """Force that is 0 above the rest point and a cubic with linear damping below it."""
    u = z / 2e-8
    return np.where(z < 0.0, 2.0 * (3e-9 * u**3 - 1e-9 * u - 1e-7 * u**2 * velocity), 0.0)


def test_polynomial_force_is_recovered_exactly(paper_case_1):
    curve = reconstruct_polynomial(with_force(paper_case_1, odd_cubic), degree=3)
    z = np.linspace(curve.z[0], -1e-10, 50)
    np.testing.assert_allclose(curve.force(z, 0.01), odd_cubic(z, 0.01), atol=1e-3 * 4e-9)


def test_cubic_damping_is_recovered(paper_case_1):
    measured = with_force(paper_case_1, lambda z, v: -1e-8 * v - 1e-5 * v**3)
    curve = reconstruct_polynomial(measured, degree=5, velocity_degree=3)
    assert curve.cubic_damping is not None
    # what bands tell is half of the force below the rest point, where there is none above it
    np.testing.assert_allclose(curve.damping, 2e-8, rtol=1e-6)
    np.testing.assert_allclose(curve.cubic_damping, 2e-5, rtol=1e-6)


def test_bands_cover_the_force_as_often_as_they_say(paper_case_1):
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(40):
        measured = with_force(paper_case_1, odd_cubic, 2e-13, rng)
        curve = reconstruct_polynomial(measured, degree=3, weighted=True)
        assert curve.bands is not None
        at = slice(40, 360, 40)
        off = curve.conservative[at] - odd_cubic(curve.z[at], 0.0)
        inside.append(np.abs(off) < 1.645 * curve.bands.conservative[at])
    assert 0.8 < np.mean(inside) < 0.97


def test_force_that_the_model_lacks_shows_in_chi2(paper_case_1):
    def law(z, velocity):
        return odd_cubic(z, velocity) + 3e-9 * (z / 2e-8) ** 7

    measured = with_force(paper_case_1, law, 1e-12, np.random.default_rng(5))
    curve = reconstruct_polynomial(measured, degree=3, weighted=True)
    assert curve.chi2 > 2.0 * curve.degrees_of_freedom
    assert "does not describe the tones" in curve.verdict.reasons[0]


def test_modes_at_a_ratio_of_whole_numbers_are_told_in_the_verdict(paper_case_1):
    own = paper_case_1.with_tones(24)
    shifted = np.where(own.tones > 5000, own.tones - 9450 + 6001, own.tones)
    modes = (own.modes[0], Mode(4 * 300.1e3, 1200.0, 2000.0))
    measured = replace(own, tones=shifted, modes=modes)
    reasons = reconstruct_polynomial(measured).verdict.reasons
    assert any("ratio of whole numbers" in reason for reason in reasons)


def test_band_cut_too_early_is_told(paper_case_2):
    own = paper_case_2.with_tones(24).select(np.arange(24))
    reasons = reconstruct_polynomial(own, velocity_degree=0).verdict.reasons
    assert any("measure more tones" in reason for reason in reasons)


def test_nothing_is_told_below_the_lowest_deflection(paper_case_1):
    curve = reconstruct_polynomial(paper_case_1.with_tones(24))
    assert np.isnan(curve.force(1.01 * curve.z[0]))
    assert curve.force(1e-9) == 0.0


def test_even_part_by_least_squares_is_the_odd_part_mirrored():
    odd = np.array([1.0, -0.4, 0.2])
    even = even_by_constraint(odd, 30, np.cos(np.linspace(0.0, 3.0, 500)))
    u = np.linspace(-0.95, -0.3, 20)
    row = chebyshev.chebvander(u, 30)
    total = row[:, 1:6:2] @ odd + row[:, 0::2] @ even
    np.testing.assert_allclose(total, 2.0 * row[:, 1:6:2] @ odd, atol=0.05)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"degree": 20}, "degree 20 is not odd"),
        ({"velocity_degree": 2}, "velocity_degree 2 is not one of"),
    ],
)
def test_degree_that_bands_cannot_tell_is_refused(paper_case_1, wrong, said):
    with pytest.raises(MeasurementError, match=said):
        reconstruct_polynomial(paper_case_1.with_tones(24), **wrong)


def test_tone_outside_of_the_bands_is_no_equation(paper_case_1):
    own = paper_case_1.with_tones(24)
    shifted = replace(own, tones=np.where(np.arange(48) == 23, 3001, own.tones))
    with pytest.raises(MeasurementError, match="tone 3001 is in no flexural band"):
        reconstruct_polynomial(shifted, equation_tones=np.arange(48))
    assert reconstruct_polynomial(shifted).degrees_of_freedom == 2 * 47 - 22


def test_static_deflection_is_what_the_mean_force_does_to_the_springs():
    # a constant push bends both springs, one after the other
    modes = (Mode(300.1e3, 400.0, 40.0), Mode(1890.1e3, 1200.0, 2000.0))
    assert response(modes, [0.0])[0].real == pytest.approx(1.0 / 40.0 + 1.0 / 2000.0)
    still = motion_from_spectra(200.0, np.array([1e-12 + 0j, 1e-9]), samples=64)
    assert still.z.mean() == pytest.approx(1e-12)
