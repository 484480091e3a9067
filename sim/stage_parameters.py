"""What makes one stage differ from another: speeds, play, noise and drift, each with its source.

The numbers are those of three kinds of side-entry goniometer, from what automation software
assumes of them (SerialEM, Leginon), what was measured in published recordings, and the paper on
stage motion for automated electron microscopy (Fiedler et al.), whose y axis is steadier than x
and whose first step after a reversal is short even in the reported value. Numbers marked "chosen"
have no better source than that they lie within such ranges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

import numpy as np

__all__ = ["AXES", "PROFILES", "AxisParameters", "StageParameters", "profile", "random_stage"]

AXES = ("x", "y", "z", "alpha", "beta")
PROFILES = ("ideal", "jeol-like", "tfs-like")

_NM = 1e-9
_UM = 1e-6
_DEG = math.pi / 180.0


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
    motor_quantum : float
        Smallest step of the motor; 0 for none.
    motor_noise : float
        Standard deviation of where the motor comes to rest about the target, drawn for each move.
    sensor_play : float
        Backlash between motor and sensor: the first-step deficit of the reported position.
    specimen_play : float
        Backlash between sensor and specimen, seen by the specimen only.
    repeatability : float
        Standard deviation of the specimen's seat, a Gaussian process of the distance it has been
        driven.
    repeatability_length : float
        Distance over which the seat is forgotten.
    readback_noise : float
        Standard deviation of one sample of the sensor.
    readback_quantum : float
        Smallest step of the reported value; 0 for none.
    drift_velocity : float
        Standard deviation of the drift velocity of the specimen, per second.
    drift_walk : float
        Random walk of the specimen on top, per square root of a second.
    """

    unit: str
    lower: float
    upper: float
    speed: float
    acceleration_time: float
    motor_quantum: float = 0.0
    motor_noise: float = 0.0
    sensor_play: float = 0.0
    specimen_play: float = 0.0
    repeatability: float = 0.0
    repeatability_length: float = 2.0 * _UM
    readback_noise: float = 0.0
    readback_quantum: float = 0.0
    drift_velocity: float = 0.0
    drift_walk: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "unit":
                allowed, right = "'m' or 'rad'", value in ("m", "rad")
            elif field.name in ("lower", "upper"):
                allowed, right = "finite, lower below upper", self.lower < self.upper
                right = right and math.isfinite(value)
            elif field.name in ("speed", "acceleration_time", "repeatability_length"):
                allowed, right = "finite and above 0", math.isfinite(value) and value > 0
            else:
                allowed, right = "finite and not below 0", math.isfinite(value) and value >= 0
            if not right:
                raise ValueError(f"axis {field.name} {value!r} is not allowed: {allowed}")

    @property
    def acceleration(self) -> float:
        """Acceleration, in `unit` per second squared."""
        return self.speed / self.acceleration_time

    @property
    def reported_backlash(self) -> float:
        """How much the reported position falls short of a first step after a reversal."""
        return self.sensor_play

    @property
    def backlash(self) -> float:
        """How much the specimen falls short of a first step after a reversal.

        The play operators are in series: the sensor stands still for `sensor_play` of the motor's
        way, then the specimen for `specimen_play` of the sensor's. A step longer than both comes
        out short by their sum.
        """
        return self.sensor_play + self.specimen_play

    def duration(self, distance: float) -> float:
        """Return the seconds that a move of `distance` from rest to rest takes.

        A trapezoid in speed, d/v + v/a, or a triangle, 2 sqrt(d/a), where `speed` is not reached.
        """
        distance = abs(distance)
        if distance >= self.speed * self.acceleration_time:
            return distance / self.speed + self.acceleration_time
        return 2.0 * math.sqrt(distance / self.acceleration)


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
    readback_latency : float
        Least age of a reported position, seconds.
    readback_interval : float
        Seconds between two samples of the sensors; 0 reads them continuously.
    drift_correlation_time : float
        Seconds over which the drift keeps its velocity.
    """

    name: str
    x: AxisParameters
    y: AxisParameters
    z: AxisParameters
    alpha: AxisParameters
    beta: AxisParameters
    start_delay: float = 0.0
    readback_latency: float = 0.0
    readback_interval: float = 0.0
    drift_correlation_time: float = 900.0

    def __post_init__(self) -> None:
        for name in ("start_delay", "readback_latency", "readback_interval"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"stage {name} {value!r} is not allowed: finite and not below 0")
        time = self.drift_correlation_time
        if not (math.isfinite(time) and time > 0):
            raise ValueError(f"stage drift_correlation_time {time!r} is not allowed: above 0")

    @property
    def axes(self) -> Mapping[str, AxisParameters]:
        """The axes by name, in the order of `AXES`."""
        return MappingProxyType({name: getattr(self, name) for name in AXES})

    @property
    def readback_lag(self) -> float:
        """Greatest age of a reported position, seconds."""
        return self.readback_latency + self.readback_interval


# Limits and speeds: SerialEM and Leginon defaults (+-990 um, z +-220 um JEOL, 300 um TFS, alpha
# +-70 deg, beta +-29.7 deg); 20 um/s normal and 60 um/s fast, alpha 10 deg/s, beta 5 deg/s, 0.3 s
# to full speed (Leginon, instamatic's calibrate_stage_motion, PyJEM).
_LATERAL = AxisParameters("m", -990 * _UM, 990 * _UM, speed=20 * _UM, acceleration_time=0.3)
_HEIGHT = AxisParameters("m", -220 * _UM, 220 * _UM, speed=10 * _UM, acceleration_time=0.3)
_TILT = AxisParameters(
    "rad",
    -70.0 * _DEG,
    70.0 * _DEG,
    speed=10 * _DEG,
    acceleration_time=0.3,
    repeatability_length=1.0 * _DEG,  # chosen
)
_CROSS_TILT = replace(_TILT, lower=-29.7 * _DEG, upper=29.7 * _DEG, speed=5 * _DEG)

_IDEAL = StageParameters("ideal", _LATERAL, _LATERAL, _HEIGHT, _TILT, _CROSS_TILT)


def _jeol_like() -> StageParameters:
    linear = {
        "motor_quantum": 10 * _NM,  # JEOL's motor step
        "motor_noise": 4 * _NM,  # with the readback: 5 nm rms reported - target (Krios mdocs)
        "sensor_play": 80 * _NM,  # first-step deficit of the *reported* value (Fiedler fig. 3)
        "readback_noise": 3 * _NM,
        "readback_quantum": 0.1 * _NM,
        "drift_velocity": 0.03 * _NM,  # a settled holder; criteria in use are 0.2 to 0.5 nm/s
        "drift_walk": 0.01 * _NM,
    }
    tilt = {
        "motor_quantum": 0.001 * _DEG,  # chosen
        "motor_noise": 0.001 * _DEG,  # chosen
        "sensor_play": 0.01 * _DEG,  # chosen
        "readback_noise": 0.002 * _DEG,  # chosen
        "readback_quantum": 0.0001 * _DEG,  # chosen
    }
    # specimen_play: JEOL's overshoot is 10 um in SerialEM and 10 (x), 30 um (y) in Leginon, which
    # must exceed the play generously; 0.6 um and a steadier y after Fiedler et al. repeatability:
    # chosen small; most of what is measured (0.25 um, Krios montage) is stick-slip.
    return StageParameters(
        "jeol-like",
        replace(_LATERAL, **linear, specimen_play=600 * _NM, repeatability=20 * _NM),
        replace(_LATERAL, **linear, specimen_play=350 * _NM, repeatability=12 * _NM),
        replace(_HEIGHT, **linear, specimen_play=800 * _NM, repeatability=20 * _NM),
        replace(_TILT, **tilt, specimen_play=0.08 * _DEG, repeatability=0.004 * _DEG),
        replace(_CROSS_TILT, **tilt, specimen_play=0.15 * _DEG, repeatability=0.008 * _DEG),
        start_delay=0.25,  # communication (instamatic)
        readback_latency=0.08,  # values are 80 to 280 ms old, renewed at 5 Hz
        readback_interval=0.2,
    )


def _tfs_like() -> StageParameters:
    linear = {
        "motor_quantum": 1 * _NM,
        "motor_noise": 4 * _NM,  # Krios: 5 nm rms, 27 nm at most (mdocs)
        "sensor_play": 20 * _NM,  # Krios tilt series: 21 nm between the branches in x
        "readback_noise": 3 * _NM,
        "readback_quantum": 0.1 * _NM,
        "drift_velocity": 0.02 * _NM,  # chosen: an autoloader, no holder exchange
        "drift_walk": 0.01 * _NM,
    }
    tilt = {
        "motor_quantum": 0.0005 * _DEG,  # chosen
        "motor_noise": 0.0005 * _DEG,  # chosen
        "sensor_play": 0.004 * _DEG,  # chosen
        "readback_noise": 0.001 * _DEG,  # chosen
        "readback_quantum": 0.0001 * _DEG,  # chosen
    }
    lateral = replace(_LATERAL, speed=60 * _UM)
    height = replace(_HEIGHT, lower=-300 * _UM, upper=300 * _UM)
    # specimen_play: overshoot 5 um in SerialEM and 2 um in Leginon, a half to a fifth of JEOL's.
    return StageParameters(
        "tfs-like",
        replace(lateral, **linear, specimen_play=250 * _NM, repeatability=12 * _NM),
        replace(lateral, **linear, specimen_play=180 * _NM, repeatability=10 * _NM),
        replace(height, **linear, specimen_play=400 * _NM, repeatability=12 * _NM),
        replace(_TILT, **tilt, specimen_play=0.03 * _DEG, repeatability=0.002 * _DEG),
        replace(_CROSS_TILT, **tilt, specimen_play=0.06 * _DEG, repeatability=0.004 * _DEG),
        start_delay=0.15,  # chosen
        readback_latency=0.05,  # chosen
        readback_interval=0.1,  # chosen
    )


def profile(name: str) -> StageParameters:
    """Return the parameters of a kind of stage.

    Parameters
    ----------
    name : str
        ``"ideal"`` (exact at finite speed), ``"jeol-like"`` or ``"tfs-like"``.

    Raises
    ------
    ValueError
        When there is no such profile.
    """
    makers = {"ideal": lambda: _IDEAL, "jeol-like": _jeol_like, "tfs-like": _tfs_like}
    if name not in makers:
        raise ValueError(f"stage profile {name!r} is unknown: choose one of {', '.join(PROFILES)}")
    return makers[name]()


def random_stage(seed: int) -> StageParameters:
    """Draw a plausible stage, for benchmarks over a family instead of one profile.

    The play of x and y adds up to less than 0.86 um, so that steps of 1 um take it up.

    Parameters
    ----------
    seed : int
        The same seed gives the same stage.

    Returns
    -------
    StageParameters
        Named ``random-<seed>``.
    """
    if seed < 0:
        raise ValueError(f"stage seed {seed!r} is not allowed: give a whole number, 0 or more")
    rng = np.random.default_rng([seed, 0x57A6E])
    base = _jeol_like()
    # Ranges about the two profiles above: from a good modern stage to a worn old one.
    speed = rng.uniform(10, 60) * _UM

    def lateral(axis: AxisParameters) -> AxisParameters:
        return replace(
            axis,
            speed=speed,
            motor_quantum=float(rng.choice([1 * _NM, 10 * _NM])),
            motor_noise=rng.uniform(1, 10) * _NM,
            sensor_play=rng.uniform(0, 160) * _NM,
            specimen_play=rng.uniform(100, 700) * _NM,
            repeatability=rng.uniform(5, 50) * _NM,
            repeatability_length=rng.uniform(1, 4) * _UM,
            readback_noise=rng.uniform(1, 5) * _NM,
            drift_velocity=10 ** rng.uniform(-2, -0.5) * _NM,
            drift_walk=10 ** rng.uniform(-2.5, -1.5) * _NM,
        )

    def scaled(axis: AxisParameters) -> AxisParameters:
        return replace(
            axis,
            sensor_play=axis.sensor_play * rng.uniform(0, 2),
            specimen_play=axis.specimen_play * rng.uniform(0.2, 1.2),
            repeatability=axis.repeatability * rng.uniform(0.3, 2.5),
        )

    return StageParameters(
        f"random-{seed}",
        lateral(base.x),
        lateral(base.y),
        scaled(base.z),
        scaled(base.alpha),
        scaled(base.beta),
        start_delay=rng.uniform(0.05, 0.4),
        readback_latency=rng.uniform(0.02, 0.15),
        readback_interval=float(rng.choice([0.05, 0.1, 0.2])),
        drift_correlation_time=rng.uniform(300, 1800),
    )
