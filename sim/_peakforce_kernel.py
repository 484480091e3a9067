"""Compiled loops: the force curve of a pixel, its noise, the channels read from it, a line of them.

On the contact a spring constant k and the law K x^1.5 - Fa balance at v^3 + v^2 = q, where x is the
indentation, v = (K / k) sqrt(x) and q = (K / k)^2 (z + Fa / k) for a tip that would be z beyond the
beginning of the contact if it were not deflected. So every deflection of every pixel is a root of
the same cubic.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numba
import numpy as np

from sim.noise import hash_pair

__all__ = ["QUANTILES", "Curves", "Reading", "fill_curve", "measure", "scan_line"]

_BITS = np.uint64(12)  # of each of five normal numbers from a word of 64
_MASK = np.uint64(0xFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHALLOWEST = 0.05e-9  # m: no indentation below the noise of a deflection is taken for one
_LOST = 0.5  # of the setpoint: a lower peak says that the tip is losing the surface
_CHASE = 2.5  # by which the feedback then lowers it faster
_ROOT_PRECISION = 1e-9  # of the cubic's root; a thousandth of a picometre of deflection
QUANTILES = 4096  # equally likely normal numbers, out to 3.7 standard deviations

# What a line of curves has in common. Lengths m, stiffnesses N/m, arrays over a cycle's samples.
Curves = namedtuple(  # numba takes named tuples, not dataclasses
    "Curves",
    [
        "spring_constant",  # true
        "gain",  # measured deflection over true deflection
        "noise",  # rms of a sample of the measured deflection
        "drop",  # how far the tip is above its lowest point, from there to the highest, (n/2 + 1)
        "speed",  # at the same samples, m/s
        "background",  # measured deflection without contact where it is largest, (n)
        "raised",  # by how much that lifts the peak over the base line
        "quantiles",  # (QUANTILES)
        "feedback",  # fraction of the error that a cycle takes away on a hard sample
        "cycles",  # a pixel
    ],
)

# How the instrument reads a curve.
Reading = namedtuple(
    "Reading",
    [
        "spring_constant",  # assumed
        "z",  # believed, relative to the lowest point, growing downwards, (n)
        "setpoint",  # N
        "fit_from",  # of the force above the adhesion
        "fit_to",
        "deformation_from",  # of the peak force
        "with_adhesion",
        "modulus_factor",  # 3/4 (1 - nu^2) / sqrt(R)
    ],
)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _root(q, v):
    """Return the positive root of v^3 + v^2 = q by Newton's method from `v`."""
    if q <= 0.0:
        return 0.0
    if v <= 0.0:
        v = math.sqrt(q)
    for _ in range(60):
        step = (v * v * (v + 1.0) - q) / (v * (3.0 * v + 2.0))
        v -= step
        if abs(step) <= _ROOT_PRECISION * v:
            break
    return v


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_curve(lowest, stiffness, adhesion, touch, relaxation, curves, out):
    """Fill in the true deflection over a cycle, m, positive when the tip is pushed up.

    Parameters
    ----------
    lowest : float
        Where the tip would be at its lowest point without deflection, m beyond the beginning of
        the contact law.
    stiffness, adhesion : float
        K in N/m^1.5 and Fa in N of the law K x^1.5 - Fa.
    touch : float
        Indentation of the law at which the approaching tip meets the surface, m.
    relaxation : float
        Relaxation time of the contact, s.
    curves : Curves
        What all curves have in common.
    out : ndarray, shape (n,)
        The lowest point is in the middle.
    """
    half = out.size // 2
    out[:] = 0.0
    if lowest < touch:
        return
    spring = curves.spring_constant
    ratio = stiffness / spring
    hold = adhesion / spring
    v = 0.0
    for j in range(half + 1):
        z = lowest - curves.drop[j]
        if z + hold <= 0.0:
            break
        v = _root(ratio * ratio * (z + hold), v)
        root = v / ratio
        deflection = z - root * root
        contact = 1.5 * stiffness * root
        creep = spring / (spring + contact) * curves.speed[j]
        lag = contact * relaxation * creep / (spring + contact)
        if z >= touch:
            out[half - j] = deflection + lag
        if half + j < out.size:
            out[half + j] = deflection - lag
    return


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_noise(word, tide, curves, out):
    """Turn true deflection into measured: gain, background and noise; return the random word."""
    index = 0
    while index < out.size:
        word += _GOLDEN
        bits = hash_pair(word, 0, 0)
        for _ in range(min(5, out.size - index)):
            out[index] = (
                curves.gain * out[index]
                + tide * curves.background[index]
                + curves.noise * curves.quantiles[bits & _MASK]
            )
            bits >>= _BITS
            index += 1
    return word


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit_modulus(deflection, reading, peak, baseline, adhesion, last):
    """Return E* from the slope of (F + Fa)^(2/3) over the indentation on retract."""
    spring = reading.spring_constant
    offset = adhesion if reading.with_adhesion else 0.0
    low = reading.fit_from * (peak + offset) - offset
    high = reading.fit_to * (peak + offset) - offset
    half = deflection.size // 2
    n = 0
    sum_x = sum_y = sum_xx = sum_xy = 0.0
    for i in range(half, last + 1):
        force = spring * (deflection[i] - baseline)
        if low <= force <= high:
            x = reading.z[i] - deflection[i] - reading.z[half]
            y = max(force + offset, 0.0) ** (2.0 / 3.0)
            n += 1
            sum_x += x
            sum_y += y
            sum_xx += x * x
            sum_xy += x * y
    whole = max(peak + offset, 0.0) ** (2.0 / 3.0)
    slope = 0.0
    if n >= 2:
        slope = (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x)
    if not slope > 0.0:  # too few points, or noise alone: the line from the peak to the end
        run = reading.z[half] - deflection[half] - reading.z[last] + deflection[last]
        slope = whole / max(run, _SHALLOWEST)
    return reading.modulus_factor * min(slope, whole / _SHALLOWEST) ** 1.5


@numba.njit(cache=True, nogil=True, error_model="numpy")
def measure(deflection, reading, out):
    """Read the channels of a force curve as the instrument does.

    Parameters
    ----------
    deflection : ndarray, shape (n,)
        Measured, m; the lowest point is in the middle.
    reading : Reading
        What the instrument believes.
    out : ndarray, shape (5,)
        Peak force error N, modulus Pa, adhesion N, deformation m, dissipation J.
    """
    n = deflection.size
    half, quarter = n // 2, n // 4
    spring = reading.spring_constant
    baseline = 0.0
    for i in range(quarter):
        baseline += deflection[i] + deflection[n - 1 - i]
    baseline /= 2 * quarter

    peak = spring * (deflection[half] - baseline)
    last = half
    for i in range(half + 1, n):
        if deflection[i] < deflection[last]:
            last = i
    adhesion = max(-spring * (deflection[last] - baseline), 0.0)

    least = 0.0
    for i in range(half):
        least = min(least, spring * (deflection[i] - baseline))
    threshold = least + reading.deformation_from * (peak - least)
    first, before = half, peak  # of the samples before the peak that are above the threshold
    while first > 0:
        before = spring * (deflection[first - 1] - baseline)
        if before < threshold:
            break
        first -= 1
    start = reading.z[first] - deflection[first]
    if first > 0:
        force = spring * (deflection[first] - baseline)
        part = (threshold - before) / (force - before)
        start -= (1.0 - part) * (start - reading.z[first - 1] + deflection[first - 1])
    deformation = reading.z[half] - deflection[half] - start

    loop = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        run = (reading.z[j] - deflection[j]) - (reading.z[i] - deflection[i])
        loop += 0.5 * (deflection[i] + deflection[j] - 2.0 * baseline) * run

    out[0] = peak - reading.setpoint
    out[1] = _fit_modulus(deflection, reading, peak, baseline, adhesion, last)
    out[2] = adhesion
    out[3] = deformation
    out[4] = spring * loop


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _pushed(z, stiffness, adhesion, touch, spring, v):
    """Return the true deflection at the lowest point, and the root from which it follows."""
    if z < touch:
        return 0.0, v
    ratio = stiffness / spring
    v = _root(ratio * ratio * (z + adhesion / spring), v)
    return z - (v / ratio) ** 2, v


@numba.njit(cache=True, nogil=True, error_model="numpy")
def scan_line(key, row, tide, height, contact, curves, reading, out):
    """Scan a line: the feedback follows the peak force, each pixel's last cycle is recorded.

    Where the tip loses the surface, the error is no more than the setpoint however far it is, so
    the feedback chases it faster there (Kodera, Sakashita and Ando, Rev. Sci. Instrum. 77, 083704
    (2006)).

    Parameters
    ----------
    key : uint64
        Of the random numbers of the image.
    row : int
        Which line it is.
    tide : float
        How large the background is in this line, from -1 to 1.
    height : ndarray, shape (points,)
        Where the undeflected tip touches, m.
    contact : ndarray, shape (4, points)
        Stiffness K, adhesion Fa, touch, relaxation time.
    curves : Curves
        What all curves have in common.
    reading : Reading
        How they are read.
    out : ndarray, shape (6, points)
        Height of the feedback, then the channels of `measure`.
    """
    deflection = np.empty(reading.z.size)
    spring = curves.spring_constant
    wanted = reading.setpoint / reading.spring_constant  # measured deflection
    pushed = wanted / curves.gain
    stiffness, adhesion, touch = contact[0, 0], contact[1, 0], contact[2, 0]
    depth = ((spring * pushed + adhesion) / stiffness) ** (2.0 / 3.0)
    piezo = height[0] - (depth + pushed - touch)  # settled: the tip comes from the pixel before
    word = hash_pair(key, row, -1)
    v = 0.0
    for column in range(height.size):
        stiffness, adhesion = contact[0, column], contact[1, column]
        touch, relaxation = contact[2, column], contact[3, column]
        for cycle in range(curves.cycles):
            lowest = touch + height[column] - piezo
            true, v = _pushed(lowest, stiffness, adhesion, touch, spring, v)
            if cycle == curves.cycles - 1:
                fill_curve(lowest, stiffness, adhesion, touch, relaxation, curves, deflection)
                word = _add_noise(word, tide, curves, deflection)
                measure(deflection, reading, out[1:, column])
                out[0, column] = piezo
                error = out[1, column] / reading.spring_constant
            else:
                word += _GOLDEN
                noise = curves.noise * curves.quantiles[hash_pair(word, 1, 0) & _MASK]
                error = curves.gain * true + tide * curves.raised + noise - wanted
            piezo += curves.feedback * error * (_CHASE if error < (_LOST - 1.0) * wanted else 1.0)
