"""Units of scanning probe files: from their texts to SI.

NanoScope gives a channel as a voltage of the converter ("hard": V, mV, º, or Arb for a number that
has no unit) and a sensitivity in another unit for each of it ("soft": nm/V, nN/Arb). What a channel
is in, and by how much it must be multiplied, follows from the two; a prefix of either counts.
Format: http://www.physics.arizona.edu/~smanne/DI/software/fileformats.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Quantity", "in_si", "parse_quantity", "resolve"]

# ~ is NanoScope's µ, as its files have no letter beyond those of a typewriter
_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "~": 1e-6}
_PREFIXES |= {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_ELECTRONVOLT = 1.602176634e-19  # J, exact in SI
_UNITS = {"m": ("m", 1.0), "V": ("V", 1.0), "A": ("A", 1.0), "N": ("N", 1.0), "Pa": ("Pa", 1.0)}
_UNITS |= {"J": ("J", 1.0), "eV": ("J", _ELECTRONVOLT), "Hz": ("Hz", 1.0), "s": ("s", 1.0)}
_UNITS |= {"º": ("deg", 1.0), "°": ("deg", 1.0), "deg": ("deg", 1.0), "N/m": ("N/m", 1.0)}
_UNITS |= {"Arb": ("Arb", 1.0), "": ("1", 1.0), "1": ("1", 1.0), "%": ("1", 0.01)}
_OF_DEFLECTION = frozenset(("N", "Pa", "J", "N/m"))
_NUMBER = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, as written."""

    value: float
    unit: str


def parse_quantity(text: str) -> Quantity:
    """Read ``20.82646 nm/V`` or ``V [Sens. Zsens] (0.005035400 V/LSB) 2.910461 V``.

    Raises
    ------
    ValueError
        If there is no number.
    """
    found = _NUMBER.fullmatch(_bare(text))
    if found is None:
        raise ValueError(f"{text!r} is no number with a unit")
    return Quantity(float(found[1]), found[2])


def in_si(unit: str) -> tuple[str, float]:
    """Return SI unit and factor of a simple unit.

    Parameters
    ----------
    unit : str
        ``nm``, ``mV``, ``º``, ``log(Arb)``.

    Raises
    ------
    ValueError
        If it is not known.
    """
    if unit in _UNITS:
        return _UNITS[unit]
    if unit.startswith("log("):
        return "1", 1.0
    if unit and unit[0] in _PREFIXES and unit[1:] in _UNITS and unit[1:]:
        base, factor = _UNITS[unit[1:]]
        return base, _PREFIXES[unit[0]] * factor
    raise ValueError(f"unit {unit!r} is not known")


def resolve(hard: Quantity, soft: Quantity | None, *, calibrated: bool) -> tuple[str, float]:
    """Return unit and range, in that unit, of a channel.

    Parameters
    ----------
    hard : Quantity
        Range of the converter.
    soft : Quantity or None
        The sensitivity.
    calibrated : bool
        Whether the sensitivity of the deflection was measured. A sensitivity that makes a force, an
        energy or a modulus is of no use where it was not: then the range is that of the converter.

    Returns
    -------
    (str, float)
        Units that are not known, or do not fit each other, stay as they are written.
    """
    written = hard.unit if soft is None or not soft.unit else f"{hard.unit} {soft.unit}"
    try:
        base, factor = in_si(hard.unit)
        if soft is None or not soft.unit:
            return base, hard.value * factor * (1.0 if soft is None else soft.value)
        made, per = _split(soft.unit)
        (unit, of_unit), (per_unit, of_per) = in_si(made), in_si(per)
    except ValueError:
        return written, hard.value * (1.0 if soft is None else soft.value)
    if per_unit != base:
        return written, hard.value * soft.value
    if unit in _OF_DEFLECTION and not calibrated:
        return base, hard.value * factor
    return unit, soft.value * of_unit * hard.value * factor / of_per


def _split(unit: str) -> tuple[str, str]:
    """Split a sensitivity into what it makes and of what: nm/V, N/m*Arb, log(Pa)/log(Arb)."""
    made, found, per = unit.rpartition("*")
    if not found:
        made, found, per = unit.rpartition("/")
    if not found:
        raise ValueError(f"a sensitivity in {unit} is one for nothing")
    return made, per


def _bare(text: str) -> str:
    """Cut ``V [Sens. Zsens] (0.005 V/LSB)`` off: the unit in it may have parentheses of its own."""
    rest = re.sub(r"^\s*[A-Z]\s+", "", text)
    rest = re.sub(r"^\[[^\]]*\]\s*", "", rest)
    if not rest.startswith("("):
        return rest
    depth = 0
    for place, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return rest[place + 1 :]
    return rest
