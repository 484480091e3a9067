"""Colours of models and channels: told apart by every reader, and in grey by their lightness."""

from __future__ import annotations

# Okabe & Ito's palette, and a marker for each, so that colour is not needed
SERIES = (
    ("#0072B2", "o"),
    ("#E69F00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#56B4E9", "v"),
    ("0.35", "P"),
)
NOTE = "0.45"
CHANCE = "0.6"


def series_style(place: int) -> tuple[str, str]:
    """Colour and marker of the series at a place."""
    return SERIES[place % len(SERIES)]
