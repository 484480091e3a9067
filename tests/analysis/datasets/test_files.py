"""A folder of files of an instrument becomes a set of images."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from analysis.datasets import files_of_folder, write_image_set_of_files
from analysis.recorded.channels import read_channels

RECORDED = Path(__file__).parents[2] / "data" / "afm"
QNM = RECORDED / "pfqnm_calibrated.spm"
TAPPING = RECORDED / "tapping_calibrated.spm"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of one instrument, one of them in a folder below."""
    found = tmp_path / "files"
    (found / "below").mkdir(parents=True)
    shutil.copy(QNM, found / "A2_001.spm")
    (found / "below" / "C5_001.001").write_bytes(QNM.read_bytes() + b" ")
    (found / "notes.txt").write_text("no image")
    return found


def of_name(path: Path) -> str:
    return path.name.partition("_")[0]


def test_all_image_files_of_a_folder_are_found(folder: Path) -> None:
    assert [path.name for path in files_of_folder(folder)] == ["A2_001.spm", "C5_001.001"]


def test_labels_may_follow_from_the_path(tmp_path: Path, folder: Path) -> None:
    found = write_image_set_of_files(tmp_path / "s.h5", folder, ("deformation",), labels=of_name)
    assert found.labels() == ("A2", "C5")


def test_pixels_and_units_are_those_of_the_file(tmp_path: Path) -> None:
    labels = {QNM.name: "A2"}
    found = write_image_set_of_files(tmp_path / "s.h5", QNM, ("dmt_modulus",), labels=labels)
    expected = read_channels(QNM).channel("dmt_modulus").data.astype(np.float32)
    np.testing.assert_array_equal(found.images()[0, ..., 0], expected)
    assert found.units == {"dmt_modulus": "Pa"}


def test_the_header_tells_where_and_how(tmp_path: Path) -> None:
    labels = {QNM.name: "A2"}
    found = write_image_set_of_files(tmp_path / "s.h5", [QNM], ("adhesion",), labels=labels)
    (record,) = found.records
    assert (record.technique, record.calibrated) == ("peakforce_qnm", True)
    assert (record.size, record.shape, record.angle) == (
        0.3,
        (20, 32),
        pytest.approx(90.0, abs=1e-3),
    )
    # where the stage was, and the offset of the scanner, µm
    assert (record.x, record.y) == (pytest.approx(144636.264649), pytest.approx(186004.280272))
    assert record.source == "pfqnm_calibrated.spm"


def test_the_uid_follows_from_the_content(tmp_path: Path) -> None:
    shutil.copy(QNM, tmp_path / "other.spm")
    uids = [
        write_image_set_of_files(tmp_path / "s.h5", file, ("height",), labels=lambda _: "A2")
        .records[0]
        .run_uid
        for file in (QNM, tmp_path / "other.spm")
    ]
    assert uids[0] == uids[1]


def test_sessions_may_be_named(tmp_path: Path, folder: Path) -> None:
    found = write_image_set_of_files(
        tmp_path / "s.h5", folder, ("height",), labels=of_name, sessions=lambda path: path.stem
    )
    assert [record.session for record in found.records] == ["A2_001", "C5_001"]


def test_a_session_is_a_day_unless_named(tmp_path: Path) -> None:
    found = write_image_set_of_files(tmp_path / "s.h5", QNM, ("height",), labels={str(QNM): "A2"})
    assert found.records[0].session.startswith("2021-07-2")


@pytest.mark.parametrize(
    ("file", "channel", "labels", "told"),
    [
        ("pfqnm_uncalibrated.spm", "deformation", {"pfqnm_uncalibrated.spm": "A2"}, "is in V"),
        ("pfqnm_uncalibrated.spm", "dmt_modulus", {"pfqnm_uncalibrated.spm": "A2"}, "is in Arb"),
        ("tapping_calibrated.spm", "deformation", {"tapping_calibrated.spm": "A2"}, "no channel"),
        ("pfqnm_calibrated.spm", "deformation", {}, "has no sample"),
        ("NOTICE", "deformation", {"NOTICE": "A2"}, "is neither a Bruker"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, file: str, channel: str, labels: Mapping[str, str], told: str
) -> None:
    with pytest.raises(ValueError, match=f"{file}.* {told}"):
        write_image_set_of_files(tmp_path / "s.h5", RECORDED / file, (channel,), labels=labels)
    assert not list(tmp_path.iterdir())


def test_files_of_several_scan_sizes_are_refused(tmp_path: Path) -> None:
    files = [TAPPING, RECORDED / "bruker_di-1.spm"]
    with pytest.raises(ValueError, match=r"bruker_di-1\.spm has a scan size of 0\.5 µm"):
        write_image_set_of_files(tmp_path / "s.h5", files, ("phase",), labels=lambda _: "A2")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no image files"):
        files_of_folder(tmp_path)
