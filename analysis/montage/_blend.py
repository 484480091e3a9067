"""The arithmetic of `montage`: strips of a blended mosaic, gain and offset of its fields."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Balance", "Mosaic", "balance"]

# Overlaps are compared in cells this wide, px: 64 pixels of noise averaged, 3 px of misfit
# forgiven.
_CELL = 8
_LEAST_CELLS = 16
# How well two cells agree, share of the fields' spread: noise and misfit after averaging.
_CELL_SIGMA = 0.02
# How much a field's gain and offset may differ from the others' where no overlap tells (standard
# deviations, of 1 and of the fields' spread).
_GAIN_SIGMA, _OFFSET_SIGMA = 0.3, 1.0
_FIELDS_IN_MEMORY = 64

Load = Callable[[int], NDArray[Any]]


@dataclass(frozen=True)
class Balance:
    """What to multiply each field with and what to add, so that all agree where they overlap.

    Parameters
    ----------
    gain : ndarray, shape (n,)
        Mean 1.
    offset : ndarray, shape (n,)
        In the fields' own units.
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]


class _Recent:
    """The fields read last, so that a strip and the next do not read a field twice."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __call__(self, number: int) -> NDArray[Any]:
        if number not in self._kept:
            self._kept[number] = np.asarray(self._load(number))
            while len(self._kept) > _FIELDS_IN_MEMORY:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]


def _checked(positions: ArrayLike) -> NDArray[np.float64]:
    places = np.array(positions, dtype=float)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise ValueError(f"positions of shape {places.shape} are not allowed: (fields, 2), px")
    if not np.isfinite(places).all():
        number = int(np.argmin(np.isfinite(places).all(axis=1)))
        raise ValueError(f"position of field {number} is not finite: give every field a position")
    return places


def balance(load: Load, positions: ArrayLike) -> Balance:
    """Gain and offset of every field from the overlaps of all, by sparse least squares.

    Parameters
    ----------
    load : callable(number) -> ndarray, shape (rows, columns)
    positions : array_like, shape (n, 2)
        (rows, columns) px.

    Returns
    -------
    Balance
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    places = _checked(positions)
    fields = _Recent(load)
    shape = np.array(fields(0).shape)
    n = len(places)
    level, spread = _level(fields(0))
    rows: list[NDArray[Any]] = []
    columns: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    right = np.zeros(2 * n)
    # a prior on every gain and offset
    prior = np.tile([1.0 / _GAIN_SIGMA**2, 1.0 / _OFFSET_SIGMA**2], n)
    rows.append(np.arange(2 * n))
    columns.append(np.arange(2 * n))
    values.append(prior)
    right[0::2] += prior[0]
    for first in range(n):
        near = np.abs(places[first + 1 :] - places[first])
        for second in np.flatnonzero((near < shape - _CELL).all(axis=1)) + first + 1:
            seen = _common(fields(first), fields(int(second)), places[second] - places[first])
            if seen is None:
                continue
            a, b = ((cells - level) / spread for cells in seen)
            design = np.stack([a, np.ones_like(a), -b, -np.ones_like(b)])
            normal = design @ design.T / _CELL_SIGMA**2
            at = np.array([2 * first, 2 * first + 1, 2 * second, 2 * second + 1])
            rows.append(np.repeat(at, 4))
            columns.append(np.tile(at, 4))
            values.append(normal.ravel())
    where = (np.concatenate(rows), np.concatenate(columns))
    matrix = coo_array((np.concatenate(values), where), shape=(2 * n, 2 * n)).tocsc()
    solution = np.asarray(spsolve(matrix, right))
    gain, lift = solution[0::2], solution[1::2]
    mean = gain.mean()
    gain, lift = gain / mean, lift / mean
    lift = lift - lift.mean()
    # back from (value - level) / spread to the value
    return Balance(gain, level * (1.0 - gain) + spread * lift)


def _level(image: NDArray[Any]) -> tuple[float, float]:
    return float(image.mean()), float(image.std()) or 1.0


def _common(
    first: NDArray[Any], second: NDArray[Any], shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Means of the cells that two fields share, to the whole pixel."""
    whole = np.rint(shift).astype(int)
    parts = []
    for d, length in zip(whole, first.shape, strict=True):
        size = (length - abs(d)) // _CELL * _CELL
        parts.append((slice(max(0, d), max(0, d) + size), slice(max(0, -d), max(0, -d) + size)))
    pair = first[parts[0][0], parts[1][0]], second[parts[0][1], parts[1][1]]
    if pair[0].size < _LEAST_CELLS * _CELL**2:
        return None
    shape = (pair[0].shape[0] // _CELL, _CELL, pair[0].shape[1] // _CELL, _CELL)
    one, other = (p.reshape(shape).mean(axis=(1, 3), dtype=np.float64).ravel() for p in pair)
    return one, other


class Mosaic:
    """Fields at their positions, ready to be blended.

    Parameters
    ----------
    load : callable(number) -> ndarray, shape (rows, columns)
    positions : array_like, shape (n, 2)
        (rows, columns) px.
    levelled : Balance or None
    """

    def __init__(self, load: Load, positions: ArrayLike, levelled: Balance | None) -> None:
        places = _checked(positions)
        self._fields = _Recent(load)
        first = self._fields(0)
        if first.ndim != 2 or min(first.shape) < 4:
            raise ValueError(f"field 0 has shape {first.shape}, must be 2-D and 4 pixels or more")
        self._field_shape = first.shape
        self.dtype = first.dtype if first.dtype.kind == "u" else np.dtype(np.float32)
        self.origin = np.floor(places.min(axis=0))
        self._places = places - self.origin
        end = np.ceil(self._places.max(axis=0)).astype(int)
        self.shape = (int(end[0]) + first.shape[0], int(end[1]) + first.shape[1])
        if levelled is None:
            levelled = Balance(np.ones(len(places)), np.zeros(len(places)))
        if len(levelled.gain) != len(places):
            raise ValueError(
                f"the balance holds {len(levelled.gain)} fields, the positions {len(places)}"
            )
        self._balance = levelled

    def __len__(self) -> int:
        return len(self._places)

    def strips(self, height: int) -> Iterator[NDArray[Any]]:
        """Strips of the mosaic from above, each `height` rows, the last perhaps fewer."""
        for top in range(0, self.shape[0], height):
            yield self._strip(top, min(height, self.shape[0] - top))

    def _strip(self, top: int, height: int) -> NDArray[Any]:
        total = np.zeros((height, self.shape[1]), np.float32)
        weight = np.zeros_like(total)
        rows, columns = self._field_shape
        starts = self._places[:, 0]
        inside = (starts < top + height) & (starts + rows + 1 > top)
        for number in np.flatnonzero(inside):
            place = self._places[number]
            image = self._fields(int(number))
            if image.shape != self._field_shape:
                raise ValueError(f"field {number} has shape {image.shape}, not {rows, columns}")
            corner = np.floor(place).astype(int)
            fraction = place - corner
            low, high = max(top, corner[0]), min(top + height, corner[0] + rows + 1)
            if low >= high:
                continue
            part = _moved(image, fraction, low - corner[0], high - corner[0])
            part *= np.float32(self._balance.gain[number])
            part += np.float32(self._balance.offset[number])
            ramps = [
                _ramp(np.arange(a, b) - f, n)
                for a, b, f, n in (
                    (low - corner[0], high - corner[0], fraction[0], rows),
                    (0, columns + 1, fraction[1], columns),
                )
            ]
            share = ramps[0][:, None] * ramps[1][None, :]
            part *= share
            width = min(columns + 1, self.shape[1] - corner[1])
            area = (slice(low - top, high - top), slice(corner[1], corner[1] + width))
            total[area] += part[:, :width]
            weight[area] += share[:, :width]
        np.divide(total, weight, out=total, where=weight > 0)
        if self.dtype.kind == "f":
            return total
        greatest = 2 ** (8 * self.dtype.itemsize) - 1
        np.clip(np.rint(total, out=total), 0, greatest, out=total)
        return total.astype(self.dtype)


def _ramp(place: NDArray[Any], length: int) -> NDArray[np.float32]:
    """Weight along one axis: 1 in the middle, next to nothing at the outermost pixel, 0 beyond."""
    edge = np.minimum(place + 0.5, length - 0.5 - place) / (0.5 * length)
    # an edge pixel that nothing else covers must still have a weight
    inside = (place > -1.0) & (place < length)
    return np.where(inside, np.maximum(edge, 1e-4), 0.0).astype(np.float32)


def _moved(
    image: NDArray[Any], fraction: NDArray[np.float64], low: int, high: int
) -> NDArray[np.float32]:
    """Rows low..high of an image moved by a fraction of a pixel, one pixel wider each way.

    Cubic convolution (Keys, IEEE Trans. ASSP 29 (1981) 1153), the edge repeated.
    """
    rows = np.clip(np.arange(low - 2, high + 1), 0, image.shape[0] - 1)
    part = image[rows].astype(np.float32)
    taps = _keys(float(fraction[0]))
    size = high - low
    moved = taps[0] * part[0:size]
    for k in range(1, 4):
        moved += taps[k] * part[k : k + size]
    padded = np.pad(moved, ((0, 0), (2, 2)), mode="edge")
    taps = _keys(float(fraction[1]))
    width = image.shape[1] + 1
    out = taps[0] * padded[:, 0:width]
    for k in range(1, 4):
        out += taps[k] * padded[:, k : k + width]
    return out


def _keys(fraction: float) -> NDArray[np.float32]:
    """Weights of the pixels p-2, p-1, p, p+1 for the value at p - fraction."""
    distance = np.abs(np.array([-2.0, -1.0, 0.0, 1.0]) + fraction)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)).astype(np.float32)
