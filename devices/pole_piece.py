"""What keeps the holder off the pole piece: a rule that drivers tell and devices keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PolePieceRule"]


@dataclass(frozen=True)
class PolePieceRule:
    """What keeps the holder off the pole piece, as far as an instrument tells: a tilted slab.

    Its edges rise by half_width |sin alpha| + half_length |sin beta| + |z|.

    Parameters
    ----------
    clearance : float
        From the flat tip to the pole piece, m.
    half_width, half_length : float
        Of the tip, across and along the rod, m.
    """

    clearance: float
    half_width: float
    half_length: float

    def room(self, alpha: float, beta: float, z: float) -> float:
        """Return what is left of the clearance, m, at tilts in rad and z in m; touches below 0."""
        rise = self.half_width * abs(math.sin(alpha)) + self.half_length * abs(math.sin(beta))
        return self.clearance - rise - abs(z)
