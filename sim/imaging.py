"""A scanning transmission electron micrograph of what is really under the beam.

Each line is scanned at its own time and shows the specimen where the stage has it at that time, so
drift and motion within the frame distort the image as they do in a microscope. Pixel (r, c) shows

    p + s + R [(c - (cols - 1) / 2) a, (r - (rows - 1) / 2) a],

p the actual position of the stage, s the image shift, R the scan rotation and a the pixel size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.specimen import Specimen

__all__ = ["Detector", "ScanSettings", "acquire", "collected_electrons", "field_of_view"]

_FIELD_AT_UNIT_MAGNIFICATION = 50_000 * 3.75e-6  # metres: Fiedler et al., fig. 3
_ELEMENTARY_CHARGE = 1.602176634e-19  # coulomb
_FULL_SCALE = 65535


def field_of_view(magnification: float) -> float:
    """Return the width of a frame on the specimen, metres; 50 000x is 3.75 um."""
    if not (math.isfinite(magnification) and magnification > 0):
        raise ValueError(f"magnification {magnification!r} is not allowed: finite and above 0")
    return _FIELD_AT_UNIT_MAGNIFICATION / magnification


def collected_electrons(
    dwell_time: float, beam_current: float = 100e-12, efficiency: float = 0.16
) -> float:
    """Return how many electrons a detector collects in a pixel where the signal is 1.

    Parameters
    ----------
    dwell_time : float
        Seconds a pixel.
    beam_current : float
        Ampere; 100 pA is usual for survey images.
    efficiency : float
        Part of the beam that the brightest specimen scatters onto the annular detector.
    """
    return dwell_time * beam_current / _ELEMENTARY_CHARGE * efficiency


@dataclass(frozen=True)
class Detector:
    """From electrons to counts.

    Parameters
    ----------
    gain : float
        Counts an electron.
    offset : float
        Counts without a beam.
    readout_noise : float
        Standard deviation of a pixel without a beam, counts.
    """

    gain: float = 50.0
    offset: float = 500.0
    readout_noise: float = 30.0

    def __post_init__(self) -> None:
        for name in ("gain", "offset", "readout_noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"detector {name} {value!r} is not allowed: finite, 0 or more")


@dataclass(frozen=True)
class ScanSettings:
    """How a frame is scanned.

    The default dose is that of a survey image: 400 electrons where the signal is 1 (4 us at 100 pA
    with 16 % of the beam on the annular detector), so that a pixel of middling signal 0.35 has a
    signal-to-noise ratio of 12.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    field_of_view : float
        Width of the frame on the specimen, metres; pixels are square.
    dwell_time : float
        Seconds a pixel.
    flyback_time : float
        Seconds from the end of a line to the start of the next.
    electrons_per_pixel : float
        Mean number of electrons collected in a pixel where the signal is 1.
    rotation : float
        Scan rotation, radians: turns the columns' direction from x towards y.
    detector : Detector
        From electrons to counts.
    """

    shape: tuple[int, int] = (512, 512)
    field_of_view: float = 3.75e-6
    dwell_time: float = 4e-6
    flyback_time: float = 60e-6
    electrons_per_pixel: float = 400.0
    rotation: float = 0.0
    detector: Detector = field(default_factory=Detector)

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or not all(
            isinstance(n, int | np.integer) and n > 0 for n in self.shape
        ):
            raise ValueError(f"scan shape {self.shape!r} is not allowed: two whole numbers above 0")
        for name in ("field_of_view", "dwell_time"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"scan {name} {value!r} is not allowed: finite and above 0")
        for name in ("flyback_time", "electrons_per_pixel"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"scan {name} {value!r} is not allowed: finite, 0 or more")
        if not math.isfinite(self.rotation):
            raise ValueError(f"scan rotation {self.rotation!r} is not allowed: finite, radians")

    @property
    def pixel_size(self) -> float:
        """Metres."""
        return self.field_of_view / self.shape[1]

    @property
    def line_time(self) -> float:
        """Seconds from the start of a line to the start of the next."""
        return self.shape[1] * self.dwell_time + self.flyback_time

    @property
    def frame_time(self) -> float:
        """Seconds a frame takes."""
        return self.shape[0] * self.line_time

    @property
    def camera_to_stage(self) -> NDArray[np.float64]:
        """The 2x2 matrix from (columns, rows) to (x, y), without the pixel size."""
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        return np.array([[cos, -sin], [sin, cos]])


def acquire(
    specimen: Specimen,
    positions: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    settings: ScanSettings,
    *,
    start_time: float,
    rng: np.random.Generator,
    blanked: bool = False,
    image_shift: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.uint16]:
    """Scan a frame.

    Parameters
    ----------
    specimen : Specimen
        What is there to be seen.
    positions : callable
        From times in seconds, shape (rows,), to the actual (x, y) of the stage in metres, shape
        (rows, 2). It is asked once, for the middle of every line.
    settings : ScanSettings
        How to scan.
    start_time : float
        When the first line starts, seconds.
    rng : numpy.random.Generator
        Source of the noise.
    blanked : bool
        Whether the beam is blanked: then there are dark counts only.
    image_shift : tuple of float
        Shift of the field on the specimen along x and y, metres.

    Returns
    -------
    ndarray of uint16, shape (rows, columns)
        Counts; above 65535 the detector saturates.
    """
    detector = settings.detector
    counts = rng.standard_normal(settings.shape, dtype=np.float32)
    counts *= detector.readout_noise
    counts += detector.offset
    if not blanked:
        signal = _scan(specimen, positions, settings, start_time, image_shift)
        electrons = rng.poisson(settings.electrons_per_pixel * signal)
        counts += detector.gain * electrons
    return np.clip(np.rint(counts), 0, _FULL_SCALE).astype(np.uint16)


def _scan(
    specimen: Specimen,
    positions: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    settings: ScanSettings,
    start_time: float,
    image_shift: tuple[float, float],
) -> NDArray[np.float32]:
    """Return the signal at every pixel."""
    rows, cols = settings.shape
    line_times = start_time + (np.arange(rows, dtype=np.float64) + 0.5) * settings.line_time
    centres = positions(line_times)
    if centres.shape != (rows, 2):
        raise ValueError(
            f"positions returned shape {centres.shape}: give (x, y) of each line, {(rows, 2)}"
        )
    matrix = settings.camera_to_stage * settings.pixel_size
    column = np.arange(cols) - (cols - 1) / 2
    row = np.arange(rows) - (rows - 1) / 2
    starts = centres + np.asarray(image_shift) + row[:, None] * matrix[:, 1]
    x = starts[:, 0, None] + matrix[0, 0] * column
    y = starts[:, 1, None] + matrix[1, 0] * column
    return specimen.sample(x, y)
