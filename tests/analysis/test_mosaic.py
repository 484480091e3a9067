"""A raw run of a mosaic becomes an analysis run, a montage and a figure."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import event_model
import h5py
import numpy as np
import pytest
import tifffile
from matplotlib.quiver import QuiverKey

from analysis.live import Analyses, HysteresisAnalysis, MosaicAnalysis
from analysis.mosaic import grid_order, result_from_documents
from analysis.mosaic.figure import mosaic_figure
from analysis.replay import replay

PIXEL_UM = 0.025  # as the raw runs of conftest have it
SIZE = 64
ORDER = grid_order(3, 3, serpentine=True)
TARGETS = 0.6 * SIZE * PIXEL_UM * (ORDER[:, ::-1] - 1.0) + (2.0, -3.0)
REPORTED = TARGETS + 0.01 * np.random.default_rng(0).standard_normal(TARGETS.shape)
ACTUAL = REPORTED + 0.03 * np.random.default_rng(1).standard_normal(TARGETS.shape)
SIGMA: dict[str, Any] = {"prior_sigma": 0.05}


def analysed(documents, **options):
    found = []
    router = MosaicAnalysis(lambda name, doc: found.append((name, doc)), **{**SIGMA, **options})
    replay(documents, router)
    router.close()
    return found


def events(documents, stream):
    uids = [d["uid"] for n, d in documents if n == "descriptor" and d["name"] == stream]
    return [d["data"] for n, d in documents if n == "event" and d["descriptor"] in uids]


def one(documents, name):
    (found,) = [doc for kind, doc in documents if kind == name]
    return found


def raw_mosaic(raw_run, *, actual=ACTUAL, **options):
    documents = raw_run.documents(TARGETS, REPORTED, actual, size=SIZE, **options)
    documents[0][1]["mosaic"] = {"rows": 3, "columns": 3, "serpentine": True, "overlap": 0.4}
    return documents


def change_frame(raw_run, number, change):
    with h5py.File(raw_run.path, "r+") as file:
        frames = file["entry/data"]
        assert isinstance(frames, h5py.Dataset)
        frames[number] = change(frames[number])


@pytest.fixture
def raw(raw_run):
    return raw_mosaic(raw_run)


def stray(found):
    """Error of the actual positions about their mean, µm, shape (n, 2)."""
    error = found.actual - ACTUAL[: len(found.actual)]
    return error - error.mean(axis=0)


def test_a_serpentine_runs_every_other_row_backwards():
    np.testing.assert_array_equal(
        grid_order(2, 2, serpentine=True), [(0, 0), (0, 1), (1, 1), (1, 0)]
    )
    np.testing.assert_array_equal(
        grid_order(2, 2, serpentine=False), [(0, 0), (0, 1), (1, 0), (1, 1)]
    )


def test_every_document_obeys_the_event_model(raw, tmp_path):
    for name, doc in analysed(raw, folder=tmp_path):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_actual_positions_are_those_of_the_specimen(raw):
    found = result_from_documents(analysed(raw))
    assert np.sqrt(np.mean(stray(found) ** 2)) < 0.05 * PIXEL_UM
    np.testing.assert_array_equal(found.grid, ORDER)
    np.testing.assert_array_equal(found.target, TARGETS)
    np.testing.assert_array_equal(found.reported, REPORTED)


def test_a_rotated_camera_gives_positions_of_the_stage(raw_run):
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    found = result_from_documents(analysed(raw_mosaic(raw_run, to_stage=turn)))
    assert np.sqrt(np.mean(stray(found) ** 2)) < 0.05 * PIXEL_UM


def test_where_all_fields_lie_the_stage_says(raw):
    found = result_from_documents(analysed(raw))
    np.testing.assert_allclose(found.actual_minus_reported.mean(axis=0), 0.0, atol=1e-6)


def test_standard_errors_are_those_found(raw):
    found = result_from_documents(analysed(raw, drift_sigma=0.0))
    z = stray(found) / np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
    assert 0.3 < np.sqrt(np.mean(z**2)) < 2.0


def test_drift_that_no_image_shows_is_in_the_standard_errors(raw):
    one(raw, "start")["fields"]["dwell_time"] = "cam_dwell_time"
    one(raw, "descriptor")["configuration"]["cam"]["data"]["cam_dwell_time"] = 500.0  # µs
    without = result_from_documents(analysed(raw, drift_sigma=0.0)).covariance
    found = result_from_documents(analysed(raw, drift_sigma=2.0))
    # 2 nm/s for 64 * 64 * 0.5 ms, times the share of a frame's rows from the middle of the mosaic
    lever = (found.actual[:, 1] - found.actual[:, 1].mean()) / (SIZE * PIXEL_UM)
    expected = (2e-3 * SIZE**2 * 500e-6) ** 2 * (lever**2 + np.mean(lever**2))
    np.testing.assert_allclose(found.covariance[:, 0, 0] - without[:, 0, 0], expected, atol=1e-9)


def test_pairs_are_told_as_the_fields_arrive(raw):
    found = []
    router = MosaicAnalysis(lambda name, doc: found.append((name, doc)), **SIGMA)
    replay(raw[:-3], router)  # all but the last field
    assert {row["raw_seq_num"] for row in events(found, "pair")} == set(range(2, 9))


def test_a_pair_says_how_far_its_fields_lie_apart(raw):
    row = next(r for r in events(analysed(raw), "pair") if r["raw_seq_num"] == 2)
    expected = ACTUAL[1] - ACTUAL[0]
    np.testing.assert_allclose((row["shift_x"], row["shift_y"]), expected, atol=0.002)
    assert row["accepted"]
    assert 0 < row["shift_x_stderr"] < 0.002


def test_start_names_the_raw_run_the_code_and_the_parameters(raw, tmp_path):
    start = one(analysed(raw, prior_sigma=0.06, drift_sigma=0.2, folder=tmp_path), "start")
    assert start["raw_uid"] == one(raw, "start")["uid"]
    assert start["analysis"]["name"] == "mosaic"
    assert start["analysis"]["parameters"] == {"prior_sigma": 0.06, "drift_sigma": 0.2}


def test_analysing_twice_gives_the_same_documents_and_the_same_file(raw, tmp_path):
    texts, files = [], []
    for name in ("first", "second"):
        texts.append(repr(analysed(raw, folder=tmp_path / name)))
        (montage,) = (tmp_path / name).glob("*.ome.tif")
        files.append(tifffile.imread(montage))
    assert texts[0] == texts[1]
    np.testing.assert_array_equal(*files)


def test_result_survives_json_and_pages_with_none_for_nan(raw):
    documents = json.loads(json.dumps(analysed(raw)).replace("NaN", "null"))
    again, direct = result_from_documents(documents), result_from_documents(analysed(raw))
    np.testing.assert_array_equal(again.actual, direct.actual)
    np.testing.assert_array_equal(again.pairs.shift, direct.pairs.shift)


def test_the_montage_lies_where_the_stage_says(raw, tmp_path):
    found = result_from_documents(analysed(raw, folder=tmp_path))
    assert found.montage is not None
    assert found.montage.file == f"{found.raw_uid}.ome.tif"
    with tifffile.TiffFile(tmp_path / found.montage.file) as file:
        assert file.series[0].shape == found.montage.shape
        described = file.ome_metadata
    assert described is not None
    assert 'PhysicalSizeX="25.0"' in described
    corner = found.actual.min(axis=0) - (SIZE - 1) / 2 * PIXEL_UM
    assert np.abs(found.montage.first_pixel - corner).max() <= PIXEL_UM
    assert f'PositionX="{found.montage.first_pixel[0]}' in described


def test_the_montage_shows_each_field_at_its_place(raw, raw_run, tmp_path):
    found = result_from_documents(analysed(raw, folder=tmp_path))
    assert found.montage is not None
    image = tifffile.imread(tmp_path / found.montage.file).astype(float)
    corner = found.actual[4] - (SIZE - 1) / 2 * PIXEL_UM - found.montage.first_pixel
    column, row = np.rint(corner / PIXEL_UM).astype(int)
    with h5py.File(raw_run.path) as file:
        frames = file["entry/data"]
        assert isinstance(frames, h5py.Dataset)
        field = np.asarray(frames[4], dtype=float)
    part = image[row : row + SIZE, column : column + SIZE]
    assert np.corrcoef(part[16:-16, 16:-16].ravel(), field[16:-16, 16:-16].ravel())[0, 1] > 0.95


def test_a_figure_lies_beside_the_montage(raw, tmp_path):
    found = result_from_documents(analysed(raw, folder=tmp_path))
    assert (tmp_path / f"{found.raw_uid}.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 2 + 1  # and the raw file


def test_without_a_folder_nothing_is_written(raw, tmp_path):
    assert result_from_documents(analysed(raw)).montage is None
    assert len(list(tmp_path.iterdir())) == 1


def test_a_montage_that_cannot_be_written_leaves_the_positions(raw, tmp_path):
    (tmp_path / "file").write_text("")
    found = result_from_documents(analysed(raw, folder=tmp_path / "file"))
    assert found.montage is not None
    assert found.montage.file == ""
    assert "cannot be written" in found.montage.reason
    assert np.sqrt(np.mean(stray(found) ** 2)) < 0.05 * PIXEL_UM


def test_progress_can_end_the_analysis_and_leaves_no_file(raw, tmp_path):
    def progress(uid, what, done, total):
        if what == "montage":
            raise RuntimeError("the station was closed")

    stop = one(analysed(raw, folder=tmp_path / "out", progress=progress), "stop")
    assert (stop["exit_status"], stop["reason"]) == ("fail", "the station was closed")
    assert not list((tmp_path / "out").iterdir())


def test_progress_counts_the_fields(raw):
    told = []
    analysed(raw, progress=lambda uid, what, done, total: told.append((what, done, total)))
    assert told == [("fields registered", n, 9) for n in range(1, 10)]


def test_an_aborted_run_gives_what_it_has(raw):
    stop = {**raw[-1][1], "exit_status": "abort"}
    documents = analysed([*raw[: 3 + 2 * 5], ("stop", stop)])
    found = result_from_documents(documents)
    assert len(found.seq_num) == 5
    assert np.sqrt(np.mean(stray(found) ** 2)) < 0.05 * PIXEL_UM
    assert "abort" in one(documents, "stop")["reason"]


def test_one_field_alone_is_where_the_stage_says(raw, tmp_path):
    documents = analysed([*raw[:5], raw[-1]], folder=tmp_path)
    found = result_from_documents(documents)
    np.testing.assert_allclose(found.actual, REPORTED[:1], atol=1e-9)
    assert not found.placed.any()
    assert len(found.pairs.first) == 0
    assert (tmp_path / f"{found.raw_uid}.png").exists()


def check_refused(found, field):
    """The pairs of a field are refused, and no others of neighbours in a row or a column."""
    pairs = found.pairs
    touches = (pairs.first == field) | (pairs.second == field)
    beside = np.abs(found.grid[pairs.first] - found.grid[pairs.second]).sum(axis=1) == 1
    assert not pairs.accepted[touches].any()
    assert pairs.accepted[beside & ~touches].all()
    return touches


def test_a_blank_field_costs_its_own_pairs_only(raw_run):
    raw = raw_mosaic(raw_run)
    change_frame(raw_run, 4, lambda frame: np.full_like(frame, 7))
    found = result_from_documents(analysed(raw))
    check_refused(found, 4)
    assert not found.placed[4]
    assert np.isnan(found.actual_minus_target[4]).all()


@pytest.mark.parametrize("missing", [0, 4])
def test_a_missing_image_costs_its_own_pairs_only(raw, missing, tmp_path):
    datums = [i for i, (name, _) in enumerate(raw) if name == "stream_datum"]
    raw = raw[: datums[missing]] + raw[datums[missing] + 1 :]
    found = result_from_documents(analysed(raw, folder=tmp_path))
    touches = check_refused(found, missing)
    np.testing.assert_array_equal(np.flatnonzero(~found.imaged), [missing])
    assert f"event {missing + 1}" in found.pairs.reason[np.flatnonzero(touches)[0]]
    assert found.montage is not None
    assert found.montage.file


def test_a_pair_that_all_others_contradict_is_left_out_by_name(raw_run):
    moved = ACTUAL.copy()
    moved[0] += (4 * PIXEL_UM, 0.0)
    raw_mosaic(raw_run, actual=moved)
    with h5py.File(raw_run.path) as file:
        frames = file["entry/data"]
        assert isinstance(frames, h5py.Dataset)
        wrong = np.asarray(frames[0])
    raw = raw_mosaic(raw_run)

    def deface(frame):
        # what the first field shares with the second alone is seen 4 pixels off
        frame[:38, -26:] = wrong[:38, -26:]
        return frame

    change_frame(raw_run, 0, deface)
    found = result_from_documents(analysed(raw))
    (words,) = found.outliers
    assert "fields 1 (row 1, column 1) and 2 (row 1, column 2): x " in words
    assert "where all others say" in words
    (left_out,) = np.flatnonzero(found.pairs.left_out)
    assert (found.pairs.first[left_out], found.pairs.second[left_out]) == (0, 1)
    assert np.sqrt(np.mean(stray(found) ** 2)) < 0.1 * PIXEL_UM


def test_a_run_without_any_image_fails_in_words(raw):
    raw = [item for item in raw if item[0] != "stream_datum"]
    stop = one(analysed(raw), "stop")
    assert (stop["exit_status"], stop["reason"]) == (
        "fail",
        "the mosaic has no field with an image",
    )


def test_lengths_in_another_unit_are_refused(raw):
    one(raw, "descriptor")["data_keys"]["stage_y"]["units"] = "mm"
    assert "is recorded in mm, must be µm" in one(analysed(raw), "stop")["reason"]


def test_a_mosaic_goes_to_the_analysis_of_mosaics_and_steps_to_that_of_steps(raw, raw_run):
    found = []

    def emit(name, doc):
        found.append((name, doc))

    both = Analyses([MosaicAnalysis(emit, **SIGMA), HysteresisAnalysis(emit)])
    steps = copy.deepcopy(raw)
    for _, doc in steps[:1]:
        del doc["mosaic"]
        doc["uid"] = "11111111-3a05-4d8c-a6ad-f2b8e3a9b8f0"
    text = json.dumps(steps[1:]).replace(one(raw, "start")["uid"], steps[0][1]["uid"])
    text = text.replace(one(raw, "descriptor")["uid"], "other")
    replay([*raw, steps[0], *(tuple(pair) for pair in json.loads(text))], both)
    both.close()
    named = [doc["analysis"]["name"] for name, doc in found if name == "start"]
    assert named == ["mosaic", "hysteresis"]
    assert len([name for name, _ in found if name == "stop"]) == 2


@pytest.mark.parametrize(
    "change", [{"mosaic": None}, {"purpose": "analysis"}, {"fields": {"image": "cam_image"}}]
)
def test_runs_it_does_not_understand_are_ignored(raw, change):
    assert analysed([("start", {**raw[0][1], **change}), *raw[1:]]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior_sigma": 0.0}, "prior_sigma is 0.0 µm, must be positive"),
        ({"drift_sigma": -1.0}, "drift_sigma is -1.0 nm/s, must be 0 or more"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MosaicAnalysis(print, **options)


def test_documents_of_another_analysis_have_no_mosaic():
    with pytest.raises(ValueError, match="no analysis of a mosaic"):
        result_from_documents([("start", {"analysis": {"name": "hysteresis"}})])


def test_the_figure_says_how_much_the_arrows_are_magnified(raw):
    figure = mosaic_figure(result_from_documents(analysed(raw)))
    (key,) = figure.findobj(QuiverKey)
    assert isinstance(key, QuiverKey)
    assert re.fullmatch(r"target to actual: \d+ nm, magnified \d+ times", key.text.get_text())
