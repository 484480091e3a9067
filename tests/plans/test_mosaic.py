"""The mosaic plan, message by message and on a microscope behind the real wire."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from bluesky import Msg, RunEngine
from bluesky.simulators import RunEngineSimulator, check_limits
from bluesky.utils import FailedStatus, RunEngineInterrupted

from devices.drivers import CameraSettings
from devices.wire import InstrumentError
from plans import mosaic, mosaic_over

# The bench's camera: 32 x 48 pixels of 78.125 nm in a field of 3.75 µm by 2.5 µm.
PITCH = np.array([0.8 * 3.75, 0.8 * 2.5])


def column(bench: Any) -> Any:
    return bench.simulated.column.read()


def place(bench: Any) -> list[float]:
    axes = bench.simulated.stage.read().axes
    return [1e6 * axes[axis].target for axis in "xy"]


def moves(messages: list[Msg]) -> list[tuple[float, float]]:
    """Where the stage is sent, in order."""
    return [
        (message.args[0]["x"], message.args[0]["y"])
        for message in messages
        if message.command == "set" and isinstance(message.args[0], dict)
    ]


def simulated(plan: Any) -> list[Msg]:
    return RunEngineSimulator().simulate_plan(plan)


def targets(documents: Any) -> list[tuple[float, float]]:
    (descriptor,) = (d["uid"] for d in documents.of("descriptor") if d["name"] == "primary")
    return [
        (event["data"]["tem_goniometer_x_target"], event["data"]["tem_goniometer_y_target"])
        for event in documents.of("event")
        if event["descriptor"] == descriptor
    ]


def test_a_serpentine_goes_to_and_fro_about_where_the_stage_stands(bench: Any) -> None:
    sent = moves(simulated(mosaic(bench.tem, 2, 3)))
    grid = [(-1, -0.5), (0, -0.5), (1, -0.5), (1, 0.5), (0, 0.5), (-1, 0.5)]
    np.testing.assert_allclose(sent, [*(np.array(grid) * PITCH), (0, 0)], atol=1e-9)


def test_a_raster_begins_every_row_on_the_same_side(bench: Any) -> None:
    sent = moves(simulated(mosaic(bench.tem, 2, 2, serpentine=False, centre=(3.0, 1.0))))
    grid = [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)]
    np.testing.assert_allclose(sent[:-1], np.array(grid) * PITCH + (3.0, 1.0), atol=1e-9)


def test_over_travel_comes_to_each_row_in_the_direction_of_its_steps(bench: Any) -> None:
    sent = np.array(moves(simulated(mosaic(bench.tem, 2, 2, over_travel=0.7))))
    # before the first and the third field: the second row runs backwards
    np.testing.assert_allclose(sent[1] - sent[0], (0.7, 0.7), atol=1e-9)
    np.testing.assert_allclose(sent[4] - sent[3], (-0.7, 0.7), atol=1e-9)
    assert len(sent) == 4 + 2 + 1


def test_every_field_is_one_event_of_camera_and_stage(bench: Any) -> None:
    messages = simulated(mosaic(bench.tem, 2, 2))
    of_a_field = ["trigger", "wait", "create", "read", "read", "save"]
    begin = next(n for n, m in enumerate(messages) if m.command == "trigger")
    assert [m.command for m in messages[begin : begin + 6]] == of_a_field
    assert [m.command for m in messages].count("save") == 4


def test_the_beam_is_blanked_before_the_stage_is_sent_back(bench: Any) -> None:
    messages = simulated(mosaic(bench.tem, 1, 2))
    last = [m for m in messages if m.command == "set"][-2:]
    assert (last[0].obj, last[0].args[0]) == (bench.tem.column.beam_blank, 1)
    assert last[1].obj is bench.tem.goniometer


@pytest.mark.usefixtures("engine")  # check_limits borrows the RunEngine's event loop
def test_limits_of_all_fields_can_be_checked_without_moving(bench: Any, engine: RunEngine) -> None:
    check_limits(mosaic(bench.tem, 2, 2))
    with pytest.raises(Exception, match="outside"):
        check_limits(mosaic(bench.tem, 1, 2, centre=(1000.0, 0.0)))
    assert bench.client.sent["stage.move"] == 0


@pytest.mark.parametrize(
    ("sides", "fields"),
    [
        (((-0.5, 0.5), (-0.5, 0.5)), 1),
        (((0.0, 3.75), (0.0, 2.5)), 1),
        (((0.0, 3.8), (0.0, 2.5)), 2),
        (((-4.0, 4.0), (-2.5, 2.5)), 9),
    ],
)
def test_a_rectangle_takes_as_many_fields_as_cover_it(
    bench: Any, sides: tuple[Any, Any], fields: int
) -> None:
    sent = np.array(moves(simulated(mosaic_over(bench.tem, *sides)))[:-1])
    assert len(sent) == fields
    half = np.array([3.75, 2.5]) / 2
    np.testing.assert_array_less(sent.min(axis=0) - half - 1e-9, [side[0] for side in sides])
    np.testing.assert_array_less([side[1] for side in sides], sent.max(axis=0) + half + 1e-9)


def test_the_grid_turns_with_the_scan(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.tem.camera.to_stage, "get", lambda: [[0.0, -1.0], [1.0, 0.0]])
    sent = np.array(moves(simulated(mosaic(bench.tem, 1, 2))))
    np.testing.assert_allclose(sent[1] - sent[0], (0.0, PITCH[0]), atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "rows is 0: a whole number of at least 1"),
        ({"columns": 2.5}, "columns is 2.5: a whole number"),
        ({"rows": True}, "rows is True: a whole number"),
        ({"rows": 200, "columns": 200}, "40000 fields: up to 10000 are allowed"),
        ({"overlap": 0.01}, "overlap is 0.01 of the field: 0.05 to 0.9 is allowed"),
        ({"overlap": 1.0}, "overlap is 1 of the field"),
        ({"overlap": float("nan")}, "overlap is nan: a finite number"),
        ({"over_travel": -1.0}, "over_travel is -1 µm: it must be 0 or more"),
        ({"settle_time": -1.0}, "settle_time is -1 s: it must be 0 or more"),
        ({"centre": 3.0}, "centre is 3.0: two numbers are needed"),
        ({"centre": (0.0, "a")}, "centre is 'a': a finite number"),
        ({"centre": (999.0, 0.0)}, "outside"),
        ({"columns": 2, "centre": (0.0, 999.0), "over_travel": 5.0}, "outside"),
    ],
)
def test_refuses_bad_input_before_anything_moves(
    bench: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        engine(mosaic(bench.tem, **arguments))
    assert "\n" not in str(caught.value)
    assert bench.client.sent["stage.move"] == 0
    assert documents.all == []
    assert not list(bench.assets.rglob("*.h5"))


def test_a_rectangle_runs_from_low_to_high(bench: Any, engine: RunEngine) -> None:
    with pytest.raises(ValueError, match="x is 5 to -5 µm: it must go from low to high"):
        engine(mosaic_over(bench.tem, (5, -5), (0, 1)))


def test_records_a_field_an_event_at_its_target(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    engine(mosaic(bench.tem, 2, 2))
    grid = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    np.testing.assert_allclose(targets(documents), grid * PITCH, atol=1e-6)
    indices = [datum["indices"]["start"] for datum in documents.of("stream_datum")]
    assert indices == [0, 1, 2, 3]
    assert documents.of("start")[0]["num_points"] == 4


def test_names_what_the_analysis_needs(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine(mosaic(bench.tem, 1, 2, overlap=0.3))
    start = documents.of("start")[0]
    fields = start["fields"]
    (descriptor,) = (d for d in documents.of("descriptor") if d["name"] == "primary")
    known = set(descriptor["data_keys"]) | {
        key for device in descriptor["configuration"].values() for key in device["data"]
    }
    named = {fields[key] for key in ("image", "pixel_size", "camera_to_stage", "dwell_time")}
    for axis in ("x", "y"):
        named |= set(fields["axes"][axis].values())
    assert named <= known
    assert start["mosaic"] == {"rows": 1, "columns": 2, "serpentine": True, "overlap": 0.3}


def test_ends_where_it_began_with_the_beam_blanked(bench: Any, engine: RunEngine) -> None:
    bench.tem.goniometer.x.set(5.0).wait(2)
    engine(mosaic(bench.tem, 1, 2, centre=(0.0, 0.0)))
    assert place(bench) == pytest.approx([5.0, 0.0], abs=1e-6)
    assert column(bench).beam_blank


def test_the_beam_is_on_while_images_are_taken(bench: Any, engine: RunEngine) -> None:
    blanked: list[bool] = []
    engine.subscribe(lambda name, doc: blanked.append(column(bench).beam_blank), "event")
    engine(mosaic(bench.tem, 1, 2))
    assert blanked == [False, False]


def pause_in_mid_frame(bench: Any, engine: RunEngine) -> None:
    """Have the RunEngine pause while the second frame is scanned."""
    acquire = bench.simulated.camera.acquire
    frames: list[Any] = []

    def scan() -> Any:
        frames.append(None)
        if len(frames) == 2:
            bench.simulated.camera.configure(CameraSettings((32, 48), 1e-3))  # 1.5 s, 30 ms here
            threading.Thread(target=engine.request_pause, daemon=True).start()
        return acquire()

    bench.simulated.camera.acquire = scan


def test_an_abort_leaves_the_microscope_safe(bench: Any, engine: RunEngine, documents: Any) -> None:
    pause_in_mid_frame(bench, engine)
    with pytest.raises(RunEngineInterrupted):
        engine(mosaic(bench.tem, 2, 2))
    engine.abort("the user had enough")
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert column(bench).beam_blank
    assert place(bench) == pytest.approx([0.0, 0.0], abs=1e-6)


def test_a_pause_in_mid_frame_loses_no_field(bench: Any, engine: RunEngine, documents: Any) -> None:
    pause_in_mid_frame(bench, engine)
    with pytest.raises(RunEngineInterrupted):
        engine(mosaic(bench.tem, 2, 2))
    engine.resume()
    indices = [datum["indices"]["start"] for datum in documents.of("stream_datum")]
    assert indices == list(range(len(targets(documents)))) == [0, 1, 2, 3]


def test_a_move_that_a_pause_broke_off_is_made_again(
    slow_bench: Any, engine: RunEngine, documents: Any
) -> None:
    paused: list[bool] = []

    def pause(name: str, doc: dict[str, Any]) -> None:
        if not paused:
            paused.append(True)
            threading.Timer(0.05, engine.request_pause).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(mosaic(slow_bench.tem, 1, 2, overlap=0.6))
    engine.resume()
    np.testing.assert_allclose(np.diff(targets(documents), axis=0), [(1.5, 0.0)], atol=1e-6)


def test_the_beam_is_blanked_though_the_stage_cannot_return(
    bench: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_move = bench.simulated.stage.start_move
    made: list[Any] = []

    def refuse(wanted: Any) -> float:
        made.append(wanted)
        if len(made) > 1:
            raise InstrumentError(f"the goniometer jammed at move {len(made)}")
        return start_move(wanted)

    monkeypatch.setattr(bench.simulated.stage, "start_move", refuse)
    with pytest.raises(FailedStatus, match="jammed at move 2"):  # the first error, not the last
        engine(mosaic(bench.tem, 1, 2))
    assert column(bench).beam_blank


def test_hands_back_the_result_of_the_live_analysis(bench: Any, engine: RunEngine) -> None:
    class Results:
        def future(self, raw_uid: str) -> Future[Any]:
            future: Future[Any] = Future()
            threading.Timer(0.05, future.set_result, [("found", raw_uid)]).start()
            return future

    result: Any = engine(mosaic(bench.tem, 1, 1, analysis=Results()))
    assert result.plan_result.result == ("found", result.plan_result.uid)
