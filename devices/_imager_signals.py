"""The signals of the imager: its channels, its settings, and the engaging of the tip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bluesky.protocols import Reading
from event_model import DataKey
from numpy.typing import NDArray

from devices._afm_signals import ChoiceSignal, FlagSignal, LongSettingSignal, WholeSettings
from devices.image_channels import CHANNELS, MODES
from devices.imaging_settings import SAMPLE_POINTS, ImagingSettings
from devices.status import MotionStatus
from devices.units import NANOMETRE, NANONEWTON, NONE, VOLT, Unit
from devices.wire import LimitError
from devices.wire.ophyd import SettingSignal, StaticSignal, ValueSignal

__all__ = [
    "ChannelSignal",
    "EngageSignal",
    "FeedbackErrorSignal",
    "ImageStatus",
    "ImagingFlag",
    "ImagingNumber",
    "ModeSignal",
    "SamplePointsSignal",
    "SettingsSignal",
]

_ENGAGE_S = 600.0  # a motorised head steps down for minutes
_ERROR_UNITS = {"N": NANONEWTON, "m": NANOMETRE, "V": VOLT}


class ImageStatus(MotionStatus):
    """An image that is being scanned; its progress is in lines.

    Parameters
    ----------
    device : Device
        The imager.
    lines : int
        Of the image.
    """

    def __init__(self, device: Any, lines: int) -> None:
        super().__init__(
            device, float(lines), initial=0.0, name=device.name, unit="lines", precision=0
        )
        self.what = f"{device.name} image of {lines} lines"

    def scanned(self, values: Mapping[str, Any]) -> None:
        """Take what the server tells of the progress."""
        if not self.done and "line" in values:
            self.report(float(values["line"]), values.get("remaining"))

    def set_finished(self) -> None:
        """End with all lines."""
        self.report(self.target, 0.0)
        super().set_finished()


class ChannelSignal(StaticSignal):
    """A channel: external; `get` returns the last image of it, empty before the first.

    Of another mode's channel there is nothing to read and nothing to describe.
    """

    @property
    def channel(self) -> str:
        """Its name."""
        return str(self.attr_name)

    def _fresh(self) -> tuple[NDArray[np.float32], float]:
        channels, times = self.device.last_image
        return channels.get(self.channel, np.zeros((0, 0), np.float32)), sum(times) / 2

    def read(self) -> dict[str, Reading[Any]]:
        """Return nothing: the channel is in the file."""
        return {}

    def describe(self) -> dict[str, DataKey]:
        """Describe the channel, if the mode has it: shape, type, unit, and that it is external."""
        reading = self.device.snapshot.get()
        if self.channel not in reading["channels"]:
            return {}
        return {
            self.name: {
                "source": self.source_name,
                "dtype": "array",
                "dtype_numpy": "<f4",
                "shape": [reading["lines"], reading["samples_per_line"]],
                "dims": ["line", "point"],
                "external": "STREAM:",
                "units": CHANNELS[self.channel].unit_of(reading["calibrated"]),
            }
        }


class FeedbackErrorSignal(ValueSignal):
    """How far the feedback was from its setpoint in the last lines, root mean square.

    In nN when it keeps a force, in nm when it keeps an amplitude; in V under a probe whose
    detector was never calibrated.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key="feedback_error", **kwargs)

    def convert(self, reading: Mapping[str, Any]) -> float:
        """Take the error out of a reading, into the unit that the reading tells."""
        return _ERROR_UNITS[reading["feedback_error_unit"]].from_si(reading["feedback_error"])

    def describe(self) -> dict[str, DataKey]:
        """Describe the error in its present unit."""
        described = super().describe()
        unit = _ERROR_UNITS[self.device.snapshot.get()["feedback_error_unit"]]
        described[self.name]["units"] = unit.symbol
        described[self.name]["precision"] = unit.precision
        return described


class _Setting(SettingSignal):
    """A setting of the imaging; it stays as it is while a run writes images."""

    def __init__(self, *, key: str, **kwargs: Any) -> None:
        super().__init__(key=key, command="imager.set", service="imager", **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is not allowed, or comes while a run writes images."""
        super().check_value(value)
        self.device.refuse_recording(self.name)


class ImagingNumber(_Setting):
    """A number among the settings."""

    def __init__(self, *, key: str, unit: Unit = NONE, **kwargs: Any) -> None:
        super().__init__(key=key, limit=key, unit=unit, **kwargs)


class ImagingFlag(_Setting, FlagSignal):
    """A yes or no among the settings."""


class ModeSignal(_Setting, ChoiceSignal):
    """The mode; it decides the channels."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key="mode", choices=tuple(MODES), **kwargs)


class SamplePointsSignal(_Setting):
    """Points of a force curve."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key="sample_points", dtype_numpy="<i8", **kwargs)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse any number that the instrument does not record."""
        if isinstance(value, bool) or value not in SAMPLE_POINTS:
            known = ", ".join(str(points) for points in SAMPLE_POINTS)
            raise LimitError(f"{self.name} target {value!r} is not allowed: one of {known}")
        self.device.refuse_recording(self.name)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the number."""
        return {self._key: int(value)}


class SettingsSignal(WholeSettings):
    """Several settings, or all: movable, set by one request."""

    command = "imager.set"
    names = tuple(ImagingSettings.__dataclass_fields__)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the settings in SI, refused if they do not fit each other."""
        arguments = super().arguments(value)
        parent: Any = self.parent
        present = ImagingSettings.from_wire(parent.snapshot.get())
        ImagingSettings(**{**present.to_wire(), **arguments})
        return arguments


class EngageSignal(LongSettingSignal, FlagSignal):
    """Whether the imager has the tip at the sample; to set 1 engages.

    The tip comes off by the head's withdrawal, which always works.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            key="engaged",
            command="imager.engage",
            stopping="imager.abort",
            service="imager",
            **kwargs,
        )

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse anything but 1."""
        super().check_value(value)
        if not value:
            raise LimitError(
                f"{self.name} target 0 is not allowed: the head's withdraw() takes the tip off"
            )

    def set(self, value: Any, *, timeout: float | None = None, **kwargs: Any) -> Any:
        """Engage; the status is done when the feedback keeps the tip at the sample.

        Parameters
        ----------
        value : int
            1.
        timeout : float, optional
            Seconds after which the engage is stopped and the tip withdrawn; 600 by default.
        """
        return super().set(value, timeout=_ENGAGE_S if timeout is None else timeout, **kwargs)
