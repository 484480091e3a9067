"""The hysteresis plan on a microscope behind the real wire."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.preprocessors import SupplementalData
from bluesky.simulators import RunEngineSimulator, check_limits
from bluesky.utils import FailedStatus, RunEngineInterrupted

from devices.drivers import CameraSettings
from devices.wire import InstrumentError
from plans import hysteresis

SHORT: Any = {"axes": ("x",), "step": 0.5, "steps": 2, "repeats": 1}


def column(bench: Any) -> Any:
    return bench.simulated.column.read()


def targets(documents: Any, axis: str = "x") -> list[float]:
    return [event["data"][f"tem_goniometer_{axis}_target"] for event in primary(documents)]


def primary(documents: Any) -> list[dict[str, Any]]:
    (descriptor,) = (d["uid"] for d in documents.of("descriptor") if d["name"] == "primary")
    return [event for event in documents.of("event") if event["descriptor"] == descriptor]


def test_goes_out_and_back_in_both_directions(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    engine(hysteresis(bench.tem, **SHORT))
    expected = [0, 0.5, 1, 0.5, 0, -0.5, -1, -0.5, 0]
    np.testing.assert_allclose(targets(documents), expected, atol=1e-9)


def test_every_stop_has_one_image(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine(hysteresis(bench.tem, **SHORT))
    indices = [datum["indices"] for datum in documents.of("stream_datum")]
    assert indices == [{"start": n, "stop": n + 1} for n in range(len(primary(documents)))]


def test_announces_as_many_points_as_it_takes(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    engine(hysteresis(bench.tem, axes=("x", "alpha"), step=0.5, steps=1, repeats=1))
    assert documents.of("start")[0]["num_points"] == len(primary(documents))


def test_names_the_fields_that_the_analysis_needs(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    engine(hysteresis(bench.tem, **SHORT))
    fields = documents.of("start")[0]["fields"]
    (descriptor,) = (d for d in documents.of("descriptor") if d["name"] == "primary")
    known = set(descriptor["data_keys"]) | {
        key for device in descriptor["configuration"].values() for key in device["data"]
    }
    named = {fields["image"], fields["pixel_size"], fields["camera_to_stage"]}
    for axis in fields["axes"].values():
        named |= set(axis.values())
    assert named <= known


def test_ends_where_it_began_with_the_beam_blanked(bench: Any, engine: RunEngine) -> None:
    engine(hysteresis(bench.tem, **SHORT))
    assert bench.simulated.stage.read().axes["x"].target == pytest.approx(0.0, abs=1e-12)
    assert column(bench).beam_blank


def test_the_beam_is_on_while_images_are_taken(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    blanked: list[bool] = []
    engine.subscribe(lambda name, doc: blanked.append(column(bench).beam_blank), "event")
    engine(hysteresis(bench.tem, **SHORT))
    assert not any(blanked)


def test_is_not_rewindable(bench: Any) -> None:
    messages = RunEngineSimulator().simulate_plan(hysteresis(bench.tem, axes=("z",)))
    flags = [message.args[0] for message in messages if message.command == "rewindable"]
    first_move = next(n for n, message in enumerate(messages) if message.command == "set")
    assert False in flags
    assert [m.command for m in messages[:first_move]].count("rewindable") >= 2


@pytest.mark.usefixtures("engine")  # check_limits borrows the RunEngine's event loop
def test_limits_can_be_checked_without_moving(bench: Any, engine: RunEngine) -> None:
    check_limits(hysteresis(bench.tem, **SHORT))
    assert bench.client.sent["stage.move"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": ("w",)}, "choose each once, of x, y, z, alpha, beta"),
        ({"axes": ()}, "choose each once"),
        ({"axes": ("x", "x")}, "choose each once"),
        ({"steps": -3}, "steps is -3: a whole number of at least 1"),
        ({"steps": 2.5}, "steps is 2.5: a whole number"),
        ({"repeats": 0}, "repeats is 0: a whole number"),
        ({"step": float("nan")}, "step is nan: a finite number is needed, above 0"),
        ({"step": 0.0}, "step is 0: it must be above 0"),
        ({"step": -1.0}, "step is -1: it must be above 0"),
        ({"settle_time": -1.0}, "settle_time is -1 s: it must be 0 or more"),
        ({"step": 4.0}, "leaves no overlap to register in a field of view of 3.75"),
        ({"step": 2.1}, "by 2.5 µm: steps of y up to 2 µm are allowed"),
        ({"step": 2.0, "steps": 600}, "outside"),
        ({"axes": ("alpha",), "step": 20.0}, "outside"),
    ],
)
def test_refuses_bad_input_before_anything_moves(
    bench: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        engine(hysteresis(bench.tem, **arguments))
    assert "\n" not in str(caught.value)
    assert bench.client.sent["stage.move"] == 0
    assert documents.all == []
    assert not list(bench.assets.rglob("*.h5"))


class Interrupter:
    """Ends a run from outside when its second image is recorded."""

    def __init__(self, engine: RunEngine) -> None:
        self.engine = engine
        self.counts: Counter[str] = Counter()

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.counts[name] += 1
        if name == "event" and self.counts["event"] == 2:
            threading.Thread(target=self.engine.request_pause, daemon=True).start()


def test_an_abort_leaves_the_microscope_safe(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine.subscribe(Interrupter(engine))
    with pytest.raises(RunEngineInterrupted):
        engine(hysteresis(bench.tem, **SHORT))
    engine.abort("the user had enough")
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert column(bench).beam_blank
    assert bench.simulated.stage.read().axes["x"].target == pytest.approx(0.0, abs=1e-12)


def test_a_move_cut_short_ends_the_experiment(slow_bench: Any, engine: RunEngine) -> None:
    def pause(name: str, doc: dict[str, Any]) -> None:
        threading.Timer(0.05, engine.request_pause).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(hysteresis(slow_bench.tem, **{**SHORT, "step": 2.0}))
    with pytest.raises((RuntimeError, FailedStatus), match="history of the axis is broken"):
        engine.resume()
    assert column(slow_bench).beam_blank


def fail_once_the_stage_has_gone_out(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the simulated stage refuse every move that comes after the second."""
    start_move = bench.simulated.stage.start_move
    moves: list[Any] = []

    def refuse(wanted: Any) -> float:
        moves.append(wanted)
        if len(moves) > 2:
            raise InstrumentError(f"the goniometer jammed at move {len(moves)}")
        return start_move(wanted)

    monkeypatch.setattr(bench.simulated.stage, "start_move", refuse)


def test_the_beam_is_blanked_though_the_stage_cannot_return(
    bench: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once_the_stage_has_gone_out(bench, monkeypatch)
    with pytest.raises(FailedStatus, match="jammed at move 3"):  # the first error, not the last
        engine(hysteresis(bench.tem, **SHORT))
    assert column(bench).beam_blank


def test_the_stage_returns_though_the_beam_cannot_be_blanked(
    bench: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = bench.simulated.column.blank

    def stick(blanked: bool) -> None:
        if blanked:
            raise InstrumentError("the blanker is stuck")
        blank(blanked)

    monkeypatch.setattr(bench.simulated.column, "blank", stick)
    wreck = RuntimeError("the second image went wrong")

    def break_off(name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 2:
            raise wreck

    bench.tem.goniometer.x.set(5.0).wait(2)
    engine.subscribe(break_off, "event")
    with pytest.raises(RuntimeError, match="the second image went wrong"):
        engine(hysteresis(bench.tem, **SHORT))
    assert bench.simulated.stage.read().axes["x"].target == pytest.approx(5e-6, abs=1e-12)


def interrupt_in_mid_frame(bench: Any, engine: RunEngine, act: Any) -> None:
    """Have `act` called on a thread of its own while the second frame is scanned."""
    acquire = bench.simulated.camera.acquire
    frames: list[Any] = []

    def scan() -> Any:
        frames.append(None)
        if len(frames) == 2:
            bench.simulated.camera.configure(CameraSettings((32, 48), 1e-3))  # 1.5 s, 30 ms here
            threading.Thread(target=act, daemon=True).start()
        return acquire()

    bench.simulated.camera.acquire = scan


def test_an_abort_in_mid_frame_leaves_the_microscope_safe(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    bench.tem.goniometer.x.set(5.0).wait(2)
    interrupt_in_mid_frame(bench, engine, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(hysteresis(bench.tem, **SHORT))
    engine.abort("the user had enough")
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert column(bench).beam_blank
    assert bench.simulated.stage.read().axes["x"].target == pytest.approx(5e-6, abs=1e-12)


def test_an_abort_in_mid_move_without_a_pause_leaves_the_microscope_safe(
    slow_bench: Any, engine: RunEngine, documents: Any
) -> None:
    def abort(name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 1:
            threading.Timer(0.05, engine.abort).start()

    engine.subscribe(abort, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(hysteresis(slow_bench.tem, **{**SHORT, "step": 2.0}))
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert column(slow_bench).beam_blank
    assert slow_bench.simulated.stage.read().axes["x"].target == pytest.approx(0.0, abs=1e-12)


def test_a_pause_in_mid_frame_loses_no_image(bench: Any, engine: RunEngine, documents: Any) -> None:
    interrupt_in_mid_frame(bench, engine, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(hysteresis(bench.tem, **SHORT))
    engine.resume()
    indices = [datum["indices"]["start"] for datum in documents.of("stream_datum")]
    assert indices == list(range(len(primary(documents))))


def test_hands_back_the_result_of_the_live_analysis(bench: Any, engine: RunEngine) -> None:
    class Results:
        def future(self, raw_uid: str) -> Future[Any]:
            future: Future[Any] = Future()
            threading.Timer(0.05, future.set_result, [("found", raw_uid)]).start()
            return future

    result: Any = engine(hysteresis(bench.tem, **SHORT, analysis=Results()))
    assert result.plan_result.result == ("found", result.plan_result.uid)
    assert result.run_start_uids == (result.plan_result.uid,)


def test_a_pause_while_the_analysis_works_does_not_lose_its_result(
    bench: Any, engine: RunEngine
) -> None:
    future: Future[Any] = Future()

    class Results:
        def future(self, raw_uid: str) -> Future[Any]:
            threading.Timer(0.02, engine.request_pause).start()
            return future

    with pytest.raises(RunEngineInterrupted):
        engine(hysteresis(bench.tem, **SHORT, analysis=Results()))
    threading.Timer(0.02, future.set_result, ["found"]).start()
    resumed: Any = engine.resume()
    assert resumed.plan_result.result == "found"


def test_a_reading_that_fails_is_named_though_a_baseline_follows(
    bench: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> dict[str, Any]:
        raise InstrumentError("no sign of the goniometer")

    engine.preprocessors.append(SupplementalData(baseline=[bench.tem.column]))
    monkeypatch.setattr(bench.tem.goniometer, "read", silent)
    with pytest.raises(InstrumentError, match="no sign of the goniometer"):
        engine(hysteresis(bench.tem, **SHORT))
