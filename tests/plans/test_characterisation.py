"""The characterisation plan: where it goes, what it records, and the model that it hands back."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import RunEngineSimulator, check_limits

import plans.characterisation
from analysis.characterisation import CharacterisationPath
from analysis.stage_model import StageModel
from devices.drivers import CameraSettings
from devices.wire import InstrumentError
from plans.characterisation import characterise

PLACES = np.array([(4.0, 4.0), (0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (3.0, 5.0), (3.0, 5.0)])
IMAGED = np.array([True, False, False, True, True, True])


class ShortPath:
    """Stands for `analysis.characterisation.characterisation_path`, and keeps what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: dict[str, Any] = {}
        monkeypatch.setattr(plans.characterisation, "characterisation_path", self)

    def __call__(self, **asked: Any) -> CharacterisationPath:
        self.asked = asked
        return CharacterisationPath(PLACES + asked["centre"], IMAGED)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> ShortPath:
    """Six moves, of which the last is a rest, and four images."""
    return ShortPath(monkeypatch)


@pytest.fixture
def wide(bench: Any) -> Any:
    """A microscope with a square field of 32 µm."""
    bench.simulated.camera.configure(CameraSettings((32, 32), 1e-6))
    bench.tem.column.field_of_view.set(32.0).wait(30)
    return bench


def moves(bench: Any, plan: Any) -> list[dict[str, float]]:
    messages = RunEngineSimulator().simulate_plan(plan)
    return [m.args[0] for m in messages if m.command == "set" and m.obj is bench.tem.goniometer]


def events(documents: Any, stream: str = "primary") -> list[dict[str, Any]]:
    (descriptor,) = (d["uid"] for d in documents.of("descriptor") if d["name"] == stream)
    return [event for event in documents.of("event") if event["descriptor"] == descriptor]


def targets(documents: Any, stream: str = "primary") -> list[list[float]]:
    names = [f"tem_goniometer_{axis}_target" for axis in "xy"]
    return [[event["data"][name] for name in names] for event in events(documents, stream)]


class Results:
    """A live analysis that found a model of the stage, or none."""

    def __init__(self, model: StageModel | None, note: str = "") -> None:
        self.result = SimpleNamespace(model=model, note=note)

    def future(self, raw_uid: str) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self.result)
        return future


def test_goes_along_the_path_about_where_the_stage_stands(wide: Any, path: ShortPath) -> None:
    wide.tem.goniometer.set({"x": 10.0, "y": -20.0}).wait(30)
    sent = moves(wide, characterise(wide.tem))
    centre = (10.0, -20.0)
    expected = [*(PLACES[:-1] + np.array(centre)), centre]  # nothing moves at rest
    np.testing.assert_allclose([[move["x"], move["y"]] for move in sent], expected)


def test_the_smaller_side_of_the_field_decides(wide: Any, path: ShortPath) -> None:
    wide.simulated.camera.configure(CameraSettings((32, 64), 1e-6))
    moves(wide, characterise(wide.tem, diamond_images=40, rest_images=3))
    assert path.asked == {
        "field_of_view": 16.0,
        "centre": (0.0, 0.0),
        "diamond_images": 40,
        "rest_images": 3,
    }


def test_images_are_taken_at_the_stops_only(wide: Any, path: ShortPath) -> None:
    messages = RunEngineSimulator().simulate_plan(characterise(wide.tem))
    streams = [m.kwargs["name"] for m in messages if m.command == "create"]
    assert [stream == "primary" for stream in streams] == IMAGED.tolist()
    assert [m.command for m in messages].count("trigger") == np.count_nonzero(IMAGED)


def test_waits_before_every_image(wide: Any, path: ShortPath) -> None:
    messages = RunEngineSimulator().simulate_plan(characterise(wide.tem, settle_time=2.5))
    before = [messages[n - 1] for n, m in enumerate(messages) if m.command == "trigger"]
    assert {(m.command, m.args[0]) for m in before} == {("sleep", 2.5)}


@pytest.mark.slow
def test_a_characterisation_takes_at_most_200_images(wide: Any) -> None:
    messages = RunEngineSimulator().simulate_plan(characterise(wide.tem))
    assert 100 < [m.command for m in messages].count("trigger") <= 200


@pytest.mark.usefixtures("engine")  # check_limits borrows the RunEngine's event loop
def test_limits_can_be_checked_without_moving(
    wide: Any, path: ShortPath, engine: RunEngine
) -> None:
    check_limits(characterise(wide.tem))
    assert wide.client.sent["stage.move"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"diamond_images": 18}, "diamond_images is 18, must be a multiple of 4"),
        ({"diamond_images": 88.0}, "diamond_images is 88.0: a whole number"),
        ({"rest_images": -1}, "rest_images is -1: a whole number of at least 0"),
        ({"diamond_images": 196}, "images: up to 200 are allowed"),
        ({"settle_time": -1.0}, "settle_time is -1 s: it must be 0 or more"),
    ],
)
def test_refuses_bad_input_before_anything_moves(
    wide: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        engine(characterise(wide.tem, **arguments))
    assert "\n" not in str(caught.value)
    assert wide.client.sent["stage.move"] == 0
    assert documents.all == []


def test_refuses_a_diamond_beyond_the_limits(wide: Any, engine: RunEngine) -> None:
    wide.tem.goniometer.set({"x": 900.0}).wait(30)
    sent = wide.client.sent["stage.move"]
    with pytest.raises(ValueError, match=r"x target .* outside"):
        engine(characterise(wide.tem))
    assert wide.client.sent["stage.move"] == sent


def test_refuses_a_small_field(bench: Any, engine: RunEngine) -> None:
    with pytest.raises(ValueError, match=r"field_of_view is 2.5 µm, must be 10 or more"):
        engine(characterise(bench.tem))


def test_a_failure_midway_blanks_the_beam_and_sends_the_stage_back(
    wide: Any, path: ShortPath, engine: RunEngine, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_move = wide.simulated.stage.start_move
    made: list[Any] = []

    def refuse_one(wanted: Any) -> float:
        made.append(wanted)
        if len(made) == 3:
            raise InstrumentError("the goniometer jammed")
        return start_move(wanted)

    monkeypatch.setattr(wide.simulated.stage, "start_move", refuse_one)
    with pytest.raises(Exception, match="jammed"):
        engine(characterise(wide.tem, settle_time=0.0))
    assert wide.simulated.column.read().beam_blank
    axes = wide.simulated.stage.read().axes
    assert [axes[axis].target for axis in "xy"] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert documents.of("stop")[0]["exit_status"] == "fail"


def test_records_an_image_at_every_stop_and_the_positions_at_every_move(
    wide: Any, path: ShortPath, engine: RunEngine, documents: Any
) -> None:
    done: Any = engine(characterise(wide.tem, settle_time=0.0))
    np.testing.assert_allclose(targets(documents), PLACES[IMAGED], atol=1e-6)
    np.testing.assert_allclose(targets(documents, "moves"), PLACES[~IMAGED], atol=1e-6)
    start = documents.of("start")[0]
    assert start["num_points"] == np.count_nonzero(IMAGED)
    assert start["characterisation"] == {
        "diamond_images": 96,
        "rest_images": 4,
        "settle_time": 0.0,
        "field_of_view": 32.0,
        "centre": {"x": 0.0, "y": 0.0},
    }
    assert (done.plan_result.result, done.plan_result.model) == (None, None)


def test_the_model_is_that_of_the_live_analysis(
    wide: Any, path: ShortPath, engine: RunEngine
) -> None:
    model = StageModel((), datetime.now(UTC), "", 4)
    done: Any = engine(characterise(wide.tem, settle_time=0.0, analysis=Results(model)))
    assert done.plan_result.model is model


def test_a_run_that_identifies_nothing_is_named(
    wide: Any, path: ShortPath, engine: RunEngine, documents: Any
) -> None:
    results = Results(None, "60 stops are needed")
    with pytest.raises(ValueError, match=r"run .* gives no model: 60 stops are needed") as caught:
        engine(characterise(wide.tem, settle_time=0.0, analysis=results))
    assert documents.of("start")[0]["uid"] in str(caught.value)
    assert documents.of("stop")[0]["exit_status"] == "success"
