"""What many pixels tell together: the noise of one, their mean, and how far calibration can miss.

A free spectrum is the same in every pixel, so that its scatter is the noise of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .measurement import Measurement

__all__ = ["FreeSpectrum", "mean_pixel", "within_calibration"]


@dataclass(frozen=True, eq=False)
class FreeSpectrum:
    """The spectrum of the free cantilever, measured in several pixels.

    Parameters
    ----------
    tones : ndarray of complex, shape (K,)
        Mean over the pixels, m.
    noise : ndarray, shape (K,)
        Standard deviation of the real and of the imaginary part of one pixel, m; NaN where there
        is but one.
    pixels : int
    """

    tones: NDArray[np.complex128]
    noise: NDArray[np.float64]
    pixels: int

    @classmethod
    def of(cls, spectra: NDArray[np.complex128]) -> FreeSpectrum:
        """Return mean and scatter of free spectra, shape (pixels, K), m."""
        pixels = len(spectra)
        if pixels == 1:
            return cls(spectra[0], np.full(spectra.shape[1], np.nan), 1)
        # both quadratures tell the noise: half of the complex variance each
        noise = np.sqrt(0.5 * np.var(spectra, axis=0, ddof=1))
        return cls(spectra.mean(axis=0), noise, pixels)


def mean_pixel(measurement: Measurement) -> Measurement:
    """Return the mean of the pixels as one pixel, with the noise of a mean."""
    return replace(
        measurement,
        engaged=measurement.engaged.mean(axis=0),
        noise=measurement.noise / np.sqrt(measurement.pixels),
    )


def within_calibration(measurement: Measurement, part: float) -> Measurement:
    """Return pixels whose noise holds what stiffness and sensitivity may be wrong by.

    Parameters
    ----------
    measurement : Measurement
    part : float
        Standard deviation, as a part of the change of each tone (rms over the pixels).
    """
    change = np.sqrt(np.mean(np.abs(measurement.engaged - measurement.free) ** 2, axis=0))
    return replace(measurement, noise=np.hypot(measurement.noise, part * change))
