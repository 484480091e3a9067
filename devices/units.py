"""The units of the wire and those of the people who read the documents.

Everything below the devices is SI; a device, a document and an error message speak micrometres,
degrees and nanometres. The conversion happens here and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["DEGREE", "HERTZ", "KILOVOLT", "MICROMETRE", "MICROSECOND", "NANOMETRE", "NONE"]
__all__ += ["METRE", "NANOMETRE_PER_VOLT", "NANONEWTON", "NEWTON_PER_METRE", "PERCENT", "RADIAN"]
__all__ += ["SECOND", "VOLT", "Unit", "unit_of"]


@dataclass(frozen=True)
class Unit:
    """A unit as users read it, and its place in SI.

    Parameters
    ----------
    symbol : str
        As written in documents, for example ``"µm"``.
    si : str
        The SI unit on the wire, for example ``"m"``.
    per_si : float
        How many of this unit make one SI unit.
    precision : int
        Decimals worth showing.
    """

    symbol: str
    si: str
    per_si: float
    precision: int

    def from_si(self, value: float) -> float:
        """Convert `value` from SI; rounded at 1e-9 so that 1 µm comes back as 1."""
        return round(float(value) * self.per_si, 9)

    def to_si(self, value: float) -> float:
        """Convert `value` to SI."""
        return float(value) / self.per_si

    def show(self, value: float) -> str:
        """Write `value`, which is in this unit, with the unit: ``"12.5 µm"``."""
        return f"{value:.9g} {self.symbol}".rstrip()


MICROMETRE = Unit("µm", "m", 1e6, 3)
NANOMETRE = Unit("nm", "m", 1e9, 2)
DEGREE = Unit("deg", "rad", 180.0 / math.pi, 3)
MICROSECOND = Unit("µs", "s", 1e6, 3)
SECOND = Unit("s", "s", 1.0, 6)
KILOVOLT = Unit("kV", "V", 1e-3, 1)
METRE = Unit("m", "m", 1.0, 12)
HERTZ = Unit("Hz", "Hz", 1.0, 3)
VOLT = Unit("V", "V", 1.0, 6)
RADIAN = Unit("rad", "rad", 1.0, 6)
NANONEWTON = Unit("nN", "N", 1e9, 3)
PERCENT = Unit("%", "", 100.0, 1)
NEWTON_PER_METRE = Unit("N/m", "N/m", 1.0, 3)
NANOMETRE_PER_VOLT = Unit("nm/V", "m/V", 1e9, 3)
NONE = Unit("", "", 1.0, 3)

_AXIS_UNITS = {unit.si: unit for unit in (MICROMETRE, DEGREE)}


def unit_of(si: str) -> Unit:
    """Return the unit in which an axis measured in `si` (``"m"`` or ``"rad"``) is shown.

    Raises
    ------
    ValueError
        When no axis has such a unit.
    """
    if si not in _AXIS_UNITS:
        raise ValueError(f"axis unit {si!r} is unknown: the wire carries 'm' and 'rad'")
    return _AXIS_UNITS[si]
