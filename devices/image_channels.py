"""What the images of a scanning probe show: the channels of each mode, their names and units.

Names and long names are those of the instrument's own files. A force is a deflection times the
sensitivity of the detector times the spring constant: where the sensitivity was never measured, it
is known in volts only, and so is all that is made of it. Such a channel is never given in newtons,
joules or pascals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from devices.wire import LimitError

__all__ = [
    "CHANNELS",
    "FEEDBACK_CHANNEL",
    "MODES",
    "PEAK_FORCE_MODES",
    "ImageChannel",
    "channels_of",
]


@dataclass(frozen=True)
class ImageChannel:
    """One channel of an image.

    Parameters
    ----------
    name : str
        The last part of its data key.
    long_name : str
        As in the instrument's files.
    unit : str
        SI, of a calibrated probe.
    uncalibrated_unit : str
        Of one whose detector was never calibrated.
    """

    name: str
    long_name: str
    unit: str
    uncalibrated_unit: str

    def unit_of(self, calibrated: bool) -> str:
        """Return the unit of the channel under a probe that is `calibrated` or not."""
        return self.unit if calibrated else self.uncalibrated_unit


_ALL = (
    ImageChannel("height_sensor", "Height Sensor", "m", "m"),
    ImageChannel("peak_force_error", "Peak Force Error", "N", "V"),
    ImageChannel("dmt_modulus", "DMT Modulus", "Pa", "V m^-2"),
    ImageChannel("log_dmt_modulus", "Log DMT Modulus", "1", "1"),
    ImageChannel("adhesion", "Adhesion", "N", "V"),
    ImageChannel("deformation", "Deformation", "m", "V"),
    ImageChannel("dissipation", "Dissipation", "J", "V m"),
    ImageChannel("height", "Height", "m", "m"),
    ImageChannel("amplitude_error", "Amplitude Error", "m", "V"),
    ImageChannel("phase", "Phase", "deg", "deg"),
)

CHANNELS: Mapping[str, ImageChannel] = MappingProxyType({item.name: item for item in _ALL})
"""The channels by name."""

MODES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PeakForce QNM": tuple(item.name for item in _ALL[:8]),
        "ScanAsyst": ("height_sensor", "peak_force_error", "height"),
        "Tapping": ("height", "amplitude_error", "phase"),
    }
)
"""The channels of each mode, in the order of the instrument's files."""

PEAK_FORCE_MODES = ("PeakForce QNM", "ScanAsyst")
"""The modes that press once a period of the modulation."""

FEEDBACK_CHANNEL: Mapping[str, str] = MappingProxyType(
    {
        "PeakForce QNM": "peak_force_error",
        "ScanAsyst": "peak_force_error",
        "Tapping": "amplitude_error",
    }
)
"""The channel of each mode that tells how far the feedback is from its setpoint."""


def channels_of(mode: str) -> tuple[ImageChannel, ...]:
    """Return the channels of `mode`.

    Raises
    ------
    LimitError
        When there is no such mode.
    """
    if not isinstance(mode, str) or mode not in MODES:
        known = ", ".join(repr(name) for name in MODES)
        raise LimitError(f"imaging mode {mode!r} is not allowed: choose among {known}")
    return tuple(CHANNELS[name] for name in MODES[mode])
