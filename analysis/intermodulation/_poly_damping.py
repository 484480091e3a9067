"""How does a surface damp, where a polynomial of the deflection cannot tell?

The equations of one band hold the damping of the paper (Borysov et al., eq. 21) only up to what the
conservative polynomial leaves over, and that is of the size of the damping. Here the conservative
part is free to bend where it must, and the damping has a prior from physics: it takes energy from
the tip and falls off smoothly, how fast the evidence of the tones decides. The same fit tells the
tones that were not measured (eq. 9), pass by pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ._generic_basis import Nodes, tent_spectra
from ._generic_curve import Search, Solved, solve_curve
from ._generic_evidence import Part
from ._generic_verdict import explains, known
from .measurement import Measurement, MeasurementError
from .motion import Motion, minimum_samples

__all__ = ["Damping", "solve_damping"]

# Forms of damping by the highest power of the velocity; the later one takes the place of the first
# where the evidence for it is strong.
_FORMS = {0: ((),), 1: (("positive",), ()), 3: (("positive", "cubic"), ("positive",))}
_POWERS = {"positive": 1, "cubic": 3}
# Uncertainty of the damping as a part of it, rms, beyond which it is not known.
_VAGUE = 0.3
_GRID = 401


@dataclass(frozen=True, eq=False)
class Damping:
    """A damping that was found, and the motion with all tones.

    Parameters
    ----------
    path : Motion
    tones : ndarray of complex, shape (k,)
        Of the damping force at the equations, N: it opposes the velocity.
    nodes : Nodes
    parts : tuple of Part
        Linear and, where it was asked for, cubic damping at the nodes, N s/m and N s³/m³.
    reasons : tuple of str
        What speaks against it.
    """

    path: Motion
    tones: NDArray[np.complex128]
    nodes: Nodes
    parts: tuple[Part, ...]
    reasons: tuple[str, ...]

    @property
    def unknowns(self) -> int:
        """How many the tones tell at least: a level and a fall of each part."""
        return 2 * len(self.parts)

    def values(self, z: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return each part at deflections."""
        return [self.nodes.value(part.mean, z) for part in self.parts]

    def deviations(self, z: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the standard deviation of each part at deflections."""
        variances = [self.nodes.value(np.diag(part.covariance), z) for part in self.parts]
        return [np.sqrt(np.maximum(variance, 0.0)) for variance in variances]


def solve_damping(
    moving: Measurement,
    chosen: Measurement,
    *,
    degree: int,
    velocity_degree: int,
    passes: int,
) -> Damping:
    """Return the damping that the equations tell, and the motion they make whole.

    Parameters
    ----------
    moving : Measurement
        The tones along z that describe the motion.
    chosen : Measurement
        Those that are equations, some of the former.
    degree : int
        Highest power of the motion that will be looked at.
    velocity_degree : {0, 1, 3}
    passes : int
        How often tones that are not measured are estimated.

    Raises
    ------
    MeasurementError
        If a tone of the equations does not describe the motion, or no motion fits the tones.
    """
    outside = np.setdiff1d(chosen.tones, moving.tones)
    if outside.size:
        raise MeasurementError(
            f"tone {outside[0]} is an equation but not in the motion: a motion is completed from "
            "all tones that are known"
        )
    search = Search(
        equations=np.searchsorted(moving.tones, chosen.tones),
        forms=_FORMS[velocity_degree],
        passes=(passes, passes),
        samples=minimum_samples(int(moving.tones.max()), degree),
    )
    # a tone without noise holds rounding: see `generic.reconstruct`
    rounded = replace(moving, noise=np.maximum(moving.noise, moving.rounding))
    try:
        solved = solve_curve(rounded, search)
    except np.linalg.LinAlgError:
        raise MeasurementError(
            "no motion with the answer to the force was found: leave completions at 0"
        ) from None
    return _damping(solved, chosen)


def _damping(solved: Solved, chosen: Measurement) -> Damping:
    force, *parts = solved.parts
    tones = np.zeros(chosen.tones.size, dtype=np.complex128)
    v = solved.path.velocity
    for kind, part in zip(solved.damping, parts, strict=True):
        made = tent_spectra(solved.nodes, solved.path.z, v[None] ** _POWERS[kind], chosen.tones)
        tones += made[0] @ part.mean
    reasons = (
        *explains(solved.estimate),
        *known("the motion", *_below(solved, force)),
        *known("the damping", *_below(solved, solved.dissipative), _VAGUE),
    )
    return Damping(solved.path, tones, solved.nodes, tuple(parts), reasons)


def _below(solved: Solved, part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a part and its standard deviation at deflections below the rest point."""
    z = np.linspace(solved.path.lowest, 0.0, _GRID)
    variance = solved.nodes.value(np.diag(part.covariance), z)
    return solved.nodes.value(part.mean, z), np.sqrt(np.maximum(variance, 0.0))
