"""Which whole-pixel shift explains two images best? The coarse half of `registration`.

The images are detrended, tapered, and filtered so that every spatial frequency counts by its
signal/noise (sqrt(S)/(S+N), ring averages, noise from the highest frequencies). On the filtered
images the log likelihood of a shift d with correlation rho on n(d) overlapping pixels is
-n/2 log(1 - rho²); the logarithm of the prior is added to it. Its map comes from one padded FFT
correlation, its value at the few best peaks exactly from the overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, correlate, forward, inverse

__all__ = ["PRIOR_REACH", "Candidate", "overlap_slices", "search"]

# Shifts further than this from the expected one are surprises (standard deviations).
PRIOR_REACH = 5.0

_CANDIDATES = 5
_TAPER = 0.06
_FAIR_SCORE = 0.5


@dataclass(frozen=True)
class Candidate:
    """The best shift of a search and how far it stands out.

    Parameters
    ----------
    shift : ndarray, shape (2,)
        (rows, columns) px, to a fraction of a pixel.
    peak_ratio : float
        How nearly the second-best shift explains the images as well, 0..1.
    noise_ratio : float
        Score that the largest of as many peaks of noise would have, over that of the best.
    """

    shift: NDArray[np.float64]
    peak_ratio: float
    noise_ratio: float


def overlap_slices(shift: int, length: int) -> tuple[slice, slice]:
    """Slices along one axis of the fixed and the moving image that show the same specimen."""
    return slice(max(0, shift), length + min(0, shift)), slice(
        max(0, -shift), length - max(0, shift)
    )


def search(
    fixed: Image,
    moving: Image,
    prior: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    min_overlap: float,
) -> Candidate:
    """Find the most probable shift.

    Parameters
    ----------
    fixed, moving : ndarray, shape (rows, columns)
        The images.
    prior : (centre, sigma) or None
        Expected shift and its standard deviation, each (rows, columns) px.
    min_overlap : float
        Least share of the field that must overlap.
    """
    first, second, bandwidth = _whitened_pair(fixed, moving)
    shape = fixed.shape
    rows, columns = (min(n - 2, int((1.0 - min_overlap) * n)) for n in shape)
    reach = (rows, columns)
    correlation = correlate(first, second, reach)
    shifts = [np.arange(-r, r + 1) for r in reach]
    counts = [(n - np.abs(s)).astype(np.float32) for n, s in zip(shape, shifts, strict=True)]
    # log likelihood to second order in rho; both images have unit variance
    scores = correlation * np.abs(correlation)
    scores *= (0.5 * bandwidth / counts[0])[:, None]
    scores *= (1.0 / counts[1])[None, :]
    log_prior = [np.zeros(s.size, np.float32) for s in shifts]
    if prior is not None:
        log_prior = [
            (-0.5 * ((s - c) / w) ** 2).astype(np.float32)
            for s, c, w in zip(shifts, *prior, strict=True)
        ]
        scores += log_prior[0][:, None]
        scores += log_prior[1][None, :]
    _forbid_small_overlap(scores, counts, min_overlap * shape[0] * shape[1])
    # a peak of a pass band this narrow has side lobes this far out
    apart = int(np.ceil(2.0 / np.sqrt(bandwidth))) + 2
    inside: list[_Judged] = []
    if prior is not None:
        box = tuple(
            slice(*np.searchsorted(s, (c - PRIOR_REACH * w, c + PRIOR_REACH * w)))
            for s, c, w in zip(shifts, *prior, strict=True)
        )
        places = [
            (row + box[0].start, column + box[1].start)
            for row, column in _peaks(scores[box], apart)
        ]
        scores[box] = -np.inf
        inside = _judge(first, second, shifts, log_prior, places, bandwidth)
    judged = inside
    if not inside or inside[0].score < 0.5 * np.sqrt(max(0.0, float(scores.max()))):
        # either nothing is expected, or what is expected is not what the images show
        judged = _judge(first, second, shifts, log_prior, _peaks(scores, apart), bandwidth)
        judged = (
            judged if not inside or judged[0].likelihood > 4.0 * inside[0].likelihood else inside
        )
    if not judged:
        raise ValueError(f"no shift leaves an overlap of {min_overlap:.0%} on a field of {shape}")
    best = judged[0]
    noise = float(np.sqrt(np.log(max(2.0, bandwidth * scores.size))))
    return Candidate(
        shift=best.shift + _parabola(correlation, best.row, best.column),
        peak_ratio=_peak_ratio(without_plane(fixed), without_plane(moving), judged),
        noise_ratio=noise / max(best.score, 1e-6),
    )


@dataclass(frozen=True)
class _Judged:
    """A place in the map of shifts, its log likelihood and its log posterior."""

    row: int
    column: int
    shift: NDArray[np.int_]
    likelihood: float
    posterior: float

    @property
    def score(self) -> float:
        return float(np.sqrt(max(0.0, self.posterior)))


def _judge(
    first: Image,
    second: Image,
    shifts: list[NDArray[np.int_]],
    log_prior: list[Image],
    places: list[tuple[int, int]],
    bandwidth: float,
) -> list[_Judged]:
    """Judge shifts by the correlation on their own overlap, best first."""
    found = []
    for row, column in places:
        shift = np.array([shifts[0][row], shifts[1][column]])
        rho = _on_overlap(first, second, shift)
        pixels = float(np.prod(np.array(first.shape) - np.abs(shift)))
        likelihood = -0.5 * bandwidth * pixels * np.log1p(-min(rho * rho, 0.999999)) * np.sign(rho)
        expectation = float(log_prior[0][row] + log_prior[1][column])
        found.append(_Judged(row, column, shift, likelihood, likelihood + expectation))
    return sorted(found, key=lambda item: (-item.posterior, item.row, item.column))


def _whitened_pair(fixed: Image, moving: Image) -> tuple[Image, Image, float]:
    """Filter both images by sqrt(S)/(S+N); return them at unit variance, and the pass band."""
    shape = fixed.shape
    window = [edge_taper(n, _TAPER) for n in shape]
    taper = (window[0][:, None] * window[1][None, :]).astype(np.float32)
    spectra = [forward(without_plane(image) * taper) for image in (fixed, moving)]
    rings, ring_count = ring_index(shape)
    members = np.bincount(rings.ravel(), minlength=ring_count + 1)[:-1]
    power = np.zeros(ring_count)
    for spectrum in spectra:
        energy = np.square(spectrum.real) + np.square(spectrum.imag)
        mean = np.bincount(rings.ravel(), energy.ravel(), ring_count + 1)[:-1] / members
        power += 0.5 * mean / max(float(mean.sum()), 1e-30)
    noise = float(np.median(power[-max(2, ring_count // 8) :]))
    signal = np.clip(power - noise * (1.0 + 3.0 / np.sqrt(members)), 1e-4 * power, None)
    passed = signal / power
    gain = np.sqrt(passed / power)
    gain[0] = 0.0
    filtered = np.append(gain, gain[-1]).astype(np.float32)[rings]
    images = []
    for spectrum in spectra:
        spectrum *= filtered
        image = inverse(spectrum, shape)
        image -= image.mean()
        images.append(image / np.float32(np.sqrt(np.mean(np.square(image))) or 1.0))
    # the number of independent values among n pixels is n times this share
    bandwidth = float((passed * members).sum() ** 2 / (passed**2 * members).sum() / members.sum())
    return images[0], images[1], bandwidth


def _forbid_small_overlap(scores: Image, counts: list[Image], least: float) -> None:
    """Take the shifts with fewer than `least` common pixels out of the map."""
    for row, count in enumerate(counts[0]):
        blocked = int(np.count_nonzero(counts[1][: counts[1].size // 2] * count < least))
        if blocked:
            scores[row, :blocked] = -np.inf
            scores[row, scores.shape[1] - blocked :] = -np.inf


def _peaks(scores: Image, apart: int) -> list[tuple[int, int]]:
    """Rows and columns of the best maxima that stand apart, best first."""
    left = scores.copy()
    peaks: list[tuple[int, int]] = []
    while left.size and len(peaks) < _CANDIDATES:
        row, column = divmod(int(np.argmax(left)), left.shape[1])
        if left[row, column] == -np.inf:
            break
        peaks.append((row, column))
        left[
            max(0, row - apart) : row + apart + 1,
            max(0, column - apart) : column + apart + 1,
        ] = -np.inf
    return peaks


def _on_overlap(first: Image, second: Image, shift: NDArray[np.int_]) -> float:
    """Normalised correlation of two images on the overlap that a shift leaves."""
    rows, columns = (overlap_slices(int(d), n) for d, n in zip(shift, first.shape, strict=True))
    return zero_mean_correlation(first[rows[0], columns[0]], second[rows[1], columns[1]])


def _peak_ratio(fixed: Image, moving: Image, judged: list[_Judged]) -> float:
    """Score of the second-best shift over that of the best, 0..1.

    On a lattice a shift by a period has a smaller score, for it has a smaller overlap, and is no
    less likely for that: a rival with a fair score that correlates as well counts as well.
    """
    best = judged[0]
    if best.score <= 0.0:
        return 1.0
    ratio = judged[1].score / best.score if len(judged) > 1 else 0.0
    rivals = [item for item in judged[1:] if item.score > _FAIR_SCORE * best.score]
    if rivals:
        own = max(_on_overlap(fixed, moving, best.shift), 1e-6)
        ratio = max(ratio, *(_on_overlap(fixed, moving, item.shift) / own for item in rivals))
    return float(np.clip(ratio, 0.0, 1.0))


def zero_mean_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Zero-mean normalised cross-correlation of two equal windows, -1..1."""
    a = a - a.mean(dtype=np.float64).astype(a.dtype)
    b = b - b.mean(dtype=np.float64).astype(b.dtype)
    scale = inner(a, a) * inner(b, b)
    return inner(a, b) / float(np.sqrt(scale)) if scale > 0.0 else 0.0


def inner(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Sum of the products of two images, summed in an order that no thread count changes."""
    return float(np.einsum("ij,ij->i", a, b).sum(dtype=np.float64))


def _parabola(values: Image, row: int, column: int) -> NDArray[np.float64]:
    """Fraction of a pixel from a parabola through the peak and its neighbours, each axis."""
    fraction = np.zeros(2)
    for axis, index in enumerate((row, column)):
        if not 0 < index < values.shape[axis] - 1:
            continue
        line = (
            values[row - 1 : row + 2, column] if axis == 0 else values[row, column - 1 : column + 2]
        )
        left, centre, right = (float(v) for v in line)
        bend = left - 2.0 * centre + right
        if bend < 0.0:
            fraction[axis] = np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    return fraction


def without_plane(image: Image) -> Image:
    """Subtract the mean and the linear gradient of the detector or the illumination."""
    rows, columns = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in image.shape)
    along_rows, along_columns = image.mean(axis=1), image.mean(axis=0)
    mean = along_rows.mean()
    slope_rows = np.sum(rows * (along_rows - mean)) / np.sum(rows * rows)
    slope_columns = np.sum(columns * (along_columns - mean)) / np.sum(columns * columns)
    return image - (mean + slope_rows * rows)[:, None] - (slope_columns * columns)[None, :]


def edge_taper(length: int, share: float, offset: float = 0.0) -> NDArray[np.float64]:
    """Tukey window of `length` samples, moved by `offset` samples; `share` tapers at each end."""
    position = (np.arange(length) + 0.5 + offset) / length
    edge = np.clip(np.minimum(position, 1.0 - position) / share, 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * edge)


def ring_index(shape: tuple[int, ...]) -> tuple[NDArray[np.int32], int]:
    """Ring number of each bin of an rfft2; bins beyond 0.5 cycles/px get the ring after the last.

    Returns
    -------
    rings : ndarray of int, shape (rows, columns // 2 + 1)
    count : int
        Number of rings up to 0.5 cycles per pixel.
    """
    count = int(np.clip(min(shape) // 4, 4, 64))
    rows = np.fft.fftfreq(shape[0]).astype(np.float32)
    columns = np.fft.rfftfreq(shape[1]).astype(np.float32)
    radius = np.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    return np.minimum(radius * (2 * count), count).astype(np.int32), count
