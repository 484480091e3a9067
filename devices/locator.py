"""Where on the specimen is the camera's last frame? The answer as a device, so that it is recorded.

A plan that moves by what an image shows acts on a verdict; it triggers this device and reads it
into its run, so that the run tells why the stage went where it did.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device

from devices.microscope import Microscope
from devices.status import RequestStatus
from devices.units import MICROMETRE
from devices.wire import RefusedError
from devices.wire.ophyd import StaticSignal

__all__ = ["Find", "Found", "Locator"]

_NM_PER_UM = 1e3


class Found(Protocol):
    """Where an image was found to be: `analysis.atlas.Fix`, or another's."""

    @property
    def position(self) -> NDArray[np.float64]:
        """(x, y) µm."""
        ...

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Shape (2, 2), µm²."""
        ...

    @property
    def accepted(self) -> bool:
        """Whether it may be acted upon."""
        ...

    @property
    def reason(self) -> str:
        """Why, in words."""
        ...


Find = Callable[[NDArray[Any], tuple[float, float]], Found]
"""From an image and where it is expected, (x, y) µm, to where it is."""


class _FixSignal(StaticSignal):
    """One value of the last fix.

    Parameters
    ----------
    value : callable
        Takes it out of the fix.
    """

    def __init__(self, *, value: Callable[[Found], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._value = value

    def _fresh(self) -> tuple[Any, float]:
        fix, timestamp = self.device.last_fix
        if fix is None:
            raise RefusedError(f"{self.device.name} has not looked yet: trigger it first")
        return self._value(fix), timestamp


class _ReasonSignal(_FixSignal):
    """Why the last fix was accepted or refused."""

    def describe(self) -> dict[str, DataKey]:
        """Describe the text."""
        return {self.name: {"source": self.source_name, "dtype": "string", "shape": []}}


def _stderr(fix: Found, axis: int) -> float:
    return math.sqrt(fix.covariance[axis, axis])


class Locator(Device):
    """Finds, when triggered, where the last frame of a microscope is.

    Where it is expected is what the stage reports, plus the image shift.

    Parameters
    ----------
    tem : Microscope
        Whose camera, stage and column.
    find : callable
        From an image and where it is expected to where it is; see `Find`.
    name : str
        First part of all data keys.
    """

    x = Cpt(_FixSignal, value=lambda fix: float(fix.position[0]), unit=MICROMETRE, kind="hinted")
    y = Cpt(_FixSignal, value=lambda fix: float(fix.position[1]), unit=MICROMETRE, kind="hinted")
    stderr_x = Cpt(_FixSignal, value=lambda fix: _stderr(fix, 0), unit=MICROMETRE, kind="normal")
    stderr_y = Cpt(_FixSignal, value=lambda fix: _stderr(fix, 1), unit=MICROMETRE, kind="normal")
    accepted = Cpt(
        _FixSignal, value=lambda fix: int(fix.accepted), dtype_numpy="<i8", kind="normal"
    )
    reason = Cpt(_ReasonSignal, value=lambda fix: fix.reason, kind="normal")

    def __init__(self, tem: Microscope, find: Find, *, name: str, **kwargs: Any) -> None:
        self.tem = tem
        self.client = tem.client
        self._find = find
        self._fix: Found | None = None
        self._time = math.nan
        super().__init__(name=name, **kwargs)

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.tem.connected

    @property
    def last_fix(self) -> tuple[Found | None, float]:
        """The last fix, None before the first, and when it was made (s)."""
        return self._fix, self._time

    def trigger(self) -> RequestStatus:
        """Look at the last frame; done when it has been found, or found to be nowhere."""
        image, _ = self.tem.camera.last_frame
        if image.size == 0:
            raise RefusedError(f"{self.name} has no frame to look at: trigger the camera first")
        expected = self._expected()
        status = RequestStatus(self, f"{self.name} fix")

        def look() -> None:
            try:
                self._fix = self._find(image, expected)
            except Exception as error:  # whatever it is, somebody waits for the status
                status.set_exception(error)
                return
            self._time = time.time()
            status.set_finished()

        threading.Thread(target=look, name=f"{self.name}-fix", daemon=True).start()
        return status

    def _expected(self) -> tuple[float, float]:
        stage, column = self.tem.goniometer, self.tem.column
        with stage.snapshot.shared(), column.snapshot.shared():
            return (
                stage.x.position + column.image_shift_x.get() / _NM_PER_UM,
                stage.y.position + column.image_shift_y.get() / _NM_PER_UM,
            )
