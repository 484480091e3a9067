"""The scanner of an AFM: the line of an acquisition of spectra, and the frame of an image.

The settings of the frame are those of the instrument's own files. Set one after the other, each is
checked by itself, and what they are together when an image is asked for; ``frame.set({...})`` sets
several by one request and checks them together at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Component as Cpt

from devices._afm_signals import LongSettingSignal, NumbersSignal, WholeSettings
from devices.scan_frame import FRAME_UNITS, ScanFrame, check_frame
from devices.units import DEGREE, HERTZ, MICROMETRE, NONE, Unit
from devices.wire import LimitError
from devices.wire.ophyd import (
    SettingSignal,
    ValueSignal,
    WireDevice,
    capabilities,
    checked_number,
)

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


class FrameSignal(SettingSignal):
    """One setting of the frame; it stays as it is while a run writes images."""

    def __init__(self, *, key: str, unit: Unit = NONE, **kwargs: Any) -> None:
        super().__init__(
            key=key,
            command="scanner.set",
            service="scanner",
            limit=key,
            unit=unit,
            **kwargs,
        )

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no number within the limits, or comes while a run writes images."""
        checked_number(self.name, value, self.limits, self.unit, whole=self._whole)
        self.device.refuse_recording(self.name)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the setting in SI."""
        return {self._key: int(value) if self._whole else self.unit.to_si(value)}

    @property
    def _whole(self) -> bool:
        return self._dtype_numpy[1] in "iu"


class FrameSetting(WholeSettings):
    """The frame: movable, some of its settings or all, checked together and set by one request."""

    command = "scanner.set_frame"
    names = tuple(FRAME_UNITS)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the whole frame, refused if it cannot be scanned."""
        changes = super().arguments(value)
        parent: Any = self.parent
        present = ScanFrame.from_wire(parent.snapshot.get())
        frame = ScanFrame(**{**present.to_wire(), **changes})
        check_frame(frame, capabilities(parent.client, "scanner")["limits"])
        return frame.to_wire()


class Scanner(WireDevice):
    """Line, position and frame. Reading it is one request."""

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
    frame = Cpt(FrameSetting, kind="omitted")
    scan_size = Cpt(FrameSignal, key="scan_size", unit=MICROMETRE, kind="config")
    aspect_ratio = Cpt(FrameSignal, key="aspect_ratio", kind="config")
    scan_rate = Cpt(FrameSignal, key="scan_rate", unit=HERTZ, kind="config")
    lines = Cpt(FrameSignal, key="lines", dtype_numpy="<i8", kind="config")
    samples_per_line = Cpt(FrameSignal, key="samples_per_line", dtype_numpy="<i8", kind="config")
    scan_angle = Cpt(FrameSignal, key="scan_angle", unit=DEGREE, kind="config")
    x_offset = Cpt(FrameSignal, key="x_offset", unit=MICROMETRE, kind="config")
    y_offset = Cpt(FrameSignal, key="y_offset", unit=MICROMETRE, kind="config")

    @property
    def position(self) -> tuple[float, float]:
        """Where the tip is, x and y in µm, asked of the server."""
        with self.snapshot.shared():
            return self.x.get(), self.y.get()

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes images: its descriptor would be wrong."""
        afm: Any = self.parent
        if afm is not None:
            afm.imager.refuse_recording(what)

    def stop(self, *, success: bool = False) -> None:
        """Stop the scanner where it is, if it moves."""
        self.line.stop(success=success)
