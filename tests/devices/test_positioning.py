"""Approaches by their commands, and a compensated stage over the real wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky.utils import FailedStatus
from microscope_bench import make_bench

from devices.approaches import Direct, OverTravel, PlayInversion, Standing
from devices.positioning import CompensatedStage
from devices.wire import BusyError, CancelledError, InstrumentError, LimitError
from sim.faults import Fault, FaultPlan

UP = Standing(target=10.0, direction=1, travel=50.0)


class Legs:
    """An approach over given waypoints."""

    name = "legs"

    def __init__(self, *legs: dict[str, float]) -> None:
        self.legs = legs
        self.asked: list[dict[str, float]] = []
        self.standing: Mapping[str, Any] = {}

    @property
    def parameters(self) -> Mapping[str, float]:
        return {"count": float(len(self.legs))}

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Any]
    ) -> Sequence[Mapping[str, float]]:
        self.asked.append(dict(targets))
        self.standing = standing
        return self.legs


def over(bench: Any, approach: Any) -> CompensatedStage:
    return CompensatedStage(bench.tem.goniometer, approach, name="corrected")


def test_a_direct_approach_is_one_move() -> None:
    assert Direct().waypoints({"x": 1.0}, {"x": UP}) == [{"x": 1.0}]


def test_over_travel_comes_from_the_side_of_its_sign() -> None:
    legs = OverTravel({"x": 10.0, "y": -5.0}).waypoints({"x": 1.0, "y": 1.0}, {})
    assert legs == [{"x": -9.0, "y": 6.0}, {"x": 1.0, "y": 1.0}]


def test_over_travel_leaves_an_axis_alone_that_it_has_no_distance_for() -> None:
    legs = OverTravel({"x": 10.0}).waypoints({"x": 1.0, "z": 2.0}, {})
    assert legs == [{"x": -9.0, "z": 2.0}, {"x": 1.0}]


def test_a_relaxed_over_travel_goes_beyond_and_comes_back() -> None:
    legs = OverTravel({"x": 10.0}, relax=0.025).waypoints({"x": 1.0}, {})
    assert [leg["x"] for leg in legs] == [-9.0, 1.025, 1.0]


def test_an_inverted_play_is_added_on_a_reversal() -> None:
    # the specimen is at 9.7 and shall go to 5, where it will lag on the other side
    legs = PlayInversion({"x": 0.6}).waypoints({"x": 5.0}, {"x": UP})
    assert legs == [{"x": pytest.approx(4.7)}]


def test_an_inverted_play_leads_by_half_of_it_in_the_same_direction() -> None:
    legs = PlayInversion({"x": 0.6}).waypoints({"x": 15.0}, {"x": UP})
    assert legs == [{"x": pytest.approx(15.3)}]


@pytest.mark.parametrize("now", [Standing(10.0, 0, 0.0), Standing(10.0, -1, 0.2)])
def test_a_play_of_unknown_state_is_taken_up_from_below(now: Standing) -> None:
    first, last = PlayInversion({"x": 0.6}).waypoints({"x": 15.0}, {"x": now})
    assert last["x"] == pytest.approx(15.3)
    assert last["x"] - first["x"] > 0.6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OverTravel({"x": 0.0}), "over-travel of x is 0.0"),
        (lambda: OverTravel({"x": 1.0}, relax=-1.0), "relax is -1.0"),
        (lambda: PlayInversion({"x": float("nan")}), "backlash of x is nan"),
    ],
)
def test_numbers_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_status_is_done_after_the_last_waypoint(bench: Any) -> None:
    stage = over(bench, Legs({"x": -3.0}, {"x": 2.0}, {"x": 1.0}))
    stage.set({"x": 1.5}).wait(timeout=30)
    assert bench.tem.goniometer.x.target.get() == 1.0
    assert bench.client.sent["stage.move"] == 3


def test_an_approach_is_told_how_the_axes_stand(bench: Any) -> None:
    bench.tem.goniometer.x.set(-4.0).wait(timeout=30)
    approach = Legs({"x": 1.0})
    over(bench, approach).set({"x": 1.0}).wait(timeout=30)
    now = approach.standing["x"]
    assert (now.target, now.direction, now.travel) == (-4.0, -1, pytest.approx(4.0))


def test_a_waypoint_outside_the_limits_is_refused_before_the_first_leg(bench: Any) -> None:
    low, _ = bench.tem.goniometer.x.limits
    stage = over(bench, OverTravel({"x": 10.0}))
    with pytest.raises(LimitError, match="outside"):
        stage.set({"x": low + 1.0})
    assert bench.client.sent["stage.move"] == 0


def test_an_axis_that_it_has_not_is_refused(bench: Any) -> None:
    with pytest.raises(LimitError, match="has no axis 'alpha': choose among x, y, z"):
        over(bench, Direct()).set({"alpha": 1.0})


def test_a_failed_leg_fails_the_status_with_its_cause(tmp_path: Path) -> None:
    second_runs_into_its_switch = FaultPlan(scheduled={1: Fault("limiter", reach=0.25)})
    bench = make_bench(tmp_path, faults=second_runs_into_its_switch)
    try:
        status = over(bench, Legs({"x": 2.0}, {"x": 20.0}, {"x": 3.0})).set({"x": 3.0})
        with pytest.raises(InstrumentError, match="limit switch"):
            status.wait(timeout=30)
        assert bench.client.sent["stage.move"] == 2
    finally:
        bench.close()


def test_a_stop_ends_the_leg_and_those_after_it(slow_bench: Any) -> None:
    stage = over(slow_bench, Legs({"x": 20.0}, {"x": 40.0}))
    status = stage.set({"x": 40.0})
    stage.stop()
    with pytest.raises(CancelledError):
        status.wait(timeout=30)
    assert slow_bench.client.sent["stage.move"] == 1


def test_a_stop_of_a_pause_lets_the_move_count_as_done(slow_bench: Any) -> None:
    stage = over(slow_bench, Legs({"x": 20.0}, {"x": 40.0}))
    status = stage.set({"x": 40.0})
    stage.stop(success=True)
    status.wait(timeout=30)
    assert slow_bench.client.sent["stage.move"] == 1


def test_an_axis_on_its_way_is_not_sent_elsewhere(slow_bench: Any) -> None:
    stage = over(slow_bench, Legs({"x": 20.0}, {"x": 40.0}))
    status = stage.set({"x": 40.0})
    with pytest.raises(BusyError, match="x is moving: wait for its end"):
        stage.x.set(1.0)
    stage.stop(success=True)
    status.wait(timeout=30)


def test_two_axes_move_each_on_its_own_way(bench: Any, engine: Any) -> None:
    stage = over(bench, OverTravel({"x": 10.0, "y": 10.0}))
    engine(bps.mv(stage.x, 3.0, stage.y, 4.0))
    assert (bench.tem.goniometer.x.target.get(), bench.tem.goniometer.y.target.get()) == (3.0, 4.0)


def test_a_stop_ends_the_ways_of_all_axes(slow_bench: Any) -> None:
    stage = over(slow_bench, OverTravel({"x": 10.0, "y": 10.0}))
    statuses = [stage.x.set(20.0), stage.y.set(20.0)]
    stage.stop(success=True)
    for status in statuses:
        status.wait(timeout=30)
    assert slow_bench.client.sent["stage.move"] == 2


def test_progress_is_that_of_the_leg(bench: Any) -> None:
    seen: list[dict[str, Any]] = []
    status = over(bench, OverTravel({"x": 10.0})).set({"x": 60.0})
    status.watch(lambda **progress: seen.append(progress))
    status.wait(timeout=30)
    assert seen[-1]["target"] == 60.0
    assert seen[-1]["name"] == "corrected_x"


def test_an_axis_moves_by_itself(bench: Any) -> None:
    stage = over(bench, OverTravel({"x": 10.0}))
    stage.x.set(5.0).wait(timeout=30)
    assert bench.tem.goniometer.x.target.get() == 5.0
    assert stage.x.position == pytest.approx(5.0, abs=0.2)


def test_a_reading_has_what_was_asked_commanded_and_reported(bench: Any) -> None:
    stage = over(bench, PlayInversion({"x": 0.6}))
    stage.set({"x": 5.0}).wait(timeout=30)
    reading = stage.read()
    assert reading["corrected_x_target"]["value"] == 5.0
    assert reading["corrected_x_commanded"]["value"] == pytest.approx(5.3)
    assert reading["corrected_x"]["value"] == pytest.approx(5.3, abs=0.2)


def test_what_was_asked_is_forgotten_when_another_moves_the_stage(bench: Any) -> None:
    stage = over(bench, PlayInversion({"x": 0.6}))
    stage.set({"x": 5.0}).wait(timeout=30)
    bench.tem.goniometer.x.set(8.0).wait(timeout=30)
    assert stage.x.locate()["setpoint"] == 8.0


def test_a_reading_is_one_request(bench: Any) -> None:
    stage = over(bench, Direct())
    bench.client.sent.clear()
    stage.read()
    assert bench.client.sent["stage.read"] == 1


def test_the_approach_is_in_the_configuration(bench: Any) -> None:
    stage = over(bench, OverTravel({"x": 10.0}, relax=0.025))
    found = {key: entry["value"] for key, entry in stage.read_configuration().items()}
    assert found["corrected_approach"] == "over-travel"
    assert found["corrected_approach_distance_x"] == 10.0
    assert found["corrected_approach_relax"] == 0.025
    assert set(stage.describe_configuration()) == set(found)


def test_any_plan_runs_on_it(bench: Any, engine: Any, documents: Any) -> None:
    stage = over(bench, OverTravel({"x": 10.0, "y": 10.0}))
    engine(bp.grid_scan([stage], stage.x, 0, 2, 2, stage.y, 0, 1, 2, snake_axes=False))
    rows = [event["data"] for event in documents.of("event")]
    asked = [(row["corrected_x_target"], row["corrected_y_target"]) for row in rows]
    assert asked == [(0.0, 0.0), (0.0, 1.0), (2.0, 0.0), (2.0, 1.0)]


def test_a_relative_move_starts_from_what_was_asked(bench: Any, engine: Any) -> None:
    stage = over(bench, PlayInversion({"x": 0.6}))

    def steps() -> Any:
        yield from bps.mv(stage.x, 5.0)
        yield from bps.mvr(stage.x, 1.0)

    engine(steps())
    assert stage.x.requested == pytest.approx(6.0)


def test_a_plan_is_told_why_a_move_failed(bench: Any, engine: Any) -> None:
    low, _ = bench.tem.goniometer.x.limits
    stage = over(bench, Legs({"x": low - 1.0}))
    with pytest.raises((LimitError, FailedStatus), match="outside"):
        engine(bps.mv(stage, {"x": 0.0}))
