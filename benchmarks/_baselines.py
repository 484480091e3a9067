"""How other programs bring a stage to a point, from what they publish.

SerialEM: every move ends with a backlash correction, 10 µm on a JEOL, and a relaxation of 25 nm
(about_properties, StageMontageBacklash; Mastronarde 2005). Leginon: over-travel of 10 µm in x and
30 µm in y on a JEOL (jeol.cfg), commands from a model of the goniometer's harmonics (Pulokas et al.
1999; gonmodel.py), then moves and images until the error is below a tolerance (navigator).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.approaches import OverTravel

__all__ = ["LEGINON_OVER_TRAVEL", "LEGINON_TOLERANCE_UM", "Harmonics", "LeginonMap", "serialem"]

LEGINON_OVER_TRAVEL = {"x": 10.0, "y": 30.0}
LEGINON_TOLERANCE_UM = 0.1
_PERIODS_UM = np.geomspace(25.0, 100.0, 400)


def serialem() -> OverTravel:
    """The approach of SerialEM on a JEOL."""
    return OverTravel({"x": 10.0, "y": 10.0}, relax=0.025)


@dataclass(frozen=True)
class Harmonics:
    """Error of an axis as a constant, a scale and two harmonics of the target, µm."""

    period: float
    coefficients: NDArray[np.float64]

    @classmethod
    def fit(cls, target: NDArray[np.float64], actual: NDArray[np.float64]) -> Harmonics:
        """Fit by least squares, the period by search; both of shape (n,), µm."""
        best, fitted = math.inf, None
        for period in _PERIODS_UM:
            design = _design(target, period)
            found, *_ = np.linalg.lstsq(design, actual - target, rcond=None)
            misfit = float(np.sum((actual - target - design @ found) ** 2))
            if misfit < best:
                best, fitted = misfit, cls(float(period), np.asarray(found, dtype=float))
        assert fitted is not None
        return fitted

    def command(self, target: float) -> float:
        """Where to send the axis for a target, µm."""
        return target - float(_design(np.array([target]), self.period)[0] @ self.coefficients)


def _design(target: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    turn = 2.0 * math.pi * target / period
    waves = [np.cos(turn), np.sin(turn), np.cos(2.0 * turn), np.sin(2.0 * turn)]
    return np.stack([np.ones_like(target), target, *waves], axis=1)


@dataclass(frozen=True)
class LeginonMap:
    """The approach of Leginon: over-travel to a command corrected by the harmonics of each axis."""

    harmonics: Mapping[str, Harmonics]
    name: str = "leginon"

    @property
    def parameters(self) -> Mapping[str, float]:
        """Period of each axis, µm."""
        return {f"period_{axis}": found.period for axis, found in self.harmonics.items()}

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Any]
    ) -> list[dict[str, float]]:
        """Return the commands; see `devices.positioning.Approach`."""
        corrected = {axis: self.harmonics[axis].command(t) for axis, t in targets.items()}
        return OverTravel(LEGINON_OVER_TRAVEL).waypoints(corrected, standing)
