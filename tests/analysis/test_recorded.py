"""Files of other programs, against the figures that were published or measured from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.agreement import evaluate
from analysis.first_steps import first_steps
from analysis.recorded import read_em_stitch, read_serialem_montage, read_serialem_tilts

DATA = Path(__file__).parents[1] / "data" / "em"
MONTAGE = DATA / "montage_section_multiple.mdoc"
METADATA = DATA / "emstitch_lens_metadata.json"
MATCHES = DATA / "emstitch_lens_template_matches.json"


def rms_nm(difference):
    return 1e3 * np.sqrt(np.mean(difference**2, axis=0))


@pytest.fixture(scope="module")
def krios():
    return read_serialem_montage(MONTAGE)


@pytest.fixture(scope="module")
def lens():
    return read_em_stitch(METADATA, MATCHES)


def test_ten_montages_of_nine_pieces_give_eighty_stops(krios):
    assert len(krios) == 80
    np.testing.assert_array_equal(np.unique(krios.segment, return_counts=True)[1], [8] * 10)


def test_the_last_pieces_are_there_for_who_asks():
    assert len(read_serialem_montage(MONTAGE, last_piece=True)) == 90


def test_a_krios_says_that_it_is_within_5_nm_of_where_it_was_sent(krios):
    assert rms_nm(krios.reported - krios.target) == pytest.approx([5, 5], rel=0.05)


def test_a_krios_is_247_and_305_nm_from_where_it_says(krios):
    assert rms_nm(krios.actual - krios.reported) == pytest.approx([247, 305], rel=0.05)


def test_times_of_pieces_are_seconds_from_the_first(krios):
    np.testing.assert_array_equal(krios.time[:3], [0, 7, 14])  # 21:31:12, :19, :26


def test_a_krios_is_a_stage_of_case_f(krios):
    found = evaluate(krios)
    assert found.case == "f"
    assert found.axis("x").comparisons[0].agrees


def test_a_tilt_series_gives_what_was_reported_and_no_targets():
    found = read_serialem_tilts(DATA / "tilt_series.mdoc")
    assert len(found) == 41
    assert found.reported[0] == pytest.approx([20.7936, 155.287, 163.803, 0.000999877])
    assert np.isnan(found.target).all()


def test_fields_of_the_lens_set_close_to_10_nm(lens):
    assert 1e3 * lens.closure < 10.0
    assert len(lens.positions.closure.misfit) == 12  # 20 overlaps of 9 fields


def test_fields_of_the_lens_set_are_136_and_105_nm_from_their_targets(lens):
    assert rms_nm(lens.record.actual - lens.record.target) == pytest.approx([136, 105], rel=0.05)


def test_the_first_step_of_each_row_is_anomalous_by_773_536_and_268_nm(lens):
    found = first_steps(lens.record)
    assert [row.flagged for row in found] == [True] * 3
    assert [1e3 * row.anomaly for row in found] == pytest.approx([773, 536, 268], rel=0.05)


def test_rows_after_the_first_begin_with_a_reversal(lens):
    assert [row.reversal for row in first_steps(lens.record)] == [None, True, True]


def test_a_stage_that_reports_nothing_has_no_case(lens):
    found = evaluate(lens.record)
    assert found.case is None
    assert "reported position is not known" in str(found)


def test_wrong_matches_do_not_move_a_field(lens, tmp_path):
    content = json.loads(MATCHES.read_text())
    points = content["collection"][0]["matches"]["p"]
    for column in points:
        column[: len(column) // 5] = [value + 90 for value in column[: len(column) // 5]]
    path = tmp_path / "matches.json"
    path.write_text(json.dumps(content))
    moved = read_em_stitch(METADATA, path).record.actual - lens.record.actual
    assert np.abs(moved).max() < 1e-3


@pytest.mark.parametrize("text", ["", "nonsense = 1\n", "[ZValue = 0]\nTiltAngle = 1\n"])
def test_what_is_no_montage_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "other.mdoc"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.mdoc") as caught:
        read_serialem_montage(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no file .*missing\.mdoc"):
        read_serialem_montage("missing.mdoc")


def test_what_is_no_lens_set_is_refused_in_a_line():
    with pytest.raises(ValueError, match="no lens set") as caught:
        read_em_stitch(MATCHES, METADATA)
    assert "\n" not in str(caught.value)
