"""May a force found from tones alone be used? Three questions, and a plain answer to each.

Did the tip touch; does a force of the position (and a damping) explain the tones; and do the tones
tell enough about it?
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ._generic_evidence import Estimate
from .curve import Verdict

__all__ = ["UNSTABLE", "UNTOUCHED", "explains", "judge", "known"]

UNTOUCHED = "never touched: the engaged tones differ from the free ones by noise only"
UNSTABLE = "no force was found: its equations have no stable solution"
# Part of the tones that may be left to errors of the model. Tents and completed motion leave less
# than a percent; twice that and more is something that is not in the model.
_LARGEST_FLOOR = 0.02
# Chance that noise alone makes a chi2 at which the model is called wrong.
_CHANCE = 1e-4
# Uncertainty as a part of the force, rms, beyond which the force is not known, and of its largest
# value in the deepest part of the curve, where the tip turns.
_VAGUE, _UNRESOLVED = 0.2, 0.25
_DEEPEST = 0.02
# The same where most of the squared uncertainty lies at the wall, the lowest twentieth of the
# curve: strengths learnt from the force above say nothing of a wall that was touched but rarely,
# and a steeper one could hide there. Over Lennard-Jones and Morse walls with noise it holds 0.5 to
# 1 of the squared uncertainty, and errors are up to 5 standard deviations; over liquids, adhesive
# contacts and most polymers 0.05 to 0.5, and errors are up to 2.5.
_AT_WALL, _WALL = 0.5, 0.05
_VAGUE_AT_WALL, _UNRESOLVED_AT_WALL = 0.075, 0.06
# The same as _VAGUE where nothing is known about the wall.
_OPEN = 0.075
# The same as _VAGUE for damping, whose bands are cautious: they span some two times its errors.
_VAGUE_DAMPING = 0.3
# Part of the curve below the rest point, and what is left there of the largest conservative force
# and of the largest damping, beyond which they go on above it: bands of tones tell a force from its
# mirror image by its being zero there.
_NEAR_REST, _REACHES, _DAMPING_REACHES = 0.25, 0.05, 0.2

Values = tuple[NDArray[np.float64], NDArray[np.float64]]


def judge(estimate: Estimate, conservative: Values, dissipative: Values) -> Verdict:
    """Return the verdict on a curve: of each force value and standard deviation below rest.

    Parameters
    ----------
    estimate : Estimate
    conservative, dissipative : tuple of ndarray, shape (n,)
        From the lowest deflection up, N; the latter at a velocity that is slow for this motion.
    """
    steep = _at_wall(conservative[1])
    vague = _VAGUE_AT_WALL if steep else _VAGUE
    unresolved = _UNRESOLVED_AT_WALL if steep else _UNRESOLVED
    against = [
        *explains(estimate),
        *known("the conservative force", *conservative, vague),
        *_resolved(*conservative, unresolved),
        *known("the damping", *dissipative, _VAGUE_DAMPING),
        *_ended("the conservative force", conservative[0], _REACHES),
        *_ended("the damping", dissipative[0], _DAMPING_REACHES),
    ]
    return Verdict(not against, tuple(against))


def _at_wall(deviation: NDArray[np.float64]) -> bool:
    """Return whether what is open about the force is the wall where the tip turns."""
    square = deviation**2
    return bool(square[: round(_WALL * square.size)].sum() > _AT_WALL * square.sum())


def _resolved(
    value: NDArray[np.float64], deviation: NDArray[np.float64], limit: float
) -> list[str]:
    """Return what speaks against the force where the tip turns."""
    deepest = deviation[: max(1, round(_DEEPEST * deviation.size))].max()
    part = float(deepest / np.abs(value).max())
    if part <= limit:
        return []
    return [
        f"the wall is not resolved: at the lowest deflections the tones leave {part:.0%} of the "
        "largest force open; measure more tones, or less deep"
    ]


def _ended(what: str, value: NDArray[np.float64], limit: float) -> list[str]:
    """Return what speaks against a force that should have ended below the rest point."""
    largest = float(np.abs(value).max())
    left = float(np.abs(value[-round(_NEAR_REST * value.size) :]).max())
    if left <= limit * largest:
        return []
    return [
        f"{what} reaches the rest point, where {left / largest:.0%} of it is left: the tones do "
        "not tell what goes on above from its mirror image below; lift the tip"
    ]


def explains(estimate: Estimate) -> list[str]:
    """Return what speaks against the model as an explanation of the tones."""
    against = []
    if estimate.floor > _LARGEST_FLOOR:
        against.append(
            f"no force of this kind explains the tones: {estimate.floor:.1%} of them is left over"
        )
    if special.chdtrc(max(estimate.freedom, 1.0), estimate.chi2) < _CHANCE:
        against.append(
            f"the force does not explain the tones within their noise: chi2 {estimate.chi2:.0f} "
            f"where {estimate.freedom:.0f} is expected"
        )
    return against


def known(
    what: str,
    value: NDArray[np.float64],
    deviation: NDArray[np.float64],
    limit: float = _OPEN,
) -> list[str]:
    """Return what speaks against a part of the force as a result."""
    size, spread = float(np.linalg.norm(value)), float(np.linalg.norm(deviation))
    if spread <= limit * size:
        return []
    part = "by more than itself" if spread > size else f"by {spread / size:.0%}"
    return [f"the tones leave {what} open {part}: measure more tones, longer, or less deep"]
