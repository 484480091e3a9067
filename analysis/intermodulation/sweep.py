"""What are resonance and quality factor of a mode, by its response to a drive?

The complex response to a drive of known amplitude and phase at several frequencies is that of a
damped oscillator (Borysov et al., eq. 7) times a constant, plus what reaches the detector past the
cantilever. Both are linear and are projected out, so that two parameters remain to be sought.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.intermodulation._resonance import (
    CalibrationError,
    Estimate,
    checked_band,
    checked_resonance,
)

__all__ = ["SweepFit", "fit_sweep"]

_REAL_PARAMETERS = 6  # resonance, quality factor, gain and feedthrough, both complex
_START_FACTORS = (0.2, 1.0, 5.0)  # of the quality factor that the width at half power tells
# The response of an oscillator must leave less than this part of the power of what was measured;
# a constant response, which is no resonance, is left whole.
_MOST_LEFT = 0.5


@dataclass(frozen=True)
class SweepFit:
    """A mode by its response to a drive.

    Parameters
    ----------
    frequency, quality_factor : Estimate
        Hz and 1.
    gain : complex
        Deflection for a unit of drive far below the resonance, in the unit of the response.
    feedthrough : complex
        What reaches the detector at any frequency, in the same unit.
    misfit : float
        Mean square of what is left over in units of `noise`, about 1 where the response is that of
        an oscillator; NaN where the noise was taken from it.
    """

    frequency: Estimate
    quality_factor: Estimate
    gain: complex
    feedthrough: complex
    misfit: float


def fit_sweep(
    frequencies: ArrayLike, response: ArrayLike, *, noise: ArrayLike | None = None
) -> SweepFit:
    """Fit the response of one mode.

    Parameters
    ----------
    frequencies : array_like, shape (n,)
        Hz, increasing, on both sides of the resonance; at least 8.
    response : array_like of complex, shape (n,)
        Deflection over drive, x(t) = Re(X exp(+i omega t)).
    noise : array_like, optional
        Standard deviation of the real and of the imaginary part, a number or one a frequency.
        What the fit leaves over unless given.

    Returns
    -------
    SweepFit
        With standard deviations.

    Raises
    ------
    CalibrationError
        Input that is no response, or a response without a resonance.
    """
    from scipy.optimize import least_squares  # takes long to import

    measured = np.asarray(response, dtype=np.complex128)
    f = checked_band(frequencies, measured)
    weights = _weights(noise, measured)
    peak = float(f[np.argmax(np.abs(measured - np.median(measured)))])
    quality = _first_quality(f, measured, peak)
    width = peak / quality

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return _project(f, measured, weights, peak + width * x[0], quality * np.exp(x[1]))[0]

    span = (f[-1] - f[0]) / width
    bounds = ([max(-span, -0.99 * quality), np.log(0.6 / quality)], [span, 20.0])
    starts = [np.array([0.0, max(np.log(each), bounds[0][1] + 0.1)]) for each in _START_FACTORS]
    found = min(
        (least_squares(residuals, start, bounds=bounds, x_scale="jac") for start in starts),
        key=lambda fit: fit.cost,
    )
    left = 2.0 * float(found.cost)
    whole = float(np.sum(np.abs(weights * (measured - np.average(measured))) ** 2))
    if left > _MOST_LEFT * whole:
        raise CalibrationError(
            f"the response from {f[0]:g} to {f[-1]:g} Hz is not that of an oscillator: an "
            f"oscillator leaves {left / whole:.0%} of it"
        )
    misfit = left / (2 * len(f) - _REAL_PARAMETERS)
    scale = misfit if noise is None else 1.0
    spread = np.sqrt(scale * np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    frequency = peak + width * float(found.x[0])
    checked_resonance(frequency, width * float(spread[0]), f)
    q = quality * float(np.exp(found.x[1]))
    _, (gain, feedthrough) = _project(f, measured, weights, frequency, q)
    return SweepFit(
        frequency=Estimate(frequency, width * float(spread[0])),
        quality_factor=Estimate(q, q * float(spread[1])),
        gain=complex(gain),
        feedthrough=complex(feedthrough),
        misfit=np.nan if noise is None else misfit,
    )


def _weights(noise: ArrayLike | None, measured: NDArray[np.complex128]) -> NDArray[np.float64]:
    if noise is None:  # any common scale will do, but one of about 1 for the optimiser
        noise = float(np.std(measured)) or 1.0
    given = np.broadcast_to(np.asarray(noise, dtype=np.float64), measured.shape)
    if not (np.isfinite(given).all() and given.min() > 0.0):
        raise CalibrationError(f"noise is {given.min():g} somewhere: it must be finite and above 0")
    return 1.0 / given


def _first_quality(f: NDArray[np.float64], measured: NDArray[np.complex128], peak: float) -> float:
    """Quality factor by the width over which more than half of the greatest power is seen."""
    power = np.abs(measured - np.median(measured)) ** 2
    bins = np.gradient(f)
    width = float(np.sum(bins[power > 0.5 * power.max()]))
    return max(peak / width, 1.0)


def _project(
    f: NDArray[np.float64],
    measured: NDArray[np.complex128],
    weights: NDArray[np.float64],
    frequency: float,
    quality: float,
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Residuals, real and imaginary, with the best gain and feedthrough, and these two."""
    ratio = f / frequency
    shape = 1.0 / (1.0 - ratio**2 + 1j * ratio / quality)
    basis = np.column_stack([shape / quality, np.ones_like(shape)])
    solution = np.linalg.lstsq(weights[:, None] * basis, weights * measured, rcond=None)[0]
    left = weights * (measured - basis @ solution)
    gain, feedthrough = solution
    return np.concatenate([left.real, left.imag]), np.array([gain / quality, feedthrough])
