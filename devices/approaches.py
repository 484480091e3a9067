"""By which commands a stage reaches a target: directly, by over-travel, by inverting the play.

Sources: Mastronarde, J. Struct. Biol. 152 (2005) 36, and SerialEM's documentation (over-travel and
relaxation); Tao & Kokotovic, Adaptive Control of Systems with Actuator and Sensor Nonlinearities
(1996), ch. 2 (the inverse of a play).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Approach", "Direct", "OverTravel", "PlayInversion", "Standing"]

_SAME_UM = 1e-5  # a target comes back from the server through its units: this much is none
_TAKEN_UP = 2.0  # backlashes of way that take up the play whatever its state


@dataclass(frozen=True)
class Standing:
    """What the server says of an axis.

    Parameters
    ----------
    target : float
        Where it was last sent, µm.
    direction : int
        Of its last motion, -1 or 1; 0 before the first.
    travel : float
        Way since it last turned round, µm.
    """

    target: float
    direction: int
    travel: float


class Approach(Protocol):
    """By which commands a stage reaches a target."""

    @property
    def name(self) -> str:
        """What it is called in documents."""
        ...

    @property
    def parameters(self) -> Mapping[str, float]:
        """Its numbers, for documents; lengths in µm."""
        ...

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Any]
    ) -> Sequence[Mapping[str, float]]:
        """Return the commands, one after the other.

        Parameters
        ----------
        targets : mapping of str to float
            Where each axis shall bring the specimen, µm.
        standing : mapping of str to Standing
            Of all axes, as the server says now.

        Returns
        -------
        sequence of mapping of str to float
            At least one; each moves some of the axes of `targets`, µm.
        """
        ...


@dataclass(frozen=True)
class Direct:
    """One move to the target: what a stage does by itself."""

    name: str = field(default="direct", init=False)

    @property
    def parameters(self) -> Mapping[str, float]:
        """None."""
        return {}

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Any]
    ) -> list[dict[str, float]]:
        """Return the targets; see `Approach.waypoints`."""
        return [dict(targets)]


@dataclass(frozen=True)
class OverTravel:
    """Every target from the same side, so that the play is always taken up alike.

    Parameters
    ----------
    distances : mapping of str to float
        How far before the target the last leg begins, µm, more than the backlash; positive comes
        from below. Axes that are not named go straight.
    relax : float
        How far the last leg goes beyond the target, to come back by it: it lets the o-rings relax,
        µm; less than the play. SerialEM's is 0.025.
    """

    distances: Mapping[str, float]
    relax: float = 0.0
    name: str = field(default="over-travel", init=False)

    def __post_init__(self) -> None:
        for axis, distance in self.distances.items():
            if not (math.isfinite(distance) and distance != 0.0):
                raise ValueError(f"over-travel of {axis} is {distance!r} µm: finite and not 0")
        if not 0.0 <= self.relax < math.inf:
            raise ValueError(f"relax is {self.relax!r} µm: finite, 0 or more")

    @property
    def parameters(self) -> Mapping[str, float]:
        """Distances and relaxation, µm."""
        distances = {f"distance_{axis}": value for axis, value in self.distances.items()}
        return {**distances, "relax": self.relax}

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Any]
    ) -> list[dict[str, float]]:
        """Return one before the target, the target and the relaxation; see `Approach.waypoints`."""
        before = {axis: t - self.distances.get(axis, 0.0) for axis, t in targets.items()}
        known = {axis: t for axis, t in targets.items() if axis in self.distances}
        if not known:
            return [before]
        if not self.relax:
            return [before, known]
        beyond = {
            axis: t + math.copysign(self.relax, self.distances[axis]) for axis, t in known.items()
        }
        return [before, beyond, known]


@dataclass(frozen=True)
class PlayInversion:
    """Adds the play when an axis turns round: the specimen lags half of it behind the command.

    The state of the play is told by the way since the last reversal; where that is less than the
    backlash, it is taken up first by coming from below.

    Parameters
    ----------
    backlash : mapping of str to float
        Full width, µm. Axes that are not named go straight.
    """

    backlash: Mapping[str, float]
    name: str = field(default="play inversion", init=False)

    def __post_init__(self) -> None:
        for axis, width in self.backlash.items():
            if not 0.0 <= width < math.inf:
                raise ValueError(f"backlash of {axis} is {width!r} µm: finite, 0 or more")

    @property
    def parameters(self) -> Mapping[str, float]:
        """Backlash of each axis, µm."""
        return {f"backlash_{axis}": value for axis, value in self.backlash.items()}

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Any]
    ) -> list[dict[str, float]]:
        """Return the inverted targets, after what takes the play up; see `Approach.waypoints`."""
        first: dict[str, float] = {}
        last: dict[str, float] = {}
        for axis, target in targets.items():
            width, now = self.backlash.get(axis, 0.0), standing[axis]
            known = now.direction != 0 and now.travel >= width - _SAME_UM
            if width and not known:
                last[axis] = target + 0.5 * width
                first[axis] = last[axis] - _TAKEN_UP * width
                continue
            lag = 0.5 * width * now.direction
            missing = target - (now.target - lag)
            if abs(missing) <= _SAME_UM:
                last[axis] = now.target
            else:
                last[axis] = target + math.copysign(0.5 * width, missing)
        return [first, last] if first else [last]
