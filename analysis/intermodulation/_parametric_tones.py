"""Tones of a force along a motion, by its contacts alone.

The tip is near the surface in some percent of the samples of a period; the rest, where the force
varies slowly, is thinned. Each sample is turned back by the middle of its band and collected in
blocks of slow time, with its moments up to the fourth, which the slow phases expand into tones:
the discrete Fourier transform at the wanted tones, to some 1e-5 of them.

Samples of two carriers are a lattice on the torus of their phases. Lattices whose length shares
factors with the drive tones, which are round numbers as a rule, can be ten times worse than others
of the same size; powers of two share the fewest.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import jv

__all__ = [
    "MOMENTS",
    "Basis",
    "Comb",
    "Samples",
    "Sampling",
    "choose_samples",
    "power_of_two",
]

# Slow phase of the outermost tone half a block away: 2 J_5(0.6), 4e-5 of a sample, is left out.
_PHASE = 0.6
MOMENTS = 5
# Widest group of tones that share one middle.
_WIDEST = 64
# Distances between which the dense samples hand over to the thinned ones, smoothly: an abrupt
# change would bring an error of its own. Exponential damping of 1.5 nm is felt out to 10 nm.
_DENSE_M, _THIN_M = 1.5e-9, 10e-9


@dataclass(frozen=True)
class Sampling:
    """How finely a period is sampled: `samples` near the surface, each `stride`-th far from it.

    Raises
    ------
    ValueError
        If either is not positive.
    """

    samples: int
    stride: int

    def __post_init__(self) -> None:
        if self.samples < 1 or self.stride < 1:
            raise ValueError(f"{self}: both must be 1 or more")


def power_of_two(highest_tone: int, per_tone: int, stride: int) -> Sampling:
    """Return the sampling with a power of two of at least `per_tone` samples a highest tone."""
    return Sampling(1 << (per_tone * max(1, highest_tone) - 1).bit_length(), stride)


@dataclass(frozen=True, eq=False)
class Samples:
    """Places of samples in a period and how many samples each stands for, shape (n,) each."""

    places: NDArray[np.int64]
    weights: NDArray[np.float64]


def choose_samples(z: NDArray[np.float64], height: float, stride: int) -> Samples:
    """Return the samples of a period that tell the force, dense where the tip is near.

    Parameters
    ----------
    z : ndarray, shape (n,)
        Deflection, m.
    height : float
        Of the resting tip above the surface, m, as far as it is known.
    stride : int
        Far from the surface only every so many is taken.
    """
    return Samples(*_thinned(z, height, stride))


@njit(cache=True, error_model="numpy", nogil=True)
def _thinned(z, height, stride):
    places, weights = np.empty(z.size, np.int64), np.empty(z.size)
    count = 0
    for first in range(0, z.size, stride):
        for i in range(first, min(first + stride, z.size)):
            distance = z[i] + height
            weight = 0.0
            if distance < _THIN_M:
                way = max((distance - _DENSE_M) / (_THIN_M - _DENSE_M), 0.0)
                weight = 1.0 - way**3 * (10.0 - 15.0 * way + 6.0 * way**2)
            elif i > first:
                continue
            if i == first:
                weight += stride * (1.0 - weight)
            places[count], weights[count] = i, weight
            count += 1
    return places[:count].copy(), weights[:count].copy()


@dataclass(frozen=True, eq=False)
class Basis:
    """Samples turned back by each group's middle, with their moments, in order of time.

    Parameters
    ----------
    rows : ndarray, shape (n, groups * 2 * moments)
    starts : ndarray of int, shape (blocks + 1,)
        Where the samples of each block begin.
    """

    rows: NDArray[np.floating]
    starts: NDArray[np.int64]


class Comb:
    """The wanted tones of one signal, and how samples of a period make them.

    Parameters
    ----------
    tones : ndarray of int, shape (K,)
        Rising.
    samples : int
        Of one period.

    Attributes
    ----------
    groups : list of slice
        Tones that share one middle.
    middles : ndarray of int, shape (groups,)
    blocks : int
        Of slow time.
    turn : ndarray, shape (samples, 2)
        Cosine and sine of the tone 1.
    expansions : list of ndarray of complex, shape (tones of the group, blocks * moments)
        What the moments of the blocks bring to the tones.
    """

    def __init__(self, tones: NDArray[np.int64], samples: int) -> None:
        self.tones, self.samples = tones, samples
        self.groups = _groups(tones)
        middles = [(tones[part][0] + tones[part][-1]) // 2 for part in self.groups]
        self.middles = np.array(middles, dtype=np.int64)
        pairs = list(zip(self.groups, middles, strict=True))
        widest = max(int(np.abs(tones[part] - n).max()) for part, n in pairs)
        self.blocks = max(8, int(np.ceil(np.pi * widest / _PHASE)))
        turn = 2.0 * np.pi * np.arange(samples) / samples
        self.turn = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        self.expansions = [self.expansion(tones[part], n) for part, n in pairs]

    def expansion(self, tones: NDArray[np.int64], middle: int) -> NDArray[np.complex128]:
        """Return what each moment of each block brings to each tone, (tones, blocks * moments)."""
        offset = tones - middle
        centres = (np.arange(self.blocks) + 0.5) / self.blocks
        slow = np.exp(-2j * np.pi * offset[:, None] * centres)
        inside = np.pi * offset / self.blocks
        scale = np.where(tones == 0, 1.0, 2.0) / self.samples
        powers = scale[:, None] * _powers(inside)
        return np.ascontiguousarray(
            (slow[:, :, None] * powers[:, None, :]).reshape(offset.size, -1)
        )

    def basis(self, samples: Samples) -> Basis:
        """Return what turns signals at the samples into moments; one for each motion."""
        rows = np.empty((samples.places.size, self.middles.size * 2 * MOMENTS))
        _turn_back(samples.places, samples.weights, self.middles, self.turn, self.blocks, rows)
        return Basis(rows, np.searchsorted(samples.places, self.firsts()))

    def firsts(self) -> NDArray[np.int64]:
        """Return the first sample of each block, and their number last."""
        return -(-np.arange(self.blocks + 1) * self.samples // self.blocks)

    def spectra(self, columns: NDArray[np.float64], basis: Basis) -> NDArray[np.complex128]:
        """Return the tones of signals.

        Parameters
        ----------
        columns : ndarray, shape (c, n)
            Signals at the n samples.
        basis : Basis
            Of the samples.

        Returns
        -------
        ndarray of complex, shape (K, c)
        """
        values = np.ascontiguousarray(columns.T)
        moments = np.empty((self.blocks, basis.rows.shape[1], len(columns)))
        for block, (first, end) in enumerate(pairwise(basis.starts.tolist())):
            np.matmul(basis.rows[first:end].T, values[first:end], out=moments[block])
        shape = (self.blocks, self.middles.size, 2, MOMENTS, len(columns))
        parts = moments.reshape(shape).transpose(1, 2, 0, 3, 4)
        parts = parts.reshape(self.middles.size, 2, -1, len(columns))
        tones = np.empty((self.tones.size, len(columns)), dtype=np.complex128)
        for part, expansion, own in zip(self.groups, self.expansions, parts, strict=True):
            tones[part] = expansion @ (own[0] - 1j * own[1])
        return tones


def _powers(phase: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the polynomial in x that is exp(-i phase x) for -1 <= x <= 1, (n, MOMENTS).

    Jacobi and Anger's series in Chebyshev polynomials, which no other of its length betters by
    much (DLMF 10.12.3).
    """
    orders = np.arange(MOMENTS)
    series = np.where(orders == 0, 1.0, 2.0) * (-1j) ** orders * jv(orders, phase[:, None])
    powers = np.zeros((MOMENTS, MOMENTS))
    for order, row in enumerate(powers):
        row[: order + 1] = chebyshev.cheb2poly(np.eye(MOMENTS)[order])
    return np.asarray(series @ powers, dtype=np.complex128)


def _groups(tones: NDArray[np.int64]) -> list[slice]:
    groups, first = [], 0
    for i in range(1, tones.size + 1):
        if i == tones.size or tones[i] - tones[first] > _WIDEST:
            groups.append(slice(first, i))
            first = i
    return groups


@njit(cache=True, error_model="numpy")
def _turn_back(places, weights, middles, turns, blocks, rows):
    """Write each sample's phase factors times the powers of its offset from its block's middle."""
    samples = turns.shape[0]
    for i in range(places.size):
        place = places[i]
        slow = (place * blocks) // samples
        offset = 2.0 * (place * blocks - slow * samples) / samples - 1.0
        for group in range(middles.size):
            turn = (middles[group] * place) % samples
            first = group * 2 * MOMENTS
            cosine, sine = weights[i] * turns[turn, 0], weights[i] * turns[turn, 1]
            for moment in range(first, first + MOMENTS):
                rows[i, moment] = cosine
                rows[i, moment + MOMENTS] = sine
                cosine *= offset
                sine *= offset
