"""Parametric fits: the paper's parameters from its tones, honest errors, and maps of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.constants import Boltzmann

from analysis.intermodulation import MeasurementError, Mode, motion, response
from analysis.intermodulation._parametric_problem import Problem
from analysis.intermodulation._parametric_tones import Comb, choose_samples
from analysis.intermodulation.models import (
    ExponentialDamping,
    LateralSpring,
    LennardJones,
    Morse,
    VdwDmt,
)
from analysis.intermodulation.motion import spectrum
from analysis.intermodulation.parametric import (
    PixelVerdict,
    Prior,
    Sampling,
    fit,
    fit_map,
)

# A fit takes seconds of a processor, compiling for the first time some more.
pytestmark = pytest.mark.timeout(300)

_MODEL = VdwDmt(10e-9) + ExponentialDamping()
_LINEAR = VdwDmt(10e-9) + ExponentialDamping(cubic=0.0)
_NEAR = {
    "hamaker": 9e-20,
    "modulus": 0.8e9,
    "intermolecular": 0.35e-9,
    "linear": 1.5e-7,
    "decay": 1.3e-9,
    "height": 17.1e-9,
}


def _noisy(measurement, seed, detector=100e-15):
    """One period of a measurement at 300 K with white noise of the detector, m/sqrt(Hz)."""
    power = np.full(measurement.tones.size, detector**2)
    for mode in measurement.modes:
        resistance = mode.spring_constant / (2 * np.pi * mode.frequency * mode.quality_factor)
        answer = response([mode], measurement.frequencies, mode.axis)
        power += 4 * Boltzmann * 300.0 * resistance * np.abs(answer) ** 2
    noise = np.sqrt(power * measurement.df)
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((2, noise.size))
    engaged = measurement.engaged + noise * (parts[0] + 1j * parts[1])
    return replace(measurement, engaged=engaged, noise=noise)


@pytest.fixture(scope="module")
def one(paper_case_1):
    return paper_case_1.with_tones(24)


@pytest.fixture(scope="module")
def noisy(one):
    return _noisy(one, seed=3)


@pytest.fixture(scope="module")
def noisy_fit(noisy):
    return fit(noisy, _LINEAR, start=_NEAR)


@pytest.fixture(scope="module")
def pixels(one):
    """A good pixel, one that never touched, another good one."""
    engaged = [_noisy(one, seed).engaged for seed in (1, 2)]
    return replace(_noisy(one, 0), engaged=np.stack([engaged[0], one.free, engaged[1]]))


@pytest.fixture(scope="module")
def found_map(pixels):
    return fit_map(pixels, _LINEAR, start=_NEAR)


@pytest.mark.slow
def test_noiseless_tones_tell_the_force_to_a_part_in_a_thousand(paper_case_1, one, relative_error):
    found = fit(one, _MODEL, start={**_NEAR, "cubic": 0.0}, completions=3)
    true = paper_case_1.force.conservative(found.curve.z)
    assert relative_error(found.curve.z, found.curve.conservative, true) < 1e-3
    assert found.parameters["modulus"].value == pytest.approx(1e9, rel=5e-3)
    assert found.parameters["linear"].value == pytest.approx(2.2e-7, rel=5e-2)
    assert found.verdict.ok


@pytest.mark.slow
def test_cubic_damping_is_recovered_to_a_percent(paper_case_1_cubic, relative_error):
    own = paper_case_1_cubic.with_tones(24)
    found = fit(own, _MODEL, start={**_NEAR, "cubic": 5e-5}, completions=3)
    true = paper_case_1_cubic.force.conservative(found.curve.z)
    assert relative_error(found.curve.z, found.curve.conservative, true) < 2.5e-3
    assert found.parameters["cubic"].value == pytest.approx(1e-4, rel=1e-2)


@pytest.mark.slow
def test_noisy_tones_need_no_start(noisy, noisy_fit):
    found = fit(noisy, _LINEAR)
    for name, estimate in found.parameters.items():
        off = estimate.value - noisy_fit.parameters[name].value
        assert abs(off) < 0.1 * estimate.deviation, name


def test_noisy_tones_tell_the_parameters_within_their_errors(noisy_fit):
    true = {"modulus": 1e9, "decay": 1.5e-9, "linear": 2.2e-7, "hamaker": 7.1e-20}
    for name, value in true.items():
        estimate = noisy_fit.parameters[name]
        assert abs(estimate.value - value) < 4.0 * estimate.deviation, name


def test_noisy_tones_tell_the_force_to_some_percent(paper_case_1, noisy_fit, relative_error):
    curve = noisy_fit.curve
    true = paper_case_1.force.conservative(curve.z)
    assert relative_error(curve.z, curve.conservative, true) < 0.03
    assert noisy_fit.verdict.ok


def test_bands_hold_the_true_force(paper_case_1, noisy_fit):
    curve = noisy_fit.curve
    off = np.abs(curve.conservative - paper_case_1.force.conservative(curve.z))
    assert np.mean(off <= 4.0 * curve.bands.conservative) > 0.95


def test_parameters_that_cannot_be_told_apart_are_named(noisy_fit):
    assert any("hamaker and intermolecular can hardly" in r for r in noisy_fit.verdict.reasons)


def test_curve_is_the_models_force(noisy_fit):
    curve = noisy_fit.curve
    z, velocity = curve.z[::50], 0.03
    np.testing.assert_allclose(
        curve.force(z, velocity), noisy_fit.force(z, velocity), rtol=1e-4, atol=1e-13
    )


def test_fixed_height_stays(noisy):
    fixed = fit(
        noisy,
        _LINEAR,
        start=_NEAR,
        priors={"height": Prior(17e-9, 0.0)},
    )
    assert fixed.parameters["height"].value == 17e-9
    assert fixed.parameters["height"].deviation == 0.0


def test_wrong_law_is_said_to_not_describe_the_tones(noisy):
    start = {
        "bond_energy": 8e-19,
        "morse_decay": 2.2e-9,
        "linear": 1e-7,
        "exponential_damping_decay": 1.4e-9,
        "height": 15.9e-9,
    }
    model = Morse() + ExponentialDamping(cubic=0.0)
    found = fit(noisy, model, start=start)
    assert not found.verdict.ok
    assert found.chi2 > 5.0 * found.degrees_of_freedom
    assert "does not describe the tones" in found.verdict.reasons[0]


def test_lateral_spring_is_recovered(paper_case_2):
    own = _noisy(paper_case_2.with_tones(48), seed=5)
    found = fit(
        own,
        VdwDmt(10e-9) + LateralSpring(cubic=0.0),
        start={
            "hamaker": 9e-20,
            "modulus": 0.8e9,
            "intermolecular": 0.35e-9,
            "linear": 0.2,
            "decay": 1.3e-9,
            "height": 17.1e-9,
        },
    )
    assert found.parameters["linear"].value == pytest.approx(0.22, rel=0.1)
    assert found.parameters["decay"].value == pytest.approx(1.5e-9, rel=0.05)


def test_pixel_of_a_map_is_the_single_fit(pixels, found_map):
    single = fit(pixels.pixel(0), _LINEAR, start=_NEAR)
    values = [estimate.value for estimate in single.parameters.values()]
    deviations = [estimate.deviation for estimate in single.parameters.values()]
    # A map stops where a step promises less than a tenth of a standard deviation.
    assert np.abs((found_map.values[0] - values) / deviations).max() < 0.2
    np.testing.assert_allclose(found_map.deviations[0], deviations, rtol=0.05)
    # A little of the noise's correlation is left out: a part of chi2's standard deviation, 14.
    assert found_map.chi2[0] == pytest.approx(single.chi2, abs=1.0)


def test_pixel_that_never_touched_is_marked(found_map):
    assert found_map.verdict[1] == PixelVerdict.NOT_TOUCHED
    assert np.isnan(found_map.values[1]).all()


def test_adhesion_of_a_map_is_the_largest_attraction(found_map):
    for pixel in (0, 2):
        hamaker, _, closest, *_ = found_map.values[pixel]
        expected = hamaker * 10e-9 / (6.0 * closest**2)
        assert found_map.adhesion[pixel] == pytest.approx(expected, rel=0.1)


def test_closest_approach_is_the_height_less_the_depth_of_the_motion(paper_case_1, found_map):
    assert found_map.closest[[0, 2]] == pytest.approx(paper_case_1.closest, abs=0.3e-9)


def test_map_does_not_depend_on_the_threads(pixels, found_map):
    again = fit_map(pixels, _LINEAR, start=_NEAR, threads=3)
    np.testing.assert_array_equal(again.values, found_map.values)
    np.testing.assert_array_equal(again.deviations, found_map.deviations)


def test_line_starts_from_the_line_before(pixels, found_map):
    again = fit_map(pixels, _LINEAR, before=found_map)
    off = np.abs(again.values - found_map.values) / found_map.deviations
    assert np.nanmax(off) < 0.3


def test_start_from_another_material_ends_at_the_same_values(pixels, found_map):
    stiff = {**_NEAR, "hamaker": 4e-20, "modulus": 2e10, "linear": 1e-6}
    again = fit_map(pixels, _LINEAR, start=stiff)
    off = np.abs(again.values - found_map.values) / found_map.deviations
    assert np.nanmax(off) < 0.3


def test_line_before_of_another_length_is_refused(pixels, found_map):
    with pytest.raises(ValueError, match=r"has 3 pixels of .* 2 of .* are wanted"):
        fit_map(replace(pixels, engaged=pixels.engaged[:2]), _LINEAR, before=found_map)


def test_map_without_contact_has_no_values(one):
    silent = replace(one, engaged=np.stack([one.free, one.free]))
    found = fit_map(silent, _LINEAR)
    assert (found.verdict == PixelVerdict.NOT_TOUCHED).all()


def test_pixel_that_was_not_measured_is_marked(pixels):
    found = fit_map(pixels, _LINEAR, start=_NEAR, missing=[True, False, True])
    expected = [PixelVerdict.MISSING, PixelVerdict.NOT_TOUCHED, PixelVerdict.MISSING]
    assert found.verdict.tolist() == expected
    assert np.isnan(found.values).all()


def test_mask_of_another_map_is_refused(pixels):
    with pytest.raises(ValueError, match="missing has shape"):
        fit_map(pixels, _LINEAR, start=_NEAR, missing=[True])


def test_unknown_parameter_of_a_map_is_refused(found_map):
    with pytest.raises(ValueError, match="no parameter 'stiffness'"):
        found_map.parameter("stiffness")


def test_tones_of_few_samples_are_those_of_the_whole_period(one, paper_case_1):
    samples = 2**16
    whole = motion(one, samples)
    force = paper_case_1.force.normal(whole.z, whole.velocity)
    chosen = choose_samples(whole.z, 17e-9, 4)
    comb = Comb(one.tones, samples)
    found = comb.spectra(force[None, chosen.places], comb.basis(chosen))[:, 0]
    expected = spectrum(force)[one.tones]
    assert np.linalg.norm(found - expected) < 5e-3 * np.linalg.norm(expected)
    every = choose_samples(whole.z, 17e-9, 1)
    found = comb.spectra(force[None], comb.basis(every))[:, 0]
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_noise_of_the_equations_is_that_of_many_draws(noisy, paper_case_1):
    problem = Problem(noisy, _MODEL, Sampling(2**15, 1), {})
    values = np.array([7.1e-20, 1e9, 0.3e-9, 2.2e-7, 0.0, 1.5e-9, 17e-9])
    rng = np.random.default_rng(0)

    def residual(engaged):
        contact = problem.contact(engaged, paper_case_1.closest)
        off = problem.force(engaged) - problem.tones(contact, values)
        return np.concatenate([off.real, off.imag])

    # A tenth of the noise: the covariance is that of small changes.
    small = replace(noisy, noise=0.1 * noisy.noise)
    problem.noise = small.noise
    middle = residual(noisy.engaged)
    draws = []
    for _ in range(60):
        parts = rng.standard_normal((2, small.noise.size))
        draws.append(residual(noisy.engaged + small.noise * (parts[0] + 1j * parts[1])) - middle)
    contact = problem.contact(noisy.engaged, paper_case_1.closest)
    covariance = problem.covariance(contact, values, np.zeros(small.noise.size))
    ratio = np.var(draws, axis=0).sum() / np.trace(covariance)
    assert ratio == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"priors": {"stiffness": Prior(1.0, 1.0)}}, "a prior of 'stiffness' is given"),
        ({"priors": {"decay": Prior(-1.0, 1.0)}}, "must have a positive mean"),
        ({"start": {"decay": 1e-9}}, "are wanted"),
        ({"start": {**_NEAR, "decay": -1.0}}, "the start of decay is -1.0"),
        ({"completions": -1}, "completions is -1"),
        ({"sampling": Sampling(1000, 1), "start": _NEAR}, "1000 samples cannot hold tone"),
    ],
)
def test_bad_request_is_refused(noisy, change, message):
    with pytest.raises(ValueError, match=message):
        fit(noisy, _LINEAR, **change)


def test_lateral_law_without_lateral_tones_is_refused(noisy):
    with pytest.raises(MeasurementError, match="LateralSpring acts along y"):
        fit(noisy, VdwDmt(10e-9) + LateralSpring())


def test_pixel_that_did_not_touch_is_refused(one):
    with pytest.raises(MeasurementError, match="no contact"):
        fit(replace(one, engaged=one.free), _LINEAR)


def test_several_pixels_are_refused(pixels):
    with pytest.raises(MeasurementError, match="choose one, or use fit_map"):
        fit(pixels, _LINEAR)


def test_too_few_tones_are_refused(one):
    with pytest.raises(MeasurementError, match="too few for 7 parameters"):
        fit(one.select([11, 12]), _MODEL)


def test_law_without_force_in_the_surface_is_refused(noisy):
    start = {"hamaker": 1e-19, "sigma": 0.5e-9, "height": 17e-9}
    with pytest.raises(MeasurementError, match="no finite force"):
        fit(noisy, LennardJones(10e-9), start=start)


def test_measurement_along_y_alone_is_refused(one):
    sideways = replace(
        one,
        axes=("y",) * one.tones.size,
        modes=tuple(
            Mode(mode.frequency, mode.quality_factor, mode.spring_constant, "y")
            for mode in one.modes
        ),
    )
    with pytest.raises(MeasurementError, match="no tone along z"):
        fit(sideways, LateralSpring())
