"""What a check of the tip has found, as plans act on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["TipResult"]

_GOOD = "good"
_UNSURE = ("suspect", "no tip")  # of the image rather than of the tip: another image tells


@dataclass(frozen=True)
class TipResult:
    """What a check of the tip found.

    Parameters
    ----------
    status : str
        ``good``, ``worn``, ``bad``, ``suspect`` or ``no tip``.
    diameter, diameter_error : float
        Effective diameter of the tip and its standard error, nm.
    change : float
        Of the diameter from the probe's baseline, nm; NaN without a baseline.
    reason : str
        In words.
    """

    status: str
    diameter: float = math.nan
    diameter_error: float = math.nan
    change: float = math.nan
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the tip may image on."""
        return self.status == _GOOD

    @property
    def told(self) -> str:
        """The verdict in a few words."""
        return f"{self.status}: {self.reason}" if self.reason else self.status

    @property
    def unsure(self) -> bool:
        """Whether the check tells nothing of the tip."""
        return self.status in _UNSURE
