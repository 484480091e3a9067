"""What the figures of runs have in common: colours, units, and letters of panels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ACTUAL", "FIRST", "REPORTED", "TARGET", "Shown", "letter", "shown_in"]

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


def letter(panels: Iterable[Axes], titles: Iterable[str], begin: int = 0) -> None:
    """Head each panel with its letter, from number `begin` of the alphabet on, and a title."""
    for sign, panel, title in zip(ascii_lowercase[begin:], panels, titles, strict=False):
        panel.set_title(f"({sign})  {title}", loc="left", fontsize=10)
