"""Images of one field at a fixed interval, and the drift that they show."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest
from bluesky import Msg, RunEngine
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import RunEngineInterrupted

from plans.drift import measure_drift

SHORT: Any = {"duration": 0.2, "interval": 0.1}


def simulated(plan: Any) -> list[Msg]:
    return RunEngineSimulator().simulate_plan(plan)


def column(bench: Any) -> Any:
    return bench.simulated.column.read()


def primary(documents: Any) -> list[dict[str, Any]]:
    (descriptor,) = (d["uid"] for d in documents.of("descriptor") if d["name"] == "primary")
    return [event for event in documents.of("event") if event["descriptor"] == descriptor]


@pytest.mark.parametrize(
    ("duration", "interval", "images"), [(60.0, 5.0, 13), (59.0, 5.0, 12), (5.0, 5.0, 2)]
)
def test_takes_an_image_at_both_ends_of_each_interval(
    bench: Any, duration: float, interval: float, images: int
) -> None:
    messages = simulated(measure_drift(bench.tem, duration=duration, interval=interval))
    commands = [message.command for message in messages]
    assert commands.count("trigger") == commands.count("save") == images
    assert commands.count("sleep") == images - 1


def test_nothing_moves(bench: Any, engine: RunEngine) -> None:
    engine(measure_drift(bench.tem, **SHORT))
    assert bench.client.sent["stage.move"] == 0


def test_waits_for_what_is_left_of_each_interval(bench: Any) -> None:
    messages = simulated(measure_drift(bench.tem, duration=6000.0, interval=3000.0))
    waits = [message.args[0] for message in messages if message.command == "sleep"]
    assert len(waits) == 2
    assert all(0.0 < wait <= 3000.0 for wait in waits)


def test_positions_and_images_are_recorded(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine(measure_drift(bench.tem, **SHORT))
    events = primary(documents)
    assert all("tem_goniometer_x" in event["data"] for event in events)
    assert documents.of("start")[0]["num_points"] == len(events) == 3


def test_the_beam_is_on_for_images_only(bench: Any, engine: RunEngine) -> None:
    states: list[tuple[str, bool]] = []

    def look(message: Msg) -> None:
        if message.command in ("trigger", "checkpoint", "close_run"):
            states.append((message.command, column(bench).beam_blank))

    engine.msg_hook = look  # pyright: ignore[reportAttributeAccessIssue]
    engine(measure_drift(bench.tem, **SHORT))
    first, *later = states
    assert first[0] == "checkpoint"
    image = [("trigger", False), ("checkpoint", True)]
    assert later == [*image, *image, ("trigger", False), ("close_run", True)]


def test_the_beam_may_stay_on_between_images(bench: Any) -> None:
    messages = simulated(measure_drift(bench.tem, blank_between=False))
    blanker = [m.args[0] for m in messages if m.obj is bench.tem.column.beam_blank]
    assert blanker == [0, 1]


@pytest.mark.parametrize("blank_between", [True, False])
def test_ends_with_the_beam_blanked(bench: Any, engine: RunEngine, blank_between: bool) -> None:
    engine(measure_drift(bench.tem, **SHORT, blank_between=blank_between))
    assert column(bench).beam_blank


def test_an_abort_leaves_the_beam_blanked(bench: Any, engine: RunEngine, documents: Any) -> None:
    def pause(name: str, doc: dict[str, Any]) -> None:
        threading.Thread(target=engine.request_pause, daemon=True).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(measure_drift(bench.tem, duration=60.0, interval=30.0, blank_between=False))
    engine.abort("the user had enough")
    assert column(bench).beam_blank
    assert documents.of("stop")[0]["exit_status"] == "abort"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"duration": 0.0}, "duration is 0 s: it must be above 0"),
        ({"interval": -1.0}, "interval is -1 s: it must be above 0"),
        ({"interval": float("nan")}, "interval is nan: a finite number"),
        ({"duration": 4.0}, "duration is 4 s: it must be at least one interval, 5 s"),
        ({"interval": 1e-3}, "interval is 0.001 s: it must be longer than a frame, .* 0.001536 s"),
        ({"duration": 1e6}, "200001 images: up to 10000 are allowed"),
    ],
)
def test_refuses_bad_input_before_anything_is_recorded(
    bench: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        engine(measure_drift(bench.tem, **arguments))
    assert documents.all == []
    assert bench.client.sent["column.set"] == 0


def test_hands_back_the_result_of_the_live_analysis(bench: Any, engine: RunEngine) -> None:
    class Results:
        def future(self, raw_uid: str) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(("found", raw_uid))
            return future

    done: Any = engine(measure_drift(bench.tem, **SHORT, analysis=Results()))
    assert done.plan_result.result == ("found", done.plan_result.uid)
