"""The chuck of an AFM: which place of which sample is under the tip.

Samples have names. The chuck moves only while the tip is withdrawn, and nothing lowers the tip
while it moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Component as Cpt

from devices._afm_signals import LongSettingSignal, TextSignal
from devices.units import MICROMETRE
from devices.wire import LimitError
from devices.wire.ophyd import WireDevice, capabilities, checked_number

__all__ = ["Chuck"]

_MOVE_S = 300.0


class _ChuckSignal(LongSettingSignal):
    """Something of the chuck that is set by moving it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(command="chuck.place", stopping="chuck.stop", service="chuck", **kwargs)

    def set(self, value: Any, *, timeout: float | None = None, **kwargs: Any) -> Any:
        """Start going to `value`; the status is done on arrival."""
        return super().set(value, timeout=_MOVE_S if timeout is None else timeout, **kwargs)


class SampleSignal(_ChuckSignal, TextSignal):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Name of the sample under the tip, empty between two of them; the offsets stay."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key="sample", **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a name that no position has, or another sample while a run writes images."""
        chuck: Chuck = self.device
        if value not in chuck.positions:
            known = ", ".join(chuck.positions)
            raise LimitError(f"{self.name} target {value!r} is not allowed: choose among {known}")
        if value != self.get():
            chuck.refuse_recording(self.name)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the name."""
        return {"sample": value}

    def describe(self) -> Any:
        """Describe the name and its alternatives."""
        described = super().describe()
        described[self.name]["choices"] = list(self.device.positions)
        return described


class OffsetSignal(_ChuckSignal):
    """How far the place under the tip is from the middle of the sample along one axis."""

    def __init__(self, *, key: str, **kwargs: Any) -> None:
        super().__init__(key=key, limit=key, unit=MICROMETRE, **kwargs)


class PlaceSetting(_ChuckSignal):
    """Sample and offsets (name, dx, dy): movable in one go."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key="sample", unit=MICROMETRE, **kwargs)

    def convert(self, reading: Mapping[str, Any]) -> tuple[str, float, float]:
        """Take the place out of a reading."""
        x, y = (self.unit.from_si(reading[f"offset_{axis}"]) for axis in ("x", "y"))
        return str(reading["sample"]), x, y

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a place that is not there."""
        try:
            sample, *offsets = value
            x, y = offsets
        except (TypeError, ValueError):
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: give (sample, dx, dy)"
            ) from None
        chuck: Chuck = self.device
        chuck.sample.check_value(sample)
        for signal, offset in ((chuck.offset_x, x), (chuck.offset_y, y)):
            checked_number(f"{self.name} {signal.attr_name}", offset, signal.limits, self.unit)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the place in SI."""
        sample, x, y = value
        offsets = {"offset_x": self.unit.to_si(x), "offset_y": self.unit.to_si(y)}
        return {"sample": sample, **offsets}


class Chuck(WireDevice):
    """Samples by name, and the place on the one under the tip. Reading it is one request."""

    operation = "chuck.read"

    place = Cpt(PlaceSetting, kind="omitted")
    sample = Cpt(SampleSignal, kind="normal")
    offset_x = Cpt(OffsetSignal, key="offset_x", kind="normal")
    offset_y = Cpt(OffsetSignal, key="offset_y", kind="normal")

    @property
    def positions(self) -> tuple[str, ...]:
        """Names of the samples."""
        return tuple(capabilities(self.client, "chuck")["positions"])

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes images: their file names the sample."""
        afm: Any = self.parent
        afm.imager.refuse_recording(what)

    def stop(self, *, success: bool = False) -> None:
        """Stop the chuck where it is, if it moves."""
        for signal in (self.place, self.sample, self.offset_x, self.offset_y):
            signal.stop(success=success)
