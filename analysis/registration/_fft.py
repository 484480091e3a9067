"""The transforms of registration: single precision, one thread, scipy imported on first use.

The same pixels give the same bits wherever they are analysed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Image",
    "Spectrum",
    "correlate",
    "down",
    "fast_length",
    "forward",
    "inverse",
    "trimmed_length",
]

Image = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


def forward(image: Image) -> Spectrum:
    """Half spectrum of a real image, shape (rows, columns // 2 + 1)."""
    from scipy import fft

    return np.asarray(fft.rfft2(image, workers=1), dtype=np.complex64)


def inverse(spectrum: Spectrum, shape: tuple[int, ...]) -> Image:
    """Real image of a half spectrum."""
    from scipy import fft

    return np.asarray(fft.irfft2(spectrum, s=shape, workers=1), dtype=np.float32)


def down(spectrum: Spectrum) -> Spectrum:
    """Transform the columns of a spectrum back: the spectrum of each line."""
    from scipy import fft

    return np.asarray(fft.ifft(spectrum, axis=0, workers=1), dtype=np.complex64)


def fast_length(length: int) -> int:
    """Least length >= `length` whose transform is fast."""
    from scipy import fft

    return int(fft.next_fast_len(length, real=True) or length)


def trimmed_length(length: int) -> int:
    """Greatest length <= `length` whose transform is fast."""
    from scipy import fft

    return int(fft.prev_fast_len(length, real=True) or length)


def correlate(first: Image, second: Image, reach: tuple[int, int]) -> Image:
    """Sum over the overlap of first(p + d) second(p), for all |d| <= reach.

    Returns
    -------
    ndarray, shape (2 reach + 1)
        The shift zero is in the middle.
    """
    from scipy import fft

    size = [fast_length(n + r) for n, r in zip(first.shape, reach, strict=True)]
    spectra = []
    for image in (first, second):
        half = fft.rfft(image, n=size[1], axis=1, workers=1)
        spectra.append(np.asarray(fft.fft(half, n=size[0], axis=0, workers=1, overwrite_x=True)))
    product = spectra[0]
    np.multiply(product, np.conj(spectra[1]), out=product)
    half = np.asarray(fft.ifft(product, axis=0, workers=1, overwrite_x=True))
    half = np.concatenate([half[size[0] - reach[0] :], half[: reach[0] + 1]])
    full = np.asarray(fft.irfft(half, n=size[1], axis=1, workers=1), dtype=np.float32)
    return np.concatenate([full[:, size[1] - reach[1] :], full[:, : reach[1] + 1]], axis=1)
