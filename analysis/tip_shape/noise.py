"""How large is the noise of an image of a tip sample, and how little smoothing does away with it?

Noise moves the image's maxima, and a maximum that is not where the tip's apex was makes the tip
look sharper than it is. It is measured where the image is the tip's own shape and so smooth: as
what a quadratic leaves about the maxima. A light Gaussian prefilter lowers it. The filter rounds
a lone feature's image, which is the tip, by its own kernel, and that is undone in the tip
(Van Cittert's iteration; Jansson, Deconvolution of Images and Spectra, 1997, ch. 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

__all__ = ["noise_between", "noise_of", "smoothed", "step_noise", "unsmoothed"]

_PEAK_FILTER = 1.0  # pixels: enough to tell features from single noisy pixels
# Side of the square (pixels) and quantile over the maxima: a small square holds the top of a sharp
# tip, a large one averages better; the low quantile passes over maxima where features touch.
_SQUARES = ((3, 0.5), (5, 0.25))
_MAD = 1.4826  # standard deviation of normal noise over its median absolute deviation
_TURNS = 4  # of Van Cittert: the rest is below 0.1 nm for a filter of 1 pixel and a 30 nm tip


def smoothed(image: NDArray[np.float64], pixels: float) -> NDArray[np.float64]:
    """Return an image under a Gaussian of this standard deviation (pixels; 0 leaves it)."""
    return ndimage.gaussian_filter(image, pixels, mode="nearest") if pixels > 0 else image


def unsmoothed(tip: NDArray[np.float64], pixels: float) -> NDArray[np.float64]:
    """Return a tip as it was before `smoothed` rounded it, apex 0, m."""
    if pixels <= 0:
        return tip
    middle = (tip.shape[0] // 2, tip.shape[1] // 2)
    border = int(np.ceil(4 * pixels))
    sharp = tip.copy()
    for _ in range(_TURNS):
        wide = np.pad(sharp, border, mode="reflect", reflect_type="odd")
        round_ = smoothed(wide, pixels)[border:-border, border:-border]
        sharp += tip - (round_ - round_[middle])
        sharp -= sharp[middle]
    return np.minimum(sharp, 0.0)


def _left_by_quadratic(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the sum of squares that a quadratic leaves in the square about each pixel."""
    offset = np.arange(side) - side // 2
    y, x = (a.ravel().astype(float) for a in np.meshgrid(offset, offset, indexing="ij"))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    left = ndimage.uniform_filter(image**2, side) * side**2
    for column in basis.T:
        left -= ndimage.correlate(image, column.reshape(side, side)) ** 2
    return np.maximum(left, 0.0)


def noise_of(image: NDArray[np.float64]) -> float:
    """Return the standard deviation of the noise of single pixels, m.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Height, m.

    Returns
    -------
    float
        The least of two squares about the maxima.
    """
    light = smoothed(image, _PEAK_FILTER)
    peaks = light == ndimage.maximum_filter(light, size=5)
    peaks[:3], peaks[-3:], peaks[:, :3], peaks[:, -3:] = False, False, False, False
    if not peaks.any():
        return float(_MAD * np.median(np.abs(image - light)))
    flat = image - smoothed(image, 10.0)  # large heights would drown small sums of squares
    found = []
    for side, quantile in _SQUARES:
        free = side**2 - 6
        left = np.quantile(_left_by_quadratic(flat, side)[peaks], quantile)
        found.append(np.sqrt(left / special.chdtri(free, 1.0 - quantile)))
    return float(min(found))


def noise_between(trace: NDArray[np.float64], retrace: NDArray[np.float64]) -> float:
    """Return the standard deviation of one scan's noise from what two scans differ by, m."""
    difference = trace - retrace
    spread = np.median(np.abs(difference - np.median(difference)))
    return float(_MAD * spread / np.sqrt(2))


def step_noise(pixels: float) -> tuple[float, float]:
    """Return what a filter leaves of white noise: of a pixel, and of a step to the next one.

    Returns
    -------
    tuple of float
        Standard deviations over that of the noise before.
    """
    reach = int(np.ceil(4 * pixels)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    kernel[reach, reach] = 1.0
    kernel = smoothed(kernel, pixels)
    return float(np.linalg.norm(kernel)), float(np.linalg.norm(np.diff(kernel, axis=1, prepend=0)))
