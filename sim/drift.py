"""Thermal drift of the specimen: a velocity that forgets itself slowly, and a random walk.

The velocity is an Ornstein-Uhlenbeck process in its stationary state; velocity and position are
advanced together on a grid of time by the exact joint distribution (Gillespie 1996, Phys. Rev. E
54, 2084, eqs. 2.9 and 2.13), so the grid leaves no trace in the statistics. Between grid points
the drift is a straight line.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.noise import normal

__all__ = ["ThermalDrift"]

_STREAM_VELOCITY, _STREAM_POSITION, _STREAM_WALK = 11, 12, 13
_GRID = 1.0  # seconds; short against the correlation time, long against a frame's line
_CHUNK = 4096  # grid points computed together
_KEPT = 16  # chunks kept: 18 hours
_LONGEST = 10 * 365 * 86400.0  # seconds


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
    """

    def __init__(
        self, velocity: ArrayLike, walk: ArrayLike, *, correlation_time: float, seed: int
    ) -> None:
        self._velocity = np.array(velocity, dtype=float, ndmin=1)
        self._walk = np.array(walk, dtype=float, ndmin=1)
        self._correlation_time = correlation_time
        self._seed = seed
        n = self._velocity.size
        speed = self._velocity * [normal(seed, _STREAM_VELOCITY, i, 0) for i in range(n)]
        # Position and velocity at the start of each chunk reached so far, and the last chunks used.
        self._starts = [(np.zeros(n), speed)]
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
        if not (self._velocity.any() or self._walk.any()):
            return np.zeros((elapsed.size, self._velocity.size))
        longest = float(elapsed.max(initial=0.0))
        if longest > _LONGEST:
            raise ValueError(
                f"stage time {longest:.0f} s after the start is too far: "
                f"drift is known for {_LONGEST:.0f} s"
            )
        position = elapsed / _GRID
        index = position.astype(np.int64)
        fraction = (position - index)[:, None]
        number, within = np.divmod(index, _CHUNK)
        drift = np.empty((elapsed.size, self._velocity.size))
        for chunk in np.unique(number):
            here = number == chunk
            nodes = self._chunk(int(chunk))
            first, second = nodes[within[here]], nodes[within[here] + 1]
            drift[here] = first + (second - first) * fraction[here]
        return drift

    def _chunk(self, number: int) -> NDArray[np.float64]:
        """Return the grid points of a chunk and the first of the next, (_CHUNK + 1, n)."""
        if number in self._chunks:
            self._chunks.move_to_end(number)
            return self._chunks[number]
        nodes = np.empty(0)
        for k in range(min(number, len(self._starts) - 1), number + 1):
            position, speed = self._starts[k]
            nodes, speed = _drift_chunk(
                position,
                speed,
                self._velocity,
                self._walk,
                self._correlation_time,
                self._seed,
                k * _CHUNK,
            )
            if k + 1 == len(self._starts):
                self._starts.append((nodes[-1].copy(), speed))
        self._chunks[number] = nodes
        if len(self._chunks) > _KEPT:
            self._chunks.popitem(last=False)
        return nodes


@numba.njit(cache=True)
def _drift_chunk(start, start_speed, sigma, walk, correlation_time, seed, first):
    """Return the grid points from `first` on, shape (_CHUNK + 1, n), and the last velocity."""
    h = _GRID / correlation_time
    decay = math.exp(-h)
    # Variances of the kicks to velocity and position and their covariance, for sigma = 1.
    velocity_kick = math.sqrt(-math.expm1(-2.0 * h))
    covariance = correlation_time * math.expm1(-h) ** 2
    variance = correlation_time**2 * (2.0 * h + 4.0 * math.expm1(-h) - math.expm1(-2.0 * h))
    common = covariance / velocity_kick
    own = math.sqrt(max(variance - common**2, 0.0))
    out = np.zeros((_CHUNK + 1, start.size))
    speed = start_speed.copy()
    for axis in range(start.size):
        if sigma[axis] == 0.0 and walk[axis] == 0.0:
            continue
        position = start[axis]
        out[0, axis] = position
        for k in range(1, _CHUNK + 1):
            kick = normal(seed, _STREAM_VELOCITY, axis, first + k)
            other = normal(seed, _STREAM_POSITION, axis, first + k)
            step = normal(seed, _STREAM_WALK, axis, first + k)
            position += -math.expm1(-h) * correlation_time * speed[axis]
            position += sigma[axis] * (common * kick + own * other)
            position += walk[axis] * math.sqrt(_GRID) * step
            speed[axis] = decay * speed[axis] + sigma[axis] * velocity_kick * kick
            out[k, axis] = position
    return out, speed
