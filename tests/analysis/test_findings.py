"""What a stage run tells beyond its steps: published with the run, read back unchanged."""

from __future__ import annotations

import copy
import json
from dataclasses import astuple
from datetime import UTC, datetime

import event_model
import numpy as np
import pytest

from analysis.agreement import evaluate
from analysis.alignment import result_from_documents
from analysis.findings import model_from_rows, model_keys, model_rows
from analysis.live import HysteresisAnalysis
from analysis.record import StageRecord
from analysis.replay import replay
from analysis.stage_model import AxisModel, Cell, Quantity, StageModel

DRIFT = np.array([4.0, -1.0])  # nm/s; events are a second apart


def analysed(documents):
    found = []
    router = HysteresisAnalysis(lambda name, doc: found.append((name, doc)))
    replay(documents, router)
    return found


def streams(documents):
    return {doc["name"] for name, doc in documents if name == "descriptor"}


def stop_of(documents):
    return next(doc for name, doc in documents if name == "stop")


@pytest.fixture
def to_and_fro(raw_run):
    """A run along x with 0.2 µm of play, and the documents of its analysis."""
    path = 0.4 * np.array([0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0])
    actual = [0.0]
    for target in path[1:]:
        actual.append(min(max(actual[-1], target - 0.1), target + 0.1))
    still = np.zeros_like(path)
    sent = np.stack([path, still], 1)
    raw = raw_run.documents(sent, sent, np.stack([actual, still], 1))
    return raw, analysed(raw)


@pytest.fixture
def resting(raw_run):
    """A run of eight images at rest, while the specimen drifts."""
    still = np.zeros((8, 2))
    raw = raw_run.documents(still, still, 1e-3 * np.outer(np.arange(8.0), DRIFT))
    raw[0] = ("start", {**raw[0][1], "plan_name": "measure_drift"})
    return raw


def test_documents_obey_the_event_model(resting):
    for name, doc in analysed(resting):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_the_times_are_those_of_the_events(to_and_fro):
    found = result_from_documents(to_and_fro[1])
    np.testing.assert_array_equal(found.time, 1001.0 + np.arange(13))


def test_the_times_are_the_instruments_where_the_run_names_them(to_and_fro):
    raw = copy.deepcopy(to_and_fro[0])
    raw[0][1]["fields"]["time"] = "cam_time"
    for name, doc in raw:
        if name == "descriptor":
            seconds = {"source": "test", "dtype": "number", "shape": [], "units": "s"}
            doc["data_keys"]["cam_time"] = seconds
        if name == "event":
            doc["data"]["cam_time"] = 50.0 * doc["seq_num"]
            doc["timestamps"]["cam_time"] = 0.0
    found = result_from_documents(analysed(raw))
    np.testing.assert_array_equal(found.time, 50.0 * np.arange(1, 14))


def test_the_verdict_is_that_of_the_framework_on_the_result(to_and_fro):
    found = result_from_documents(json.loads(json.dumps(to_and_fro[1])))
    assert found.verdict == evaluate(StageRecord.of_result(found, time=found.time))


def test_play_makes_a_stage_inconsistent_by_the_direction_of_approach(to_and_fro):
    verdict = result_from_documents(to_and_fro[1]).verdict
    assert verdict is not None
    target_actual = verdict.axis("x").comparisons[1]
    assert target_actual.direction_effect == pytest.approx(-0.2, abs=0.02)
    assert [axis.axis for axis in verdict.axes] == ["x"]


def test_a_run_at_rest_tells_the_drift_and_no_verdict(resting):
    documents = analysed(resting)
    found = result_from_documents(documents)
    assert found.drift is not None
    np.testing.assert_allclose(found.drift.velocity, DRIFT, atol=0.3)
    assert (found.drift.low < DRIFT).all()
    assert (DRIFT < found.drift.high).all()
    assert streams(documents) == {"displacement", "deficit", "drift", "drift_track"}
    assert (found.verdict, found.note) == (None, "")


def test_the_track_is_read_back_unchanged(resting):
    found = result_from_documents(json.loads(json.dumps(analysed(resting)))).drift
    assert found is not None
    np.testing.assert_allclose(found.track, np.outer(found.elapsed, DRIFT), atol=3.0)


def test_a_run_that_identifies_no_stage_says_why_and_keeps_the_rest(to_and_fro):
    raw = [("start", {**to_and_fro[0][0][1], "characterisation": {}}), *to_and_fro[0][1:]]
    documents = analysed(raw)
    found = result_from_documents(documents)
    assert stop_of(documents)["exit_status"] == "success"
    assert "needed" in found.note
    assert found.model is None
    assert found.verdict is not None


def quantity(k):
    return Quantity(k, 0.1 * k, 0.8 * k, 1.2 * k)


def axis_model(name, first):
    numbers = iter(range(first, first + 40))

    def one():
        return quantity(float(next(numbers)))

    return AxisModel(
        axis=name,
        reported_scale=one(),
        reported_play=one(),
        scale=one(),
        play=one(),
        cells=(Cell(one(), one()), Cell(one(), one())),
        backlash=one(),
        period=one(),
        amplitudes=(one(), one()),
        phases=(one(), one()),
        repeatability=one(),
        repeatability_length=one(),
        slip_memory=one(),
        creep=one(),
        creep_limit=one(),
        drift=one(),
        crosstalk=one(),
    )


@pytest.fixture
def model():
    when = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    axes = (axis_model("x", 1), axis_model("y", 100))
    return StageModel(axes, when, "run 6e7c", 198, notes=("one thing", "another"))


def test_a_model_is_read_back_unchanged(model):
    assert model_from_rows(json.loads(json.dumps(model_rows(model)))) == model


def test_each_row_of_a_model_has_the_columns_that_are_declared(model):
    keys = model_keys(model)
    assert all(row.keys() == keys.keys() for row in model_rows(model))
    units = {key: keys[key]["units"] for key in ("play", "drift_low", "phases_2", "scale_high")}
    assert units == {"play": "µm", "drift_low": "µm/s", "phases_2": "rad", "scale_high": ""}


def test_what_a_model_does_not_know_stays_unknown(model):
    (row, _) = model_rows(model)
    found = model_from_rows([{**row, "period": None}])
    assert found is not None
    assert np.isnan(found.axes[0].period.value)
    assert astuple(found.axes[0].play) == astuple(model.axes[0].play)
