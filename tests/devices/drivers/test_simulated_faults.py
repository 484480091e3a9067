"""The simulated TEM when something goes wrong, and what else of the twin it shows."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.drivers import tem_services
from devices.drivers.protocols import CameraSettings
from devices.drivers.simulated import SimulatedTEM
from devices.wire import Call, InstrumentError
from sim.clock import ManualClock, ScaledClock
from sim.faults import Fault, FaultPlan
from sim.stage import StageParameters, profile
from sim.stage_effects import SphericalMount


class Slope:
    """A specimen whose signal rises along x alone, 10 % a µm."""

    def sample(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        return (0.5 + 1e5 * x).astype(np.float32)


def tem(
    *faults: Fault, clock: Any = None, parameters: StageParameters | None = None, **plan: Any
) -> SimulatedTEM:
    """Return a microscope the first commands of which meet `faults`."""
    return SimulatedTEM(
        profile("ideal") if parameters is None else parameters,
        Slope(),
        clock=ManualClock(1e9) if clock is None else clock,
        faults=FaultPlan(scheduled=dict(enumerate(faults)), **plan),
    )


def move(simulated: SimulatedTEM, **targets: float) -> dict[str, Any]:
    """Move by the server's command, as a client would."""
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=0.001)
    call = Call(args={"targets": targets}, arrays={}, client="ana", operation=None)
    return services[0].commands()["move"].run(call).values


def test_a_command_without_an_answer_is_an_error_and_nothing_moves():
    simulated = tem(Fault("timeout"))
    with pytest.raises(InstrumentError, match="did not answer a move of x within 5 s"):
        simulated.stage.start_move({"x": 5e-6})
    assert simulated.truth.actual(simulated.camera._clock.now() + 10)[0] == 0.0


def test_after_a_time_out_the_next_command_goes_through():
    simulated = tem(Fault("timeout"))
    with pytest.raises(InstrumentError):
        simulated.stage.start_move({"x": 5e-6})
    simulated.stage.start_move({"x": 5e-6})
    assert simulated.truth.actual(simulated.camera._clock.now() + 10)[0] == pytest.approx(5e-6)


def test_a_call_that_hangs_returns_in_the_end_and_the_move_is_made():
    clock = ManualClock(1e9)
    simulated = tem(Fault("block", seconds=30.0), clock=clock)
    simulated.stage.start_move({"x": 5e-6})
    assert clock.now() == 1e9 + 30.0
    assert simulated.stage.read().axes["x"].position == pytest.approx(5e-6)


def test_where_a_stage_is_can_be_asked_while_a_command_hangs():
    simulated = tem(Fault("block", seconds=40.0), clock=ScaledClock(100.0))
    services = tem_services(simulated.stage, simulated.camera, simulated.column, poll_s=0.001)
    commands = services[0].commands()
    look = Call(args={}, arrays={}, client="ana", operation=None)
    commands["read"].run(look)
    call = Call(args={"targets": {"x": 1e-6}}, arrays={}, client="ana", operation=None)
    mover = threading.Thread(target=commands["move"].run, args=(call,))
    mover.start()
    assert "x" in commands["read"].run(look).values["axes"]
    assert mover.is_alive()
    mover.join()


@pytest.mark.parametrize(("goal", "side"), [(10e-6, "upper"), (-10e-6, "lower")])
def test_a_limit_switch_is_an_error_that_names_axis_and_limit(goal: float, side: str):
    simulated = tem(Fault("limiter", reach=0.4), clock=ScaledClock(200.0))
    sign = "" if goal > 0 else "-"
    words = f"x ran into its {side} limit switch at {sign}4 µm .*limit is {sign}990 µm"
    with pytest.raises(InstrumentError, match=words) as caught:
        move(simulated, x=goal)
    assert caught.value.vendor_code == 2


def test_the_status_of_an_axis_at_its_limit_switch_is_2_until_it_is_moved():
    simulated = tem(Fault("limiter", reach=0.4), clock=ScaledClock(200.0))
    with pytest.raises(InstrumentError):
        move(simulated, y=10e-6)
    assert simulated.stage.read().axes["y"].status == 2
    assert move(simulated, y=0.0)["axes"]["y"]["status"] == 0


def test_a_dropped_reading_is_that_of_before():
    clock = ManualClock(1e9)
    parameters = replace(profile("ideal"), readback_interval=0.1)
    stage = tem(clock=clock, parameters=parameters, dropped=1.0).stage
    stage.start_move({"x": 2e-6})
    clock.advance(1.0)
    assert stage.read().axes["x"].position == 0.0


def test_blanking_the_beam_moves_the_specimen_by_a_thermal_step():
    clock = ManualClock(1e9)
    simulated = tem(clock=clock, parameters=replace(profile("ideal"), beam_step=5e-9))
    simulated.column.blank(True)
    clock.advance(3600.0)
    assert 0.1e-9 < abs(simulated.truth.actual(clock.now())[0]) < 25e-9


def test_blanking_a_blanked_beam_changes_nothing():
    clock = ManualClock(1e9)
    once, twice = (
        tem(clock=clock, parameters=replace(profile("ideal"), beam_step=5e-9)) for _ in range(2)
    )
    for simulated in (once, twice, twice):
        simulated.column.blank(True)
    clock.advance(3600.0)
    later = clock.now()
    np.testing.assert_array_equal(once.truth.actual(later), twice.truth.actual(later))


def test_a_specimen_turned_by_the_rod_is_seen_turned():
    clock = ManualClock(1e9)
    lever = replace(profile("ideal"), mount=SphericalMount(pivot_length=2e-3, residual=0.0))
    simulated = tem(clock=clock, parameters=lever)
    simulated.camera.configure(CameraSettings((256, 256), 5e-6))
    clock.advance(simulated.stage.start_move({"y": 0.5e-3}))  # y / L: a quarter of a radian
    image = simulated.camera.acquire().image.astype(float)
    along, across = np.diff(image, axis=1).mean(), np.diff(image, axis=0).mean()
    # A lab vector v is R(-phi) v in the specimen, whose x-component is v_x cos + v_y sin.
    assert np.arctan2(across, along) == pytest.approx(0.25, abs=0.02)
