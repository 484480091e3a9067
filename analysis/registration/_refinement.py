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
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, Spectrum, forward, trimmed_length
from ._fields import edge_taper, overlap_slices, ring_index, ring_members
from ._kernels import moments, products, ring_sums, scatter, tapered, weighted_cross
from ._lines import Lines

__all__ = ["Refinement", "refine"]

_TAPER = 0.06
_PASSES = 2
_NEWTON_STEPS = 6
_GREATEST_COHERENCE = 0.999
# A scanned image is sampled at points: what is finer than a pixel folds back, mostly to the
# highest frequencies, and does not move with the specimen there (cycles/px; on simulated and
# real fields 0.3 to 0.35 gives the least error).
_GREATEST_FREQUENCY = 0.33
# Nothing is known better than this (px): what aliasing is left below that frequency.
_FLOOR_PX = 3e-3


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
    bins = _bins(a.shape)
    first = forward(_windowed(a, np.zeros(2)))
    second = first
    kept = bins.of(first), bins.of(first)
    table, terms = np.zeros(0, np.float32), first
    curvature = np.zeros((2, 2))
    for _ in range(_PASSES):
        second = forward(_windowed(b, fraction))
        kept = kept[0], bins.of(second)
        table = _coherence_table(*kept, bins, fraction)
        terms = weighted_cross(*kept, table, bins.rings)
        fraction, curvature = _newton(terms, bins, fraction)
    if _determinant(curvature) <= 0.0 or np.abs(fraction).max() > 2.0:
        return Refinement(shift.astype(float), np.diag([np.inf, np.inf]), 0.0)
    covariance = _sandwich(terms, bins, fraction, curvature, a.shape) + _FLOOR_PX**2 * np.eye(2)
    amplitude = np.sqrt(table)[bins.rings]
    lines = Lines.of(
        kept[0] * amplitude,
        kept[1] * (amplitude * _phase(bins.turns(-fraction))),
        bins.rows,
        bins.columns,
    )
    covariance = lines.with_distortion(covariance, curvature, float(shift[0]))
    return Refinement(whole + fraction, covariance, _ncc(first, second, fraction, a.shape))


@dataclass(frozen=True)
class _Bins:
    """The columns of a half spectrum where bins count.

    Parameters
    ----------
    rings : ndarray of int, shape (rows, kept columns)
        Ring of each bin.
    members : ndarray, shape (count + 1,)
        Number of bins of each ring, in all columns.
    rows, columns : ndarray
        Angular frequencies, radians per px.
    """

    rings: NDArray[np.intp]
    members: NDArray[np.int_]
    rows: NDArray[Any]
    columns: NDArray[Any]

    def of(self, spectrum: Spectrum) -> Spectrum:
        """Those bins of a half spectrum."""
        return np.ascontiguousarray(spectrum[:, : self.columns.size])

    def turns(self, fraction: NDArray[np.float64]) -> tuple[Spectrum, Spectrum]:
        """Phase factors exp(i omega d) of the rows and of the columns."""
        return _turn(fraction[0], self.rows), _turn(fraction[1], self.columns)


@lru_cache(maxsize=16)
def _bins(shape: tuple[int, ...]) -> _Bins:
    rings, count = ring_index(shape)
    # the ring beyond the last is smoothed into it
    kept = int(np.searchsorted(rings[0], _rings_used(count), side="right"))
    return _Bins(
        rings=np.ascontiguousarray(rings[:, :kept]),
        members=ring_members(shape),
        rows=2.0 * np.pi * np.fft.fftfreq(shape[0]),
        columns=2.0 * np.pi * np.fft.rfftfreq(shape[1])[:kept],
    )


def _rings_used(count: int) -> int:
    return int(_GREATEST_FREQUENCY * 2 * count)


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
        edge_taper(n, _TAPER, float(o)).astype(np.float32)
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
    return tapered(image, mean + slopes[0] * places[0], slopes[1] * places[1], *windows)


def _turn(fraction: float, angular: NDArray[Any]) -> Spectrum:
    return np.exp(1j * fraction * angular).astype(np.complex64)


def _phase(turns: tuple[Spectrum, Spectrum]) -> Spectrum:
    return turns[0][:, None] * turns[1][None, :]


def _coherence_table(
    first: Spectrum, second: Spectrum, bins: _Bins, fraction: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weight of the bins of each ring from its coherence, shape (count + 1,)."""
    count = bins.members.size - 1
    sums = ring_sums(first, second, *bins.turns(fraction), bins.rings, count + 1)
    totals = [_smooth(values) for values in sums]
    members = _smooth(bins.members)
    power = np.sqrt(totals[1] * totals[2])
    power = np.where(power > 0.0, power, np.inf)
    coherence = np.clip(totals[0] / power, 0.0, _GREATEST_COHERENCE)
    # a ring of m bins shows |coherence| ~ 1/sqrt(m) by chance
    coherence[coherence * np.sqrt(members) < 3.0] = 0.0
    weight = coherence / (1.0 - coherence**2) * members / power
    weight[0] = 0.0
    weight[_rings_used(count) :] = 0.0
    return (weight / max(float(weight.max()), 1e-30)).astype(np.float32)


def _smooth(rings: NDArray[Any]) -> NDArray[np.float64]:
    """Share each ring (but the mean and the corners) with its neighbours, 1-2-1."""
    inner = rings[1:-1].astype(float)
    padded = np.concatenate([inner[:1], inner, inner[-1:]])
    result = rings.astype(float)
    result[1:-1] = 0.25 * padded[:-2] + 0.5 * inner + 0.25 * padded[2:]
    return result


def _newton(
    terms: Spectrum, bins: _Bins, fraction: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maximise sum Re(terms exp(i omega·d)) over d; return d and the curvature there."""
    curvature = np.zeros((2, 2))
    for _ in range(_NEWTON_STEPS):
        # moments of the columns' frequency, line by line; not by BLAS, whose sums depend on threads
        lines = moments(terms, np.exp(1j * fraction[1] * bins.columns), bins.columns)
        lines *= np.exp(1j * fraction[0] * bins.rows)
        sums = [(lines * bins.rows**m).sum(axis=1) for m in range(3)]
        curvature = np.real([[sums[2][0], sums[1][1]], [sums[1][1], sums[0][2]]])
        if _determinant(curvature) <= 0.0 or np.trace(curvature) <= 0.0:
            break
        step = np.linalg.solve(curvature, [-sums[1][0].imag, -sums[0][1].imag])
        fraction = fraction + np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-5:
            break
    return fraction, curvature


def _determinant(matrix: NDArray[np.float64]) -> float:
    return float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])


def _sandwich(
    terms: Spectrum,
    bins: _Bins,
    fraction: NDArray[np.float64],
    curvature: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Covariance of the shift from the phases that remain between the aligned spectra."""
    spread = scatter(terms, *bins.turns(fraction), bins.rows, bins.columns)
    # each bin of the half spectrum stands for two, and the window makes neighbours alike
    for length in shape:
        window = edge_taper(length, _TAPER)
        spread *= np.mean(window**4) / np.mean(window**2) ** 2
    inverse = np.linalg.inv(curvature)
    return inverse @ spread @ inverse


def _ncc(
    first: Spectrum, second: Spectrum, fraction: NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    """Normalised correlation of two windowed images, the second moved by a fraction of a pixel."""
    rows = _turn(-fraction[0], 2.0 * np.pi * np.fft.fftfreq(shape[0]))
    columns = _turn(-fraction[1], 2.0 * np.pi * np.fft.rfftfreq(shape[1]))
    both, own, other = products(first, second * _phase((rows, columns)))
    return both / float(np.sqrt(own * other)) if own * other > 0.0 else 0.0
