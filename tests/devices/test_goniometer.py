"""The goniometer's axes as a plan and a user meet them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import RunEngineSimulator, check_limits, summarize_plan
from bluesky.utils import FailedStatus, RunEngineInterrupted
from microscope_bench import make_bench
from ophyd.status import MoveStatus
from ophyd.utils import ReadOnlyError

from devices import Microscope
from devices.wire import (
    CancelledError,
    Client,
    ConnectionLost,
    InstrumentError,
    LimitError,
    RefusedError,
)
from sim.faults import Fault, FaultPlan


def test_a_move_ends_at_its_target(bench: Any) -> None:
    status = bench.tem.goniometer.x.set(2.0)
    status.wait(timeout=30)
    assert isinstance(status, MoveStatus)
    assert bench.tem.goniometer.x.position == pytest.approx(2.0, abs=0.15)
    assert bench.tem.goniometer.x.target.get() == 2.0


def test_the_specimen_moves_too(bench: Any) -> None:
    clock = bench.simulated.stage._clock
    before = bench.simulated.truth.actual(clock.now())[0]
    bench.tem.goniometer.x.set(20.0).wait(timeout=30)
    after = bench.simulated.truth.actual(clock.now())[0]
    assert after - before == pytest.approx(20e-6, abs=1e-6)  # less the play


def test_a_tilt_is_in_degrees(bench: Any) -> None:
    bench.tem.goniometer.alpha.set(1.5).wait(timeout=30)
    reading = bench.client.request("stage.read").values["axes"]["alpha"]
    assert reading["target"] == pytest.approx(np.deg2rad(1.5))
    assert bench.tem.goniometer.alpha.egu == "deg"


def test_watchers_get_everything_a_progress_bar_can_show(bench: Any) -> None:
    seen: list[dict[str, Any]] = []
    status = bench.tem.goniometer.x.set(60.0)
    status.watch(lambda **progress: seen.append(progress))
    status.wait(timeout=30)
    full = [progress for progress in seen if "current" in progress]
    assert set(full[0]) == {
        "name",
        "current",
        "initial",
        "target",
        "unit",
        "precision",
        "fraction",
        "time_elapsed",
        "time_remaining",
    }
    assert (full[0]["name"], full[0]["unit"]) == ("tem_goniometer_x", "µm")
    fractions = [progress["fraction"] for progress in full]
    assert fractions[-1] == pytest.approx(0.0, abs=0.01)
    assert max(fractions) > 0.1
    assert full[-1]["time_remaining"] == 0.0


def test_a_failing_watcher_does_not_fail_the_move(bench: Any) -> None:
    status = bench.tem.goniometer.x.set(2.0)
    status.watch(lambda **progress: 1 / 0 if "current" in progress else None)
    status.wait(timeout=30)
    assert status.success


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (1000.0, r"tem_goniometer_x target 1000 µm is outside -990\.\.990 µm"),
        (float("nan"), "not finite"),
        (float("-inf"), "not finite"),
        ("5", "not a number"),
        (True, "not a number"),
        (None, "not a number"),
    ],
)
def test_a_wrong_target_is_refused_before_anything_is_sent(
    bench: Any, target: Any, words: str
) -> None:
    bench.client.sent.clear()
    with pytest.raises(LimitError, match=words) as caught:
        bench.tem.goniometer.x.set(target)
    assert "\n" not in str(caught.value)
    assert not bench.client.sent


def test_numpy_numbers_are_numbers(bench: Any) -> None:
    bench.tem.goniometer.x.set(np.float32(1.0)).wait(timeout=30)
    bench.tem.goniometer.x.set(np.int64(0)).wait(timeout=30)


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        ({"x": 2e-3}, LimitError),
        ({"x": float("nan")}, LimitError),
        ({"gamma": 0.0}, RefusedError),
        ({"x": "1"}, RefusedError),
    ],
)
def test_the_server_refuses_it_again(bench: Any, targets: Any, error: type[Exception]) -> None:
    operation = bench.client.start("stage.move", {"targets": targets}, timeout_s=2.0)
    with pytest.raises(error):
        operation.future.result(timeout=60)
    axes = bench.client.request("stage.read").values["axes"]
    assert all(axis["target"] == 0 and axis["direction"] == 0 for axis in axes.values())


def test_limits_units_and_precision_come_from_the_server(bench: Any) -> None:
    gonio = bench.tem.goniometer
    assert gonio.x.limits == (-990.0, 990.0)
    assert gonio.alpha.limits == (-70.0, 70.0)
    assert gonio.beta.limits == (-29.7, 29.7)
    assert (gonio.z.low_limit, gonio.z.high_limit) == (-220.0, 220.0)


def test_a_reading_of_all_axes_is_one_request(bench: Any) -> None:
    bench.client.sent.clear()
    reading = bench.tem.goniometer.read()
    assert sum(bench.client.sent.values()) == 1
    assert len({entry["timestamp"] for entry in reading.values()}) == 1


def test_a_reading_of_one_axis_is_one_request(bench: Any) -> None:
    bench.client.sent.clear()
    bench.tem.goniometer.x.read()
    assert sum(bench.client.sent.values()) == 1


def test_timestamps_are_the_instruments(bench: Any) -> None:
    clock = bench.simulated.stage._clock
    before = clock.now()
    timestamp = bench.tem.goniometer.x.read()["tem_goniometer_x"]["timestamp"]
    assert before <= timestamp <= clock.now()


def test_the_data_keys_of_an_axis(bench: Any) -> None:
    x = bench.tem.goniometer.x
    keys = ["tem_goniometer_x" + end for end in ("", "_target", "_direction", "_travel")]
    assert list(x.read()) == keys
    described = x.describe()
    assert list(described) == keys
    assert described["tem_goniometer_x"]["units"] == "µm"
    assert described["tem_goniometer_x"]["precision"] == 3
    assert described["tem_goniometer_x"]["dtype_numpy"] == "<f8"
    assert described["tem_goniometer_x_direction"]["dtype"] == "integer"
    assert described["tem_goniometer_x_target"]["limits"] == {
        "control": {"low": -990.0, "high": 990.0}
    }
    assert list(x.read_configuration()) == [
        "tem_goniometer_x_lower_limit",
        "tem_goniometer_x_upper_limit",
        "tem_goniometer_x_speed",
    ]


def test_only_reported_positions_are_hinted(bench: Any) -> None:
    names = [f"tem_goniometer_{axis}" for axis in ("x", "y", "z", "alpha", "beta")]
    assert bench.tem.goniometer.hints == {"fields": names}
    assert bench.tem.goniometer.x.hints == {"fields": names[:1]}


def test_direction_and_travel_are_the_history_of_the_axis(bench: Any) -> None:
    x = bench.tem.goniometer.x
    assert x.direction.get() == 0
    for target in (2.0, 3.0, 1.5):
        x.set(target).wait(timeout=30)
    assert x.direction.get() == -1
    assert x.travel.get() == pytest.approx(1.5)


def test_several_axes_move_in_one_request(bench: Any) -> None:
    gonio = bench.tem.goniometer
    bench.client.sent.clear()
    gonio.set({"x": 3.0, "alpha": 1.0}).wait(timeout=30)
    assert bench.client.sent["stage.move"] == 1
    reading = gonio.read()
    assert reading["tem_goniometer_x_target"]["value"] == 3.0
    assert reading["tem_goniometer_alpha_target"]["value"] == pytest.approx(1.0)


@pytest.mark.parametrize("targets", [{"gamma": 1.0}, {}, 3.0, {"x": 1.0, "y": 1e6}])
def test_wrong_targets_of_several_axes_are_refused(bench: Any, targets: Any) -> None:
    bench.client.sent.clear()
    with pytest.raises(LimitError):
        bench.tem.goniometer.set(targets)
    assert not bench.client.sent


# The bench's rule: 1.5 mm |sin alpha| + 1 mm |sin beta| + |z| up to 1.9 mm.
TOUCHING = {"alpha": 60.0, "beta": 25.0, "z": 200.0}  # 1.299 + 0.423 + 0.2 = 1.922 mm


def test_what_would_touch_the_pole_piece_is_refused_before_anything_is_sent(bench: Any) -> None:
    with pytest.raises(LimitError, match=r"touch the pole piece, 22 µm too high"):
        bench.tem.goniometer.set(TOUCHING)
    assert bench.client.sent["stage.move"] == 0


def test_at_the_pole_piece_an_axis_minds_where_the_others_stand(bench: Any) -> None:
    goniometer = bench.tem.goniometer
    goniometer.set({"alpha": 60.0, "z": 200.0}).wait(timeout=30)
    with pytest.raises(LimitError, match="touch the pole piece"):
        goniometer.beta.set(25.0)
    goniometer.beta.set(20.0).wait(timeout=30)  # 1.841 mm


def test_an_instrument_without_a_rule_is_asked_for_none(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {**bench.client.hello.services["stage"], "pole_piece": None}
    services = {**bench.client.hello.services, "stage": said}
    monkeypatch.setattr(
        type(bench.client), "hello", property(lambda client: SimpleNamespace(services=services))
    )
    bench.tem.goniometer.check_room(TOUCHING)


def test_mv_mvr_and_abs_set_work(bench: Any, engine: RunEngine) -> None:
    x, y = bench.tem.goniometer.x, bench.tem.goniometer.y

    def plan() -> Any:
        yield from bps.mv(x, 2.0, y, -1.0)
        yield from bps.mvr(x, 0.5)
        yield from bps.abs_set(y, 1.0, wait=True)

    engine(plan())
    assert (x.target.get(), y.target.get()) == (2.5, 1.0)


def test_the_goniometer_itself_is_movable_in_a_plan(bench: Any, engine: RunEngine) -> None:
    gonio = bench.tem.goniometer
    engine(bps.mv(gonio, {"x": 2.0, "beta": -1.0}))
    assert (gonio.x.target.get(), gonio.beta.target.get()) == (2.0, -1.0)
    with pytest.raises(LimitError, match="tem_goniometer_beta"):
        check_limits(bps.mv(gonio, {"x": 2.0, "beta": -40.0}))


def test_a_plan_can_ask_where_an_axis_is(bench: Any, engine: RunEngine) -> None:
    x = bench.tem.goniometer.x
    asked: list[Any] = []

    def plan() -> Any:
        yield from bps.mv(x, 2.0)
        asked.append((yield from bps.rd(x)))
        asked.append((yield from bps.locate(x)))

    engine(plan())
    assert asked[0] == pytest.approx(2.0, abs=0.15)
    assert asked[1]["setpoint"] == 2.0


def test_relative_moves_do_not_gather_the_readbacks_noise(bench: Any, engine: RunEngine) -> None:
    x = bench.tem.goniometer.x

    def plan() -> Any:
        for _ in range(3):
            yield from bps.mvr(x, 1.0)

    engine(plan())
    assert x.target.get() == 3.0


def test_a_scan_makes_valid_documents(bench: Any, engine: RunEngine, documents: Any) -> None:
    gonio = bench.tem.goniometer
    engine(bp.scan([gonio], gonio.x, -1, 1, 3))
    assert [doc["data"]["tem_goniometer_x_target"] for doc in documents.of("event")] == [-1, 0, 1]
    ((fields, stream),) = documents.of("start")[0]["hints"]["dimensions"]
    assert (fields, stream) == (["tem_goniometer_x"], "primary")
    assert documents.of("stop")[0]["exit_status"] == "success"


@pytest.mark.usefixtures("engine")  # check_limits borrows the RunEngine's event loop
def test_a_plan_outside_the_limits_is_found_without_moving(bench: Any) -> None:
    x = bench.tem.goniometer.x
    with pytest.raises(LimitError):
        check_limits(bp.scan([], x, 0, 1000, 3))
    check_limits(bp.scan([], x, 0, 10, 3))
    assert x.target.get() == 0


def test_plans_can_be_summarised_and_simulated(
    bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    x = bench.tem.goniometer.x
    summarize_plan(bp.scan([], x, 0, 1, 2))
    assert "tem_goniometer_x -> 1.0" in capsys.readouterr().out
    messages = RunEngineSimulator().simulate_plan(bps.mv(x, 1.0))
    assert messages[0].command == "set"
    assert x.target.get() == 0


def test_a_stop_in_mid_move_names_the_cause(slow_bench: Any, until: Any) -> None:
    x = slow_bench.tem.goniometer.x
    status = x.set(100.0)
    until(lambda: x.moving)
    x.stop()
    with pytest.raises(CancelledError, match="stopped by ana"):
        status.wait(timeout=30)
    assert not x.moving


def test_a_failed_plan_tells_the_cause_in_its_last_line(
    slow_bench: Any, engine: RunEngine, until: Any
) -> None:
    x = slow_bench.tem.goniometer.x
    stopper = threading.Thread(target=lambda: (until(lambda: x.moving), x.stop()))
    stopper.start()
    with pytest.raises(FailedStatus, match=r"tem_goniometer_x to 100 µm: failed, .*stopped by ana"):
        engine(bps.mv(x, 100.0))
    stopper.join(2)


def test_a_stop_right_after_the_command_wins(slow_bench: Any, until: Any) -> None:
    x = slow_bench.tem.goniometer.x
    status = x.set(100.0)
    x.stop()
    with pytest.raises(Exception, match=r"stop|cancel"):
        status.wait(timeout=30)
    until(lambda: not x.moving)
    assert abs(x.position) < 5


def test_a_second_move_of_a_moving_axis_is_busy_and_the_first_goes_on(
    slow_bench: Any, until: Any
) -> None:
    x = slow_bench.tem.goniometer.x
    first = x.set(100.0)
    until(lambda: x.moving)
    second = x.set(1.0)
    with pytest.raises(Exception, match="x is moving"):
        second.wait(timeout=30)
    assert not first.done
    x.stop()
    until(lambda: first.done)


def test_a_move_that_takes_too_long_is_stopped(slow_bench: Any, until: Any) -> None:
    x = slow_bench.tem.goniometer.x
    status = x.set(100.0, timeout=0.1)
    with pytest.raises(TimeoutError, match=r"tem_goniometer_x.*0\.1 s"):
        status.wait(timeout=30)
    until(lambda: not x.moving)


def test_stopping_twice_from_several_threads_does_no_harm(slow_bench: Any, until: Any) -> None:
    x = slow_bench.tem.goniometer.x
    status = x.set(100.0)
    until(lambda: x.moving)
    threads = [threading.Thread(target=x.stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2)
    until(lambda: status.done)


def test_a_server_that_closes_fails_the_move_and_stop_still_returns(
    slow_bench: Any, until: Any
) -> None:
    x = slow_bench.tem.goniometer.x
    status = x.set(100.0)
    until(lambda: x.moving)
    slow_bench.server.close()
    begun = time.monotonic()
    x.stop()
    assert time.monotonic() - begun < 0.6
    with pytest.raises((ConnectionLost, CancelledError)):
        status.wait(timeout=30)


_SERVER = """
import sys, threading
from devices.drivers import tem_services
from devices.drivers.simulated import SimulatedTEM
from devices.wire import Server

tem = SimulatedTEM("jeol-like")
with Server(tem_services(tem.stage, tem.camera, tem.column)) as server:
    print(server.control_address, flush=True)
    threading.Event().wait(20)
"""


@pytest.mark.slow
def test_a_killed_server_fails_the_move_and_stop_still_returns(until: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    client = Client(process.stdout.readline().strip(), name="ana")
    tem = Microscope(client)
    tem.wait_for_connection(timeout=30)
    status = tem.goniometer.x.set(100.0)
    until(lambda: tem.goniometer.x.moving)
    process.kill()
    process.wait()
    process.stdout.close()
    begun = time.monotonic()
    for axis in tem.goniometer.axes.values():  # as the RunEngine does when a plan is over
        axis.stop(success=True)
    assert time.monotonic() - begun < 0.6
    with pytest.raises(ConnectionLost):
        status.wait(timeout=30)
    tem.close()
    client.close()


def test_abort_in_mid_move_leaves_the_stage_stopped(
    slow_bench: Any, engine: RunEngine, until: Any
) -> None:
    x = slow_bench.tem.goniometer.x
    pauser = threading.Thread(target=lambda: (until(lambda: x.moving), engine.request_pause()))
    pauser.start()
    with pytest.raises(RunEngineInterrupted):
        engine(bps.mv(x, 100.0))
    pauser.join(2)
    engine.abort()
    until(lambda: not x.moving)
    assert x.position < 50


def test_when_a_plan_is_over_an_axis_at_rest_is_not_stopped_again(
    bench: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[str] = []
    monkeypatch.setattr(bench.client, "stop", lambda op, args=None: stops.append(op) or True)
    engine(bps.mv(bench.tem.goniometer.x, 1.0))
    assert stops == []
    bench.tem.goniometer.x.stop()
    assert stops == ["stage.stop"]


def test_what_the_instrument_reports_cannot_be_set(bench: Any) -> None:
    with pytest.raises(ReadOnlyError, match="read-only"):
        bench.tem.goniometer.x.target.set(1.0)


def test_subscribers_see_the_positions_on_the_way(bench: Any) -> None:
    seen: list[float] = []
    x = bench.tem.goniometer.x
    x.reported.subscribe(lambda value, **_: seen.append(value), run=False)
    x.set(60.0).wait(timeout=30)
    assert len(seen) > 2
    assert seen[-1] == pytest.approx(60.0, abs=0.2)


@pytest.mark.parametrize(
    ("axis", "target"), [("x", 5.0), ("y", -4.0), ("z", 3.0), ("alpha", 2.0), ("beta", -1.0)]
)
def test_every_axis_moves_the_specimen(bench: Any, axis: str, target: float) -> None:
    clock = bench.simulated.stage._clock
    index = ["x", "y", "z", "alpha", "beta"].index(axis)
    before = bench.simulated.truth.actual(clock.now())[index]
    getattr(bench.tem.goniometer, axis).set(target).wait(timeout=30)
    moved = bench.simulated.truth.actual(clock.now())[index] - before
    expected = np.deg2rad(target) if index > 2 else target * 1e-6
    assert moved == pytest.approx(expected, rel=0.5)  # less the play and what tilts wobble


def test_a_limit_switch_shows_in_the_state_of_its_axis(tmp_path: Path) -> None:
    limiter = FaultPlan(scheduled={0: Fault("limiter", reach=0.5)})
    bench = make_bench(tmp_path, faults=limiter)
    try:
        with pytest.raises(InstrumentError, match="x ran into its upper limit switch at 9"):
            bench.tem.goniometer.x.set(20.0).wait(timeout=30)
        assert bench.tem.goniometer.x.state.get() == 2
        assert bench.tem.goniometer.y.state.get() == 0
    finally:
        bench.close()
