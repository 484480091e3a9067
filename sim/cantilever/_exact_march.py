"""The compiled loop of the exact engine: long steps of high order between the kinks of the force.

In a step the force is taken at Gauss nodes along the free motion, integrated, and taken again
along the motion that it makes (Picard's iteration), until nothing changes. A contact moves the
modes by picometres, so each round gains two digits or more. Steps end on kinks; their size follows
from how fast the Legendre coefficients of the force fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from sim.cantilever._exact_flow import (
    ACROSS,
    DISTANCE,
    FORCE,
    SUM,
    VELOCITY,
    Motion,
    Swing,
    carrier,
    correct,
    integrate,
    swing_freely,
)
from sim.cantilever._exact_kinks import LAND, first_crossing, lowest
from sim.cantilever._exact_rule import BEGINS, COLUMNS, ENDS, LATER, NODES, POINTS, Rule
from sim.forces._base import Kernel

__all__ = ["ENDED", "MOMENTS", "STUCK", "Limits", "Pixel", "Run", "march"]

MOMENTS = 6  # of the force within a bin; with bins of 1/64 of a tone's cycle good to 1e-9
ENDED, STUCK = 0, 1

# sums may be reordered; where the zero check of a division stays, loops are not vectorised
_LOOP = {"error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "reassoc"}, "nogil": True}
_ROUNDS = 12  # of the iteration, at most
_SETTLED = 0.01  # of the tolerance, what one round more would change
_WIDEST = 0.16  # of a step between two points, at most
_SHORTEST = 1e-7  # of the largest step; a kink that is nearer has been reached
_SMALLEST = 2.0**-30  # of the largest step; when no larger one will do the loop gives up
_SAFETY, _GROWTH, _SHRINK = 0.9, 3.0, 0.2  # of the next step
_ORDER = 2 * (NODES - 1)  # of the error in the step's size


class Limits(NamedTuple):
    """What holds for all steps.

    Parameters
    ----------
    period : float
        s.
    largest : float
        Largest step, s.
    tolerance : float
        Error of one step, m.
    """

    period: float
    largest: float
    tolerance: float


class Run(NamedTuple):
    """What is the same for all pixels.

    Parameters
    ----------
    swing : Swing
        What swings.
    rule : Rule
        Of integration.
    limits : Limits
        Of the steps.
    """

    swing: Swing
    rule: Rule
    limits: Limits


class Pixel(NamedTuple):
    """What is a pixel's own.

    Parameters
    ----------
    height : float
        Of the resting tip, m.
    parameters : tuple of float
        Of the force.
    kinks : ndarray, shape (regions + 1,)
        Distances of the kinks in order, between minus and plus infinity, m.
    entries : ndarray, shape (regions,)
        The step to try first in each region between kinks, s; the loop keeps it up to date.
    """

    height: float
    parameters: tuple[float, ...]
    kinks: NDArray[np.float64]
    entries: NDArray[np.float64]


@njit(cache=True, nogil=True)
def _acceleration(swing, motion):
    """Return the largest acceleration that the motion can have, m/s^2."""
    amplitudes = motion.amplitudes
    total = 0.0
    for k in range(swing.spin.size):
        total += abs(swing.sway[k]) * swing.spin[k] ** 2
    for k in range(swing.rates.size):
        if swing.gains[k] > 0:
            total += abs(amplitudes[k]) * abs(swing.rates[k]) ** 2
    return total


@njit(cache=True, nogil=True)
def _growth(error, tolerance):
    """Return by how much the next step may be longer."""
    if not math.isfinite(error):
        return _SHRINK
    parts = max(error / tolerance, 1e-30)
    return min(_GROWTH, max(_SHRINK, _SAFETY * parts ** (-1 / _ORDER)))


@njit(error_model="numpy", cache=True, nogil=True)
def _add_moments(x, size, since, back, moments):
    """Add the force's moments of a step that begins `since` after its bin, (carriers, MOMENTS)."""
    for k in range(back.size):
        own, scale = carrier(k), size * back[k]
        s0 = scale * complex(x[own + SUM + NODES], x[own + SUM + COLUMNS + NODES])
        s1 = scale * size * complex(x[own + SUM + LATER], x[own + SUM + COLUMNS + LATER])
        s2 = scale * size**2 * complex(x[own + SUM + LATER + 1], x[own + SUM + COLUMNS + LATER + 1])
        s3 = scale * size**3 * complex(x[own + SUM + LATER + 2], x[own + SUM + COLUMNS + LATER + 2])
        # (since + later)^m to the third order in the time within the step
        p0, p1, p2, p3 = 1.0, 0.0, 0.0, 0.0
        for m in range(MOMENTS):
            pairs = 0.5 * m * (m - 1)
            triples = pairs * (m - 2) / 3
            moments[k, m] += p0 * s0 + m * p1 * s1 + pairs * p2 * s2 + triples * p3 * s3
            p3, p2, p1, p0 = p2, p1, p0, p0 * since


@njit(cache=True, nogil=True)
def _start(swing, motion):
    """Return distance and velocity of the tip at the beginning of a period."""
    amplitudes = motion.amplitudes
    d, v = motion.height, 0.0
    for k in range(swing.spin.size):
        if swing.sides[k] == 0:
            d += swing.sway[k].real
            v -= swing.sway[k].imag * swing.spin[k]
    for k in range(swing.rates.size):
        if swing.axes[k] == 0 and swing.gains[k] > 0:
            d += amplitudes[k].real
            v += (amplitudes[k] * swing.rates[k]).real
    return d, v


@njit(error_model="numpy", cache=True, nogil=True)
def _advance(x, swing, motion, size, back):
    """Take carriers, tones and what turns back to the beginning of the bin to the step's end."""
    gains = swing.gains
    _, amplitudes, phases, ends = motion
    carriers = amplitudes.size
    for k in range(carriers):
        end, own = ends[k], carrier(k)
        scale = size * gains[k]
        # the force adds -i F / (Omega m) to the amplitude's slope
        moved = complex(scale * x[own + SUM + COLUMNS + NODES], -scale * x[own + SUM + NODES])
        amplitudes[k] = (amplitudes[k] + moved) * end
        square = end.real * end.real + end.imag * end.imag
        back[k] *= complex(end.real / square, -end.imag / square)
    for k in range(phases.size):
        phases[k] *= ends[carriers + k]


@cache
def march(kernel: Kernel) -> Callable[..., Any]:
    """Return the compiled function that follows one pixel through one period.

    Parameters
    ----------
    kernel : callable
        Force law, as `sim.forces.composed_kernel` gives it.

    Returns
    -------
    callable
        ``f(run, pixel, x, amplitudes, moments) -> state, closest, steps``. `amplitudes`
        (carriers,) is changed; `moments` (carriers, bins, MOMENTS) gets the force's moments, turned
        back to the beginning of each bin. `state` is ENDED, or STUCK when the smallest step is too
        large; `closest` is the least distance, m.
    """

    @register_jitable
    def press(x, parameters, low, high):
        """Write the force at all points, as it is on this side of the kinks."""
        for j in range(POINTS):
            d = min(max(x[DISTANCE + j], low), high)
            y, vz, vy = x[ACROSS + DISTANCE + j], x[VELOCITY + j], x[ACROSS + VELOCITY + j]
            fz, fy = kernel(d, y, vz, vy, parameters, 0)
            x[FORCE + j] = fz
            x[ACROSS + FORCE + j] = fy

    @njit(**_LOOP, cache=True)
    def follow(run, pixel, x, amplitudes, moments):
        swing, rule, kinks, entries = run.swing, run.rule, pixel.kinks, pixel.entries
        period, largest, tolerance = run.limits
        carriers = amplitudes.size
        ends = np.ones(carriers + swing.spin.size, np.complex128)
        motion = Motion(pixel.height, amplitudes, swing.sway.copy(), ends)
        back = np.ones(carriers, np.complex128)
        bins = moments.shape[1]
        span, bin_now = period / bins, 0
        start, acceleration = _start(swing, motion), _acceleration(swing, motion)
        closest, region = start[0], 0
        while start[0] > kinks[region + 1]:
            region += 1
        wanted, time, steps, kind = entries[region], 0.0, 0, 0
        pushed, pushed_side = math.inf, 0
        while True:
            low, high, left = kinks[region], kinks[region + 1], period - time
            size = min(wanted, largest, left)
            bend = acceleration * (_WIDEST * size) ** 2 / 8
            swing_freely(x, swing, motion, rule, kind, size)
            crossing, side = first_crossing(x, start, bend, low, high)
            if crossing < _SHORTEST * largest:
                region, kind = region + side, BEGINS
                wanted = entries[region]
                continue
            if side == 0 and pushed_side != 0:
                crossing, side = pushed, pushed_side
            pushed_side = 0
            if side != 0:
                kind, size = kind | ENDS, crossing
                swing_freely(x, swing, motion, rule, kind, size)
            target = high if side > 0 else low
            # Picard's iteration, in place: as a function of its own it would count references for
            # longer than it computes
            done, landed, error, before = False, side != 0, 0.0, 0.0
            for turn in range(_ROUNDS):
                press(x, pixel.parameters, low, high)
                reach, change, error = integrate(x, swing, rule, kind, size)
                if not error <= tolerance:
                    break
                correct(x, swing, size)
                if turn == 0:
                    change = reach
                gain = change / max(before, 1e-300)
                before = change
                miss = x[DISTANCE + NODES] - target
                if landed and abs(miss) > LAND:
                    better = size - miss / x[VELOCITY + NODES]
                    landed = 0.5 * size < better < 2 * size and better < left
                    if landed:
                        size = better
                        swing_freely(x, swing, motion, rule, kind, size)
                        correct(x, swing, size)
                        continue
                if turn > 0:
                    done = change * gain <= _SETTLED * tolerance
                    if done or gain > 0.5:
                        break
            steps += 1
            if done and side == 0:
                # the force may push the tip through a kink that the free motion does not reach
                pushed, pushed_side = first_crossing(x, start, bend, low, high)
                if pushed_side != 0 and pushed > _SHORTEST * largest:
                    continue
                pushed_side = 0
            growth = _growth(error, tolerance)
            if not done:
                wanted = size * min(growth, 0.5)
                kind &= BEGINS
                if not wanted > _SMALLEST * largest:
                    return STUCK, closest, steps
                continue

            number = min(int(time / span), bins - 1)
            if number != bin_now:
                bin_now = number
                for k in range(carriers):
                    back[k] = np.exp(-swing.rates[k] * (time - number * span))
            _add_moments(x, size, time - number * span, back, moments[:, number])
            closest = lowest(x, start, bend, closest)
            _advance(x, swing, motion, size, back)
            start = (x[DISTANCE + NODES], x[VELOCITY + NODES])
            time += size
            if time >= period * (1 - 1e-14):
                return ENDED, closest, steps
            if kind & BEGINS:
                entries[region] = wanted if landed else size
            if landed:
                region, kind = region + side, BEGINS
                wanted = entries[region]
            else:
                wanted, kind = size * growth, 0

    return follow
