"""By what fraction of a pixel do two overlapping fields differ? The fine half of `registration`.

The overlap of both images is windowed, the window moving with the specimen, and the shift
maximises the real part of the cross spectrum, each frequency weighted by the coherence
gamma²/(1 - gamma²) found in its ring (the maximum-likelihood weight of Knapp & Carter 1976,
table I). The covariance is the sandwich H⁻¹ J H⁻¹: H the curvature, J the variance of the gradient
found in the phases that remain; where its scatter between bands of scan lines is larger, as scan
jitter makes it, that counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, Spectrum, down, forward, trimmed_length
from ._fields import edge_taper, inner, overlap_slices, ring_index

__all__ = ["Refinement", "refine"]

_TAPER = 0.06
_PASSES = 2
_NEWTON_STEPS = 6
_GREATEST_COHERENCE = 0.999
_BAND_LINES = 16
# A scanned image is sampled at points: what is finer than a pixel folds back, mostly to the
# highest frequencies, and does not move with the specimen there (cycles/px; on simulated and
# real fields 0.3 to 0.35 gives the least error).
_GREATEST_FREQUENCY = 0.33
# Nothing is known better than this (px): what aliasing is left below that frequency.
_FLOOR_PX = 4e-3
# Scans whose lines disagree as noise would make them this rarely are distorted.
_CHANCE = 0.1
# A drift that hides in the noise of the slope is taken at so many times what the slope says.
_HIDDEN = 2.0
# A drift known from the two components of one sample: the 95 % interval of Student's t with two
# degrees of freedom is this many times that of a normal distribution.
_STUDENT_2 = 4.303 / 1.960


@dataclass(frozen=True)
class Refinement:
    """A shift to a fraction of a pixel.

    Parameters
    ----------
    shift : ndarray, shape (2,)
        (rows, columns), px.
    covariance : ndarray, shape (2, 2)
        px²; infinite where the overlap holds no structure.
    ncc : float
        Zero-mean normalised correlation of the windowed, aligned overlaps.
    """

    shift: NDArray[np.float64]
    covariance: NDArray[np.float64]
    ncc: float


def refine(fixed: Image, moving: Image, shift: NDArray[np.float64]) -> Refinement:
    """Refine a shift that is right to about a pixel.

    Parameters
    ----------
    fixed, moving : ndarray, shape (rows, columns)
        The images.
    shift : ndarray, shape (2,)
        (rows, columns), px.
    """
    whole = np.rint(shift).astype(int)
    a, b = _overlaps(fixed, moving, whole)
    fraction = shift - whole
    angular = [
        (2.0 * np.pi * np.fft.fftfreq(a.shape[0])).astype(np.float32)[:, None],
        (2.0 * np.pi * np.fft.rfftfreq(a.shape[1])).astype(np.float32)[None, :],
    ]
    rings, ring_count = ring_index(a.shape)
    first = forward(_windowed(a, np.zeros(2)))
    second = first
    weight = np.zeros(first.shape, np.float32)
    curvature = np.zeros((2, 2))
    for _ in range(_PASSES):
        second = forward(_windowed(b, fraction))
        cross = first * np.conj(second)
        weight = _coherence_weight(first, second, cross, fraction, angular, rings, ring_count)
        fraction, curvature = _newton(cross, weight, angular, fraction)
    if np.linalg.det(curvature) <= 0.0 or np.abs(fraction).max() > 2.0:
        return Refinement(shift.astype(float), np.diag([np.inf, np.inf]), 0.0)
    second *= _phase(-fraction, angular)
    covariance = _sandwich(first, second, weight, angular, curvature, a.shape)
    lines = _Lines.of(first, second, weight, angular, a.shape)
    covariance = lines.with_distortion(covariance, curvature, float(shift[0]))
    covariance += _FLOOR_PX**2 * np.eye(2)
    energies = _product(first, first) * _product(second, second)
    ncc = _product(first, second) / float(np.sqrt(energies)) if energies > 0.0 else 0.0
    return Refinement(whole + fraction, covariance, ncc)


def _overlaps(
    fixed: Image, moving: Image, whole: NDArray[np.int_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut the common part of both images, trimmed to lengths whose FFT is fast."""
    cuts: tuple[list[slice], list[slice]] = ([], [])
    for d, n in zip(whole, fixed.shape, strict=True):
        slices = overlap_slices(int(d), n)
        length = slices[0].stop - slices[0].start
        kept = trimmed_length(length)
        spare = (length - kept) // 2
        for cut, part in zip(cuts, slices, strict=True):
            cut.append(slice(part.start + spare, part.start + spare + kept))
    return fixed[tuple(cuts[0])], moving[tuple(cuts[1])]


def _windowed(image: NDArray[np.float32], offset: NDArray[np.float64]) -> NDArray[np.float32]:
    """Remove the plane under the window and apply it, moved by `offset` (rows, columns) px."""
    windows = [
        edge_taper(n, _TAPER, o).astype(np.float32)
        for n, o in zip(image.shape, offset, strict=True)
    ]
    rows, columns = (w / w.sum() for w in windows)
    places = [np.arange(n, dtype=np.float32) for n in image.shape]
    places = [p - np.sum(w * p) for p, w in zip(places, (rows, columns), strict=True)]
    profiles = [np.einsum("ij,j->i", image, columns), np.einsum("i,ij->j", rows, image)]
    mean = np.sum(rows * profiles[0])
    slopes = [
        np.sum(w * p * m) / np.sum(w * p * p)
        for w, p, m in zip((rows, columns), places, profiles, strict=True)
    ]
    flat = image - (mean + slopes[0] * places[0])[:, None] - (slopes[1] * places[1])[None, :]
    flat *= windows[0][:, None]
    flat *= windows[1][None, :]
    return flat


def _phase(fraction: NDArray[np.float64], angular: list[NDArray[np.float32]]) -> Spectrum:
    rows = np.exp(1j * fraction[0] * angular[0]).astype(np.complex64)
    columns = np.exp(1j * fraction[1] * angular[1]).astype(np.complex64)
    return rows * columns


def _coherence_weight(
    first: Spectrum,
    second: Spectrum,
    cross: Spectrum,
    fraction: NDArray[np.float64],
    angular: list[NDArray[np.float32]],
    rings: NDArray[np.int32],
    ring_count: int,
) -> NDArray[np.float32]:
    """Weight of each bin of the cross spectrum from the coherence of its ring."""
    aligned = (cross * _phase(fraction, angular)).real
    flat = rings.ravel()
    sums = (
        aligned,
        np.square(first.real) + np.square(first.imag),
        np.square(second.real) + np.square(second.imag),
    )
    totals = [_smooth(np.bincount(flat, v.ravel(), ring_count + 1)) for v in sums]
    members = _smooth(np.bincount(flat, minlength=ring_count + 1))
    power = np.sqrt(totals[1] * totals[2])
    power = np.where(power > 0.0, power, np.inf)
    coherence = np.clip(totals[0] / power, 0.0, _GREATEST_COHERENCE)
    # a ring of m bins shows |coherence| ~ 1/sqrt(m) by chance
    coherence[coherence * np.sqrt(members) < 3.0] = 0.0
    weight = coherence / (1.0 - coherence**2) * members / power
    weight[0] = 0.0
    weight[int(_GREATEST_FREQUENCY * 2 * ring_count) :] = 0.0
    table = (weight / max(float(weight.max()), 1e-30)).astype(np.float32)
    result = table[rings]
    result[:, 1:] *= 2.0  # the half spectrum stands for both halves
    return result


def _smooth(rings: NDArray[Any]) -> NDArray[np.float64]:
    """Share each ring (but the mean and the corners) with its neighbours, 1-2-1."""
    inner = rings[1:-1].astype(float)
    padded = np.concatenate([inner[:1], inner, inner[-1:]])
    result = rings.astype(float)
    result[1:-1] = 0.25 * padded[:-2] + 0.5 * inner + 0.25 * padded[2:]
    return result


def _newton(
    cross: Spectrum,
    weight: NDArray[np.float32],
    angular: list[NDArray[np.float32]],
    fraction: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maximise sum w Re(C exp(i omega·d)) over d; return d and the curvature there."""
    terms = cross * weight
    rows, columns = angular[0][:, 0].astype(float), angular[1][0].astype(float)
    curvature = np.zeros((2, 2))
    for _ in range(_NEWTON_STEPS):
        turn = np.exp(1j * fraction[1] * columns)
        # moments of the columns' frequency, line by line; not by BLAS, whose sums depend on threads
        moments = [
            np.einsum("rc,c->r", terms, (columns**n * turn).astype(np.complex64)) for n in range(3)
        ]
        turn = np.exp(1j * fraction[0] * rows)
        sums = [[np.sum(rows**m * turn * moments[n]) for n in range(3)] for m in range(3)]
        curvature = np.real([[sums[2][0], sums[1][1]], [sums[1][1], sums[0][2]]])
        if np.linalg.det(curvature) <= 0.0 or np.trace(curvature) <= 0.0:
            break
        step = np.linalg.solve(curvature, [-sums[1][0].imag, -sums[0][1].imag])
        fraction = fraction + np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-5:
            break
    return fraction, curvature


def _sandwich(
    first: Spectrum,
    second: Spectrum,
    weight: NDArray[np.float32],
    angular: list[NDArray[np.float32]],
    curvature: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Covariance of the shift from the phases that remain between the aligned spectra."""
    rest = (first * np.conj(second)).imag * weight
    gradient = [omega * rest for omega in angular]
    scatter = np.array([[inner(g, h) for h in gradient] for g in gradient])
    # each bin of the half spectrum stands for two, and the window makes neighbours alike
    for length in shape:
        window = edge_taper(length, _TAPER)
        scatter *= np.mean(window**4) / np.mean(window**2) ** 2
    inverse = np.linalg.inv(curvature)
    return inverse @ scatter @ inverse


@dataclass(frozen=True)
class _Lines:
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
        weight: NDArray[np.float32],
        angular: list[NDArray[np.float32]],
        shape: tuple[int, ...],
    ) -> _Lines:
        """Take the criterion apart by lines: transforms down the lines, Parseval along them."""
        half = np.sqrt(weight)
        half[:, 1:] *= np.float32(np.sqrt(0.5))
        a, b, da, db = (
            down(spectrum * half * factor)
            for factor in (np.float32(1.0), 1j * angular[0])
            for spectrum in (first, second)
        )
        twice = np.full(weight.shape[1], 2.0, np.float32)
        twice[0] = 1.0
        gradient = [
            0.5 * (_along(da, b, twice).real - _along(a, db, twice).real),
            -_along(a, b, twice * angular[1][0]).imag,
        ]
        energy = _along(a, a, twice).real + _along(b, b, twice).real
        scores = np.stack(gradient, axis=1).astype(np.float64) * shape[0]
        return cls(scores, energy.astype(np.float64) / float(energy.sum()))

    def with_distortion(
        self, covariance: NDArray[np.float64], curvature: NDArray[np.float64], rows: float
    ) -> NDArray[np.float64]:
        """Covariance of the shift, the distortion of the scan included.

        Where bands of lines disagree more than noise lets them, as jitter makes them, that counts.
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
        bands = max(4, count // _BAND_LINES)
        sums = np.add.reduceat(rest, np.linspace(0, count, bands, endpoint=False).astype(int))
        scatter = inverse @ (sums.T @ sums) @ inverse * (bands / (bands - 2))
        excess = np.diag(scatter) / np.diag(covariance)
        distorted = _distorted(
            float(slope @ np.linalg.solve(covariance, slope)) * spread,
            float(excess.sum()) * (bands - 2),
            2 * (bands - 2),
        )
        # four components of drift in the square of the slope, half of one in that of their mean
        drift = float(slope @ slope) / 8.0
        if distorted:
            root = np.sqrt(np.maximum(1.0, excess))
            covariance = covariance * np.outer(root, root)
            drift += float(np.trace(covariance)) / spread / 8.0
            drift *= _STUDENT_2**2
        else:
            drift *= _HIDDEN
        return covariance + drift * rows**2 * np.eye(2)


def _product(a: Spectrum, b: Spectrum) -> float:
    """Sum of the products of the pixels of two images, from their half spectra."""
    twice = np.full(a.shape[1], 2.0, np.float32)
    twice[0] = 1.0
    return float(np.sum(_along(a, b, twice).real, dtype=np.float64))


def _along(a: Spectrum, b: Spectrum, weight: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Sum of a times conjugate b along each line."""
    return np.einsum("rc,rc,c->r", a, np.conj(b), weight)


def _distorted(slope_chi2: float, bands_chi2: float, freedom: int) -> bool:
    """Whether a slope (two degrees of freedom) or the scatter of bands is more than noise."""
    from scipy.special import chdtrc

    chance = min(np.exp(-0.5 * slope_chi2), float(chdtrc(freedom, bands_chi2)))
    return bool(chance < _CHANCE)
