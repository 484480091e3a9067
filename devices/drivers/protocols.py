"""What an instrument must be able to do to stand behind a twinscope server.

A driver is the thin layer between a server and one instrument's own API. It speaks SI units
(metres, radians, seconds) whatever the vendor uses, does not retry, and does not wait: motion is
started by one call and watched by reading. Every method may raise
`devices.wire.InstrumentError` with the instrument's own reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from devices.pole_piece import PolePieceRule

__all__ = [
    "AxisReading",
    "AxisSpecification",
    "CameraDriver",
    "CameraSettings",
    "CameraState",
    "ColumnDriver",
    "ColumnState",
    "Frame",
    "StageDriver",
    "StageReading",
]


@dataclass(frozen=True)
class AxisSpecification:
    """One axis of a stage as its maker states it.

    Parameters
    ----------
    unit : str
        ``"m"`` or ``"rad"``.
    lower, upper : float
        Soft limits, in `unit`.
    speed : float
        Greatest speed, in `unit` per second.
    settling_time : float
        Seconds from the first report of an axis at rest until the stage is at rest and its
        reported position up to date.
    tolerance : float
        How far from its target an axis at rest may report itself and still count as arrived, in
        `unit`; more than its backlash and noise, less than any move that failed.
    acceleration_time : float
        Seconds from rest to `speed`, and as long to brake; 0 where nobody knows.
    readback_lag : float
        Greatest age of a reading, seconds: how long after its end a motion shows as over; 0 where
        nobody knows.
    """

    unit: str
    lower: float
    upper: float
    speed: float
    settling_time: float
    tolerance: float
    acceleration_time: float = 0.0
    readback_lag: float = 0.0


@dataclass(frozen=True)
class AxisReading:
    """The state of one axis at the time of a `StageReading`.

    Parameters
    ----------
    position : float
        The position that the instrument reports, in the unit of the axis.
    target : float
        The position it was last sent to, or where it was last stopped on its way.
    moving : bool
        Whether the instrument says that the axis moves.
    direction : int
        Direction of the last drive: -1, +1, or 0 when the axis has not been driven since start-up.
    travel : float
        Distance commanded in that direction since its last reversal: what decides how much of the
        backlash has been taken up.
    limited : bool
        Whether the axis rests because it ran into a limit switch.
    """

    position: float
    target: float
    moving: bool
    direction: int
    travel: float
    limited: bool = False

    @property
    def status(self) -> int:
        """0 at rest, 1 under way, 2 halted by a limit switch: the numbers of JEOL's controllers."""
        return 1 if self.moving else 2 if self.limited else 0


@dataclass(frozen=True)
class StageReading:
    """All axes of a stage at one time (seconds since the epoch, the instrument's clock)."""

    time: float
    axes: Mapping[str, AxisReading]


class StageDriver(Protocol):
    """A stage. `stop` may be called from another thread at any time; all else one at a time.

    `read` is served on the thread that carries all commands: the driver of an instrument that
    takes longer than a millisecond to answer returns its latest reading, with the time of that.
    """

    @property
    def axes(self) -> Mapping[str, AxisSpecification]:
        """The axes that exist, by name (``x``, ``y``, ``z``, ``alpha``, ``beta``)."""
        ...

    @property
    def pole_piece(self) -> PolePieceRule | None:
        """What keeps the holder off the pole piece; None where the instrument does not tell."""
        ...

    def read(self) -> StageReading:
        """Position, target and state of every axis, read together."""
        ...

    def start_move(self, targets: Mapping[str, float]) -> float:
        """Start moving the named axes together and return the expected duration in seconds.

        The other axes go on with what they do. The duration runs from the command to the end of
        the motion.
        """
        ...

    def stop(self) -> None:
        """Stop all axes where they are."""
        ...


@dataclass(frozen=True)
class CameraSettings:
    """How a frame is scanned.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    dwell_time : float
        Seconds a pixel.
    """

    shape: tuple[int, int]
    dwell_time: float


@dataclass(frozen=True)
class CameraState:
    """The camera's settings and what is known of its images.

    Parameters
    ----------
    time : float
        Seconds since the epoch, the instrument's clock.
    settings : CameraSettings
        The settings in force.
    camera_to_stage : tuple of tuple of float, shape (2, 2)
        Takes a displacement in the image (columns, rows) times the pixel size to one of the
        stage (x, y).
    electrons_per_pixel : float
        Dose; NaN where the instrument does not know it.
    """

    time: float
    settings: CameraSettings
    camera_to_stage: tuple[tuple[float, float], tuple[float, float]]
    electrons_per_pixel: float


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    image : ndarray of uint16, shape (rows, columns)
        Counts.
    start_time, end_time : float
        When the first and the last line were scanned, seconds since the epoch, the instrument's
        clock.
    field_of_view : float
        Width of the frame on the specimen, metres.
    metadata : mapping
        What else the instrument says of the frame.
    """

    image: NDArray[np.uint16]
    start_time: float
    end_time: float
    field_of_view: float
    metadata: Mapping[str, float | int | str] = field(default_factory=dict)


class CameraDriver(Protocol):
    """A detector that delivers whole frames."""

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Allowed ranges: ``rows``, ``columns`` (pixels) and ``dwell_time`` (seconds)."""
        ...

    def read(self) -> CameraState:
        """The settings in force; as quick as `StageDriver.read`."""
        ...

    def configure(self, settings: CameraSettings) -> None:
        """Put `settings` in force for the next frame."""
        ...

    def acquire(self) -> Frame:
        """Scan one frame; returns when it is complete."""
        ...

    def abort(self) -> None:
        """End the frame being scanned, if any: `acquire` raises `CancelledError`. Any thread."""
        ...


@dataclass(frozen=True)
class ColumnState:
    """The column's settings that a plan may need.

    Parameters
    ----------
    time : float
        Seconds since the epoch, the instrument's clock.
    magnification : float
        Nominal magnification.
    field_of_view : float
        Width of a frame at that magnification, metres.
    beam_blank : bool
        Whether the beam is blanked.
    image_shift : tuple of float
        Shift of the field on the specimen along x and y, metres.
    high_tension : float
        Accelerating voltage, volts.
    """

    time: float
    magnification: float
    field_of_view: float
    beam_blank: bool
    image_shift: tuple[float, float]
    high_tension: float


class ColumnDriver(Protocol):
    """Lenses, deflectors and the beam blanker. `blank` may be called from any thread."""

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Allowed ranges: ``magnification`` and ``image_shift`` (metres)."""
        ...

    def read(self) -> ColumnState:
        """The state of the column; as quick as `StageDriver.read`."""
        ...

    def set_magnification(self, magnification: float) -> None:
        """Choose a nominal magnification."""
        ...

    def set_image_shift(self, x: float, y: float) -> None:
        """Shift the field on the specimen, metres."""
        ...

    def blank(self, blanked: bool) -> None:
        """Blank or unblank the beam."""
        ...
