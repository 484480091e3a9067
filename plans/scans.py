"""Which field of which sample is imaged, how, and what would it take?

A frame is scanned line by line, there and back: lines / rate seconds, and twice the fast side a
line. Which of them can be scanned is the instrument's matter (see `devices.scan_frame`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from plans._checks import checked_count, finite, not_negative, positive
from plans._durations import shown_time

__all__ = ["ImagingEstimate", "Place", "Scan", "field_place"]

_BYTES = 4  # of a pixel of a channel


@dataclass(frozen=True)
class Scan:
    """How a frame is scanned.

    Parameters
    ----------
    size : float
        Fast side, µm.
    rate : float
        Lines (trace and retrace) a second, Hz.
    lines, points : int
        Of the frame, and of each line.
    aspect : float
        Fast side by slow side.
    angle : float
        Of the fast side from x, deg.

    Raises
    ------
    ValueError
        Numbers that make no frame.
    """

    size: float
    rate: float
    lines: int = 256
    points: int = 256
    aspect: float = 1.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        positive("size", self.size, "µm")
        positive("rate", self.rate, "Hz")
        checked_count("lines", self.lines)
        checked_count("points", self.points)
        positive("aspect", self.aspect)
        finite("angle", self.angle, "deg")

    @property
    def slow_size(self) -> float:
        """Slow side, µm."""
        return self.size / self.aspect

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Distance of lines and of points, µm."""
        return self.slow_size / self.lines, self.size / self.points

    @property
    def extent(self) -> tuple[float, float]:
        """Sides along x and y of what the frame, turned by its angle, lies in, µm."""
        cos, sin = (abs(f(math.radians(self.angle))) for f in (math.cos, math.sin))
        return (
            self.size * cos + self.slow_size * sin,
            self.size * sin + self.slow_size * cos,
        )

    @property
    def duration(self) -> float:
        """Seconds of the frame."""
        return self.lines / self.rate

    @property
    def distance(self) -> float:
        """Way of the tip over the frame, trace and retrace, µm."""
        return 2.0 * self.size * self.lines

    def to_document(self) -> dict[str, Any]:
        """The scan as a start document has it."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """A field of a sample.

    Parameters
    ----------
    sample : str
        Its name on the chuck.
    x, y : float
        Middle of the field, from the middle of the sample, µm.
    field : int
        Number of the field on that sample.

    Raises
    ------
    ValueError
        No name, or numbers that are no place.
    """

    sample: str
    x: float = 0.0
    y: float = 0.0
    field: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.sample, str) or not self.sample:
            raise ValueError(f"sample is {self.sample!r}: name a position of the chuck")
        finite("x", self.x, "µm")
        finite("y", self.y, "µm")
        checked_count("field", self.field, least=0)

    @property
    def target(self) -> tuple[str, float, float]:
        """As the chuck takes it."""
        return self.sample, float(self.x), float(self.y)


def field_place(sample: str, field: int, scan: Scan, margin: float = 6.0) -> Place:
    """A field of a grid about the middle of a sample; fields are numbered from there outwards.

    Parameters
    ----------
    sample : str
        Its name on the chuck.
    field : int
        Number of the field, from 0.
    scan : Scan
        What shall fit in a field.
    margin : float
        Between neighbouring fields, µm: more than a chuck misses its target by.

    Raises
    ------
    ValueError
        Not such a number, or not such a margin.
    """
    checked_count("field", field, least=0)
    apart = not_negative("margin", margin, "µm")
    (across, up), (width, height) = spiral(field), scan.extent
    # whole picometres, so that the same field has the same numbers everywhere
    x, y = round(across * (width + apart), 6), round(up * (height + apart), 6)
    return Place(sample, x, y, field)


def spiral(number: int) -> tuple[int, int]:
    """Column and row of a cell of a grid, from the middle outwards, each next to the last."""
    if number == 0:
        return 0, 0
    ring = (math.isqrt(number) + 1) // 2
    side, along = divmod(number - (2 * ring - 1) ** 2, 2 * ring)
    start = along + 1 - ring
    return ((ring, start), (-start, ring), (-ring, -start), (start, -ring))[side]


@dataclass(frozen=True)
class ImagingEstimate:
    """What a number of images would take.

    Parameters
    ----------
    images, tip_images : int
        Frames of samples and of the tip sample.
    lines : int
        Of all of them.
    duration : float
        Seconds of scanning: going to the fields and engaging come on top.
    distance : float
        Way of the tip over the samples, trace and retrace, µm: what wears it.
    data_mb : float
        Size of the images, MB.
    """

    images: int
    tip_images: int
    lines: int
    duration: float
    distance: float
    data_mb: float

    @classmethod
    def of(
        cls, images: Iterable[tuple[Scan, int]], tip_images: Iterable[tuple[Scan, int]] = ()
    ) -> ImagingEstimate:
        """Estimate images, each a scan and its number of channels."""
        of_samples, of_tips = list(images), list(tip_images)
        both = of_samples + of_tips
        scans = [scan for scan, _ in both]
        return cls(
            images=len(of_samples),
            tip_images=len(of_tips),
            lines=sum(scan.lines for scan in scans),
            duration=sum(scan.duration for scan in scans),
            distance=sum(scan.distance for scan in scans),
            data_mb=1e-6
            * _BYTES
            * sum(scan.lines * scan.points * channels for scan, channels in both),
        )

    def __str__(self) -> str:
        tips = f" and {self.tip_images} of the tip sample" if self.tip_images else ""
        return (
            f"{self.images} images{tips}, {self.lines} lines in {shown_time(self.duration)} or "
            "more, going to the fields and engaging on top; the tip is scanned over "
            f"{1e-3 * self.distance:.4g} mm; {self.data_mb:.3g} MB"
        )
