"""How an image is taken: the mode, and what the instrument is told of tip, force and analysis.

The names are those of the instrument's own files (PFT: peak force tapping). All modes keep all
settings; each looks at its own.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from devices.image_channels import PEAK_FORCE_MODES, channels_of
from devices.scan_frame import ScanFrame
from devices.units import DEGREE, HERTZ, NANOMETRE, NANONEWTON, NONE, PERCENT, VOLT, Unit
from devices.wire import LimitError

__all__ = [
    "SAMPLE_POINTS",
    "SETTING_UNITS",
    "ImagingLimits",
    "ImagingSettings",
    "check_curves",
    "check_settings",
]

SAMPLE_POINTS = (64, 128, 256, 1024)
"""Points of a force curve that an instrument records."""

SETTING_UNITS: Mapping[str, Unit] = {
    "peak_force_setpoint": NANONEWTON,
    "pft_frequency": HERTZ,
    "peak_force_amplitude": NANOMETRE,
    "peak_force_engage_setpoint": VOLT,
    "min_force_fit_boundary": PERCENT,
    "max_force_fit_boundary": PERCENT,
    "deformation_fit_region": NONE,
    "sample_poissons_ratio": NONE,
    "tip_half_angle": DEGREE,
    "target_amplitude": NANOMETRE,
    "amplitude_setpoint": PERCENT,
}
"""The numbers among the settings that have limits, and the units in which people see them."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class ImagingSettings:
    """Settings of the imaging, in SI units.

    Parameters
    ----------
    mode : str
        One of `MODES`; it decides the channels.
    peak_force_setpoint : float
        Greatest force on the sample, N; of an uncalibrated probe by its nominal figures.
    pft_frequency : float
        Force curves a second, Hz.
    peak_force_amplitude : float
        Of the modulation of the height, m.
    sample_points : int
        Points recorded of a force curve; one of `SAMPLE_POINTS`.
    peak_force_engage_setpoint : float
        Signal of the detector at which the approach ends, V.
    min_force_fit_boundary, max_force_fit_boundary : float
        Of the fit of the modulus, as shares of the peak force.
    deformation_fit_region : float
        Share of the peak force over which the deformation is taken.
    sample_poissons_ratio : float
        With which a reduced modulus becomes that of the sample.
    tip_half_angle : float
        Of the tip's cone, rad.
    include_adhesion_force : bool
        Whether the fit of the modulus takes the force above the adhesion (DMT).
    target_amplitude : float
        Of the free lever in tapping, m.
    amplitude_setpoint : float
        Share of it that the feedback keeps at the sample.
    """

    mode: str = "PeakForce QNM"
    peak_force_setpoint: float = 10e-9
    pft_frequency: float = 2e3
    peak_force_amplitude: float = 150e-9
    sample_points: int = 256
    peak_force_engage_setpoint: float = 0.15
    min_force_fit_boundary: float = 0.2
    max_force_fit_boundary: float = 0.8
    deformation_fit_region: float = 0.85
    sample_poissons_ratio: float = 0.3
    tip_half_angle: float = 0.314
    include_adhesion_force: bool = True
    target_amplitude: float = 50e-9
    amplitude_setpoint: float = 0.7

    def __post_init__(self) -> None:
        channels_of(self.mode)
        if not isinstance(self.include_adhesion_force, bool):
            raise LimitError(
                f"imaging include_adhesion_force {self.include_adhesion_force!r} is not allowed: "
                "true or false"
            )
        for name in SETTING_UNITS:
            value = getattr(self, name)
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not math.isfinite(value):
                raise LimitError(f"imaging {name} {value!r} is not allowed: a finite number")
            object.__setattr__(self, name, float(value))
        if isinstance(self.sample_points, bool) or self.sample_points not in SAMPLE_POINTS:
            known = ", ".join(str(points) for points in SAMPLE_POINTS)
            raise LimitError(
                f"imaging sample_points {self.sample_points!r} is not allowed: one of {known}"
            )
        object.__setattr__(self, "sample_points", int(self.sample_points))
        lower, upper = self.min_force_fit_boundary, self.max_force_fit_boundary
        if not lower < upper:
            raise LimitError(
                f"imaging min_force_fit_boundary {100 * lower:g} % is not allowed: it is below "
                f"max_force_fit_boundary, {100 * upper:g} %"
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of the mode."""
        return tuple(channel.name for channel in channels_of(self.mode))

    def to_wire(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    @classmethod
    def from_wire(cls, values: Mapping[str, Any]) -> ImagingSettings:
        """Read settings from plain values; other values there are of no consequence."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class ImagingLimits:
    """Least and greatest value of each setting that an instrument allows, SI."""

    peak_force_setpoint: tuple[float, float] = (10e-12, 1e-6)
    pft_frequency: tuple[float, float] = (125.0, 8e3)
    peak_force_amplitude: tuple[float, float] = (5e-9, 500e-9)
    peak_force_engage_setpoint: tuple[float, float] = (0.01, 5.0)
    min_force_fit_boundary: tuple[float, float] = (0.0, 1.0)
    max_force_fit_boundary: tuple[float, float] = (0.0, 1.0)
    deformation_fit_region: tuple[float, float] = (0.1, 1.0)
    sample_poissons_ratio: tuple[float, float] = (0.0, 0.5)
    tip_half_angle: tuple[float, float] = (0.05, 1.2)
    target_amplitude: tuple[float, float] = (1e-9, 500e-9)
    amplitude_setpoint: tuple[float, float] = (0.05, 0.98)

    def to_wire(self) -> dict[str, list[float]]:
        """Return the limits as lists."""
        return {name: list(pair) for name, pair in asdict(self).items()}


def check_settings(settings: ImagingSettings, limits: ImagingLimits) -> None:
    """Refuse settings outside `limits`.

    Raises
    ------
    LimitError
        Says what is allowed.
    """
    for name, unit in SETTING_UNITS.items():
        value, (low, high) = getattr(settings, name), getattr(limits, name)
        slack = _ROUNDING * max(abs(low), abs(high))
        if not low - slack <= value <= high + slack:
            raise LimitError(
                f"imaging {name} {unit.show(unit.from_si(value))} is outside "
                f"{unit.from_si(low):.9g}..{unit.show(unit.from_si(high))}"
            )


def check_curves(settings: ImagingSettings, frame: ScanFrame) -> None:
    """Refuse a frame in which a pixel gets less than one force curve.

    Raises
    ------
    LimitError
        Says what to change.
    """
    if settings.mode not in PEAK_FORCE_MODES:
        return
    curves = settings.pft_frequency * frame.pixel_time
    if curves < 1.0 - _ROUNDING:
        raise LimitError(
            f"impossible scan: {curves:.2g} force curves a pixel where one at least is needed; "
            "choose fewer samples_per_line, a smaller scan_rate or a higher pft_frequency"
        )
