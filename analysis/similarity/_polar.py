"""Which scale and rotation may two frames differ by? The coarse half of `similarity`.

Amplitude spectra do not mind a shift; in log-polar coordinates a scale and a rotation shift them
(Reddy & Chatterji, IEEE Trans. Image Process. 5 (1996) 1266). They match only as far as both
spectra come from the same specimen, so that each of a few scales is tried on cuts of equal extent.
What the spectra propose, each with its half turn, is tried in real space: one image turned and
scaled, whitened, and correlated with the other. If none of that holds on the pixels, all scales
and rotations are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..registration._fft import Image, fast_length, forward, inverse

__all__ = ["Candidate", "Range", "from_everywhere", "from_spectra"]

_COARSE_SIDE = 96
_CLASS_STEP = np.log(2.0) / 2.0
_ANGLES = 180
_RADII = 64
_LEAST_RADIUS = 3.0
_PEAKS = 3
_TURN_DEG, _STRETCH = 4.0, 0.07
_GREATEST_FREQUENCY = 0.35
_KEPT = 6


@dataclass(frozen=True)
class Range:
    """What scales and rotations are possible, and where the shift is expected.

    Parameters
    ----------
    log_scale, log_reach : float
        Middle and half width of the natural logarithm of the scale.
    rotation, rotation_reach : float
        rad; pi for any.
    shift, sigma : ndarray, shape (2,), or None
        Expected (rows, columns) px and its standard deviation.
    """

    log_scale: float
    log_reach: float
    rotation: float
    rotation_reach: float
    shift: NDArray[np.float64] | None
    sigma: NDArray[np.float64] | None

    def holds(self, log_scale: float, rotation: float) -> bool:
        """Whether a scale and a rotation are possible, with a tenth of the width to spare."""
        away = (rotation - self.rotation + np.pi) % (2.0 * np.pi) - np.pi
        return bool(
            abs(log_scale - self.log_scale) <= 1.1 * self.log_reach + 0.02
            and abs(away) <= 1.1 * self.rotation_reach + 0.02
        )


@dataclass(frozen=True)
class Candidate:
    """Scale (logarithm), rotation (rad), shift (rows, columns) px, and how far it stands out.

    `z` is the correlation of the whitened images in standard deviations of noise.
    """

    log_scale: float
    rotation: float
    shift: NDArray[np.float64]
    z: float


@dataclass(frozen=True)
class _Level:
    """Both images on pixels of equal size on the specimen, `pixel` of the fixed image."""

    fixed: Image
    moving: Image
    log_scale: float
    pixel: float


def from_spectra(fixed: Image, moving: Image, possible: Range) -> list[Candidate]:
    """Scales, rotations and shifts that the amplitude spectra propose, best first."""
    steps = max(1, int(np.ceil(possible.log_reach / _CLASS_STEP)))
    classes = possible.log_scale + possible.log_reach * np.linspace(-1.0, 1.0, 2 * steps + 1)
    if possible.log_reach < 0.05:
        classes = np.array([possible.log_scale])
    found: list[Candidate] = []
    for log_scale in classes:
        level = _level(fixed, moving, float(log_scale))
        proposed = [
            (stretch, turn + half)
            for stretch, turn in _proposals(level)
            for half in (0.0, np.pi)
            if possible.holds(stretch, turn + half)
        ]
        found += _tried(fixed, moving, proposed, possible)
    return _distinct(found)


def from_everywhere(fixed: Image, moving: Image, possible: Range) -> list[Candidate]:
    """The best of all scales and rotations that are possible; seconds."""
    return _distinct(_tried(fixed, moving, list(_every(possible)), possible))


def _level(fixed: Image, moving: Image, log_scale: float) -> _Level:
    """Reduce both images to pixels of equal size and whiten them."""
    scale = float(np.exp(log_scale))
    pixel = max(1.0, scale, min(fixed.shape) / _COARSE_SIDE * max(1.0, scale))
    images = [_whitened(_reduced(fixed, pixel)), _whitened(_reduced(moving, pixel / scale))]
    return _Level(images[0], images[1], log_scale, pixel)


def _reduced(image: Image, step: float) -> Image:
    """Sample an image, low-passed, every `step` px about its middle."""
    from scipy import ndimage

    if step > 1.0:
        image = np.asarray(ndimage.gaussian_filter(image, 0.5 * step, mode="nearest"), np.float32)
    places = []
    for n in image.shape:
        count = int((n - 1) / step) + 1
        places.append(0.5 * (n - 1) + step * (np.arange(count) - 0.5 * (count - 1)))
    at = np.meshgrid(*places, indexing="ij")
    return np.asarray(ndimage.map_coordinates(image, at, order=1, mode="nearest"), dtype=np.float32)


def _whitened(image: Image) -> Image:
    """Flatten the spectrum ring by ring; unit variance, edges tapered to zero."""
    taper = [_hann_edge(n) for n in image.shape]
    window = (taper[0][:, None] * taper[1][None, :]).astype(np.float32)
    spectrum = forward(window * (image - np.average(image, weights=window)).astype(np.float32))
    radius = np.hypot(
        np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None, :]
    )
    rings = np.rint(radius * min(image.shape) / 1.5).astype(int)
    power = np.abs(spectrum) ** 2
    mean = np.bincount(rings.ravel(), power.ravel()) / np.maximum(np.bincount(rings.ravel()), 1)
    # rings of nothing stay nothing
    flat = spectrum / np.sqrt(mean + 1e-6 * mean.max() + 1e-30)[rings]
    flat *= np.exp(-((radius / _GREATEST_FREQUENCY) ** 4))
    flat[0, 0] = 0.0
    result = inverse(flat.astype(np.complex64), image.shape) * window
    return result / max(float(result.std()), 1e-12)


def _hann_edge(length: int, share: float = 0.1) -> NDArray[np.float64]:
    place = (np.arange(length) + 0.5) / length
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(np.minimum(place, 1.0 - place) / share, 0.0, 1.0))


def _proposals(level: _Level) -> Iterator[tuple[float, float]]:
    """Log scale and rotation (modulo half a turn) of the best peaks in log-polar coordinates."""
    side = min(*level.fixed.shape, *level.moving.shape)
    first = [_log_polar(cut) for cut in _cuts(level.fixed, side)]
    second = [_log_polar(cut) for cut in _cuts(level.moving, side)]
    step = np.log(0.5 * side * 0.8 / _LEAST_RADIUS) / (_RADII - 1)
    reach = int(np.ceil(0.7 * _CLASS_STEP / step)) + 1
    for a in first:
        for b in second:
            size = (_ANGLES, 2 * _RADII)
            product = np.fft.rfft2(a, s=size) * np.conj(np.fft.rfft2(b, s=size))
            plane = np.fft.irfft2(product, s=size)
            near = np.concatenate([plane[:, -reach:], plane[:, : reach + 1]], axis=1)
            for _ in range(_PEAKS):
                row, column = divmod(int(np.argmax(near)), near.shape[1])
                # a feature of the fixed spectrum further out: more cycles in one of its pixels,
                # whose pixel is then larger than that of the moving one
                yield level.log_scale - (column - reach) * step, np.pi * row / _ANGLES
                turned = (np.arange(row - 4, row + 5)) % _ANGLES
                near[turned, max(0, column - 3) : column + 4] = -np.inf


def _cuts(image: Image, side: int) -> Iterator[Image]:
    """Squares of `side` px: the middle one, and four more if the image is much larger."""
    spare = [n - side for n in image.shape]
    places = [(spare[0] // 2, spare[1] // 2)]
    if max(spare) > 0.2 * side:
        places += [(spare[0] * i // 4, spare[1] * j // 4) for i in (1, 3) for j in (1, 3)]
    for row, column in dict.fromkeys(places):
        yield image[row : row + side, column : column + side]


def _log_polar(image: Image) -> NDArray[np.float64]:
    """Amplitude spectrum over (angle, log radius), each radius without its mean."""
    from scipy import ndimage

    side = image.shape[0]
    window = np.hanning(side)
    padded = np.zeros((2 * side, 2 * side))
    padded[:side, :side] = image * window[:, None] * window[None, :]
    amplitude = np.fft.fftshift(np.abs(np.fft.fft2(padded)))
    angle = np.pi * np.arange(_ANGLES) / _ANGLES
    radius = 2.0 * np.geomspace(_LEAST_RADIUS, 0.4 * side, _RADII)
    at = [
        side + np.sin(angle)[:, None] * radius[None, :],
        side + np.cos(angle)[:, None] * radius[None, :],
    ]
    polar = ndimage.map_coordinates(amplitude, at, order=1)
    polar -= polar.mean(axis=0)
    # the number of independent angles grows with the radius
    return polar / np.maximum(polar.std(axis=0), 1e-12) * np.sqrt(radius / radius[-1])


def _every(possible: Range) -> Iterator[tuple[float, float]]:
    scales = max(1, 2 * int(np.ceil(possible.log_reach / _STRETCH)) + 1)
    turns = max(1, 2 * int(np.ceil(possible.rotation_reach / np.radians(_TURN_DEG))) + 1)
    for stretch in np.linspace(-1.0, 1.0, scales) * possible.log_reach:
        for turn in np.linspace(-1.0, 1.0, turns) * possible.rotation_reach:
            yield float(possible.log_scale + stretch), float(possible.rotation + turn)


def _tried(
    fixed: Image, moving: Image, proposed: list[tuple[float, float]], possible: Range
) -> list[Candidate]:
    """Turn and scale the moving image as proposed and correlate it with the fixed one."""
    found = []
    levels: dict[float, tuple[_Level, NDArray[Any], tuple[int, int]]] = {}
    for log_scale, rotation in proposed:
        key = round(log_scale, 3)
        if key not in levels:
            level = _level(fixed, moving, key)
            turned = int(np.ceil(np.hypot(*level.moving.shape)))
            size = (
                fast_length(turned + level.fixed.shape[0]),
                fast_length(turned + level.fixed.shape[1]),
            )
            padded = np.zeros(size, dtype=np.float32)
            padded[: level.fixed.shape[0], : level.fixed.shape[1]] = level.fixed
            levels[key] = level, forward(padded), size
        found.append(_correlated(*levels[key], rotation, possible))
    return found


def _correlated(
    level: _Level,
    spectrum: NDArray[Any],
    size: tuple[int, int],
    rotation: float,
    possible: Range,
) -> Candidate:
    from scipy import ndimage

    side = int(np.ceil(np.hypot(*level.moving.shape)))
    away = np.arange(side) - 0.5 * (side - 1)
    cosine, sine = np.cos(rotation), np.sin(rotation)
    # places in the moving image: the inverse rotation of (rows, columns)
    at = [
        0.5 * (level.moving.shape[0] - 1) + cosine * away[:, None] - sine * away[None, :],
        0.5 * (level.moving.shape[1] - 1) + sine * away[:, None] + cosine * away[None, :],
    ]
    padded = np.zeros(size, dtype=np.float32)
    padded[:side, :side] = ndimage.map_coordinates(level.moving, at, order=1, mode="constant")
    plane = inverse(spectrum * np.conj(forward(padded)), size)
    smaller = min(level.fixed.size, level.moving.size)
    z = plane / np.float32(np.sqrt(smaller))
    shifts = []
    for axis, n in enumerate(size):
        number = np.arange(n)
        number = np.where(number < level.fixed.shape[axis], number, number - n)
        shifts.append(level.pixel * (number + 0.5 * (side - level.fixed.shape[axis])))
    score = z
    if possible.shift is not None and possible.sigma is not None:
        cost = [
            ((s - c) / w) ** 2
            for s, c, w in zip(shifts, possible.shift, possible.sigma, strict=True)
        ]
        score = z * np.abs(z) - cost[0][:, None] - cost[1][None, :]
    row, column = divmod(int(np.argmax(score)), size[1])
    return Candidate(
        level.log_scale,
        rotation,
        np.array([shifts[0][row], shifts[1][column]]),
        float(z[row, column]),
    )


def _distinct(found: list[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for item in sorted(found, key=lambda each: -each.z):
        alike = any(
            abs(item.log_scale - other.log_scale) < 0.12
            and abs((item.rotation - other.rotation + np.pi) % (2.0 * np.pi) - np.pi) < 0.12
            for other in kept
        )
        if not alike:
            kept.append(item)
        if len(kept) == _KEPT:
            break
    return kept
