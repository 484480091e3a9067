"""By how much may the distortion of a scan have moved the shift of two overlapping fields?

Jitter and drift show in lines that disagree about the shift more than noise lets them. What bands
of lines say scatters; each counts for what it weighs, and by how far the shift follows it, so that
few particles, which lie in few bands, are not taken for many (MacKinnon & White, J. Econometrics 29
(1985) 305, HC2; the degrees of freedom after Satterthwaite, Biometrics Bull. 2 (1946) 110).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._fft import Spectrum, down
from ._kernels import line_scores

__all__ = ["Lines"]

_BAND_LINES = 16
# Scans whose lines disagree as noise would make them this rarely are distorted.
_CHANCE = 0.15
# A band that alone decides shift and slope leaves nothing to judge it by.
_LEAST_FREEDOM = 0.1
_LEAST_SHARE = 1e-12
_NORMAL_95 = 1.960


@dataclass(frozen=True)
class Lines:
    """What each scan line says of the shift.

    Parameters
    ----------
    gradient : ndarray, shape (lines, 2)
        Of the criterion, by the shift; its sum vanishes at the maximum.
    share : ndarray, shape (lines,)
        Of the curvature, sum 1.
    """

    gradient: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        first: Spectrum,
        second: Spectrum,
        rows: NDArray[np.float64],
        columns: NDArray[np.float64],
    ) -> Lines:
        """Take the criterion apart by lines: transforms down the lines, Parseval along them.

        Parameters
        ----------
        first, second : ndarray of complex64
            Half spectra of the aligned images, each bin times the root of its weight.
        rows, columns : ndarray
            Angular frequencies, radians per px.
        """
        slope = (1j * rows).astype(np.complex64)[:, None]
        scores = line_scores(
            down(first), down(second), down(first * slope), down(second * slope), columns
        )
        power = scores[:, 2]
        return cls(scores[:, :2] * len(rows), power / power.sum())

    def with_distortion(
        self, covariance: NDArray[np.float64], curvature: NDArray[np.float64], rows: float
    ) -> NDArray[np.float64]:
        """Covariance of the shift, the distortion of the scan included.

        What the shift gains from line to line is the difference of the drifts within the two
        frames; by their mean, of which it is a sample, the shift is wrong in proportion to the
        time between the scans of the same feature, `rows` lines.
        """
        count = self.share.size
        time = np.arange(count) - np.sum(self.share * np.arange(count))
        spread = float(np.sum(self.share * time**2))
        inverse = np.linalg.inv(curvature)
        slope = inverse @ (time @ self.gradient) / spread
        # gradients less what the slope makes of them
        rest = self.gradient - (self.share * time)[:, None] * (curvature @ slope)[None, :]
        starts = np.linspace(0, count, max(4, count // _BAND_LINES), endpoint=False).astype(int)
        share, moment = (np.add.reduceat(s, starts) for s in (self.share, self.share * time))
        # the shift and the slope follow a band the more, the more of all they know comes from it
        leverage = share + moment**2 / np.maximum(share, _LEAST_SHARE) / spread
        sums = np.add.reduceat(rest, starts)
        sums /= np.sqrt(np.maximum(1.0 - leverage, _LEAST_FREEDOM))[:, None]
        excess = np.diag(inverse @ (sums.T @ sums) @ inverse) / np.diag(covariance)
        freedom = max(1.0 / float(np.sum(share**2)) - 2.0, 2.0)
        distorted = _distorted(
            float(slope @ np.linalg.solve(covariance, slope)) * spread,
            float(excess.sum()) * freedom,
            2.0 * freedom,
        )
        if distorted:
            excess = np.where(excess > 1.0, excess * _student(freedom) ** 2, excess)
        root = np.sqrt(np.maximum(1.0, excess))
        covariance = covariance * np.outer(root, root)
        # four components of drift in the square of the slope, half of one in that of their mean
        drift = float(slope @ slope) / 8.0
        if distorted:
            # a sample of the drift that has two components
            drift += float(np.trace(covariance)) / spread / 8.0
            drift *= _student(2.0) ** 2
        return covariance + drift * rows**2 * np.eye(2)


def _distorted(slope_chi2: float, bands_chi2: float, freedom: float) -> bool:
    """Whether a slope (two degrees of freedom) or the scatter of bands is more than noise."""
    from scipy.special import chdtrc

    chance = min(np.exp(-0.5 * slope_chi2), float(chdtrc(freedom, bands_chi2)))
    return bool(chance < _CHANCE)


def _student(freedom: float) -> float:
    """How many times as wide as a normal distribution Student's t is, by their 95 % intervals."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975)) / _NORMAL_95
