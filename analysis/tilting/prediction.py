"""Where will the feature be at the next tilt? Told from where it was at those before.

Besides the geometry of `analysis.tilting.geometry` there is a wobble of the tilt axis, a random
walk from tilt to tilt, and a straying without memory, as of a play that every tilt sets free. How
much there is of each differs from stage to stage, so that now the geometry, now the last position,
now the mean of many predicts best: a `TiltPredictor` finds out as the series goes.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["HoldLast", "NoPrediction", "Prediction", "Predictor", "TiltPredictor"]

_HELD = 4  # tilts: on either side of a dose-symmetric series the last is at most three old
_ORIGIN = np.zeros(2)


@dataclass(frozen=True)
class Prediction:
    """Where a feature is expected at a tilt, from where it was at the first.

    Parameters
    ----------
    position : ndarray, shape (2,)
        (x, y), µm.
    covariance : ndarray, shape (2, 2)
        Its covariance, µm².
    z, z_stderr : float
        Change of height, which is the change of focus, and its standard error, µm; NaN from a
        predictor that knows none.
    """

    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    z: float = math.nan
    z_stderr: float = math.nan


class Predictor(Protocol):
    """Anything that learns where a feature goes as the specimen is tilted."""

    def predict(self, alpha: float) -> Prediction:
        """Return where the feature is expected at a tilt (degrees)."""
        ...

    def observe(self, alpha: float, position: ArrayLike, covariance: ArrayLike) -> None:
        """Learn that the feature was found at `position`, (x, y) µm, at a tilt (degrees)."""
        ...


class NoPrediction:
    """Expects the feature where it was at the first tilt.

    Parameters
    ----------
    spread : float
        Standard deviation of what may happen between two tilts, µm.
    """

    def __init__(self, spread: float = 1.0) -> None:
        self._spread = spread

    def predict(self, alpha: float) -> Prediction:
        """Return the place at the first tilt."""
        return Prediction(np.zeros(2), self._spread**2 * np.eye(2))

    def observe(self, alpha: float, position: ArrayLike, covariance: ArrayLike) -> None:
        """Learn nothing."""


class HoldLast:
    """Expects the feature where it was at the nearest of the last few tilts.

    So the branches of a dose-symmetric series each hold their own.

    Parameters
    ----------
    spread : float
        Standard deviation of what may happen between two tilts, µm.
    """

    def __init__(self, spread: float = 0.5) -> None:
        self._spread = spread
        self._last: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=_HELD)

    def predict(self, alpha: float) -> Prediction:
        """Return the last place near this tilt."""
        nearest = min(self._last, key=lambda held: abs(held[0] - alpha), default=(alpha, _ORIGIN))
        return Prediction(nearest[1], self._spread**2 * np.eye(2))

    def observe(self, alpha: float, position: ArrayLike, covariance: ArrayLike) -> None:
        """Remember the place."""
        self._last.appendleft((alpha, np.array(position, float)))


# What may be true of a goniometer, nm: how far it walks at random in a step of three degrees, and
# how far it strays from one tilt to the next without memory. A Krios' recorded tilt series walks by
# 50 to 90 nm; a stage whose play every tilt sets free strays by a part of its play.
_WALKS_NM = (10.0, 30.0, 50.0, 70.0, 90.0, 130.0, 180.0)
_STRAYS_NM = (3.0, 15.0, 50.0, 120.0, 240.0)
_STEP_DEG = 3.0
# Wobble of the tilt axis, first and second harmonic, and the branches' difference at first, µm.
_WOBBLE = (0.06, 0.04)
_BRANCHES = 0.05
_ANYWHERE = 1e3  # µm; before the first image nothing is known of where the feature is
# The tilt axis lies along x to within some degrees: so much of what y does is seen in x.
_ASKEW = 0.05

_LATELY = 3  # tilts: among as many a dose-symmetric series has both branches
_HEIGHT = 6  # place of z_offset in the state; y_offset comes after it


def _seen(alpha: float) -> NDArray[np.float64]:
    """Return what each part of the state adds to the position at a tilt."""
    angle = math.radians(alpha)
    cos, sin = math.cos(angle), math.sin(angle)
    second = math.cos(2 * angle) - 1.0
    ahead = float(alpha >= 0)
    return np.array(
        [ahead, 1 - ahead, sin, cos - 1.0, math.sin(2 * angle), second, -sin, cos - 1.0]
    )


class _Coordinate:
    """Kalman filters of one coordinate side by side, each with its own walk and straying.

    In one half of them the branches, tilts of either sign, walk together, in the other each walks
    by itself. The state of each is the level of either branch, the wobble's harmonics and the place
    about the axis. Every filter counts by how well it has predicted so far (Bayesian model
    averaging), so that the geometry, the mean of what was and the last value take the part that is
    due to them.

    Parameters
    ----------
    share : float
        How much of what happens across the tilt axis is seen in the coordinate.
    start, spread : (float, float)
        Expected height above the axis and place beside it and how well they are known, µm.
    """

    def __init__(
        self, share: float, start: tuple[float, float], spread: tuple[float, float]
    ) -> None:
        models = itertools.product(_WALKS_NM, _STRAYS_NM, (0.0, 1.0))
        walk, stray, self._apart = np.array(list(models)).T
        self._walk, self._stray = (1e-3 * walk) ** 2, (1e-3 * stray) ** 2
        self._share = share
        self._log_weight = np.zeros(walk.size)
        first, second = _WOBBLE
        known = share * np.array(spread)
        prior = np.diag(np.array([0, _BRANCHES, first, first, second, second, *known]) ** 2)
        prior[:2, :2] += _ANYWHERE**2
        self._covariance = np.tile(prior, (walk.size, 1, 1))
        self._state = np.tile(share * np.array([0.0] * 6 + list(start)), (walk.size, 1))
        self._last: float | None = None
        self._branches: deque[bool] = deque(maxlen=_LATELY)

    def _ahead(self, alpha: float) -> NDArray[np.float64]:
        """Return the covariances (models, states, states) after the tilt to `alpha`."""
        covariance = self._covariance.copy()
        if self._last is not None:
            walked = self._walk * min(1.0, abs(alpha - self._last) / _STEP_DEG)
            # a branch that was not seen lately goes with the other
            apart = walked * self._apart * (len(set(self._branches)) == 2)
            branch = 0 if alpha >= 0 else 1
            covariance[:, :2, :2] += (walked - apart)[:, None, None]
            covariance[:, branch, branch] += apart
            covariance[:, _HEIGHT, _HEIGHT] += self._share**2 * walked  # z walks as well
        return covariance

    def _innovation(
        self, alpha: float, covariance: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the position that each model expects, and its variance."""
        seen = _seen(alpha)
        # z strays too, and is seen by the sine of the tilt
        stray = self._stray * (1.0 + (self._share * math.sin(math.radians(alpha))) ** 2)
        return self._state @ seen, np.einsum("i,mij,j->m", seen, covariance, seen) + stray

    def predict(self, alpha: float) -> tuple[float, float]:
        """Return the expected position and its variance; from the second tilt on."""
        mean, variance = self._innovation(alpha, self._ahead(alpha))
        return self._mixed(mean, variance)

    def height(self, alpha: float, first: float) -> tuple[float, float]:
        """Return the change of height from the first tilt on, and its variance."""
        angle, origin = math.radians(alpha), math.radians(first)
        seen = np.array([math.cos(angle) - math.cos(origin), math.sin(angle) - math.sin(origin)])
        about = self._covariance[:, _HEIGHT:, _HEIGHT:]
        mean = self._state[:, _HEIGHT:] @ seen
        return self._mixed(mean, np.einsum("i,mij,j->m", seen, about, seen))

    def observe(self, alpha: float, position: float, variance: float) -> None:
        """Learn the position at a tilt."""
        covariance = self._ahead(alpha)
        expected, spread = self._innovation(alpha, covariance)
        spread = spread + variance
        surprise = position - expected
        if self._last is not None:  # at the first tilt anything was possible
            self._log_weight -= 0.5 * (np.log(spread) + surprise**2 / spread)
        gain = (covariance @ _seen(alpha)) / spread[:, None]
        self._state = self._state + gain * surprise[:, None]
        self._covariance = covariance - gain[:, :, None] * gain[:, None, :] * spread[:, None, None]
        self._last = alpha
        self._branches.append(alpha >= 0)

    def _mixed(
        self, mean: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> tuple[float, float]:
        """Return mean and variance of the models' mixture."""
        weights = np.exp(self._log_weight - self._log_weight.max())
        weights /= weights.sum()
        overall = float(weights @ mean)
        return overall, float(weights @ (variance + (mean - overall) ** 2))


@dataclass
class TiltPredictor:
    """Learns, tilt by tilt, how a feature goes round the axis, and what else the stage does.

    Parameters
    ----------
    y_offset, z_offset : (float, float)
        Where the feature is beside and above the tilt axis and how well that is known (standard
        deviation), µm; from `plans.eucentric_height`, or as little as the defaults say.
    """

    y_offset: tuple[float, float] = (0.0, 3.0)
    z_offset: tuple[float, float] = (0.0, 10.0)
    _x: _Coordinate = field(init=False, repr=False)
    _y: _Coordinate = field(init=False, repr=False)
    _first: float | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        start, spread = zip(self.z_offset, self.y_offset, strict=True)
        # the sign of the angle between tilt axis and x is unknown, and so the share of the start
        self._x = _Coordinate(_ASKEW, (0.0, 0.0), spread)
        self._y = _Coordinate(1.0, start, spread)

    def predict(self, alpha: float) -> Prediction:
        """Return where the feature is expected at a tilt (degrees), from the first tilt on."""
        if self._first is None:
            return Prediction(np.zeros(2), np.zeros((2, 2)), 0.0, 0.0)
        x, x_variance = self._x.predict(alpha)
        y, y_variance = self._y.predict(alpha)
        z, z_variance = self._y.height(alpha, self._first)
        covariance = np.diag([x_variance, y_variance])
        return Prediction(np.array([x, y]), covariance, z, math.sqrt(z_variance))

    def observe(self, alpha: float, position: ArrayLike, covariance: ArrayLike) -> None:
        """Learn that the feature was found at `position`, (x, y) µm, at a tilt (degrees)."""
        if self._first is None:
            self._first = alpha
        x, y = np.asarray(position, float)
        x_variance, y_variance = np.diag(np.asarray(covariance, float))
        self._x.observe(alpha, float(x), float(x_variance))
        self._y.observe(alpha, float(y), float(y_variance))
