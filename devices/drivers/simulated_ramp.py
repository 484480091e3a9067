"""A simulated piezo or motor on its way, at constant speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ramp"]


@dataclass(frozen=True)
class Ramp:
    """A way along a straight line.

    Parameters
    ----------
    origin, target : ndarray
        Its ends, m.
    begun : float
        When it began, s.
    duration : float
        How long it takes, s.
    """

    origin: NDArray[np.float64]
    target: NDArray[np.float64]
    begun: float
    duration: float

    @classmethod
    def resting(cls, place: NDArray[np.float64]) -> Ramp:
        """Return no way at all, at `place` (m)."""
        return cls(place, place, 0.0, 0.0)

    def at(self, time: float) -> NDArray[np.float64]:
        """Return the place at `time` (s), m."""
        if time >= self.begun + self.duration:
            return self.target
        share = max(0.0, (time - self.begun) / self.duration)
        return self.origin + share * (self.target - self.origin)

    def moving(self, time: float) -> bool:
        """Whether it is under way at `time` (s)."""
        return time < self.begun + self.duration

    def turned(self, target: NDArray[np.float64], time: float, speed: float) -> Ramp:
        """Return the way from where it is at `time` (s) to `target` (m) at `speed` (m/s)."""
        origin = self.at(time)
        return Ramp(origin, target, time, float(np.linalg.norm(target - origin)) / speed)
