"""What the figures of intermodulation measurements have in common."""

from __future__ import annotations

__all__ = ["BAND", "ENGAGED", "FOUND", "FREE", "NM", "NN", "NOISE", "REFERENCE", "UNIT"]

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
