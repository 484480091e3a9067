"""Thermal drift: a velocity that forgets itself slowly, a random walk, and a holder warming up.

The velocity is an Ornstein-Uhlenbeck process in its stationary state; velocity and position are
advanced together on a grid of time by the exact joint distribution (Gillespie 1996, Phys. Rev. E
54, 2084, eqs. 2.9 and 2.13), so the grid leaves no trace in their statistics. Between grid points
the position is the cubic that has both points and both velocities; the random walk is a straight
line there, whose deviation from a walk, 0.01 nm sqrt(8 s / 4) at most, no image shows. After a
holder is inserted comes v tau (1 - exp(-t / tau)) with v up to 1 nm/s and tau = 900 s.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.noise import normal, uniform

__all__ = [
    "GRID",
    "NODE",
    "ThermalDrift",
    "between_nodes",
    "first_node",
    "kick_sizes",
    "next_node",
    "warming",
    "warming_speed",
]

GRID = 8.0  # seconds; short against the correlation time, long against a frame and a move
NODE = 3  # of an axis: position of the Ornstein-Uhlenbeck process, its velocity, the walk

_STREAM_VELOCITY, _STREAM_POSITION, _STREAM_WALK, _STREAM_INSERTION = 11, 12, 13, 14
_CHUNK = 1024  # grid points computed together
_KEPT = 16  # chunks kept: 36 hours
_LONGEST = 10 * 365 * 86400.0  # seconds


@numba.njit(cache=True, error_model="numpy")
def first_node(node, sigma, seed):
    """Fill the grid point at the start: at zero, at a velocity drawn from the stationary state.

    Parameters
    ----------
    node : ndarray, shape (n, NODE)
        Position, velocity and walk of each axis.
    sigma : ndarray, shape (n,)
        Standard deviation of the drift velocity.
    seed : int
        Of the stage.
    """
    for axis in range(sigma.size):
        node[axis, 0] = node[axis, 2] = node[axis, 1] = 0.0
        if sigma[axis] > 0.0:
            node[axis, 1] = sigma[axis] * normal(seed, _STREAM_VELOCITY, axis, 0)


@numba.njit(cache=True, error_model="numpy")
def kick_sizes(correlation_time):
    """Return the coefficients of a step of the grid for a velocity of standard deviation 1.

    Returns
    -------
    tuple of float
        Part of the velocity that is kept, of it that goes into the position, the kick of the
        velocity, and that of the position in common with it and of its own.
    """
    h = GRID / correlation_time
    velocity = math.sqrt(-math.expm1(-2.0 * h))
    covariance = correlation_time * math.expm1(-h) ** 2
    variance = correlation_time**2 * (2.0 * h + 4.0 * math.expm1(-h) - math.expm1(-2.0 * h))
    common = covariance / velocity
    own = math.sqrt(max(variance - common**2, 0.0))
    return math.exp(-h), -math.expm1(-h) * correlation_time, velocity, common, own


@numba.njit(cache=True, error_model="numpy")
def next_node(node, out, sigma, walk, sizes, seed, number):
    """Fill `out` with the grid point `number` from `node`, the one before it.

    Parameters
    ----------
    node, out : ndarray, shape (n, NODE)
        May be the same.
    sigma, walk : ndarray, shape (n,)
        Standard deviation of the velocity, and random walk per square root of a second.
    sizes : tuple of float
        Of `kick_sizes`.
    seed, number : int
        Of the stage and the grid point.
    """
    keep, carry, velocity, common, own = sizes
    for axis in range(sigma.size):
        position, speed, walked = node[axis, 0], node[axis, 1], node[axis, 2]
        if sigma[axis] > 0.0:
            kick = normal(seed, _STREAM_VELOCITY, axis, number)
            other = normal(seed, _STREAM_POSITION, axis, number)
            position += carry * speed + sigma[axis] * (common * kick + own * other)
            speed = keep * speed + sigma[axis] * velocity * kick
        if walk[axis] > 0.0:
            walked += walk[axis] * math.sqrt(GRID) * normal(seed, _STREAM_WALK, axis, number)
        out[axis, 0], out[axis, 1], out[axis, 2] = position, speed, walked


@numba.njit(cache=True, error_model="numpy")
def between_nodes(first, second, axis, fraction):
    """Return the drift of an axis at a fraction of the way between two grid points of all axes."""
    s, rest = fraction, 1.0 - fraction
    position = (1.0 + 2.0 * s) * rest * rest * first[axis, 0]
    position += s * s * (3.0 - 2.0 * s) * second[axis, 0]
    position += GRID * s * rest * (rest * first[axis, 1] - s * second[axis, 1])
    return position + rest * first[axis, 2] + s * second[axis, 2]


@numba.njit(cache=True, error_model="numpy")
def warming_speed(velocity, time_constant, age, seed, axis):
    """Return the drift velocity at the start of an axis, `age` seconds after the insertion.

    That at the insertion is drawn from -velocity to +velocity.
    """
    if velocity == 0.0:
        return 0.0
    drawn = velocity * (2.0 * uniform(seed, _STREAM_INSERTION, axis, 0) - 1.0)
    return drawn * math.exp(-age / time_constant)


@numba.njit(cache=True, error_model="numpy")
def warming(time_constant, elapsed):
    """Return the seconds by which a velocity at the start is to be multiplied to get the way."""
    return -time_constant * math.expm1(-elapsed / time_constant)


class ThermalDrift:
    """Drift of several axes as a function of time.

    Parameters
    ----------
    velocity : array_like, shape (n,)
        Standard deviation of the drift velocity of each axis, per second.
    walk : array_like, shape (n,)
        Random walk of each axis, per square root of a second.
    correlation_time : float
        Correlation time of the velocity, seconds.
    seed : int
        The same seed gives the same drift, whichever times are asked for.
    insertion : array_like, shape (n,), optional
        Greatest velocity of each axis just after the insertion of the holder, per second.
    insertion_time : float
        Seconds in which that decays.
    holder_age : float
        Seconds from the insertion to the start.
    """

    def __init__(
        self,
        velocity: ArrayLike,
        walk: ArrayLike,
        *,
        correlation_time: float,
        seed: int,
        insertion: ArrayLike | None = None,
        insertion_time: float = 900.0,
        holder_age: float = 0.0,
    ) -> None:
        self._velocity = np.array(velocity, dtype=float, ndmin=1)
        self._walk = np.array(walk, dtype=float, ndmin=1)
        self._sizes = kick_sizes(float(correlation_time))
        self._seed = seed
        n = self._velocity.size
        inserted = np.zeros(n) if insertion is None else np.array(insertion, dtype=float, ndmin=1)
        self._insertion_time = float(insertion_time)
        self._warming = np.array(
            [
                warming_speed(inserted[i], self._insertion_time, float(holder_age), seed, i)
                for i in range(n)
            ]
        )
        # The first grid point of each chunk reached so far, and the last chunks used.
        start = np.zeros((n, NODE))
        first_node(start, self._velocity, seed)
        self._starts = [start]
        self._chunks: OrderedDict[int, NDArray[np.float64]] = OrderedDict()

    def __call__(self, elapsed: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the drift since the start.

        Parameters
        ----------
        elapsed : ndarray, shape (m,)
            Seconds since the start, 0 or more.

        Returns
        -------
        ndarray, shape (m, n)
            Drift of each axis, zero at the start.
        """
        drift = np.zeros((elapsed.size, self._velocity.size))
        longest = float(elapsed.max(initial=0.0))
        if longest > _LONGEST:
            raise ValueError(
                f"stage time {longest:.0f} s after the start is too far: "
                f"drift is known for {_LONGEST:.0f} s"
            )
        if self._velocity.any() or self._walk.any():
            number = (elapsed / (GRID * _CHUNK)).astype(np.int64)
            for chunk in np.unique(number):
                here = np.flatnonzero(number == chunk)
                _fill(self._chunk(int(chunk)), int(chunk), elapsed, here, drift)
        if self._warming.any():
            seconds = np.array([warming(self._insertion_time, float(time)) for time in elapsed])
            drift += seconds[:, None] * self._warming
        return drift

    def _chunk(self, number: int) -> NDArray[np.float64]:
        """Return the grid points of a chunk and the first of the next, (_CHUNK + 1, n, NODE)."""
        if number in self._chunks:
            self._chunks.move_to_end(number)
            return self._chunks[number]
        nodes = np.empty(0)
        for k in range(min(number, len(self._starts) - 1), number + 1):
            nodes = _nodes(
                self._starts[k], self._velocity, self._walk, self._sizes, self._seed, k * _CHUNK
            )
            if k + 1 == len(self._starts):
                self._starts.append(nodes[-1].copy())
        self._chunks[number] = nodes
        if len(self._chunks) > _KEPT:
            self._chunks.popitem(last=False)
        return nodes


@numba.njit(cache=True, error_model="numpy")
def _nodes(start, sigma, walk, sizes, seed, first):
    """Return the grid points from number `first` on, shape (_CHUNK + 1, n, NODE)."""
    out = np.empty((_CHUNK + 1, sigma.size, NODE))
    for axis in range(sigma.size):  # not out[0] = start: its check of shapes takes 2 s to compile
        for k in range(NODE):
            out[0, axis, k] = start[axis, k]
    for k in range(1, _CHUNK + 1):
        next_node(out[k - 1], out[k], sigma, walk, sizes, seed, first + k)
    return out


@numba.njit(cache=True, error_model="numpy")
def _fill(nodes, chunk, elapsed, here, drift):
    """Interpolate the grid points of a chunk at the times `elapsed[here]`."""
    for i in here:
        position = elapsed[i] / GRID
        number = int(position)
        within = number - chunk * _CHUNK
        for axis in range(drift.shape[1]):
            drift[i, axis] = between_nodes(
                nodes[within], nodes[within + 1], axis, position - number
            )
