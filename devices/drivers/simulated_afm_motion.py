"""The parts of a simulated AFM that move, and the truth about what is under them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.comb import FLEXURAL
from devices.drivers.afm_protocols import HeadReading, Line, ScannerReading
from devices.drivers.imaging_protocols import ChuckReading
from devices.drivers.simulated_ramp import Ramp
from devices.probe_calibration import ProbeCalibration
from devices.wire import InstrumentError
from sim.cantilever import Cantilever, Mode
from sim.clock import Clock
from sim.surface import Surface

__all__ = ["AfmParameters", "AfmTruth", "SimulatedChuck", "SimulatedHead", "SimulatedScanner"]

_RANGE = 5e-6  # m, of the z piezo
_FIELD = 20e-6  # m, of the scanner
_Z_SPEED = 20e-6  # m/s; a z piezo crosses its range in a quarter of a second
_WITHDRAW_SPEED = 200e-6
_SCAN_SPEED = 100e-6  # m/s, back to the start of a line
_GAIN = 0.6  # of the line-wise feedback; a tapping tip loses as much amplitude as it comes nearer
_RELIEF = 1e-6  # m; no sample that fits under a z piezo of 5 µm stands out farther
_CHUCK_SPEED = 10e-3  # m/s, of a motorised chuck
_PITCH = 10e-3  # m from one sample on the chuck to the next
_SAMPLE = 2e-3  # m from the middle of a sample to where it ends
_SLEW = 20e-9  # m by which the feedback moves a pixel from one line to the next at most


def _true_cantilever() -> Cantilever:
    return Cantilever((Mode(300.9e3, 415.0, 41.3), Mode(1.8957e6, 1145.0, 2080.0)))


def _nominal_probe() -> ProbeCalibration:
    """Return the probe of Borysov et al., section IV, as its maker would state it."""
    return ProbeCalibration(
        resonance_frequency=(300e3, 1.89e6),
        quality_factor=(400.0, 1200.0),
        spring_constant=(40.0, 2000.0),
        mode_axis=(0, 0),
        radius=10e-9,
        sensitivity=(50e-9, 50e-9),
    )


@dataclass(frozen=True)
class AfmParameters:
    """What a simulated AFM really is, and what its maker says of the probe.

    Parameters
    ----------
    cantilever : Cantilever
        The true modes.
    nominal : ProbeCalibration
        What the server knows of the probe at the beginning.
    shaker_gain : tuple of complex, shape (modes,)
        Force on each mode a volt of drive, N/V, with the phase of the shaker's path.
    radius : float
        True radius of the tip, m.
    sensitivity : tuple of float, shape (2,)
        True m/V of the flexural and the torsional signal.
    detector_noise : tuple of float, shape (2,)
        One-sided density of both signals, m/rtHz; 100 fm/rtHz is that of a good detector.
    temperature : float
        Of the cantilever, K; 0 for none of its noise.
    surface_z : float
        Height of the piezo at which the resting tip is level with the mean of the surface, m.
    drift : tuple of float, shape (3,)
        Velocity of the sample along x, y and z, m/s; 2e-11 is about 1 nm a minute.
    """

    cantilever: Cantilever = field(default_factory=_true_cantilever)
    nominal: ProbeCalibration = field(default_factory=_nominal_probe)
    shaker_gain: tuple[complex, ...] = (5.9e-9 * np.exp(-0.4j), 2.4e-8 * np.exp(-1.1j))
    radius: float = 10e-9
    sensitivity: tuple[float, float] = (50e-9, 50e-9)
    detector_noise: tuple[float, float] = (100e-15, 200e-15)
    temperature: float = 295.0
    surface_z: float = 2.3e-6
    drift: tuple[float, float, float] = (2e-11, -1e-11, 5e-12)

    def __post_init__(self) -> None:
        if len(self.shaker_gain) != len(self.cantilever.modes):
            raise ValueError(
                f"{len(self.shaker_gain)} shaker gains for {len(self.cantilever.modes)} modes are "
                "not allowed: one a mode"
            )


class AfmTruth:
    """What only the simulator knows; for tests and benchmarks.

    Parameters
    ----------
    parameters : AfmParameters
        The instrument.
    surface : Surface
        The sample.
    start_time : float
        When the drift began, seconds since the epoch.

    Attributes
    ----------
    closest : ndarray, shape (pixels,)
        Smallest distance to the surface at each pixel of the last acquisition, m.
    heights : ndarray, shape (pixels,)
        Height of the resting tip above the surface at each of those pixels, m.
    sample : str
        Name of the sample under the tip; empty where there is no chuck.
    offset : tuple of float
        Of the place that the chuck holds under the middle of the scanner from the middle of the
        sample, m.
    """

    def __init__(self, parameters: AfmParameters, surface: Surface, start_time: float) -> None:
        self.parameters = parameters
        self.surface = surface
        self.start_time = start_time
        self.sample = ""
        self.offset = (0.0, 0.0)
        self.closest: NDArray[np.float64] = np.zeros(0)
        self.heights: NDArray[np.float64] = np.zeros(0)

    def place(
        self, x: NDArray[np.float64], y: NDArray[np.float64], time: NDArray[Any] | float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the point of the surface that lies under scanner position x, y (m) at `time`."""
        elapsed = time - self.start_time
        vx, vy, _ = self.parameters.drift
        return x + self.offset[0] - vx * elapsed, y + self.offset[1] - vy * elapsed

    def surface_z(
        self, x: NDArray[np.float64], y: NDArray[np.float64], time: NDArray[Any] | float
    ) -> NDArray[np.float64]:
        """Return the height of the piezo at which the resting tip touches at x, y (m), m."""
        drifted = self.parameters.drift[2] * (time - self.start_time)
        relief = self.surface.height(*self.place(x, y, time))
        return self.parameters.surface_z + drifted + relief

    def highest_z(self, time: float) -> float:
        """Return a height of the piezo at which no resting tip touches any sample, m."""
        drifted = self.parameters.drift[2] * (time - self.start_time)
        return self.parameters.surface_z + drifted + _RELIEF


class SimulatedHead:
    """`HeadDriver` over a piezo without creep; see `devices.drivers.afm_protocols`."""

    def __init__(self, truth: AfmTruth, scanner: SimulatedScanner, clock: Clock) -> None:
        self._truth = truth
        self._scanner = scanner
        self._clock = clock
        self._lock = threading.Lock()
        self._ramp = Ramp.resting(np.array([_RANGE]))
        self._profile = np.zeros(1)
        self._setpoint: float | None = None
        self._trace = np.zeros(0)
        self._held: Ramp | None = None  # by the imager's feedback, while it is the present one
        self._pressing = 0.0

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Range of z."""
        return MappingProxyType({"z": (0.0, _RANGE)})

    def read(self) -> HeadReading:
        """Return the state of the head; a resting tip in the surface is bent by how deep it is."""
        now = self._clock.now()
        with self._lock:
            ramp, pressing = self._ramp, self._pressing if self._ramp is self._held else None
        z = float(ramp.at(now)[0])
        return HeadReading(
            time=now,
            z=z,
            moving=ramp.moving(now),
            withdrawn=z >= _RANGE,
            deflection=self._deflection(z, now) if pressing is None else pressing,
        )

    def _deflection(self, z: float, now: float) -> float:
        if z >= self._truth.highest_z(now):
            return 0.0
        place = self._scanner.read()
        contact = self._truth.surface_z(np.array([place.x]), np.array([place.y]), now)
        return max(0.0, float(contact[0]) - z) / self._truth.parameters.sensitivity[FLEXURAL]

    def approach(self, z: float, speed: float) -> float:
        """Start lowering to `z` (m) at `speed` (m/s) and return how long it takes, s."""
        with self._lock:
            self._ramp = self._ramp.turned(np.array([z]), self._clock.now(), speed)
            return self._ramp.duration

    def land(self, z: float, deflection: float) -> bool:
        """Let the imager's feedback keep the tip at `z` (m), bent by `deflection` (V).

        Returns
        -------
        bool
            False when the tip is withdrawn, or on its way there: then it stays so.
        """
        with self._lock:
            if self._ramp.target[0] >= _RANGE:
                return False
            self._ramp = self._held = Ramp.resting(np.array([z]))
            self._pressing = deflection
            return True

    def ride(self, z: float) -> None:
        """Follow the sample to `z` (m), if the imager's feedback still keeps the tip there."""
        with self._lock:
            if self._ramp is self._held:
                self._ramp = self._held = Ramp.resting(np.array([z]))

    def start_move(self, z: float) -> float:
        """Start moving to `z`; the profile of the line moves along."""
        with self._lock:
            self._ramp = self._ramp.turned(np.array([z]), self._clock.now(), _Z_SPEED)
            return self._ramp.duration

    def stop(self) -> None:
        """Stop where it is."""
        with self._lock:
            self._ramp = Ramp.resting(self._ramp.at(self._clock.now()))

    def withdraw(self) -> None:
        """Retract to the upper end of the range, and forget the line."""
        with self._lock:
            end = np.array([_RANGE])
            self._ramp = self._ramp.turned(end, self._clock.now(), _WITHDRAW_SPEED)
            self._profile = np.zeros(1)
            self._setpoint = None

    def follow(self, setpoint: float | None) -> None:
        """Follow at `setpoint` (V) in the next acquisitions, until a withdrawal, or hold."""
        with self._lock:
            self._setpoint = setpoint

    def trace(self, pixels: int) -> NDArray[np.float64]:
        """Return the heights of the last acquisition."""
        if self._trace.size != pixels:
            raise InstrumentError(
                f"the head kept {self._trace.size} heights of the last acquisition, not {pixels}"
            )
        return self._trace

    def play(self, pixels: int) -> NDArray[np.float64]:
        """Return the heights along a line that begins now."""
        with self._lock:
            places = (np.arange(pixels) + 0.5) / pixels
            known = (np.arange(self._profile.size) + 0.5) / self._profile.size
            relative = np.interp(places, known, self._profile)
            self._trace = np.clip(self._ramp.at(self._clock.now())[0] + relative, 0.0, _RANGE)
        return self._trace

    def correct(self, amplitude: NDArray[np.float64]) -> None:
        """Learn from the amplitude of each pixel (V) where the next line shall go, if following."""
        with self._lock:
            if self._setpoint is None:  # held, or withdrawn meanwhile
                return
            step = (
                _GAIN * self._truth.parameters.sensitivity[FLEXURAL] * (self._setpoint - amplitude)
            )
            heights = np.clip(self._trace + np.clip(step, -_SLEW, _SLEW), 0.0, _RANGE)
            self._profile = heights - heights.mean()
            self._ramp = Ramp.resting(np.array([heights.mean()]))


class SimulatedScanner:
    """`ScannerDriver` over piezos without hysteresis; see `devices.drivers.afm_protocols`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._line: Line = (0.0, 0.0, 0.0, 0.0)
        self._ramp = Ramp.resting(np.zeros(2))

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Ranges of x and y."""
        half = 0.5 * _FIELD
        return MappingProxyType({"x": (-half, half), "y": (-half, half)})

    def read(self) -> ScannerReading:
        """Return the state of the scanner."""
        now = self._clock.now()
        with self._lock:
            ramp, line = self._ramp, self._line
        x, y = ramp.at(now)
        return ScannerReading(now, float(x), float(y), line, ramp.moving(now))

    def set_line(self, line: Line) -> float:
        """Go to the start of `line`."""
        with self._lock:
            self._line = line
            self._ramp = self._ramp.turned(np.array(line[:2]), self._clock.now(), _SCAN_SPEED)
            return self._ramp.duration

    def stop(self) -> None:
        """Stop where it is."""
        with self._lock:
            self._ramp = Ramp.resting(self._ramp.at(self._clock.now()))

    def fly_back(self) -> float:
        """Go to the start of the line, and return the time that it takes, s."""
        return self.set_line(self._line)

    def points(self, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centres of the pixels along the line, m."""
        x0, y0, x1, y1 = self._line
        share = (np.arange(pixels) + 0.5) / pixels
        return x0 + share * (x1 - x0), y0 + share * (y1 - y0)

    def arrive(self) -> None:
        """Be at the end of the line."""
        self.be_at(*self._line[2:])

    def be_at(self, x: float, y: float) -> None:
        """Be at x, y (m), where a scan has come."""
        with self._lock:
            self._ramp = Ramp.resting(np.array([x, y]))


class SimulatedChuck:
    """`ChuckDriver` over samples in a row; see `devices.drivers.imaging_protocols`.

    Parameters
    ----------
    truth : AfmTruth
        Knows what is under the tip.
    samples : mapping of str to Surface
        The samples; the first is under the tip at the beginning.
    clock : Clock
        The instrument's time.
    """

    def __init__(self, truth: AfmTruth, samples: Mapping[str, Surface], clock: Clock) -> None:
        self._truth = truth
        self._samples = dict(samples)
        self._clock = clock
        self._lock = threading.Lock()
        self._sample = truth.sample = self.positions[0]
        self._ramp = Ramp.resting(np.zeros(2))

    @property
    def positions(self) -> tuple[str, ...]:
        """Names of the samples."""
        return tuple(self._samples)

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Ranges of the offsets."""
        return MappingProxyType({"x": (-_SAMPLE, _SAMPLE), "y": (-_SAMPLE, _SAMPLE)})

    def read(self) -> ChuckReading:
        """Return the state of the chuck."""
        now = self._clock.now()
        with self._lock:
            sample, ramp = self._sample, self._ramp
        x, y = ramp.at(now) - self._middle(sample)
        there = abs(x) <= _SAMPLE and abs(y) <= _SAMPLE
        return ChuckReading(now, sample if there else "", float(x), float(y), ramp.moving(now))

    def start_move(self, sample: str, x: float, y: float) -> float:
        """Start moving; the tip is withdrawn, so it meets only what is there in the end."""
        with self._lock:
            target = self._middle(sample) + np.array([x, y])
            self._ramp = self._ramp.turned(target, self._clock.now(), _CHUCK_SPEED)
            self._sample = self._truth.sample = sample
            self._truth.surface, self._truth.offset = self._samples[sample], (x, y)
            return self._ramp.duration

    def stop(self) -> None:
        """Stop where it is."""
        with self._lock:
            place = self._ramp.at(self._clock.now())
            self._ramp = Ramp.resting(place)
            x, y = place - self._middle(self._sample)
            self._truth.offset = (float(x), float(y))

    def _middle(self, sample: str) -> NDArray[np.float64]:
        return np.array([self.positions.index(sample) * _PITCH, 0.0])
