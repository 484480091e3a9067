"""May a force found from tones alone be used? Three questions, and a plain answer to each.

Did the tip touch; does a force of the position (and a damping) explain the tones; and do the tones
tell enough about it?
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_distribution

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
# Uncertainty as a part of the force, rms, beyond which the force is not known.
_VAGUE = 0.1
# The same for damping, whose bands are cautious: they span some three times its errors.
_VAGUE_DAMPING = 0.4
# The deepest part of the curve, where the tip turns. Uncertainty there, as a part of the largest
# force, beyond which a steeper wall could hide in it: strengths learnt from the force above say
# nothing of a wall that was touched but rarely, so the band is too narrow where it is wide.
_DEEPEST, _UNRESOLVED = 0.02, 0.08


def judge(
    estimate: Estimate,
    conservative: tuple[NDArray[np.float64], NDArray[np.float64]],
    dissipative: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Verdict:
    """Return the verdict on a curve: of each force value and standard deviation below rest.

    Parameters
    ----------
    estimate : Estimate
    conservative, dissipative : tuple of ndarray, shape (n,)
        From the lowest deflection up, N; the latter at a velocity that is slow for this motion.
    """
    against = [
        *explains(estimate),
        *known("the conservative force", *conservative, _VAGUE),
        *_resolved(*conservative),
        *known("the damping", *dissipative, _VAGUE_DAMPING),
    ]
    return Verdict(not against, tuple(against))


def _resolved(value: NDArray[np.float64], deviation: NDArray[np.float64]) -> list[str]:
    """Return what speaks against the force where the tip turns."""
    deepest = deviation[: max(1, round(_DEEPEST * deviation.size))].max()
    part = float(deepest / np.abs(value).max())
    if part <= _UNRESOLVED:
        return []
    return [
        f"the wall is not resolved: at the lowest deflections the tones leave {part:.0%} of the "
        "largest force open; measure more tones, or less deep"
    ]


def explains(estimate: Estimate) -> list[str]:
    """Return what speaks against the model as an explanation of the tones."""
    against = []
    if estimate.floor > _LARGEST_FLOOR:
        against.append(
            f"no force of this kind explains the tones: {estimate.floor:.1%} of them is left over"
        )
    if chi2_distribution.sf(estimate.chi2, max(estimate.freedom, 1.0)) < _CHANCE:
        against.append(
            f"the force does not explain the tones within their noise: chi2 {estimate.chi2:.0f} "
            f"where {estimate.freedom:.0f} is expected"
        )
    return against


def known(
    what: str, value: NDArray[np.float64], deviation: NDArray[np.float64], limit: float = _VAGUE
) -> list[str]:
    """Return what speaks against a part of the force as a result."""
    size, spread = float(np.linalg.norm(value)), float(np.linalg.norm(deviation))
    if spread <= limit * size:
        return []
    part = "by more than itself" if spread > size else f"by {spread / size:.0%}"
    return [f"the tones leave {what} open {part}: measure more tones, longer, or less deep"]
