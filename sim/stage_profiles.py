"""Known kinds of goniometer, and where every number of theirs comes from.

What automation software assumes of side-entry stages (SerialEM, Leginon, instamatic, PyJEM), what
was measured in published recordings (a Krios' montage and tilt series, JEM-1400 montages, a TEM
camera array), and the paper on stage motion for automated electron microscopy (Fiedler et al.),
whose y axis is steadier than x and whose first step after a reversal is short even in the reported
value. Numbers marked "chosen" have no better source than that they lie within such ranges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from sim.stage_effects import (
    Cell,
    Creep,
    PeriodicError,
    PolePiece,
    SphericalMount,
    TiltDisturbance,
    TiltGeometry,
)
from sim.stage_parameters import AxisParameters, StageParameters

__all__ = ["PROFILES", "SPEEDS", "at_speed", "profile"]

PROFILES = ("ideal", "jeol-like", "tfs-like")

_NM = 1e-9
_UM = 1e-6
_DEG = math.pi / 180.0

# Limits and speeds: SerialEM and Leginon defaults (+-990 um, z +-220 um JEOL, 300 um TFS, alpha
# +-70 deg, beta +-29.7 deg); x and y 20 um/s normal, 60 fast and 5 slow, z 10 um/s, alpha 10 deg/s,
# beta 5 deg/s, 0.3 s to full speed (Leginon, instamatic's calibrate_stage_motion, PyJEM).
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

SPEEDS: Mapping[str, float] = MappingProxyType(
    {"fast": 60 * _UM, "normal": 20 * _UM, "slow": 5 * _UM}
)
"""Speeds of x and y that a controller offers, m/s."""

_IDEAL = StageParameters("ideal", _LATERAL, _LATERAL, _HEIGHT, _TILT, _CROSS_TILT)

# The reference model's cells: a quarter of the motion lags by half widths of 150 and 500 nm.
_CELLS = (Cell(150 * _NM, 0.15), Cell(500 * _NM, 0.10))
# o-rings of the tilts: as of the linear axes, 6 % of a move, at most 0.006 deg (chosen).
_TILT_CREEP = Creep(limit=0.006 * _DEG)
# Periods of the screws: x 61.9 to 62.4 um, y 41.9 to 42 um (Leginon's gonmodel, Tecnai and CM).
_PERIOD_X, _PERIOD_Y = 61.9 * _UM, 41.9 * _UM


def _jeol_like() -> StageParameters:
    linear = {
        "motor_quantum": 10 * _NM,  # JEOL's motor step
        "motor_noise": 4 * _NM,  # with the readback: 5 nm rms reported - target (Krios mdocs)
        "sensor_play": 80 * _NM,  # first-step deficit of the *reported* value (Fiedler fig. 3)
        "readback_noise": 3 * _NM,
        "readback_quantum": 0.1 * _NM,
        "cells": _CELLS,
        # repeatability: 80 nm (reference model); what is left of a Krios' montage when the mean of
        # every tile is taken off is 230 to 297 nm, its alignment error included
        "repeatability": 80 * _NM,
        "stick_threshold": 25 * _NM,  # the relaxing move of SerialEM is as long
        "creep": Creep(),  # reference model
        "drift_velocity": 0.03 * _NM,  # a settled holder; criteria in use are 0.2 to 0.5 nm/s
        "drift_walk": 0.01 * _NM,
        "insertion_velocity": 1.0 * _NM,  # just after a holder exchange
    }
    tilt = {
        "motor_quantum": 0.001 * _DEG,  # chosen
        "motor_noise": 0.001 * _DEG,  # chosen
        "sensor_play": 0.01 * _DEG,  # chosen
        "readback_noise": 0.002 * _DEG,  # chosen
        "readback_quantum": 0.0001 * _DEG,  # chosen
        "creep": _TILT_CREEP,
    }
    # specimen_play: JEOL's overshoot is 10 um in SerialEM and 10 (x), 30 um (y) in Leginon, which
    # must exceed the play generously; 0.6 um and a steadier y after Fiedler et al. x returns by
    # the vacuum's pull, with a play 1.15 times as wide. Amplitudes of the screw: an old
    # CompuStage's, 350 and 120 nm, for which Leginon corrects; the phases are chosen.
    return StageParameters(
        "jeol-like",
        replace(
            _LATERAL,
            **linear,
            specimen_play=600 * _NM,
            specimen_asymmetry=1.15,
            periodic=PeriodicError(_PERIOD_X, (350 * _NM, 120 * _NM), (0.7, 2.1)),
        ),
        replace(
            _LATERAL,
            **{**linear, "repeatability": 60 * _NM},  # chosen: y is steadier (Fiedler et al.)
            specimen_play=350 * _NM,
            periodic=PeriodicError(_PERIOD_Y, (350 * _NM, 120 * _NM), (3.9, 0.4)),
        ),
        replace(_HEIGHT, **linear, specimen_play=800 * _NM),
        replace(_TILT, **tilt, specimen_play=0.08 * _DEG, repeatability=0.004 * _DEG),  # chosen
        replace(_CROSS_TILT, **tilt, specimen_play=0.15 * _DEG, repeatability=0.008 * _DEG),
        start_delay=0.25,  # communication (instamatic)
        readback_latency=0.08,  # values are 80 to 280 ms old, renewed at 5 Hz
        readback_interval=0.2,
        # 89.85 deg between the axes of a Krios, 0.0026 rad; the rest chosen, 0.2 % at most. The
        # 4.5 % between its x and y is the camera's calibration, not the stage's.
        crosstalk=((0.0, 0.002, 0.0005), (-0.0026, 0.0, 0.0005), (0.0005, -0.0005, 0.0)),
        # The makers linearise; what they leave is chosen: 630 nm at 1 mm.
        mount=SphericalMount(pivot_length=80e-3, residual=0.1),
        tilt=TiltGeometry(),  # 1 um, eucentric error 5 um of 0 to 20, wobble 60 and 40 nm
        tilt_disturbance=TiltDisturbance(),
        pole_piece=PolePiece(),
        beam_step=2 * _NM,  # chosen
    )


def _tfs_like() -> StageParameters:
    linear = {
        "motor_quantum": 1 * _NM,
        "motor_noise": 4 * _NM,  # Krios: 5 nm rms, 27 nm at most (mdocs)
        "sensor_play": 20 * _NM,  # chosen, below JEOL's
        "readback_noise": 3 * _NM,
        "readback_quantum": 0.1 * _NM,
        "cells": (Cell(75 * _NM, 0.15), Cell(250 * _NM, 0.10)),  # chosen: half of the reference's
        "repeatability": 80 * _NM,  # reference model
        "stick_threshold": 25 * _NM,
        "creep": Creep(),
        "drift_velocity": 0.02 * _NM,  # chosen: an autoloader, no holder exchange
        "drift_walk": 0.01 * _NM,
        "insertion_velocity": 0.5 * _NM,  # chosen
    }
    tilt = {
        "motor_quantum": 0.0005 * _DEG,  # chosen
        "motor_noise": 0.0005 * _DEG,  # chosen
        "sensor_play": 0.004 * _DEG,  # chosen
        "readback_noise": 0.001 * _DEG,  # chosen
        "readback_quantum": 0.0001 * _DEG,  # chosen
        "creep": _TILT_CREEP,
    }
    lateral = replace(_LATERAL, speed=60 * _UM)
    height = replace(_HEIGHT, lower=-300 * _UM, upper=300 * _UM)
    # specimen_play: overshoot 5 um in SerialEM and 2 um in Leginon, a half to a fifth of JEOL's.
    # Screws of a modern stage: 0 to 60 nm.
    return StageParameters(
        "tfs-like",
        replace(
            lateral,
            **linear,
            specimen_play=250 * _NM,
            readback_branch=21 * _NM,  # between the branches of a Krios' tilt series
            periodic=PeriodicError(_PERIOD_X, (40 * _NM, 15 * _NM), (0.7, 2.1)),
        ),
        replace(
            lateral,
            **{**linear, "repeatability": 60 * _NM},  # chosen: y is steadier
            specimen_play=180 * _NM,
            periodic=PeriodicError(_PERIOD_Y, (40 * _NM, 15 * _NM), (3.9, 0.4)),
        ),
        replace(height, **linear, specimen_play=400 * _NM),
        replace(_TILT, **tilt, specimen_play=0.03 * _DEG, repeatability=0.002 * _DEG),
        replace(_CROSS_TILT, **tilt, specimen_play=0.06 * _DEG, repeatability=0.004 * _DEG),
        start_delay=0.15,  # chosen
        readback_latency=0.05,  # chosen
        readback_interval=0.1,  # chosen
        crosstalk=((0.0, 0.001, 0.0), (-0.0026, 0.0, 0.0), (0.0, 0.0, 0.0)),  # 89.85 deg (Krios)
        mount=SphericalMount(pivot_length=80e-3, residual=0.05),  # chosen
        # With these +-60 deg move a specimen by about 0.5, 1.0 and 2.2 um along x, y and z; a
        # Krios at eucentric height: 0.45, 0.69 and 4.2 um.
        tilt=TiltGeometry(axis_y=1.2 * _UM, axis_z=0.3 * _UM),
        tilt_disturbance=TiltDisturbance(wander=50 * _NM),
        pole_piece=PolePiece(),
        beam_step=2 * _NM,  # chosen
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


def at_speed(parameters: StageParameters, speed: str) -> StageParameters:
    """Return a stage whose x and y move at one of the controller's speeds.

    Parameters
    ----------
    parameters : StageParameters
        The stage.
    speed : str
        ``"fast"``, ``"normal"`` or ``"slow"``: 60, 20 or 5 um/s.

    Raises
    ------
    ValueError
        When there is no such speed.
    """
    if speed not in SPEEDS:
        raise ValueError(f"stage speed {speed!r} is unknown: choose one of {', '.join(SPEEDS)}")
    x, y = (replace(axis, speed=SPEEDS[speed]) for axis in (parameters.x, parameters.y))
    return replace(parameters, x=x, y=y)
