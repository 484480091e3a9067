"""A smooth displacement between two scans, fitted to tiles of lines: the arithmetic of `drift`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..registration import Registration, register
from ..registration._displacement import (
    MARGIN,
    TileScores,
    depth_window,
    filtered,
    gaussian_filter_table,
    ring_filter_table,
    sample,
    solve,
    spline,
    tile_scores,
)
from ..registration._fft import Image

__all__ = ["FLOOR_PX", "Bands", "Model", "bands", "fit", "polynomial", "registered", "strips"]

LEAST_SIDE = 96
# Interpolation and aliases leave this much, as in registration.
FLOOR_PX = 2e-3
_STRIPS = 4
_LEAST_STRIP = 24
# How far strips may lie from the whole frame, px: a drift that deforms it more is not found.
_STRIP_SIGMA = 6.0
_SMOOTHING_PX = 2.0
_STEPS = 20
_SETTLED_PX, _NEAR_PX = 2e-3, 0.1
_GREATEST_STEP, _GREATEST_DEPARTURE = 2.0, 8.0
# A band whose displacement is known no better tells nothing, px.
_GREATEST_STDERR = 2.0


@dataclass(frozen=True)
class Model:
    """A displacement that is linear in its parameters.

    Parameters
    ----------
    basis : callable
        From rows (R,) and columns (C,) px to the displacement for each parameter, (R, C, 2, P).
    row_edges, column_edges : ndarray of int
        First row and column of each tile of the moving image.
    """

    basis: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]
    row_edges: NDArray[np.int_]
    column_edges: NDArray[np.int_]


@dataclass(frozen=True)
class Fit:
    """Parameters (P,), what the tiles say there, and where the tiles' middles are (R,), (C,)."""

    parameters: NDArray[np.float64]
    scores: TileScores
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    lines: NDArray[np.float64]


@dataclass(frozen=True)
class Bands:
    """Middle line (m,), displacement (m, 2) and its covariance (m, 2, 2) of bands of lines."""

    lines: NDArray[np.float64]
    displacement: NDArray[np.float64]
    covariance: NDArray[np.float64]


def registered(
    fixed: ArrayLike, moving: ArrayLike, expected: Any, sigma: Any, min_overlap: float
) -> tuple[Image, Image, Registration]:
    """Check both images, register them, and return them with zero mean and unit variance."""
    for name, data in (("fixed", fixed), ("moving", moving)):
        shape = np.shape(data)
        if len(shape) == 2 and min(shape) < LEAST_SIDE:
            raise ValueError(
                f"the {name} image has shape {shape}, must be at least {LEAST_SIDE} pixels each way"
            )
    found = register(
        fixed, moving, expected=expected, expected_sigma=sigma, min_overlap=min_overlap
    )
    images = [np.asarray(data, dtype=np.float32) for data in (fixed, moving)]
    first, second = ((im - im.mean()) / im.std() for im in images)
    return first, second, found


def strips(
    fixed: Image, moving: Image, shift: NDArray[np.float64], axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Change of the displacement per pixel along `axis`, and its value in the middle, roughly.

    Strips are registered by themselves; the median over pairs of them does not mind a wrong one.
    """
    whole = np.rint(shift).astype(int)
    cuts: tuple[list[slice], list[slice]] = ([], [])
    for d, n in zip(whole, fixed.shape, strict=True):
        cuts[0].append(slice(max(0, d), n + min(0, d)))
        cuts[1].append(slice(max(0, -d), n - max(0, d)))
    start, length = cuts[1][axis].start, cuts[1][axis].stop - cuts[1][axis].start
    edges = np.linspace(0, length, _STRIPS + 1).astype(int)
    if np.diff(edges).min() < _LEAST_STRIP:
        return np.zeros(2), shift
    common = [image[tuple(cut)] for image, cut in zip((fixed, moving), cuts, strict=True)]
    places, shifts = [], []
    for low, high in pairwise(edges):
        pair = [np.take(image, np.arange(low, high), axis=axis) for image in common]
        if min(float(np.ptp(image)) for image in pair) <= 1e-5:
            continue
        found = register(*pair, expected=shift - whole, expected_sigma=_STRIP_SIGMA)
        if found.accepted:
            places.append(start + 0.5 * (low + high - 1) - 0.5 * (fixed.shape[axis] - 1))
            shifts.append(whole + found.shift)
    if len(places) < 2:
        return np.zeros(2), shift
    at, moved = np.array(places), np.array(shifts)
    slopes = [(moved[j] - moved[i]) / (at[j] - at[i]) for i, j in combinations(range(len(at)), 2)]
    slope = np.median(slopes, axis=0)
    return slope, np.median(moved - at[:, None] * slope, axis=0)


def fit(fixed: Image, moving: Image, parameters: NDArray[np.float64], model: Model) -> Fit | None:
    """Refine parameters that are right to about two pixels; None if they run away."""
    shape = fixed.shape
    rows, columns = (np.arange(n, dtype=float) for n in shape)
    everywhere = model.basis(rows, columns[[0, -1]])
    share = (columns / columns[-1])[:, None]
    source, start = spline(fixed), parameters
    table: NDArray[np.float32] | None = gaussian_filter_table(shape, _SMOOTHING_PX)
    for _ in range(_STEPS):
        ends = everywhere @ parameters
        # linear in the columns, whatever it is in the rows
        at = ends[:, :1] * (1.0 - share) + ends[:, 1:] * share
        found = _scored(source, moving, at, table, model, parameters)
        step = (
            None if found is None else solve(found.scores, model.basis(found.rows, found.columns))
        )
        if found is None or step is None or not np.isfinite(step).all():
            return None
        greatest = float(np.abs(everywhere @ step).max())
        if table is None and greatest < _SETTLED_PX:
            return found
        parameters = parameters + step * min(1.0, _GREATEST_STEP / max(greatest, _GREATEST_STEP))
        if greatest < _NEAR_PX:
            table = None
        if np.abs(everywhere @ (parameters - start)).max() > _GREATEST_DEPARTURE:
            return None
    return None


def _scored(
    source: Image,
    moving: Image,
    at: NDArray[np.float64],
    table: NDArray[np.float32] | None,
    model: Model,
    parameters: NDArray[np.float64],
) -> Fit | None:
    """Scores of the tiles at a displacement; filtered by coherence if no table is given."""
    shape = moving.shape
    at_rows = np.arange(shape[0])[:, None] + at[..., 0]
    at_columns = np.arange(shape[1])[None, :] + at[..., 1]
    resampled = sample(source, at_rows, at_columns)
    depth = _depth(at_rows, at_columns, shape)
    window, mask = depth_window(depth), depth > MARGIN
    if not mask.any():
        return None
    if table is None:
        table = ring_filter_table(resampled, moving, window)
    scores = tile_scores(
        filtered(resampled, window, table),
        filtered(moving, window, table),
        mask,
        model.row_edges,
        model.column_edges,
    )
    return Fit(parameters, scores, *_centres(mask, model))


def _depth(
    at_rows: NDArray[Any], at_columns: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Distance to the nearer edge of either image, px, from 1 at the outermost pixel."""
    depth = np.minimum(at_rows, shape[0] - 1 - at_rows)
    depth = np.minimum(depth, np.minimum(at_columns, shape[1] - 1 - at_columns))
    rows, columns = (np.minimum(np.arange(n), n - 1 - np.arange(n)) for n in shape)
    return np.minimum(depth, np.minimum(rows[:, None], columns[None, :])) + 1.0


def _centres(
    mask: NDArray[np.bool_], model: Model
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean row and column of the tiles' pixels that count, and lines that count in each band."""
    found = []
    for axis, edges in ((1, model.row_edges), (0, model.column_edges)):
        count = mask.sum(axis=axis).astype(float)
        total = np.add.reduceat(count, edges)
        place = np.add.reduceat(count * np.arange(count.size), edges)
        found.append(np.where(total > 0, place / np.maximum(total, 1.0), edges))
    lines = np.add.reduceat(mask.any(axis=1).astype(float), model.row_edges)
    return found[0], found[1], lines


def bands(found: Fit, model: Model, jitter: NDArray[np.float64]) -> Bands:
    """Displacement of each band of lines that shows any specimen.

    Parameters
    ----------
    found : Fit
    model : Model
    jitter : ndarray, shape (2, 2)
        Covariance of the jump of one line against another, px².
    """
    total, whole = found.scores.score.sum(axis=1), found.scores.curvature.sum(axis=1)
    energy = found.scores.energy.sum(axis=1)
    fair = np.linalg.eigvalsh(whole)[:, 0] > 1e-3 * np.abs(whole).max()
    rest, own = np.zeros_like(total), np.zeros_like(whole)
    rest[fair] = np.linalg.solve(whole[fair], total[fair][..., None])[..., 0]
    # segments of a band share its displacement; where they differ, that is noise
    left = found.scores.score - np.einsum("rcij,rj->rci", found.scores.curvature, rest)
    segments = left.shape[1]
    ratio = np.einsum("rci,rci->i", left[fair], left[fair]) * segments / (segments - 1.0)
    ratio /= np.maximum(np.einsum("rii->i", energy[fair]), 1e-30)
    # filtered noise reaches from band to band: what that adds to anything smooth
    after = fair[:-1] & fair[1:]
    alike = np.einsum("rci,rci->i", left[:-1][after], left[1:][after])
    alike /= np.maximum(np.einsum("rci,rci->i", left[fair], left[fair]), 1e-30)
    ratio *= 1.0 + 2.0 * np.clip(alike, 0.0, 1.0)
    noise = energy * np.sqrt(np.outer(ratio, ratio))
    inverse = np.zeros_like(whole)
    inverse[fair] = np.linalg.inv(whole[fair])
    own = inverse @ noise @ inverse + FLOOR_PX**2 * np.eye(2)
    values, vectors = np.linalg.eigh(jitter)
    positive = (vectors * np.maximum(values, 0.0)) @ vectors.T
    own = own + positive / np.maximum(found.lines, 1.0)[:, None, None]
    fair &= np.linalg.eigvalsh(own)[:, -1] < _GREATEST_STDERR**2
    smooth = model.basis(found.rows, found.columns[:1])[:, 0] @ found.parameters
    return Bands(found.rows[fair], (smooth + rest)[fair], own[fair])


def polynomial(
    at: NDArray[np.float64],
    values: NDArray[np.float64],
    covariances: NDArray[np.float64],
    order: int,
    known: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, int]:
    """Fit a polynomial to vectors by generalised least squares.

    Returns
    -------
    coefficients : ndarray, shape (order + 1, 2)
    covariance : ndarray, shape (2 (order + 1), 2 (order + 1))
        Scaled by chi2 / degrees: always if the covariances are not `known`, else if above 1.
    chi2 : float
    degrees : int
    """
    powers = at[:, None] ** np.arange(order + 1)
    design = np.einsum("nk,ij->nikj", powers, np.eye(2)).reshape(len(at), 2, -1)
    weights = np.linalg.inv(covariances)
    normal = np.einsum("nip,nij,njq->pq", design, weights, design)
    coefficients = np.linalg.solve(normal, np.einsum("nip,nij,nj->p", design, weights, values))
    rest = values - design @ coefficients
    chi2 = float(np.einsum("ni,nij,nj->", rest, weights, rest))
    degrees = 2 * (len(at) - order - 1)
    scale = chi2 / degrees if degrees else float("nan")
    covariance = np.linalg.inv(normal) * (max(1.0, scale) if known and degrees else 1.0)
    if not known:
        covariance = covariance * scale
    return coefficients.reshape(-1, 2), covariance, chi2, degrees
