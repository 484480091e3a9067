"""What an estimate of a tip is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from analysis.tip_shape.reconstruction import Method
from analysis.tip_shape.section import ApexRadius, Section
from analysis.tip_shape.sweep import ThresholdSweep

__all__ = ["LEAST_WINDOW", "TipEstimate", "TipSettings"]

LEAST_WINDOW = 7  # pixels: a section of fewer has no shape


@dataclass(frozen=True)
class TipSettings:
    """How a tip is estimated.

    Parameters
    ----------
    size : tuple of int, optional
        Rows and columns of the tip's window in pixels of the image, odd. By default 160 nm, and
        more until the section at the larger height is whole.
    method : {"partial", "full"}
        Blind reconstruction at the image's maxima or at all its points. The full one needs an
        image with next to no noise.
    noise : float, optional
        Standard deviation of a pixel, m; measured by default.
    prefilter : float, optional
        Standard deviation of the Gaussian, pixels; 0 for none. By default as little as the noise
        and the tip allow.
    threshold : float, optional
        m; by default at the break of the sweep.
    oversampling : int, optional
        Pixels of the tip in one of the image. Features are not at pixels: without it a tip comes
        out up to a pixel too thin. By default 2 for the partial and 1 for the full method.
    heights : tuple of float
        Above the apex, rising, m.
    """

    size: tuple[int, int] | None = None
    method: Method = "partial"
    noise: float | None = None
    prefilter: float | None = None
    threshold: float | None = None
    oversampling: int | None = None
    heights: tuple[float, float] = (10e-9, 20e-9)

    def __post_init__(self) -> None:
        if self.size is not None and any(n < LEAST_WINDOW or n % 2 == 0 for n in self.size):
            raise ValueError(
                f"size {self.size!r} is not allowed: odd numbers of pixels from {LEAST_WINDOW}"
            )
        if self.method not in get_args(Method):
            allowed = " or ".join(get_args(Method))
            raise ValueError(f"method {self.method!r} is not allowed: {allowed}")
        for name in ("noise", "prefilter", "threshold"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value!r} is not allowed: 0 or more")
        if self.oversampling is not None and not 1 <= self.oversampling <= 4:
            raise ValueError(f"oversampling {self.oversampling!r} is not allowed: 1 to 4")
        low, high = self.heights
        if not (0 < low < high < np.inf):
            raise ValueError(f"heights {self.heights!r} m are not allowed: rising and above 0")


@dataclass(frozen=True)
class TipEstimate:
    """A tip's shape as one image shows it.

    Parameters
    ----------
    tip : ndarray, shape (m, n)
        Height, apex 0 in the middle, falling, m. It bounds the tip from its blunt side.
    pixel_size : tuple of float
        Distance of the tip's rows and of its columns, m; less than the image's by the
        oversampling.
    sections : tuple of Section
        At the lower and the larger height: effective diameter, aspect ratio, parts.
    diameter_errors : tuple of float
        Standard errors of the two diameters, from parts of the scan and the noise, m.
    part_diameters : ndarray, shape (parts, 2)
        Diameters that the first and second half of the scan give, or trace and retrace, m.
    half_angles : dict
        Between axis and side above the larger height towards "+x", "-x", "+y", "-y", rad.
    apex_radius : ApexRadius
        With its bound.
    apexes : int
        Ends within the larger height; 2 for a double tip.
    certainty : ndarray of bool, shape (lines, points)
        Surface points that one tip point touched for sure.
    peaks, binding_peaks : int
        Maxima of the image, and those as sharp as the tip.
    relief : float
        Height of the image's features, m.
    noise : float
        Standard deviation of a pixel, m.
    prefilter : float
        Standard deviation of the Gaussian, pixels.
    threshold : float
        m.
    sweep : ThresholdSweep or None
        None when the threshold was given, or the image has no features.
    """

    tip: NDArray[np.float64]
    pixel_size: tuple[float, float]
    sections: tuple[Section, Section]
    diameter_errors: tuple[float, float]
    part_diameters: NDArray[np.float64]
    half_angles: dict[str, float]
    apex_radius: ApexRadius
    apexes: int
    certainty: NDArray[np.bool_]
    peaks: int
    binding_peaks: int
    relief: float
    noise: float
    prefilter: float
    threshold: float
    sweep: ThresholdSweep | None = field(repr=False)

    @property
    def heights(self) -> tuple[float, float]:
        """The lower and the larger height, m."""
        return self.sections[0].height, self.sections[1].height

    @property
    def diameters(self) -> tuple[float, float]:
        """Effective tip diameters at the two heights, m."""
        return self.sections[0].diameter, self.sections[1].diameter

    @property
    def aspect_ratios(self) -> tuple[float, float]:
        """Aspect ratios of the sections at the two heights."""
        return self.sections[0].aspect_ratio, self.sections[1].aspect_ratio

    @property
    def certain_fraction(self) -> float:
        """Share of the surface that is known for sure."""
        return float(np.mean(self.certainty))
