"""What the figures of intermodulation measurements have in common."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BAND", "ENGAGED", "FOUND", "FREE", "NM", "NN", "NOISE", "REFERENCE", "UNIT", "letter"]

# Okabe & Ito's palette, of unequal lightness
ENGAGED = "#0072B2"
FREE = "#E69F00"
NOISE = "0.55"
FOUND = "black"
REFERENCE = "#D00000"
BAND = "#56B4E9"
NM = 1e9  # nm in a m
NN = 1e9  # nN in a N
UNIT = {"z": "flexural", "y": "torsional"}


def letter(panels: Iterable[Axes], titles: Iterable[str], begin: int = 0) -> None:
    """Head each panel with its letter, from number `begin` of the alphabet on, and a title."""
    for sign, panel, title in zip(ascii_lowercase[begin:], panels, titles, strict=False):
        panel.set_title(f"({sign})  {title}", loc="left", fontsize=10)
