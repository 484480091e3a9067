"""Noise of temperature and detector against equipartition and against sampled white noise."""

import math

import numpy as np
import pytest
from scipy.constants import Boltzmann
from scipy.integrate import quad

from sim.cantilever import (
    Cantilever,
    Mode,
    Spectra,
    Tones,
    add_noise,
    thermal_noise,
    tone_noise,
)

MODE = Mode(frequency=300e3, quality_factor=50.0, spring_constant=40.0)
CANTILEVER = Cantilever((MODE,))


def test_thermal_motion_has_half_a_kt_for_each_mode():
    def power(f):
        return float(thermal_noise(CANTILEVER, [f], 300.0)[0]) ** 2

    mean_square = quad(power, 0, 3e6, points=[295e3, 300e3, 305e3], limit=500, epsrel=1e-7)[0]
    assert 0.5 * 40.0 * mean_square == pytest.approx(0.5 * Boltzmann * 300.0, rel=1e-3)


def test_the_peak_of_the_thermal_motion_is_that_of_the_fluctuation_dissipation_theorem():
    force = math.sqrt(4 * Boltzmann * 300.0 * 40.0 / (50.0 * 2 * math.pi * 300e3))
    assert thermal_noise(CANTILEVER, [300e3], 300.0)[0] == pytest.approx(force * 50.0 / 40.0)


def test_torsion_does_not_shake_the_flexural_signal():
    torsion = Mode(frequency=1.9e6, quality_factor=1200.0, spring_constant=2000.0, axis="y")
    both = thermal_noise(Cantilever((MODE, torsion)), [1.9e6], 300.0)
    assert both[0] == thermal_noise(CANTILEVER, [1.9e6], 300.0)[0]


def test_a_tone_of_white_noise_spreads_as_predicted():
    rng = np.random.default_rng(0)
    samples, duration, density = 256, 5e-3, 1e-13
    # white up to half of the sampling rate: variance = density^2 * rate / 2
    noise = rng.normal(0, density * math.sqrt(samples / duration / 2), (4000, samples))
    tones = 2 * np.fft.rfft(noise, axis=1)[:, 10] / samples
    predicted = tone_noise(CANTILEVER, [1.0], duration, temperature=0.0, detector=density)[0]
    assert tones.real.std() == pytest.approx(predicted, rel=0.05)


def test_thermal_and_detector_noise_add_in_power():
    thermal = tone_noise(CANTILEVER, [300e3], 5e-3)
    detector = tone_noise(CANTILEVER, [300e3], 5e-3, temperature=0.0, detector=1e-13)
    both = tone_noise(CANTILEVER, [300e3], 5e-3, detector=1e-13)
    np.testing.assert_allclose(both, np.hypot(thermal, detector))


def noisy(tones, **options):
    spectra = Spectra(
        np.zeros((5000, len(tones.z)), complex), np.zeros((5000, 0), complex), np.ones(5000)
    )
    return add_noise(spectra, CANTILEVER, 200.0, tones, rng=np.random.default_rng(1), **options)


def test_added_noise_has_the_spread_of_the_tones():
    z = noisy(Tones(z=(1400, 1500)), detector=1e-13).z
    expected = tone_noise(CANTILEVER, [280e3, 300e3], 5e-3, detector=1e-13)
    np.testing.assert_allclose(z.real.std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(z.imag.std(axis=0), expected, rtol=0.05)


def test_longer_measurement_averages_the_noise():
    once, four = noisy(Tones(z=(1500,))).z, noisy(Tones(z=(1500,)), periods=4).z
    np.testing.assert_allclose(four, once / 2)


def test_a_mean_stays_real():
    assert (noisy(Tones(z=(0, 1500))).z[:, 0].imag == 0).all()


def test_the_same_seed_gives_the_same_noise():
    np.testing.assert_array_equal(noisy(Tones(z=(1500,))).z, noisy(Tones(z=(1500,))).z)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"detector": math.nan}, "detector nan"),
        ({"periods": 0}, "duration 0.0"),
    ],
)
def test_noise_that_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        noisy(Tones(z=(1500,)), **options)


def test_spectra_of_other_tones_are_refused():
    spectra = Spectra(np.zeros((1, 2), complex), np.zeros((1, 0), complex), np.ones(1))
    with pytest.raises(ValueError, match="2 tones of z are not allowed: 1 are named"):
        add_noise(spectra, CANTILEVER, 200.0, Tones(z=(1500,)), rng=np.random.default_rng(0))
