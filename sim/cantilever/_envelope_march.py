"""The compiled loop of the envelope engine: slow amplitudes of two modes, many pixels abreast.

What the force adds to the free motion obeys b' = mu b + kappa G, with G from the tables of averaged
forces. The linear part is taken out exactly and the rest follows by the classical Runge-Kutta
method (Lawson, SIAM J. Numer. Anal. 4, 372 (1967)).

All of the state lies in one buffer, row after row of LANES numbers, so that the compiler knows that
the rows do not overlap and makes vector instructions of the loops over the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from sim.cantilever._envelope_table import RUNGS, SMOOTHING

__all__ = ["march"]

LANES = 16
# rows of the buffer; amplitudes take four: real and imaginary part of the first and of the second
_B, _TRIAL, _NEXT, _MOTION, _FORCE = 0, 4, 8, 12, 16
_APPROACH, _DEPTH, _SHARE, _ON_FIRST, _ON_SECOND, _HEIGHT, _STEP, _CLOSEST, _OUTSIDE = range(20, 29)
_BEFORE, _ROUGH, _LARGEST = 29, 33, 34
_ROWS = 35
_FAST = {"contract", "nsz", "arcp", "reassoc"}  # a NaN stays a NaN


@register_jitable
def _blend(tables, first, height, table):
    """Interpolate between four heights of the ladder into one flat table."""
    s = math.log2(height / 1e-9) * RUNGS - first
    k = min(max(int(s) - 1, 0), tables.shape[0] - 4)
    s -= k
    w0, w1 = -(s - 1) * (s - 2) * (s - 3) / 6, s * (s - 2) * (s - 3) / 2
    w2, w3 = -s * (s - 1) * (s - 3) / 2, s * (s - 1) * (s - 2) / 6
    for i in range(table.size):
        table[i] = (
            w0 * tables[k, i]
            + w1 * tables[k + 1, i]
            + w2 * tables[k + 2, i]
            + w3 * tables[k + 3, i]
        )


@register_jitable
def _weights(t):
    """Return the four cubic B-splines that reach into an interval, 0 <= t <= 1 in it."""
    g = 1 - t
    w0, w3 = g * g * g / 6, t * t * t / 6
    w1 = (4 - 6 * t * t + 3 * t * t * t) / 6
    return w0, w1, 1 - w0 - w1 - w3, w3


@register_jitable
def _look_up(x, tables, width, depths, shares, four):
    """Fill the averaged force of each lane, still with the factor of its radii."""
    size = (depths + 2) * width
    for l in range(LANES):  # noqa: E741
        at, share = x[_DEPTH * LANES + l], x[_SHARE * LANES + l]
        if not (at >= 0.0 and share < shares - 0.999999):
            x[_OUTSIDE * LANES + l] = 1.0
        # written so that a NaN ends inside the table
        at = at if at > 0.0 else 0.0
        share = share if share > 0.0 else 0.0
        i, j = (
            min(int(min(at, depths - 1.0)), depths - 2),
            min(int(min(share, shares - 1.0)), shares - 2),
        )
        a0, a1, a2, a3 = _weights(min(at - i, 1.0))
        c0, c1, c2, c3 = _weights(min(share - j, 1.0))
        start = l * size + i * width + 4 * j
        # slices: their indices from zero need no check for being negative
        r0, r1 = tables[start : start + 16], tables[start + width : start + width + 16]
        start += 2 * width
        r2, r3 = tables[start : start + 16], tables[start + width : start + width + 16]
        for v in range(16):
            four[v] = a0 * r0[v] + a1 * r1[v] + a2 * r2[v] + a3 * r3[v]
        for v in range(4):
            x[(_FORCE + v) * LANES + l] = (
                c0 * four[v] + c1 * four[4 + v] + c2 * four[8 + v] + c3 * four[12 + v]
            )


def _measures(lateral: bool) -> Callable[..., Any]:
    """Return what turns amplitudes into approach, share and the factors of the tables."""

    @register_jitable
    def collinear(r1, r2, height, shares):
        near, far = r1 + SMOOTHING, r2 + SMOOTHING
        factor = 1 / math.sqrt(near * far)
        one, two = math.sqrt(r1), math.sqrt(r2)
        return height - r1 - r2, shares * two / (one + two), factor / near, factor / far

    @register_jitable
    def sideways(r1, r2, height, shares):
        near = r1 + SMOOTHING
        factor = 1 / math.sqrt(near)
        return height - r1, shares * r2, factor / near, factor

    return sideways if lateral else collinear


@cache
def march(lateral: bool) -> Callable[..., None]:
    """Return the compiled function that follows the amplitudes over many pixels.

    Parameters
    ----------
    lateral : bool
        Whether the second mode moves sideways.

    Returns
    -------
    callable
        ``f(heights, tables, first, shape, grid, per_share, free, steps, clock, force, ends,
        closest, outside, rough)``: tables (rungs, cells) from rung `first` on, with `shape` knots
        of depth and share; grid (deepest, centre, scale); `per_share` knots of a whole share, or
        of 1 m of the second amplitude; free motion at half steps (2 n, 4); coefficients `steps` of
        the Runge-Kutta stages (4, 2, 4), complex; clock (half step to start at, steps to settle).
        Filled: force (pixels, 2, n), complex, N; ends (pixels, 2, 2), complex, m: what the force
        adds before and after; closest (pixels,), m; outside (pixels,), whether the table was left;
        rough (pixels,), by how much the two forces in the middle of a step differ at most, as a
        part of the largest force.
    """
    measures = _measures(lateral)

    @register_jitable
    def prepare(x, free, q, centre, scale, ends, per_share):
        for l in range(LANES):  # noqa: E741
            z0, z1 = free[q, 0] + x[_TRIAL * LANES + l], free[q, 1] + x[(_TRIAL + 1) * LANES + l]
            z2 = free[q, 2] + x[(_TRIAL + 2) * LANES + l]
            z3 = free[q, 3] + x[(_TRIAL + 3) * LANES + l]
            x[_MOTION * LANES + l], x[(_MOTION + 1) * LANES + l] = z0, z1
            x[(_MOTION + 2) * LANES + l], x[(_MOTION + 3) * LANES + l] = z2, z3
            # the smallest number keeps the share of no amplitude at all finite
            r1, r2 = math.sqrt(z0 * z0 + z1 * z1 + 1e-40), math.sqrt(z2 * z2 + z3 * z3)
            depth, share, one, two = measures(r1, r2, x[_HEIGHT * LANES + l], per_share)
            y = (depth - centre) / scale
            x[_APPROACH * LANES + l] = depth
            x[_DEPTH * LANES + l] = (y / math.sqrt(math.sqrt(1 + y * y)) - ends) * x[
                _STEP * LANES + l
            ]
            x[_SHARE * LANES + l] = share
            x[_ON_FIRST * LANES + l], x[_ON_SECOND * LANES + l] = one, two

    @register_jitable
    def turn(x):
        for l in range(LANES):  # noqa: E741
            for mode in range(2):
                on = x[(_ON_FIRST + mode) * LANES + l]
                re, im = (_FORCE + 2 * mode) * LANES + l, (_FORCE + 2 * mode + 1) * LANES + l
                along, across = x[re] * on, x[im] * on
                a, b = x[(_MOTION + 2 * mode) * LANES + l], x[(_MOTION + 2 * mode + 1) * LANES + l]
                x[re], x[im] = along * a - across * b, along * b + across * a

    @register_jitable
    def compare(x):
        for mode in range(2):
            for l in range(LANES):  # noqa: E741
                re, im = 2 * mode * LANES + l, (2 * mode + 1) * LANES + l
                f, g = x[_FORCE * LANES + re], x[_FORCE * LANES + im]
                df, dg = f - x[_BEFORE * LANES + re], g - x[_BEFORE * LANES + im]
                x[_ROUGH * LANES + l] = max(x[_ROUGH * LANES + l], df * df + dg * dg)
                x[_LARGEST * LANES + l] = max(x[_LARGEST * LANES + l], f * f + g * g)

    @register_jitable
    def advance(x, stage, steps):
        for mode in range(2):
            s = steps[stage, mode]
            nb, nk, tb, tk = s[0], s[1], s[2], s[3]
            keep = 0.0 if stage == 0 else 1.0
            for l in range(LANES):  # noqa: E741
                re, im = 2 * mode * LANES + l, (2 * mode + 1) * LANES + l
                b, c = x[_B * LANES + re], x[_B * LANES + im]
                f, g = x[_FORCE * LANES + re], x[_FORCE * LANES + im]
                x[_NEXT * LANES + re] = (
                    keep * x[_NEXT * LANES + re]
                    + (nb.real * b - nb.imag * c)
                    + (nk.real * f - nk.imag * g)
                )
                x[_NEXT * LANES + im] = (
                    keep * x[_NEXT * LANES + im]
                    + (nb.real * c + nb.imag * b)
                    + (nk.real * g + nk.imag * f)
                )
                x[_TRIAL * LANES + re] = tb.real * b - tb.imag * c + (tk.real * f - tk.imag * g)
                x[_TRIAL * LANES + im] = tb.real * c + tb.imag * b + (tk.real * g + tk.imag * f)

    @njit(error_model="numpy", cache=True, fastmath=_FAST, nogil=True)
    def follow(
        heights,
        tables,
        first,
        shape,
        grid,
        per_share,
        free,
        steps,
        clock,
        force,
        ends,
        closest,
        outside,
        rough,
    ):
        depths, shares = shape
        deepest, centre, scale = grid
        width = 4 * (shares + 2)
        x = np.zeros(_ROWS * LANES)
        own = np.empty((LANES, tables.shape[1]))
        flat = own.reshape(-1)
        four = np.empty(16)
        y = (deepest - centre) / scale
        low = y / math.sqrt(math.sqrt(1 + y * y))
        start, settling = clock
        measured = force.shape[2]
        for block in range(0, heights.size, LANES):
            count = min(LANES, heights.size - block)
            x[:] = 0.0
            for l in range(LANES):  # noqa: E741
                height = heights[block + min(l, count - 1)]
                x[_HEIGHT * LANES + l] = x[_CLOSEST * LANES + l] = height
                y = (height - centre) / scale
                x[_STEP * LANES + l] = (depths - 1) / (y / math.sqrt(math.sqrt(1 + y * y)) - low)
                _blend(tables, first, height, own[l])
            for step in range(settling + measured):
                for stage in range(4):
                    q = (start + 2 * step + (stage + 1) // 2) % free.shape[0]
                    prepare(x, free, q, centre, scale, low, per_share)
                    _look_up(x, flat, width, depths, shares, four)
                    turn(x)
                    if stage == 0 and step >= settling:
                        for l in range(count):  # noqa: E741
                            approach = x[_APPROACH * LANES + l]
                            x[_CLOSEST * LANES + l] = min(x[_CLOSEST * LANES + l], approach)
                            for mode in range(2):
                                row = (_FORCE + 2 * mode) * LANES + l
                                force[block + l, mode, step - settling] = complex(
                                    x[row], x[row + LANES]
                                )
                    if stage == 0 and step == settling:
                        for l in range(count):  # noqa: E741
                            for mode in range(2):
                                row = 2 * mode * LANES + l
                                ends[block + l, 0, mode] = complex(x[row], x[row + LANES])
                    if stage == 1:
                        x[_BEFORE * LANES : (_BEFORE + 4) * LANES] = x[
                            _FORCE * LANES : (_FORCE + 4) * LANES
                        ]
                    if stage == 2 and step >= settling:
                        compare(x)
                    advance(x, stage, steps)
                x[: 4 * LANES] = x[_NEXT * LANES : (_NEXT + 4) * LANES]
                x[_TRIAL * LANES : (_TRIAL + 4) * LANES] = x[: 4 * LANES]
            for l in range(count):  # noqa: E741
                for mode in range(2):
                    row = 2 * mode * LANES + l
                    ends[block + l, 1, mode] = complex(x[row], x[row + LANES])
                closest[block + l] = x[_CLOSEST * LANES + l]
                outside[block + l] = x[_OUTSIDE * LANES + l] > 0.0
                rough[block + l] = math.sqrt(
                    x[_ROUGH * LANES + l] / (x[_LARGEST * LANES + l] + 1e-300)
                )

    return follow
