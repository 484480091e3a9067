"""Which threshold keeps noise from sharpening a tip?

Flater et al., Ultramicroscopy 146 (2014) 130: estimate the tip with rising thresholds; where noise
rules its width grows faster than the threshold alone makes it, and from the break on it is the
tip's. What the threshold alone makes is known: bounds raised by a height widen a section as much
as the section that much higher up is wider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.tip_shape.section import section

__all__ = ["ThresholdSweep", "sweep_thresholds"]

# Thresholds over the standard deviation of the noise. The lowest that may be chosen is the second:
# the lowest bound of some tens of equally sharp maxima lies two standard deviations too low.
_STEPS = (0.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
_LEAST = 1
_BREAK = 1.5  # growth over that of the threshold alone: 0.9 to 1.2 without noise, 2 where it rules


@dataclass(frozen=True)
class ThresholdSweep:
    """A tip's width against the threshold.

    Parameters
    ----------
    thresholds : ndarray, shape (n,)
        m.
    diameters : ndarray, shape (n,)
        At the height that was swept, m.
    growth : ndarray, shape (n - 1,)
        Of the diameter between neighbours over what the threshold alone would make it.
    chosen : int
        Which threshold is at the break.
    """

    thresholds: NDArray[np.float64]
    diameters: NDArray[np.float64]
    growth: NDArray[np.float64]
    chosen: int

    @property
    def threshold(self) -> float:
        """The threshold at the break, m."""
        return float(self.thresholds[self.chosen])


def sweep_thresholds(
    reconstructed: Callable[[float], NDArray[np.float64]],
    noise: float,
    height: float,
    pixel: tuple[float, float],
) -> ThresholdSweep:
    """Return the widths of a tip for rising thresholds and where the break is.

    Parameters
    ----------
    reconstructed : callable
        Returns the tip, m, for a threshold, m.
    noise : float
        Standard deviation of the image that is reconstructed from, m.
    height : float
        At which the width is taken, m.
    pixel : tuple of float
        Distance of rows and of columns, m.

    Returns
    -------
    ThresholdSweep
    """
    thresholds = noise * np.array(_STEPS)
    tips = [reconstructed(float(threshold)) for threshold in thresholds]
    diameters = np.array([section(tip, height, pixel).diameter for tip in tips])
    alone = np.array(
        [
            section(tip, height + step, pixel).diameter
            for tip, step in zip(tips[:-1], np.diff(thresholds), strict=True)
        ]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = np.diff(diameters) / (alone - diameters[:-1])
    fast = np.flatnonzero(growth > _BREAK)
    after = int(fast[-1]) + 1 if fast.size else 0
    return ThresholdSweep(thresholds, diameters, growth, max(_LEAST, after))
