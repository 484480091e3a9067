"""How has a tip changed over a series of images?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.tip_shape.result import TipEstimate
from analysis.tip_shape.verdict import Baseline, TipLimits, TipVerdict, baseline_of, qualify

__all__ = ["TipTrend", "tip_trend"]


@dataclass(frozen=True)
class TipTrend:
    """Diameters of one probe against its baseline, in the order of the images.

    Parameters
    ----------
    baseline : Baseline
        What the changes are against.
    verdicts : tuple of TipVerdict
        One an image.
    limit : float
        Change that is allowed either way, m.
    """

    baseline: Baseline
    verdicts: tuple[TipVerdict, ...]
    limit: float

    @property
    def diameters(self) -> NDArray[np.float64]:
        """Diameters at the larger height, shape (n,), m; NaN where there was none."""
        return np.array([verdict.diameter for verdict in self.verdicts])

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard errors of the diameters, shape (n,), m."""
        return np.array([verdict.diameter_error for verdict in self.verdicts])

    @property
    def changes(self) -> NDArray[np.float64]:
        """Diameters less the baseline, shape (n,), m."""
        return np.array([verdict.change for verdict in self.verdicts])

    @property
    def first_change(self) -> int | None:
        """Index of the first image whose change exceeds the limit; None when none does."""
        beyond = np.flatnonzero(np.abs(self.changes) > self.limit)
        return int(beyond[0]) if beyond.size else None

    @property
    def growth(self) -> float:
        """Slope of the diameter by weighted least squares, m an image; NaN below two images."""
        known = np.isfinite(self.diameters)
        if known.sum() < 2:
            return float("nan")
        index = np.arange(known.size)[known]
        slope, _ = np.polyfit(index, self.diameters[known], 1, w=1 / self.errors[known])
        return float(slope)


def tip_trend(
    estimates: Sequence[TipEstimate],
    limits: TipLimits | None = None,
    baseline: Baseline | None = None,
) -> TipTrend:
    """Return the trend of a probe's tip.

    Parameters
    ----------
    estimates : sequence of TipEstimate
        Of the tip sample's images with this probe, the oldest first.
    limits : TipLimits, optional
    baseline : Baseline, optional
        By default that of the first image.

    Returns
    -------
    TipTrend

    Raises
    ------
    ValueError
        When there is no image, or the first has no tip and no baseline is given.
    """
    if not estimates:
        raise ValueError("a trend of 0 images is not allowed: one or more")
    limits = limits or TipLimits()
    first = baseline or baseline_of(estimates[:1])
    verdicts = tuple(qualify(estimate, limits, first) for estimate in estimates)
    return TipTrend(first, verdicts, limits.change)
