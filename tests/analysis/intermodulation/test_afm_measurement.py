"""What a measurement accepts, what it refuses in one line, and the force it tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.intermodulation import Measurement, MeasurementError, Mode, response, touched

MODE = Mode(300e3, 400.0, 40.0)


def measurement(**changes):
    parts = {
        "tones": [1499, 1500, 1501],
        "free": [0.0, 6e-9, 6e-9],
        "engaged": [1e-10, 5e-9, 5e-9],
        "noise": np.zeros(3),
        "modes": (MODE,),
        "df": 200.0,
    }
    return Measurement(**(parts | changes))


def test_response_at_rest_is_one_over_the_spring_constant():
    assert response([MODE], [0.0])[0] == pytest.approx(1.0 / 40.0)


def test_response_at_resonance_is_the_quality_factor_over_the_spring_constant_and_lags():
    assert response([MODE], [300e3])[0] == pytest.approx(-1j * 400.0 / 40.0)


def test_response_solves_the_equation_of_motion():
    frequency = np.array([123e3, 299e3, 301e3, 2e6])
    ratio = 1j * frequency / MODE.frequency
    left = MODE.spring_constant * (ratio**2 + ratio / MODE.quality_factor + 1.0)
    np.testing.assert_allclose(left * response([MODE], frequency), 1.0, rtol=1e-12)


def test_response_of_collinear_modes_is_their_sum_and_leaves_out_the_other_axis():
    second, torsion = Mode(1.9e6, 1200.0, 2000.0), Mode(1.7e6, 900.0, 1000.0, "y")
    at = [300e3, 1e6]
    expected = response([MODE], at) + response([second], at)
    np.testing.assert_allclose(response([MODE, second, torsion], at), expected)


def test_response_along_an_axis_without_mode_is_refused():
    with pytest.raises(ValueError, match="no mode moves along y"):
        response([MODE], [300e3], "y")


@pytest.mark.parametrize("wrong", [{"frequency": 0.0}, {"quality_factor": -1.0}, {"axis": "x"}])
def test_mode_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(MODE, **wrong)


def test_force_is_what_moved_the_cantilever():
    force = np.array([1e-12, 2e-12 + 3e-12j, -4e-12j])
    free = np.array([0.0, 6e-9, 6e-9])
    engaged = free + response([MODE], np.array([1499, 1500, 1501]) * 200.0) * force
    np.testing.assert_allclose(measurement(engaged=engaged).force(), force, rtol=1e-6)


def test_force_of_the_paper_case_is_that_along_its_motion(paper_case_1):
    # independent: the force law evaluated on the sum of the tones, at the strong tones
    own, t = paper_case_1.measurement, np.arange(2**18) / 2**18
    tones = np.zeros(2**17 + 1, dtype=complex)
    tones[own.tones] = own.engaged
    z = np.fft.irfft(tones * 2**17, t.size)
    velocity = np.fft.irfft(tones * 2**17 * 2j * np.pi * 200.0 * np.arange(tones.size), t.size)
    along = np.fft.rfft(paper_case_1.force.normal(z, velocity))[own.tones] / 2**17
    assert np.linalg.norm(own.force() - along) < 3e-3 * np.linalg.norm(along)


def test_force_of_many_pixels_is_that_of_each():
    one = measurement()
    many = measurement(engaged=np.stack([one.engaged, one.free]))
    np.testing.assert_allclose(many.force()[0], one.force())
    np.testing.assert_allclose(many.force()[1], 0.0)
    np.testing.assert_allclose(many.pixel(0).force(), one.force())


def test_force_noise_is_the_noise_of_both_spectra_over_the_response():
    noisy = measurement(noise=np.full(3, 3e-13), free_noise=np.full(3, 4e-13))
    np.testing.assert_allclose(noisy.force_noise(), 5e-13 / np.abs(noisy.response()))


def test_bands_leave_out_rest_and_harmonics():
    tones = [0, 1499, 1500, 3000, 9450]
    amplitude = np.array([0.0, 6e-9, 6e-9, 0.0, 1e-9])
    modes = (MODE, Mode(1.89e6, 1200.0, 2000.0))
    first, second = measurement(
        tones=tones, free=amplitude, engaged=amplitude, noise=np.zeros(5), modes=modes
    ).bands()
    assert first.tolist() == [1, 2]
    assert second.tolist() == [4]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tones": [1499, 1501, 1500]}, "do not rise"),
        ({"tones": [1499, 1500, 1500]}, "there twice"),
        ({"tones": [1499.5, 1500, 1501]}, "whole multiples"),
        ({"tones": [-1, 1500, 1501]}, "negative"),
        ({"free": np.zeros(3)}, "free spectrum is zero"),
        ({"free": [0.0, 6.0, 6.0]}, "amplitudes in metres"),
        ({"free": np.full(3, 1e-18)}, "amplitudes in metres"),
        ({"engaged": [0.0, 6.0, 6.0]}, "amplitudes in metres"),
        ({"engaged": [np.nan, 5e-9, 5e-9]}, "no finite numbers"),
        ({"engaged": np.zeros((2, 4))}, r"shape \(2, 4\)"),
        ({"noise": [0.0, -1e-12, 0.0]}, "noise is negative"),
        ({"noise": [0.0, 0.0]}, r"noise has shape \(2,\)"),
        ({"df": 0.0}, "df is 0.0"),
        ({"height": -1e-9}, "height"),
        ({"axes": ("z", "z", "y")}, "no mode along y"),
        ({"axes": ("z", "z", "x")}, "axis 'x'"),
        ({"tones": []}, r"shape \(0,\)"),
        ({"tones": ["a", "b", "c"]}, "integers are wanted"),
    ],
)
def test_measurement_that_cannot_be_is_refused_in_one_line(changes, said):
    with pytest.raises(MeasurementError, match=said) as refusal:
        measurement(**changes)
    assert "\n" not in str(refusal.value)


def test_pixel_that_is_not_there_is_refused():
    with pytest.raises(IndexError, match=r"pixel 3 is outside of 0\.\.0"):
        measurement().pixel(3)


def test_selected_tones_keep_their_values():
    part = measurement(noise=[1e-13, 2e-13, 3e-13]).select([True, False, True])
    assert part.tones.tolist() == [1499, 1501]
    assert part.noise.tolist() == [1e-13, 3e-13]


def test_tip_that_feels_a_force_touched(paper_case_1):
    assert touched(paper_case_1.measurement)


def test_tip_that_moves_as_freely_as_before_never_touched():
    assert not touched(measurement(engaged=[0.0, 6e-9, 6e-9]))


def test_change_within_the_noise_is_no_contact():
    rng = np.random.default_rng(0)
    free = np.array([0.0, 6e-9, 6e-9])
    noise = 1e-12 * (rng.standard_normal((2000, 3)) + 1j * rng.standard_normal((2000, 3)))
    lifted = measurement(engaged=free + noise, noise=np.full(3, 1e-12))
    assert not touched(lifted).any()


def test_change_beyond_the_noise_is_contact_pixel_by_pixel():
    free = np.array([0.0, 6e-9, 6e-9])
    engaged = np.stack([free, free + np.array([0.0, 0.0, 2e-11])])
    assert touched(measurement(engaged=engaged, noise=np.full(3, 1e-12))).tolist() == [False, True]
