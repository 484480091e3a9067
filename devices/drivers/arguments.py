"""What a command's arguments may be: each check refuses in one line and adjusts no value."""

from __future__ import annotations

import math
from typing import Any

from devices.units import Unit
from devices.wire import LimitError, RefusedError

__all__ = ["finite_number", "no_others", "whole_number", "within"]

# Limits come back from user units with a rounding error in the last place.
_ROUNDING = 1e-12


def no_others(args: dict[str, Any], command: str, *allowed: str) -> None:
    """Refuse arguments that `command` does not know.

    Raises
    ------
    RefusedError
        When `args` holds anything but `allowed`.
    """
    unknown = sorted(set(args) - set(allowed))
    if unknown:
        known = ", ".join(allowed) or "none"
        raise RefusedError(f"{command} does not know {', '.join(unknown)}: it takes {known}")


def finite_number(what: str, value: object, unit: Unit) -> float:
    """Return `value` as a float.

    Raises
    ------
    RefusedError
        When it is not a number (text and booleans are none).
    LimitError
        When it is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(
            f"{what} {value!r} is not a number: give a finite number"
            + (f" of {unit.si}" if unit.si else "")
        )
    if not math.isfinite(value):
        raise LimitError(f"{what} {value} is not finite: give a finite number within the limits")
    return float(value)


def whole_number(what: str, value: object) -> int:
    """Return `value` as an int.

    Raises
    ------
    RefusedError
        When it is not a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"{what} {value!r} is not a whole number")
    return value


def within(what: str, value: float, limits: tuple[float, float], unit: Unit) -> None:
    """Refuse a value, in SI, outside `limits`; the message speaks the user's unit.

    Raises
    ------
    LimitError
        When it is outside.
    """
    lower, upper = limits
    slack = _ROUNDING * max(abs(lower), abs(upper))
    if not lower - slack <= value <= upper + slack:
        low, high = unit.from_si(lower), unit.from_si(upper)
        raise LimitError(
            f"{what} {unit.show(unit.from_si(value))} is outside "
            f"{low:.9g}..{unit.show(high)}: choose a value within these limits"
        )
