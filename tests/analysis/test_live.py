"""A raw run becomes an analysis run: schema, numbers, order of documents, failures."""

from __future__ import annotations

import copy
import json
import random

import event_model
import h5py
import numpy as np
import pytest

from analysis.alignment import StepClass, result_from_documents
from analysis.live import HysteresisAnalysis
from analysis.live.router import analysis_uid
from analysis.replay import replay

TARGETS = np.array([(0, 0), (0.4, 0), (0.8, 0), (0.4, 0), (0, 0), (0, 0.4), (0, 0.8)], dtype=float)
ACTUAL = TARGETS + np.array([(0, 0)] * 3 + [(0.1, 0.01)] * 2 + [(0.1, -0.05)] * 2)
REPORTED = TARGETS + 0.002 * np.random.default_rng(0).standard_normal(TARGETS.shape)


def analysed(documents, **options):
    found = []
    router = HysteresisAnalysis(lambda name, doc: found.append((name, doc)), **options)
    replay(documents, router)
    router.close()
    return found


def events(documents, stream):
    uids = [d["uid"] for n, d in documents if n == "descriptor" and d["name"] == stream]
    return [d["data"] for n, d in documents if n == "event" and d["descriptor"] in uids]


def one(documents, name):
    (found,) = [doc for kind, doc in documents if kind == name]
    return found


@pytest.fixture
def raw(raw_run):
    return raw_run.documents(TARGETS, REPORTED, ACTUAL)


def test_every_document_obeys_the_event_model(raw):
    for name, doc in analysed(raw):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_actual_displacements_are_those_of_the_specimen(raw):
    rows = events(analysed(raw), "displacement")
    found = [(row["actual_displacement_x"], row["actual_displacement_y"]) for row in rows]
    np.testing.assert_allclose(found, np.diff(ACTUAL, axis=0), atol=0.002)
    assert all(row["accepted"] for row in rows)


def test_rotated_camera_gives_the_displacements_of_the_stage(raw_run):
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    rows = events(
        analysed(raw_run.documents(TARGETS, REPORTED, ACTUAL, to_stage=turn)), "displacement"
    )
    found = [(row["actual_displacement_x"], row["actual_displacement_y"]) for row in rows]
    np.testing.assert_allclose(found, np.diff(ACTUAL, axis=0), atol=0.002)


def test_standard_errors_are_those_found(raw):
    rows = events(analysed(raw), "displacement")
    found = np.array([[row[f"actual_displacement_{a}"] for a in "xy"] for row in rows])
    stderr = np.array([[row[f"actual_displacement_{a}_stderr"] for a in "xy"] for row in rows])
    z = (found - np.diff(ACTUAL, axis=0)) / stderr
    assert 0.3 < np.sqrt(np.mean(z**2)) < 2.0


def test_steps_carry_axis_direction_and_class(raw):
    rows = events(analysed(raw), "displacement")
    assert [(r["axis"], r["direction"], r["step_class"]) for r in rows] == [
        ("x", 1, "unknown history"),
        ("x", 1, "unknown history"),
        ("x", -1, "first after reversal"),
        ("x", -1, "later"),
        ("y", 1, "unknown history"),
        ("y", 1, "unknown history"),
    ]
    assert [r["raw_seq_num"] for r in rows] == [2, 3, 4, 5, 6, 7]


def test_start_names_the_raw_run_the_code_and_the_parameters(raw):
    start = one(analysed(raw, prior_sigma=0.7), "start")
    assert start["raw_uid"] == one(raw, "start")["uid"]
    assert start["raw_scan_id"] == 7
    assert start["purpose"] == "analysis"
    assert start["analysis"]["name"] == "hysteresis"
    assert start["analysis"]["parameters"] == {"prior_sigma": 0.7, "min_overlap": 0.15}
    assert start["analysis"]["version"]


def test_uid_follows_from_raw_uid_name_and_parameters():
    uid = analysis_uid("raw", "hysteresis", {"a": 1, "b": 2})
    assert uid == analysis_uid("raw", "hysteresis", {"b": 2, "a": 1})
    assert len({uid, analysis_uid("raw2", "hysteresis", {"a": 1, "b": 2})}) == 2
    assert uid != analysis_uid("raw", "hysteresis", {"a": 1, "b": 3})


def test_analysing_twice_gives_the_same_documents(raw):
    assert repr(analysed(raw)) == repr(analysed(raw))


def as_catalog(documents):
    """Documents as a catalog gives them: other uids, pages, one datum after all events."""
    kinds = {
        kind: [d for n, d in documents if n == kind]
        for kind in ("start", "descriptor", "event", "stream_resource", "stop")
    }
    descriptor = {**kinds["descriptor"][0], "uid": "other"}
    page = {
        "descriptor": "other",
        "uid": [f"event-{i}" for i, _ in enumerate(kinds["event"])],
        "seq_num": [np.int64(e["seq_num"]) for e in kinds["event"]],
        "time": [np.float64(e["time"]) for e in kinds["event"]],
        "data": {
            key: [np.float64(e["data"][key]) for e in kinds["event"]]
            for key in kinds["event"][0]["data"]
        },
        "timestamps": {},
    }
    count = len(kinds["event"])
    datum = {
        "uid": "sd-0",
        "stream_resource": "sr",
        "descriptor": "other",
        "seq_nums": {"start": 1, "stop": count + 1},
        "indices": {"start": 0, "stop": count},
    }
    return [
        ("start", kinds["start"][0]),
        ("descriptor", descriptor),
        ("event_page", page),
        ("stream_resource", {**kinds["stream_resource"][0], "uid": "sr"}),
        ("stream_datum", datum),
        ("stop", kinds["stop"][0]),
    ]


def test_numbers_from_the_catalog_are_those_of_the_live_run_bit_for_bit(raw):
    assert repr(analysed(as_catalog(raw))) == repr(analysed(raw))


def test_order_of_images_and_events_does_not_matter(raw):
    inner = raw[2:-1]
    random.Random(3).shuffle(inner)
    assert repr(analysed([*raw[:2], *inner, raw[-1]])) == repr(analysed(raw))


def test_runs_that_overlap_in_time_are_kept_apart(raw, raw_run):
    other = copy.deepcopy(raw)
    text = json.dumps(other).replace(raw[0][1]["uid"], "11111111-3a05-4d8c-a6ad-f2b8e3a9b8f0")
    for name in ("descriptor", "stream_resource"):
        text = text.replace(one(raw, name)["uid"], f"other-{name}")
    other = [tuple(pair) for pair in json.loads(text)]
    mixed = [doc for pair in zip(raw, other, strict=True) for doc in pair]
    found = analysed(mixed)
    assert len([n for n, _ in found if n == "stop"]) == 2
    assert len(events(found, "displacement")) == 2 * (len(TARGETS) - 1)


def test_result_is_rebuilt_from_the_analysis_documents_alone(raw):
    documents = analysed(raw)
    found = result_from_documents(json.loads(json.dumps(documents)))
    row = events(documents, "deficit")[1]
    assert found.raw_uid == one(raw, "start")["uid"]
    assert found.steps.step_class[2] == (StepClass.FIRST, StepClass.NONE)
    assert found.deficit("x", -1).actual.value == row["actual_deficit"]
    np.testing.assert_allclose(found.actual - found.actual[0], ACTUAL - ACTUAL[0], atol=0.005)


def test_deficit_of_the_run_is_the_play_put_in(raw_run, stage_run):
    targets, reported, actual = stage_run(0.25, 3, 2, (0.1, 0.05))
    keep = targets[:, 1] == 0  # the x axis is enough
    documents = analysed(raw_run.documents(targets[keep], reported[keep], actual[keep]))
    row = next(r for r in events(documents, "deficit") if (r["axis"], r["direction"]) == ("x", 1))
    assert row["actual_deficit_low"] < 0.1 < row["actual_deficit_high"]
    assert row["actual_deficit"] == pytest.approx(0.1, abs=0.003)
    assert row["reported_deficit"] == pytest.approx(0.0, abs=1e-9)


def with_tilt(documents, targets, reported):
    """The same run with an axis alpha, in degrees."""
    documents = copy.deepcopy(documents)
    one(documents, "start")["fields"]["axes"]["alpha"] = {"reported": "tilt", "target": "tilt_to"}
    keys = one(documents, "descriptor")["data_keys"]
    keys["tilt"] = keys["tilt_to"] = {
        "source": "test",
        "dtype": "number",
        "shape": [],
        "units": "deg",
    }
    stops = [doc for name, doc in documents if name == "event"]
    for stop, target, place in zip(stops, targets, reported, strict=True):
        stop["data"] |= {"tilt": place, "tilt_to": target}
        stop["timestamps"] |= {"tilt": stop["time"], "tilt_to": stop["time"]}
    return documents


TILTS = np.array([0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0])
TILTS_REPORTED = np.array([0.0, 1.0, 2.0, 1.1, 0.1, 1.0, 2.0])


@pytest.fixture
def tilted(raw_run):
    still = np.zeros((len(TILTS), 2))
    return with_tilt(raw_run.documents(still, still, still), TILTS, TILTS_REPORTED)


def test_steps_of_a_tilt_are_analysed_as_reported_in_degrees(tilted):
    documents = analysed(tilted)
    rows = events(documents, "deficit_deg")
    assert [(row["axis"], row["direction"]) for row in rows] == [("alpha", 1), ("alpha", -1)]
    assert rows[1]["reported_deficit"] == pytest.approx(0.1, abs=1e-9)
    assert np.isnan(rows[1]["actual_deficit"])
    assert events(documents, "deficit") == []
    keys = {
        d["name"]: d["data_keys"]["reported_deficit"]["units"]
        for n, d in documents
        if n == "descriptor" and "deficit" in d["name"]
    }
    assert keys == {"deficit": "µm", "deficit_deg": "deg"}


def test_result_of_a_tilt_is_rebuilt_whatever_the_order_of_the_columns(tilted):
    documents = json.loads(json.dumps(analysed(tilted)))
    for name, doc in documents:
        if name == "descriptor":
            doc["data_keys"] = dict(sorted(doc["data_keys"].items()))
    found = result_from_documents(documents)
    assert (found.steps.axes, found.steps.units) == (("x", "y", "alpha"), ("µm", "µm", "deg"))
    np.testing.assert_array_equal(found.reported[:, 2], TILTS_REPORTED)
    assert found.deficit("alpha", -1).reported.value == pytest.approx(0.1, abs=1e-9)


def test_lengths_in_another_unit_than_that_of_the_images_are_refused(raw):
    raw = copy.deepcopy(raw)
    one(raw, "descriptor")["data_keys"]["stage_y"]["units"] = "mm"
    stop = one(analysed(raw), "stop")
    assert stop["exit_status"] == "fail"
    assert "is recorded in mm, must be µm" in stop["reason"]


def test_a_failed_analysis_has_no_result(raw):
    documents = analysed(raw)
    documents[-1] = ("stop", {**documents[-1][1], "exit_status": "fail", "reason": "no disk"})
    with pytest.raises(ValueError, match="the analysis failed: no disk"):
        result_from_documents(documents)


def test_what_cannot_be_emitted_does_not_keep_other_runs_from_being_closed(raw, caplog):
    refused = []

    def emit(name, doc):
        if name == "stop":
            refused.append(name)
            raise OSError("disk full")

    router = HysteresisAnalysis(emit)
    replay(raw[:-1], router)
    router.close()
    assert refused == ["stop"]
    assert "could not be closed" in caplog.text


def test_aborted_run_is_analysed_as_far_as_it_went(raw):
    stop = {**raw[-1][1], "exit_status": "abort"}
    found = analysed([*raw[:11], ("stop", stop)])
    assert len(events(found, "displacement")) == 3
    assert one(found, "stop")["exit_status"] == "success"
    assert "abort" in one(found, "stop")["reason"]


def test_run_without_stop_is_closed(raw):
    found = analysed(raw[:-1])
    assert "no stop document" in one(found, "stop")["reason"]


def test_missing_image_refuses_its_steps_and_no_others(raw):
    datums = [i for i, (name, _) in enumerate(raw) if name == "stream_datum"]
    rows = events(analysed(raw[: datums[3]] + raw[datums[3] + 1 :]), "displacement")
    assert [row["accepted"] for row in rows] == [True, True, False, False, True, True]
    assert "event 4" in rows[2]["reason"]
    assert np.isnan(rows[2]["actual_displacement_x"])


def test_blank_image_refuses_its_two_steps_with_the_reason(raw_run):
    documents = raw_run.documents(TARGETS, REPORTED, ACTUAL)
    with h5py.File(raw_run.path, "r+") as file:
        frames = file["entry/data"]
        assert isinstance(frames, h5py.Dataset)
        frames[2] = 7
    rows = events(analysed(documents), "displacement")
    assert [row["accepted"] for row in rows] == [True, False, False, True, True, True]
    assert "constant" in rows[1]["reason"]


def test_value_that_the_run_does_not_record_fails_the_analysis_with_its_name(raw):
    fields = {**raw[0][1]["fields"], "pixel_size": "cam_scale"}
    found = analysed([("start", {**raw[0][1], "fields": fields}), *raw[1:]])
    assert one(found, "stop")["exit_status"] == "fail"
    assert "does not record cam_scale" in one(found, "stop")["reason"]


def test_asset_of_another_type_fails_the_analysis_with_its_name(raw):
    index = [name for name, _ in raw].index("stream_resource")
    raw[index] = ("stream_resource", {**raw[index][1], "mimetype": "image/tiff"})
    stop = one(analysed(raw), "stop")
    assert stop["exit_status"] == "fail"
    assert "image/tiff" in stop["reason"]


def test_one_stop_alone_fails_with_words(raw):
    stop = one(analysed([*raw[:5], raw[-1]]), "stop")
    assert stop["exit_status"] == "fail"
    assert "at least two stops" in stop["reason"]


@pytest.mark.parametrize(
    "change",
    [
        {"fields": None},
        {"fields": {"image": "cam_image"}},
        {"purpose": "analysis"},
        {"fields": {"image": "i", "pixel_size": "p", "camera_to_stage": "c", "axes": {"z": {}}}},
    ],
)
def test_runs_it_does_not_understand_are_ignored(raw, change):
    assert analysed([("start", {**raw[0][1], **change}), *raw[1:]]) == []


def test_nothing_that_happens_reaches_the_run_engine(raw, caplog):
    def broken(name, doc):
        raise OSError("disk full")

    replay(raw, HysteresisAnalysis(broken))
    assert "could not handle" in caplog.text


def test_documents_have_units_and_no_none(raw):
    documents = analysed(raw)
    for name, doc in documents:
        if name == "descriptor":
            numbers = [k for k, v in doc["data_keys"].items() if v["dtype"] == "number"]
            assert all("units" in doc["data_keys"][key] for key in numbers)
            assert doc["hints"][doc["name"]]["fields"]
        if name == "event":
            assert None not in doc["data"].values()
            assert json.loads(json.dumps(doc))["data"].keys() == doc["data"].keys()


def test_prior_must_be_positive():
    with pytest.raises(ValueError, match="must be positive"):
        HysteresisAnalysis(print, prior_sigma=0.0)
