"""The root of all errors that the station foresees."""

from __future__ import annotations

__all__ = ["StationError"]


class StationError(Exception):
    """Something that the person at the desk can put right; its text is one line."""
