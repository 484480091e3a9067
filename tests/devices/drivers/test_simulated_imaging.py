"""The imager of the simulated AFM: its clock, its faults, and that it holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from afm_bench import PERFECT, SAMPLES, Rubber, Tapper, quiet
from numpy.typing import ArrayLike, NDArray

from devices.drivers import ImageOrder
from devices.drivers.simulated_afm import AfmParameters, SimulatedAFM, qnm_afm
from devices.drivers.simulated_imaging import ImagingParameters, TipChange
from devices.imaging_settings import ImagingSettings
from devices.scan_frame import ScanFrame
from devices.wire import CancelledError
from sim.clock import Clock, ManualClock, ScaledClock
from sim.surface import Contact, Surface
from sim.tip import SphereCone

FRAME = ScanFrame(scan_size=0.5e-6, lines=24, samples_per_line=24, scan_rate=2.0)
NO_ABORT = threading.Event()


def make(
    clock: Clock | None = None,
    imaging: ImagingParameters = PERFECT,
    samples: Mapping[str, Surface] = SAMPLES,
    parameters: AfmParameters | None = None,
) -> SimulatedAFM:
    return SimulatedAFM(
        quiet() if parameters is None else parameters,
        seed=1,
        clock=ManualClock(1e9) if clock is None else clock,
        engine=Tapper(),
        samples=samples,
        imaging=imaging,
    )


def order_for(
    afm: SimulatedAFM, frame: ScanFrame = FRAME, mode: str = "PeakForce QNM"
) -> ImageOrder:
    assert afm.drivers.exchange is not None
    probe = afm.drivers.exchange.load(afm.drivers.serial, NO_ABORT)
    return ImageOrder(frame, ImagingSettings(mode=mode, peak_force_setpoint=20e-9), probe)


def scan(
    afm: SimulatedAFM, order: ImageOrder | None = None, abort: threading.Event = NO_ABORT
) -> dict[str, NDArray[np.float32]]:
    """Engage if need be, scan, and put the lines together."""
    order = order_for(afm) if order is None else order
    imager = afm.drivers.imager
    assert imager is not None
    if afm.head.read().withdrawn:
        imager.engage(order, abort)
    lines: dict[int, Mapping[str, NDArray[np.float32]]] = {}
    imager.scan(order, abort, lambda first, rows: lines.update({first: rows}))
    names = order.settings.channels
    return {name: np.concatenate([lines[first][name] for first in lines]) for name in names}


def test_a_line_takes_as_long_as_the_scan_rate_says() -> None:
    clock = ManualClock(1e9)
    afm = make(clock)
    order, begun = order_for(afm), []
    imager = afm.drivers.imager
    assert imager is not None
    imager.engage(order, NO_ABORT)
    start = clock.now()
    imager.scan(order, NO_ABORT, lambda first, rows: begun.append(clock.now() - start))
    np.testing.assert_allclose(begun, 0.5 * np.arange(1, 25), atol=1e-6)


def test_the_tip_comes_down_to_the_sample_and_follows_it() -> None:
    afm = make()
    assert afm.head.read().withdrawn
    scan(afm)
    surface_z = afm.truth.parameters.surface_z
    assert afm.head.read().z == pytest.approx(surface_z, abs=30e-9)


def test_a_tip_that_changes_in_mid_image_is_seen_from_there_on() -> None:
    before, after = make(), make()
    blunt = SphereCone(120e-9)
    after.imaging_truth.change = TipChange(10, blunt)
    whole, changed = scan(before)["dmt_modulus"], scan(after)["dmt_modulus"]
    np.testing.assert_array_equal(changed[:10], whole[:10])
    # four times the radius, the square root of that in the modulus
    assert np.median(changed[10:] / whole[10:]) == pytest.approx(2.0, rel=0.1)


def test_a_tip_that_has_changed_stays_so() -> None:
    afm = make()
    afm.imaging_truth.change = TipChange(10, SphereCone(120e-9))
    scan(afm)
    assert afm.imaging_truth.change is None
    assert afm.imaging_truth.probe.tip == SphereCone(120e-9)


def test_a_wrong_sensitivity_falsifies_the_modulus() -> None:
    afm = make()
    right = order_for(afm)
    calibration = replace(right.probe.calibration, sensitivity=(66e-9, 66e-9))
    wrong = replace(right, probe=replace(right.probe, calibration=calibration))
    # a lever that is believed to bend more seems to press harder and to sink in less
    assert np.median(scan(make(), wrong)["dmt_modulus"] / scan(afm, right)["dmt_modulus"]) > 1.05


@pytest.mark.parametrize("mode", ["PeakForce QNM", "ScanAsyst", "Tapping"])
def test_each_mode_gives_its_channels_as_32_bit_floats(mode: str) -> None:
    afm = make()
    image = scan(afm, order_for(afm, mode=mode))
    assert all(array.dtype == np.float32 for array in image.values())
    assert all(np.isfinite(array).all() for array in image.values())


def test_an_uncalibrated_amplitude_is_in_volts_of_the_detector() -> None:
    metres = scan(make(), order_for(make(), mode="Tapping"))["amplitude_error"]
    raw = make(imaging=replace(PERFECT, calibrated=False))
    volts = scan(raw, order_for(raw, mode="Tapping"))["amplitude_error"]
    np.testing.assert_allclose(volts, metres / 60e-9, rtol=1e-5)


class Held(Rubber):
    """A sample that can be felt only when the test allows it."""

    allowed = threading.Event()

    def contact(self, x: ArrayLike, y: ArrayLike, radius: float) -> Contact:
        self.allowed.wait(60)
        return super().contact(x, y, radius)


@pytest.fixture
def held() -> Iterator[Held]:
    yield Held()
    Held.allowed.set()


def begin(held: Held, abort: threading.Event) -> tuple[SimulatedAFM, Future[object]]:
    """Begin an image and return when its computation is held."""
    held.allowed.set()
    afm = make(ScaledClock(100.0), samples={"held": held})
    held.allowed.clear()
    future: Future[object] = Future()

    def work() -> None:
        try:
            future.set_result(scan(afm, order_for(afm), abort))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, name="scan", daemon=True).start()
    while not any(thread.name == "simulated-image" for thread in threading.enumerate()):
        threading.Event().wait(0.01)
    return afm, future


def test_an_abort_does_not_wait_for_the_computation(held: Held) -> None:
    abort = threading.Event()
    _, future = begin(held, abort)
    abort.set()
    with pytest.raises(CancelledError):
        future.result(30)


def test_readings_do_not_wait_for_the_computation(held: Held) -> None:
    afm, future = begin(held, NO_ABORT)
    assert not afm.head.read().withdrawn
    assert afm.drivers.chuck is not None
    assert afm.drivers.chuck.read().sample == "held"
    assert not future.done()
    held.allowed.set()
    assert future.result(60)


def test_a_campaigns_afm_has_nine_copolymers_and_a_tip_sample() -> None:
    afm = qnm_afm(0, ManualClock(1e9), engine=Tapper())
    assert afm.drivers.chuck is not None
    assert afm.drivers.chuck.positions == (
        *("A2", "B1", "B2", "B3", "B4", "B5", "C3", "C5", "E4"),
        "tip",
    )
    assert afm.drivers.calibrated
    assert afm.drivers.probe.radius == 30e-9
