"""How a duration is written for people."""

from __future__ import annotations

__all__ = ["shown_time"]

_LONGER_UNITS = ((3600.0, "h"), (60.0, "min"))


def shown_time(seconds: float) -> str:
    """Write a duration in the unit that suits it: ``"12.5 min"``."""
    for size, unit in _LONGER_UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"
