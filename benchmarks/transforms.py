"""Is a transform of each field, kept for all its pairs, better than transforms of windows?

The whole-pixel search for neighbouring fields of a simulated mosaic in three designs with the same
filter and the same search: windows cut to the expected overlap; the whole field padded with zeros
to twice its size, transformed once and kept; the whole field as it is (shifts wrap round),
transformed once and kept. What follows the search, the refinement on the overlap that was found,
is the same in all.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from analysis.registration import register
from benchmarks.montage import simulate
from benchmarks.tables import Table

__all__ = ["measure"]

_REACH_PX = 2.0 * np.sqrt(2.0) * 68.5  # two standard deviations of 0.5 µm at both ends, 7.3 nm
_BAND = 0.15  # cycles/px: half of the way to where the noise of a survey image wins
_RIGHT_PX = 1.0

Image = NDArray[np.float32]
Box = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class _Found:
    """Shift (rows, columns) px, and the peak over the spread of the map it was found in."""

    shift: NDArray[np.float64]
    height: float


def _band_pass(shape: tuple[int, ...]) -> Image:
    """The filter: differences, and nothing finer than what is seen."""
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    return (radius * np.exp(-((radius / _BAND) ** 2))).astype(np.float32)


def _spectrum(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.complex64]:
    rows, columns = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 0.25 for n in image.shape)
    flat = (image - image.mean(dtype=np.float64)).astype(np.float32)
    flat *= (rows[:, None] * columns[None, :]).astype(np.float32)
    found = np.asarray(fft.rfft2(flat, s=shape, workers=1), np.complex64)
    found *= _FILTERS[shape]
    return found


def _search(
    first: NDArray[np.complex64], second: NDArray[np.complex64], shape: tuple[int, int], box: Box
) -> _Found:
    correlation = np.asarray(fft.irfft2(first * np.conj(second), s=shape, workers=1))
    seen = correlation[np.ix_(box[0] % shape[0], box[1] % shape[1])]
    row, column = divmod(int(np.argmax(seen)), seen.shape[1])
    height = float((seen[row, column] - seen.mean()) / seen.std())
    return _Found(np.array([box[0][row], box[1][column]], dtype=float), height)


def _box(expected: NDArray[np.float64]) -> Box:
    low, high = (
        np.floor(expected - _REACH_PX).astype(int),
        np.ceil(expected + _REACH_PX).astype(int),
    )
    return np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)


_FILTERS: dict[tuple[int, int], Image] = {}


class _Windows:
    name = "windows of the expected overlap"

    def __init__(self, load: Callable[[int], NDArray[Any]], side: int) -> None:
        self._load = load

    def pair(self, first: int, second: int, expected: NDArray[np.float64]) -> _Found:
        a, b = self._load(first), self._load(second)
        cuts: tuple[list[slice], list[slice]] = ([], [])
        for d, n in zip(expected, a.shape, strict=True):
            width = min(n, round(n - abs(d) + _REACH_PX))
            low, high = slice(0, width), slice(n - width, n)
            for cut, part in zip(cuts, (high, low) if d > 0 else (low, high), strict=True):
                cut.append(part)
        offset = np.array([p.start - q.start for p, q in zip(*cuts, strict=True)])
        windows = a[tuple(cuts[0])], b[tuple(cuts[1])]
        sizes = [fft.next_fast_len(int(n + _REACH_PX), real=True) for n in windows[0].shape]
        shape = (int(sizes[0] or 0), int(sizes[1] or 0))
        if shape not in _FILTERS:
            _FILTERS[shape] = _band_pass(shape)
        spectra = [_spectrum(window, shape) for window in windows]
        found = _search(spectra[0], spectra[1], shape, _box(expected - offset))
        return _Found(found.shift + offset, found.height)

    @property
    def kept_mib(self) -> float:
        return 0.0


class _Whole:
    """The whole field, transformed once; `padding` times its size."""

    padding = 1
    name = "whole field as it is, kept"

    def __init__(self, load: Callable[[int], NDArray[Any]], side: int) -> None:
        self._load = load
        self._keep = side + 2  # fields until the one below has been met
        self._kept: dict[int, NDArray[np.complex64]] = {}
        self._shape = (0, 0)

    def _of(self, number: int) -> NDArray[np.complex64]:
        if number not in self._kept:
            image = self._load(number)
            self._shape = (self.padding * image.shape[0], self.padding * image.shape[1])
            if self._shape not in _FILTERS:
                _FILTERS[self._shape] = _band_pass(self._shape)
            self._kept[number] = _spectrum(image, self._shape)
            while len(self._kept) > self._keep:
                del self._kept[next(iter(self._kept))]
        return self._kept[number]

    def pair(self, first: int, second: int, expected: NDArray[np.float64]) -> _Found:
        a, b = self._of(first), self._of(second)
        return _search(a, b, self._shape, _box(expected))

    @property
    def kept_mib(self) -> float:
        return self._keep * next(iter(self._kept.values())).nbytes / 2**20


class _Padded(_Whole):
    padding = 2
    name = "whole field padded, kept"


def _neighbours(side: int) -> list[tuple[int, int]]:
    """Pairs of direct neighbours of a serpentine, in the order of their second fields."""
    number = {}
    for n in range(side * side):
        row, column = divmod(n, side)
        number[row, column if row % 2 == 0 else side - 1 - column] = n
    pairs = [
        (min(n, number[other]), max(n, number[other]))
        for (row, column), n in number.items()
        for other in ((row, column + 1), (row + 1, column))
        if other in number
    ]
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def measure(side: int = 15, rows: int = 1024, seed: int = 7) -> list[Table]:
    """Measure on the direct neighbours among `side`² fields of `rows`² pixels.

    Returns
    -------
    list of Table
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, side, rows, seed)
        return [_measured(folder, side)]


def _measured(folder: Path, side: int) -> Table:
    stage = np.load(folder / "stage.npz")
    reported, truth = (stage[key][:, ::-1] / stage["pixel_size"] for key in ("reported", "actual"))
    fields: dict[int, NDArray[np.uint16]] = {}

    def load(number: int) -> NDArray[np.uint16]:
        if number not in fields:
            fields[number] = np.load(folder / f"field-{number:04d}.npy")
        return fields[number]

    pairs = _neighbours(side)
    for number in range(side * side):
        load(number)
    lines = []
    for design in (_Windows(load, side), _Padded(load, side), _Whole(load, side)):
        begin, found = time.process_time(), []
        for first, second in pairs:
            found.append(design.pair(first, second, reported[second] - reported[first]))
        seconds = time.process_time() - begin
        errors = np.array(
            [f.shift - (truth[b] - truth[a]) for f, (a, b) in zip(found, pairs, strict=True)]
        )
        right = (np.abs(errors) <= _RIGHT_PX).all(axis=1)
        height = np.median([f.height for f in found])
        lines.append(
            [
                design.name,
                f"{1e3 * seconds / len(pairs):.1f}",
                f"{100 * right.mean():.1f} %",
                f"{height:.1f}",
                f"{design.kept_mib:.0f}",
            ]
        )
    begin = time.process_time()
    for first, second in pairs[:40]:
        expected = reported[second] - reported[first]
        register(load(first), load(second), expected=expected, expected_sigma=68.5 * np.sqrt(2.0))
    whole = 1e3 * (time.process_time() - begin) / 40
    return Table(
        title="Search for the whole pixel: windows, or transforms that are kept",
        columns=["", "ms a pair", "right to 1 px", "height of the peak", "transforms kept (MiB)"],
        rows=lines,
        notes=f"{len(pairs)} pairs of direct neighbours among {side * side} fields of "
        f"{load(0).shape[0]}², 20 % overlap; one thread, transforms of the fields included; median "
        "height of the peak over the map that is searched, in its standard deviations. "
        f"`analysis.registration.register` on whole fields, all of it: {whole:.0f} ms a pair.",
    )
