"""Where the tip comes to a kink of the force within a step, and how low it gets.

Between two points of a step the distance is the cubic polynomial that has its values and slopes
there (Hermite). With a tenth of a step between points it is good to a picometre or better.
"""

from __future__ import annotations

import math

from numba import njit

from sim.cantilever._exact_flow import DISTANCE, TIMES, VELOCITY
from sim.cantilever._exact_rule import POINTS

__all__ = ["LAND", "first_crossing", "lowest"]

LAND = 1e-14  # m; how near to a kink a step has to end
_TRIES = 6  # of Newton's method, which doubles the digits each time


@njit(cache=True, nogil=True)
def _hermite(s, span, a, va, b, vb):
    """Return value and slope at the part `s` of a span with values a, b and velocities va, vb."""
    rest = 1 - s
    value = rest * rest * ((1 + 2 * s) * a + s * span * va)
    value += s * s * ((1 + 2 * rest) * b - rest * span * vb)
    slope = 6 * s * rest * (b - a) + span * (rest * (1 - 3 * s) * va + s * (3 * s - 2) * vb)
    return value, slope


@njit(cache=True, nogil=True)
def _root(upper, span, a, va, b, vb):
    """Return the part of a span, up to `upper`, at which the distance passes through zero."""
    low, high = 0.0, upper
    top, _ = _hermite(upper, span, a, va, b, vb)
    s = upper * a / (a - top)
    for _ in range(_TRIES):
        value, slope = _hermite(s, span, a, va, b, vb)
        if (value > 0) == (a > 0):
            low = s
        else:
            high = s
        s = s - value / slope if slope != 0.0 else low
        if not low <= s <= high:
            s = 0.5 * (low + high)
    return s


@njit(fastmath=True, cache=True, nogil=True)
def _extremes(x):
    """Return the least and the greatest distance."""
    low, high = x[DISTANCE], x[DISTANCE]
    for j in range(POINTS):
        low = min(low, x[DISTANCE + j])
        high = max(high, x[DISTANCE + j])
    return low, high


@njit(cache=True, nogil=True)
def first_crossing(x, start, bend, low, high):
    """Return when the free motion first leaves the region between two kinks, and through which.

    Parameters
    ----------
    x : ndarray
        Work of a step, with the free motion.
    start : tuple of float
        Distance and velocity at the beginning, m and m/s.
    bend : float
        By how much the distance between two points can leave their range, m.
    low, high : float
        The kinks, m.

    Returns
    -------
    tuple
        Time since the beginning, s, infinite if there is no crossing, and +1 or -1 for the upper or
        lower kink.
    """
    least, greatest = _extremes(x)
    if least - bend > low and greatest + bend < high:
        return math.inf, 0
    d, v = start
    before = 0.0
    for j in range(POINTS):
        time = x[TIMES + j]
        d_next, v_next = x[DISTANCE + j], x[VELOCITY + j]
        span, upper = time - before, 1.0
        far = d_next
        if (v > 0) != (v_next > 0):
            turn = v / (v - v_next)
            at_turn, _ = _hermite(turn, span, d, v, d_next, v_next)
            if not low - LAND <= at_turn <= high + LAND:
                upper, far = turn, at_turn
        if far < low - LAND or far > high + LAND:
            side = -1 if far < low else 1
            kink = low if side < 0 else high
            if (d - kink) * side >= 0:
                return before, side
            part = _root(upper, span, d - kink, v, d_next - kink, v_next)
            return before + part * span, side
        d, v, before = d_next, v_next, time
    return math.inf, 0


@njit(cache=True, nogil=True)
def lowest(x, start, bend, closest):
    """Return the least distance of a step, if that is less than `closest`, m."""
    least, _ = _extremes(x)
    if least - bend >= closest:
        return closest
    d, v = start
    before = 0.0
    for j in range(POINTS):
        time = x[TIMES + j]
        d_next, v_next = x[DISTANCE + j], x[VELOCITY + j]
        closest = min(closest, d_next)
        if v < 0 < v_next:
            turn, _ = _hermite(v / (v - v_next), time - before, d, v, d_next, v_next)
            closest = min(closest, turn)
        d, v, before = d_next, v_next, time
    return closest
