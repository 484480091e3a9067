"""The parameters of a stage as records that compiled code can read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.play import CELLS
from sim.stage_effects import Creep, SphericalMount, TiltDisturbance, TiltGeometry
from sim.stage_parameters import AXES, AxisParameters, StageParameters

__all__ = ["AXIS", "BODY", "RELAXING", "pack_axes", "pack_body"]

# What relaxes on an axis: the o-rings fast and slowly, the glide to a new place, and heat.
RELAXING = 4

# One axis. `sensor_half`: half the sensor's play; `rising`, `falling`: lag behind the sensor on
# either side, `cell_*` the same of the cells; `rigid`: weight of what is in no cell, times the
# specimen's scale like `cell_weight`; the rest as in `AxisParameters`.
AXIS = np.dtype(
    [
        *(
            (name, np.float64)
            for name in (
                "speed",
                "acceleration",
                "motor_scale",
                "motor_quantum",
                "motor_noise",
                "sensor_half",
                "readback_scale",
                "readback_offset",
                "readback_noise",
                "readback_quantum",
                "readback_branch",
                "rising",
                "falling",
                "rigid",
                "period",
                "amplitude_1",
                "amplitude_2",
                "phase_1",
                "phase_2",
                "screw_at_zero",
                "repeatability",
                "repeatability_length",
                "slip_memory",
                "stick_threshold",
                "stick_probability",
                "sticky_lower",
                "sticky_upper",
                "sticky_factor",
                "creep_fraction",
                "creep_limit",
                "creep_share",
            )
        ),
        ("cells", np.int64),
        ("cell_rising", np.float64, (CELLS,)),
        ("cell_falling", np.float64, (CELLS,)),
        ("cell_weight", np.float64, (CELLS,)),
        ("times", np.float64, (RELAXING,)),
    ]
)

# The stage as a whole. `swings`, `tilts`, `disturbs`: whether the mount, the tilt geometry and the
# tilt disturbance are there; `wobble`: see `_wobble`; the rest as in `StageParameters`.
BODY = np.dtype(
    [
        *(
            (name, np.float64)
            for name in (
                "start_time",
                "start_delay",
                "readback_latency",
                "readback_interval",
                "pivot_length",
                "residual",
                "axis_y",
                "axis_z",
                "cradle_x",
                "cradle_z",
                "wander",
                "heat_step",
                "beam_step",
                "release_angle",
                "drift_correlation_time",
                "insertion_time",
                "holder_age",
            )
        ),
        ("swings", np.int64),
        ("tilts", np.int64),
        ("disturbs", np.int64),
        ("mixing", np.float64, (3, 3)),
        ("wobble", np.float64, (3, 4)),
        ("drift_velocity", np.float64, (len(AXES),)),
        ("drift_walk", np.float64, (len(AXES),)),
        ("insertion_velocity", np.float64, (len(AXES),)),
    ]
)


def pack_axes(parameters: StageParameters) -> NDArray[np.void]:
    """Return the axes as records of `AXIS`, shape (5,)."""
    records = np.zeros(len(AXES), dtype=AXIS)
    for index, axis in enumerate(parameters.axes.values()):
        for field, value in _axis(axis, parameters.tilt_disturbance).items():
            records[index][field] = value
    return records


def _axis(axis: AxisParameters, disturbance: TiltDisturbance | None) -> dict[str, Any]:
    creep = axis.creep or Creep(fraction=0.0)
    times = disturbance or TiltDisturbance()
    asymmetry = axis.specimen_asymmetry
    values: dict[str, Any] = {
        "sensor_half": 0.5 * axis.sensor_play,
        "rising": 0.5 * axis.specimen_play * asymmetry,
        "falling": 0.5 * axis.specimen_play,
        "rigid": axis.specimen_scale * (1.0 - sum(cell.weight for cell in axis.cells)),
        "cells": len(axis.cells),
        "cell_rising": _padded([cell.half_width * asymmetry for cell in axis.cells]),
        "cell_falling": _padded([cell.half_width for cell in axis.cells]),
        "cell_weight": _padded([axis.specimen_scale * cell.weight for cell in axis.cells]),
        "period": 1.0,
        "creep_fraction": creep.fraction,
        "creep_limit": creep.limit,
        "creep_share": creep.share,
        "times": [*creep.times, times.glide_time, times.step_time],
    }
    if axis.periodic is not None:
        values["period"] = axis.periodic.period
        values["amplitude_1"], values["amplitude_2"] = axis.periodic.amplitudes
        values["phase_1"], values["phase_2"] = axis.periodic.phases
        values["screw_at_zero"] = np.dot(axis.periodic.amplitudes, np.sin(axis.periodic.phases))
    if axis.sticky is not None:
        values["sticky_lower"], values["sticky_upper"] = axis.sticky.lower, axis.sticky.upper
        values["sticky_factor"] = axis.sticky.factor
    same = set(AXIS.names or ()) - set(values)
    for field in same:
        if hasattr(axis, field):
            values[field] = getattr(axis, field)
    return values


def _padded(values: list[float]) -> list[float]:
    return values + [0.0] * (CELLS - len(values))


def _wobble(tilt: TiltGeometry) -> NDArray[np.float64]:
    """Return, for x, y and z, the factors of sin a, cos a - 1, sin 2a and cos 2a - 1."""
    phases = np.array(tilt.wobble_phases)
    first, second = tilt.wobble
    cos, sin = np.cos(phases), np.sin(phases)
    return np.stack(
        [first * cos[:, 0], first * sin[:, 0], second * cos[:, 1], second * sin[:, 1]], 1
    )


def pack_body(parameters: StageParameters, start_time: float) -> NDArray[np.void]:
    """Return the stage as a whole as one record of `BODY`, shape (1,)."""
    record = np.zeros(1, dtype=BODY)
    mount = parameters.mount or SphericalMount()
    tilt = parameters.tilt or TiltGeometry()
    disturbance = parameters.tilt_disturbance or TiltDisturbance()
    axes = parameters.axes.values()
    values: dict[str, Any] = {
        "start_time": start_time,
        "pivot_length": mount.pivot_length,
        "residual": mount.residual,
        "wobble": _wobble(tilt),
        "wander": disturbance.wander,
        "heat_step": disturbance.step,
        "release_angle": disturbance.release_angle,
        "swings": parameters.mount is not None,
        "tilts": parameters.tilt is not None,
        "disturbs": parameters.tilt_disturbance is not None,
        "mixing": np.eye(3) + np.array(parameters.crosstalk),
    }
    for field in ("axis_y", "axis_z", "cradle_x", "cradle_z"):
        values[field] = getattr(tilt, field)
    for field in ("drift_velocity", "drift_walk", "insertion_velocity"):
        values[field] = [getattr(axis, field) for axis in axes]
    for field in BODY.names or ():
        record[0][field] = values[field] if field in values else getattr(parameters, field)
    return record
