"""Make every frequency of two images count by what it says of their shift, and no more.

Where the spectrum of an image is P = S + N, signal and noise, the filter sqrt(S)/P makes the
correlation of two images the likelihood of their shift, but for a factor that only grows where
S/N is great (Hannan & Thomson, Biometrika 60 (1973) 469). A lattice is taken out of a periodic
specimen and handed out apart; what the detector adds to both images alike is known, so that it can
be taken out of their correlation. Images whose information is coarse come out coarser.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, Spectrum, forward, inverse
from ._fields import edge_taper, ring_index, ring_members
from ._spectra import PairSpectra, local_mean, ring_power

__all__ = ["Band", "Whitened", "whiten"]

# Above 0.25 cycles/px lies less than this share of the information: half the pixels do.
_FINE_SHARE = 0.15
_LEAST_COARSE = 64
# The notches that take a lattice out reach this far in the image (px, standard deviation), and
# ring from its edges, which this share at each end keeps out.
_NOTCH_PX = 16.0
_EDGE = 0.12
# Bands of frequencies by their coherence, the square root of the shares of signal.
_COHERENCE_EDGES = (0.02, 0.4, 0.7, 0.9, 1.01)
_LEAST_BINS = 50


@dataclass(frozen=True)
class Band:
    """Two images of some frequencies, whitened.

    Parameters
    ----------
    first, second : ndarray of float32, shape (rows, columns)
        Zero mean, unit variance.
    bandwidth : float
        The number of independent values among n pixels is n times this.
    """

    first: Image
    second: Image
    bandwidth: float


@dataclass(frozen=True)
class Whitened:
    """Two images, whitened.

    Parameters
    ----------
    whole : Band
        All frequencies; without its lattice if the specimen is periodic.
    pattern : ndarray of float32, shape (rows, columns), or None
        What the detector's own pattern adds to the correlation of the two, shift zero in the
        first pixel.
    lattice : Band or None
        The lattice, if the specimen is periodic.
    scale : ndarray, shape (2,)
        Rows and columns of the images as taken for one of these.
    """

    whole: Band
    pattern: Image | None
    lattice: Band | None
    scale: NDArray[np.float64]
    _filtered: list[Spectrum]
    _signal_share: list[NDArray[np.float64]]
    _rings: NDArray[np.intp]

    def bands(self) -> list[Band]:
        """The frequencies apart by their signal/noise, the least of it first."""
        coherence = np.sqrt(self._signal_share[0] * self._signal_share[1])
        coherence[0] = 0.0
        members = np.bincount(self._rings.ravel(), minlength=coherence.size)
        found = []
        for low, high in pairwise(_COHERENCE_EDGES):
            chosen = (coherence >= low) & (coherence < high)
            if members[chosen].sum() < _LEAST_BINS:
                continue
            passing = chosen.astype(np.float32)[self._rings]
            shares = [np.where(chosen, share, 0.0) for share in self._signal_share]
            spectra = [spectrum * passing for spectrum in self._filtered]
            band, _ = _band(spectra, self.whole.first.shape, _bandwidth(shares, self._rings))
            found.append(band)
        return found


def whiten(fixed: Image, moving: Image) -> Whitened:
    """Whiten two images of equal shape."""
    pair = PairSpectra.of(fixed, moving)
    shape = _resolution(pair, fixed.shape)
    rings = _cropped(pair.rings, shape)
    lines = _cropped(pair.without_lines(), shape)
    filters = []
    for power, share in zip(pair.ring_power, pair.signal_share, strict=True):
        table = np.sqrt(share / power).astype(np.float32)
        table[0] = 0.0
        filters.append(table[rings] * lines)
    filtered = [_cropped(s, shape) * f for s, f in zip(pair.spectra, filters, strict=True)]
    shares = list(pair.signal_share)
    bandwidth = _bandwidth(shares, rings)
    lattice = None
    if pair.periodic:
        lattice, _ = _band(filtered, shape, bandwidth)
        spectra, passing = _without_lattice(filtered, _cropped(_summits(pair), shape), shape)
    else:
        excess = np.where(pair.spots, pair.excess, np.float32(1.0))
        passing = [1.0 / np.sqrt(_cropped(excess, shape))] * 2
        spectra = [s * p for s, p in zip(filtered, passing, strict=True)]
    whole, scales = _band(spectra, shape, bandwidth)
    pattern = None
    level = pair.pattern()
    if level > 0.0:
        product = level * (filters[0] * filters[1] * passing[0] * passing[1])
        pattern = inverse((product / np.float32(np.prod(scales))).astype(np.complex64), shape)
    return Whitened(
        whole=whole,
        pattern=pattern,
        lattice=lattice,
        scale=np.array(fixed.shape) / np.array(shape),
        _filtered=filtered,
        _signal_share=shares,
        _rings=rings,
    )


def _resolution(pair: PairSpectra, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Half the pixels each way if what they leave out says little, else all."""
    if pair.periodic or min(shape) < 2 * _LEAST_COARSE:
        return shape
    members = np.bincount(pair.rings.ravel(), minlength=pair.count + 1)
    said = pair.signal_share[0] * pair.signal_share[1] * members
    if said[pair.count // 2 :].sum() > _FINE_SHARE * said.sum():
        return shape
    return tuple(n // 4 * 2 for n in shape)


def _cropped(half: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The bins of a half spectrum that one of an image of `shape` has."""
    rows, columns = shape[0], shape[1] // 2 + 1
    if half.shape == (rows, columns):
        return half
    return np.concatenate([half[: rows // 2, :columns], half[-(rows - rows // 2) :, :columns]])


def _band(
    spectra: list[Spectrum], shape: tuple[int, ...], bandwidth: float
) -> tuple[Band, list[float]]:
    """Band of two filtered spectra, and the standard deviations before they were made one."""
    images, scales = [], []
    for spectrum in spectra:
        image = inverse(spectrum, shape)
        image -= image.mean()
        scales.append(float(np.sqrt(np.mean(np.square(image)))) or 1.0)
        images.append(image / np.float32(scales[-1]))
    return Band(images[0], images[1], bandwidth), scales


def _bandwidth(shares: list[NDArray[np.float64]], rings: NDArray[np.intp]) -> float:
    """Share of independent values: of whitened images a bin has the power that it is let pass."""
    members = np.bincount(rings.ravel(), minlength=shares[0].size)
    first, second = shares
    joint = (first * second * members).sum() * members.sum()
    return float((first * members).sum() * (second * members).sum() / joint)


def _summits(pair: PairSpectra) -> NDArray[np.bool_]:
    """The strongest bin of each spot of a lattice."""
    from scipy.ndimage import maximum_filter

    strength = np.abs(pair.spectra[0]) * np.abs(pair.spectra[1])
    return pair.spots & (strength >= maximum_filter(strength, 5, mode="nearest"))


def _without_lattice(
    filtered: list[Spectrum], summits: NDArray[np.bool_], shape: tuple[int, ...]
) -> tuple[list[Spectrum], list[Image]]:
    """Take a lattice out of two images; return their spectra and what passed of each bin."""
    from scipy.ndimage import gaussian_filter

    widths = [n / (2.0 * np.pi * _NOTCH_PX) for n in shape]
    blurred = np.asarray(gaussian_filter(summits.astype(np.float32), widths, mode="nearest"))
    # a lone bin is to be taken out whole
    notched = np.clip(1.0 - 2.0 * np.pi * widths[0] * widths[1] * blurred, 0.0, 1.0)
    notched = notched.astype(np.float32)
    sides = [edge_taper(n, 0.5 * _EDGE) * (edge_taper(n, _EDGE) > 0.999) for n in shape]
    inside = (sides[0][:, None] * sides[1][None, :]).astype(np.float32)
    rings, _ = ring_index(shape)
    members = ring_members(shape)
    spectra, passing = [], []
    for spectrum in filtered:
        rest = forward(inverse(spectrum * notched, shape) * inside)
        power = np.square(rest.real) + np.square(rest.imag)
        typical = ring_power(power, rings, members).astype(np.float32)[rings]
        flattening = 1.0 / np.maximum(np.float32(1.0), 0.5 * local_mean(power) / typical)
        spectra.append(rest * flattening)
        passing.append(notched * flattening * np.float32(np.sqrt(np.mean(np.square(inside)))))
    return spectra, passing
