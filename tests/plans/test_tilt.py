"""Eucentric height and tilt series on a microscope behind the real wire."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import RunEngineSimulator, check_limits
from bluesky.utils import FailedStatus, RunEngineInterrupted

from analysis.tilting import HoldLast, NoPrediction, TiltPredictor
from devices.drivers import CameraSettings
from devices.wire import InstrumentError
from plans.tilt import eucentric_height, tilt_series
from sim.specimen import ProceduralSpecimen
from sim.stage import profile

SHORT: dict[str, Any] = {"start": -6.0, "stop": 6.0, "step": 3.0, "over_travel": 0.0}
NM = 1e-3


@pytest.fixture
def textured(bench: Any) -> Any:
    """The bench with a specimen that can be registered, 3.75 µm of it in 96 pixels."""
    bench.simulated.camera._specimen = ProceduralSpecimen(11)
    bench.simulated.camera.configure(CameraSettings((96, 96), 1.6e-6))
    return bench


def primary(documents: Any) -> list[dict[str, Any]]:
    (descriptor,) = (d["uid"] for d in documents.of("descriptor") if d["name"] == "primary")
    return [event for event in documents.of("event") if event["descriptor"] == descriptor]


def values(documents: Any, key: str) -> list[Any]:
    return [event["data"][key] for event in primary(documents)]


def actual(bench: Any, documents: Any) -> np.ndarray:
    """Where the simulator had the specimen in each image, (n, 2) µm from the first."""
    times = np.array(values(documents, "tem_camera_time"))
    places = bench.simulated.truth.actual(times)[:, :2] * 1e6
    return places - places[0]


def assert_safe(bench: Any, *, z: float = 0.0) -> None:
    column, axes = bench.simulated.column.read(), bench.simulated.stage.read().axes
    targets = {name: axis.target for name, axis in axes.items()}
    assert column.beam_blank
    assert column.image_shift == pytest.approx((0.0, 0.0), abs=1e-12)
    assert targets == pytest.approx({"x": 0, "y": 0, "z": z, "alpha": 0, "beta": 0}, abs=1e-11)


def test_a_series_takes_its_tilts_in_order(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    engine(tilt_series(textured.tem, **SHORT))
    np.testing.assert_allclose(
        values(documents, "tem_goniometer_alpha_target"), [0, 3, -3, -6, 6], atol=1e-9
    )


def test_what_is_found_is_where_the_specimen_went(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    run: Any = engine(tilt_series(textured.tem, **SHORT))
    np.testing.assert_allclose(run.plan_result.found, actual(textured, documents), atol=10 * NM)


def test_the_residual_is_what_the_image_shift_has_left(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    run: Any = engine(tilt_series(textured.tem, **SHORT))
    shifts = [values(documents, f"tem_column_image_shift_{axis}") for axis in "xy"]
    left = actual(textured, documents) + NM * np.transpose(shifts)
    np.testing.assert_allclose(run.plan_result.residuals, left, atol=10 * NM)


def test_the_run_records_what_was_predicted_and_what_was_found(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    run: Any = engine(tilt_series(textured.tem, **SHORT))
    for what, table in (("predicted", "predicted"), ("found", "found"), ("off", "residuals")):
        recorded = np.transpose([values(documents, f"tem_tracker_{what}_{axis}") for axis in "xy"])
        np.testing.assert_array_equal(recorded, getattr(run.plan_result, table))
    assert values(documents, "tem_tracker_accepted") == [1] * len(run.plan_result.tilts)


def test_the_image_shift_of_each_image_is_the_prediction_made_before_it(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    run: Any = engine(tilt_series(textured.tem, **SHORT))
    shifts = np.transpose([values(documents, f"tem_column_image_shift_{axis}") for axis in "xy"])
    np.testing.assert_allclose(NM * shifts, -run.plan_result.predicted, atol=1e-6)


def test_without_tracking_the_image_is_not_shifted(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    engine(tilt_series(textured.tem, **SHORT, track=False))
    assert set(values(documents, "tem_column_image_shift_y")) == {0.0}


@pytest.mark.parametrize("predictor", [NoPrediction(), HoldLast(), TiltPredictor()])
def test_any_predictor_can_be_given(
    textured: Any, engine: RunEngine, documents: Any, predictor: Any
) -> None:
    run: Any = engine(tilt_series(textured.tem, **SHORT, predict=predictor))
    assert documents.of("start")[0]["plan_args"]["predict"] == type(predictor).__name__
    assert run.plan_result.accepted.all()


def test_a_continuous_series_is_approached_with_the_feature_in_sight(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    run: Any = engine(tilt_series(textured.tem, start=-40, stop=-34, step=3, scheme="continuous"))
    assert [d["name"] for d in documents.of("descriptor")].count("approach") == 1
    assert np.abs(run.plan_result.residuals).max() < 1.0  # of 3.75 µm


def test_the_stage_takes_over_where_the_image_shift_ends(
    textured: Any, engine: RunEngine, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"magnification": (1e3, 2e6), "image_shift": (-0.2e-6, 0.2e-6)}
    monkeypatch.setattr(type(textured.simulated.column), "_limits", limits)
    textured.tem.client.connect(30)
    hello = textured.tem.client.hello
    hello.services["column"]["limits"]["image_shift"] = [-0.2e-6, 0.2e-6]
    run: Any = engine(tilt_series(textured.tem, start=-30, stop=0, step=5, over_travel=0))
    assert np.ptp(values(documents, "tem_goniometer_y_target")) > 0.5
    assert np.abs(run.plan_result.residuals).max() < 1.2
    assert_safe(textured)


def test_a_series_leaves_the_microscope_as_it_was(textured: Any, engine: RunEngine) -> None:
    engine(tilt_series(textured.tem, **SHORT))
    assert_safe(textured)


def test_play_is_taken_up_after_every_tilt(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    engine(tilt_series(textured.tem, **{**SHORT, "over_travel": 1.0}))
    assert set(values(documents, "tem_goniometer_y_direction")) == {1}


def test_a_feature_that_is_lost_ends_the_series(bench: Any, engine: RunEngine) -> None:
    class Noise:
        def sample(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.random.default_rng().random(x.shape).astype(np.float32)

    bench.simulated.camera._specimen = Noise()
    bench.simulated.camera.configure(CameraSettings((64, 64), 1.6e-6))
    with pytest.raises(RuntimeError, match="the feature was lost before"):
        engine(tilt_series(bench.tem, **SHORT))
    assert_safe(bench)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "spiral"}, "choose of dose-symmetric"),
        ({"start": 10.0, "stop": -10.0}, "from low to high"),
        ({"step": 0.0}, "step above 0"),
        ({"start": -80.0}, "outside -70..70 deg"),
        ({"over_travel": -1.0}, "over_travel is -1 µm: it must be 0 or more"),
        ({"settle_time": math.nan}, "settle_time is nan: a finite number"),
        ({"over_travel": 2000.0}, "outside -990..990 µm"),
    ],
)
def test_a_series_refuses_bad_input_before_anything_moves(
    bench: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        engine(tilt_series(bench.tem, **{**SHORT, **arguments}))
    assert "\n" not in str(caught.value)
    assert bench.client.sent["stage.move"] == 0
    assert documents.all == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tilt": 0.0}, "angles above 0 deg are needed"),
        ({"tilt": ()}, "angles above 0 deg are needed"),
        ({"tilt": 80.0}, "outside -70..70 deg"),
        ({"iterations": 1}, "iterations is 1: at least one for each of 2 tilts"),
        ({"tolerance": 0.0}, "tolerance is 0 µm: it must be above 0"),
        ({"reach": 500.0}, "outside -220..220 µm"),
    ],
)
def test_the_height_refuses_bad_input_before_anything_moves(
    bench: Any, engine: RunEngine, documents: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        engine(eucentric_height(bench.tem, **arguments))
    assert "\n" not in str(caught.value)
    assert bench.client.sent["stage.move"] == 0
    assert documents.all == []


@pytest.mark.usefixtures("engine")  # check_limits borrows the RunEngine's event loop
@pytest.mark.parametrize("experiment", [eucentric_height, tilt_series])
def test_limits_can_be_checked_without_moving(bench: Any, experiment: Any) -> None:
    check_limits(experiment(bench.tem))
    assert bench.client.sent["stage.move"] == 0


@pytest.mark.parametrize("experiment", [eucentric_height, tilt_series])
def test_neither_is_rewindable(bench: Any, experiment: Any) -> None:
    messages = RunEngineSimulator().simulate_plan(experiment(bench.tem))
    assert False in [message.args[0] for message in messages if message.command == "rewindable"]


def test_the_height_found_is_that_of_the_tilt_axis(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    run: Any = engine(eucentric_height(textured.tem))
    found = run.plan_result
    assert found.reached
    height = textured.simulated.truth.actual(values(documents, "tem_camera_time")[-1] + 60)[2]
    geometry = profile("jeol-like").tilt
    assert geometry is not None
    assert 1e6 * height == pytest.approx(1e6 * geometry.axis_z, abs=1.0)  # it was 5


def test_the_specimen_stays_at_the_height_found(textured: Any, engine: RunEngine) -> None:
    run: Any = engine(eucentric_height(textured.tem))
    found = run.plan_result
    assert abs(found.dz) > 3.0
    assert_safe(textured, z=1e-6 * found.dz)


def test_a_height_out_of_reach_is_refused_and_z_put_back(textured: Any, engine: RunEngine) -> None:
    with pytest.raises(RuntimeError, match="beyond the reach of 2 µm"):
        engine(eucentric_height(textured.tem, reach=2.0))
    assert_safe(textured)


def test_an_abort_leaves_the_microscope_safe(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    def pause(name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 9:  # z has been moved
            threading.Thread(target=engine.request_pause, daemon=True).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(eucentric_height(textured.tem))
    engine.abort("the user had enough")
    assert documents.of("stop")[0]["exit_status"] == "abort"
    assert_safe(textured)


def test_a_pause_in_mid_series_loses_no_tilt(
    textured: Any, engine: RunEngine, documents: Any
) -> None:
    def pause(name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 2:
            threading.Thread(target=engine.request_pause, daemon=True).start()

    engine.subscribe(pause, "event")
    with pytest.raises(RunEngineInterrupted):
        engine(tilt_series(textured.tem, **SHORT))
    resumed: Any = engine.resume()
    assert resumed.plan_result.tilts == (0, 3, -3, -6, 6)
    np.testing.assert_allclose(
        values(documents, "tem_goniometer_alpha_target"), [0, 3, -3, -6, 6], atol=1e-9
    )


def test_the_beam_is_blanked_though_the_stage_cannot_return(
    textured: Any, engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_move = textured.simulated.stage.start_move
    moves: list[Any] = []

    def refuse(wanted: Any) -> float:
        moves.append(wanted)
        if len(moves) > 6:
            raise InstrumentError(f"the goniometer jammed at move {len(moves)}")
        return start_move(wanted)

    monkeypatch.setattr(textured.simulated.stage, "start_move", refuse)
    with pytest.raises(FailedStatus, match="jammed at move 7"):
        engine(tilt_series(textured.tem, **SHORT))
    column = textured.simulated.column.read()
    assert column.beam_blank
    assert column.image_shift == pytest.approx((0.0, 0.0), abs=1e-12)
