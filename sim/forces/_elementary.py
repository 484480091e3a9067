"""The exponential in a form that vectorises, for float32 and float64.

exp(x) = 2^n exp(r) with n the whole number next to x / ln 2 and |r| <= ln 2 / 2; exp(r) is its
Taylor polynomial, of the degree that the precision needs, and 2^n is written into the exponent's
bits. The mathematics library's function is a call for each number, which keeps a loop scalar.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

__all__ = ["exponential"]

_LN2 = math.log(2.0)
_PER_LN2 = 1.0 / _LN2
_LOW, _HIGH = -87.0, 88.0  # beyond these a float32 exponential leaves its range
_LOW64, _HIGH64 = -708.0, 709.0
# ln 2 in two pieces, the first with enough zero bits for n ln2 to be exact (Cody and Waite 1980)
_LN2_HIGH32, _LN2_LOW32 = 0.693359375, -2.12194440e-4
_LN2_HIGH64, _LN2_LOW64 = 6.93145751953125e-1, 1.42860682030941723212e-6


@intrinsic
def _power_of_two32(typingctx: Any, n: Any) -> Any:
    """2^n as float32 for -126 <= n <= 127."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        biased = builder.add(arguments[0], ir.Constant(word, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.int32), code


@intrinsic
def _power_of_two64(typingctx: Any, n: Any) -> Any:
    """2^n as float64 for -1022 <= n <= 1023."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        biased = builder.add(arguments[0], ir.Constant(word, 1023))
        return builder.bitcast(builder.shl(biased, ir.Constant(word, 52)), ir.DoubleType())

    return types.float64(types.int64), code


def exponential(x: float) -> float:
    """Return exp(x), in compiled code in the precision of x and without a call.

    Parameters
    ----------
    x : float
        Exponent. In compiled code it is held to the range in which the result is finite.

    Returns
    -------
    float
        exp(x), to a few units of the last place.
    """
    return math.exp(x)


@overload(exponential)
def _exponential(x: Any) -> Any:
    if x == types.float32:
        return _single
    return _double


def _single(x: Any) -> Any:
    real = np.float32
    x = min(max(x, real(_LOW)), real(_HIGH))
    n = np.floor(x * real(_PER_LN2) + real(0.5))
    r = x - n * real(_LN2_HIGH32) - n * real(_LN2_LOW32)
    e = real(1 / 720)
    e = e * r + real(1 / 120)
    e = e * r + real(1 / 24)
    e = e * r + real(1 / 6)
    e = e * r + real(0.5)
    e = e * r + real(1.0)
    e = e * r + real(1.0)
    return e * _power_of_two32(np.int32(n))  # type: ignore[call-arg]


def _double(x: Any) -> Any:
    x = min(max(x, _LOW64), _HIGH64)
    n = np.floor(x * _PER_LN2 + 0.5)
    r = x - n * _LN2_HIGH64 - n * _LN2_LOW64
    # in pairs, so that the terms do not wait for each other (Estrin's scheme)
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + (0.5 + r * (1 / 6)) * r2
    middle = (1 / 24 + r * (1 / 120)) + (1 / 720 + r * (1 / 5040)) * r2
    high = (1 / 40320 + r * (1 / 362880)) + (1 / 3628800 + r * (1 / 39916800)) * r2
    e = low + (middle + high * r4) * r4
    return e * _power_of_two64(np.int64(n))  # type: ignore[call-arg]
