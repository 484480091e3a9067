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

from ._fft import Image, Spectrum, forward, inverse, trimmed_length
from ._search import edge_taper, inner, overlap_slices, ring_index, zero_mean_correlation

__all__ = ["Refinement", "refine"]

_TAPER = 0.12
_PASSES = 2
_NEWTON_STEPS = 6
_GREATEST_COHERENCE = 0.995
_BAND_LINES = 16
# A scanned image is sampled at points: what is finer than a pixel folds back, mostly to the
# highest frequencies, and does not move with the specimen there (cycles/px; on simulated and
# real fields 0.3 to 0.35 gives the least error).
_GREATEST_FREQUENCY = 0.33
# Nothing is known better than this (px): what aliasing is left below that frequency.
_FLOOR_PX = 4e-3


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


@dataclass(frozen=True)
class _Weighting:
    """Weights of the half spectrum (bins, flat) and its angular frequencies, rad/px."""

    weight: NDArray[np.float32]
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]


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
    ncc = zero_mean_correlation(inverse(first, a.shape), inverse(second, a.shape))
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
    rows, columns = np.nonzero(weight)
    omega = np.stack([angular[0][rows, 0], angular[1][0, columns]]).astype(np.float64)
    terms = (cross[rows, columns] * weight[rows, columns]).astype(np.complex128)
    curvature = np.zeros((2, 2))
    for _ in range(_NEWTON_STEPS):
        turned = terms * np.exp(1j * (fraction[0] * omega[0] + fraction[1] * omega[1]))
        curvature = np.array([[np.sum(i * j * turned.real) for j in omega] for i in omega])
        if np.linalg.det(curvature) <= 0.0 or np.trace(curvature) <= 0.0:
            break
        step = np.linalg.solve(curvature, [-np.sum(i * turned.imag) for i in omega])
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
    bands = _scatter_between_bands(first, second, weight, angular, shape)
    excess = np.sqrt(np.maximum(1.0, np.diag(bands) / np.diag(scatter)))
    scatter *= np.outer(excess, excess)
    inverse = np.linalg.inv(curvature)
    return inverse @ scatter @ inverse + _FLOOR_PX**2 * np.eye(2)


def _scatter_between_bands(
    first: Spectrum,
    second: Spectrum,
    weight: NDArray[np.float32],
    angular: list[NDArray[np.float32]],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Variance of the gradient as bands of scan lines show it."""
    half = np.sqrt(weight)
    half[:, 1:] *= np.float32(np.sqrt(0.5))
    filtered = [spectrum * half for spectrum in (first, second)]
    a, b = (inverse(spectrum, shape) for spectrum in filtered)
    lines = []
    for omega in angular:
        da, db = (inverse(1j * omega * s, shape) for s in filtered)
        lines.append(0.5 * (np.einsum("ij,ij->i", da, b) - np.einsum("ij,ij->i", a, db)))
    scores = np.stack(lines, axis=1).astype(np.float64) * (shape[0] * shape[1])
    bands = max(4, shape[0] // _BAND_LINES)
    sums = np.add.reduceat(scores, np.linspace(0, shape[0], bands, endpoint=False).astype(int))
    return sums.T @ sums * (bands / (bands - 1))
