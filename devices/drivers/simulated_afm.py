"""A simulated AFM behind the driver protocols: `sim`'s cantilever and surface on one clock.

Everything takes the time that it takes in a microscope, on the instrument's own clock: moves of
the piezos, and 1/df for every pixel. The hidden truth, where the surface is and what it is made of,
is offered to tests and benchmarks as `SimulatedAFM.truth` and to no command.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from devices.comb import Comb, CombLimits
from devices.drivers.afm import AfmDrivers
from devices.drivers.afm_acquisition import feedback_amplitude
from devices.drivers.simulated_afm_motion import (
    AfmParameters,
    AfmTruth,
    SimulatedHead,
    SimulatedScanner,
)
from devices.wire import CancelledError, InstrumentError
from sim.cantilever import Drive, Engine, Tones, free_spectra, tone_noise
from sim.clock import Clock, ScaledClock
from sim.forces import Force
from sim.surface import Surface, ps_ldpe

if TYPE_CHECKING:
    from devices.drivers.simulated_imaging import ImagingParameters, ImagingTruth

__all__ = ["AfmParameters", "AfmTruth", "SimulatedAFM", "SimulatedLockin", "qnm_afm"]

_SAMPLE_RATE = 50e6  # per second: 1/df is a whole number of samples for any df that divides it
_BATCH = 64  # pixels simulated at once: the lanes of the fast engine
_PRESSED = 50e-9  # m into the surface by which a tip is gone
_FAR = 100e-9  # m above the highest swing, where van der Waals forces are below 0.02 pN
_AXES = ("z", "y")  # of the detector's signals 0 and 1
# 24 tones around both modes of the nominal probe, as in Borysov et al.; nothing is driven.
_COMB = Comb(df=200.0, tones=(*range(1489, 1513), *range(9439, 9463)))


class SimulatedAFM:
    """An AFM with a polymer blend under its tip.

    Parameters
    ----------
    parameters : AfmParameters, optional
        What it really is; a bimodal probe a few percent off its nominal figures by default.
    surface : Surface, optional
        The sample; polystyrene with polyethylene of `seed` by default.
    seed : int
        The same seed, commands and times give the same spectra.
    clock : Clock, optional
        The instrument's time; real time by default.
    engine : Engine, optional
        What moves the cantilever; `sim.cantilever.FastEngine` by default.
    samples : mapping of str to Surface, optional
        What the chuck carries; with it the AFM takes images, and `surface` is the first of them.
    imaging : ImagingParameters, optional
        The kind of probe with which it images.
    """

    def __init__(
        self,
        parameters: AfmParameters | None = None,
        surface: Surface | None = None,
        seed: int = 0,
        clock: Clock | None = None,
        *,
        engine: Engine | None = None,
        samples: Mapping[str, Surface] | None = None,
        imaging: ImagingParameters | None = None,
    ) -> None:
        clock = ScaledClock() if clock is None else clock
        parameters = AfmParameters() if parameters is None else parameters
        if samples:
            surface = next(iter(samples.values()))
        surface = ps_ldpe(seed) if surface is None else surface
        self._truth = AfmTruth(parameters, surface, clock.now())
        self._scanner = SimulatedScanner(clock)
        self._head = SimulatedHead(self._truth, self._scanner, clock)
        self._lockin = SimulatedLockin(
            self._truth,
            self._head,
            self._scanner,
            clock,
            engine=_fast_engine() if engine is None else engine,
            seed=seed,
        )
        self._imaging = None
        if samples:
            from devices.drivers.simulated_imaging import ImagingStage, SimulatedImaging

            stage = ImagingStage(self._truth, self._head, self._scanner, clock)
            self._imaging = SimulatedImaging(stage, samples, imaging, seed)
        # What numba compiles is compiled now, not while a client waits for its first line.
        self._lockin.warm_up()

    @property
    def head(self) -> SimulatedHead:
        """The head's driver."""
        return self._head

    @property
    def scanner(self) -> SimulatedScanner:
        """The scanner's driver."""
        return self._scanner

    @property
    def lockin(self) -> SimulatedLockin:
        """The lock-in's driver."""
        return self._lockin

    @property
    def drivers(self) -> AfmDrivers:
        """The drivers, the probe as it is known, and a comb that drives nothing."""
        imaging = self._imaging
        if imaging is None:
            nominal = self._truth.parameters.nominal
            return AfmDrivers(self._head, self._scanner, self._lockin, nominal, _COMB)
        probe = imaging.probes.mounted
        return AfmDrivers(
            self._head,
            self._scanner,
            self._lockin,
            probe.calibration,
            imaging.comb,
            imager=imaging.imager,
            chuck=imaging.chuck,
            exchange=imaging.probes,
            serial=probe.serial,
            calibrated=probe.calibrated,
        )

    @property
    def imaging_truth(self) -> ImagingTruth:
        """Probe and images as they are; for tests and benchmarks only."""
        if self._imaging is None:
            raise ValueError("this AFM takes no images: give it samples")
        return self._imaging.probes.imaging

    @property
    def truth(self) -> AfmTruth:
        """The instrument and the sample as they are; for tests and benchmarks only."""
        return self._truth


class SimulatedLockin:
    """`MultiFrequencyLockin` over an engine of `sim.cantilever`.

    Parameters
    ----------
    truth : AfmTruth
        Cantilever, shaker, detector and sample.
    head, scanner : SimulatedHead, SimulatedScanner
        Where the tip is.
    clock : Clock
        The instrument's time.
    engine : Engine
        What moves the cantilever.
    seed : int
        Of the noise.
    """

    def __init__(
        self,
        truth: AfmTruth,
        head: SimulatedHead,
        scanner: SimulatedScanner,
        clock: Clock,
        *,
        engine: Engine,
        seed: int,
    ) -> None:
        self._truth = truth
        self._head = head
        self._scanner = scanner
        self._clock = clock
        self._engine = engine
        self._seed = seed
        self._acquisitions = 0
        self._comb: Comb | None = None
        self._driving = False

    @property
    def limits(self) -> CombLimits:
        """As many tones as a modern lock-in has, to 10 V and 20 MHz."""
        return CombLimits(
            tones=192,
            drive_tones=192,
            df=(1.0, 1e5),
            frequency=(1e2, 20e6),
            drive_amplitude=10.0,
            pixels=4096,
        )

    @property
    def sample_rate(self) -> float:
        """Samples per second."""
        return _SAMPLE_RATE

    def tune(self, frequency: float, df: float) -> tuple[float, float]:
        """Return the nearest exact pair: 1/df is a whole number of samples."""
        exact = _SAMPLE_RATE / round(_SAMPLE_RATE / df)
        return exact * round(frequency / exact), exact

    def set_comb(self, comb: Comb) -> None:
        """Measure and drive `comb`."""
        self._comb = comb
        self._driving = True

    def switch_off(self) -> None:
        """Drive nothing any more."""
        self._driving = False

    def warm_up(self) -> None:
        """Compile what acquisitions need, where no tip is."""
        df = _COMB.df
        modes = self._truth.parameters.cantilever.modes
        tones = tuple({round(mode.frequency / df) for mode in modes})
        (law,) = self._truth.surface.forces(0.0, 0.0, self._truth.parameters.radius)
        self._driving = True
        drive = Comb(df, tones, tones, (0.1,) * len(tones))
        self._motion(drive, [law] * _BATCH, np.full(_BATCH, 20e-9))
        self._driving = False

    def acquire(
        self, pixels: int, abort: threading.Event, progress: Callable[[int], None]
    ) -> NDArray[np.complex128]:
        """Measure a line; see `MultiFrequencyLockin.acquire`.

        Raises
        ------
        CancelledError
            It was aborted.
        InstrumentError
            The tip was pressed into the sample, or its motion has no bounds.
        """
        comb = self._comb
        if comb is None:
            raise InstrumentError("the lock-in has no comb: set one")
        self._acquisitions += 1
        rng = np.random.default_rng([self._seed, self._acquisitions])
        x, y = self._scanner.points(pixels)
        if self._clock.wait(self._scanner.fly_back(), abort):
            raise CancelledError("the acquisition was aborted")
        begun = self._clock.now()
        times = np.float64(begun) + (np.arange(pixels, dtype=np.float64) + 0.5) / comb.df
        heights = self._head.play(pixels) - self._truth.surface_z(x, y, times)
        _refuse_pressed(heights)
        forces = self._truth.surface.forces(
            *self._truth.place(x, y, times), self._truth.parameters.radius
        )
        sensitivity = np.asarray(self._truth.parameters.sensitivity)[list(comb.axes)]
        volts = np.empty((pixels, len(comb.tones)), np.complex128)
        closest = np.empty(pixels)
        for first in range(0, pixels, _BATCH):
            batch = slice(first, min(first + _BATCH, pixels))
            motion, closest[batch] = self._motion(comb, forces[batch], heights[batch])
            volts[batch] = (motion + self._noise(comb, motion.shape[0], rng)) / sensitivity
            ends = begun + batch.stop / comb.df
            if self._clock.wait(max(0.0, ends - self._clock.now()), abort):
                raise CancelledError("the acquisition was aborted")
            progress(batch.stop)
        self._truth.closest, self._truth.heights = closest, heights
        _refuse_pressed(closest)
        self._scanner.arrive()
        self._head.correct(feedback_amplitude(volts, comb))
        return volts

    def _drive(self, comb: Comb) -> Drive:
        """Return the forces of the shaker: every volt acts on every mode."""
        order = np.argsort(comb.drive_tones) if self._driving else np.zeros(0, np.intp)
        volts = np.asarray(comb.drive_amplitude) * np.exp(1j * np.asarray(comb.drive_phase))
        tones = tuple(comb.drive_tones[index] for index in order)
        gains = np.asarray(self._truth.parameters.shaker_gain)
        return Drive(comb.df, tones, np.multiply.outer(gains, volts[order]))

    def _motion(
        self, comb: Comb, forces: list[Force], heights: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        """Return the tones of the comb, shape (pixels, tones), and the closest distances, m."""
        cantilever, drive = self._truth.parameters.cantilever, self._drive(comb)
        tones = Tones(*(_tones_of(comb, axis) for axis in range(len(_AXES))))
        free = free_spectra(cantilever, drive, Tones(drive.tones))
        swing = float(np.abs(free.z).sum())
        if not drive.tones or heights.min() - swing > _FAR:
            spectra, closest = free_spectra(cantilever, drive, tones), heights - swing
        else:
            try:
                spectra = self._engine.simulate(cantilever, drive, forces, heights, tones)
            except (FloatingPointError, ValueError) as error:
                raise InstrumentError(f"the tip's motion cannot be simulated: {error}") from error
            closest = spectra.closest
        signals = (spectra.z, spectra.y)
        columns = [
            signals[axis][:, _tones_of(comb, axis).index(tone)]
            for tone, axis in zip(comb.tones, comb.axes, strict=True)
        ]
        motion = np.broadcast_to(np.stack(columns, axis=-1), (heights.size, len(columns)))
        if not np.isfinite(motion).all():
            raise InstrumentError("the tip's motion has no bounds: it is pressed into the sample")
        return motion, closest

    def _noise(self, comb: Comb, pixels: int, rng: np.random.Generator) -> NDArray[np.complex128]:
        """Draw what temperature and detector add to each tone, m."""
        parameters = self._truth.parameters
        frequencies, axes = np.asarray(comb.frequencies), np.asarray(comb.axes)
        deviation = np.zeros(axes.size)
        for index, axis in enumerate(_AXES):
            on = axes == index
            deviation[on] = tone_noise(
                parameters.cantilever,
                frequencies[on],
                1.0 / comb.df,
                temperature=parameters.temperature,
                detector=parameters.detector_noise[index],
                axis=axis,
            )
        parts = rng.standard_normal((2, pixels, axes.size)) * deviation
        return parts[0] + 1j * parts[1]


def _refuse_pressed(distances: NDArray[np.float64]) -> None:
    pixel = int(np.argmin(distances))
    if distances[pixel] < -_PRESSED:
        raise InstrumentError(
            f"the tip was pressed {-1e9 * distances[pixel]:.0f} nm into the sample at pixel {pixel}"
        )


def _tones_of(comb: Comb, axis: int) -> tuple[int, ...]:
    pairs = zip(comb.tones, comb.axes, strict=True)
    return tuple(sorted(tone for tone, of in pairs if of == axis))


def qnm_afm(
    seed: int = 0,
    clock: Clock | None = None,
    *,
    imaging: ImagingParameters | None = None,
    engine: Engine | None = None,
) -> SimulatedAFM:
    """Return the AFM of a PeakForce QNM campaign: nine impact copolymers and a tip sample.

    Parameters
    ----------
    seed : int
        The same seed, commands and times give the same images.
    clock : Clock, optional
        The instrument's time; real time by default.
    imaging : ImagingParameters, optional
        The kind of probe; RTESPA-150-30 by default, each drawn by its serial number.
    engine : Engine, optional
        What moves the cantilever for the lock-in.
    """
    from sim.copolymer import FORMULATIONS, Copolymer
    from sim.tip_sample import TipSample

    samples: dict[str, Surface] = {
        name: Copolymer(formulation, seed) for name, formulation in FORMULATIONS.items()
    }
    samples["tip"] = TipSample(seed)
    return SimulatedAFM(seed=seed, clock=clock, engine=engine, samples=samples, imaging=imaging)


def _fast_engine() -> Engine:
    from sim.cantilever import FastEngine

    return FastEngine()
