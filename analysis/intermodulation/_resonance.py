"""What the fits of a resonance share: an estimate with its spread, and what they refuse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CalibrationError", "Estimate", "checked_band", "checked_resonance"]

_FEWEST_BINS = 8  # twice the parameters of a resonance and its background


class CalibrationError(ValueError):
    """A spectrum does not tell a resonance; says why."""


@dataclass(frozen=True)
class Estimate:
    """A number and its standard deviation, in the unit of its field."""

    value: float
    deviation: float

    def __str__(self) -> str:
        if not (math.isfinite(self.deviation) and self.deviation > 0.0):
            return f"{self.value:.6g}"
        decimals = max(1 - math.floor(math.log10(self.deviation)), 0)
        return f"{self.value:.{decimals}f} ± {self.deviation:.{decimals}f}"


def checked_band(frequencies: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Return the frequencies of a spectrum; refuse what is none.

    Parameters
    ----------
    frequencies : array_like, shape (n,)
        Hz.
    values : array_like, shape (n,)
        What was measured there.

    Returns
    -------
    ndarray, shape (n,)
        Hz.

    Raises
    ------
    CalibrationError
        Shapes that do not match, fewer than 8 bins, values that are not finite, frequencies that
        do not increase from above 0.
    """
    f, y = np.asarray(frequencies, dtype=np.float64), np.asarray(values)
    if f.ndim != 1 or f.shape != y.shape:
        raise CalibrationError(
            f"frequencies have shape {f.shape} and values {y.shape}: two lists of one length are "
            "needed"
        )
    if len(f) < _FEWEST_BINS:
        raise CalibrationError(
            f"{len(f)} bins do not tell a resonance: give {_FEWEST_BINS} or more"
        )
    if not (np.isfinite(f).all() and np.isfinite(y).all()):
        raise CalibrationError("a frequency or a value is not finite: leave such bins out")
    if f[0] <= 0.0 or (np.diff(f) <= 0.0).any():
        raise CalibrationError("the frequencies must be above 0 Hz and increase")
    return f


def checked_resonance(frequency: float, deviation: float, frequencies: NDArray[np.float64]) -> None:
    """Refuse a resonance that the band does not hold.

    Parameters
    ----------
    frequency, deviation : float
        Of the resonance, Hz.
    frequencies : ndarray, shape (n,)
        The band, Hz.

    Raises
    ------
    CalibrationError
        It lies outside, or is not told at all.
    """
    low, high = float(frequencies[0]), float(frequencies[-1])
    if not (low < frequency < high and deviation < high - low):
        raise CalibrationError(
            f"the band from {low:g} to {high:g} Hz does not hold the resonance: the fit puts it at "
            f"{frequency:g} Hz; look elsewhere"
        )
