"""What are resonance, quality factor and spring constant of a cantilever's mode?

From its thermal motion, by equipartition (Hutter and Bechhoefer, Rev. Sci. Instrum. 64, 1868
(1993)), or from its response to a known drive (Borysov et al., eq. 7). Averages of a periodogram
are gamma distributed, and their likelihood is maximised instead of a sum of squares, with the
periodogram that a record of finite length is expected to have ("debiased Whittle likelihood":
Sykulski et al., Biometrika 106, 251 (2019)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.intermodulation._resonance import (
    CalibrationError,
    Estimate,
    checked_band,
    checked_resonance,
)

__all__ = ["CalibrationError", "Estimate", "ThermalFit", "fit_thermal", "thermal_periodogram"]

_PARAMETERS = 4
_START_FACTORS = (0.3, 1.0, 3.0)  # of the quality factor: a peak of one bin hides its width
# Twice the gain in log likelihood over a flat spectrum, with three parameters more: 1e-6 of flat
# spectra reach 31 by chance.
_SEEN = 31.0
_SEEN_WHERE_KNOWN = 20.0  # with one parameter more, 1e-5 of flat spectra


@dataclass(frozen=True)
class ThermalFit:
    """A mode by its thermal motion.

    Parameters
    ----------
    frequency, quality_factor, spring_constant : Estimate
        Hz, 1, N/m. The spring constant holds for the deflection as it was measured.
    mean_square : Estimate
        Of the thermal deflection, the area of the peak, m².
    background : Estimate
        White density of the detector, m²/Hz.
    misfit : float
        Mean square of what is left over in units of its expected spread: about 1 where the
        spectrum is that of an oscillator.
    """

    frequency: Estimate
    quality_factor: Estimate
    spring_constant: Estimate
    mean_square: Estimate
    background: Estimate
    misfit: float


def thermal_periodogram(
    frequencies: ArrayLike,
    frequency: float,
    quality_factor: float,
    mean_square: float,
    *,
    duration: float | None = None,
) -> NDArray[np.float64]:
    """Expected one-sided periodogram of the thermal motion of a simple harmonic oscillator.

    Its area is `mean_square`, k_B T / k by equipartition. A record of finite duration T sees the
    density through the Fejér kernel; with the autocorrelation R = Re(c exp(-s t)) of the
    oscillator, 4 ∫ (1 - t/T) R cos(2 pi f t) dt from 0 to T has a closed form.

    Parameters
    ----------
    frequencies : array_like, shape (n,)
        Hz.
    frequency, quality_factor : float
        Of the mode, Hz and 1; the quality factor is above 1/2.
    mean_square : float
        Of the deflection, m².
    duration : float, optional
        Length of the record behind each periodogram, rectangular window, s. Infinite unless given.

    Returns
    -------
    ndarray, shape (n,)
        m²/Hz.
    """
    omega = 2j * np.pi * np.asarray(frequencies, dtype=np.float64)
    ring = np.sqrt(1.0 - 0.25 / quality_factor**2)
    decay = 2.0 * np.pi * frequency * complex(0.5 / quality_factor, -ring)
    weight = complex(1.0, -0.5 / (quality_factor * ring))
    total = _one_sided(decay + omega, duration) + _one_sided(decay - omega, duration)
    return 2.0 * mean_square * np.real(weight * total)


def _one_sided(rate: NDArray[Any], duration: float | None) -> NDArray[Any]:
    """Integral of (1 - t/T) exp(-rate t) from 0 to T."""
    if duration is None:
        return 1.0 / rate
    return 1.0 / rate + np.expm1(-rate * duration) / (rate**2 * duration)


def fit_thermal(
    frequencies: ArrayLike,
    density: ArrayLike,
    averages: int,
    *,
    temperature: float = 295.0,
    duration: float | None = None,
    resonance: tuple[float, float] | None = None,
) -> ThermalFit:
    """Fit the thermal motion of one mode and a white background.

    Parameters
    ----------
    frequencies : array_like, shape (n,)
        Of the bins, Hz, increasing, on both sides of the resonance; at least 8.
    density : array_like, shape (n,)
        One-sided density of the deflection, m²/Hz: the mean of `averages` periodograms. From tones
        X_n of records of length T it is the mean of |X_n|² T / 2.
    averages : int
        Periodograms behind each density.
    temperature : float
        Of the cantilever, K; the spring constant is proportional to it.
    duration : float, optional
        Length of a record, s, where its bins are not much narrower than the resonance.
    resonance : (float, float), optional
        Resonance (Hz) and quality factor where a sweep has told them; only area and background are
        sought then, which finds a peak that hardly rises above the noise of the detector.

    Returns
    -------
    ThermalFit
        With standard deviations from the Fisher information; 0 of what was known.

    Raises
    ------
    CalibrationError
        Input that is no spectrum, or a spectrum without a resonance.
    """
    from scipy.constants import Boltzmann  # takes long to import

    f = checked_band(frequencies, density)
    p = np.asarray(density, dtype=np.float64)
    if p.min() <= 0.0:
        raise CalibrationError(f"a density is {p.min():g} m²/Hz: all must be above 0")
    if averages < 1 or temperature <= 0.0 or (duration is not None and duration <= 0.0):
        raise CalibrationError(
            f"averages {averages}, temperature {temperature:g} K and duration {duration} s: "
            "all must be above 0"
        )
    model = _Model(f, p, averages, duration, resonance)
    starts = _START_FACTORS if resonance is None else (1.0,)
    best = min((model.fit(factor) for factor in starts), key=lambda found: found.cost)
    gain = model.flat_deviance() - 2.0 * best.cost
    if gain < (_SEEN if resonance is None else _SEEN_WHERE_KNOWN):
        raise CalibrationError(
            f"no resonance rises above the noise from {f[0]:g} to {f[-1]:g} Hz: average more, or "
            "look elsewhere"
        )
    x = model.whole(best.x)
    frequency, quality, area, background = model.physical(x)
    deviations = model.deviations(x)
    checked_resonance(frequency, deviations[0], f)
    spring = Boltzmann * temperature / area
    left = p / model.expected(x) - 1.0
    return ThermalFit(
        frequency=Estimate(frequency, deviations[0]),
        quality_factor=Estimate(quality, quality * deviations[1]),
        spring_constant=Estimate(spring, spring * deviations[2]),
        mean_square=Estimate(area, area * deviations[2]),
        background=Estimate(background, deviations[3]),
        misfit=float(averages * np.sum(left**2) / (len(p) - model.free)),
    )


class _Model:
    """Spectrum of a mode by scaled parameters: offset of f0, log Q, log area, background."""

    def __init__(
        self,
        frequencies: NDArray[np.float64],
        density: NDArray[np.float64],
        averages: int,
        duration: float | None,
        resonance: tuple[float, float] | None,
    ) -> None:
        self._f, self._p = frequencies, density
        self._averages, self._duration = averages, duration
        smooth = np.convolve(density, np.full(3, 1.0 / 3.0), "same")
        self._floor = float(np.quantile(density, 0.1))
        self._peak = float(frequencies[np.argmax(smooth)])
        above = np.maximum(density - self._floor, 0.0)
        self._area = float(np.trapezoid(above, frequencies)) or self._floor
        height = max(float(smooth.max()) - self._floor, self._floor)
        self._quality = max(0.5 * np.pi * self._peak * height / self._area, 1.0)
        self._sought = slice(0, _PARAMETERS)
        if resonance is not None:
            self._peak, self._quality = resonance
            self._sought = slice(2, _PARAMETERS)
        self._width = self._peak / self._quality

    @property
    def free(self) -> int:
        """How many parameters are sought."""
        return _PARAMETERS - self._sought.start

    def whole(self, sought: NDArray[np.float64]) -> NDArray[np.float64]:
        """All parameters, those that are known at their places."""
        return np.concatenate([np.zeros(_PARAMETERS - len(sought)), sought])

    def physical(self, x: NDArray[np.float64]) -> tuple[float, float, float, float]:
        """Resonance, quality factor, area and background."""
        return (
            self._peak + self._width * float(x[0]),
            self._quality * float(np.exp(x[1])),
            self._area * float(np.exp(x[2])),
            self._floor * float(x[3]),
        )

    def expected(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the periodogram should be."""
        resonance, quality, area, background = self.physical(x)
        return background + thermal_periodogram(
            self._f, resonance, quality, area, duration=self._duration
        )

    def fit(self, factor: float) -> Any:
        """Maximise the likelihood; its deviance is a sum of squares, so least squares do it."""
        from scipy.optimize import least_squares  # takes long to import

        lowest = np.log(0.6 / self._quality)  # overdamped oscillators do not ring
        half_band = (self._f[-1] - self._f[0]) / self._width
        start = np.array([0.0, max(np.log(factor), lowest + 0.1), 0.0, 1.0])
        low = np.array([-half_band, lowest, -20.0, 0.0])
        high = np.array([half_band, 20.0, 20.0, np.inf])
        low[0] = max(low[0], (0.01 * self._peak - self._peak) / self._width)
        own = self._sought
        bounds = (low[own], high[own])
        return least_squares(self._deviance_roots, start[own], bounds=bounds, x_scale="jac")

    def _deviance_roots(self, sought: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._roots(self._p / self.expected(self.whole(sought)))

    def _roots(self, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        deviance = 2.0 * self._averages * (ratio - 1.0 - np.log(ratio))
        return np.sign(ratio - 1.0) * np.sqrt(np.maximum(deviance, 0.0))

    def flat_deviance(self) -> float:
        """Deviance of the flat spectrum that fits best, its mean."""
        return float(np.sum(self._roots(self._p / self._p.mean()) ** 2))

    def deviations(self, x: NDArray[np.float64]) -> tuple[float, float, float, float]:
        """Standard deviations of f0 (Hz), log Q, log area and background (m²/Hz)."""
        steps = 1e-5 * np.eye(_PARAMETERS)
        slopes = np.column_stack(
            [(self.expected(x + h) - self.expected(x - h)) / 2e-5 for h in steps]
        )
        slopes = (slopes / self.expected(x)[:, None])[:, self._sought]
        covariance = np.linalg.inv(self._averages * slopes.T @ slopes)
        spread = self.whole(np.sqrt(np.diag(covariance)))
        return (
            self._width * float(spread[0]),
            float(spread[1]),
            float(spread[2]),
            self._floor * float(spread[3]),
        )
