"""What makes one stage differ from another: the parameters of an axis and of a stage.

The order of the fields is the way of a command through the stage: limits, drive, motor, sensor,
specimen, drift. `sim.stage_profiles` has the numbers of known kinds of stage and their sources,
`sim.stage_family` draws random ones, `sim.stage_effects` has the effects with more than a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from sim.play import CELLS
from sim.stage_effects import (
    Cell,
    Creep,
    PeriodicError,
    PolePiece,
    SphericalMount,
    StickyRegion,
    TiltDisturbance,
    TiltGeometry,
    require,
)

__all__ = ["AXES", "AxisParameters", "StageParameters"]

AXES = ("x", "y", "z", "alpha", "beta")

_UM = 1e-6
_SCALES = ("motor_scale", "readback_scale", "specimen_scale", "specimen_asymmetry")
_ABOVE_ZERO = ("speed", "acceleration_time", "repeatability_length", *_SCALES)


@dataclass(frozen=True)
class AxisParameters:
    """One axis. All lengths in `unit`, all play as the full width between the two flanks.

    Parameters
    ----------
    unit : str
        ``"m"`` or ``"rad"``.
    lower, upper : float
        Soft limits of the commanded position.
    speed : float
        Greatest speed, per second.
    acceleration_time : float
        Seconds from rest to `speed`, and from `speed` to rest.
    motor_scale : float
        Way of the motor for a unit commanded; 1 is right.
    motor_quantum : float
        Smallest step of the motor; 0 for none.
    motor_noise : float
        Standard deviation of where the motor comes to rest about the target, drawn for each move.
    sensor_play : float
        Backlash between motor and sensor: the first-step deficit of the reported position.
    readback_scale, readback_offset : float
        What the sensor reports of its position e: scale e + offset.
    readback_noise : float
        Standard deviation of one sample of the sensor.
    readback_quantum : float
        Smallest step of the reported value; 0 for none.
    readback_branch : float
        By how much the reported value differs between positive and negative alpha.
    specimen_play : float
        Backlash between sensor and specimen, seen by the specimen only.
    specimen_asymmetry : float
        Width of the rising side of the play behind the sensor, as a multiple of the falling side.
    cells : tuple of Cell
        Prandtl-Ishlinskii cells behind the play.
    specimen_scale : float
        Way of the specimen for a unit of the sensor's; 1 is right.
    periodic : PeriodicError, optional
        Error of the screw.
    repeatability : float
        Standard deviation of the slip that a move of `repeatability_length` or more adds.
    repeatability_length : float
        Way after which a move slips as much as any.
    slip_memory : float
        Part of the slip before that such a move keeps; a shorter one keeps more.
    stick_threshold : float
        Moves of the specimen below this stick with `stick_probability`, and are made up for by the
        next.
    stick_probability : float
        See `stick_threshold`.
    sticky : StickyRegion, optional
        Where moves slip more.
    creep : Creep, optional
        Of the o-rings.
    drift_velocity : float
        Standard deviation of the drift velocity of the specimen, per second.
    drift_walk : float
        Random walk of the specimen on top, per square root of a second.
    insertion_velocity : float
        Greatest drift velocity just after a holder was inserted; see
        `StageParameters.insertion_time`.
    """

    unit: str
    lower: float
    upper: float
    speed: float
    acceleration_time: float
    motor_scale: float = 1.0
    motor_quantum: float = 0.0
    motor_noise: float = 0.0
    sensor_play: float = 0.0
    readback_scale: float = 1.0
    readback_offset: float = 0.0
    readback_noise: float = 0.0
    readback_quantum: float = 0.0
    readback_branch: float = 0.0
    specimen_play: float = 0.0
    specimen_asymmetry: float = 1.0
    cells: tuple[Cell, ...] = ()
    specimen_scale: float = 1.0
    periodic: PeriodicError | None = None
    repeatability: float = 0.0
    repeatability_length: float = 2.0 * _UM
    slip_memory: float = 0.7
    stick_threshold: float = 0.0
    stick_probability: float = 0.5
    sticky: StickyRegion | None = None
    creep: Creep | None = None
    drift_velocity: float = 0.0
    drift_walk: float = 0.0
    insertion_velocity: float = 0.0

    def __post_init__(self) -> None:
        right = self.unit in ("m", "rad")
        if not right:
            raise ValueError(f"axis unit {self.unit!r} is not allowed: 'm' or 'rad'")
        for name in ("lower", "upper"):
            right = self.lower < self.upper and math.isfinite(getattr(self, name))
            require("axis", name, getattr(self, name), right, "finite, lower below upper")
        require(
            "axis",
            "readback_offset",
            self.readback_offset,
            math.isfinite(self.readback_offset),
            "finite",
        )
        for name in ("slip_memory", "stick_probability"):
            require("axis", name, getattr(self, name), 0 <= getattr(self, name) <= 1, "0 to 1")
        checked = {"unit", "lower", "upper", "readback_offset", "slip_memory", "stick_probability"}
        checked |= {"cells", "periodic", "sticky", "creep"}
        for name in (field.name for field in fields(self) if field.name not in checked):
            value = getattr(self, name)
            if name in _ABOVE_ZERO:
                require("axis", name, value, 0 < value < math.inf, "finite and above 0")
            else:
                require("axis", name, value, 0 <= value < math.inf, "finite and not below 0")
        if len(self.cells) > CELLS or sum(cell.weight for cell in self.cells) > 1:
            raise ValueError(
                f"axis cells {self.cells!r} are not allowed: "
                f"up to {CELLS}, of weights that add up to 1 at most"
            )

    @property
    def acceleration(self) -> float:
        """Acceleration, in `unit` per second squared."""
        return self.speed / self.acceleration_time

    @property
    def reported_backlash(self) -> float:
        """How much the reported position falls short of a first step after a reversal."""
        return self.readback_scale * self.sensor_play

    @property
    def backlash(self) -> float:
        """How much the specimen falls short of a leg after a reversal, all in all.

        The play operators are in series: the sensor stands still for `sensor_play` of the motor's
        way, then the specimen for `specimen_play` of the sensor's, then each cell keeps its weight
        back for its own width: widths and weighted widths add up. A first step longer than all of
        them is short by this; of a shorter one, `way` tells.
        """
        side = 0.5 * (1.0 + self.specimen_asymmetry)
        cells = sum(2.0 * cell.half_width * cell.weight for cell in self.cells)
        return self.specimen_scale * (self.sensor_play + side * (self.specimen_play + cells))

    def way(self, distance: float) -> float:
        """Return how far the specimen goes for a way of the motor after a reversal at full play.

        The closed form of the initial loading of the operators in series; screw, slip, creep and
        noise apart.

        Parameters
        ----------
        distance : float
            Way of the motor since the reversal, 0 or more.
        """
        side = 0.5 * (1.0 + self.specimen_asymmetry)
        loose = max(distance - self.sensor_play - side * self.specimen_play, 0.0)
        rigid = 1.0 - sum(cell.weight for cell in self.cells)
        moved = rigid * loose
        for cell in self.cells:
            moved += cell.weight * max(loose - 2.0 * side * cell.half_width, 0.0)
        return self.specimen_scale * moved

    def without_chance(self) -> AxisParameters:
        """Return the axis without what differs from one move to the next: noise, slip, drift."""
        return replace(
            self,
            motor_noise=0.0,
            readback_noise=0.0,
            repeatability=0.0,
            stick_threshold=0.0,
            drift_velocity=0.0,
            drift_walk=0.0,
            insertion_velocity=0.0,
        )

    def duration(self, distance: float) -> float:
        """Return the seconds that a move of `distance` from rest to rest takes.

        A trapezoid in speed, d/v + v/a, or a triangle, 2 sqrt(d/a), where `speed` is not reached.
        """
        distance = abs(distance)
        if distance >= self.speed * self.acceleration_time:
            return distance / self.speed + self.acceleration_time
        return 2.0 * math.sqrt(distance / self.acceleration)


_NO_CROSSTALK = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class StageParameters:
    """A stage of five axes.

    Parameters
    ----------
    name : str
        Name of the profile.
    x, y, z : AxisParameters
        The linear axes, metres.
    alpha, beta : AxisParameters
        Tilt about the rod and across it, radians.
    start_delay : float
        Seconds from a command to the first motion.
    early_idle : float
        Seconds after a command for which the controller still says that the stage is idle: a quirk
        of JEOL's, of 0.1 to 0.5 s; 0 for a controller that tells the truth.
    readback_latency : float
        Least age of a reported position, seconds.
    readback_interval : float
        Seconds between two samples of the sensors; 0 reads them continuously.
    crosstalk : tuple of 3 tuples of float
        K of (I + K): what of (x, y, z) goes into (x, y, z).
    mount : SphericalMount, optional
        The ball; None for a Cartesian stage.
    tilt : TiltGeometry, optional
        Where the tilt axes are; None for tilts that move nothing else.
    tilt_disturbance : TiltDisturbance, optional
        What tilting does to x, y and z.
    pole_piece : PolePiece, optional
        The rule for alpha, beta and z together.
    beam_step : float
        Standard deviation of the thermal step of x, y and z when the beam goes on or off, metres;
        it comes with the time constant of `TiltDisturbance.step_time`.
    drift_correlation_time : float
        Seconds over which the drift keeps its velocity.
    insertion_time : float
        Seconds in which the drift after the insertion of a holder decays.
    holder_age : float
        Seconds from the insertion of the holder to the stage's start.
    """

    name: str
    x: AxisParameters
    y: AxisParameters
    z: AxisParameters
    alpha: AxisParameters
    beta: AxisParameters
    start_delay: float = 0.0
    early_idle: float = 0.0
    readback_latency: float = 0.0
    readback_interval: float = 0.0
    crosstalk: tuple[tuple[float, float, float], ...] = _NO_CROSSTALK
    mount: SphericalMount | None = None
    tilt: TiltGeometry | None = None
    tilt_disturbance: TiltDisturbance | None = None
    pole_piece: PolePiece | None = None
    beam_step: float = 0.0
    drift_correlation_time: float = 900.0
    insertion_time: float = 900.0
    holder_age: float = 4 * 3600.0

    def __post_init__(self) -> None:
        for name in (
            "start_delay",
            "early_idle",
            "readback_latency",
            "readback_interval",
            "beam_step",
            "holder_age",
        ):
            value = getattr(self, name)
            require("stage", name, value, 0 <= value < math.inf, "finite and not below 0")
        for name in ("drift_correlation_time", "insertion_time"):
            value = getattr(self, name)
            require("stage", name, value, 0 < value < math.inf, "finite and above 0")
        if [len(row) for row in self.crosstalk] != [3, 3, 3] or not all(
            abs(value) < 1 for row in self.crosstalk for value in row
        ):
            raise ValueError(
                f"stage crosstalk {self.crosstalk!r} is not allowed: 3 rows of 3 numbers within +-1"
            )

    @property
    def axes(self) -> Mapping[str, AxisParameters]:
        """The axes by name, in the order of `AXES`."""
        return MappingProxyType({name: getattr(self, name) for name in AXES})

    def without_chance(self) -> StageParameters:
        """Return the stage without what differs from one move to the next.

        What it does is what is to be expected of this one: the truth to compare a characterisation
        with. Where the play is at the start, and after a tilt, is still drawn.
        """
        axes = {name: axis.without_chance() for name, axis in self.axes.items()}
        disturbance = self.tilt_disturbance
        if disturbance is not None:
            disturbance = replace(disturbance, wander=0.0, step=0.0)
        return replace(self, **axes, tilt_disturbance=disturbance, beam_step=0.0)

    @property
    def readback_lag(self) -> float:
        """Greatest age of a reported position, seconds."""
        return self.readback_latency + self.readback_interval
