"""Thermal calibration against oscillators whose truth is given."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.constants import Boltzmann
from scipy.integrate import quad
from scipy.linalg import expm

from analysis.intermodulation.sweep import fit_sweep
from analysis.intermodulation.thermal import fit_thermal, thermal_periodogram

F0, Q, K, TEMPERATURE = 300e3, 400.0, 40.0, 300.0
AREA = Boltzmann * TEMPERATURE / K
BACKGROUND = (100e-15) ** 2  # 100 fm/rtHz
BAND = np.arange(F0 - 6e3, F0 + 6e3, 200.0)


def density(f: NDArray[np.float64], f0: float = F0, q: float = Q) -> NDArray[np.float64]:
    """Density of the thermal motion by the fluctuation-dissipation theorem, 4 kT gamma |chi|²."""
    omega, omega0 = 2 * np.pi * f, 2 * np.pi * f0
    chi = 1.0 / (K * (1.0 + 1j * omega / (q * omega0) - (omega / omega0) ** 2))
    return 4.0 * Boltzmann * TEMPERATURE * K / (omega0 * q) * np.abs(chi) ** 2


def averaged(
    expected: NDArray[np.float64], averages: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    return expected * rng.gamma(averages, 1.0 / averages, expected.shape)


def records(count: int, duration: float, bins: int, rng: np.random.Generator) -> tuple:
    """Tones of an oscillator in a heat bath, by its exact propagator in the rotating frame.

    The slow amplitude a of x = Re(a exp(i w0 t)) is an Ornstein-Uhlenbeck process of rate
    w0 / 2Q whose mean square is 2 kT/k.
    """
    rate = np.pi * F0 / Q
    steps = 4096
    h = duration / steps
    decay = float(expm(np.array([[-rate * h]]))[0, 0])
    kick = np.sqrt(2 * AREA * (1 - decay**2) / 2)
    a = np.sqrt(AREA) * (rng.normal(size=count) + 1j * rng.normal(size=count))
    track = np.empty((count, steps), complex)
    for n in range(steps):
        track[:, n] = a
        a = decay * a + kick * (rng.normal(size=count) + 1j * rng.normal(size=count))
    tones = np.fft.fft(track, axis=1) / steps
    order = np.arange(-bins, bins + 1)
    return F0 + order / duration, tones[:, order]


def test_an_endless_record_shows_the_density_of_the_fluctuation_dissipation_theorem() -> None:
    np.testing.assert_allclose(thermal_periodogram(BAND, F0, Q, AREA), density(BAND), rtol=1e-9)


def test_the_area_of_the_peak_is_that_of_equipartition() -> None:
    def slope(f: float) -> float:
        return float(thermal_periodogram(np.array([f]), F0, Q, 1.0)[0])

    ends = (0, 0.99 * F0, F0, 1.01 * F0, 5 * F0)
    area = sum(quad(slope, low, high)[0] for low, high in pairwise(ends))
    assert area == pytest.approx(1.0, abs=1e-4)  # beyond 5 f0 is a part of 1e-5


def test_a_short_record_shows_the_density_through_the_fejer_kernel() -> None:
    duration = 5e-3
    fine = np.arange(F0 - 200e3, F0 + 200e3, 2.0)
    f = F0 + 300.0
    kernel = duration * np.sinc((fine - f) * duration) ** 2
    convolved = np.sum(kernel * density(fine)) * 2.0
    found = thermal_periodogram(np.array([f]), F0, Q, AREA, duration=duration)[0]
    assert found == pytest.approx(convolved, rel=2e-4)


def test_a_noiseless_spectrum_gives_back_its_oscillator() -> None:
    fit = fit_thermal(BAND, density(BAND) + BACKGROUND, 100, temperature=TEMPERATURE)
    assert fit.frequency.value == pytest.approx(F0, rel=1e-9)
    assert fit.quality_factor.value == pytest.approx(Q, rel=1e-6)
    assert fit.spring_constant.value == pytest.approx(K, rel=1e-6)
    assert fit.background.value == pytest.approx(BACKGROUND, rel=1e-5)


def test_the_spread_of_many_fits_is_the_one_that_each_states() -> None:
    rng = np.random.default_rng(5)
    expected = density(BAND) + BACKGROUND
    fits = [
        fit_thermal(BAND, averaged(expected, 40, rng), 40, temperature=TEMPERATURE)
        for _ in range(60)
    ]
    for name, truth in (("frequency", F0), ("quality_factor", Q), ("spring_constant", K)):
        found = [getattr(fit, name) for fit in fits]
        scores = np.array([(each.value - truth) / each.deviation for each in found])
        assert abs(scores.mean()) < 0.5
        assert 0.8 < scores.std() < 1.25


def test_the_likelihood_is_not_biased_where_least_squares_of_few_averages_are() -> None:
    rng = np.random.default_rng(6)
    expected = density(BAND) + BACKGROUND
    found = [
        fit_thermal(BAND, averaged(expected, 4, rng), 4, temperature=TEMPERATURE).spring_constant
        for _ in range(60)
    ]
    mean = np.mean([each.value for each in found])
    assert mean == pytest.approx(K, rel=3 * found[0].deviation / K / np.sqrt(60) + 0.03)


def test_bins_as_wide_as_a_third_of_the_resonance_do_not_bias_the_fit() -> None:
    rng = np.random.default_rng(7)
    duration = 4e-3  # 250 Hz a bin, the resonance is 750 Hz wide
    f, tones = records(600, duration, 30, rng)
    spectrum = np.mean(np.abs(tones) ** 2, axis=0) * duration / 2 + BACKGROUND
    fit = fit_thermal(f, spectrum, 600, temperature=TEMPERATURE, duration=duration)
    assert fit.quality_factor.value == pytest.approx(Q, abs=4 * fit.quality_factor.deviation)
    assert fit.spring_constant.value == pytest.approx(K, abs=4 * fit.spring_constant.deviation)
    blind = fit_thermal(f, spectrum, 600, temperature=TEMPERATURE)
    assert abs(blind.quality_factor.value - Q) > 4 * blind.quality_factor.deviation


def test_a_spectrum_of_an_oscillator_has_a_misfit_of_one() -> None:
    rng = np.random.default_rng(8)
    fit = fit_thermal(BAND, averaged(density(BAND) + BACKGROUND, 200, rng), 200)
    assert fit.misfit == pytest.approx(1.0, abs=0.5)


def test_a_peak_below_the_noise_is_measured_where_its_resonance_is_known() -> None:
    rng = np.random.default_rng(10)
    expected = density(BAND) + 20.0 * density(np.array([F0]))[0]
    scores = []
    for _ in range(60):
        fit = fit_thermal(
            BAND, averaged(expected, 16000, rng), 16000, temperature=TEMPERATURE, resonance=(F0, Q)
        )
        scores.append((fit.mean_square.value - AREA) / fit.mean_square.deviation)
        assert fit.frequency.deviation == 0.0
    assert abs(np.mean(scores)) < 0.5
    assert 0.75 < np.std(scores) < 1.3


def test_a_flat_spectrum_is_refused() -> None:
    rng = np.random.default_rng(9)
    with pytest.raises(ValueError, match="no resonance rises above the noise"):
        fit_thermal(BAND, averaged(np.full(BAND.shape, BACKGROUND), 20, rng), 20)


def test_a_band_beside_the_resonance_is_refused() -> None:
    f = np.arange(F0 + 3e3, F0 + 12e3, 200.0)
    with pytest.raises(ValueError, match="does not hold the resonance"):
        fit_thermal(f, density(f) + 1e-3 * BACKGROUND, 1000)


@pytest.mark.parametrize(
    ("f", "p", "averages", "message"),
    [
        (BAND, density(BAND)[:-1], 9, "two lists of one length"),
        (BAND[:5], density(BAND[:5]), 9, "5 bins do not tell"),
        (BAND, np.full(BAND.shape, np.nan), 9, "not finite"),
        (BAND[::-1], density(BAND), 9, "increase"),
        (BAND, -density(BAND), 9, "all must be above 0"),
        (BAND, density(BAND), 0, "averages 0"),
    ],
)
def test_what_is_no_spectrum_is_refused_in_a_line(
    f: NDArray[np.float64], p: NDArray[np.float64], averages: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        fit_thermal(f, p, averages)
    assert "\n" not in str(caught.value)


def response(f: NDArray[np.float64]) -> NDArray[np.complex128]:
    ratio = f / F0
    return 3e-9 * np.exp(0.4j) / (1.0 - ratio**2 + 1j * ratio / Q)


def test_a_noiseless_response_gives_back_its_oscillator() -> None:
    fit = fit_sweep(BAND, response(BAND))
    assert fit.frequency.value == pytest.approx(F0, rel=1e-9)
    assert fit.quality_factor.value == pytest.approx(Q, rel=1e-6)
    assert fit.gain == pytest.approx(3e-9 * np.exp(0.4j), rel=1e-6)


def test_what_goes_past_the_cantilever_is_told_apart() -> None:
    fit = fit_sweep(BAND, response(BAND) + (2e-7 - 1e-7j))
    assert fit.quality_factor.value == pytest.approx(Q, rel=1e-6)
    assert fit.feedthrough == pytest.approx(2e-7 - 1e-7j, rel=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_the_spread_of_many_sweeps_is_the_one_that_each_states(known: bool) -> None:
    rng = np.random.default_rng(11)
    noise = 2e-8
    scores = []
    for _ in range(60):
        parts = noise * rng.normal(size=(2, len(BAND)))
        fit = fit_sweep(
            BAND, response(BAND) + parts[0] + 1j * parts[1], noise=noise if known else None
        )
        scores.append((fit.quality_factor.value - Q) / fit.quality_factor.deviation)
    assert 0.8 < np.std(scores) < 1.25


def test_a_response_without_a_resonance_is_refused() -> None:
    rng = np.random.default_rng(12)
    with pytest.raises(ValueError, match="not that of an oscillator"):
        fit_sweep(BAND, rng.normal(size=len(BAND)) + 1j * rng.normal(size=len(BAND)))
