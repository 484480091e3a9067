"""The motion at all points of a step at once: modes and drive swing, and the force adds to them.

Between the modes and the force stands the interaction picture (Lawson, SIAM J. Numer. Anal. 4, 372
(1967)): amplitudes turn exactly, and only what the force changes is integrated. All points of a
step are one vector (`sim.cantilever._exact_vector`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from sim.cantilever._exact_rule import COLUMNS, NODES, POINTS, TAIL
from sim.cantilever._exact_vector import WIDTH, last, load, store

__all__ = [
    "ACROSS",
    "DISTANCE",
    "FORCE",
    "SUM",
    "TIMES",
    "VELOCITY",
    "Motion",
    "Swing",
    "carrier",
    "correct",
    "integrate",
    "swing_freely",
    "work",
]

# The work of a step stands in one flat array, in rows of POINTS: a compiled loop that takes views
# of arrays counts references to them, which costs more than the arithmetic. First the times of the
# points; then of distance and y the free motion, the motion and the force; then of each carrier its
# turn, the turn back and the force turned back, real and imaginary, and its sums.
TIMES = 0
DISTANCE, VELOCITY, FORCE = 3 * POINTS, 4 * POINTS, 5 * POINTS
_FREE, _FREE_VELOCITY = POINTS, 2 * POINTS
ACROSS = 5 * POINTS  # from the rows of the distance to those of y
_FIRST = 11 * POINTS  # of the carriers' rows
_TURN, _BACK, _PUSH, SUM = 0, 2 * POINTS, 4 * POINTS, 6 * POINTS
_CARRIER = 6 * POINTS + 2 * COLUMNS


def work(carriers: int) -> NDArray[np.float64]:
    """Return the work array of steps with so many carriers."""
    return np.zeros(_FIRST + carriers * _CARRIER)


@register_jitable
def carrier(number):
    """Return where the rows of a carrier begin."""
    return _FIRST + number * _CARRIER


class Swing(NamedTuple):
    """What swings, the same for all pixels.

    Parameters
    ----------
    rates : ndarray of complex, shape (carriers,)
        lambda, 1/s.
    gains : ndarray, shape (carriers,)
        m/(N s); zero where a carrier only listens.
    axes : ndarray of int, shape (carriers,)
        0 along z, 1 along y.
    spin : ndarray, shape (tones,)
        Angular frequency of each tone of the free motion, 1/s.
    sway : ndarray of complex, shape (tones,)
        Its amplitude at the beginning of a period, m.
    sides : ndarray of int, shape (tones,)
        Its axis.
    """

    rates: NDArray[np.complex128]
    gains: NDArray[np.float64]
    axes: NDArray[np.int64]
    spin: NDArray[np.float64]
    sway: NDArray[np.complex128]
    sides: NDArray[np.int64]


class Motion(NamedTuple):
    """The motion at the beginning of a step.

    Parameters
    ----------
    height : float
        Of the resting tip, m.
    amplitudes : ndarray of complex, shape (carriers,)
        m.
    phases : ndarray of complex, shape (tones,)
        Of the free motion, m.
    ends : ndarray of complex, shape (carriers + tones,)
        By what carriers and tones turn until the end of the step.
    """

    height: float
    amplitudes: NDArray[np.complex128]
    phases: NDArray[np.complex128]
    ends: NDArray[np.complex128]


@register_jitable
def _turns(times, frequency):
    """Return cosine and sine of frequency times time, for angles up to a full turn."""
    # the Taylor series of an eighth of the angle, then the angle doubled three times; one minus
    # the cosine keeps its digits where the cosine would lose them
    a = times * (0.125 * frequency)
    b = a * a
    s = b * (b * (1 / 6227020800) - 1 / 39916800) + 1 / 362880
    s = a * (b * (b * (b * (b * s - 1 / 5040) + 1 / 120) - 1 / 6) + 1.0)
    c = b * (b * (1 / 87178291200) - 1 / 479001600) + 1 / 3628800
    c = b * (b * (b * (b * (b * c - 1 / 40320) + 1 / 720) - 1 / 24) + 0.5)
    for _ in range(3):
        s, c = 2.0 * s * (1.0 - c), 2.0 * s * s
    return 1.0 - c, s


@register_jitable
def _decays(times, rate):
    """Return exp(-rate times time), where that is not much smaller than 1/1000."""
    a = times * (-0.125 * rate)
    e = a * (1 / 15) + 1.0
    for order in range(14, 0, -1):
        e = a * (1.0 / order) * e + 1.0
    for _ in range(3):
        e = e * e
    return e


@register_jitable
def _swing(amplitude, rate, cosine, sine):
    """Return deflection and velocity of an oscillator."""
    real = amplitude.real * cosine - amplitude.imag * sine
    imaginary = amplitude.real * sine + amplitude.imag * cosine
    return real, rate.real * real - rate.imag * imaginary


@register_jitable
def _add(x, start, vector):
    """Add a vector to a row."""
    store(x, start, load(x, start) + vector)


@njit(error_model="numpy", cache=True, nogil=True)
def swing_freely(x, swing, motion, rule, kind, size):
    """Write the motion of a step without its force.

    Parameters
    ----------
    x : ndarray
        Work of a step; gets times, turns and motion.
    swing : Swing
        What swings.
    motion : Motion
        At the beginning of the step; gets the turns until its end.
    rule : Rule
        Of integration.
    kind : int
        Of step.
    size : float
        Of the step, s.
    """
    rates, gains, axes, spins, _, sides = swing
    height, amplitudes, phases, ends = motion
    carriers = rates.size
    times = load(rule.places, POINTS * kind) * size
    store(x, TIMES, times)
    still = times * 0.0
    store(x, _FREE, still + height)
    store(x, _FREE_VELOCITY, still)
    store(x, ACROSS + _FREE, still)
    store(x, ACROSS + _FREE_VELOCITY, still)
    for k in range(spins.size):
        axis, spin = ACROSS * sides[k], spins[k]
        cosine, sine = _turns(times, spin)
        z, v = _swing(phases[k], complex(0.0, spin), cosine, sine)
        _add(x, axis + _FREE, z)
        _add(x, axis + _FREE_VELOCITY, v)
        ends[carriers + k] = complex(last(cosine), last(sine))
    for k in range(carriers):
        own, rate = carrier(k), rates[k]
        cosine, sine = _turns(times, rate.imag)
        loss = _decays(times, -rate.real)
        gain = 1.0 / loss
        store(x, own + _BACK, gain * cosine)
        store(x, own + _BACK + WIDTH, gain * sine)
        cosine, sine = loss * cosine, loss * sine
        store(x, own + _TURN, cosine)
        store(x, own + _TURN + WIDTH, sine)
        ends[k] = complex(last(cosine), last(sine))
        if gains[k] > 0:
            axis = ACROSS * axes[k]
            z, v = _swing(amplitudes[k], rate, cosine, sine)
            _add(x, axis + _FREE, z)
            _add(x, axis + _FREE_VELOCITY, v)
    _start_free(x)


@register_jitable
def _start_free(x):
    """Take the free motion as the motion."""
    for axis in (0, ACROSS):
        store(x, axis + DISTANCE, load(x, axis + _FREE))
        store(x, axis + VELOCITY, load(x, axis + _FREE_VELOCITY))


@register_jitable
def _sum(x, own, force, weights, start):
    """Write the weighted sums of the force as the carrier sees it at the beginning of the step."""
    store(x, own + _PUSH, load(x, own + _BACK) * force)
    store(x, own + _PUSH + WIDTH, load(x, own + _BACK + WIDTH) * force)
    real, imaginary = force * 0.0, force * 0.0
    more_real, more_imaginary = force * 0.0, force * 0.0
    for j in range(NODES):
        along, across = x[own + _PUSH + j], x[own + _PUSH + WIDTH + j]
        first = load(weights, start + COLUMNS * j)
        second = load(weights, start + COLUMNS * j + WIDTH)
        real, imaginary = real + first * along, imaginary - first * across
        more_real, more_imaginary = more_real + second * along, more_imaginary - second * across
    store(x, own + SUM, real)
    store(x, own + SUM + WIDTH, more_real)
    store(x, own + SUM + COLUMNS, imaginary)
    store(x, own + SUM + COLUMNS + WIDTH, more_imaginary)


@register_jitable
def _length(number):
    """Return the absolute value, without care for numbers near the ends of the range."""
    return math.sqrt(number.real * number.real + number.imag * number.imag)


@register_jitable
def _at(x, own, column):
    """Return one of a carrier's sums."""
    return complex(x[own + SUM + column], x[own + SUM + COLUMNS + column])


@njit(error_model="numpy", cache=True, nogil=True)
def integrate(x, swing, rule, kind, size):
    """Integrate the force of a step.

    Parameters
    ----------
    x : ndarray
        Work of a step, with the force; gets the sums.
    swing : Swing
        What swings.
    rule : Rule
        Of integration.
    kind : int
        Of step.
    size : float
        Of the step, s.

    Returns
    -------
    tuple of float
        How far the force moves the carriers, by how much that has changed, and its error, m.
    """
    rates, gains, axes, _, _, _ = swing
    weights = rule.weights
    reach, change, error = 0.0, 0.0, 0.0
    for k in range(rates.size):
        own = carrier(k)
        before = _at(x, own, NODES)
        force = load(x, ACROSS * axes[k] + FORCE)
        _sum(x, own, force, weights, NODES * COLUMNS * kind)
        after = _at(x, own, NODES)
        moved = _length(after)
        tail = max(_length(_at(x, own, TAIL)), _length(_at(x, own, TAIL + 1)))
        scale = size * gains[k]
        reach += scale * moved
        change += scale * _length(after - before)
        # coefficients fall geometrically, and the quadrature misses only those of twice the order
        error += scale * tail * (tail / max(moved, tail, 1e-300))
    return reach, change, error


@njit(error_model="numpy", cache=True, nogil=True)
def correct(x, swing, size):
    """Write the motion with what the force of the step changes until each point."""
    rates, gains, axes, _, _, _ = swing
    _start_free(x)
    for k in range(rates.size):
        if gains[k] > 0:
            axis, own, rate = ACROSS * axes[k], carrier(k), rates[k]
            # the force adds -i F / (Omega m) to the amplitude's slope
            scale = size * gains[k]
            real, imaginary = load(x, own + SUM + COLUMNS) * scale, load(x, own + SUM) * -scale
            cosine, sine = load(x, own + _TURN), load(x, own + _TURN + WIDTH)
            turned = real * cosine - imaginary * sine
            across = real * sine + imaginary * cosine
            _add(x, axis + DISTANCE, turned)
            _add(x, axis + VELOCITY, rate.real * turned - rate.imag * across)
