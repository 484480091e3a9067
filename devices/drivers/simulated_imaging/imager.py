"""The imager of a simulated AFM: images line by line on the instrument's clock.

An image is computed on a thread of its own while its first lines go by, and given away as the clock
comes to each line: neither a reading nor an abort waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from devices.comb import FLEXURAL
from devices.drivers.imaging_protocols import Deliver, ImageOrder
from devices.drivers.simulated_afm_motion import AfmTruth, SimulatedHead, SimulatedScanner
from devices.drivers.simulated_imaging.jobs import Channels, ImageJob, compute
from devices.drivers.simulated_imaging.probes import SimulatedProbes
from devices.imaging_settings import ImagingLimits, ImagingSettings
from devices.scan_frame import FrameLimits, ScanFrame
from devices.wire import CancelledError, InstrumentError
from sim.clock import Clock
from sim.peakforce import Frame, ImageNuisance
from sim.surface import Surface, Uniform
from sim.tip import worn_by

__all__ = ["ImagingStage", "SimulatedImager"]

_APPROACH_SPEED = 1e-6  # m/s; what a sample survives
_COMPUTED_POLL_S = 0.01
_STREAM = 0x1A6E  # not the stream that others draw from the same seed


@dataclass(frozen=True)
class ImagingStage:
    """Where an image is taken: the sample, head and scanner, and the instrument's time."""

    truth: AfmTruth
    head: SimulatedHead
    scanner: SimulatedScanner
    clock: Clock


class SimulatedImager:
    """`ImagingDriver` over `sim.peakforce` and `sim.tapping`.

    Parameters
    ----------
    stage : ImagingStage
        Where it takes them.
    probes : SimulatedProbes
        Knows the probe as it is.
    seed : int
        The same seed, commands and times give the same images.
    """

    def __init__(self, stage: ImagingStage, probes: SimulatedProbes, seed: int) -> None:
        self._truth, self._head = stage.truth, stage.head
        self._scanner, self._clock = stage.scanner, stage.clock
        self._probes = probes
        self._parameters = probes.parameters
        self._seed = seed
        self._images = 0
        self._computing = threading.Lock()

    @property
    def limits(self) -> ImagingLimits:
        """Those of a PeakForce instrument."""
        return ImagingLimits()

    @property
    def frame_limits(self) -> FrameLimits:
        """As far as the scanner goes."""
        return FrameLimits()

    def warm_up(self, surfaces: Iterable[Surface]) -> None:
        """Compile what images of the samples need: while it compiles, nobody is answered."""
        order = ImageOrder(
            ScanFrame(lines=4, samples_per_line=4), ImagingSettings(), self._probes.mounted
        )
        tapping = replace(order, settings=replace(order.settings, mode="Tapping"))
        job = ImageJob(
            order=order,
            surface=Uniform(1e9),
            probe=self._probes.imaging.probe,
            frame=Frame(size=1e-7, lines=4, points=4),
            nuisance=ImageNuisance(),
            change=None,
            key=(0,),
        )
        compute(replace(job, order=tapping))
        for surface in surfaces:
            compute(replace(job, surface=surface))

    def engage(self, order: ImageOrder, abort: threading.Event) -> None:
        """Lower the tip to the sample; see `ImagingDriver.engage`."""
        now, place = self._clock.now(), self._scanner.read()
        contact = self._truth.surface_z(np.array([place.x]), np.array([place.y]), now)
        touch = float(contact[0])
        duration = self._head.approach(touch, _APPROACH_SPEED)
        if self._clock.wait(duration, abort) or not self._land(order, touch):
            raise CancelledError("the engage was stopped")

    def scan(self, order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        """Scan an image and give its lines away as they are scanned; see `ImagingDriver.scan`."""
        begun = self._clock.now()
        if not self._land(order, self._head.read().z):
            raise CancelledError("the tip was withdrawn before the image began")
        computed = self._begin(self._job(order, begun))
        drifted = self._truth.parameters.drift[2] * (begun - self._truth.start_time)
        base = self._truth.parameters.surface_z + drifted
        done, lines, line_time = 0, order.frame.lines, order.frame.line_time
        try:
            while done < lines:
                ends = begun + (done + 1) * line_time
                if self._clock.wait(max(0.0, ends - self._clock.now()), abort):
                    raise CancelledError("the image was aborted")
                image = self._computed(computed, abort)
                scanned = int((self._clock.now() - begun) / line_time + 1e-6)
                upto = min(lines, max(done + 1, scanned))
                deliver(done, {name: rows[done:upto] for name, rows in image.items()})
                done = upto
                self._head.ride(base + float(image["height"][done - 1, 0]))
                self._scanner.be_at(*order.frame.place(0.0, done / lines))
        finally:
            self._wear(order.frame.scanned_distance(done), done)

    def _land(self, order: ImageOrder, z: float) -> bool:
        spring = order.probe.calibration.spring_constant[0]
        bent = order.settings.peak_force_setpoint / spring
        return self._head.land(z, bent / self._truth.parameters.sensitivity[FLEXURAL])

    def _job(self, order: ImageOrder, begun: float) -> ImageJob:
        """Return all that the image depends on, as it is now."""
        imaging, parameters = self._probes.imaging, self._truth.parameters
        self._images += 1
        key = (self._seed, self._images, self._place_key(), _STREAM)
        x, y = np.array([order.frame.x_offset]), np.array([order.frame.y_offset])
        place = self._truth.place(x, y, begun)
        imaging.frame = Frame(
            center=(float(place[0][0]), float(place[1][0])),
            size=order.frame.scan_size,
            aspect=order.frame.aspect_ratio,
            lines=order.frame.lines,
            points=order.frame.samples_per_line,
            angle=order.frame.scan_angle,
            velocity=parameters.drift,
            line_time=order.frame.line_time,
        )
        rng = np.random.default_rng(key)
        imaging.nuisance = (
            ImageNuisance.drawn(rng) if self._parameters.nuisances else ImageNuisance()
        )
        # what a volt really is decides by how much the believed sensitivity errs
        believed = order.probe.calibration.sensitivity[FLEXURAL]
        error = believed / parameters.sensitivity[FLEXURAL] - 1
        return ImageJob(
            order=order,
            surface=self._truth.surface,
            probe=replace(imaging.probe, sensitivity_error=error),
            frame=imaging.frame,
            nuisance=imaging.nuisance,
            change=imaging.change,
            key=key,
        )

    def _place_key(self) -> int:
        """Return a number of the place: a server that begins anew shall not repeat its noise."""
        x, y = (round(1e9 * offset) for offset in self._truth.offset)
        return crc32(f"{self._truth.sample} {x} {y}".encode())

    def _begin(self, job: ImageJob) -> Future[Channels]:
        """Compute an image on a thread of its own, after the one before if that was aborted."""
        computed: Future[Channels] = Future()

        def work() -> None:
            with self._computing:
                try:
                    computed.set_result(compute(job))
                except Exception as error:  # it is for whoever waits for the image
                    computed.set_exception(error)

        threading.Thread(target=work, name="simulated-image", daemon=True).start()
        return computed

    def _computed(self, computed: Future[Channels], abort: threading.Event) -> Channels:
        while not computed.done():
            if abort.wait(_COMPUTED_POLL_S):
                raise CancelledError("the image was aborted")
        try:
            return computed.result()
        except (ValueError, FloatingPointError) as error:
            raise InstrumentError(f"the image cannot be simulated: {error}") from error

    def _wear(self, distance: float, lines: int) -> None:
        imaging = self._probes.imaging
        probe, change = imaging.probe, imaging.change
        if change is not None and lines > change.line:
            probe, imaging.change = replace(probe, tip=change.tip), None
        with suppress(ValueError):  # as blunt as the model of wear goes
            worn = worn_by(probe.tip, distance, self._parameters.wear_rate)
            probe = replace(probe, tip=worn)
        imaging.probe = probe
