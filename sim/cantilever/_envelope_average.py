"""What a force does to a fast oscillation: its resonant part, averaged over the phases.

Two modes swing with amplitudes r1 and r2 and phases that run through all pairs of values. The
part of the force that acts on mode i for long is G_i = 2 <F exp(-i phase_i)>. First-order
averaging takes F on the unperturbed orbit; second-order averaging (Sanders, Verhulst and Murdock,
Averaging Methods in Nonlinear Dynamical Systems, 2007, section 2.9) takes it on the orbit that the
force itself has shifted, mean deflection and overtones included. The second is used here.

The tip spends little of a cycle near the surface, so that both phases are sampled on the map
tan(phase / 2) = w tan(u), which stays periodic: evenly spaced u converge exponentially.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim.forces import Force, composed_kernel

__all__ = ["Orbits", "averages", "evaluator"]

Array = NDArray[np.float64]

OVERTONES = (12, 6)  # of the first and of the second phase in the shift of the orbit
_FAST = {"contract", "nsz", "arcp", "reassoc"}  # a NaN stays a NaN


@dataclass(frozen=True)
class Orbits:
    """How the two modes swing.

    Parameters
    ----------
    frequencies : tuple of float
        Angular frequencies of both carriers, rad/s.
    stiffness : tuple of float
        Spring constants, N/m; infinite for a second mode that is not there.
    lateral : bool
        Whether the second mode moves along y and not along z.
    """

    frequencies: tuple[float, float]
    stiffness: tuple[float, float]
    lateral: bool

    def response(self) -> Array:
        """Return what the modes yield to each overtone of the force, but for the resonant part.

        Returns
        -------
        ndarray, shape (2, overtones + 1, overtones + 1, 2)
            m/N at m w1 + n w2 and at m w1 - n w2, along z and along y.

        Raises
        ------
        ValueError
            When an overtone falls on a resonance: then no averaging separates them.
        """
        first, second = self.frequencies
        m, n = np.meshgrid(*(np.arange(count + 1) for count in OVERTONES), indexing="ij")
        response = np.zeros((2, *m.shape, 2))
        for index, (own, k) in enumerate(zip(self.frequencies, self.stiffness, strict=True)):
            axis = 1 if index == 1 and self.lateral else 0
            itself = (m == 1 - index) & (n == index)
            for sign in range(2):
                detuning = 1 - ((m * first + (1 - 2 * sign) * n * second) / own) ** 2
                near = (np.abs(detuning) < 0.01) & ~itself
                if near.any() and math.isfinite(k):
                    i, j = np.argwhere(near)[0]
                    raise ValueError(
                        f"modes at {first / math.tau:g} and {second / math.tau:g} Hz are not "
                        f"allowed: {i} times the first {'+-'[sign]} {j} times the second is a "
                        "resonance"
                    )
                # the half of the mode's response that is not resonant: 1 / (2 k (1 + w / w0))
                response[sign, :, :, axis] += (
                    np.where(itself, 0.25, 1 / np.where(itself, 1, detuning)) / k
                )
        return response


@cache
def evaluator(force_kernel: Callable[..., Any]) -> Callable[..., None]:
    """Return the compiled ``f(d, y, vz, vy, p, fz, fy)`` that fills the forces, all flat arrays."""

    @njit(error_model="numpy", cache=True, fastmath=_FAST)
    def evaluate(d, y, vz, vy, p, fz, fy):
        for i in range(d.size):
            fz[i], fy[i] = force_kernel(d[i], y[i], vz[i], vy[i], p, 0)

    return evaluate


@njit(error_model="numpy", cache=True, fastmath=_FAST)
def _sample(radii, length, cosines, sines, weights):
    """Fill cos and sin of the phase's multiples, shape (orbits, multiples, n), and weights."""
    orbits, multiples, n = cosines.shape
    for o in range(orbits):
        # the phase in which the tip rises by `length` lies half-way
        width = 1.0
        if length < 2.0 * radii[o]:
            width = math.sqrt(length / (2.0 * radii[o]))
        for i in range(n):
            u = math.pi * (i + 0.5) / (2 * n)
            t = width * math.tan(u)
            c, s = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
            weights[o, i] = width / (math.cos(u) ** 2 * (1 + t * t) * n)
            cosines[o, 0, i], sines[o, 0, i] = 1.0, 0.0
            for m in range(1, multiples):
                x, y = cosines[o, m - 1, i], sines[o, m - 1, i]
                cosines[o, m, i], sines[o, m, i] = x * c - y * s, x * s + y * c


@njit(error_model="numpy", cache=True, fastmath=_FAST)
def _swing(depth, radii, frequencies, lateral, first, second, path):
    """Fill d, y, vz, vy of the orbits; path has shape (4, orbits, signs of the phases, n, n)."""
    (c1, s1), (c2, s2) = first, second
    for o in range(path.shape[1]):
        r1, r2 = radii[o, 0], radii[o, 1]
        for sign in range(4):
            v1 = frequencies[0] * r1 * (1 - 2 * (sign // 2))
            v2 = frequencies[1] * r2 * (1 - 2 * (sign % 2))
            for i in range(path.shape[3]):
                for j in range(path.shape[4]):
                    d = depth + r1 * (1 - c1[o, 1, i])
                    if lateral:
                        path[0, o, sign, i, j] = d
                        path[1, o, sign, i, j] = -r2 * c2[o, 1, j]
                        path[2, o, sign, i, j] = v1 * s1[o, 1, i]
                        path[3, o, sign, i, j] = v2 * s2[o, 1, j]
                    else:
                        path[0, o, sign, i, j] = d + r2 * (1 - c2[o, 1, j])
                        path[1, o, sign, i, j] = 0.0
                        path[2, o, sign, i, j] = v1 * s1[o, 1, i] + v2 * s2[o, 1, j]
                        path[3, o, sign, i, j] = 0.0


@njit(error_model="numpy", cache=True, fastmath=_FAST)
def _project(force, first, second, weights, parts):
    """Fill the means of the force times cos cos, sin sin, sin cos and cos sin of the multiples.

    `parts` has shape (orbits, multiples of the first phase, of the second, 4).
    """
    (c1, s1), (c2, s2) = first, second
    orbits, multiples, others, _ = parts.shape
    n = force.shape[3]
    even, odd, mixed, crossed = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    row = np.empty((others, 4))
    parts[:] = 0.0
    for o in range(orbits):
        f = force[o]
        for i in range(n):
            for j in range(n):
                weight = weights[1][o, j] / 4
                with_pp, with_pm = f[0, i, j] * weight, f[1, i, j] * weight
                with_mp, with_mm = f[2, i, j] * weight, f[3, i, j] * weight
                even[j] = with_pp + with_mm + with_pm + with_mp
                odd[j] = with_pp + with_mm - with_pm - with_mp
                mixed[j] = with_pp - with_mm + with_pm - with_mp
                crossed[j] = with_pp - with_mm - with_pm + with_mp
            for k in range(others):
                a, b, c, d = 0.0, 0.0, 0.0, 0.0
                for j in range(n):
                    a += even[j] * c2[o, k, j]
                    b += odd[j] * s2[o, k, j]
                    c += mixed[j] * c2[o, k, j]
                    d += crossed[j] * s2[o, k, j]
                row[k, 0], row[k, 1], row[k, 2], row[k, 3] = a, b, c, d
            for m in range(multiples):
                c, s = c1[o, m, i] * weights[0][o, i], s1[o, m, i] * weights[0][o, i]
                for k in range(others):
                    parts[o, m, k, 0] += c * row[k, 0]
                    parts[o, m, k, 1] += s * row[k, 1]
                    parts[o, m, k, 2] += s * row[k, 2]
                    parts[o, m, k, 3] += c * row[k, 3]


def _yielding(parts: Array, response: Array, frequencies: tuple[float, float]) -> Array:
    """Return how the modes yield to a force: shift and its rate, shape (2, *parts.shape).

    The parts are turned into sums of cos and sin of m phase1 + n phase2 and of m phase1 - n phase2,
    each with its own frequency, and back.
    """
    _, rows, columns, _ = parts.shape
    m, n = np.arange(rows)[:, None], np.arange(columns)[None, :]
    both = np.where(m == 0, 1.0, 2.0) * np.where(n == 0, 1.0, 2.0) / 2
    cc, ss, sc, cs = np.moveaxis(parts * both[..., None], -1, 0)
    plus, minus = response[0], response[1]
    cosines = np.stack([(cc - ss) * plus, (cc + ss) * minus])
    sines = np.stack([(sc + cs) * plus, (sc - cs) * minus])
    rates = np.stack(
        [m * frequencies[0] + n * frequencies[1], m * frequencies[0] - n * frequencies[1]]
    )
    rates = rates[:, None]
    shifts = []
    for c, s in ((cosines, sines), (rates * sines, -rates * cosines)):
        shifts.append(np.stack([c[0] + c[1], c[1] - c[0], s[0] + s[1], s[0] - s[1]], axis=-1))
    return np.stack(shifts)


@njit(error_model="numpy", cache=True, fastmath=_FAST)
def _shift(parts, first, second, path):
    """Add the sum of the parts at each sample to the path, (orbits, signs, n, n)."""
    (c1, s1), (c2, s2) = first, second
    orbits, multiples, others, _ = parts.shape
    n = path.shape[3]
    row = np.empty((others, 4))
    a, b, c, d = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for o in range(orbits):
        for i in range(n):
            row[:] = 0.0
            for m in range(multiples):
                for k in range(others):
                    row[k, 0] += c1[o, m, i] * parts[o, m, k, 0]
                    row[k, 1] += s1[o, m, i] * parts[o, m, k, 1]
                    row[k, 2] += s1[o, m, i] * parts[o, m, k, 2]
                    row[k, 3] += c1[o, m, i] * parts[o, m, k, 3]
            a[:], b[:], c[:], d[:] = 0.0, 0.0, 0.0, 0.0
            for k in range(others):
                for j in range(n):
                    a[j] += row[k, 0] * c2[o, k, j]
                    b[j] += row[k, 1] * s2[o, k, j]
                    c[j] += row[k, 2] * c2[o, k, j]
                    d[j] += row[k, 3] * s2[o, k, j]
            for j in range(n):
                path[o, 0, i, j] += a[j] + b[j] + c[j] + d[j]
                path[o, 1, i, j] += a[j] - b[j] + c[j] - d[j]
                path[o, 2, i, j] += a[j] - b[j] - c[j] + d[j]
                path[o, 3, i, j] += a[j] + b[j] - c[j] - d[j]


def averages(
    force: Force,
    orbits: Orbits,
    response: Array,
    depth: float,
    radii: Array,
    length: float,
    samples: int,
) -> Array:
    """Return the resonant parts of a force on orbits that all reach the same depth.

    Parameters
    ----------
    force : Force
        The law.
    orbits : Orbits
        How the modes swing.
    response : ndarray
        Of `Orbits.response`.
    depth : float
        Distance from the surface at the lowest point, m.
    radii : ndarray, shape (n, 2)
        Amplitudes of both modes, m.
    length : float
        Over which distance above the lowest point the force changes, m.
    samples : int
        Of half a cycle of each phase.

    Returns
    -------
    ndarray, shape (n, 4)
        G_1 exp(-i phase_1), real and imaginary part, and the same of mode 2, N.
    """
    evaluate, parameters = evaluator(composed_kernel(force)), force.parameters
    phases, weights = [], []
    for index, count in enumerate(OVERTONES):
        shape = (len(radii), count + 1, samples)
        cosines, sines, weight = np.empty(shape), np.empty(shape), np.empty((len(radii), samples))
        evenly = index == 1 and orbits.lateral
        _sample(radii[:, index], math.inf if evenly else length, cosines, sines, weight)
        phases.append((cosines, sines))
        weights.append(weight)
    sampled = (*phases, tuple(weights))
    path = np.empty((4, len(radii), 4, samples, samples))
    _swing(depth, radii, orbits.frequencies, orbits.lateral, phases[0], phases[1], path)
    pull = np.empty((2, *path.shape[1:]))
    evaluate(*path.reshape(4, -1), parameters, *pull.reshape(2, -1))
    parts = [_projected(along, sampled, OVERTONES) for along in pull[: 1 + orbits.lateral]]
    first = _resonant(parts)
    for axis, of_axis in enumerate(parts):
        moved = _yielding(of_axis, response[..., axis], orbits.frequencies)
        _shift(moved[0], phases[0], phases[1], path[axis])
        _shift(moved[1], phases[0], phases[1], path[axis + 2])
    evaluate(*path.reshape(4, -1), parameters, *pull.reshape(2, -1))
    return _held(
        first, _resonant([_projected(along, sampled, (1, 1)) for along in pull[: len(parts)]])
    )


def _projected(force: Array, sampled: tuple, overtones: tuple[int, int]) -> Array:
    first, second, weights = sampled
    parts = np.empty((len(force), overtones[0] + 1, overtones[1] + 1, 4))
    _project(force, first, second, weights, parts)
    return parts


def _resonant(parts: list[Array]) -> Array:
    """Return what acts on each mode for long; the last axis that the force has moves the second.

    The phases are counted from the lowest point, half a cycle from where the deflection's are.
    """
    on_first, on_second = parts[0], parts[-1]
    return 2 * np.stack(
        [
            -on_first[:, 1, 0, 0],
            on_first[:, 1, 0, 2],
            -on_second[:, 0, 1, 0],
            on_second[:, 0, 1, 3],
        ],
        axis=1,
    )


def _held(first: Array, second: Array) -> Array:
    """Return the second order, held near the first where it is no small correction.

    There, far deeper than a tip gets, the series says nothing, and a steep force taken on an orbit
    shifted by more than its range would spoil the spline for its neighbours.
    """
    modes = (len(first), 2, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.where(np.isfinite(second), second - first, 0.0).reshape(modes)
        size = np.hypot(*np.moveaxis(first.reshape(modes), 2, 0))
        part = np.hypot(*np.moveaxis(change, 2, 0)) / np.maximum(size, 1e-300)
        held = change / np.hypot(1.0, 2 * part)[..., None]
    return first + held.reshape(first.shape)
