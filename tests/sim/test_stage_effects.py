"""Parameters that no stage can have are refused in one line that says what is allowed."""

import math

import pytest

from sim.stage import AxisParameters, StageParameters, profile
from sim.stage_effects import (
    Cell,
    Creep,
    PeriodicError,
    SphericalMount,
    StickyRegion,
    TiltDisturbance,
    TiltGeometry,
)

AXIS = {"unit": "m", "lower": -1.0, "upper": 1.0, "speed": 1.0, "acceleration_time": 1.0}
STAGE = {"name": "x", **{name: profile("ideal").axes[name] for name in profile("ideal").axes}}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cell(-1e-9, 0.1), "cell half_width -1e-09"),
        (lambda: PeriodicError(0.0, (1e-7, 0.0)), "period 0.0"),
        (lambda: PeriodicError(1e-6, (3e-7, 0.0)), "must not turn back"),
        (lambda: PeriodicError(1e-6, (1e-9, 0.0), (math.nan, 0.0)), "first_phase nan"),
        (lambda: Creep(share=1.5), "share 1.5 is not allowed: from 0 to 1"),
        (lambda: Creep(times=(0.0, 60.0)), "first_time 0.0"),
        (lambda: StickyRegion(2.0, 1.0), "above lower"),
        (lambda: SphericalMount(0.0), "pivot_length 0.0"),
        (lambda: SphericalMount(residual=1.1), "residual 1.1"),
        (lambda: TiltGeometry(wobble_phases=((0.0, 0.0),)), "x, y and z"),
        (lambda: TiltDisturbance(release_angle=0.0), "release_angle 0.0"),
        (lambda: AxisParameters(**AXIS, cells=(Cell(0.1, 0.6),) * 2), "add up to 1"),
        (lambda: AxisParameters(**AXIS, cells=(Cell(0.1, 0.1),) * 4), "up to 3"),
        (lambda: AxisParameters(**AXIS, slip_memory=1.2), "slip_memory 1.2"),
        (lambda: AxisParameters(**AXIS, motor_scale=0.0), "motor_scale 0.0"),
        (lambda: AxisParameters(**AXIS, readback_offset=math.inf), "readback_offset inf"),
        (lambda: StageParameters(**STAGE, early_idle=-0.1), "early_idle -0.1"),
        (
            lambda: StageParameters(**STAGE, crosstalk=((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))),
            "3 rows of 3",
        ),
    ],
)
def test_impossible_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
