"""Is the tip still good? The verdict on the last image of a tip sample, so that it is recorded.

A plan that images on, images again or asks for a new probe acts on a verdict; it triggers this
device and reads it into its run, so that the run tells why. As instruments do, a verdict says good,
worn, bad, suspect or no tip, and gives the effective diameter of the tip (the diameter of the
circle with the area of the tip's section at a height above the apex).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device

from devices._analyser import Analyser, FoundSignal, FoundText
from devices.afm import Afm
from devices.scan_frame import ScanFrame
from devices.status import RequestStatus
from devices.units import NANOMETRE
from devices.wire import LimitError, RefusedError
from devices.wire.ophyd import StaticSignal

__all__ = ["STATUSES", "Qualify", "TipBaseline", "TipQualifier", "TipVerdict"]

STATUSES = ("good", "worn", "bad", "suspect", "no tip")
"""What a verdict can say."""

_HEIGHTS = ("height_sensor", "height")  # what the sensor has measured before what was asked of it


class TipVerdict(Protocol):
    """What an image tells of the tip: `analysis.tip_shape.TipVerdict`, or another's."""

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        ...

    @property
    def reason(self) -> str:
        """Why, in words; empty when the tip is good."""
        ...

    @property
    def diameter(self) -> float:
        """Effective diameter, m; NaN where it is not known."""
        ...

    @property
    def diameter_error(self) -> float:
        """Its standard error, m."""
        ...

    @property
    def change(self) -> float:
        """Of the diameter from the baseline, m; NaN without one."""
        ...


@dataclass(frozen=True)
class TipBaseline:
    """What the tip was when it was new.

    Parameters
    ----------
    diameter, diameter_error : float
        Effective diameter and its standard error, m.
    """

    diameter: float
    diameter_error: float


Qualify = Callable[[NDArray[Any], tuple[float, float], TipBaseline | None], TipVerdict]
"""From heights (m, shape (lines, points)), the distances of lines and of points (m) and what the
tip was, to a verdict."""


class _LengthSignal(FoundSignal):
    """One length of the last verdict, in nm."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(unit=NANOMETRE, **kwargs)

    def _fresh(self) -> tuple[float, float]:
        value, timestamp = super()._fresh()
        return self.unit.from_si(value), timestamp


class _BaselineSignal(StaticSignal):
    """One length of the baseline in force, in nm; NaN without one."""

    def __init__(self, *, field: str, **kwargs: Any) -> None:
        super().__init__(unit=NANOMETRE, **kwargs)
        self._field = field

    def _fresh(self) -> tuple[float, float]:
        baseline, timestamp = self.device.baseline.in_force
        value = math.nan if baseline is None else getattr(baseline, self._field)
        return self.unit.from_si(value), timestamp


class BaselineSetting(Device):
    """What the next verdict compares the tip with: movable, to a `TipBaseline` or None."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.in_force: tuple[TipBaseline | None, float] = (None, time.time())
        super().__init__(*args, **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is neither a `TipBaseline` with numbers above 0 nor None."""
        if value is None:
            return
        if not isinstance(value, TipBaseline) or not value.diameter > 0.0:
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: a TipBaseline with a diameter above "
                "0, or None"
            )

    def set(self, value: TipBaseline | None) -> RequestStatus:
        """Put a baseline in force; done at once."""
        self.check_value(value)
        self.in_force = (value, time.time())
        status = RequestStatus(self, f"{self.name}")
        status.set_finished()
        return status


class TipQualifier(Analyser):
    """Qualifies, when triggered, the tip that made the last image of an AFM.

    Parameters
    ----------
    afm : Afm
        Whose image, of a tip sample, is looked at.
    qualify : callable
        From heights, pixel size and baseline to a verdict; see `Qualify`.
    name : str
        First part of all data keys.
    """

    what = "verdict"

    status = Cpt(FoundText, value=lambda verdict: verdict.status, kind="normal")
    diameter = Cpt(_LengthSignal, value=lambda verdict: verdict.diameter, kind="hinted")
    diameter_error = Cpt(_LengthSignal, value=lambda verdict: verdict.diameter_error, kind="normal")
    change = Cpt(_LengthSignal, value=lambda verdict: verdict.change, kind="normal")
    reason = Cpt(FoundText, value=lambda verdict: verdict.reason, kind="normal")
    baseline = Cpt(BaselineSetting, kind="omitted")
    baseline_diameter = Cpt(_BaselineSignal, field="diameter", kind="config")
    baseline_diameter_error = Cpt(_BaselineSignal, field="diameter_error", kind="config")

    def __init__(self, afm: Afm, qualify: Qualify, *, name: str, **kwargs: Any) -> None:
        self.afm = afm
        super().__init__(afm.client, qualify, name=name, **kwargs)

    def _record(self) -> tuple[NDArray[Any], tuple[float, float], TipBaseline | None]:
        channels, _ = self.afm.imager.last_image
        heights = next((channels[name] for name in _HEIGHTS if name in channels), None)
        if heights is None:
            raise RefusedError(f"{self.name} has no image to look at: take one of the tip sample")
        frame = ScanFrame.from_wire(self.afm.scanner.snapshot.get())
        lines, points = heights.shape
        pixel_size = (frame.scan_size / frame.aspect_ratio / lines, frame.scan_size / points)
        baseline, _ = self.baseline.in_force
        return heights, pixel_size, baseline

    def _check(self, found: TipVerdict) -> None:
        if found.status not in STATUSES:
            raise ValueError(f"{self.name}: {found.status!r} is no verdict on a tip")
