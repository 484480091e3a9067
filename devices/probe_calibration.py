"""What is known of a probe: its modes, its tip, and what its detector's volts mean."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.wire import LimitError

__all__ = ["ProbeCalibration"]

_MODE_FIELDS = ("resonance_frequency", "quality_factor", "spring_constant", "mode_axis")


@dataclass(frozen=True)
class ProbeCalibration:
    """The calibration of a probe, kept by its server.

    Parameters
    ----------
    resonance_frequency : tuple of float, shape (modes,)
        Hz.
    quality_factor : tuple of float, shape (modes,)
        Dimensionless.
    spring_constant : tuple of float, shape (modes,)
        N/m.
    mode_axis : tuple of int, shape (modes,)
        0 flexural, 1 torsional.
    radius : float
        Of the tip, m.
    sensitivity : tuple of float, shape (2,)
        Of the detector, m/V, for flexural and torsional deflection.

    Raises
    ------
    LimitError
        A value that is no finite number above 0, another axis than 0 and 1, or modes of which
        something is missing.
    """

    resonance_frequency: tuple[float, ...]
    quality_factor: tuple[float, ...]
    spring_constant: tuple[float, ...]
    mode_axis: tuple[int, ...]
    radius: float
    sensitivity: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("resonance_frequency", "quality_factor", "spring_constant", "sensitivity"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        object.__setattr__(self, "mode_axis", _axes(self.mode_axis))
        object.__setattr__(self, "radius", _positive("radius", (self.radius,))[0])
        lengths = {name: len(getattr(self, name)) for name in _MODE_FIELDS}
        if len(set(lengths.values())) > 1 or not self.mode_axis:
            told = ", ".join(f"{count} of {name}" for name, count in lengths.items())
            raise LimitError(f"probe modes do not match: {told}; give one of each a mode")
        if len(self.sensitivity) != 2:
            raise LimitError(
                f"probe sensitivity has {len(self.sensitivity)} values: give two, flexural and "
                "torsional"
            )

    def to_wire(self) -> dict[str, Any]:
        """Return the calibration as plain numbers and lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_wire(cls, values: Mapping[str, Any]) -> ProbeCalibration:
        """Read a calibration from plain numbers and lists."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def _positive(name: str, values: object) -> tuple[float, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise LimitError(f"probe {name} {values!r} is not a sequence of numbers")
    items = tuple(values)
    for item in items:
        number = isinstance(item, numbers.Real) and not isinstance(item, bool)
        if not number or not math.isfinite(item) or item <= 0:
            raise LimitError(f"probe {name} holds {item!r}: give finite numbers above 0")
    return tuple(float(item) for item in items)


def _axes(values: object) -> tuple[int, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise LimitError(f"probe mode_axis {values!r} is not a sequence of 0 and 1")
    items = tuple(values)
    for item in items:
        whole = isinstance(item, numbers.Integral) and not isinstance(item, bool)
        if not whole or item not in (0, 1):
            raise LimitError(f"probe mode_axis holds {item!r}: 0 is flexural, 1 torsional")
    return tuple(int(item) for item in items)
