"""Where on the specimen is the camera's last frame? The answer as a device, so that it is recorded.

A plan that moves by what an image shows acts on a verdict; it triggers this device and reads it
into its run, so that the run tells why the stage went where it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt

from devices._analyser import Analyser, FoundSignal, FoundText
from devices.microscope import Microscope
from devices.units import MICROMETRE
from devices.wire import RefusedError

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


def _stderr(fix: Found, axis: int) -> float:
    return math.sqrt(fix.covariance[axis, axis])


class Locator(Analyser):
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

    what = "fix"

    x = Cpt(FoundSignal, value=lambda fix: float(fix.position[0]), unit=MICROMETRE, kind="hinted")
    y = Cpt(FoundSignal, value=lambda fix: float(fix.position[1]), unit=MICROMETRE, kind="hinted")
    stderr_x = Cpt(FoundSignal, value=lambda fix: _stderr(fix, 0), unit=MICROMETRE, kind="normal")
    stderr_y = Cpt(FoundSignal, value=lambda fix: _stderr(fix, 1), unit=MICROMETRE, kind="normal")
    accepted = Cpt(
        FoundSignal, value=lambda fix: int(fix.accepted), dtype_numpy="<i8", kind="normal"
    )
    reason = Cpt(FoundText, value=lambda fix: fix.reason, kind="normal")

    def __init__(self, tem: Microscope, find: Find, *, name: str, **kwargs: Any) -> None:
        self.tem = tem
        super().__init__(tem.client, find, name=name, **kwargs)

    def _record(self) -> tuple[NDArray[Any], tuple[float, float]]:
        image, _ = self.tem.camera.last_frame
        if image.size == 0:
            raise RefusedError(f"{self.name} has no frame to look at: trigger the camera first")
        return image, self._expected()

    def _expected(self) -> tuple[float, float]:
        stage, column = self.tem.goniometer, self.tem.column
        with stage.snapshot.shared(), column.snapshot.shared():
            return (
                stage.x.position + column.image_shift_x.get() / _NM_PER_UM,
                stage.y.position + column.image_shift_y.get() / _NM_PER_UM,
            )
