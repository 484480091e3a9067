"""What does a field look like in the mean of many frames, each where it really was?

Three passes over the frames, one in memory at a time (and the last eight): pairs of frames 1, 2, 4
and 8 apart are registered and their places solved together, wrong pairs found by the others; a
first mean is made; each frame is registered against the mean *of the others* (against the mean it
is part of, its own noise would hold it where it was put) and resampled once, from its own pixels,
by a quintic spline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..positions import Pair, solve_positions
from ..registration import register
from ..registration._displacement import sample, spline
from ..registration._fft import Image, forward

__all__ = ["Average", "LeftOut", "average_series"]

_APART = (1, 2, 4, 8)
_LEAST_SIDE = 32
# What the places of the first pass may be wrong by, px.
_FIRST_SIGMA_PX = 2.0
# Places that no expectation is given for: anywhere, px.
_ANYWHERE_PX = 1e4
# Frequencies that hold the noise of a frame and next to nothing of a specimen the beam blurs.
_NOISE_FREQUENCY = 0.45


@dataclass(frozen=True)
class LeftOut:
    """A frame that is not part of the mean, and why."""

    index: int
    reason: str

    def __str__(self) -> str:
        return f"frame {self.index}: {self.reason}"


@dataclass(frozen=True)
class Average:
    """Mean of a series of frames and how far it can be trusted.

    Parameters
    ----------
    mean, stderr : ndarray, shape (rows, columns)
        In the units of the frames, on the pixels of the frame `reference`; standard error from
        the scatter of the frames. NaN where no frame (`stderr`: fewer than two) was.
    counts : ndarray of int, shape (rows, columns)
        Frames that reached each pixel.
    shift : ndarray, shape (n, 2)
        Place of the middle line of each frame, (rows, columns) px, sign as in
        `registration.Registration.shift`; NaN for a frame left out.
    covariance : ndarray, shape (n, 2, 2)
        Of `shift`, px².
    reference : int
        The frame whose pixels the mean has: that nearest the median place.
    left_out : tuple of LeftOut
        Frames left out, in order.
    snr_gain : float
        SNR of the mean over that of one frame. Noise of the mean from two halves of the series,
        noise of a frame from its highest frequencies; what blurs the mean makes it smaller.
    ideal_gain : float
        Root of the number of frames.
    """

    mean: NDArray[np.float64]
    stderr: NDArray[np.float64]
    counts: NDArray[np.int64]
    shift: NDArray[np.float64]
    covariance: NDArray[np.float64]
    reference: int
    left_out: tuple[LeftOut, ...]
    snr_gain: float
    ideal_gain: float


class _Sums:
    """Running sums of resampled frames, of their squares, and of every other frame alone."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.counts = np.zeros(shape, dtype=np.int64)
        self.total = np.zeros(shape)
        self.squares = np.zeros(shape)
        self.half = np.zeros(shape)
        self.half_counts = np.zeros(shape, dtype=np.int64)
        self.frames = 0

    def add(self, image: Image, mask: NDArray[np.bool_]) -> None:
        values = np.where(mask, image, 0.0).astype(float)
        self.counts += mask
        self.total += values
        self.squares += values**2
        if self.frames % 2:
            self.half += values
            self.half_counts += mask
        self.frames += 1

    def mean(self) -> NDArray[np.float64]:
        return _ratio(self.total, self.counts)

    def stderr(self) -> NDArray[np.float64]:
        spare = np.maximum(self.squares - self.total * self.mean(), 0.0)
        return np.sqrt(_ratio(spare, (self.counts - 1) * self.counts))

    def everywhere(self) -> NDArray[np.bool_]:
        """Pixels that all frames reached."""
        return self.counts == self.frames

    def noise(self) -> float:
        """Variance of the mean where all frames are, from the difference of its halves."""
        region = self.everywhere()
        other = self.frames - self.frames // 2
        halves = self.half[region] / (self.frames // 2)
        difference = halves - (self.total - self.half)[region] / other
        return float(np.var(difference)) * other * (self.frames // 2) / self.frames**2


def average_series(
    frames: Iterable[ArrayLike],
    *,
    velocity: ArrayLike | None = None,
    expected: ArrayLike | None = None,
    expected_sigma: float | None = None,
    min_overlap: float = 0.5,
) -> Average:
    """Average frames of one field, each where it really was.

    Parameters
    ----------
    frames : iterable of array_like, shape (rows, columns)
        Read three times, one frame in memory at a time: a list, an HDF5 or Zarr array, or an
        object whose ``__iter__`` loads them. Lines are the rows, in the order they were scanned.
    velocity : array_like, shape (2,) or (n, 2), optional
        Drift within each frame, (rows, columns) px per line, to be undone; from `drift_velocity`
        or `measure_common_drift`.
    expected : array_like, shape (n, 2), optional
        Where each frame is expected, px.
    expected_sigma : float, optional
        Standard deviation of the expected step between two frames, px.
    min_overlap : float
        Least share of the field that two frames must share.

    Returns
    -------
    Average

    Raises
    ------
    ValueError
        If a frame has another shape, or is not made of finite real numbers; if fewer than two
        frames show the same specimen; if the frames can be read only once.
    """
    if isinstance(frames, Iterator):
        raise ValueError(
            "frames can be read only once: give a list, an array, or an object whose __iter__ "
            "starts again"
        )
    pairs, blank, count, shape = _pairs(frames, expected, expected_sigma, min_overlap)
    left_out = dict.fromkeys(blank, "refused: constant")
    speeds = _speeds(velocity, count)
    prior = np.zeros((count, 2)) if expected is None else np.asarray(expected, dtype=float)
    solved = solve_positions(pairs, prior, _ANYWHERE_PX)
    groups, members = np.unique(solved.group, return_counts=True)
    kept = solved.group == groups[np.argmax(members)]
    for index in np.flatnonzero(~kept).tolist():
        left_out.setdefault(index, "refused: matches none of the frames around it")
    if np.count_nonzero(kept) < 2:
        raise ValueError(f"no two of {count} frames show the same specimen: nothing to average")
    middle = np.median(solved.position[kept], axis=0)
    far = np.linalg.norm(solved.position - middle, axis=1)
    reference = int(np.argmin(np.where(kept, far, np.inf)))
    places = solved.position - solved.position[reference]

    first = _Sums(shape)
    for index, image in enumerate(_read(frames)):
        if kept[index]:
            first.add(*_placed(image, places[index], speeds[index]))
    final = _Sums(shape)
    covariance = np.full((count, 2, 2), np.nan)
    singles: list[tuple[float, float]] = []
    for index, image in enumerate(_read(frames)):
        if not kept[index]:
            continue
        step = _against_others(first, *_placed(image, places[index], speeds[index]))
        if isinstance(step, str):
            left_out[index] = step
            continue
        places[index] += step[0]
        covariance[index] = step[1]
        final.add(*_placed(image, places[index], speeds[index]))
        singles.append(_signal_and_noise(image, places[index], first.everywhere()))
    if final.frames < 2:
        raise ValueError(f"no two of {count} frames show the same specimen: nothing to average")
    shift = np.where(np.isfinite(covariance[:, 0, :1]), places, np.nan)
    return Average(
        mean=final.mean(),
        stderr=final.stderr(),
        counts=final.counts,
        shift=shift,
        covariance=covariance,
        reference=reference,
        left_out=tuple(LeftOut(k, left_out[k]) for k in sorted(left_out)),
        snr_gain=_gain(final, singles),
        ideal_gain=float(np.sqrt(final.frames)),
    )


def _read(frames: Iterable[ArrayLike]) -> Iterator[Image]:
    """Frames as float32, checked."""
    shape: tuple[int, ...] | None = None
    for index, data in enumerate(frames):
        image = np.asarray(data)
        if image.ndim != 2 or min(image.shape) < _LEAST_SIDE:
            raise ValueError(
                f"frame {index} has shape {image.shape}, must have two dimensions of at least "
                f"{_LEAST_SIDE} pixels"
            )
        shape = image.shape if shape is None else shape
        if image.shape != shape:
            raise ValueError(f"frame {index} has shape {image.shape}, those before it {shape}")
        if image.dtype.kind not in "buif":
            raise ValueError(f"frame {index} has dtype {image.dtype}, must be real numbers")
        image = image.astype(np.float32)
        if not np.isfinite(image).all():
            raise ValueError(f"frame {index} holds NaN or infinite pixels")
        yield image


def _pairs(
    frames: Iterable[ArrayLike], expected: Any, sigma: float | None, min_overlap: float
) -> tuple[list[Pair], list[int], int, tuple[int, ...]]:
    """Register each frame with some before it; also name the constant ones."""
    recent: deque[tuple[int, Image]] = deque(maxlen=max(_APART))
    places = None if expected is None else np.asarray(expected, dtype=float)
    pairs: list[Pair] = []
    blank: list[int] = []
    count, shape = 0, (0, 0)
    for index, image in enumerate(_read(frames)):
        count, shape = index + 1, image.shape
        if float(np.ptp(image)) <= 1e-6 * float(np.abs(image).max()):
            blank.append(index)
            continue
        if places is not None and index >= len(places):
            break
        for apart in _APART:
            if apart > len(recent):
                break
            other, before = recent[-apart]
            step = None if places is None else places[index] - places[other]
            found = register(
                before,
                image,
                expected=step,
                expected_sigma=None if step is None else sigma,
                min_overlap=min_overlap,
            )
            if found.accepted:
                pairs.append(Pair.of(other, index, found))
        recent.append((index, image))
    if count < 2:
        raise ValueError(f"{count} frames: at least two are needed for an average")
    if places is not None and places.shape != (count, 2):
        raise ValueError(f"expected has shape {places.shape}, must be (frames, 2)")
    return pairs, blank, count, shape


def _speeds(velocity: Any, count: int) -> NDArray[np.float64]:
    speeds = np.zeros(2) if velocity is None else np.asarray(velocity, dtype=float)
    if speeds.shape not in ((2,), (count, 2)) or not (np.abs(speeds) < 0.5).all():
        raise ValueError(
            f"velocity of shape {speeds.shape} is not allowed: (2,) or ({count}, 2), "
            "(rows, columns) px per line, below 0.5"
        )
    return np.broadcast_to(speeds, (count, 2))


def _placed(
    image: Image, place: NDArray[np.float64], speed: NDArray[np.float64]
) -> tuple[Image, NDArray[np.bool_]]:
    """Resample a frame on the pixels of the reference; also which pixels it reaches."""
    rows, columns = (np.arange(n, dtype=float) for n in image.shape)
    middle = 0.5 * (len(rows) - 1)
    lines = middle + (rows - place[0] - middle) / (1.0 + speed[0])
    at_columns = columns[None, :] - place[1] - speed[1] * (lines - middle)[:, None]
    at_rows = np.broadcast_to(lines[:, None], at_columns.shape)
    mask = (at_rows >= 0.0) & (at_rows <= len(rows) - 1.0)
    mask &= (at_columns >= 0.0) & (at_columns <= len(columns) - 1.0)
    mean = image.mean(dtype=np.float64).astype(np.float32)
    return sample(spline(image - mean), at_rows, at_columns) + mean, mask


def _against_others(
    sums: _Sums, image: Image, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | str:
    """Step of a placed frame against the mean of the others and its covariance, or a refusal."""
    counts = sums.counts - mask
    valid = mask & (counts > 0)
    rows, columns = (np.flatnonzero(valid.mean(axis=axis) > 0.5) for axis in (1, 0))
    if min(len(rows), len(columns)) < _LEAST_SIDE:
        return "refused: shares too little of the field"
    cut = np.ix_(rows, columns)
    others = _ratio(sums.total - np.where(mask, image, 0.0), counts)[cut]
    own = image[cut].astype(float)
    hole = ~valid[cut]
    for part in (others, own):
        part[hole] = part[~hole].mean()
    found = register(others, own, expected=(0.0, 0.0), expected_sigma=_FIRST_SIGMA_PX)
    return (found.shift, found.covariance) if found.accepted else found.reason


def _signal_and_noise(
    image: Image, place: NDArray[np.float64], region: NDArray[np.bool_]
) -> tuple[float, float]:
    """Variances of the specimen and of the noise of one frame, on the region all frames share."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    if min(len(rows), len(columns)) < _LEAST_SIDE:
        return float("nan"), float("nan")
    whole = np.rint(place).astype(int)
    cut = image[
        np.ix_(
            np.clip(rows - whole[0], 0, image.shape[0] - 1),
            np.clip(columns - whole[1], 0, image.shape[1] - 1),
        )
    ]
    window = np.hanning(cut.shape[0])[:, None] * np.hanning(cut.shape[1])[None, :]
    power = np.abs(forward((window * (cut - cut.mean())).astype(np.float32))) ** 2
    radius = np.hypot(np.fft.fftfreq(cut.shape[0])[:, None], np.fft.rfftfreq(cut.shape[1])[None, :])
    noise = float(power[radius > _NOISE_FREQUENCY].mean() / np.sum(window**2))
    return float(cut.var(dtype=np.float64)) - noise, noise


def _gain(sums: _Sums, singles: list[tuple[float, float]]) -> float:
    signal, noise = np.mean(singles, axis=0)
    region = sums.everywhere()
    if not (region.any() and signal > 0.0 and noise > 0.0):
        return float("nan")
    left = sums.noise()
    clean = float(np.var(sums.mean()[region])) - left
    if left <= 0.0 or clean <= 0.0:
        return float("nan")
    return float(np.sqrt(clean / left / (signal / noise)))


def _ratio(total: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
