"""The imaging services over a driver that does what a test wants: what they keep and refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from afm_bench import Tapper, quiet
from numpy.typing import NDArray

from devices.drivers import ImageOrder, MountedProbe, afm_services
from devices.drivers.imaging_protocols import Deliver
from devices.drivers.simulated_afm import SimulatedAFM
from devices.imaging_settings import ImagingLimits
from devices.probe_calibration import ProbeCalibration
from devices.scan_frame import FrameLimits
from devices.wire import (
    BusyError,
    Call,
    CancelledError,
    InstrumentError,
    Operation,
    RefusedError,
    Result,
    Service,
)
from sim.clock import ScaledClock

LINES, POINTS = 6, 5

Rows = dict[str, NDArray[np.float32]]


def rows(order: ImageOrder, count: int = 1, points: int = POINTS) -> Rows:
    return {name: np.ones((count, points), np.float32) for name in order.settings.channels}


@dataclass
class Instrument:
    """An imaging driver whose `scan` is what the test says."""

    simulated: SimulatedAFM
    work: Callable[[ImageOrder, threading.Event, Deliver], None] | None = None
    landing: Callable[[], None] | None = None
    orders: list[ImageOrder] = field(default_factory=list)
    limits: ImagingLimits = field(default_factory=ImagingLimits)
    frame_limits: FrameLimits = field(default_factory=lambda: FrameLimits(lines=(2, 8)))

    def engage(self, order: ImageOrder, abort: threading.Event) -> None:
        if self.landing is not None:
            self.landing()
        self.simulated.head.start_move(3e-6)
        while self.simulated.head.read().moving:
            abort.wait(0.001)

    def scan(self, order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        self.orders.append(order)
        if self.work is not None:
            self.work(order, abort, deliver)
            return
        for line in range(order.frame.lines):
            deliver(line, rows(order))


@dataclass
class Desk:
    """Calls commands as a server does: check first, then run."""

    simulated: SimulatedAFM
    instrument: Instrument
    services: dict[str, Service]

    def call(self, op: str, operation: Operation | None = None, **args: Any) -> Result:
        service, verb = op.split(".")
        command = self.services[service].commands()[verb]
        if command.check is not None:
            command.check(args)
        if command.long and operation is None:
            operation = Operation("1", lambda op_id, values: None)
        return command.run(Call(args, {}, "ana", operation))

    def read(self, service: str) -> Mapping[str, Any]:
        return self.call(f"{service}.read").values


class Exchange:
    """Puts a probe of 7 N/m in, whatever its number."""

    def __init__(self, calibration: ProbeCalibration) -> None:
        self.calibration = replace(calibration, spring_constant=(7.0, 300.0))

    def load(self, serial: str, abort: threading.Event) -> MountedProbe:
        return MountedProbe(self.calibration, serial, calibrated=True)


@pytest.fixture
def desk() -> Desk:
    simulated = SimulatedAFM(quiet(), seed=1, clock=ScaledClock(1e4), engine=Tapper())
    instrument = Instrument(simulated)
    drivers = replace(
        simulated.drivers,
        imager=instrument,
        exchange=Exchange(simulated.drivers.probe),
        serial="first",
    )
    services = {service.name: service for service in afm_services(drivers, poll_s=0.001)}
    desk = Desk(simulated, instrument, services)
    desk.call("scanner.set", lines=LINES, samples_per_line=POINTS)
    return desk


def withdrawn(desk: Desk) -> bool:
    return desk.simulated.head.read().withdrawn or desk.simulated.head.read().moving


def test_the_driver_is_told_frame_settings_and_probe(desk: Desk) -> None:
    desk.call("imager.set", peak_force_setpoint=20e-9, sample_points=128)
    desk.call("imager.engage")
    desk.call("imager.acquire")
    (order,) = desk.instrument.orders
    assert (order.frame.lines, order.frame.samples_per_line) == (LINES, POINTS)
    assert (order.settings.peak_force_setpoint, order.settings.sample_points) == (20e-9, 128)
    assert (order.probe.serial, order.probe.calibrated) == ("first", False)


def test_an_image_is_what_the_driver_delivered(desk: Desk) -> None:
    desk.call("imager.engage")
    result = desk.call("imager.acquire")
    assert {name: array.shape for name, array in result.arrays.items()} == dict.fromkeys(
        desk.read("imager")["channels"], (LINES, POINTS)
    )
    assert result.values["calibrated"] is False
    assert result.values["units"]["adhesion"] == "V"


def test_the_limits_are_the_drivers(desk: Desk) -> None:
    assert desk.services["scanner"].describe()["limits"]["lines"] == [2, 8]


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda o, a, deliver: deliver(0, rows(o)), "after 1 of 6 lines"),
        (lambda o, a, deliver: deliver(1, rows(o)), "line 0 of 6 x 5 was next"),
        (lambda o, a, deliver: deliver(0, rows(o, points=4)), "line 0 of 6 x 5 was next"),
        (lambda o, a, deliver: deliver(0, rows(o, count=7)), "line 0 of 6 x 5 was next"),
        (lambda o, a, deliver: deliver(0, {"height": rows(o)["height"]}), "was next"),
    ],
)
def test_an_image_that_is_not_whole_withdraws_the_tip(desk: Desk, work: Any, reason: str) -> None:
    desk.call("imager.engage")
    desk.instrument.work = work
    with pytest.raises(InstrumentError, match=f"{reason}.*; tip withdrawn: engage again"):
        desk.call("imager.acquire")
    assert withdrawn(desk)
    assert desk.read("imager")["engaged"] is False


def test_an_instrument_that_fails_withdraws_the_tip_and_is_quoted(desk: Desk) -> None:
    def fail(order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        raise InstrumentError("laser sum too low", "E42")

    desk.call("imager.engage")
    desk.instrument.work = fail
    with pytest.raises(InstrumentError, match="laser sum too low; tip withdrawn") as caught:
        desk.call("imager.acquire")
    assert caught.value.vendor_code == "E42"
    assert withdrawn(desk)


def test_an_engage_that_fails_withdraws_the_tip(desk: Desk) -> None:
    def fail() -> None:
        raise InstrumentError("no sample within reach")

    desk.instrument.landing = fail
    with pytest.raises(InstrumentError, match="no sample within reach; tip withdrawn"):
        desk.call("imager.engage")
    assert withdrawn(desk)


def test_a_withdrawal_during_the_last_step_of_an_engage_counts(desk: Desk) -> None:
    desk.instrument.landing = lambda: desk.call("head.withdraw") and None
    with pytest.raises(CancelledError, match="the tip was withdrawn, by ana"):
        desk.call("imager.engage")
    assert desk.read("imager")["engaged"] is False


def test_a_tip_that_is_lifted_is_no_longer_engaged(desk: Desk) -> None:
    desk.call("imager.engage")
    desk.call("head.move", z=4e-6)
    assert desk.read("imager")["engaged"] is False
    with pytest.raises(RefusedError, match="not engaged"):
        desk.call("imager.acquire")


def test_lines_can_be_asked_for_while_they_come(desk: Desk) -> None:
    seen: list[tuple[int, int, int]] = []

    def work(order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        for line in range(LINES):
            deliver(line, rows(order))
            begun = desk.call("imager.partial").values["begun"]
            answer = desk.call("imager.partial", begun=begun, since=line)
            seen.append((answer.values["line"], answer.values["since"], len(answer.arrays)))
            assert answer.arrays["height"].shape == (1, POINTS)

    desk.instrument.work = work
    desk.call("imager.engage")
    desk.call("imager.acquire")
    assert seen == [(line + 1, line, 8) for line in range(LINES)]


def test_lines_of_another_image_are_asked_for_from_the_first(desk: Desk) -> None:
    desk.call("imager.engage")
    desk.call("imager.acquire")
    answer = desk.call("imager.partial", begun=1.0, since=3)
    assert answer.values["since"] == 0
    assert answer.arrays["height"].shape == (LINES, POINTS)


def test_nothing_new_brings_no_arrays(desk: Desk) -> None:
    desk.call("imager.engage")
    desk.call("imager.acquire")
    begun = desk.call("imager.partial").values["begun"]
    assert desk.call("imager.partial", begun=begun, since=LINES).arrays == {}


def test_the_tip_is_worn_by_distance_and_frames(desk: Desk) -> None:
    desk.call("imager.engage")
    desk.call("imager.acquire")
    probe = desk.read("probe")
    assert probe["tip_frame_count"] == 1
    assert probe["tip_scanned_distance"] == pytest.approx(2 * 1e-6 * LINES)


def test_a_new_probe_brings_its_calibration_and_begins_anew(desk: Desk) -> None:
    desk.call("imager.engage")
    desk.call("imager.acquire")
    desk.call("head.withdraw")
    while desk.simulated.head.read().moving:
        threading.Event().wait(0.001)
    desk.call("probe.load", serial=" second ")
    probe = desk.read("probe")
    assert (probe["serial"], probe["calibrated"]) == ("second", True)
    assert probe["spring_constant"] == [7.0, 300.0]
    assert (probe["tip_frame_count"], probe["tip_scanned_distance"]) == (0, 0.0)


def test_the_lock_in_waits_for_an_image(desk: Desk) -> None:
    def work(order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        with pytest.raises(BusyError, match="has to wait: an image is being scanned"):
            desk.call("lockin.acquire")
        for line in range(LINES):
            deliver(line, rows(order))

    desk.instrument.work = work
    desk.call("imager.engage")
    assert desk.call("imager.acquire").values["image"] == 1


def test_what_makes_the_instrument_safe_ends_the_image(desk: Desk) -> None:
    def work(order: ImageOrder, abort: threading.Event, deliver: Deliver) -> None:
        for service in desk.services.values():
            service.make_safe()
        assert abort.is_set()
        raise CancelledError("aborted")

    desk.call("imager.engage")
    desk.instrument.work = work
    with pytest.raises(CancelledError, match="image was aborted"):
        desk.call("imager.acquire")
    assert withdrawn(desk)
