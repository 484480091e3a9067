"""What the figures of runs have in common: colours and units."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACTUAL", "FIRST", "REPORTED", "TARGET", "Shown", "shown_in"]

# Okabe & Ito's palette: told apart by every reader, and in grey by their lightness
REPORTED = "#0072B2"
ACTUAL = "#E69F00"
FIRST = "#D00000"
TARGET = "0.45"


@dataclass(frozen=True)
class Shown:
    """How differences of one unit are written: in which unit, times what, with how many digits."""

    unit: str
    factor: float
    digits: int


def shown_in(unit: str) -> Shown:
    """How differences of positions in `unit` are written: lengths in nm."""
    return Shown("nm", 1e3, 0) if unit == "µm" else Shown(unit, 1.0, 4)
