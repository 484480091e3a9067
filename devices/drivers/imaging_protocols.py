"""What an AFM must be able to do to take images, change samples and change probes behind a server.

As in `afm_protocols` a driver speaks SI units and does not judge. Unlike spectra, the channels of
an image come made: the instrument itself fits the force curves, with the figures of the probe that
it is given. Of an uncalibrated probe it gives volts, as `devices.image_channels` says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from devices.imaging_settings import ImagingLimits, ImagingSettings
from devices.probe_calibration import ProbeCalibration
from devices.scan_frame import FrameLimits, ScanFrame

__all__ = [
    "ChuckDriver",
    "ChuckReading",
    "Deliver",
    "ImageOrder",
    "ImagingDriver",
    "MountedProbe",
    "ProbeExchange",
]


@dataclass(frozen=True)
class MountedProbe:
    """The probe in the holder.

    Parameters
    ----------
    calibration : ProbeCalibration
        What is known of it.
    serial : str
        Its maker's number; empty when nobody has told.
    calibrated : bool
        Whether the sensitivity of the detector was measured with it.
    """

    calibration: ProbeCalibration
    serial: str = ""
    calibrated: bool = False


class ProbeExchange(Protocol):
    """Whoever puts a new probe in: an operator, or a robot. The tip is withdrawn."""

    def load(self, serial: str, abort: threading.Event) -> MountedProbe:
        """Put the probe `serial` in, measure what is measured of a new one, and return it.

        Raises `devices.wire.CancelledError` soon after `abort` is set.
        """
        ...


@dataclass(frozen=True)
class ImageOrder:
    """All that an image is taken with.

    Parameters
    ----------
    frame : ScanFrame
        Where and how fast.
    settings : ImagingSettings
        How.
    probe : MountedProbe
        What the instrument believes of the probe.
    """

    frame: ScanFrame
    settings: ImagingSettings
    probe: MountedProbe


Deliver = Callable[[int, Mapping[str, NDArray[np.float32]]], None]
"""Takes the number of the first line and the rows of each channel, shape (k, points)."""


class ImagingDriver(Protocol):
    """The imaging of an AFM. Only `engage` and `scan` take long; they come from one thread."""

    @property
    def limits(self) -> ImagingLimits:
        """What settings it can do."""
        ...

    @property
    def frame_limits(self) -> FrameLimits:
        """What frames it can scan, beside the range of its scanner."""
        ...

    def engage(self, order: ImageOrder, abort: threading.Event) -> None:
        """Lower the withdrawn tip until it feels the sample, and let the feedback keep it there.

        Raises `devices.wire.CancelledError` soon after `abort` is set, with the tip wherever it is:
        whoever asked withdraws it.
        """
        ...

    def scan(self, order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        """Scan a frame with the engaged tip, and give each line away as soon as it is there.

        Lines come in order and each once; at the end all of them have come.
        Raises `devices.wire.CancelledError` soon after `abort` is set.
        """
        ...


@dataclass(frozen=True)
class ChuckReading:
    """What of the chuck is under the tip.

    Parameters
    ----------
    time : float
        Seconds since the epoch, the instrument's clock.
    sample : str
        Name of the position; empty on the way from one to another.
    x, y : float
        Of the place under the tip from the middle of that sample, m.
    moving : bool
        Whether it is under way.
    """

    time: float
    sample: str
    x: float
    y: float
    moving: bool


class ChuckDriver(Protocol):
    """A chuck that carries several samples. `stop` and `read` may come from any thread."""

    @property
    def positions(self) -> tuple[str, ...]:
        """Names of the samples."""
        ...

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Allowed ranges of ``x`` and ``y`` on a sample (m)."""
        ...

    def read(self) -> ChuckReading:
        """The state of the chuck; takes less than a millisecond."""
        ...

    def start_move(self, sample: str, x: float, y: float) -> float:
        """Start bringing a place under the tip and return the expected duration in seconds."""
        ...

    def stop(self) -> None:
        """Stop where it is."""
        ...
