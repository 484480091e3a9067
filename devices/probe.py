"""The probe: its calibration, kept at the server and recorded as configuration."""

from __future__ import annotations

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from devices._afm_signals import NumbersSignal
from devices.probe_calibration import ProbeCalibration
from devices.status import RequestStatus
from devices.units import HERTZ, NANOMETRE, NANOMETRE_PER_VOLT, NEWTON_PER_METRE, NONE, Unit
from devices.wire import LimitError
from devices.wire.ophyd import SettingSignal, WireDevice

__all__ = ["Probe"]

_SET_S = 5.0


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

        def complete(done: Any) -> None:
            error = done.exception()
            if error is None:
                status.set_finished()
            else:
                status.set_exception(error)

        future.add_done_callback(complete)
        return status

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


class Probe(WireDevice):
    """Modes, tip and detector sensitivity; one figure a mode, in the order of the modes.

    `mode_axis` and the two figures of `sensitivity` are of the flexural (0) and the torsional (1)
    deflection.
    """

    operation = "probe.read"

    calibration = Cpt(CalibrationSetting, kind="omitted")
    resonance_frequency = Cpt(ProbeNumbers, key="resonance_frequency", unit=HERTZ, kind="config")
    quality_factor = Cpt(ProbeNumbers, key="quality_factor", kind="config")
    spring_constant = Cpt(ProbeNumbers, key="spring_constant", unit=NEWTON_PER_METRE, kind="config")
    mode_axis = Cpt(ProbeNumbers, key="mode_axis", dtype_numpy="<i8", kind="config")
    radius = Cpt(RadiusSignal, kind="config")
    sensitivity = Cpt(ProbeNumbers, key="sensitivity", unit=NANOMETRE_PER_VOLT, kind="config")

    def changed(self, figures: dict[str, Any]) -> ProbeCalibration:
        """Return the calibration in force with other `figures` (SI), if they fit.

        Raises
        ------
        LimitError
            When they do not.
        """
        return ProbeCalibration.from_wire({**self.calibration.get().to_wire(), **figures})
