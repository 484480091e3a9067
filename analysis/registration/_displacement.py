"""By how much do two nearly aligned images differ, tile by tile?

The kernel of `drift` and of `similarity`. One image is resampled onto the other; both are filtered
so that each spatial frequency counts by the coherence found there (the maximum-likelihood weight
of Knapp & Carter, IEEE Trans. ASSP 24 (1976) 320, table I); then the difference of the two is
projected on the mean of their gradients (Lucas & Kanade 1981, with the symmetric gradient of
Benhimane & Malis, IEEE/RSJ IROS (2004) 943, exact to second order). The curvature is the product
of the gradients of *different* images: their noise is independent, so that it does not make the
curvature too large and the displacement too small, as the square of one noisy gradient does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, Spectrum, forward, inverse

__all__ = [
    "MARGIN",
    "Parts",
    "TileScores",
    "depth_window",
    "evidence",
    "filtered",
    "gaussian_filter_table",
    "line_filter_table",
    "ring_filter_table",
    "sample",
    "sandwich",
    "solve",
    "spline",
    "support",
    "tile_scores",
]

# Pixels at the edge of the overlap over which the window rises, and which give no scores: what
# the filter carries in from beyond the edge stays there.
RISE = 8.0
MARGIN = 12.0
_ORDER = 5
# Only below this frequency (cycles/px) is the sampled image the specimen and not its aliases.
_GREATEST_FREQUENCY = 0.35
_GREATEST_COHERENCE = 0.9999


@dataclass(frozen=True)
class Parts:
    """A filtered image and its gradient, each of shape (rows, columns)."""

    value: Image
    along_rows: Image
    along_columns: Image


@dataclass(frozen=True)
class TileScores:
    """Sums over tiles (R rows, C columns of tiles).

    Parameters
    ----------
    score : ndarray, shape (R, C, 2)
        Difference of the images projected on their gradient; curvature times displacement.
    curvature : ndarray, shape (R, C, 2, 2)
        Products of the gradients of the two images, free of noise in the mean.
    energy : ndarray, shape (R, C, 2, 2)
        Products of the mean gradient with itself, noise included: the variance of `score` is
        proportional to it.
    """

    score: NDArray[np.float64]
    curvature: NDArray[np.float64]
    energy: NDArray[np.float64]


def spline(image: Image) -> Image:
    """Coefficients of the quintic spline through an image, for `sample`."""
    from scipy import ndimage

    return np.asarray(
        ndimage.spline_filter(image.astype(np.float64), _ORDER, mode="mirror"), dtype=np.float32
    )


def sample(coefficients: Image, rows: NDArray[Any], columns: NDArray[Any]) -> Image:
    """Value of a spline at places given in px, of any common shape; mirrored outside."""
    from scipy import ndimage

    at = np.stack(np.broadcast_arrays(rows, columns))
    values = np.empty(at.shape[1:], dtype=np.float32)
    ndimage.map_coordinates(
        coefficients, at, output=values, order=_ORDER, prefilter=False, mode="mirror"
    )
    return values


def depth_window(depth: NDArray[Any]) -> Image:
    """Window of 0..1 from the distance of each pixel to the edge of the overlap, px."""
    rise = np.clip(depth / RISE, 0.0, 1.0)
    return (0.5 - 0.5 * np.cos(np.pi * rise)).astype(np.float32)


def gaussian_filter_table(shape: tuple[int, ...], sigma: float) -> NDArray[np.float32]:
    """Gain of each bin of the half spectrum for a Gaussian of `sigma` px; no mean."""
    rows, columns = _frequencies(shape)
    table = np.exp(-2.0 * (np.pi * sigma) ** 2 * (rows**2 + columns**2))
    table[0, 0] = 0.0
    return table.astype(np.float32)


def ring_filter_table(first: Image, second: Image, window: Image) -> NDArray[np.float32]:
    """Gain of each bin of the half spectrum by the coherence of two aligned images in its ring."""
    rows, columns = _frequencies(first.shape)
    count = int(np.clip(min(first.shape) // 4, 4, 64))
    radius = np.hypot(rows, columns)
    rings = np.minimum(radius * (2 * count), count).astype(np.int32)
    spectra = [_spectrum(im, window) for im in (first, second)]
    # a window keeps this share of the bins independent
    share = float(np.mean(window**2)) ** 2 / float(np.mean(window**4))
    table = _coherence_gain(spectra[0], spectra[1], rings, count, share)
    table[int(_GREATEST_FREQUENCY * 2 * count) :] = 0.0
    return table[rings]


def evidence(first: Image, second: Image, window: Image) -> float:
    """How far the coherence of two aligned images is from that of noise, standard deviations.

    Root of twice the logarithm of the likelihood ratio, -sum log(1 - gamma²) over the bins.
    """
    rows, columns = _frequencies(first.shape)
    count = int(np.clip(min(first.shape) // 4, 4, 64))
    radius = np.hypot(rows, columns)
    rings = np.minimum(radius * (2 * count), count).astype(np.int32).ravel()
    a, b = (_spectrum(im, window) for im in (first, second))
    cross = np.bincount(rings, (a * np.conj(b)).real.ravel())[1:count]
    powers = [
        np.bincount(rings, (np.square(s.real) + np.square(s.imag)).ravel())[1:count] for s in (a, b)
    ]
    members = np.bincount(rings)[1:count]
    # a window keeps this share of the bins independent
    members = members * float(np.mean(window**2)) ** 2 / float(np.mean(window**4))
    power = np.sqrt(powers[0] * powers[1])
    coherence = np.divide(cross, power, out=np.zeros_like(power), where=power > 0.0)
    coherence = np.clip(coherence, 0.0, _GREATEST_COHERENCE)
    coherence[coherence * np.sqrt(np.maximum(members, 1.0)) < 2.0] = 0.0
    return float(np.sqrt(-2.0 * np.sum(members * np.log1p(-(coherence**2)))))


def line_filter_table(first: Image, second: Image) -> NDArray[np.float32]:
    """Gain of each frequency along the lines (columns // 2 + 1) by the coherence of all lines."""
    from scipy import fft

    spectra = [
        np.asarray(fft.rfft(im - im.mean(axis=1, keepdims=True), axis=1), dtype=np.complex64)
        for im in (first, second)
    ]
    length = first.shape[1]
    frequencies = np.broadcast_to(np.fft.rfftfreq(length), spectra[0].shape)
    count = int(np.clip(length // 4, 4, 64))
    rings = np.minimum(frequencies * (2 * count), count).astype(np.int32)
    table = _coherence_gain(spectra[0], spectra[1], rings, count, 1.0)
    table[int(_GREATEST_FREQUENCY * 2 * count) :] = 0.0
    gain = table[rings[0]]
    gain[0] = 0.0
    return gain


def _coherence_gain(
    first: Spectrum, second: Spectrum, rings: NDArray[np.int32], count: int, share: float
) -> NDArray[np.float32]:
    """Root of gamma / (1 - gamma²) / power, ring by ring, greatest 1; nothing where by chance."""
    flat = rings.ravel()
    sums = [
        _smooth(np.bincount(flat, values.ravel(), count + 1)[: count + 1])
        for values in (
            (first * np.conj(second)).real,
            np.square(first.real) + np.square(first.imag),
            np.square(second.real) + np.square(second.imag),
        )
    ]
    members = _smooth(np.bincount(flat, minlength=count + 1)) * share
    power = np.sqrt(sums[1] * sums[2])
    power = np.where(power > 0.0, power, np.inf)
    coherence = np.clip(sums[0] / power, 0.0, _GREATEST_COHERENCE)
    coherence[coherence * np.sqrt(np.maximum(members, 1.0)) < 2.0] = 0.0
    weight = coherence / (1.0 - coherence**2) * members / power
    weight[0] = 0.0
    weight[-1] = 0.0
    greatest = float(weight.max())
    return np.sqrt(weight / greatest if greatest > 0.0 else weight).astype(np.float32)


def _smooth(rings: NDArray[Any]) -> NDArray[np.float64]:
    """Share each ring with its neighbours, 1-2-1."""
    padded = np.concatenate([rings[:1], rings, rings[-1:]]).astype(float)
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def _frequencies(shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]


def _spectrum(image: Image, window: Image) -> Spectrum:
    """Half spectrum of a windowed image without its mean under the window."""
    return forward((image - np.float32(np.average(image, weights=window))) * window)


def filtered(image: Image, window: Image, table: NDArray[np.float32]) -> Parts:
    """Window an image, filter it, differentiate it in Fourier space."""
    rows, columns = _frequencies(image.shape)
    spectrum = _spectrum(image, window) * table
    turn = 2j * np.pi
    return Parts(
        inverse(spectrum, image.shape),
        inverse((spectrum * (turn * rows)).astype(np.complex64), image.shape),
        inverse((spectrum * (turn * columns)).astype(np.complex64), image.shape),
    )


def tile_scores(
    resampled: Parts,
    moving: Parts,
    mask: NDArray[np.bool_],
    row_edges: NDArray[np.int_],
    column_edges: NDArray[np.int_],
) -> TileScores:
    """Sum scores over tiles.

    Parameters
    ----------
    resampled, moving : Parts
        The fixed image resampled where the moving one is, and the moving one.
    mask : ndarray of bool, shape (rows, columns)
        Pixels that count.
    row_edges, column_edges : ndarray of int
        First row and column of each tile.
    """
    weight = mask.astype(np.float32)
    power = [float(np.einsum("ij,ij,ij->", weight, p.value, p.value)) for p in (resampled, moving)]
    gain = np.float32(np.sqrt(power[1] / power[0])) if power[0] > 0.0 else np.float32(1.0)
    theirs = [gain * resampled.along_rows, gain * resampled.along_columns]
    own = [moving.along_rows, moving.along_columns]
    mean = [np.float32(0.5) * weight * (a + b) for a, b in zip(theirs, own, strict=True)]
    difference = moving.value - gain * resampled.value

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        lines = np.add.reduceat(values, column_edges, axis=1, dtype=np.float64)
        return np.add.reduceat(lines, row_edges, axis=0)

    score = np.stack([summed(g * difference) for g in mean], axis=-1)
    shape = (*score.shape[:2], 2, 2)
    curvature, energy = np.empty(shape), np.empty(shape)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        cross = theirs[i] * own[j] if i == j else 0.5 * (theirs[i] * own[j] + theirs[j] * own[i])
        curvature[..., i, j] = curvature[..., j, i] = summed(weight * cross)
        energy[..., i, j] = energy[..., j, i] = summed(mean[i] * mean[j])
    return TileScores(score, curvature, energy)


def solve(scores: TileScores, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parameters of a linear model of the displacement.

    Parameters
    ----------
    scores : TileScores
    basis : ndarray, shape (R, C, 2, P)
        Displacement of each tile (rows, columns) px for each parameter.

    Returns
    -------
    ndarray, shape (P,)
        NaN where the images do not determine it.
    """
    normal = _normal(scores, basis)
    gradient = np.einsum("rcip,rci->p", basis, scores.score)
    if np.linalg.eigvalsh(_scaled(normal)).min() <= 1e-8:
        return np.full(len(gradient), np.nan)
    return np.linalg.solve(normal, gradient)


def sandwich(scores: TileScores, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance (P, P) of the parameters, from the scatter of the scores between tiles.

    Tile by tile, and with one noise level for all tiles, which a few features cannot make look
    small by being fitted; each parameter gets the larger variance of the two.
    """
    inverse_normal = np.linalg.inv(_normal(scores, basis))
    # what the fit has taken out of each tile's score is put back by its leverage (HC2 of
    # MacKinnon & White, J. Econometrics 29 (1985) 305)
    share = np.clip(_leverage(scores, basis, inverse_normal) / 2.0, 0.0, 0.9)
    score = scores.score / np.sqrt(1.0 - share)[..., None]
    each = np.einsum("rcip,rci->rcp", basis, score)
    by_tile = inverse_normal @ np.einsum("rcp,rcq->pq", each, each) @ inverse_normal
    energy = np.einsum("rcii->i", scores.energy)
    noise = np.einsum("rci,rci->i", score, score) / np.maximum(energy, 1e-30)
    level = scores.energy * np.sqrt(np.outer(noise, noise))
    pooled = np.einsum("rcip,rcij,rcjq->pq", basis, level, basis)
    pooled = inverse_normal @ pooled @ inverse_normal
    excess = np.sqrt(np.maximum(1.0, np.diag(pooled) / np.maximum(np.diag(by_tile), 1e-300)))
    return by_tile * np.outer(excess, excess)


def support(scores: TileScores, basis: NDArray[np.float64]) -> float:
    """Over how many tiles what determines the parameters is spread."""
    leverage = _leverage(scores, basis, np.linalg.inv(_normal(scores, basis)))
    return float(leverage.sum() ** 2 / np.sum(leverage**2))


def _leverage(
    scores: TileScores, basis: NDArray[np.float64], inverse_normal: NDArray[Any]
) -> NDArray[np.float64]:
    influence = np.einsum("rcip,rcij,rcjq->rcpq", basis, scores.curvature, basis)
    return np.einsum("rcpq,qp->rc", influence, inverse_normal)


def _normal(scores: TileScores, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("rcip,rcij,rcjq->pq", basis, scores.curvature, basis)


def _scaled(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    return normal / np.outer(size, size)
