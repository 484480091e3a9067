"""The sample that shows a tip: polycrystalline titanium with needles sharper than any tip.

Steep, sharp and hard, like the RS-12M that makers of tips sell: where a needle is sharper than the
tip, its image is the tip's, which is what blind reconstruction needs (Villarrubia, J. Res. Natl.
Inst. Stand. Technol. 102, 425 (1997)).
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.forces import Force
from sim.noise import hash_pair, stream_key
from sim.surface import Contact, Material
from sim.texture import add_gradient_noise

__all__ = ["TipSample"]

# Titanium: Young's modulus 116 GPa, Poisson's ratio 0.32; 5 nN of adhesion for a radius of 30 nm
# and the damping of a stiff solid.
_MODULUS = 116e9 / (1 - 0.32**2)
_ADHESION_PER_RADIUS = 5e-9 / 30e-9  # N/m
_DAMPING = 1e-8  # N s/m
_CELL = 110e-9  # m between needles
_LOWEST, _HIGHEST = 25e-9, 95e-9  # m above the ground
_SHARPEST, _BLUNTEST = 0.14, 0.34  # rad: half angles of the needles, about 8 to 20 degrees
_APEX = 2e-9  # m, radius of a needle's end
_FACETS = 0.12  # relative depth of the facets on a needle's section
_GROUND = np.array([(45e-9, 7e-9), (120e-9, 14e-9), (400e-9, 12e-9)])  # cell, amplitude: m
_STREAM_NEEDLES = 600
_LOW16 = np.uint64(0xFFFF)
_UNIT16 = 2.0**-16


class TipSample:
    """A `Surface` of sharp needles on rough ground.

    Parameters
    ----------
    seed : int
        The same seed makes the same surface.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def height(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the topography, m.

        Parameters
        ----------
        x, y : array_like
            Points on the surface, m.
        """
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        ground = np.zeros(x.size, np.float32)
        add_gradient_noise(x.ravel(), y.ravel(), self.seed, _GROUND, ground)
        out = ground.astype(np.float64)
        _raise_needles(x.ravel(), y.ravel(), self.seed, out)
        return out.reshape(x.shape)

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        """Return how titanium meets a slow tip of `radius` (m), the same everywhere."""
        shape = np.broadcast_shapes(np.shape(x), np.shape(y))
        adhesion = np.full(shape, _ADHESION_PER_RADIUS * radius)
        return Contact(np.full(shape, _MODULUS), adhesion, 0.1 * adhesion, np.zeros(shape))

    def forces(self, x: ArrayLike, y: ArrayLike, radius: float) -> list[Force]:
        """Return the force law under a tip of `radius` (m), once a point (m)."""
        plain = Material("Ti", _MODULUS, 1.0, _DAMPING)
        hamaker = 6 * plain.intermolecular**2 * _ADHESION_PER_RADIUS
        law = Material("Ti", _MODULUS, hamaker, _DAMPING).force(radius)
        return [law] * math.prod(np.broadcast_shapes(np.shape(x), np.shape(y)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _raise_needles(x, y, seed, out):
    """Raise the height to that of the highest needle at each point.

    A needle is a hyperboloid, a cone with a rounded end; its section has five to eight facets.
    """
    place, form = stream_key(seed, _STREAM_NEEDLES), stream_key(seed, _STREAM_NEEDLES + 1)
    needles = np.empty((9, 6))
    i_last, j_last = np.int64(2**62), np.int64(2**62)
    for k in range(x.size):
        i, j = np.int64(math.floor(x[k] / _CELL)), np.int64(math.floor(y[k] / _CELL))
        if i != i_last or j != j_last:
            i_last, j_last = i, j
            for n in range(9):
                di, dj = i + n // 3 - 1, j + n % 3 - 1
                word, more = hash_pair(place, di, dj), hash_pair(form, di, dj)
                half_angle = _SHARPEST + (_BLUNTEST - _SHARPEST) * float(more & _LOW16) * _UNIT16
                needle = needles[n]
                needle[0] = (di + float(word & _LOW16) * _UNIT16) * _CELL
                needle[1] = (dj + float((word >> np.uint64(16)) & _LOW16) * _UNIT16) * _CELL
                size = float((word >> np.uint64(32)) & _LOW16) * _UNIT16
                needle[2] = _LOWEST + (_HIGHEST - _LOWEST) * size * size
                needle[3] = 1.0 / math.tan(half_angle)
                needle[4] = 5.0 + float((more >> np.uint64(16)) & np.uint64(3))
                needle[5] = 2.0 * math.pi * float(word >> np.uint64(48)) * _UNIT16
        for n in range(9):
            needle = needles[n]
            u, v = x[k] - needle[0], y[k] - needle[1]
            slope = needle[3]
            end = _APEX * slope * slope  # height of the rounded end's hyperbola
            rho = math.sqrt(u * u + v * v)
            if needle[2] - slope * rho * (1.0 - _FACETS) + end < out[k]:
                continue
            rho *= 1.0 + _FACETS * math.cos(needle[4] * math.atan2(v, u) + needle[5])
            top = needle[2] + end - math.sqrt(end * end + slope * slope * rho * rho)
            out[k] = max(out[k], top)
