"""Where the cross-axis plan sends two axes, and what it does on a microscope behind the wire."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import RunEngineSimulator, check_limits
from bluesky.utils import FailedStatus, RunEngineInterrupted
from hypothesis import given
from hypothesis import strategies as st

from devices.wire import InstrumentError
from plans.cross_axis import cross_axis, cross_axis_targets

SHORT: Any = {"step": 0.5, "steps": 1}
# out one step, aside one step, and the same way back, in each of the four directions
SHORT_WAY = [(0, 0)]
SHORT_WAY += [(1, 0), (1, 1), (1, 0), (0, 0), (-1, 0), (-1, 1), (-1, 0), (0, 0)]
SHORT_WAY += [(0, 1), (1, 1), (0, 1), (0, 0), (0, -1), (1, -1), (0, -1), (0, 0)]

steps = st.integers(1, 12)
repeats = st.integers(1, 4)


def way(steps: int, repeats: int = 1) -> np.ndarray[Any, Any]:
    return np.array(cross_axis_targets((0.0, 0.0), (1.0, 1.0), steps, repeats))


@given(steps=steps, repeats=repeats)
def test_every_move_is_one_step_of_one_axis(steps: int, repeats: int) -> None:
    moves = np.abs(np.diff(way(steps, repeats), axis=0))
    assert np.all(moves.sum(axis=1) == 1)
    assert np.all(moves.max(axis=1) == 1)


@given(a=st.floats(-500, 500), b=st.floats(-500, 500), steps=steps, repeats=repeats)
def test_the_axes_end_exactly_where_they_began(
    a: float, b: float, steps: int, repeats: int
) -> None:
    places = cross_axis_targets((a, b), (0.3, 0.7), steps, repeats)
    assert places[0] == places[-1] == (a, b)


@given(steps=steps)
def test_each_cardinal_direction_is_run_out_from_the_origin(steps: int) -> None:
    legs = np.split(way(steps)[1:], 4)
    ends = [leg[2 * steps - 2] for leg in legs]
    outward = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    along = [float(np.dot(end, direction)) for end, direction in zip(ends, outward, strict=True)]
    assert along == [steps] * 4
    assert all(tuple(leg[-1]) == (0, 0) for leg in legs)


@given(steps=steps)
def test_the_way_back_is_the_way_out(steps: int) -> None:
    leg = way(steps)[: 4 * steps + 1]
    np.testing.assert_array_equal(leg, leg[::-1])


@given(steps=steps, repeats=repeats)
def test_outward_and_perpendicular_steps_take_turns(steps: int, repeats: int) -> None:
    out = way(steps, repeats)[: 2 * steps + 1]
    axes = [int(np.argmax(np.abs(after - before))) for before, after in pairwise(out)]
    assert axes == [0, 1] * steps


@given(steps=steps)
def test_the_way_stays_within_a_step_of_its_direction(steps: int) -> None:
    assert np.all(np.abs(way(steps)).min(axis=1) <= 1)


def test_perpendicular_steps_go_on_as_well_as_turn_round() -> None:
    aside = np.diff(way(6)[:13:2, 1])
    np.testing.assert_array_equal(aside, [1, -1, -1, 1, 1, -1])


@given(steps=steps, repeats=repeats)
def test_the_number_of_stops_is_as_documented(steps: int, repeats: int) -> None:
    assert len(way(steps, repeats)) == 1 + 16 * repeats * steps


def test_each_axis_has_its_own_step() -> None:
    places = np.array(cross_axis_targets((3.0, -1.0), (0.5, 2.0), 2, 1))
    np.testing.assert_allclose(places, way(2) * (0.5, 2.0) + (3.0, -1.0))


def column(bench: Any) -> Any:
    return bench.simulated.column.read()


def place(bench: Any) -> list[float]:
    axes = bench.simulated.stage.read().axes
    return [1e6 * axes[axis].target for axis in "xy"]


def primary(documents: Any) -> list[dict[str, Any]]:
    (descriptor,) = (d["uid"] for d in documents.of("descriptor") if d["name"] == "primary")
    return [event for event in documents.of("event") if event["descriptor"] == descriptor]


def targets(documents: Any, *axes: str) -> list[list[float]]:
    names = [f"tem_goniometer_{axis}_target" for axis in axes]
    return [[event["data"][name] for name in names] for event in primary(documents)]


def test_an_image_is_taken_at_every_target(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine(cross_axis(bench.tem, **SHORT))
    np.testing.assert_allclose(targets(documents, "x", "y"), np.array(SHORT_WAY) / 2, atol=1e-9)
    indices = [datum["indices"]["start"] for datum in documents.of("stream_datum")]
    assert indices == list(range(documents.of("start")[0]["num_points"]))


def test_the_specimen_goes_along(bench: Any, engine: RunEngine, documents: Any) -> None:
    seen: list[Any] = []

    def look(name: str, doc: dict[str, Any]) -> None:
        if "tem_camera_time" in doc["data"]:
            middle = np.array([doc["data"]["tem_camera_time"]])
            seen.append(1e6 * bench.simulated.truth.actual(middle)[0, :2])

    engine.subscribe(look, "event")
    engine(cross_axis(bench.tem, step=2.0, steps=1))
    # play and slip of the simulated stage are 0.6 µm at most, well below half a step
    np.testing.assert_allclose(np.array(seen) - seen[0], targets(documents, "x", "y"), atol=0.8)


def test_one_axis_at_a_time_is_sent(bench: Any) -> None:
    messages = RunEngineSimulator().simulate_plan(cross_axis(bench.tem, **SHORT))
    sent = [m.args[0] for m in messages if m.command == "set" and m.obj is bench.tem.goniometer]
    assert [len(move) for move in sent] == [1] * (len(SHORT_WAY) - 1) + [2]


def test_tilts_need_no_overlap(bench: Any, engine: RunEngine, documents: Any) -> None:
    engine(cross_axis(bench.tem, ("z", "alpha"), step=(10.0, 2.0), steps=1))
    expected = np.array(SHORT_WAY) * (10.0, 2.0)
    np.testing.assert_allclose(targets(documents, "z", "alpha"), expected, atol=1e-9)
    assert documents.of("start")[0]["motors"] == ["tem_goniometer_z", "tem_goniometer_alpha"]


def test_is_not_rewindable(bench: Any) -> None:
    messages = RunEngineSimulator().simulate_plan(cross_axis(bench.tem))
    first_move = next(n for n, message in enumerate(messages) if message.command == "set")
    flags = [m.args[0] for m in messages[:first_move] if m.command == "rewindable"]
    assert flags[-1] is False


@pytest.mark.usefixtures("engine")  # check_limits borrows the RunEngine's event loop
def test_limits_can_be_checked_without_moving(bench: Any, engine: RunEngine) -> None:
    check_limits(cross_axis(bench.tem))
    assert bench.client.sent["stage.move"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": ("x", "w")}, "choose each once, of x, y, z, alpha, beta"),
        ({"axes": ("x", "x")}, "choose each once"),
        ({"axes": ("x",)}, "two axes are needed"),
        ({"axes": ("x", "y", "z")}, "two axes are needed"),
        ({"step": (1.0, 2.0, 3.0)}, "one number or two are needed"),
        ({"step": (1.0, 0.0)}, "step is 0: it must be above 0"),
        ({"step": "1"}, "step is '1': a finite number is needed|one number or two"),
        ({"step": float("inf")}, "step is inf: a finite number"),
        ({"steps": 0}, "steps is 0: a whole number of at least 1"),
        ({"repeats": 1.5}, "repeats is 1.5: a whole number"),
        ({"settle_time": -1.0}, "settle_time is -1 s: it must be 0 or more"),
        # the field is 3.75 µm by 2.5 µm
        ({"step": (2.9, 2.1)}, "step 2.1 µm leaves no overlap .* steps of y up to 2 µm"),
        ({"step": (3.1, 1.0)}, "step 3.1 µm leaves no overlap .* steps of x up to 3 µm"),
        ({"axes": ("alpha", "y"), "step": (20.0, 1.0)}, "alpha target .* outside"),
        ({"steps": 2000}, "outside"),
    ],
)
def test_refuses_bad_input_before_anything_moves(
    bench: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        engine(cross_axis(bench.tem, **arguments))
    assert "\n" not in str(caught.value)
    assert bench.client.sent["stage.move"] == 0
    assert documents.all == []


def test_ends_where_it_began_with_the_beam_blanked(bench: Any, engine: RunEngine) -> None:
    bench.tem.goniometer.set({"x": 5.0, "y": -3.0}).wait(30)
    engine(cross_axis(bench.tem, **SHORT))
    assert place(bench) == pytest.approx([5.0, -3.0], abs=1e-6)
    assert column(bench).beam_blank


def test_the_beam_is_on_while_images_are_taken(bench: Any, engine: RunEngine) -> None:
    blanked: list[bool] = []
    engine.subscribe(lambda name, doc: blanked.append(column(bench).beam_blank), "event")
    engine(cross_axis(bench.tem, **SHORT))
    assert not any(blanked)


def test_a_failure_midway_blanks_the_beam_and_sends_the_stage_back(
    bench: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_move = bench.simulated.stage.start_move
    moves: list[Any] = []

    def refuse_one(wanted: Any) -> float:
        moves.append(wanted)
        if len(moves) == 3:
            raise InstrumentError("the goniometer jammed")
        return start_move(wanted)

    monkeypatch.setattr(bench.simulated.stage, "start_move", refuse_one)
    with pytest.raises(FailedStatus, match="jammed"):
        engine(cross_axis(bench.tem, **SHORT))
    assert column(bench).beam_blank
    assert place(bench) == pytest.approx([0.0, 0.0], abs=1e-6)


def test_an_abort_leaves_the_microscope_safe(bench: Any, engine: RunEngine, documents: Any) -> None:
    def pause(name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 2:
            threading.Thread(target=engine.request_pause, daemon=True).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(cross_axis(bench.tem, **SHORT))
    engine.abort("the user had enough")
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert column(bench).beam_blank
    assert place(bench) == pytest.approx([0.0, 0.0], abs=1e-6)


def test_a_move_cut_short_ends_the_experiment(slow_bench: Any, engine: RunEngine) -> None:
    def pause(name: str, doc: dict[str, Any]) -> None:
        threading.Timer(0.05, engine.request_pause).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(cross_axis(slow_bench.tem, step=2.0, steps=1))
    with pytest.raises((RuntimeError, FailedStatus), match="history of the axis is broken"):
        engine.resume()
    assert column(slow_bench).beam_blank


def test_hands_back_the_result_of_the_live_analysis(bench: Any, engine: RunEngine) -> None:
    class Results:
        def future(self, raw_uid: str) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(("found", raw_uid))
            return future

    result: Any = engine(cross_axis(bench.tem, **SHORT, analysis=Results()))
    assert result.plan_result.result == ("found", result.plan_result.uid)
    assert result.run_start_uids == (result.plan_result.uid,)
