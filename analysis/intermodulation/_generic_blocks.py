"""What is thought likely of a part of the force before it is measured: two kinds of priors.

`Field` is a force whose second derivative is white noise with a strength that changes along z: the
logarithm of the strength is a random walk that is learnt from the tones, so that a stiff contact
and a smooth tail each get the freedom they need (Kowal et al., J. R. Stat. Soc. B 81, 781 (2019)).
`Positive` is a damping: its logarithm is a straight line along z, with a curvature that the tones
may ask for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ._generic_basis import Nodes

__all__ = ["Block", "Field", "Positive"]

Array = NDArray[np.float64]

# Variance per unit of x of the random walk of the log-variance: over a tenth of the depth the
# strength of a force's curvature may change by a factor exp(sqrt(8) / 2) = 4 and, rarely, 16.
_WALK = 80.0
# Mean and spread of level and slope of the log-variance, in units of the tones: forces of surfaces
# fall by e over some 0.15 of the depth, give or take half of it, so that they rarely rise away from
# the surface: with the odd part of a force alone nothing else tells z from -z.
_LEVEL, _SLOPE = 15.0, -13.0
_LEVEL_VARIES, _SLOPE_VARIES = 15.0, 7.0
# The same for the logarithm of a damping, whose level has its own guess.
_FALL, _LEVEL_SPREAD, _FALL_SPREAD = -10.0, 6.0, 12.0
_CURVATURE, _CURVATURE_RANGE = 10.0, (1e-2, 150.0)
_LARGEST_LOG = 9.0


class Block(Protocol):
    """A part of the force, linear in weights that are normal with given variances."""

    columns: Array
    offset: Array
    mean: Array
    start: Array
    bounds: list[tuple[float, float]]

    def variances(self, hyper: Array) -> Array:
        """Return the prior variances of the weights."""
        ...

    def chain(self, slope: Array) -> Array:
        """Return a gradient by hyperparameters from one by the log-variances."""
        ...

    def prior(self, hyper: Array) -> tuple[float, Array]:
        """Return minus the log prior of the hyperparameters and its gradient."""
        ...

    @property
    def shapes(self) -> Array:
        """The functions at the nodes whose weights are sought, (n, m)."""
        ...

    def relinearise(self, nodal: Array) -> float:
        """Move the point about which the block is linear; return by how much it moved."""
        ...


@dataclass(eq=False)
class Field:
    """A force of either sign.

    Parameters
    ----------
    nodes : Nodes
    tents : ndarray, shape (r, n)
        Equations for tents at the nodes.
    scale : float
        Mean square of the equations' left sides, to begin with.
    """

    nodes: Nodes
    tents: Array
    scale: float
    columns: Array = field(init=False)
    offset: Array = field(init=False)
    mean: Array = field(init=False)
    start: Array = field(init=False)
    bounds: list[tuple[float, float]] = field(init=False)

    def __post_init__(self) -> None:
        self._shapes = self.nodes.hinges()
        self.columns = self.tents @ self._shapes
        self.offset = np.zeros(len(self.tents))
        self.mean = np.zeros(self.nodes.z.size)
        x = self.nodes.x[1:]
        count = x.size
        walk = np.tril(np.ones((count - 1, count - 1))) * np.sqrt(_WALK * np.diff(x))
        self._walk = np.zeros((count, count + 1))
        self._walk[:, 0], self._walk[:, 1] = _LEVEL_VARIES, _SLOPE_VARIES * x
        self._walk[1:, 2:] = walk
        self._level = _LEVEL + _SLOPE * x
        power = np.sum(self.columns**2 * np.exp(self._level))
        self.start = np.zeros(count + 1)
        self.start[0] = np.log(self.scale * len(self.tents) / power) / _LEVEL_VARIES
        self.bounds = [(-8.0, 8.0)] * (count + 1)

    def variances(self, hyper: Array) -> Array:
        return np.exp(np.clip(self._level + self._walk @ hyper, -60.0, 45.0))

    def chain(self, slope: Array) -> Array:
        return self._walk.T @ slope

    def prior(self, hyper: Array) -> tuple[float, Array]:
        return 0.5 * float(hyper @ hyper), hyper

    @property
    def shapes(self) -> Array:
        return self._shapes

    def relinearise(self, nodal: Array) -> float:
        return 0.0


@dataclass(eq=False)
class Positive:
    """A damping.

    Parameters
    ----------
    nodes : Nodes
    tents : ndarray, shape (r, n)
        Equations for tents at the nodes.
    scale : float
        Mean square of the equations' left sides that a first guess should explain.
    """

    nodes: Nodes
    tents: Array
    scale: float
    columns: Array = field(init=False)
    offset: Array = field(init=False)
    mean: Array = field(init=False)
    start: Array = field(init=False)
    bounds: list[tuple[float, float]] = field(init=False)

    def __post_init__(self) -> None:
        x = self.nodes.x
        guess = _FALL * x
        power = np.mean((self.tents @ np.exp(guess)) ** 2)
        self._straight = guess + 0.5 * np.log(self.scale / power)
        self._logs = np.zeros((x.size, x.size))
        self._logs[:, 0], self._logs[:, 1] = _LEVEL_SPREAD, _FALL_SPREAD * x
        ramps = np.maximum(x[:, None] - x[None, :], 0.0) * np.sqrt(np.gradient(x))
        self._logs[:, 2:] = ramps[:, :-2]
        self.start = np.array([np.log(_CURVATURE)])
        self.bounds = [(np.log(_CURVATURE_RANGE[0]), np.log(_CURVATURE_RANGE[1]))]
        self.log = self._straight
        self._linearise()

    def _linearise(self) -> None:
        value = np.exp(self.log)
        self._shapes = value[:, None] * self._logs
        self.mean = value * (1.0 + self._straight - self.log)
        self.columns = self.tents @ self._shapes
        self.offset = self.tents @ self.mean

    def resume(self, earlier: Positive) -> None:
        """Begin at the damping that was found along another estimate of the motion."""
        self._straight, self.log = earlier._straight, earlier.log
        self._linearise()

    def variances(self, hyper: Array) -> Array:
        found = np.full(self.columns.shape[1], np.exp(2.0 * hyper[0]))
        found[:2] = 1.0
        return found

    def chain(self, slope: Array) -> Array:
        return np.array([2.0 * slope[2:].sum()])

    def prior(self, hyper: Array) -> tuple[float, Array]:
        distance = hyper - np.log(_CURVATURE)
        return 0.5 * float(distance @ distance), distance

    @property
    def shapes(self) -> Array:
        return self._shapes

    def relinearise(self, nodal: Array) -> float:
        value = np.exp(self.log)
        step = np.clip((nodal - value) / np.maximum(value, 1e-300), -1.5, 1.5)
        self.log = np.clip(self.log + step, -80.0, self._straight.max() + _LARGEST_LOG)
        self._linearise()
        return float(np.max(np.abs(step) * value) / value.max())
