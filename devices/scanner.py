"""The scanner of an AFM: the line along which the tip goes during an acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Component as Cpt

from devices._afm_signals import LongSettingSignal, NumbersSignal
from devices.units import MICROMETRE
from devices.wire import LimitError
from devices.wire.ophyd import ValueSignal, WireDevice, capabilities, checked_number

__all__ = ["Scanner"]

_ENDS = ("x0", "y0", "x1", "y1")


class LineSignal(LongSettingSignal, NumbersSignal):
    """Start and end of the line (x0, y0, x1, y1): movable; a point has both ends equal."""

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is not four numbers within the limits."""
        try:
            ends = dict(zip(_ENDS, value, strict=True))
        except (TypeError, ValueError):
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: give (x0, y0, x1, y1)"
            ) from None
        limits = capabilities(self.device.client, "scanner")["limits"]
        for name, end in ends.items():
            low, high = (self.unit.from_si(limit) for limit in limits[name[0]])
            checked_number(f"{self.name} {name}", end, (low, high), self.unit)


class PlaceSignal(ValueSignal):
    """One coordinate of where the tip is."""

    def __init__(self, *, index: int, **kwargs: Any) -> None:
        super().__init__(key="position", unit=MICROMETRE, **kwargs)
        self._index = index

    def convert(self, reading: Mapping[str, Any]) -> float:
        """Take the coordinate out of a reading, into the user's unit."""
        return self.unit.from_si(reading["position"][self._index])


class Scanner(WireDevice):
    """Line and position. Reading it is one request."""

    operation = "scanner.read"

    line = Cpt(
        LineSignal,
        key="line",
        command="scanner.set_line",
        stopping="scanner.stop",
        service="scanner",
        unit=MICROMETRE,
        kind="normal",
    )
    x = Cpt(PlaceSignal, index=0, kind="normal")
    y = Cpt(PlaceSignal, index=1, kind="normal")

    @property
    def position(self) -> tuple[float, float]:
        """Where the tip is, x and y in µm, asked of the server."""
        with self.snapshot.shared():
            return self.x.get(), self.y.get()

    def stop(self, *, success: bool = False) -> None:
        """Stop the scanner where it is, if it moves."""
        self.line.stop(success=success)
