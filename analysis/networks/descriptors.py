"""What an image is like, in numbers that no network has learnt.

A network sees what tells its classes apart and is blind to much else: an image by a broken tip may
lie among the training images in its embedding. So levels, roughness, spectrum, repetition and
disturbed lines are looked at as well: a worn tip blurs, a double one repeats every edge, a lost
feedback leaves lines. None of them depends on how the network was trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["descriptors", "filled", "names_of", "scales_of"]

Floats = NDArray[np.float64]

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BANDS = 6  # of the spectrum, evenly spaced in the logarithm of the frequency
_COARSEST = 2.0  # periods in the image, where the lowest band begins
_SMOOTH = 1.5  # pixels; what is finer is looked through for repetitions
_OWN = 3  # pixels around 0 within which an image is always like itself
_LEAST = 1e-6  # of the scale of a channel: what is less counts as nothing


def names_of(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of `descriptors`."""
    single = (
        *(f"quantile {q:g}" for q in _QUANTILES),
        "step along lines",
        "step across lines",
        *(f"spectrum {band}" for band in range(_BANDS)),
        "repetition",
        "line noise",
        "largest jump",
        "repeated values",
    )
    return tuple(f"{channel}: {name}" for channel in channels for name in single)


def scales_of(images: ArrayLike) -> Floats:
    """Return the typical size of each channel: the median of its absolute values.

    Parameters
    ----------
    images : array_like, shape (n, lines, points, channels)
        Finite.

    Returns
    -------
    ndarray, shape (channels,)
    """
    stack = np.abs(np.asarray(images, dtype=np.float64))
    scales = np.median(stack, axis=(0, 1, 2))
    least = np.maximum(stack.mean(axis=(0, 1, 2)), np.finfo(float).tiny)
    return np.asarray(np.where(scales > 0.0, scales, least), dtype=np.float64)


def filled(image: ArrayLike) -> tuple[NDArray[np.float32], float]:
    """Replace what is missing by the median of its channel.

    Parameters
    ----------
    image : array_like, shape (lines, points, channels)
        NaN or infinite where nothing was measured.

    Returns
    -------
    image : ndarray of float32
        Finite.
    missing : float
        Share of the pixels of the worst channel.
    """
    values = np.array(image, dtype=np.float32)
    known = np.isfinite(values)
    missing = 1.0 - float(known.mean(axis=(0, 1)).min())
    if missing > 0.0:
        for channel in range(values.shape[-1]):
            there = known[..., channel]
            median = np.median(values[..., channel][there]) if there.any() else 0.0
            values[..., channel][~there] = median
    return values, missing


def descriptors(images: ArrayLike, scales: Floats) -> Floats:
    """Describe images.

    Parameters
    ----------
    images : array_like, shape (n, lines, points, channels)
        Finite.
    scales : ndarray, shape (channels,)
        Of `scales_of`.

    Returns
    -------
    ndarray, shape (n, columns)
        See `names_of`; an arsinh keeps few wild pixels from ruling the columns.
    """
    stack = np.arcsinh(np.asarray(images, dtype=np.float64) / scales)
    return np.array([np.concatenate([_single(c) for c in np.moveaxis(i, -1, 0)]) for i in stack])


def _single(image: Floats) -> Floats:
    across, along = np.diff(image, axis=0), np.diff(image, axis=1)
    rows = np.diff(np.median(image, axis=1))
    spread = max(float(np.std(image)), _LEAST)
    return np.array(
        [
            *np.quantile(image, _QUANTILES),
            _log(np.std(along)),
            _log(np.std(across)),
            *_spectrum(image),
            _repetition(image),
            _log(np.median(np.abs(rows))),
            _log(np.max(np.abs(rows)) / spread),
            _log(np.mean(along == 0.0)),
        ]
    )


def _log(value: float | np.floating) -> float:
    return float(np.log10(max(float(value), _LEAST)))


def _spectrum(image: Floats) -> Floats:
    """Return the logarithm of the mean power in each band of spatial frequency."""
    lines, points = image.shape
    windowed = (image - image.mean()) * np.hanning(lines)[:, np.newaxis] * np.hanning(points)
    power = np.abs(np.fft.rfft2(windowed)) ** 2 / image.size**2
    y, x = np.fft.fftfreq(lines)[:, np.newaxis], np.fft.rfftfreq(points)
    frequency = np.hypot(y, x)
    edges = np.geomspace(_COARSEST / min(lines, points), 0.5, _BANDS + 1)
    band = np.digitize(frequency, edges).ravel()
    inside = (band >= 1) & (band <= _BANDS)
    count = np.bincount(band[inside], minlength=_BANDS + 1)[1:]
    total = np.bincount(band[inside], power.ravel()[inside], minlength=_BANDS + 1)[1:]
    return np.log10(total / np.maximum(count, 1) + _LEAST**2)


def _repetition(image: Floats) -> float:
    """Return how much the fine detail is like itself elsewhere: a double tip repeats it."""
    from scipy.ndimage import gaussian_filter

    detail = image - gaussian_filter(image, _SMOOTH, mode="nearest")
    detail -= detail.mean()
    likeness = np.fft.irfft2(np.abs(np.fft.rfft2(detail)) ** 2, detail.shape)
    if likeness[0, 0] <= 0.0:
        return 0.0
    lines, points = (min(side // 4, 32) for side in image.shape)
    near = np.fft.fftshift(likeness / likeness[0, 0])
    middle = image.shape[0] // 2, image.shape[1] // 2
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    away = np.hypot(y - middle[0], x - middle[1]) > _OWN
    reach = (np.abs(y - middle[0]) <= lines) & (np.abs(x - middle[1]) <= points)
    found = near[away & reach]
    return float(found.max()) if found.size else 0.0
