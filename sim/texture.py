"""Compiled loops over the points of a specimen.

Neighbouring points are mostly in the same lattice cell, so each loop keeps what it knows of the
last cell and hashes only when the cell changes.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sim.noise import hash_pair, stream_key

__all__ = [
    "PARTICLE",
    "TEXTURE",
    "add_gradient_noise",
    "add_particles",
    "sample_spline",
    "to_signal",
]

_STREAM_GRADIENT, _STREAM_PARTICLE = 21, 41
_GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))  # turns each layer against all others

# Octaves of the support: lattice cell (metres), amplitude. Rough at all scales.
_CELLS = 20e-9 * 2.0 ** np.arange(9)
TEXTURE = np.stack([_CELLS, 0.20 * (_CELLS / _CELLS[0]) ** 0.15], axis=1)

# Classes of particles: lattice cell, least and greatest radius (metres), probability that a cell
# holds one, brightness. At most one a cell and wholly inside it, so only one cell is looked up.
PARTICLE = np.array(
    [
        (170e-9, 30e-9, 82e-9, 0.70, 0.40),  # grains of the support
        (450e-9, 80e-9, 220e-9, 0.60, 0.45),
        (2100e-9, 300e-9, 1000e-9, 0.60, 0.60),  # its agglomerates
        (62e-9, 5e-9, 14e-9, 0.20, 1.0),  # metal
        (230e-9, 12e-9, 45e-9, 0.25, 1.4),
        (1100e-9, 40e-9, 160e-9, 0.35, 1.7),
        (5300e-9, 150e-9, 600e-9, 0.35, 2.0),
    ]
)
_EDGE = 0.03  # half height at 0.91 of the radius
_BACKGROUND = -0.7  # of the support before `to_signal`


@numba.njit(cache=True)
def _gradient(key, i, j):
    """Return the gradient at a lattice point, in the square of half-width 1."""
    word = hash_pair(key, i, j)
    gx = float(word >> np.uint64(40)) * 2.0**-23 - 1.0
    gy = float((word >> np.uint64(8)) & np.uint64(0xFFFFFF)) * 2.0**-23 - 1.0
    return gx, gy


@numba.njit(cache=True, error_model="numpy")
def add_gradient_noise(x, y, seed, octaves, out):
    """Add the octaves of gradient noise at the points to `out`.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Metres.
    seed : int
        Of the lattice values.
    octaves : ndarray, shape (m, 2)
        Lattice cell in metres and amplitude of each octave.
    out : ndarray of float32, shape (n,)
        Added to in place.
    """
    for octave in range(octaves.shape[0]):
        cos = math.cos((octave + 0.6) * _GOLDEN_ANGLE) / octaves[octave, 0]
        sin = math.sin((octave + 0.6) * _GOLDEN_ANGLE) / octaves[octave, 0]
        amplitude = octaves[octave, 1]
        key = stream_key(seed, _STREAM_GRADIENT + octave)
        i_last, j_last = np.int64(2**62), np.int64(2**62)
        ax = ay = bx = by = cx = cy = dx = dy = 0.0
        for k in range(x.size):
            u = x[k] * cos - y[k] * sin
            v = x[k] * sin + y[k] * cos
            i, j = np.int64(math.floor(u)), np.int64(math.floor(v))
            if i != i_last or j != j_last:
                i_last, j_last = i, j
                ax, ay = _gradient(key, i, j)
                bx, by = _gradient(key, i + 1, j)
                cx, cy = _gradient(key, i, j + 1)
                dx, dy = _gradient(key, i + 1, j + 1)
            u -= i
            v -= j
            fade_u = u * u * (3.0 - 2.0 * u)
            fade_v = v * v * (3.0 - 2.0 * v)
            a = ax * u + ay * v
            b = bx * (u - 1.0) + by * v
            c = cx * u + cy * (v - 1.0)
            d = dx * (u - 1.0) + dy * (v - 1.0)
            lower = a + fade_u * (b - a)
            upper = c + fade_u * (d - c)
            out[k] += amplitude * (lower + fade_v * (upper - lower))


@numba.njit(cache=True, error_model="numpy")
def add_particles(x, y, seed, classes, out):
    """Add particles to `out`: ellipsoids with edges softened just so much that they are smooth.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Metres.
    seed : int
        Of sizes and places.
    classes : ndarray, shape (m, 5)
        Lattice cell, least and greatest radius in metres, probability, brightness.
    out : ndarray of float32, shape (n,)
        Added to in place.
    """
    scale = 2.0**-16
    low = np.uint64(0xFFFF)
    for kind in range(classes.shape[0]):
        cell, smallest, largest, probability, brightness = classes[kind]
        cos = math.cos((kind + 0.37) * _GOLDEN_ANGLE) / cell
        sin = math.sin((kind + 0.37) * _GOLDEN_ANGLE) / cell
        key = stream_key(seed, _STREAM_PARTICLE + 2 * kind)
        key_more = stream_key(seed, _STREAM_PARTICLE + 2 * kind + 1)
        i_last, j_last = np.int64(2**62), np.int64(2**62)
        height = xx = xy = yy = centre_u = centre_v = 0.0
        for k in range(x.size):
            u = x[k] * cos - y[k] * sin
            v = x[k] * sin + y[k] * cos
            i, j = np.int64(math.floor(u)), np.int64(math.floor(v))
            if i != i_last or j != j_last:
                i_last, j_last = i, j
                word = hash_pair(key, i, j)
                height = 0.0
                if float(word & low) * scale < probability:
                    more = hash_pair(key_more, i, j)
                    size = float((word >> np.uint64(16)) & low) * scale
                    radius = smallest * (largest / smallest) ** (size * size) / cell
                    room = 1.0 - 2.0 * radius
                    centre_u = radius + room * float((word >> np.uint64(32)) & low) * scale
                    centre_v = radius + room * float(word >> np.uint64(48)) * scale
                    aspect = 0.6 + 0.4 * float(more & low) * scale
                    angle = math.pi * float((more >> np.uint64(16)) & low) * scale
                    height = 0.5 + 0.5 * float((more >> np.uint64(32)) & low) * scale
                    height *= brightness
                    along, across = 1.0 / radius**2, 1.0 / (radius * aspect) ** 2
                    c, s = math.cos(angle), math.sin(angle)
                    xx = along * c * c + across * s * s
                    yy = along * s * s + across * c * c
                    xy = 2.0 * (along - across) * c * s
            if height > 0.0:
                u -= i + centre_u
                v -= j + centre_v
                inside = 1.0 - (xx * u * u + xy * u * v + yy * v * v)
                if inside > 0.0:
                    edge = inside * inside
                    edge /= edge + _EDGE
                    out[k] += height * edge * (0.4 + 0.6 * inside)


@numba.njit(cache=True)
def to_signal(out):
    """Map thickness to signal, 0 to 1, smoothly and in place."""
    for k in range(out.size):
        t = out[k] + _BACKGROUND
        out[k] = 0.5 + 0.5 * t / math.sqrt(1.0 + t * t)


@numba.njit(cache=True, error_model="numpy")
def _mirror(index, n):
    """Return the index into `n` samples mirrored about the first and the last."""
    index = abs(index) % (2 * n - 2)
    return index if index < n else 2 * n - 2 - index


@numba.njit(cache=True, error_model="numpy")
def sample_spline(x, y, coefficients, inverse_pixel, origin, out):
    """Evaluate a cubic B-spline (Unser 1999, IEEE Signal Process. Mag. 16, 22) at the points.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Metres from the origin.
    coefficients : ndarray, shape (rows, columns)
        B-spline coefficients for mirror boundaries.
    inverse_pixel : float
        Pixels a metre.
    origin : tuple of float
        Row and column of the origin.
    out : ndarray of float32, shape (n,)
        Signal, kept within 0 to 1.
    """
    rows, cols = coefficients.shape
    wx, wy = np.empty(4), np.empty(4)
    for k in range(x.size):
        u = x[k] * inverse_pixel + origin[1]
        v = y[k] * inverse_pixel + origin[0]
        i, j = np.int64(math.floor(u)), np.int64(math.floor(v))
        _weights(u - i, wx)
        _weights(v - j, wy)
        value = 0.0
        if 1 <= i < cols - 2 and 1 <= j < rows - 2:
            for b in range(4):
                line = coefficients[j - 1 + b]
                value += wy[b] * (
                    wx[0] * line[i - 1]
                    + wx[1] * line[i]
                    + wx[2] * line[i + 1]
                    + wx[3] * line[i + 2]
                )
        else:
            for b in range(4):
                line = coefficients[_mirror(j - 1 + b, rows)]
                for a in range(4):
                    value += wy[b] * wx[a] * line[_mirror(i - 1 + a, cols)]
        out[k] = min(max(value, 0.0), 1.0)


@numba.njit(cache=True)
def _weights(t, out):
    """Fill in the four weights of a cubic B-spline at a fraction `t` of a pixel."""
    s = 1.0 - t
    out[0] = s * s * s / 6.0
    out[1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
    out[2] = 2.0 / 3.0 - s * s * (1.0 - 0.5 * s)
    out[3] = t * t * t / 6.0
