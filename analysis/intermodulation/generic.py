"""What is the force between tip and surface, when nobody says which form it has?

Empirical Bayes on the tones: the force is linear between nodes, its smoothness along z is learnt
from the tones, and so is whether it damps and how. The equations are those of Borysov et al.
(eq. 10-14), weighted with the full covariance of the noise, which acts on the force and on the
motion alike; tones that were not measured follow from the force itself, pass by pass.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ._generic_curve import Solved, solve_curve
from ._generic_evidence import Part
from ._generic_field import reconstruct_field
from ._generic_verdict import UNSTABLE, UNTOUCHED, judge
from .curve import Bands, ForceCurve, Verdict
from .lateral import LateralForces
from .measurement import Measurement, MeasurementError, touched
from .motion import motion

__all__ = ["reconstruct"]

_GRID = 401
# A force and a damping, each with a level and a fall, and something to judge them by.
_FEWEST_TONES = 6


def reconstruct(measurement: Measurement) -> ForceCurve | LateralForces:
    """Return the force from tones alone.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel. With tones along y too, the conservative field along z and y is sought.

    Returns
    -------
    ForceCurve or LateralForces
        With bands, and a verdict that is not ok where the tip did not touch, where no force
        explains the tones, or where the tones leave the force open. `chi2` counts all errors: of
        the noise, by the force and by the motion, and of the model; where there is no noise it is
        that of the model's alone.

    Raises
    ------
    MeasurementError
        If several pixels are given, or too few tones to tell anything.
    """
    if measurement.engaged.ndim != 1:
        raise MeasurementError(f"{measurement.pixels} pixels are given: choose one with pixel(i)")
    if "z" not in measurement.axes:
        raise MeasurementError("there are no tones along z: a force is sought along z, or z and y")
    for axis in dict.fromkeys(measurement.axes):
        count = np.count_nonzero(measurement.on_axis(axis))
        if count < _FEWEST_TONES:
            raise MeasurementError(
                f"{count} tones along {axis} tell no force: measure at least {_FEWEST_TONES}"
            )
    # Where a band fades into nothing, a tone without noise holds rounding only: taken as exact, it
    # would outweigh the tones that tell the force.
    rounded = replace(measurement, noise=np.maximum(measurement.noise, measurement.rounding))
    if "y" in measurement.axes:
        return reconstruct_field(rounded)
    if not touched(measurement):
        return _no_force(measurement, UNTOUCHED)
    try:
        return _curve(solve_curve(rounded))
    except np.linalg.LinAlgError:
        return _no_force(measurement, UNSTABLE)


def _no_force(measurement: Measurement, reason: str) -> ForceCurve:
    z = np.linspace(motion(measurement).lowest, 0.0, _GRID)
    silent = np.zeros(_GRID)
    return ForceCurve(z, silent, silent, verdict=Verdict(False, (reason,)))


def _curve(solved: Solved) -> ForceCurve:
    z = np.linspace(solved.path.lowest, 0.0, _GRID)
    silent = np.zeros(_GRID), np.zeros(_GRID)
    found = {"damping": silent}
    for name, part in zip(("conservative", *solved.damping), solved.parts, strict=True):
        found["damping" if name in ("positive", "free") else name] = _values(solved, part, z)
    (force, spread), (damping, damping_spread) = found["conservative"], found["damping"]
    cubic, cubic_spread = found.get("cubic", (None, None))
    slow = _values(solved, solved.dissipative, z)
    return ForceCurve(
        z=z,
        conservative=force,
        damping=damping,
        cubic_damping=cubic,
        bands=Bands(spread, damping_spread, cubic_spread),
        chi2=solved.estimate.chi2,
        degrees_of_freedom=round(solved.estimate.freedom),
        verdict=judge(solved.estimate, (force, spread), slow),
    )


def _values(
    solved: Solved, part: Part, z: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a part of the force and its standard deviation."""
    variance = solved.nodes.value(np.diag(part.covariance), z)
    return solved.nodes.value(part.mean, z), np.sqrt(np.maximum(variance, 0.0))
