"""What an AFM and its multifrequency lock-in must be able to do to stand behind a server.

A driver is the thin layer between a server and one maker's own interface. It speaks SI units,
does not retry, and does not judge: limits, calibration and safety are the services' (`afm`).
Deflections are in volts of the detector, as instruments have them; the services know how many
metres a volt is. Every method may raise `devices.wire.InstrumentError` with the instrument's own
reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from devices.comb import Comb, CombLimits

__all__ = [
    "HeadDriver",
    "HeadReading",
    "Line",
    "MultiFrequencyLockin",
    "ScannerDriver",
    "ScannerReading",
]


@dataclass(frozen=True)
class HeadReading:
    """The state of the head at one time.

    Parameters
    ----------
    time : float
        Seconds since the epoch, the instrument's clock.
    z : float
        Height of the piezo, m: 0 to the upper limit, larger is farther from the sample. Of a line
        that the height follows, its mean.
    moving : bool
        Whether it is under way.
    withdrawn : bool
        Whether it is retracted as far as it goes.
    deflection : float
        Static deflection towards the head, V: what a tip shows that is pressed on the sample.
    """

    time: float
    z: float
    moving: bool
    withdrawn: bool
    deflection: float


class HeadDriver(Protocol):
    """The z piezo and its feedback. `stop`, `withdraw` and `read` may come from any thread.

    `read` is served on the thread that carries all commands: it takes less than a millisecond, or
    returns the latest reading with the time of that.
    """

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Allowed ranges: ``z`` (m)."""
        ...

    def read(self) -> HeadReading:
        """The state of the head."""
        ...

    def start_move(self, z: float) -> float:
        """Start moving to the height `z` (m) and return the expected duration in seconds.

        What the feedback has learnt of the line is kept and moved as a whole.
        """
        ...

    def stop(self) -> None:
        """Stop where it is."""
        ...

    def withdraw(self) -> None:
        """Retract fully and as fast as the piezo goes, whatever else goes on; follow no more."""
        ...

    def follow(self, setpoint: float | None) -> None:
        """Let the height follow the sample during acquisitions, or hold it (None).

        Line-wise: the height of each pixel is that of the line before, corrected by how far the
        amplitude was from `setpoint` (V): the root of the sum of squares of the driven tones that
        are measured in the flexural signal.
        """
        ...

    def trace(self, pixels: int) -> NDArray[np.float64]:
        """Height of the piezo at each of the `pixels` pixels of the last acquisition, m."""
        ...


Line = tuple[float, float, float, float]
"""Start and end of a line on the sample: x0, y0, x1, y1 (m)."""


@dataclass(frozen=True)
class ScannerReading:
    """Where the scanner is (m), the line it goes along, and whether it is under way."""

    time: float
    x: float
    y: float
    line: Line
    moving: bool


class ScannerDriver(Protocol):
    """The x and y piezos. `stop` and `read` may come from any thread; see `HeadDriver.read`."""

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Allowed ranges: ``x`` and ``y`` (m)."""
        ...

    def read(self) -> ScannerReading:
        """The state of the scanner."""
        ...

    def set_line(self, line: Line) -> float:
        """Go to the start of `line` and return the expected duration in seconds.

        Every acquisition begins at the start of the line and ends at its end.
        """
        ...

    def stop(self) -> None:
        """Stop where it is."""
        ...


class MultiFrequencyLockin(Protocol):
    """A lock-in that measures many tones of one base frequency at once, and drives some.

    `switch_off` may come from any thread.
    """

    @property
    def limits(self) -> CombLimits:
        """What it can do."""
        ...

    @property
    def sample_rate(self) -> float:
        """Samples per second of its inputs."""
        ...

    def tune(self, frequency: float, df: float) -> tuple[float, float]:
        """Return the frequency and the df nearest to those given that it can do exactly, Hz.

        Then `frequency` is a whole multiple of `df`, and a period 1/df a whole number of samples.
        """
        ...

    def set_comb(self, comb: Comb) -> None:
        """Measure and drive `comb` from now on."""
        ...

    def acquire(
        self, pixels: int, abort: threading.Event, progress: Callable[[int], None]
    ) -> NDArray[np.complex128]:
        """Measure `pixels` periods, one after the other, along the scanner's line.

        Parameters
        ----------
        pixels : int
            How many.
        abort : threading.Event
            When set, `devices.wire.CancelledError` is raised soon.
        progress : callable
            Called with the number of pixels measured so far.

        Returns
        -------
        ndarray of complex128, shape (pixels, tones)
            X of V(t) = Re sum_n X_n exp(+i n 2 pi df t), volts of the detector.
        """
        ...

    def switch_off(self) -> None:
        """Drive nothing any more, until the next comb."""
        ...
