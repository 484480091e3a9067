"""How much does each scan line jump, once the smooth drift is taken out?

Every line is cut into segments with a gap between them. A jump of the line moves all its segments
alike, while their noise is independent: the products of the displacements of *different* segments
hold the jitter and no noise, whatever the noise is. No model of the noise is subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..registration._displacement import (
    MARGIN,
    Parts,
    TileScores,
    depth_window,
    line_filter_table,
    sample,
    spline,
    tile_scores,
)
from ..registration._fft import Image

__all__ = ["Jitter", "line_jitter"]

_SEGMENTS = 8
_GAP = 6
_LEAST_SEGMENT = 16
_BLOCKS = 16
_PASSES = 3
# Central difference of sixth order: 2 % low at 0.2 cycles/px, and it stays near its line.
_STENCIL = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / 60.0


@dataclass(frozen=True)
class Jitter:
    """Covariance of the jumps of a line of one scan, and its standard error.

    Parameters
    ----------
    covariance : ndarray, shape (2, 2)
        (across, along) the line, px²; not forced to be positive.
    stderr : ndarray, shape (2,)
        Of the two variances, px².
    """

    covariance: NDArray[np.float64]
    stderr: NDArray[np.float64]

    def rms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Root mean square jump (across, along), px, and its standard error.

        Where none is seen it is 0, and the error what one standard error more would show.
        """
        variance = np.diag(self.covariance)
        size = np.sqrt(np.maximum(variance, 0.0))
        upper = np.sqrt(np.maximum(variance, 0.0) + self.stderr)
        return size, upper - size


def line_jitter(fixed: Image, moving: Image, displacement: NDArray[np.float64]) -> Jitter:
    """Measure the jitter of a scan line, alike in both scans.

    Parameters
    ----------
    fixed, moving : ndarray, shape (rows, columns)
    displacement : ndarray, shape (rows, 2)
        The smooth displacement at each line of the moving image, px.
    """
    coefficients = spline(fixed)
    length, width = fixed.shape
    columns = np.arange(width)[None, :]
    edges, inside = _segments(displacement, fixed.shape)
    known = (displacement[:, 0] + np.arange(length) >= MARGIN) & (
        displacement[:, 0] + np.arange(length) <= length - 1 - MARGIN
    )
    known[: int(MARGIN)] = known[length - int(MARGIN) :] = False
    mask = known[:, None] & inside[None, :]
    jumps = np.zeros((length, 2))
    covariance, stderr = np.zeros((2, 2)), np.full(2, np.inf)
    for turn in range(_PASSES):
        at = displacement + jumps
        rows = (np.arange(length) + at[:, 0])[:, None] + np.zeros((1, width))
        resampled = sample(coefficients, rows, columns + at[:, 1:])
        lines = np.flatnonzero(known)
        table = line_filter_table(resampled[lines], moving[lines])
        window = depth_window(np.minimum(columns[0] + 1.0, width - columns[0]))[None, :]
        scores = tile_scores(
            _along_lines(resampled, window, table),
            _along_lines(moving, window, table),
            mask,
            np.arange(length),
            edges,
        )
        scores = _only(scores, known)
        scores.score[...] += np.einsum("rcij,rj->rci", scores.curvature, jumps[known])
        covariance, stderr = _between_segments(scores)
        if turn + 1 < _PASSES:
            jumps[known] = _predicted(scores, covariance)
    share = _share_of_fixed(displacement[known, 0])
    return Jitter(covariance / share, stderr / share)


def _segments(
    displacement: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
    """First columns of the segments of a line, and the columns that belong to one."""
    width = shape[1]
    first = int(np.ceil(max(0.0, -displacement[:, 1].min()) + MARGIN))
    last = int(np.floor(width - max(0.0, displacement[:, 1].max()) - MARGIN))
    count = int(np.clip((last - first) // (_LEAST_SEGMENT + _GAP), 0, _SEGMENTS))
    if count < 2:
        raise ValueError("the lines are too short to be cut into two segments")
    starts = np.linspace(first, last, count + 1).astype(int)
    inside = np.zeros(width, dtype=bool)
    for start, stop in pairwise(starts):
        inside[start : stop - _GAP] = True
    edges = starts[:-1].copy()
    edges[0] = 0
    return edges, inside


def _along_lines(image: Image, window: Image, table: NDArray[np.float32]) -> Parts:
    """Filter along the lines only, so that no line sees another."""
    from scipy import fft, ndimage

    flat = (image - image.mean(axis=1, keepdims=True)) * window
    half = np.asarray(fft.rfft(flat, axis=1, workers=1)) * table
    turn = (2j * np.pi * np.fft.rfftfreq(image.shape[1])).astype(np.complex64)
    value, slope = (
        np.asarray(fft.irfft(h, n=image.shape[1], axis=1, workers=1), dtype=np.float32)
        for h in (half, half * turn)
    )
    across = ndimage.correlate1d(value, _STENCIL, axis=0, mode="nearest")
    return Parts(value, np.asarray(across, dtype=np.float32), slope)


def _only(scores: TileScores, known: NDArray[np.bool_]) -> TileScores:
    return TileScores(scores.score[known], scores.curvature[known], scores.energy[known])


def _between_segments(
    scores: TileScores,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariance of the jumps from products of different segments, its error by jackknife."""
    b, h = scores.score, scores.curvature
    total, whole = b.sum(axis=1), h.sum(axis=1)
    products = np.einsum("ri,rj->rij", total, total) - np.einsum("rci,rcj->rij", b, b)
    # products of the curvatures of different segments, as a map of (2, 2) onto (2, 2)
    maps = np.einsum("rik,rjl->rijkl", whole, whole) - np.einsum("rcik,rcjl->rijkl", h, h)
    energy = np.einsum("rcii->r", scores.energy)
    signal = np.maximum(np.einsum("rii->r", whole), 0.0)
    weight = np.divide(signal, energy, out=np.zeros_like(energy), where=energy > 0.0)
    weight = weight**2 / np.maximum(energy, 1e-6 * energy.max()) ** 2
    blocks = np.linspace(0, len(b), _BLOCKS, endpoint=False).astype(int)
    left = np.add.reduceat(weight[:, None, None] * products, blocks, axis=0)
    right = np.add.reduceat(weight[:, None, None, None, None] * maps, blocks, axis=0)
    sums = left.sum(axis=0), right.sum(axis=0)
    estimate = _solved(*sums)
    without = np.array(
        [_solved(sums[0] - p, sums[1] - m) for p, m in zip(left, right, strict=True)]
    )
    spread = (_BLOCKS - 1) * np.mean((without - without.mean(axis=0)) ** 2, axis=0)
    return estimate, np.sqrt(np.diag(spread))


def _solved(products: NDArray[Any], maps: NDArray[Any]) -> NDArray[np.float64]:
    """Symmetric (2, 2) that the maps turn into the products."""
    parts = ([[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]])
    columns = np.stack([np.einsum("ijkl,kl->ij", maps, np.array(p)).ravel() for p in parts], axis=1)
    a, b, c = np.linalg.lstsq(columns, products.ravel())[0]
    return np.array([[a, b], [b, c]])


def _predicted(scores: TileScores, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Best linear prediction of each line's jump, shape (lines, 2)."""
    values, vectors = np.linalg.eigh(covariance)
    prior = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    total, whole = scores.score.sum(axis=1), scores.curvature.sum(axis=1)
    rest = scores.score - np.einsum("rcij,rj->rci", scores.curvature, _unweighted(whole, total))
    energy = scores.energy.sum(axis=1)
    ratio = np.einsum("rci,rci->i", rest, rest) / np.maximum(np.einsum("rii->i", energy), 1e-30)
    noise = energy * np.sqrt(np.outer(ratio, ratio))
    spread = whole @ prior @ whole + noise + 1e-12 * np.eye(2)
    jumps = np.einsum(
        "ij,rkj,rk->ri", prior, whole, np.linalg.solve(spread, total[..., None])[..., 0]
    )
    return np.clip(jumps, -3.0, 3.0)


def _unweighted(whole: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacement of each line by itself, nothing where it shows none."""
    determinant = np.linalg.det(whole)
    fair = determinant > 1e-6 * np.median(np.abs(determinant)) + 1e-30
    result = np.zeros_like(total)
    result[fair] = np.linalg.solve(whole[fair], total[fair][..., None])[..., 0]
    return np.clip(result, -3.0, 3.0)


def _share_of_fixed(rows: NDArray[np.float64]) -> float:
    """Variance of moving minus resampled fixed lines over that of one line, 1 to 2.

    Between two lines of the fixed image the spline mixes their jumps.
    """
    middle = 16
    impulse = np.zeros((2 * middle + 1, 1), dtype=np.float32)
    impulse[middle] = 1.0
    fraction = (rows % 1.0)[:, None]
    at = (np.arange(2 * middle + 1)[None, :] + fraction).ravel()
    taps = sample(spline(impulse.repeat(3, axis=1)), at, np.ones_like(at))
    return 1.0 + float(np.mean(np.sum(taps.reshape(len(rows), -1) ** 2, axis=1)))
