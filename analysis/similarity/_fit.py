"""The pixels of two frames that differ in scale, rotation and place: the fine half of `similarity`.

Lucas & Kanade's alignment on ever smaller pixels, from guesses a few degrees and per cent wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..registration._displacement import (
    MARGIN,
    Parts,
    TileScores,
    depth_window,
    evidence,
    filtered,
    gaussian_filter_table,
    ring_filter_table,
    sample,
    sandwich,
    solve,
    spline,
    support,
    tile_scores,
)
from ..registration._fft import Image
from ._polar import Candidate

__all__ = ["LEAST_SIDE", "Aligned", "State", "differ", "verified"]

LEAST_SIDE = 96
_TILES = 10
_LEAST_TILE = 12
_SETTLED_PX = 2e-3
_STEPS = 12
_SMOOTHING = 1.5
# What a pixel blurs (uniform over its width: 1/sqrt(12) = 0.29 px), and from what ratio of pixel
# sizes on it is given to the smaller ones.
_PIXEL_BLUR, _CLEARLY_LARGER = 0.35, 1.2
# What interpolation and the aliases of a sampled image leave, px: twice what equal scales leave.
_FLOOR_PX = 8e-3
# Noise alone, refined from the best of 10⁷ trials, reaches about 6.
LEAST_Z = 8.0
# Guesses this close to the best on coarse pixels are compared on fine ones.
_NEARLY = 0.6


@dataclass(frozen=True)
class State:
    """Places in the fixed image, (rows, columns) px from the middle: shift + turn @ q."""

    turn: NDArray[np.float64]
    shift: NDArray[np.float64]

    @classmethod
    def of(cls, log_scale: float, rotation: float, shift: NDArray[np.float64]) -> State:
        cosine, sine = np.cos(rotation), np.sin(rotation)
        turn = float(np.exp(log_scale)) * np.array([[cosine, sine], [-sine, cosine]])
        return cls(np.asarray(turn, dtype=float), np.asarray(shift, dtype=float))

    def parameters(self) -> NDArray[np.float64]:
        """Logarithm of the scale, rotation (rad), shift."""
        log_scale = 0.5 * np.log(np.linalg.det(self.turn))
        rotation = np.arctan2(self.turn[0, 1], self.turn[0, 0])
        return np.array([log_scale, rotation, *self.shift])

    def inverted(self) -> State:
        back = np.asarray(np.linalg.inv(self.turn), dtype=float)
        return State(back, -back @ self.shift)

    def nudged(self, step: NDArray[np.float64]) -> State:
        """After a stretch, a turn (rad) and a shift (px) of the moving image's own pixels."""
        after = State.of(float(step[0]), float(step[1]), step[2:])
        return State(self.turn @ after.turn, self.shift + self.turn @ after.shift)


@dataclass(frozen=True)
class Aligned:
    """A state, the covariance of its parameters, and how well the images agree there."""

    state: State
    covariance: NDArray[np.float64]
    ncc: float
    overlap: float
    z: float
    support: float


def verified(fixed: Image, moving: Image, guesses: list[Candidate]) -> list[Aligned]:
    """Guesses that hold on the pixels, refined, best first."""
    rough = [_coarse(fixed, moving, guess) for guess in guesses]
    rough = [item for item in rough if item is not None and item.z > LEAST_Z]
    if not rough:
        return []
    rough.sort(key=lambda item: -item.z)
    near = [item for item in rough if item.z > _NEARLY * rough[0].z]
    fine = [_refined(fixed, moving, item.state) for item in near]
    kept = [item for item in fine if item is not None and item.z > LEAST_Z]
    return sorted(kept, key=lambda item: -item.z)


def _coarse(fixed: Image, moving: Image, guess: Candidate) -> Aligned | None:
    """Align on pixels four and two times as large, from a guess a few degrees wrong."""
    state = State.of(guess.log_scale, guess.rotation, guess.shift)
    aligned = None
    for step in _levels(fixed.shape):
        aligned = _on_pixels(fixed, moving, state, step, coherent=False)
        if aligned is None:
            return None
        state = aligned.state
    return aligned


def _levels(shape: tuple[int, ...]) -> list[int]:
    largest = min(shape)
    return [step for step in (4, 2) if largest / step >= LEAST_SIDE - 1] or [1]


def _refined(fixed: Image, moving: Image, state: State) -> Aligned | None:
    """Align on all pixels, first as they are smoothed, then as their coherence says."""
    aligned = _on_pixels(fixed, moving, state, 1, coherent=False)
    if aligned is None:
        return None
    return _on_pixels(fixed, moving, aligned.state, 1, coherent=True)


def _on_pixels(
    fixed: Image, moving: Image, state: State, step: int, *, coherent: bool
) -> Aligned | None:
    """Align from a state that is right to a few steps; None if the images run apart.

    The image whose pixels are smaller on the specimen is resampled, low-passed, on the other.
    """
    if np.linalg.det(state.turn) < 1.0:
        return _aligned(moving, fixed, state.inverted(), step, coherent=coherent, turned=True)
    return _aligned(fixed, moving, state, step, coherent=coherent, turned=False)


def _aligned(
    fixed: Image, moving: Image, state: State, step: int, *, coherent: bool, turned: bool
) -> Aligned | None:
    """Align where a pixel of the moving image is the larger one; undo the exchange if `turned`."""
    grid = _Grid.of(fixed, moving, float(np.sqrt(np.linalg.det(state.turn))), step)
    table = gaussian_filter_table(grid.target.shape, _SMOOTHING)
    seen = _compared(grid, state, table)
    for turn in range(_STEPS):
        if seen is None:
            return None
        if coherent and turn < 2:
            table = ring_filter_table(seen.resampled, grid.target, depth_window(seen.depth))
            seen = _compared(grid, state, table)
            if seen is None:
                return None
        nudge = solve(seen.scores, seen.basis)
        if not np.isfinite(nudge).all():
            return None
        reach = grid.reach
        greatest = max(float(np.abs(nudge[2:]).max()), reach * float(np.abs(nudge[:2]).max()))
        if greatest < _SETTLED_PX * step:
            break
        state = state.nudged(nudge * min(1.0, 3.0 * step / greatest))
        seen = _compared(grid, state, table)
    return None if seen is None else _judged(grid, seen, state, turned)


@dataclass(frozen=True)
class _Grid:
    """The spline of the fixed image, and the moving one at every `step` of its pixels.

    `rows` and `columns` are those pixels' places from the middle, px; `edges` the first sample of
    each tile, rows and columns.
    """

    source: Image
    target: Image
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    edges: list[NDArray[np.int_]]
    step: int

    @classmethod
    def of(cls, fixed: Image, moving: Image, scale: float, step: int) -> _Grid:
        # equal blur on the specimen: that of a large sample
        blur = 0.5 * step if step > 1 else 0.0
        blur = float(np.hypot(blur, _PIXEL_BLUR)) if scale > _CLEARLY_LARGER else blur
        lines = [np.arange(n % step // 2, n, step) for n in moving.shape]
        target = _blurred(moving, blur)[np.ix_(*lines)]
        tile = max(_LEAST_TILE, min(target.shape) // _TILES)
        rows, columns = (p - 0.5 * (n - 1) for p, n in zip(lines, moving.shape, strict=True))
        edges = [np.arange(0, n, tile) for n in target.shape]
        return cls(spline(_blurred(fixed, scale * blur)), target, rows, columns, edges, step)

    @property
    def reach(self) -> float:
        """From the middle to a corner, px."""
        return float(np.hypot(self.rows[-1], self.columns[-1]))


@dataclass(frozen=True)
class _Compared:
    """Both images at one state: the fixed one resampled, both filtered, their scores in px."""

    resampled: Image
    depth: NDArray[np.float64]
    parts: tuple[Parts, Parts]
    mask: NDArray[np.bool_]
    scores: TileScores
    basis: NDArray[np.float64]


def _compared(grid: _Grid, state: State, table: NDArray[np.float32]) -> _Compared | None:
    """Compare the images at a state; None where they share too little."""
    shape = grid.source.shape
    turn, rows, columns = state.turn, grid.rows[:, None], grid.columns
    at_rows = 0.5 * (shape[0] - 1) + state.shift[0] + turn[0, 0] * rows + turn[0, 1] * columns
    at_columns = 0.5 * (shape[1] - 1) + state.shift[1] + turn[1, 0] * rows + turn[1, 1] * columns
    resampled = sample(grid.source, at_rows, at_columns)
    sampled = float(np.sqrt(np.linalg.det(turn))) * grid.step
    depth = _depth(at_rows, at_columns, shape, sampled, grid.target.shape)
    mask, window = depth > MARGIN, depth_window(depth)
    if np.count_nonzero(mask) < 8 * _LEAST_TILE**2:
        return None
    parts = filtered(resampled, window, table), filtered(grid.target, window, table)
    scores = tile_scores(*parts, mask, *grid.edges)
    # gradients are per sample: displacements in px need them per px
    scores = TileScores(
        scores.score / grid.step, scores.curvature / grid.step**2, scores.energy / grid.step**2
    )
    basis = _basis(mask, grid.edges, grid.rows, grid.columns)
    return _Compared(resampled, depth, parts, mask, scores, basis)


def _judged(grid: _Grid, seen: _Compared, state: State, turned: bool) -> Aligned | None:
    """Covariance of the parameters, and how well the images agree."""
    if not np.isfinite(solve(seen.scores, seen.basis)).all():
        return None
    floor = (_FLOOR_PX * np.array([2.0 / grid.reach, 2.0 / grid.reach, 1.0, 1.0])) ** 2
    covariance = sandwich(seen.scores, seen.basis) + np.diag(floor)
    jacobian = np.stack(
        [
            (_derived(state.nudged(nudge), turned) - _derived(state.nudged(-nudge), turned)) / 2e-6
            for nudge in 1e-6 * np.eye(4)
        ],
        axis=1,
    )
    share = float(np.count_nonzero(seen.depth > 0.0)) / seen.depth.size
    return Aligned(
        state.inverted() if turned else state,
        jacobian @ covariance @ jacobian.T,
        _correlation(seen.parts[0], seen.parts[1], seen.mask),
        min(1.0, float(np.linalg.det(state.turn)) * share),
        evidence(seen.resampled, grid.target, depth_window(seen.depth)),
        support(seen.scores, seen.basis),
    )


def _derived(state: State, turned: bool) -> NDArray[np.float64]:
    return (state.inverted() if turned else state).parameters()


def _blurred(image: Image, sigma: float) -> Image:
    from scipy import ndimage

    if sigma <= 0.0:
        return image
    return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest"), dtype=np.float32)


def _depth(
    at_rows: NDArray[Any],
    at_columns: NDArray[Any],
    fixed_shape: tuple[int, ...],
    step: float,
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Distance to the nearer edge of either image in samples; 1 at the outermost, 0 outside."""
    depth = np.minimum(at_rows, fixed_shape[0] - 1 - at_rows)
    depth = np.minimum(depth, np.minimum(at_columns, fixed_shape[1] - 1 - at_columns)) / step
    rows, columns = (np.minimum(np.arange(n), n - 1 - np.arange(n)) for n in shape)
    return np.maximum(np.minimum(depth, np.minimum(rows[:, None], columns[None, :])) + 1.0, 0.0)


def _basis(
    mask: NDArray[np.bool_],
    edges: list[NDArray[np.int_]],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Displacement of each tile for a stretch, a turn and a shift, (R, C, 2, 4)."""

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.add.reduceat(np.add.reduceat(values, edges[0], axis=0), edges[1], axis=1)

    count = np.maximum(summed(mask.astype(float)), 1.0)
    down, right = summed(mask * rows[:, None]) / count, summed(mask * columns) / count
    basis = np.zeros((*count.shape, 2, 4))
    basis[..., 0, 0], basis[..., 1, 0] = down, right
    basis[..., 0, 1], basis[..., 1, 1] = right, -down
    basis[..., 0, 2] = basis[..., 1, 3] = 1.0
    return basis


def _correlation(first: Parts, second: Parts, mask: NDArray[np.bool_]) -> float:
    """Normalised correlation of the filtered overlaps."""
    a, b = (part.value[mask].astype(float) for part in (first, second))
    a, b = a - a.mean(), b - b.mean()
    power = float(a @ a) * float(b @ b)
    ncc = float(a @ b) / float(np.sqrt(power)) if power > 0.0 else 0.0
    return ncc


def differ(one: State, other: State) -> bool:
    """Whether two states are two answers and not twice the same."""
    apart = np.abs(one.parameters() - other.parameters())
    apart[1] = abs((apart[1] + np.pi) % (2.0 * np.pi) - np.pi)
    return bool(apart[0] > 0.02 or apart[1] > 0.02 or apart[2:].max() > 5.0)
