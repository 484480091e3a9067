"""The probe: its number, its calibration and its use, kept at the server.

The calibration is recorded as configuration. `calibrated` tells whether the sensitivity of the
detector was measured with this probe: until then forces are in volts. A new probe is put in by
``load.set(serial)``, under a withdrawn tip.
"""

from __future__ import annotations

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from devices._afm_signals import FlagSignal, LongSettingSignal, NumbersSignal, TextSignal
from devices.probe_calibration import ProbeCalibration
from devices.status import RequestStatus
from devices.units import (
    HERTZ,
    MICROMETRE,
    NANOMETRE,
    NANOMETRE_PER_VOLT,
    NEWTON_PER_METRE,
    NONE,
    Unit,
)
from devices.wire import LimitError, RefusedError
from devices.wire.ophyd import SettingSignal, ValueSignal, WireDevice, capabilities

__all__ = ["Probe"]

_SET_S = 5.0
_LOAD_S = 3600.0  # an operator may be at lunch


class ProbeNumbers(NumbersSignal):
    """One figure of each mode, or of each axis of the detector."""

    def __init__(self, *, key: str, unit: Unit = NONE, **kwargs: Any) -> None:
        super().__init__(key=key, command="probe.set", service="probe", unit=unit, **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse figures that would not fit the others."""
        super().check_value(value)
        self.device.changed(self.arguments(value))


class RadiusSignal(SettingSignal):
    """The radius of the tip."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            key="radius",
            command="probe.set",
            service="probe",
            unit=NANOMETRE,
            **kwargs,
        )

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no radius."""
        super().check_value(value)
        if value <= 0:
            raise LimitError(f"{self.name} target {value!r} nm is not allowed: give one above 0")


class CalibrationSetting(Device):
    """The whole calibration: movable, set by one request."""

    def set(self, value: ProbeCalibration, *, timeout: float | None = None) -> RequestStatus:
        """Put a calibration (SI units) in force; the status is the request's."""
        self.check_value(value)
        probe: Any = self.parent
        future = probe.client.submit(
            "probe.set", value.to_wire(), deadline_s=_SET_S if timeout is None else timeout
        )
        status = RequestStatus(self, f"{self.name} of {len(value.mode_axis)} modes")
        return status.following(future)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no `ProbeCalibration`."""
        if not isinstance(value, ProbeCalibration):
            raise LimitError(f"{self.name} target {value!r} is not allowed: a ProbeCalibration")

    def get(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, **kwargs: Any
    ) -> ProbeCalibration:
        """Return the calibration in force, SI units."""
        probe: Any = self.parent
        return ProbeCalibration.from_wire(probe.snapshot.get())


class CalibratedSignal(FlagSignal):
    """Whether the sensitivity of the detector was measured with this probe."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key="calibrated", command="probe.set", service="probe", **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no flag, or comes while a run writes images: their units would change."""
        super().check_value(value)
        self.device.refuse_recording(self.name)


class LoadSignal(LongSettingSignal, TextSignal):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The number of the probe; to set another puts that probe in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            key="serial", command="probe.load", stopping="probe.abort", service="probe", **kwargs
        )

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no text, or where nobody puts probes in, or in a run with images."""
        if not isinstance(value, str) or not value.strip():
            raise LimitError(f"{self.name} target {value!r} is not allowed: a serial number")
        if not capabilities(self.device.client, "probe").get("loading", False):
            raise RefusedError(f"{self.name}: this AFM cannot be given a new probe from here")
        self.device.refuse_recording(self.name)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the number."""
        return {"serial": value}

    def set(self, value: Any, *, timeout: float | None = None, **kwargs: Any) -> Any:
        """Have the probe put in; the status is done when it is, and calibrated if that is done.

        Parameters
        ----------
        value : str
            Its serial number.
        timeout : float, optional
            Seconds after which nobody waits any more; an hour by default.
        """
        return super().set(value, timeout=_LOAD_S if timeout is None else timeout, **kwargs)


class Probe(WireDevice):
    """Modes, tip and detector sensitivity; one figure a mode, in the order of the modes.

    `mode_axis` and the two figures of `sensitivity` are of the flexural (0) and the torsional (1)
    deflection. `tip_frame_count` and `tip_scanned_distance` are of the images with this tip.
    """

    operation = "probe.read"

    calibration = Cpt(CalibrationSetting, kind="omitted")
    load = Cpt(LoadSignal, kind="omitted")
    serial = Cpt(TextSignal, key="serial", kind="config")
    calibrated = Cpt(CalibratedSignal, kind="config")
    resonance_frequency = Cpt(ProbeNumbers, key="resonance_frequency", unit=HERTZ, kind="config")
    quality_factor = Cpt(ProbeNumbers, key="quality_factor", kind="config")
    spring_constant = Cpt(ProbeNumbers, key="spring_constant", unit=NEWTON_PER_METRE, kind="config")
    mode_axis = Cpt(ProbeNumbers, key="mode_axis", dtype_numpy="<i8", kind="config")
    radius = Cpt(RadiusSignal, kind="config")
    sensitivity = Cpt(ProbeNumbers, key="sensitivity", unit=NANOMETRE_PER_VOLT, kind="config")
    tip_frame_count = Cpt(ValueSignal, key="tip_frame_count", dtype_numpy="<i8", kind="normal")
    tip_scanned_distance = Cpt(
        ValueSignal, key="tip_scanned_distance", unit=MICROMETRE, kind="normal"
    )

    def changed(self, figures: dict[str, Any]) -> ProbeCalibration:
        """Return the calibration in force with other `figures` (SI), if they fit.

        Raises
        ------
        LimitError
            When they do not.
        """
        return ProbeCalibration.from_wire({**self.calibration.get().to_wire(), **figures})

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes images: its descriptor would be wrong."""
        afm: Any = self.parent
        afm.imager.refuse_recording(what)
