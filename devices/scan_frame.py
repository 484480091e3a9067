"""The frame of an image: where on the sample, how large, how many lines and points, how fast.

A frame is looked at as a whole: its corners must lie within the range of the scanner, and the tip
must not be faster than the scanner goes. Its names are those of the instrument's own files.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from devices.units import DEGREE, HERTZ, MICROMETRE, NONE, Unit
from devices.wire import LimitError

__all__ = ["FRAME_UNITS", "FrameLimits", "ScanFrame", "check_frame"]

FRAME_UNITS: Mapping[str, Unit] = {
    "scan_size": MICROMETRE,
    "aspect_ratio": NONE,
    "scan_rate": HERTZ,
    "lines": NONE,
    "samples_per_line": NONE,
    "scan_angle": DEGREE,
    "x_offset": MICROMETRE,
    "y_offset": MICROMETRE,
}
"""The units in which people see the settings of a frame."""

_WHOLE = ("lines", "samples_per_line")
_SPEED = Unit("µm/s", "m/s", 1e6, 3)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ScanFrame:
    """A frame, in SI units.

    Parameters
    ----------
    scan_size : float
        Length of a line, m.
    aspect_ratio : float
        Length of a line over the way from the first line to the last.
    scan_rate : float
        Lines, there and back, a second, Hz.
    lines : int
        Rows of the image.
    samples_per_line : int
        Its columns.
    scan_angle : float
        Of the lines from the scanner's x axis, rad, anticlockwise.
    x_offset, y_offset : float
        Where its middle is in the range of the scanner, m.

    Raises
    ------
    LimitError
        A value that is no finite number, or no whole one where one is needed.
    """

    scan_size: float = 1e-6
    aspect_ratio: float = 1.0
    scan_rate: float = 1.0
    lines: int = 256
    samples_per_line: int = 256
    scan_angle: float = 0.0
    x_offset: float = 0.0
    y_offset: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.name in _WHOLE
            kind = numbers.Integral if whole else numbers.Real
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                what = "whole number" if whole else "finite number"
                raise LimitError(f"scan frame {field.name} {value!r} is not allowed: a {what}")
            number = float(value)
            object.__setattr__(self, field.name, int(number) if whole else number)

    @property
    def line_time(self) -> float:
        """Seconds that a line takes, there and back."""
        return 1.0 / self.scan_rate

    @property
    def duration(self) -> float:
        """Seconds that the image takes."""
        return self.lines * self.line_time

    @property
    def tip_velocity(self) -> float:
        """Of the tip along a line, m/s: there and back in the time of a line."""
        return 2.0 * self.scan_size * self.scan_rate

    @property
    def pixel_time(self) -> float:
        """Seconds that the tip spends on a pixel on its way there."""
        return 0.5 * self.line_time / self.samples_per_line

    def scanned_distance(self, lines: int) -> float:
        """Return how far the tip goes in the first `lines` lines, there and back, m."""
        return 2.0 * self.scan_size * lines

    def place(self, along: float, up: float) -> tuple[float, float]:
        """Return where a point of the frame is in the range of the scanner, m.

        Parameters
        ----------
        along : float
            Share of the line, 0 at its beginning and 1 at its end.
        up : float
            Share of the way from the first line to the last.
        """
        u = (along - 0.5) * self.scan_size
        v = (up - 0.5) * self.scan_size / self.aspect_ratio
        cos, sin = math.cos(self.scan_angle), math.sin(self.scan_angle)
        return self.x_offset + u * cos - v * sin, self.y_offset + u * sin + v * cos

    def to_wire(self) -> dict[str, Any]:
        """Return the frame as plain numbers."""
        return asdict(self)

    @classmethod
    def from_wire(cls, values: Mapping[str, Any]) -> ScanFrame:
        """Read a frame from plain numbers; other values there are of no consequence."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class FrameLimits:
    """What frames an instrument can scan, beside the range of its scanner; SI.

    Parameters
    ----------
    scan_size, aspect_ratio, scan_rate, scan_angle : tuple of float
        Least and greatest; the scanner's own range limits the size as well.
    lines, samples_per_line : tuple of int
        Least and greatest.
    tip_velocity : float
        Greatest, m/s.
    """

    scan_size: tuple[float, float] = (10e-9, 100e-6)
    aspect_ratio: tuple[float, float] = (1.0, 256.0)
    scan_rate: tuple[float, float] = (0.01, 20.0)
    scan_angle: tuple[float, float] = (-math.pi, math.pi)
    lines: tuple[int, int] = (2, 1024)
    samples_per_line: tuple[int, int] = (2, 1024)
    tip_velocity: float = 100e-6

    def ranges(self, scanner: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """Return least and greatest value of each setting.

        Parameters
        ----------
        scanner : mapping of str to tuple of float
            Ranges ``x`` and ``y`` of the scanner, m.
        """
        widest = min(scanner[axis][1] - scanner[axis][0] for axis in ("x", "y"))
        return {
            "scan_size": (self.scan_size[0], min(self.scan_size[1], widest)),
            "aspect_ratio": self.aspect_ratio,
            "scan_rate": self.scan_rate,
            "lines": self.lines,
            "samples_per_line": self.samples_per_line,
            "scan_angle": self.scan_angle,
            "x_offset": scanner["x"],
            "y_offset": scanner["y"],
            "tip_velocity": (0.0, self.tip_velocity),
        }


def check_frame(frame: ScanFrame, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a frame that cannot be scanned.

    Parameters
    ----------
    frame : ScanFrame
        The frame.
    ranges : mapping of str to tuple of float
        As of `FrameLimits.ranges`.

    Raises
    ------
    LimitError
        Says what is impossible and what is allowed.
    """
    for name, unit in FRAME_UNITS.items():
        _within(name, getattr(frame, name), ranges[name], unit)
    fastest = ranges["tip_velocity"][1]
    if frame.tip_velocity > fastest * (1 + _ROUNDING):
        shown = _SPEED.show(round(_SPEED.from_si(frame.tip_velocity), 3))
        raise LimitError(
            f"impossible scan: the tip would go {shown} where at most "
            f"{_SPEED.show(_SPEED.from_si(fastest))} are allowed; choose a smaller scan_size or "
            "scan_rate"
        )
    corners = [frame.place(along, up) for along in (0.0, 1.0) for up in (0.0, 1.0)]
    for axis, places in zip(("x", "y"), zip(*corners, strict=True), strict=True):
        low, high = ranges[f"{axis}_offset"]
        if min(places) < low - _ROUNDING * (high - low) or max(places) > high + _ROUNDING * (
            high - low
        ):
            told = [f"{MICROMETRE.from_si(place):.4g}" for place in (min(places), max(places))]
            raise LimitError(
                f"impossible scan: its corners reach from {told[0]} to {told[1]} µm along {axis}, "
                f"and the scanner from {MICROMETRE.from_si(low):.9g} to "
                f"{MICROMETRE.from_si(high):.9g} µm; choose a smaller scan_size or other offsets"
            )


def _within(name: str, value: float, limits: tuple[float, float], unit: Unit) -> None:
    low, high = limits
    slack = _ROUNDING * max(abs(low), abs(high))
    if not low - slack <= value <= high + slack:
        allowed = f"{unit.from_si(low):.9g}..{unit.show(unit.from_si(high))}"
        raise LimitError(
            f"impossible scan: {name} {unit.show(unit.from_si(value))} is outside {allowed}"
        )
