"""The services of an AFM: what they refuse, what they know, and how they keep a tip whole."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from afm_bench import BIMODAL, Tapper, quiet

from devices import Comb, ProbeCalibration
from devices.drivers import afm_services
from devices.drivers.afm_acquisition import CrashGuard, feedback_amplitude
from devices.drivers.simulated_afm import SimulatedAFM
from devices.wire import (
    BusyError,
    Call,
    CancelledError,
    InstrumentError,
    LimitError,
    Operation,
    RefusedError,
    Result,
    Service,
)
from sim.clock import ScaledClock

TOUCH = 2.3e-6  # m; the height of the piezo at which the mean surface is
NO_ABORT = threading.Event()


@dataclass
class Desk:
    """Calls commands as a server does: check first, then run."""

    simulated: SimulatedAFM
    services: dict[str, Service]

    def call(self, op: str, operation: Operation | None = None, **args: Any) -> Result:
        service, verb = op.split(".")
        command = self.services[service].commands()[verb]
        if command.check is not None:
            command.check(args)
        if command.long and operation is None:
            operation = Operation("1", lambda op_id, values: None)
        return command.run(Call(args, {}, "ana", operation))

    def read(self, service: str) -> dict[str, Any]:
        return self.call(f"{service}.read").values


def make_desk(rate: float = 1e4, engine: Any = None) -> Desk:
    simulated = SimulatedAFM(quiet(), seed=1, clock=ScaledClock(rate), engine=engine or Tapper())
    services = afm_services(simulated.drivers, poll_s=0.001)
    desk = Desk(simulated, {service.name: service for service in services})
    desk.call("lockin.set", comb=BIMODAL.to_wire())
    return desk


@pytest.fixture
def desk() -> Desk:
    return make_desk()


@pytest.fixture
def busy() -> Iterator[Desk]:
    """A desk at which a line of an hour is being acquired."""
    desk = make_desk(rate=1.0)
    desk.call("lockin.set", pixels=4000)
    begun, failures = threading.Event(), []

    def acquire() -> None:
        operation = Operation("1", lambda op_id, values: begun.set())
        try:
            desk.call("lockin.acquire", operation)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=acquire)
    thread.start()
    assert begun.wait(30)
    desk.failures = failures  # type: ignore[attr-defined]
    desk.thread = thread  # type: ignore[attr-defined]
    yield desk
    desk.call("lockin.abort")
    thread.join(30)


def _ended(desk: Any) -> Exception:
    desk.thread.join(30)
    (failure,) = desk.failures
    return failure


def _engage(desk: Desk, height: float = 15e-9) -> None:
    desk.call("lockin.acquire")
    reading = desk.simulated.head.read()
    touch = desk.simulated.truth.surface_z(np.zeros(1), np.zeros(1), reading.time)
    desk.call("head.move", z=float(touch[0]) + height)
    desk.call("head.set", engaged=True)


def test_spectra_are_in_metres_by_the_sensitivity_of_each_axis(desk: Desk) -> None:
    comb = Comb(200.0, (1504, 1504), (1504,), (0.1,), axes=(0, 1))
    desk.call("lockin.set", comb=comb.to_wire())
    before = desk.call("lockin.acquire").arrays["spectra"]
    desk.call("probe.set", sensitivity=[100e-9, 50e-9])
    after = desk.call("lockin.acquire").arrays["spectra"]
    np.testing.assert_allclose(after, before * [2.0, 1.0])
    assert (after.dtype, after.shape) == (np.complex128, (1, 2))


def test_an_acquisition_brings_the_height_of_each_pixel(desk: Desk) -> None:
    desk.call("lockin.set", pixels=5)
    np.testing.assert_allclose(desk.call("lockin.acquire").arrays["z"], np.full(5, 5e-6))


def test_the_amplitude_is_that_of_the_driven_flexural_tones(desk: Desk) -> None:
    desk.call("lockin.acquire")
    assert desk.read("head")["amplitude"] == pytest.approx(12.5e-9, rel=0.01)
    spectra = np.array([[3.0, 4.0j, 100.0]])
    assert feedback_amplitude(spectra, Comb(1.0, (1, 2, 3), (1, 2), (1, 1))) == 5.0
    assert feedback_amplitude(spectra[:, :2], Comb(1.0, (1, 2))) == 5.0
    assert feedback_amplitude(spectra, Comb(1.0, (1, 2, 3), axes=(1, 1, 1))) == 0.0


@pytest.mark.parametrize(
    ("op", "args", "reason"),
    [
        ("head.move", {}, "no z"),
        ("head.move", {"z": 6e-6}, r"head z 6000 nm is outside 0\.\.5000 nm"),
        ("head.move", {"z": math.nan}, "not finite"),
        ("head.move", {"z": "1"}, "not a number"),
        ("head.move", {"z": 1e-6, "speed": 1}, "does not know speed"),
        ("head.set", {"feedback": "pid"}, "it is off or line"),
        ("head.set", {"feedback": "line"}, "setpoint above 0 nm"),
        ("head.set", {"setpoint": -1e-9}, "outside"),
        ("head.set", {"lift": 1e-9}, "outside"),
        ("head.set", {"engaged": 1}, "true or false"),
        ("head.set", {"engaged": True}, "withdrawn"),
        ("scanner.set_line", {"line": [0.0, 0.0, 1e-6]}, "give x0, y0, x1, y1"),
        ("scanner.set_line", {"line": [0.0, 0.0, 1e-6, 11e-6]}, "y1 11 µm is outside"),
        ("scanner.set_line", {"line": [0.0, 0.0, 1e-6, True]}, "not a number"),
        ("lockin.set", {"pixels": 0}, "outside"),
        ("lockin.set", {"pixels": 2.5}, "not a whole number"),
        ("lockin.set", {"comb": {"df": 200.0}}, "a comb is df and tones"),
        ("lockin.set", {"comb": Comb(200.0, (10**6,)).to_wire()}, "outside"),
        ("lockin.set", {"comb": Comb(200.003, (1504,)).to_wire()}, "ask lockin.tune"),
        ("lockin.tune", {"frequency": 3e5}, "df None is not a number"),
        ("lockin.acquire", {"pixels": 3}, "does not know pixels"),
        ("probe.set", {"quality_factor": [400.0]}, "modes do not match"),
        ("probe.set", {"stiffness": 1.0}, "does not know stiffness"),
    ],
)
def test_the_server_refuses_in_one_line_what_is_not_allowed(
    desk: Desk, op: str, args: dict[str, Any], reason: str
) -> None:
    before = {name: desk.read(name) for name in ("head", "scanner", "lockin", "probe")}
    with pytest.raises((LimitError, RefusedError), match=reason) as caught:
        desk.call(op, **args)
    assert "\n" not in str(caught.value)
    after = {name: desk.read(name) for name in before}
    for reading in (*before.values(), *after.values()):
        reading.pop("time")
        reading.pop("working_height", None)
    assert after == before


def test_a_comb_is_refused_whole(desk: Desk) -> None:
    bad = {**BIMODAL.to_wire(), "df": 100.0, "tones": [1504, 1504], "axes": [0, 0]}
    with pytest.raises(LimitError):
        desk.call("lockin.set", comb=bad, pixels=7)
    reading = desk.read("lockin")
    assert (reading["df"], reading["pixels"]) == (200.0, 1)


def test_tuning_changes_nothing_and_gives_a_df_that_is_taken(desk: Desk) -> None:
    values = desk.call("lockin.tune", frequency=300_123.4, df=199.99).values
    assert desk.read("lockin")["df"] == 200.0
    tone = round(values["frequency"] / values["df"])
    desk.call("lockin.set", comb=Comb(values["df"], (tone,)).to_wire())
    assert desk.read("lockin")["df"] == values["df"]


def test_a_tip_is_lifted_until_it_is_declared_engaged(desk: Desk) -> None:
    desk.call("head.move", z=TOUCH + 50e-9)
    assert desk.read("head")["lifted"]
    desk.call("head.set", engaged=True)
    reading = desk.read("head")
    assert (reading["lifted"], reading["engaged"]) == (False, True)
    assert reading["working_height"] == pytest.approx(TOUCH + 50e-9)


@pytest.mark.parametrize(("above", "lifted"), [(49e-9, False), (51e-9, True), (-5e-9, False)])
def test_a_tip_is_lifted_at_lift_above_its_working_height(
    desk: Desk, above: float, lifted: bool
) -> None:
    desk.call("head.move", z=TOUCH + 50e-9)
    desk.call("head.set", engaged=True, lift=50e-9)
    desk.call("head.move", z=TOUCH + 50e-9 + above)
    assert desk.read("head")["lifted"] is lifted


def test_to_withdraw_forgets_the_working_height(desk: Desk) -> None:
    _engage(desk)
    desk.call("head.withdraw")
    desk.call("head.move", z=TOUCH + 100e-9)
    reading = desk.read("head")
    assert (reading["lifted"], reading["engaged"]) == (True, False)


def test_the_working_height_follows_the_feedback(desk: Desk) -> None:
    _engage(desk)
    before = desk.read("head")["working_height"]
    desk.call("head.set", setpoint=10e-9, feedback="line")
    for _ in range(3):
        desk.call("lockin.acquire")
    reading = desk.read("head")
    assert reading["working_height"] == reading["z"] != before


def test_a_lifted_tip_does_not_follow(desk: Desk) -> None:
    _engage(desk)
    desk.call("head.set", setpoint=10e-9, feedback="line")
    desk.call("head.move", z=TOUCH + 300e-9)
    desk.call("lockin.acquire")
    assert desk.read("head")["z"] == pytest.approx(TOUCH + 300e-9)


def test_a_tip_that_is_pressed_onto_the_sample_is_withdrawn(desk: Desk) -> None:
    with pytest.raises(InstrumentError, match="pressed onto the sample"):
        desk.call("head.move", z=TOUCH - 100e-9)
    desk.simulated.head._clock.wait(1.0)
    assert desk.read("head")["withdrawn"]


def test_a_collapsed_amplitude_withdraws_the_tip_and_says_why(desk: Desk) -> None:
    _engage(desk, height=1e-9)
    with pytest.raises(InstrumentError, match=r"amplitude collapsed to .* tip withdrawn"):
        desk.call("lockin.acquire")
    desk.simulated.head._clock.wait(1.0)
    assert desk.read("head")["withdrawn"]


def test_whatever_fails_in_an_acquisition_withdraws_the_tip(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _engage(desk)

    def broken(*args: Any) -> None:
        raise InstrumentError("the detector saturated", 7)

    monkeypatch.setattr(desk.simulated.lockin, "acquire", broken)
    with pytest.raises(InstrumentError, match=r"saturated; tip withdrawn.*code 7"):
        desk.call("lockin.acquire")
    desk.simulated.head._clock.wait(1.0)
    assert desk.read("head")["withdrawn"]


def test_the_guard_learns_the_free_amplitude_and_forgets_it_with_the_comb() -> None:
    guard = CrashGuard()
    guard.judge(np.array([1e-9]), engaged=True)
    guard.judge(np.array([10e-9]), engaged=False)
    guard.judge(np.array([2.1e-9, 9e-9]), engaged=True)
    with pytest.raises(InstrumentError, match=r"to 1\.9 nm at pixel 1, free it was 10 nm"):
        guard.judge(np.array([9e-9, 1.9e-9]), engaged=True)
    guard.forget()
    guard.judge(np.array([1e-9]), engaged=True)
    with pytest.raises(InstrumentError, match="no finite amplitude at pixel 1"):
        guard.judge(np.array([1e-9, math.nan]), engaged=True)


def test_making_safe_withdraws_and_switches_the_drive_off(desk: Desk) -> None:
    _engage(desk)
    for service in desk.services.values():
        service.make_safe()
    desk.simulated.head._clock.wait(1.0)
    assert desk.read("head")["withdrawn"]
    assert not desk.read("lockin")["driving"]
    with pytest.raises(RefusedError, match="set the comb again"):
        desk.call("lockin.acquire")
    desk.call("lockin.set", comb=BIMODAL.to_wire())
    assert np.any(desk.call("lockin.acquire").arrays["spectra"])


def test_withdrawing_ends_an_acquisition_with_that_reason(busy: Desk) -> None:
    busy.call("head.withdraw")
    failure = _ended(busy)
    assert isinstance(failure, CancelledError)
    assert "the tip was withdrawn, by ana" in str(failure)


def test_aborting_ends_an_acquisition_and_leaves_the_tip(busy: Desk) -> None:
    before = busy.read("head")["z"]
    busy.call("lockin.abort")
    assert "aborted: by ana" in str(_ended(busy))
    assert busy.read("head")["z"] == before


def test_making_safe_ends_an_acquisition(busy: Desk) -> None:
    busy.services["lockin"].make_safe()
    assert isinstance(_ended(busy), CancelledError)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("lockin.acquire", {}),
        ("lockin.set", {"pixels": 3}),
        ("head.move", {"z": 1e-6}),
        ("head.set", {"setpoint": 1e-9}),
        ("scanner.set_line", {"line": [0.0, 0.0, 1e-6, 0.0]}),
    ],
)
def test_while_a_line_is_acquired_nothing_else_begins(
    busy: Desk, op: str, args: dict[str, Any]
) -> None:
    with pytest.raises(BusyError, match="the lock-in is acquiring"):
        busy.call(op, **args)


def test_reading_goes_on_while_a_line_is_acquired(busy: Desk) -> None:
    assert busy.read("lockin")["pixels"] == 4000
    assert busy.read("head")["withdrawn"]


def test_after_an_abort_the_next_acquisition_waits_for_the_end_of_the_aborted(busy: Desk) -> None:
    busy.call("lockin.abort")
    busy.call("lockin.set", pixels=1)
    busy.call("lockin.acquire")
    assert isinstance(_ended(busy), CancelledError)


def test_a_cancelled_acquisition_ends(desk: Desk) -> None:
    slow = make_desk(rate=1.0)
    slow.call("lockin.set", pixels=4000)
    operation = Operation("1", lambda op_id, values: operation.cancelled.set())
    with pytest.raises(CancelledError, match="its client cancelled it"):
        slow.call("lockin.acquire", operation)


def test_an_acquisition_waits_for_nothing_that_moves(desk: Desk) -> None:
    slow = make_desk(rate=0.001)
    slow.simulated.scanner.set_line((5e-6, 0.0, 6e-6, 0.0))
    with pytest.raises(BusyError, match="the scanner is moving"):
        slow.call("lockin.acquire")


def test_a_cancelled_move_stops_the_head_where_it_is() -> None:
    slow = make_desk(rate=0.01)
    operation = Operation("1", lambda op_id, values: operation.cancelled.set())
    with pytest.raises(CancelledError, match="stopped on its way to 3000 nm"):
        slow.call("head.move", operation, z=3e-6)
    assert not slow.read("head")["moving"]
    assert 3e-6 < slow.read("head")["z"] < 5e-6


def test_a_withdrawal_on_the_way_down_is_not_undone_by_the_move(until: Any) -> None:
    slow = make_desk(rate=0.01)

    def withdraw(op_id: str, values: dict[str, Any]) -> None:
        if not operation.cancelled.is_set():
            operation.cancelled.set()
            slow.call("head.withdraw")

    operation = Operation("1", withdraw)
    with pytest.raises(CancelledError, match="withdrawn on its way"):
        slow.call("head.move", operation, z=3e-6)
    until(lambda: slow.read("head")["withdrawn"])


def test_a_move_that_starts_just_as_the_tip_is_withdrawn_goes_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = desk.simulated.head
    start = head.start_move

    def overtaken(z: float) -> float:
        desk.call("head.withdraw")
        operation.cancelled.set()
        return start(z)

    operation = Operation("1", lambda op_id, values: None)
    monkeypatch.setattr(head, "start_move", overtaken)
    with pytest.raises(CancelledError, match="withdrawn"):
        desk.call("head.move", operation, z=TOUCH)
    head._clock.wait(1.0)
    assert desk.read("head")["withdrawn"]


def test_spectra_of_another_shape_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        desk.simulated.lockin, "acquire", lambda *args: np.zeros((2, 2), np.complex128)
    )
    with pytest.raises(InstrumentError, match=r"spectra of \(2, 2\) where 1 pixels of 48"):
        desk.call("lockin.acquire")


def test_the_calibration_keeps_what_is_not_set(desk: Desk) -> None:
    nominal = desk.simulated.drivers.probe
    desk.call("probe.set", radius=12e-9)
    calibration = ProbeCalibration.from_wire(desk.read("probe"))
    assert calibration == replace(nominal, radius=12e-9)
