"""Where a scan's pixels lie on the sample, and when the tip is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "scan_time"]


def scan_time(rate: float, lines: int) -> float:
    """Return how long a scan takes, s.

    Parameters
    ----------
    rate : float
        Lines a second, Hz; a line is there and back.
    lines : int
        Their number.
    """
    if not rate > 0:
        raise ValueError(f"rate {rate!r} Hz is not allowed: above 0")
    return lines / rate


@dataclass(frozen=True)
class Frame:
    """A raster scan: lines along the fast axis, one above the other, over a sample that may drift.

    Parameters
    ----------
    center : tuple of float
        Of the frame on the sample, x and y, m.
    size : float
        Length of a line, m.
    aspect : float
        Length of a line over the height of the frame.
    lines, points : int
        Rows and columns of the image.
    angle : float
        From the sample's x axis to the fast axis, rad.
    velocity : tuple of float
        Of the sample's drift, x, y and z, m/s.
    line_time : float
        From the beginning of a line to that of the next, there and back, s.
    """

    center: tuple[float, float] = (0.0, 0.0)
    size: float = 4e-6
    aspect: float = 1.0
    lines: int = 256
    points: int = 256
    angle: float = 0.0
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    line_time: float = 1.0

    def __post_init__(self) -> None:
        for name in ("size", "aspect", "line_time"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value!r} is not allowed: above 0")
        for name in ("lines", "points"):
            value = getattr(self, name)
            if value < 2 or int(value) != value:
                raise ValueError(f"{name} {value!r} is not allowed: a whole number from 2")

    @property
    def pixel(self) -> tuple[float, float]:
        """Distance of the lines and of the points along a line, m."""
        return self.size / self.aspect / self.lines, self.size / self.points

    @property
    def times(self) -> NDArray[np.float64]:
        """When the trace of each line begins, shape (lines,), s."""
        return self.line_time * np.arange(self.lines, dtype=np.float64)

    def positions(self, margin: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where on the sample the pixels lie, the first line lowest.

        Parameters
        ----------
        margin : int
            Pixels beyond the frame on each side, for what a tip touches there.

        Returns
        -------
        tuple of ndarray, each of shape (lines + 2 margin, points + 2 margin)
            x and y, m.
        """
        rows = np.arange(-margin, self.lines + margin)[:, np.newaxis]
        columns = np.arange(-margin, self.points + margin)
        dy, dx = self.pixel
        v = dy * (rows - (self.lines - 1) / 2)
        u = dx * (columns - (self.points - 1) / 2)
        time = self.line_time * (rows + columns / (2 * self.points))
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x = self.center[0] + cos * u - sin * v - self.velocity[0] * time
        y = self.center[1] + sin * u + cos * v - self.velocity[1] * time
        return x, y
