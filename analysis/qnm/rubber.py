"""Where is the rubber, and how stiff is it?

In an impact copolymer soft domains of ethylene-propylene rubber, with inclusions of polyethylene in
them, lie in a matrix of polypropylene (Bruker application note 155, fig. 1a); the note's fig. 1b is
the distribution of the DMT modulus over the rubber. The moduli differ by an order of magnitude, so
a threshold on the logarithm of the modulus (Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979)) tells
them apart. Pixels at a domain's edge feel both materials and are left out; pixels of a domain are
not independent, so the error of the median comes from the domains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .channels import BINS, as_image

__all__ = ["Rubber", "find_rubber", "segment"]

_BLUR = 1.5  # bins of a histogram: few pixels make it rough
_SMOOTH = 3  # pixels: a median over so many takes single wild pixels away
_LEAST_DOMAIN = 24  # pixels; smaller ones are noise, or all edge
# Density of pixels in the valley between two materials over that of the lower peak: one material
# cut in two has 1.
_DEEPEST = 0.5
_LEAST_SHARE = 0.01  # of the pixels that the rarer material has at least
_RANGE = (0.5, 99.5)
_QUARTILES = (25.0, 50.0, 75.0)


@dataclass(frozen=True, eq=False)
class Rubber:
    """The rubber of an image.

    Parameters
    ----------
    threshold : float
        Modulus that parts rubber from matrix, in the unit of the image.
    area_fraction : float
        Share of the pixels within the outlines of domains, inclusions with them.
    inclusion_fraction : float
        Share of inclusions in the domains, their edges left out.
    domains : int
        How many there are.
    diameter : float
        Median over the domains of the diameter of a circle as large, pixels.
    modulus : float
        Median over the pixels within the rubber, in the unit of the image.
    modulus_stderr : float
        Of it, from the scatter of the domains; NaN for less than two.
    quartiles : tuple of float
        Of the pixels, in the unit of the image.
    counts : ndarray of int, shape (64,)
        Pixels of the rubber in equal bins of log10(modulus); what lies beyond them is in the
        outermost.
    log_range : tuple of float
        log10 of the modulus at both ends of the bins.
    """

    threshold: float
    area_fraction: float
    inclusion_fraction: float
    domains: int
    diameter: float
    modulus: float
    modulus_stderr: float
    quartiles: tuple[float, float]
    counts: NDArray[np.int64]
    log_range: tuple[float, float]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (65,), in the unit of the image."""
        return np.logspace(*self.log_range, self.counts.size + 1)


def segment(modulus: ArrayLike) -> tuple[NDArray[np.bool_], float]:
    """Tell soft pixels from stiff ones.

    Parameters
    ----------
    modulus : array_like, shape (lines, points)
        Any unit; pixels that are not above 0 were not fitted and count as stiff.

    Returns
    -------
    soft : ndarray of bool, shape (lines, points)
    threshold : float
        In the unit of the modulus.

    Raises
    ------
    ValueError
        There are no two materials: says what is there instead.
    """
    logarithm = _logarithm(as_image(modulus, "the modulus"))
    threshold = _parted(logarithm.ravel())
    return logarithm < threshold, 10.0**threshold


def find_rubber(modulus: ArrayLike) -> Rubber:
    """Find the rubber domains of an image and the distribution of their modulus.

    Parameters
    ----------
    modulus : array_like, shape (lines, points)
        DMT modulus.

    Raises
    ------
    ValueError
        There are no two materials, or no domain is large enough.
    """
    array = as_image(modulus, "the modulus")
    logarithm = _logarithm(array)
    threshold = _parted(logarithm.ravel())
    soft = logarithm < threshold
    domains = np.asarray(ndimage.binary_fill_holes(soft), dtype=np.bool_)
    labels = _labels(domains)
    sizes = np.bincount(labels.ravel())
    large = np.flatnonzero(sizes >= _LEAST_DOMAIN)
    large = large[large > 0]
    domains = np.isin(labels, large)
    rubber = domains & soft & ~_inclusions(logarithm, domains)
    inside = _core(rubber) & np.isfinite(array) & (array > 0)
    if not inside.any():
        raise ValueError("no rubber domain is wider than its edges: scan a smaller field")
    values = np.log10(array[inside])
    low, high = np.percentile(values, _RANGE)
    span = (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)
    counts, _ = np.histogram(np.clip(values, *span), bins=BINS, range=span)
    first, median, third = 10.0 ** np.percentile(values, _QUARTILES)
    return Rubber(
        threshold=10.0**threshold,
        area_fraction=float(domains.mean()),
        inclusion_fraction=float(1 - rubber[_core(domains)].mean()),
        domains=int(large.size),
        diameter=float(np.median(np.sqrt(4 / math.pi * sizes[large]))),
        modulus=float(median),
        modulus_stderr=_stderr(np.log10(array), inside, labels, float(median)),
        quartiles=(float(first), float(third)),
        counts=counts,
        log_range=span,
    )


def _logarithm(modulus: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 without wild pixels; those without a fit count as stiff."""
    fitted = np.isfinite(modulus) & (modulus > 0)
    if fitted.mean() < 0.5:
        raise ValueError(
            f"the modulus is above 0 in {fitted.mean():.0%} of the pixels only: no force curves "
            "were fitted there; look at setpoint and calibration"
        )
    logarithm = np.log10(np.where(fitted, modulus, np.nanmax(modulus)))
    return ndimage.median_filter(logarithm, _SMOOTH, mode="nearest")


def _parted(values: NDArray[np.float64]) -> float:
    """Threshold between two materials; a ValueError where there is only one."""
    from skimage.filters import threshold_otsu

    values = np.clip(values, *np.percentile(values, _RANGE))
    threshold = float(threshold_otsu(values))
    soft = values < threshold
    rarer = min(soft.mean(), 1 - soft.mean())
    if rarer < _LEAST_SHARE:
        raise ValueError(f"one material only: the other would have {rarer:.1%} of the pixels")
    valley = _valley(values, threshold)
    if valley > _DEEPEST:
        raise ValueError(
            f"one material only: where two would part, pixels are {valley:.0%} as many as at the "
            f"lower peak, {_DEEPEST:.0%} at most tell them"
        )
    return threshold


def _valley(values: NDArray[np.float64], threshold: float) -> float:
    """Lowest density between the peaks on both sides of the threshold over that of the lower."""
    counts, edges = np.histogram(values, bins=BINS)
    density = ndimage.gaussian_filter1d(counts.astype(np.float64), _BLUR, mode="constant")
    cut = int(np.clip(np.searchsorted(edges, threshold) - 1, 1, BINS - 1))
    left, right = int(np.argmax(density[:cut])), cut + int(np.argmax(density[cut:]))
    lower = min(density[left], density[right])
    return float(density[left : right + 1].min() / lower) if lower > 0 else 1.0


def _inclusions(logarithm: NDArray[np.float64], domains: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell polyethylene from rubber within the domains, away from their edges."""
    core = _core(domains)
    if core.sum() < _LEAST_DOMAIN:
        return np.zeros_like(domains)
    try:
        threshold = _parted(logarithm[core])
    except ValueError:  # no inclusions
        return np.zeros_like(domains)
    return domains & (logarithm > threshold)


def _core(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels whose neighbours are all in the mask."""
    return np.asarray(ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1), dtype=np.bool_)


def _labels(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the connected regions, 0 for none."""
    from skimage.measure import label

    return np.asarray(label(mask, connectivity=1), dtype=np.int64)


def _stderr(
    logarithm: NDArray[np.float64],
    inside: NDArray[np.bool_],
    labels: NDArray[np.int64],
    median: float,
) -> float:
    """Standard error of the median from the domains' own medians, weighted by their pixels."""
    names, sizes = np.unique(labels[inside], return_counts=True)
    if names.size < 2:
        return math.nan
    medians = ndimage.median(np.where(inside, logarithm, np.nan), labels * inside, names)
    weights = sizes / sizes.sum()
    scatter = np.asarray(medians) - math.log10(median)
    variance = float(weights**2 @ scatter**2) * names.size / (names.size - 1)
    return float(math.log(10.0) * median * math.sqrt(variance))
