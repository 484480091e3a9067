"""Random numbers that are a function of where they are used, not of when they are asked for.

A counter-based generator: the words (seed, stream, i, j) are mixed by the finaliser of SplitMix64
(Steele, Lea and Flood, OOPSLA 2014, fig. 16; constants of Stafford's mix 13). The same words give
the same number in any order and as often as asked, which is what makes a readback independent of
how often it is read and a specimen unlimited.

The signatures are written out because numba would compile a function once for every constant that
it is called with. The functions are inlined into the compiled code of other modules, like all of
the stage's: after a change, remove the `__pycache__` folder of `sim`, as numba does not see it.
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["hash_pair", "hash_words", "normal", "stream_key", "uniform"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


@numba.njit(cache=True, inline="always")
def _mix(word: np.uint64) -> np.uint64:
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@numba.njit("uint64(int64, int64)", cache=True)
def stream_key(seed: int, stream: int) -> np.uint64:
    """Return the key of a stream of a seed, for `hash_pair`."""
    return _mix(_mix(np.uint64(seed) + _GOLDEN) ^ (np.uint64(stream) * _GOLDEN))


@numba.njit("uint64(uint64, int64, int64)", cache=True)
def hash_pair(key: np.uint64, i: int | np.int64, j: int | np.int64) -> np.uint64:
    """Return 64 random bits for a key and two integers (any sign)."""
    return _mix(_mix(key + np.uint64(i) * _MIX_1) + np.uint64(j) * _MIX_2)


@numba.njit("uint64(int64, int64, int64, int64)", cache=True)
def hash_words(seed: int, stream: int, i: int | np.int64, j: int | np.int64) -> np.uint64:
    """Return 64 random bits for four integers (any sign)."""
    return hash_pair(stream_key(seed, stream), i, j)


@numba.njit("float64(int64, int64, int64, int64)", cache=True)
def uniform(seed: int, stream: int, i: int | np.int64, j: int | np.int64) -> float:
    """Return a number in [0, 1) for four integers."""
    return float(hash_words(seed, stream, i, j) >> _S11) * 2.0**-53


@numba.njit("float64(int64, int64, int64, int64)", cache=True)
def normal(seed: int, stream: int, i: int | np.int64, j: int | np.int64) -> float:
    """Return a standard normal number for four integers (Box and Muller 1958)."""
    first = hash_words(seed, stream, i, j)
    second = _mix(first + _GOLDEN)
    radius = math.sqrt(-2.0 * math.log((float(first >> _S11) + 1.0) * 2.0**-53))
    return radius * math.cos(2.0 * math.pi * float(second >> _S11) * 2.0**-53)
