"""The compiled loop of the exact engine: adaptive Runge-Kutta on what the force alone changes.

The method is Tsitouras' pair of order 5(4) (Comput. Math. Appl. 62, 770 (2011)) in the interaction
picture of the modes (Lawson, SIAM J. Numer. Anal. 4, 372 (1967)): modes and drive turn exactly, and
the steps resolve only the force. A step that would cross a kink of the force ends on it. Steps
come in fixed sizes, for which all turns are known beforehand; only a landing computes its own.

Arrays, all of complex128 unless said otherwise: `rates` lambda of each carrier, 1/s; `gains` float,
m/(N s), zero where a carrier only listens; `axes` int; then of each tone of the free motion `spin`,
i omega, 1/s, and `sway`, its amplitude at the beginning of the period, m; `sides` int, its axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from sim.forces._base import Kernel

__all__ = ["ENDED", "MOMENTS", "SHRINK", "SIZES", "STUCK", "march"]

MOMENTS = 5  # of the force within a bin; with bins of 1/64 of a tone's cycle good to 1e-9
SHRINK = 2.0**0.125  # between the fixed sizes of steps
SIZES = 241  # down to 2^-30 of the largest
ENDED, STUCK = 0, 1

_NODES = np.array([0.161, 0.327, 0.9, 0.9800255409045097, 1.0])
# the last row holds the weights of the result, as the slope there is the next step's first
_STAGES = np.array(
    [
        [0.161, 0, 0, 0, 0, 0],
        [-0.008480655492356989, 0.335480655492357, 0, 0, 0, 0],
        [2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0, 0, 0],
        [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525, 0, 0],
        [
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
            0,
        ],
        [
            0.09646076681806523,
            0.01,
            0.4798896504144996,
            1.379008574103742,
            -3.290069515436081,
            2.324710524099774,
        ],
    ]
)
_ERROR = np.array(
    [
        -0.00178001105222577714,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        1 / 66,
    ]
)
_LAND = 1e-14  # m; how near to a kink a step has to end
_TRIES = 8  # to land; a tip that only grazes a kink need not meet it exactly
_SAFETY = 0.9
_GROWTH = 5.0  # of a step, at most


@njit(cache=True, nogil=True)
def turns(sizes, rates, spin):
    """Return exp(rate * node * size) of carriers and tones, (sizes, nodes, carriers + tones)."""
    out = np.empty((sizes.size, _NODES.size, rates.size + spin.size), np.complex128)
    for i in range(sizes.size):
        for j in range(_NODES.size):
            for k in range(rates.size):
                out[i, j, k] = np.exp(rates[k] * (sizes[i] * _NODES[j]))
            for k in range(spin.size):
                out[i, j, rates.size + k] = np.exp(spin[k] * (sizes[i] * _NODES[j]))
    return out


@register_jitable
def _place(amplitudes, phases, turn, rates, spin, sides, axes, gains, out):
    """Write z, y, vz, vy of the motion whose amplitudes and phases are turned by `turn`."""
    out[:] = 0.0
    carriers = rates.size
    for k in range(carriers):
        if gains[k] > 0:
            c, e, rate = amplitudes[k], turn[k], rates[k]
            real = c.real * e.real - c.imag * e.imag
            imaginary = c.real * e.imag + c.imag * e.real
            out[axes[k]] += real
            out[2 + axes[k]] += rate.real * real - rate.imag * imaginary
    for k in range(spin.size):
        c, e = phases[k], turn[carriers + k]
        out[sides[k]] += c.real * e.real - c.imag * e.imag
        out[2 + sides[k]] -= spin[k].imag * (c.real * e.imag + c.imag * e.real)


@register_jitable
def _turn_to(time, rates, spin, turn):
    """Write the turns of carriers and tones over `time`."""
    for k in range(rates.size):
        turn[k] = np.exp(rates[k] * time)
    for k in range(spin.size):
        turn[rates.size + k] = np.exp(spin[k] * time)


@register_jitable
def _region(d, kinks):
    """Return the kinks next to `d`, below and above."""
    low, high = -math.inf, math.inf
    for kink in kinks:
        if d > kink:
            low = max(low, kink)
        else:
            high = min(high, kink)
    return low, high


@njit(cache=True, nogil=True)
def _crossing(height, target, size, start, falling, model):
    """Return when the motion without force, between now and `size`, comes to `target`."""
    amplitudes, phases, rates, spin, sides, axes, gains, turn, out = model
    low, high = 0.0, size
    time = start
    for _ in range(_TRIES):
        _turn_to(time, rates, spin, turn)
        _place(amplitudes, phases, turn, rates, spin, sides, axes, gains, out)
        miss = height + out[0] - target
        if abs(miss) < 0.1 * _LAND:
            break
        if (miss > 0) == falling:
            low = time
        else:
            high = time
        time = time - miss / out[2] if out[2] != 0.0 else 0.5 * (low + high)
        if not low < time < high:
            time = 0.5 * (low + high)
    return time


@njit(cache=True, nogil=True)
def _bottom(height, guess, size, model):
    """Return the lowest point within a step, by the motion without force."""
    amplitudes, phases, rates, spin, sides, axes, gains, turn, out = model
    low, high, time = 0.0, size, guess
    for _ in range(_TRIES):
        _turn_to(time, rates, spin, turn)
        _place(amplitudes, phases, turn, rates, spin, sides, axes, gains, out)
        if out[2] < 0:
            low = time
        else:
            high = time
        time = 0.5 * (low + high)
    return height + out[0]


@register_jitable
def _bound(d, v, d_next, v_next, size):
    """Return a bound below the lowest point of a step that turns within it."""
    return min(d, d_next) - 0.5 * size * min(-v, v_next)


@register_jitable
def _error(slopes, size, gains, tolerance):
    """Return the error of a step in units of the tolerance."""
    error = 0.0
    for k in range(gains.size):
        total = 0j
        for i in range(7):
            total += _ERROR[i] * slopes[i, k]
        error += size * gains[k] * abs(total) / tolerance
    return error


@register_jitable
def _smaller_or_larger(error, d_next, size, sizes):
    """Return which of the fixed sizes suits the error, and the error, infinite if not a number."""
    growth = 1 / _GROWTH
    if math.isfinite(error) and math.isfinite(d_next):
        growth = min(_GROWTH, max(growth, _SAFETY * max(error, 1e-10) ** -0.2))
    else:
        error = math.inf
    wanted = math.log(sizes[0] / (size * growth)) / math.log(SHRINK)
    return min(max(math.ceil(wanted - 1e-9), 0), sizes.size - 1), error


@register_jitable
def _add_moments(slopes, size, since, back, moments):
    """Add the force's moments of a step that begins `since` after its bin, (carriers, MOMENTS)."""
    for k in range(back.size):
        s0, s1, s2 = 0j, 0j, 0j
        for i in range(6):
            weighted = size * _STAGES[5, i] * slopes[i, k]
            later = size * _NODES[i - 1] if i > 0 else 0.0
            s0 += weighted
            s1 += weighted * later
            s2 += weighted * (later * later)
        s0, s1, s2 = s0 * back[k], s1 * back[k], s2 * back[k]
        # (since + later)^m to the second order in the time within the step
        power, before, earlier = 1.0, 0.0, 0.0
        for m in range(MOMENTS):
            pairs = 0.5 * m * (m - 1)
            moments[k, m] += power * s0 + m * before * s1 + pairs * earlier * s2
            earlier, before, power = before, power, power * since


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
        ``f(amplitudes, height, parameters, kinks, period, sizes, table, rates, gains, axes, spin,
        sway, sides, tolerance, moments) -> state, closest, steps``. `amplitudes` is changed;
        `sizes` are the allowed steps, s, and `table` their turns; `tolerance` is in m for one
        step; `moments` (carriers, bins, MOMENTS) gets the force's moments, turned back to the
        beginning of each bin. `state` is ENDED, or STUCK when the smallest step is too large.
    """

    @register_jitable
    def attempt(amplitudes, phases, force, size, coefficients, low, high, model, work):
        """Write result and slopes of a step; return the force at its end."""
        height, parameters, rates, gains, axes, spin, sides = model
        trial, slopes, then = work
        f = force
        # the slopes are of the amplitudes turned back to the beginning of the step
        for k in range(rates.size):
            slopes[0, k] = force[axes[k]]
        for j in range(6):
            node = min(j, 4)
            for k in range(rates.size):
                total = 0j
                for i in range(j + 1):
                    total += _STAGES[j, i] * slopes[i, k]
                trial[k] = amplitudes[k] + size * gains[k] * complex(total.imag, -total.real)
            _place(trial, phases, coefficients[node], rates, spin, sides, axes, gains, then)
            # the force as it is on this side of the kinks
            d = min(height + then[0], high)
            if d <= low:
                d = low + 1e-9 * _LAND
            f = kernel(d, then[1], then[2], then[3], parameters, 0)
            for k in range(rates.size):
                e = coefficients[node, k]
                turned = f[axes[k]] / (e.real * e.real + e.imag * e.imag)
                slopes[j + 1, k] = complex(turned * e.real, -turned * e.imag)
        return f

    @njit(error_model="numpy", fastmath={"contract", "nsz"}, cache=True, nogil=True)
    def follow(
        amplitudes, height, parameters, kinks, period, sizes, table, rates, gains, axes, spin,
        sway, sides, tolerance, moments,
    ):  # fmt: skip
        carriers, tones = rates.size, spin.size
        phases = sway.copy()
        scratch = np.ones(carriers + tones, np.complex128)
        now, then = np.empty(4), np.empty(4)
        slopes = np.zeros((7, carriers), np.complex128)
        trial = np.empty(carriers, np.complex128)
        back = np.ones(carriers, np.complex128)
        one_size = np.empty(1)
        span, bin_now = period / moments.shape[1], 0
        model = (height, parameters, rates, gains, axes, spin, sides)
        _place(amplitudes, phases, scratch, rates, spin, sides, axes, gains, now)
        d = height + now[0]
        closest = d
        low, high = _region(d, kinks)
        time, pick, steps = 0.0, sizes.size // 3, 0
        size, coefficients = sizes[pick], table[pick]
        fresh, last = True, False
        landing, kink, target = 0, 0.0, 0.0
        force = (0.0, 0.0)
        while True:
            if fresh:
                force = kernel(d, now[1], now[2], now[3], parameters, 0)
                fresh = False
            if landing == 0:
                # where the step would end without force, which changes that by next to nothing
                size, coefficients = sizes[pick], table[pick]
                last = time + size >= period
                if last:
                    size = period - time
                    _turn_to(size, rates, spin, scratch)
                else:
                    scratch[:] = coefficients[4]
                _place(amplitudes, phases, scratch, rates, spin, sides, axes, gains, then)
                ahead = height + then[0]
                if ahead < low or ahead > high:
                    landing, last = 1, False
                    kink = low if ahead < low else high
                    target = kink + math.copysign(0.5 * _LAND, ahead - kink)
                    size = _crossing(
                        height, target, size, size * (target - d) / (ahead - d), ahead < d,
                        (amplitudes, phases, rates, spin, sides, axes, gains, scratch, then),
                    )  # fmt: skip
            if landing > 0 or last:
                one_size[0] = size
                coefficients = turns(one_size, rates, spin)[0]

            f = attempt(
                amplitudes, phases, force, size, coefficients, low, high, model,
                (trial, slopes, then),
            )  # fmt: skip
            steps += 1
            d_next = height + then[0]
            error = _error(slopes, size, gains, tolerance)
            pick_next, error = _smaller_or_larger(error, d_next, size, sizes)
            if error > 1.0:
                if sizes[pick_next] >= size:
                    return STUCK, closest, steps
                pick, landing = pick_next, 0
                continue
            if landing > 0:
                beyond = (d_next - kink) * math.copysign(1.0, target - kink)
                if not 0.0 < beyond <= _LAND and landing < _TRIES and then[2] != 0.0:
                    better = size - (d_next - target) / then[2]
                    if 0.5 * size < better < 2.0 * size and time + better < period:
                        size = better
                        landing += 1
                        continue
            elif d_next < low or d_next > high:
                landing, last = 1, False
                kink = low if d_next < low else high
                target = kink + math.copysign(0.5 * _LAND, d_next - kink)
                size = size * (target - d) / (d_next - d)
                continue

            number = min(int(time / span), moments.shape[1] - 1)
            if number != bin_now:
                bin_now = number
                for k in range(carriers):
                    back[k] = np.exp(-rates[k] * (time - number * span))
            _add_moments(slopes, size, time - number * span, back, moments[:, number])
            if now[2] < 0.0 < then[2] and _bound(d, now[2], d_next, then[2], size) < closest:
                lowest = _bottom(
                    height, size * now[2] / (now[2] - then[2]), size,
                    (trial, phases, rates, spin, sides, axes, gains, scratch, now),
                )  # fmt: skip
                closest = min(closest, lowest)
            for k in range(carriers):
                amplitudes[k] = trial[k] * coefficients[4, k]
                back[k] /= coefficients[4, k]
            for k in range(tones):
                phases[k] *= coefficients[4, carriers + k]
            now[:] = then
            d, force = d_next, f
            closest = min(closest, d)
            if last:
                return ENDED, closest, steps
            time += size
            if landing > 0:
                low, high = _region(d, kinks)
                fresh = True
                pick, landing = min(pick, pick_next), 0
            else:
                pick = pick_next

    return follow
