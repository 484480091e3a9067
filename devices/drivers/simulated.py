"""A simulated TEM behind the driver protocols: `sim`'s stage, specimen and imaging on one clock.

Everything takes the time that it takes in a microscope, on the instrument's own clock: moves,
frames and the age of a reported position. The hidden truth, where the stage really is, is offered
to tests and benchmarks as `SimulatedTEM.truth` and to no command.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from devices.drivers.protocols import (
    AxisReading,
    AxisSpecification,
    CameraSettings,
    CameraState,
    ColumnState,
    Frame,
    StageReading,
)
from devices.pole_piece import PolePieceRule
from devices.wire import CancelledError, InstrumentError
from sim.clock import Clock, ScaledClock
from sim.faults import BLOCK, NO_FAULTS, TIMEOUT, FaultPlan
from sim.imaging import ScanSettings, acquire, collected_electrons, field_of_view
from sim.specimen import ProceduralSpecimen, Specimen
from sim.stage import AXES, AxisParameters, Stage, StageParameters, warm_up
from sim.stage import profile as stage_profile

__all__ = ["SimulatedCamera", "SimulatedColumn", "SimulatedStage", "SimulatedTEM"]

# A 512 x 512 frame in 0.45 s, and with 250 pA the dose of a survey image: 400 electrons a pixel.
_DWELL_TIME = 1.6e-6
_BEAM_CURRENT = 250e-12
# "Reached" in the field: 150 nm and 1e-3 rad (Leginon's jeol.cfg, instamatic).
_ARRIVED = {"m": 150e-9, "rad": 1e-3}
_ANSWER_S = 5.0  # after which a command without an answer is given up, as a vendor's library does


class SimulatedTEM:
    """A microscope with a five-axis goniometer, a scanning camera and a column.

    Parameters
    ----------
    profile : str or StageParameters
        Kind of stage: ``"ideal"``, ``"jeol-like"``, ``"tfs-like"``, or its parameters.
    specimen : Specimen, optional
        What is in the holder; a procedural texture of `seed` by default.
    seed : int
        The same seed, commands and times give the same readings and frames.
    clock : Clock, optional
        The instrument's time; real time by default.
    scan_rotation : float
        Radians.
    faults : FaultPlan
        What goes wrong with the stage; nothing by default.
    """

    def __init__(
        self,
        profile: str | StageParameters = "jeol-like",
        specimen: Specimen | None = None,
        seed: int = 0,
        clock: Clock | None = None,
        *,
        scan_rotation: float = 0.0,
        faults: FaultPlan = NO_FAULTS,
    ) -> None:
        clock = ScaledClock() if clock is None else clock
        specimen = ProceduralSpecimen(seed) if specimen is None else specimen
        parameters = stage_profile(profile) if isinstance(profile, str) else profile
        self._truth = Stage(parameters, seed=seed, start_time=clock.now(), faults=faults)
        self._stage = SimulatedStage(self._truth, clock)
        self._column = SimulatedColumn(clock, self._stage.switch_beam)
        self._camera = SimulatedCamera(
            self._truth,
            specimen,
            self._column,
            clock,
            seed=seed,
            rotation=scan_rotation,
        )
        # What numba compiles is compiled now, not while a client waits for its first reading.
        warm_up()
        specimen.sample(np.zeros(1), np.zeros(1))

    @property
    def stage(self) -> SimulatedStage:
        """The stage's driver."""
        return self._stage

    @property
    def camera(self) -> SimulatedCamera:
        """The camera's driver."""
        return self._camera

    @property
    def column(self) -> SimulatedColumn:
        """The column's driver."""
        return self._column

    @property
    def truth(self) -> Stage:
        """Where the specimen really is; for tests and benchmarks only."""
        return self._truth


class SimulatedStage:
    """`StageDriver` over `sim.stage.Stage`; see `devices.drivers.protocols`."""

    def __init__(self, stage: Stage, clock: Clock) -> None:
        self._stage = stage
        self._clock = clock
        # One command at a time: the stage wants them in the order of their times.
        self._lock = threading.Lock()
        self._axes = MappingProxyType(
            {
                name: _specification(axis, stage.parameters.readback_lag)
                for name, axis in stage.parameters.axes.items()
            }
        )

    @property
    def axes(self) -> Mapping[str, AxisSpecification]:
        """The five axes."""
        return self._axes

    @property
    def pole_piece(self) -> PolePieceRule | None:
        """The rule of the simulated stage, if it has one."""
        rule = self._stage.parameters.pole_piece
        if rule is None:
            return None
        return PolePieceRule(rule.clearance, rule.half_width, rule.half_length)

    def read(self) -> StageReading:
        """Return what the stage's controller reports now."""
        with self._lock:
            readback = self._stage.readback(self._clock.now())
        return StageReading(
            time=readback.time,
            axes={
                name: AxisReading(
                    position=float(readback.position[i]),
                    target=float(readback.target[i]),
                    moving=bool(readback.moving[i]),
                    direction=int(readback.direction[i]),
                    travel=float(readback.travel[i]),
                    limited=int(readback.status[i]) == 2,
                )
                for i, name in enumerate(AXES)
            },
        )

    def start_move(self, targets: Mapping[str, float]) -> float:
        """Start a move and return its duration, until the sensors show its end.

        Raises
        ------
        InstrumentError
            The stage refuses the targets, or it does not answer (a fault).
        """
        with self._lock:
            fault = self._stage.fault
            now = end = self._clock.now()
            if fault is not None and fault.kind == TIMEOUT:
                self._stage.lose_command()
            else:
                try:
                    end = self._stage.command(targets, now)
                except ValueError as error:
                    raise InstrumentError(str(error)) from error
        # What waits does so without the lock: a stop goes through, however long a call hangs.
        if fault is not None and fault.kind == TIMEOUT:
            self._clock.wait(_ANSWER_S)
            raise InstrumentError(
                f"the stage did not answer a move of {', '.join(targets)} within {_ANSWER_S:g} s: "
                "nobody knows whether it moved; read its position, then move again",
                retryable=True,
            )
        if fault is not None and fault.kind == BLOCK:
            self._clock.wait(fault.seconds)
        return end - now + self._stage.parameters.readback_lag

    def stop(self) -> None:
        """Brake all axes."""
        with self._lock:
            self._stage.stop(self._clock.now())

    def switch_beam(self) -> None:
        """Let the specimen feel that the beam goes on or off."""
        with self._lock:
            self._stage.switch_beam(self._clock.now())


class SimulatedColumn:
    """`ColumnDriver` of a column without aberrations or memory.

    Parameters
    ----------
    clock : Clock
        The instrument's time.
    beam_switched : callable
        Called when the beam goes on or off.
    """

    _limits = MappingProxyType({"magnification": (1e3, 2e6), "image_shift": (-5e-6, 5e-6)})

    def __init__(self, clock: Clock, beam_switched: Callable[[], None]) -> None:
        self._clock = clock
        self._beam_switched = beam_switched
        self._lock = threading.Lock()
        self._magnification = 50_000.0
        self._image_shift = (0.0, 0.0)
        self._blanked = False

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Ranges of magnification and image shift."""
        return self._limits

    def read(self) -> ColumnState:
        """Return the state of the column."""
        with self._lock:
            return ColumnState(
                time=self._clock.now(),
                magnification=self._magnification,
                field_of_view=field_of_view(self._magnification),
                beam_blank=self._blanked,
                image_shift=self._image_shift,
                high_tension=200e3,
            )

    def set_magnification(self, magnification: float) -> None:
        """Choose a magnification."""
        with self._lock:
            self._magnification = magnification

    def set_image_shift(self, x: float, y: float) -> None:
        """Shift the field."""
        with self._lock:
            self._image_shift = (x, y)

    def blank(self, blanked: bool) -> None:
        """Blank or unblank the beam; the specimen cools or warms."""
        with self._lock:
            if blanked != self._blanked:
                self._blanked = blanked
                self._beam_switched()


class SimulatedCamera:
    """`CameraDriver` that scans the specimen at the actual position of the stage, always in focus.

    Parameters
    ----------
    stage : Stage
        Knows where the specimen is.
    specimen : Specimen
        What is there to be seen.
    column : SimulatedColumn
        Magnification, image shift and blanker.
    clock : Clock
        The instrument's time.
    seed : int
        Of the noise.
    rotation : float
        Scan rotation, radians.
    """

    _limits = MappingProxyType(
        {"rows": (16.0, 4096.0), "columns": (16.0, 4096.0), "dwell_time": (50e-9, 1e-3)}
    )

    def __init__(
        self,
        stage: Stage,
        specimen: Specimen,
        column: SimulatedColumn,
        clock: Clock,
        *,
        seed: int,
        rotation: float,
    ) -> None:
        self._stage = stage
        self._specimen = specimen
        self._column = column
        self._clock = clock
        self._seed = seed
        self._rotation = rotation
        self._settings = CameraSettings(shape=(512, 512), dwell_time=_DWELL_TIME)
        self._frames = 0
        self._scanning = threading.Lock()
        self._abort = threading.Event()

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Ranges of rows, columns and dwell time."""
        return self._limits

    def read(self) -> CameraState:
        """Return the settings in force."""
        cos, sin = math.cos(self._rotation), math.sin(self._rotation)
        return CameraState(
            time=self._clock.now(),
            settings=self._settings,
            camera_to_stage=((cos, -sin), (sin, cos)),
            electrons_per_pixel=collected_electrons(self._settings.dwell_time, _BEAM_CURRENT),
        )

    def configure(self, settings: CameraSettings) -> None:
        """Put `settings` in force for the next frame."""
        self._settings = settings

    def acquire(self) -> Frame:
        """Scan one frame: takes its time on the clock, then shows what was under the beam."""
        with self._scanning:
            self._abort.clear()
            settings, column = self._settings, self._column.read()
            scan = ScanSettings(
                shape=settings.shape,
                field_of_view=column.field_of_view,
                dwell_time=settings.dwell_time,
                electrons_per_pixel=collected_electrons(settings.dwell_time, _BEAM_CURRENT),
                rotation=self._rotation,
            )
            start = self._clock.now()
            if self._clock.wait(scan.frame_time, self._abort):
                raise CancelledError("the frame was aborted: acquire again for a whole one")
            self._frames += 1
            # The specimen, turned by the rod, is scanned askew: the camera does not know.
            turned = float(self._stage.rotation(start + 0.5 * scan.frame_time)[0])
            cos, sin = math.cos(turned), math.sin(turned)
            shift_x, shift_y = column.image_shift
            image = acquire(
                self._specimen,
                self._position,
                replace(scan, rotation=self._rotation - turned),
                start_time=start,
                rng=np.random.default_rng([self._seed, self._frames]),
                blanked=column.beam_blank,
                image_shift=(cos * shift_x + sin * shift_y, cos * shift_y - sin * shift_x),
            )
        return Frame(
            image=image,
            start_time=start,
            end_time=start + scan.frame_time,
            field_of_view=scan.field_of_view,
            metadata={"frame": self._frames},
        )

    def abort(self) -> None:
        """End the frame being scanned."""
        self._abort.set()

    def _position(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._stage.actual(times)[:, :2]


def _specification(axis: AxisParameters, readback_lag: float) -> AxisSpecification:
    noise = axis.motor_noise + axis.motor_quantum + axis.readback_noise + axis.readback_quantum
    # A stage of a wrong scale reports what it is off by: the farther it goes the more.
    scale = abs(axis.motor_scale * axis.readback_scale - 1.0) * max(-axis.lower, axis.upper)
    offset = abs(axis.readback_offset) + 0.5 * axis.readback_branch
    usual = max(_ARRIVED[axis.unit], 2.0 * axis.reported_backlash + 6.0 * noise)
    return AxisSpecification(
        unit=axis.unit,
        lower=axis.lower,
        upper=axis.upper,
        speed=axis.speed,
        settling_time=0.0,
        tolerance=usual + scale + offset,
        acceleration_time=axis.acceleration_time,
        readback_lag=readback_lag,
    )
