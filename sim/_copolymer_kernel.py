"""Compiled loops over points of a surface with grains that are placed cell by cell.

A Boolean model (Chiu, Stoyan, Kendall and Mecke, Stochastic Geometry (2013), ch. 3): ellipses at
the points of a Poisson process, in cells so large that none reaches beyond its neighbours. Cells
are hashed, so the plane has no end and no point depends on which others are asked for.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sim.noise import hash_pair, normal, stream_key

__all__ = ["add_grooves", "find_grains"]

_LOW16 = np.uint64(0xFFFF)
_LOW12 = np.uint64(0xFFF)
_UNIT16 = 2.0**-16
_MOST = 12  # grains in a cell; at a mean of 2, more happen once in 10^7 cells
_FAR = -1.0  # m, the depth where no grain is near
_REGION = 40e-6  # m, over which a sample is of a kind: some fields of view
_LARGEST = 2.0  # standard deviations from which on a region's sizes deviate no more


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(word, mean):
    """Return a number of the Poisson distribution, by inversion."""
    remaining = float(word >> np.uint64(11)) * 2.0**-53
    chance = math.exp(-mean)
    number = 0
    while remaining > chance and number < _MOST:
        remaining -= chance
        number += 1
        chance *= mean / number
    return number


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gather(seed, stream, i, j, kind, radii, grains):
    """Fill in the grains of a cell and its eight neighbours; return their number."""
    cell, mean, flattest, density_spread, size_spread = kind
    found = 0
    count_key = stream_key(seed, stream)
    for di in range(-1, 2):
        for dj in range(-1, 2):
            p = np.int64(math.floor((i + di) * cell / _REGION))
            q = np.int64(math.floor((j + dj) * cell / _REGION))
            denser = density_spread * normal(seed, stream + 30, p, q)
            larger = math.exp(
                size_spread * min(max(normal(seed, stream + 31, p, q), -_LARGEST), _LARGEST)
            )
            # as much is covered in the mean as without regions
            expected = mean * math.exp(denser - 0.5 * density_spread**2) / larger**2
            number = _count(hash_pair(count_key, i + di, j + dj), expected)
            for k in range(number):
                word = hash_pair(stream_key(seed, stream + 1 + 2 * k), i + di, j + dj)
                more = hash_pair(stream_key(seed, stream + 2 + 2 * k), i + di, j + dj)
                radius = larger * radii[word & _LOW12]
                x = (i + di + float((word >> np.uint64(16)) & _LOW16) * _UNIT16) * cell
                y = (j + dj + float((word >> np.uint64(32)) & _LOW16) * _UNIT16) * cell
                angle = math.pi * float(word >> np.uint64(48)) * _UNIT16
                ratio = flattest + (1.0 - flattest) * float(more & _LOW16) * _UNIT16
                c, s = math.cos(angle), math.sin(angle)
                along, across = ratio / radius**2, 1.0 / (ratio * radius**2)
                grain = grains[found]
                grain[0], grain[1], grain[2] = x, y, radius
                grain[3] = along * c * c + across * s * s
                grain[4] = 2.0 * (along - across) * c * s
                grain[5] = along * s * s + across * c * c
                grain[6] = float((more >> np.uint64(16)) & _LOW12)
                found += 1
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def find_grains(x, y, seed, stream, kind, radii, depth, dome, mark):
    """Tell for each point how deep it lies in a grain.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        m.
    seed, stream : int
        Of the grains; a stream takes the 32 numbers from its own on.
    kind : tuple of float
        Side of a cell, m, which no grain's longest semi-axis may exceed; grains in a cell; least
        ratio of their axes, ratios being even from it to 1; standard deviations of the logarithms
        of density and size from region to region, the latter's deviations being two at most.
    radii : ndarray, shape (4096,)
        Equally likely radii of circles of the grains' areas, m.
    depth : ndarray, shape (n,)
        About how far inside its grain the point lies, m; negative outside, -1 where none is near.
    dome : ndarray, shape (n,)
        Height over the plane of a dome as high as the grain's radius, m; 0 outside.
    mark : ndarray of int64, shape (n,)
        A number from 0 to 4095 that belongs to the grain.
    """
    grains = np.empty((9 * _MOST, 7))
    i_last, j_last = np.int64(2**62), np.int64(2**62)
    cell = kind[0]
    found = 0
    for k in range(x.size):
        i, j = np.int64(math.floor(x[k] / cell)), np.int64(math.floor(y[k] / cell))
        if i != i_last or j != j_last:
            i_last, j_last = i, j
            found = _gather(seed, stream, i, j, kind, radii, grains)
        depth[k], dome[k], mark[k] = _FAR, 0.0, 0
        for n in range(found):
            grain = grains[n]
            u, v = x[k] - grain[0], y[k] - grain[1]
            square = grain[3] * u * u + grain[4] * u * v + grain[5] * v * v
            inside = (1.0 - math.sqrt(square)) * grain[2]
            if inside > depth[k]:
                depth[k] = inside
                mark[k] = np.int64(grain[6])
            dome[k] = max(dome[k], (1.0 - square) * grain[2])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_grooves(x, y, seed, stream, angle, cell, deepest, out):
    """Take from the height what the notches of a knife's edge took out.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        m.
    seed, stream : int
        Of the notches; a stream takes two numbers.
    angle : float
        Of the cut, rad.
    cell : float
        Mean distance of notches, m.
    deepest : float
        Depth of the deepest, m; most are much less deep.
    out : ndarray, shape (n,)
        Height, changed in place, m.
    """
    c, s = math.cos(angle), math.sin(angle)
    key, key_more = stream_key(seed, stream), stream_key(seed, stream + 1)
    for k in range(x.size):
        across = (c * y[k] - s * x[k]) / cell
        i = np.int64(math.floor(across))
        for neighbour in range(i - 1, i + 2):
            word = hash_pair(key, neighbour, 0)
            more = hash_pair(key_more, neighbour, 0)
            depth = deepest * (float(word & _LOW16) * _UNIT16) ** 3
            width = (0.04 + 0.16 * float((word >> np.uint64(16)) & _LOW16) * _UNIT16) ** 2
            offset = across - neighbour - float(more & _LOW16) * _UNIT16
            out[k] -= depth * math.exp(-0.5 * offset * offset / width)
