"""Stages drawn at random: one seed, one stage.

`random_stage` draws from the whole range between a good modern stage and a worn old one, for
benchmarks that must not lean on one profile. `random_case` draws a stage whose target, reported and
actual positions agree or disagree as in one of the six cases of Fiedler et al., fig. 2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sim.stage_effects import (
    Cell,
    Creep,
    PeriodicError,
    SphericalMount,
    StickyRegion,
    TiltDisturbance,
    TiltGeometry,
)
from sim.stage_parameters import AxisParameters, StageParameters
from sim.stage_profiles import profile

__all__ = ["CASES", "random_case", "random_stage"]

CASES = ("a", "b", "c", "d", "e", "f")

_NM = 1e-9
_UM = 1e-6
_DEG = math.pi / 180.0
_STICKY = 0.1  # probability that an axis has a sticky region; chosen


def _generator(seed: int, salt: int) -> np.random.Generator:
    if seed < 0:
        raise ValueError(f"stage seed {seed!r} is not allowed: give a whole number, 0 or more")
    return np.random.default_rng([seed, salt])


def random_stage(seed: int) -> StageParameters:
    """Draw a plausible stage, for benchmarks over a family instead of one profile.

    The plays of x and y in series add up to less than 0.86 um, so that steps of 1 um take them up;
    the cells behind them take up to 2 um more. Screws have amplitudes of 0 to 350 nm and periods of
    30 to 80 um, slips are 20 to 120 nm a move, eucentric errors 0 to 20 um.

    Parameters
    ----------
    seed : int
        The same seed gives the same stage.

    Returns
    -------
    StageParameters
        Named ``random-<seed>``.
    """
    rng = _generator(seed, 0x57A6E)
    base = profile("jeol-like")
    speed = rng.uniform(10, 60) * _UM

    def lateral(axis: AxisParameters, period: float) -> AxisParameters:
        first = rng.uniform(0, 350) * _NM
        cells = (
            Cell(rng.uniform(50, 250) * _NM, rng.uniform(0, 0.2)),
            Cell(rng.uniform(300, 800) * _NM, rng.uniform(0, 0.12)),
        )
        centre = rng.uniform(-200, 200) * _UM
        sticky = StickyRegion(centre, centre + rng.uniform(5, 30) * _UM)
        return replace(
            axis,
            speed=speed,
            motor_quantum=float(rng.choice([1 * _NM, 10 * _NM])),
            motor_noise=rng.uniform(1, 10) * _NM,
            sensor_play=rng.uniform(0, 160) * _NM,
            specimen_play=rng.uniform(100, 650) * _NM,
            specimen_asymmetry=rng.uniform(1.0, 1.15),
            cells=cells,
            periodic=PeriodicError(
                period * rng.uniform(0.75, 1.3),
                (first, first * rng.uniform(0, 0.5)),
                (rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi)),
            ),
            repeatability=rng.uniform(20, 120) * _NM,
            repeatability_length=rng.uniform(1, 4) * _UM,
            slip_memory=rng.uniform(0.5, 0.9),
            sticky=sticky if rng.random() < _STICKY else None,
            creep=Creep(rng.uniform(0, 0.1), rng.uniform(0, 100) * _NM),
            readback_noise=rng.uniform(1, 5) * _NM,
            readback_branch=rng.uniform(0, 25) * _NM,
            drift_velocity=10 ** rng.uniform(-2, -0.5) * _NM,
            drift_walk=10 ** rng.uniform(-2.5, -1.5) * _NM,
        )

    def scaled(axis: AxisParameters) -> AxisParameters:
        return replace(
            axis,
            sensor_play=axis.sensor_play * rng.uniform(0, 2),
            specimen_play=axis.specimen_play * rng.uniform(0.2, 1.2),
            repeatability=axis.repeatability * rng.uniform(0.3, 1.5),
        )

    def small() -> float:
        return rng.uniform(-0.003, 0.003)

    return StageParameters(
        f"random-{seed}",
        lateral(base.x, 61.9 * _UM),
        lateral(base.y, 41.9 * _UM),
        scaled(base.z),
        scaled(base.alpha),
        scaled(base.beta),
        start_delay=rng.uniform(0.05, 0.4),
        readback_latency=rng.uniform(0.02, 0.15),
        readback_interval=float(rng.choice([0.05, 0.1, 0.2])),
        crosstalk=((0.0, small(), small()), (small(), 0.0, small()), (small(), small(), 0.0)),
        mount=SphericalMount(rng.uniform(60e-3, 100e-3), rng.uniform(0, 0.3)),
        tilt=TiltGeometry(
            axis_y=rng.uniform(-2, 2) * _UM,
            axis_z=rng.uniform(-20, 20) * _UM,
            cradle_x=rng.uniform(-10, 10) * _UM,
            cradle_z=rng.uniform(10, 50) * _UM,
            wobble=(rng.uniform(20, 100) * _NM, rng.uniform(10, 60) * _NM),
            wobble_phases=tuple(
                (rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi)) for _ in range(3)
            ),
        ),
        tilt_disturbance=TiltDisturbance(wander=rng.uniform(50, 100) * _NM),
        pole_piece=base.pole_piece,
        beam_step=rng.uniform(0, 5) * _NM,
        drift_correlation_time=rng.uniform(300, 1800),
    )


def _scale(rng: np.random.Generator) -> float:
    """Draw a scale that is 2 to 8 % too small or too great."""
    return 1.0 + float(rng.choice([-1.0, 1.0])) * rng.uniform(0.02, 0.08)


def _misaligned(case: str, rng: np.random.Generator) -> dict[str, Any]:
    """Draw what makes an axis of a case differ from one of the ideal case."""
    if case == "b":
        return {"specimen_scale": _scale(rng)}
    if case == "c":
        return {"readback_scale": _scale(rng)}
    if case == "d":
        return {"motor_scale": _scale(rng)}
    if case == "e":
        while True:  # reported = motor x target, actual = specimen x reported: no two agree
            motor, specimen = _scale(rng), _scale(rng)
            if abs(motor * specimen - 1.0) > 0.02:
                return {"motor_scale": motor, "specimen_scale": specimen}
    if case == "f":
        play = {
            "sensor_play": rng.uniform(30, 160) * _NM,
            "specimen_play": rng.uniform(150, 600) * _NM,
        }
        slip = {"repeatability": rng.uniform(60, 150) * _NM}
        return [play, slip, play | slip][int(rng.integers(3))]
    return {}


def random_case(case: str, seed: int) -> StageParameters:
    """Draw a stage whose three positions are aligned as in a case of Fiedler et al., fig. 2.

    (a) ideal: target, reported and actual agree; (b) target and reported agree, the actual position
    is elsewhere: what is behind the sensor has a wrong scale; (c) target and actual agree: the
    sensor has a wrong scale; (d) reported and actual agree: the motor has; (e) none agree: motor
    and specimen have; (f) inconsistent: hysteresis, or large statistical errors, or both. In (a) to
    (e) what is left of play, slip and noise is a few nanometres, alike in every direction, and the
    scales are wrong by 2 to 8 % in x and y, so that a step of 1 um shows them; z and the tilts are
    as in (a) but of the same case.

    Parameters
    ----------
    case : str
        ``"a"`` to ``"f"``.
    seed : int
        The same case and seed give the same stage.

    Returns
    -------
    StageParameters
        Named ``case-<case>-<seed>``.

    Raises
    ------
    ValueError
        When there is no such case.
    """
    if case not in CASES:
        raise ValueError(f"stage case {case!r} is unknown: choose of {', '.join(CASES)}")
    rng = _generator(seed, 0xCA5E0 + CASES.index(case))
    base = profile("ideal")

    def quiet(axis: AxisParameters) -> AxisParameters:
        unit = _NM if axis.unit == "m" else 1e-4 * _DEG
        return replace(
            axis,
            motor_noise=rng.uniform(0.5, 3) * unit,
            motor_quantum=1 * unit,
            readback_noise=rng.uniform(0.5, 3) * unit,
            readback_quantum=0.1 * unit,
            drift_velocity=10 ** rng.uniform(-2.5, -1.5) * _NM if axis.unit == "m" else 0.0,
            repeatability=rng.uniform(0.5, 3) * unit,
        )

    axes = {}
    for name, axis in base.axes.items():
        drawn = _misaligned(case, rng)
        if axis.unit == "rad":  # 10 nm of play or slip is as much as a thousandth of a degree
            drawn = {
                key: value if key.endswith("scale") else value / (10 * _NM) * 1e-3 * _DEG
                for key, value in drawn.items()
            }
        axes[name] = replace(quiet(axis), **drawn)
    return replace(
        base,
        name=f"case-{case}-{seed}",
        **axes,
        start_delay=rng.uniform(0.05, 0.3),
        readback_latency=0.05,
        readback_interval=0.1,
        pole_piece=profile("jeol-like").pole_piece,
    )
