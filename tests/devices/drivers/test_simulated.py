"""The simulated TEM against its own hidden truth."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.drivers.protocols import CameraSettings
from devices.drivers.simulated import SimulatedTEM
from devices.wire import CancelledError, InstrumentError
from sim.clock import ManualClock, ScaledClock
from sim.stage import random_case


class Ramp:
    """A specimen whose signal says where it is: 1 % a µm along x, nothing along y."""

    def sample(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float32]:
        return (0.5 + 1e4 * x).astype(np.float32)


def tem(clock: ManualClock | ScaledClock | None = None, stage: str = "ideal") -> SimulatedTEM:
    clock = ManualClock(1e9) if clock is None else clock
    simulated = SimulatedTEM(stage, specimen=Ramp(), seed=1, clock=clock)
    simulated.camera.configure(CameraSettings((32, 32), 5e-6))
    return simulated


def test_a_move_takes_its_time_on_the_instruments_clock() -> None:
    clock = ManualClock(1e9)
    stage = tem(clock).stage
    duration = stage.start_move({"x": 20e-6})
    assert duration == pytest.approx(20e-6 / 20e-6 + 0.3)  # distance / speed + acceleration
    clock.advance(0.5 * duration)
    half = stage.read().axes["x"]
    assert half.moving
    assert half.position == pytest.approx(10e-6, abs=0.1e-6)
    clock.advance(0.5 * duration)
    end = stage.read().axes["x"]
    assert not end.moving
    assert end.position == pytest.approx(20e-6, abs=1e-12)


@pytest.mark.parametrize("case", ["a", "b", "c", "d", "e", "f"])
def test_a_stage_is_within_its_tolerance_whatever_its_alignment(case: str) -> None:
    clock = ManualClock(1e9)
    stage = SimulatedTEM(random_case(case, 3), specimen=Ramp(), seed=1, clock=clock).stage
    clock.advance(stage.start_move({"x": 200e-6}))
    off = abs(stage.read().axes["x"].position - 200e-6)
    assert off <= stage.axes["x"].tolerance


def test_a_stopped_stage_is_soon_at_rest() -> None:
    clock = ManualClock(1e9)
    stage = tem(clock).stage
    stage.start_move({"x": 100e-6})
    clock.advance(1.0)
    stage.stop()
    clock.advance(0.5)
    reading = stage.read().axes["x"]
    assert not reading.moving
    assert 10e-6 < reading.position < 30e-6


def test_direction_and_travel_follow_the_commands() -> None:
    clock = ManualClock(1e9)
    stage = tem(clock).stage
    for target in (2e-6, 3e-6, 1e-6):
        clock.advance(stage.start_move({"x": target}))
    reading = stage.read().axes["x"]
    assert (reading.direction, reading.travel) == (-1, pytest.approx(2e-6))


def test_a_frame_takes_its_time_and_says_when_it_was() -> None:
    clock = ManualClock(1e9)
    frame = tem(clock).camera.acquire()
    assert frame.start_time == 1e9
    assert frame.end_time == pytest.approx(clock.now())
    assert frame.end_time - frame.start_time >= 32 * 32 * 5e-6


def test_a_frame_of_512_pixels_takes_half_a_second_at_most() -> None:
    clock = ManualClock(1e9)
    camera = SimulatedTEM("ideal", specimen=Ramp(), clock=clock).camera
    camera.acquire()
    assert clock.now() - 1e9 <= 0.5


def test_the_frame_shows_the_specimen_where_it_actually_is() -> None:
    clock = ManualClock(1e9)
    simulated = tem(clock, "jeol-like")
    simulated.camera.configure(CameraSettings((256, 256), 5e-6))  # enough electrons for 1 %
    before = simulated.camera.acquire().image.mean()
    start = simulated.truth.actual(clock.now())[0]
    clock.advance(simulated.stage.start_move({"x": 10e-6}))
    after = simulated.camera.acquire().image.mean()
    moved = simulated.truth.actual(clock.now())[0] - start
    counts_per_metre = 50.0 * simulated.camera.read().electrons_per_pixel * 1e4
    assert (after - before) / counts_per_metre == pytest.approx(moved, rel=0.02)


def test_image_shift_moves_the_field_as_the_stage_does() -> None:
    shifted, moved = tem(), tem()
    shifted.column.set_image_shift(4e-6, 0.0)
    moved_clock_time = moved.stage.start_move({"x": 4e-6})
    moved.camera._clock.advance(moved_clock_time)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(shifted.camera.acquire().image, moved.camera.acquire().image)


def test_a_blanked_beam_gives_dark_frames() -> None:
    simulated = tem()
    bright = simulated.camera.acquire().image.mean()
    simulated.column.blank(True)
    dark = simulated.camera.acquire().image.mean()
    assert dark == pytest.approx(500, abs=10)  # the detector's offset
    assert bright > 3 * dark


def test_magnification_and_field_of_view_belong_together() -> None:
    column = tem().column
    assert column.read().field_of_view == pytest.approx(3.75e-6)  # Fiedler et al.: at 50 000 x
    column.set_magnification(100_000)
    assert column.read().field_of_view == pytest.approx(1.875e-6)


def test_the_same_seed_and_commands_give_the_same_frames() -> None:
    np.testing.assert_array_equal(tem().camera.acquire().image, tem().camera.acquire().image)


def test_an_abort_ends_a_frame_from_another_thread() -> None:
    camera = tem(ScaledClock()).camera
    camera.configure(CameraSettings((1024, 1024), 1e-5))  # ten seconds
    outcome: list[Exception] = []

    def acquire() -> None:
        try:
            camera.acquire()
        except CancelledError as error:
            outcome.append(error)

    thread = threading.Thread(target=acquire)
    thread.start()
    while thread.is_alive():
        camera.abort()
        thread.join(0.01)
    assert "aborted" in str(outcome[0])


def test_limits_are_those_of_the_profile_and_outside_is_an_instrument_error() -> None:
    stage = tem().stage
    assert (stage.axes["x"].lower, stage.axes["x"].upper) == (-990e-6, 990e-6)
    with pytest.raises(InstrumentError, match="outside"):
        stage.start_move({"x": 1e-3})
