"""The shape of a tip from one image of a sharp, rough sample.

Blind reconstruction (`reconstruction`) after a prefilter as light as the noise allows (`noise`),
with the threshold at the break of a sweep (`sweep`), measured at two heights (`section`). How far
the result can be trusted comes from parts of the scan taken alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from analysis.tip_shape import _kernels
from analysis.tip_shape._checks import checked_image, checked_pixel
from analysis.tip_shape.noise import noise_between, noise_of, smoothed, step_noise, unsmoothed
from analysis.tip_shape.reconstruction import (
    certainty_map,
    guaranteed_tip,
    image_peaks,
    reconstruct,
)
from analysis.tip_shape.result import LEAST_WINDOW, TipEstimate, TipSettings
from analysis.tip_shape.section import (
    ApexRadius,
    Section,
    apex_radius,
    count_apexes,
    half_angles,
    section,
)
from analysis.tip_shape.sweep import sweep_thresholds

__all__ = ["estimate_tip"]

_WINDOW = 160e-9  # m: holds a 30 nm tip of 18 degrees to 80 nm above its apex
_SHARE = 4  # of the image that the window is at most: its own size is lost at each edge
_GROWTH = 1.5
_FILTERS = (0.7, 1.0, 1.4, 2.0)  # pixels: from the least that keeps splines from ringing
# Noise sharpens a tip, and so does a filter wider than its end. The widest filter whose diameter
# is this share of the largest repeats best; the last is for flat ends, if only it is wide enough.
_KEPT = 0.98
_SPREAD = 6.0  # standard deviations: more than noise differs between any two maxima
_BLUR = 2e-3  # of the relief: how a filter changes one maximum against another
_CONTACT = 3.0  # standard deviations of the noise within which a tip point touches
_GRID_ERROR = 0.05  # pixels: how a diameter varies from place to place without noise
_LEAST = 2.0  # standard deviations of the noise that a threshold has while a filter is chosen
_END = 0.1  # of the larger height: what an end rises by
_RELIEF = 1e-3  # share of pixels left out at either end of the heights


def estimate_tip(
    image: ArrayLike,
    pixel_size: float | tuple[float, float],
    settings: TipSettings | None = None,
    *,
    retrace: ArrayLike | None = None,
) -> TipEstimate:
    """Estimate the shape of a tip from an image of a sharp, rough sample.

    Parameters
    ----------
    image : array_like, shape (lines, points)
        Height, m. A tilt of the sample stays in: without it the tip would be tilted.
    pixel_size : float or tuple of float
        Distance of lines and of points, m; one number when they are equal.
    settings : TipSettings, optional
    retrace : array_like, shape (lines, points), optional
        The scan back over the same lines; the noise and the errors then come from both.

    Returns
    -------
    TipEstimate
        An image without features gives one without diameters (NaN) and peaks.

    Raises
    ------
    ValueError
        When the image is not of finite heights, is too small for the tip, or a number is outside
        what is allowed.
    """
    settings = settings or TipSettings()
    pixel = checked_pixel(pixel_size)
    trace = checked_image(image, "image")
    scans = [trace]
    if retrace is not None:
        scans.append(checked_image(retrace, "retrace"))
        if scans[1].shape != trace.shape:
            raise ValueError(
                f"retrace of shape {scans[1].shape} does not fit an image of {trace.shape}"
            )
    noise = settings.noise
    if noise is None:
        noise = noise_of(trace) if retrace is None else noise_between(scans[0], scans[1])
    work = _Work(scans, pixel, settings, noise, _window(trace, pixel, settings))
    relief = _relief(trace)
    if relief < settings.heights[1]:
        return _without_features(work, relief)
    return _measured(_whole(work), relief)


@dataclass(frozen=True)
class _Work:
    """What an estimate starts from, and the steps that need all of it."""

    scans: Sequence[NDArray[np.float64]]
    pixel: tuple[float, float]
    settings: TipSettings
    noise: float
    size: tuple[int, int]
    prefilter: float = 0.0

    @property
    def left_noise(self) -> float:
        """Standard deviation of the noise after the prefilter, m."""
        return self.noise * step_noise(self.prefilter)[0]

    @property
    def oversampling(self) -> int:
        """Pixels of the tip in one of the image."""
        return self.settings.oversampling or (2 if self.settings.method == "partial" else 1)

    @property
    def fine_pixel(self) -> tuple[float, float]:
        """Distance of the tip's rows and columns, m."""
        return self.pixel[0] / self.oversampling, self.pixel[1] / self.oversampling

    def smoothed_scan(self, index: int = 0) -> NDArray[np.float64]:
        """Return a scan under the prefilter."""
        return smoothed(self.scans[index], self.prefilter)

    def coarse_tip(self, scan: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
        """Return the partial estimate in pixels of the image, still rounded by the filter, m."""
        return reconstruct(scan, np.zeros(self.size), threshold)

    def fine_size(self) -> tuple[int, int]:
        """Return rows and columns of the window in the tip's pixels."""
        rows, columns = ((n - 1) * self.oversampling + 1 for n in self.size)
        return rows, columns

    def unrounded(self, tip: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a tip in its own pixels as it was before the filter, m."""
        return unsmoothed(tip, self.prefilter * self.oversampling)

    def fine_scan(self, scan: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a scan by cubic splines in the tip's pixels."""
        if self.oversampling == 1:
            return scan
        shape = np.array(scan.shape)
        factors = ((shape - 1) * self.oversampling + 1) / shape
        return np.asarray(ndimage.zoom(scan, factors, order=3))


def _window(
    image: NDArray[np.float64], pixel: tuple[float, float], settings: TipSettings
) -> tuple[int, int]:
    """Return rows and columns of the tip's window to begin with."""
    rows, columns = settings.size or (_odd(_WINDOW / pixel[0]), _odd(_WINDOW / pixel[1]))
    rows, columns = max(rows, LEAST_WINDOW), max(columns, LEAST_WINDOW)
    if settings.size is None:
        rows, columns = min(rows, _widest(image.shape[0])), min(columns, _widest(image.shape[1]))
    if rows < LEAST_WINDOW or columns < LEAST_WINDOW or 2 * rows > image.shape[0]:
        raise ValueError(_too_small(image, rows, columns))
    if 2 * columns > image.shape[1]:
        raise ValueError(_too_small(image, rows, columns))
    return rows, columns


def _too_small(image: NDArray[np.float64], rows: int, columns: int) -> str:
    rows, columns = max(rows, LEAST_WINDOW), max(columns, LEAST_WINDOW)
    return (
        f"an image of {image.shape[0]} x {image.shape[1]} pixels is too small for a tip of "
        f"{rows} x {columns}: twice that at least"
    )


def _odd(pixels: float) -> int:
    return int(pixels) // 2 * 2 + 1


def _widest(extent: int) -> int:
    return (extent // _SHARE - 1) // 2 * 2 + 1


def _relief(image: NDArray[np.float64]) -> float:
    """Return the height of the features on an image's mean plane, m."""
    rows, columns = image.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    # the three are orthogonal on a full grid
    plane = image.mean() + sum(
        axis * (np.sum(image * axis) / np.sum(axis * axis)) for axis in (y, x)
    )
    low, high = np.quantile(smoothed(image - plane, 1.0), [_RELIEF, 1 - _RELIEF])
    return float(high - low)


def _whole(work: _Work) -> _Work:
    """Return the work, filter chosen, with a window that holds the larger section if one does."""
    while True:
        work = _prefiltered(work)
        if work.settings.size is not None:
            return work
        tip, _ = _blunt(work)
        if np.isfinite(section(tip, work.settings.heights[1], work.pixel).diameter):
            return work
        limits = (_widest(extent) for extent in work.scans[0].shape)
        rows, columns = (
            max(n, min(_odd(n * _GROWTH), most)) for n, most in zip(work.size, limits, strict=True)
        )
        if (rows, columns) == work.size:
            return work
        work = replace(work, size=(rows, columns))


def _prefiltered(work: _Work) -> _Work:
    """Return the work with the filter that makes the tip's end neither sharper nor noisier."""
    if work.settings.prefilter is not None:
        return replace(work, prefilter=work.settings.prefilter)
    height = work.settings.heights[0]
    choices = [replace(work, prefilter=pixels) for pixels in _FILTERS]
    widths = []
    for choice in choices:
        fine = choice.fine_scan(choice.smoothed_scan())
        # noise moves maxima by more of the tip's own, finer pixels
        rounded = reconstruct(fine, np.zeros(choice.fine_size()), _LEAST * choice.left_noise)
        widths.append(section(choice.unrounded(rounded), height, choice.fine_pixel).diameter)
    usual, most = np.array(widths[:-1]), widths[-1]
    if not np.isfinite(usual).any() or _KEPT * most > np.nanmax(usual):
        return choices[-1]
    return choices[int(np.flatnonzero(usual >= _KEPT * np.nanmax(usual))[-1])]


def _blunt(work: _Work) -> tuple[NDArray[np.float64], int]:
    """Return a tip that is never too sharp, in pixels of the image, m, and how many ends it has.

    A second end is seen by its ghost of every feature. What touched at a ghost is only found when
    heights of two maxima may differ by the noise and by what a filter does, so it is a light one.
    """
    work = replace(work, prefilter=min(work.prefilter, _FILTERS[0]))
    scan = work.smoothed_scan()
    spread = _SPREAD * work.left_noise + _BLUR * float(np.ptp(scan))
    tip = guaranteed_tip(scan, work.size, spread)
    high = work.settings.heights[1]
    return tip, count_apexes(tip, high, _END * high)


def _measured(work: _Work, relief: float) -> TipEstimate:
    """Return the estimate of an image with features."""
    scan = work.smoothed_scan()
    low, high = work.settings.heights
    sweep, threshold = None, work.settings.threshold
    if threshold is None:
        sweep = sweep_thresholds(
            lambda height: work.coarse_tip(scan, height), work.left_noise, low, work.pixel
        )
        threshold = sweep.threshold
    tip, apexes = _blunt(work)
    coarse, pixel, parts = tip, work.pixel, np.full((2, 2), np.nan)
    if apexes == 1:
        fine = work.fine_scan(scan)
        rounded = reconstruct(fine, np.zeros(work.fine_size()), threshold, work.settings.method)
        tip, pixel, parts = work.unrounded(rounded), work.fine_pixel, _parts(work, fine, threshold)
        coarse = rounded[:: work.oversampling, :: work.oversampling].copy()
    peaks = image_peaks(scan, work.size)
    near = max(_CONTACT * work.left_noise, threshold)
    sections = (section(tip, low, pixel), section(tip, high, pixel))
    return TipEstimate(
        tip=tip,
        pixel_size=pixel,
        sections=sections,
        diameter_errors=_errors(work, tip, pixel, sections, parts),
        part_diameters=parts,
        half_angles=half_angles(tip, high, 2 * high, pixel),
        apex_radius=apex_radius(tip, low, pixel, threshold + work.left_noise),
        apexes=apexes,
        certainty=certainty_map(scan, coarse, near),
        peaks=len(peaks),
        binding_peaks=_kernels.binding(scan, peaks, coarse, high, near),
        relief=relief,
        noise=work.noise,
        prefilter=work.prefilter,
        threshold=threshold,
        sweep=sweep,
    )


def _parts(work: _Work, fine: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Return the diameters that two parts of the scan give alone, shape (2, 2), m."""
    start = np.zeros(work.fine_size())
    if len(work.scans) == 2:
        scans = (fine, work.fine_scan(work.smoothed_scan(1)))
        tips = [reconstruct(scan, start, threshold) for scan in scans]
    else:
        points = image_peaks(fine, work.fine_size())
        # halves by lines, so that a tip that changed during the scan shows
        middle = fine.shape[0] // 2
        halves = (points[points[:, 0] < middle], points[points[:, 0] >= middle])
        tips = [reconstruct(fine, start, threshold, points=half) for half in halves]
    heights, pixel = work.settings.heights, work.fine_pixel
    return np.array(
        [[section(work.unrounded(t), h, pixel).diameter for h in heights] for t in tips]
    )


def _errors(
    work: _Work,
    tip: NDArray[np.float64],
    pixel: tuple[float, float],
    sections: tuple[Section, Section],
    parts: NDArray[np.float64],
) -> tuple[float, float]:
    """Return the standard errors of the diameters, m."""
    grid = _GRID_ERROR * max(work.pixel)
    errors = []
    for part, at in zip(parts.T, sections, strict=True):
        higher = section(tip, at.height + work.left_noise, pixel).diameter
        split = np.ptp(part) / 2
        errors.append(float(np.sqrt(split**2 + grid**2 + (higher - at.diameter) ** 2)))
    return errors[0], errors[1]


def _without_features(work: _Work, relief: float) -> TipEstimate:
    """Return what an image gives that shows no tip."""
    low, high = (Section(height, np.nan, np.nan, 0) for height in work.settings.heights)
    return TipEstimate(
        tip=np.zeros(work.size),
        pixel_size=work.pixel,
        sections=(low, high),
        diameter_errors=(np.nan, np.nan),
        part_diameters=np.full((2, 2), np.nan),
        half_angles=dict.fromkeys(("+x", "-x", "+y", "-y"), np.nan),
        apex_radius=ApexRadius(np.nan, np.nan, np.nan, False),
        apexes=0,
        certainty=np.zeros(work.scans[0].shape, bool),
        peaks=0,
        binding_peaks=0,
        relief=relief,
        noise=work.noise,
        prefilter=0.0,
        threshold=0.0,
        sweep=None,
    )
