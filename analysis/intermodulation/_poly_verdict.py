"""May a fitted polynomial be used? What the tones say about it, in plain words."""

from __future__ import annotations

import numpy as np
from scipy import special

from ._poly_columns import Fit
from .curve import Verdict
from .measurement import Measurement, touched
from .motion import aliases, carriers

__all__ = ["judge"]

# Equations beyond the unknowns, as a part of these, below which the fit follows every tone. The
# drop of fig. 8 of the paper lies at 0.1 to 0.2.
_SPARE = 0.2
# Chance that noise alone makes a chi2 at which the model is called wrong.
_CHANCE = 1e-3
# Part of the force's tones that may be left over where their noise is not known. A polynomial of
# the degree 21 leaves 3 % of a van der Waals-DMT force.
_LEFT_OVER = 0.1
# Force at the edge of a band, as a part of its largest: beyond this, the tones outside are missed.
_EDGE = 0.05
# Highest sum of carriers that is looked for in the bands: contact is short, its harmonics fall
# slowly, but a tenth of the force and more is in the first ones.
_ALIAS_ORDER = 12


def judge(chosen: Measurement, fit: Fit, chi2: float, degree: int) -> Verdict:
    """Return the verdict on a polynomial fitted to the tones of `chosen`, all along one axis."""
    against: list[str] = []
    if not touched(chosen):
        against.append("never touched: the engaged tones differ from the free ones by noise only")
    against += _fewness(fit)
    against += _misfit(chosen, fit, chi2)
    against += _ratio(chosen, degree)
    return Verdict(not against, (*against, *_edges(chosen)))


def _fewness(fit: Fit) -> list[str]:
    equations, unknowns = fit.residual.size, fit.unknowns.size
    if equations - unknowns >= _SPARE * unknowns:
        return []
    return [f"too few tones: {equations} equations for {unknowns} unknowns follow every error"]


def _misfit(chosen: Measurement, fit: Fit, chi2: float) -> list[str]:
    freedom = fit.residual.size - fit.unknowns.size
    if np.isfinite(chi2):
        if freedom and special.chdtrc(freedom, chi2) < _CHANCE:
            return [f"the model does not describe the tones: chi2 {chi2:.3g} for {freedom}"]
        return []
    size = float(np.linalg.norm(chosen.force(chosen.axes[0])))
    left = float(np.linalg.norm(fit.residual)) / size if size else 0.0
    if left > _LEFT_OVER:
        return [f"the model does not describe the tones: {left:.0%} of the force is left over"]
    return []


def _ratio(chosen: Measurement, degree: int) -> list[str]:
    bands = carriers(chosen)
    if len(bands) < 2:
        return []
    reach = max(width for _, width in bands)
    found = aliases([m for m, _ in bands], min(degree, _ALIAS_ORDER), 2.0 * reach, parity=0)
    if not found:
        return []
    return [
        f"the modes are at a ratio of whole numbers: the power {found[0].order} of the motion "
        f"falls into band {found[0].band + 1}, where odd powers are told from even ones"
    ]


def _edges(chosen: Measurement) -> list[str]:
    reasons = []
    force = np.abs(chosen.force(chosen.axes[0]))
    for number, places in enumerate(chosen.bands()):
        if places.size < 2:
            continue
        edge = max(force[places[0]], force[places[-1]])
        largest = force[places].max()
        noise = chosen.force_noise(chosen.axes[0])[places[[0, -1]]].max()
        if largest > 0.0 and edge > max(_EDGE * largest, 3.0 * noise):
            reasons.append(
                f"band {number + 1} ends where the force is still {edge / largest:.0%} of its "
                "largest tone: motion outside is missed, measure more tones"
            )
    return reasons
