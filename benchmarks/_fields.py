"""Overlapping fields whose displacement is known: the conditions of the registration benchmark.

A specimen is a periodic canvas, twice as wide as a field, so that any sub-pixel displacement of it
is exact (Fourier). *film* is an amorphous texture, *sparse* a few particles on nothing, *lattice*
columns of atoms of nearly equal brightness. *clean* fields differ by independent noise alone;
*fixed* ones also share a pattern of the detector (pixels and columns); *scan* ones were scanned
line by line with jitter and with a drift of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DISTORTIONS", "OVERLAPS", "SNRS", "SPECIMENS", "FieldPair", "cut", "make_pair"]

SPECIMENS = ("film", "sparse", "lattice")
DISTORTIONS = ("clean", "fixed", "scan")
OVERLAPS = (0.7, 0.5, 0.35, 0.2)
SNRS = (5.0, 1.0, 0.3)

# Detector pattern, shares of the specimen's standard deviation: pixels, columns.
_PATTERN = (0.25, 0.1)
# Jitter of a scan line along it and across (px, standard deviation); drift over a frame (px).
_JITTER = (0.5, 0.15)
_DRIFT = 1.5
_MARGIN = 8.0  # px
_PARTICLES = 16  # expected in a field


@dataclass(frozen=True)
class FieldPair:
    """Two fields and the truth.

    Parameters
    ----------
    fixed, moving : ndarray of float32, shape (rows, columns)
    shift : ndarray, shape (2,)
        How far the moving field lies from the fixed one, (rows, columns) px; of the middle of the
        scans where they drift.
    limit : ndarray, shape (2,)
        Cramér-Rao bound of the standard deviation of each component, px; NaN where the specimen
        has no stationary spectrum.
    period : float
        Spacing of the lattice, px; 0 without one.
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    shift: NDArray[np.float64]
    limit: NDArray[np.float64]
    period: float


@dataclass(frozen=True)
class _Canvas:
    """A periodic specimen of variance 1, its spectrum (power per pixel) if known, its period."""

    pixels: NDArray[np.float64]
    power: NDArray[np.float64] | None
    period: float


def make_pair(
    specimen: str, distortion: str, overlap: float, snr: float, size: int, seed: int
) -> FieldPair:
    """Make a pair of fields.

    Parameters
    ----------
    specimen, distortion : str
        Of `SPECIMENS` and `DISTORTIONS`.
    overlap : float
        Share of the field that both show.
    snr : float
        Standard deviation of the specimen over that of the noise of a pixel.
    size : int
        Rows and columns of a field, px.
    seed : int
        Of everything random.

    Returns
    -------
    FieldPair
    """
    rng = np.random.default_rng(
        [
            seed,
            size,
            SPECIMENS.index(specimen),
            DISTORTIONS.index(distortion),
            int(100 * overlap),
            int(10 * snr),
        ]
    )
    canvas = _CANVASES[specimen](2 * size, rng)
    share = rng.uniform()
    common = np.array([overlap**share, overlap ** (1.0 - share)])
    shift = (1.0 - common) * size * rng.choice([-1.0, 1.0], 2) + rng.uniform(-0.5, 0.5, 2)
    # inside the canvas, whose seam a lattice does not survive
    start = np.maximum(0.0, -np.ceil(shift)) + _MARGIN
    places = (start, start + shift)
    if distortion == "scan":
        images = [_scanned(canvas.pixels, place, size, rng) for place in places]
    else:
        images = [cut(canvas.pixels, place, size) for place in places]
    if distortion == "fixed":
        pattern = _PATTERN[0] * rng.standard_normal((size, size))
        pattern += _PATTERN[1] * rng.standard_normal(size)
        images = [image + pattern for image in images]
    noise = 1.0 / snr
    fixed, moving = (
        (image + noise * rng.standard_normal((size, size))).astype(np.float32) for image in images
    )
    limit = np.full(2, np.nan)
    if canvas.power is not None:
        limit = _cramer_rao(canvas.power, noise**2, common * size)
    return FieldPair(fixed, moving, shift, limit, canvas.period)


def cut(canvas: NDArray[np.float64], place: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Field of `size`² pixels of a periodic canvas whose first pixel lies at `place` (px)."""
    whole = np.floor(place).astype(int)
    rest = place - whole
    rows, columns = np.fft.fftfreq(canvas.shape[0]), np.fft.rfftfreq(canvas.shape[1])
    turn = np.exp(2j * np.pi * (rest[0] * rows[:, None] + rest[1] * columns[None, :]))
    moved = np.fft.irfft2(np.fft.rfft2(canvas) * turn, s=canvas.shape)
    return np.roll(moved, tuple(-whole), axis=(0, 1))[:size, :size]


def _scanned(
    canvas: NDArray[np.float64], place: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The same, scanned line by line with jitter, and drift about the middle of the frame."""
    from scipy.ndimage import map_coordinates

    lines = np.arange(size)
    time = (lines - 0.5 * (size - 1)) / size
    drift = rng.uniform(-_DRIFT, _DRIFT, 2)
    rows = place[0] + lines + drift[0] * time + _JITTER[1] * rng.standard_normal(size)
    offsets = place[1] + drift[1] * time + _JITTER[0] * rng.standard_normal(size)
    at = np.stack(
        [
            np.broadcast_to(rows[:, None], (size, size)),
            offsets[:, None] + np.arange(size)[None, :],
        ]
    )
    return map_coordinates(canvas, at, order=5, mode="grid-wrap")


def _film(size: int, rng: np.random.Generator) -> _Canvas:
    """Amorphous: a power law that ends at 0.15 to 0.25 cycles per pixel, random phases."""
    slope, cutoff = rng.uniform(0.8, 1.5), rng.uniform(0.15, 0.25)
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    radius[0, 0] = np.inf
    power = radius ** (-2.0 * slope) * np.exp(-2.0 * (radius / cutoff) ** 2)
    power /= power.mean()
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * np.sqrt(power)
    pixels = np.fft.ifft2(spectrum).real
    return _Canvas(pixels / pixels.std(), power, 0.0)


def _sparse(size: int, rng: np.random.Generator) -> _Canvas:
    """Few particles: discs of 3 to 10 px radius, their edges as soft as the beam is wide."""
    from scipy.special import erfc

    pixels = np.zeros((size, size))
    for _ in range(rng.poisson(4 * _PARTICLES)):  # the canvas holds four fields
        centre, radius = rng.uniform(0, size, 2), rng.uniform(3.0, 10.0)
        reach = int(radius + 6)
        middle = np.rint(centre).astype(int)
        near = np.arange(-reach, reach + 1)
        rows, columns = (m + near for m in middle)
        distance = np.hypot((rows - centre[0])[:, None], (columns - centre[1])[None, :])
        disc = 0.5 * erfc((distance - radius) / (np.sqrt(2.0) * 0.9))
        pixels[np.ix_(rows % size, columns % size)] += rng.uniform(0.5, 1.5) * disc
    pixels -= pixels.mean()
    return _Canvas(pixels / max(pixels.std(), 1e-9), None, 0.0)


def _lattice(size: int, rng: np.random.Generator) -> _Canvas:
    """Columns of atoms on a turned hexagonal lattice, 2 to 10 % unlike in brightness."""
    period, angle = rng.uniform(9.0, 18.0), rng.uniform(0.0, np.pi / 3.0)
    unlike = np.exp(rng.uniform(np.log(0.02), np.log(0.1)))
    count = int(2.0 * size / period) + 4
    steps = np.arange(-count, count + 1)
    first, second = (
        period * np.array([np.sin(angle + a), np.cos(angle + a)]) for a in (0.0, np.pi / 3.0)
    )
    sites = steps[:, None, None] * first + steps[None, :, None] * second
    sites = sites.reshape(-1, 2) + 0.5 * size
    # not periodic with the canvas: its seam is kept out of the fields by the margin
    sites = sites[((sites > -8.0) & (sites < size + 8.0)).all(axis=1)]
    width = 0.22 * period
    pixels = np.zeros((size, size))
    reach = int(4.5 * width) + 1
    near = np.arange(-reach, reach + 1)
    for site, brightness in zip(sites, 1.0 + unlike * rng.standard_normal(len(sites)), strict=True):
        middle = np.rint(site).astype(int)
        rows, columns = (m + near for m in middle)
        one, other = (
            np.exp(-0.5 * ((p - s) / width) ** 2)
            for p, s in zip((rows, columns), site, strict=True)
        )
        inside = [(p >= 0) & (p < size) for p in (rows, columns)]
        rows, columns = rows[inside[0]], columns[inside[1]]
        pixels[rows[:, None], columns] += (
            brightness * one[inside[0]][:, None] * other[inside[1]][None, :]
        )
    pixels -= pixels.mean()
    return _Canvas(pixels / pixels.std(), None, period)


_CANVASES = {"film": _film, "sparse": _sparse, "lattice": _lattice}


def _cramer_rao(
    power: NDArray[np.float64], noise: float, common: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bound of each component's standard deviation: Fisher information summed over the overlap.

    Parameters
    ----------
    power : ndarray, shape (size, size)
        Signal spectrum, variance per pixel.
    noise : float
        Variance of a pixel.
    common : (rows, columns)
        Of the overlap, px.
    """
    size = power.shape[0]
    frequency = np.fft.fftfreq(size)
    gain = power**2 / (noise * (2.0 * power + noise)) * common.prod() / size**2
    angular = [2.0 * np.pi * frequency[:, None], 2.0 * np.pi * frequency[None, :]]
    fisher = np.array([[np.sum(a * b * gain) for b in angular] for a in angular])
    return np.sqrt(np.diag(np.linalg.inv(fisher)))
