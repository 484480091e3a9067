"""The column: magnification, field of view, image shift and the beam blanker, as signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Component as Cpt

from devices.units import KILOVOLT, MICROMETRE, NANOMETRE, NONE
from devices.wire import LimitError
from devices.wire.ophyd import SettingSignal, ValueSignal, WireDevice

__all__ = ["Column"]


class ColumnSetting(SettingSignal):
    """A setting of the column."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(command="column.set", service="column", **kwargs)


class BlankSignal(ColumnSetting):
    """The beam blanker: 1 blanks the beam, 0 lets it pass."""

    def convert(self, reading: Mapping[str, Any]) -> int:
        """Take the state out of a reading."""
        return int(reading["beam_blank"])

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse anything but 0, 1, True and False."""
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise LimitError(f"{self.name} target {value!r} is not allowed: 1 blanks, 0 unblanks")

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the state as the wire has it."""
        return {"beam_blank": bool(value)}


class Column(WireDevice):
    """Lenses, deflectors and the beam blanker. Reading it is one request."""

    operation = "column.read"

    magnification = Cpt(
        ColumnSetting, key="magnification", limit="magnification", unit=NONE, kind="hinted"
    )
    field_of_view = Cpt(
        ColumnSetting, key="field_of_view", limit="field_of_view", unit=MICROMETRE, kind="hinted"
    )
    beam_blank = Cpt(BlankSignal, key="beam_blank", dtype_numpy="<i8", kind="normal")
    image_shift_x = Cpt(
        ColumnSetting, key="image_shift_x", limit="image_shift", unit=NANOMETRE, kind="hinted"
    )
    image_shift_y = Cpt(
        ColumnSetting, key="image_shift_y", limit="image_shift", unit=NANOMETRE, kind="hinted"
    )
    high_tension = Cpt(ValueSignal, key="high_tension", unit=KILOVOLT, kind="config")
