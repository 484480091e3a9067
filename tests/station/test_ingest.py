"""Recorded files become runs that journal, analysis and export take for our own."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from analysis.assets import AssetReader
from analysis.live.router import AnalysisRouter, RunAnalysis
from analysis.recorded import channels_of_run, read_channels
from station import StationError
from station.capture import Origin, image_files, ingest, origin_of
from station.catalog import ensure_catalog, stop_catalog, wait_archived
from station.catalog.documents import read_catalog_documents
from station.converting import convert, export_run
from station.journal import Journal, list_runs, read_documents

pytestmark = pytest.mark.skipif(find_spec("pySPM") is None, reason="pySPM needs Python below 3.13")
DATA = Path(__file__).parents[1] / "data" / "afm"
QNM = DATA / "pfqnm_calibrated.spm"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "captures"
    path.mkdir()
    shutil.copy(QNM, path / "C5.0_00012.spm")
    shutil.copy(DATA / "tapping_calibrated.spm", path / "A2.0_00003.spm")
    return path


def documents(data: Path, uid: str) -> list[tuple[str, dict[str, Any]]]:
    run = next(run for run in list_runs(data / "journal") if run.uid == uid)
    return list(read_documents(run.path))


@pytest.fixture
def qnm(tmp_path: Path, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    found = ingest(tmp_path / "data", [folder / "C5.0_00012.spm"])
    return documents(tmp_path / "data", found.added[0])


def test_each_file_of_a_folder_is_a_run_of_its_own(tmp_path: Path, folder: Path) -> None:
    found = ingest(tmp_path / "data", [folder])
    assert len(found.added) == 2
    runs = list_runs(tmp_path / "data" / "journal")
    assert {run.uid for run in runs} == set(found.added)
    assert {run.exit_status for run in runs} == {"success"}
    assert [dict(run.num_events) for run in runs] == [{"primary": 1}] * 2


def test_a_second_time_nothing_is_added(tmp_path: Path, folder: Path) -> None:
    first = ingest(tmp_path / "data", [folder])
    before = sorted((tmp_path / "data").rglob("*"))
    again = ingest(tmp_path / "data", [folder])
    assert again.added == ()
    assert again.known == first.added
    assert sorted((tmp_path / "data").rglob("*")) == before


def test_a_file_under_another_name_is_the_same_run(tmp_path: Path, folder: Path) -> None:
    shutil.copy(QNM, folder / "copy.spm")
    found = ingest(tmp_path / "data", [folder])
    assert (len(found.added), len(found.known)) == (2, 1)


def test_documents_are_valid(qnm: list[tuple[str, dict[str, Any]]]) -> None:
    for name, doc in qnm:
        schema_validators[DocumentNames[name]].validate(doc)


def test_the_start_document_is_that_of_an_image_of_ours(qnm: Any) -> None:
    start = qnm[0][1]
    expected = {
        "plan_name": "image",
        "purpose": "raw",
        "technique": "peakforce_qnm",
        "sample": "C5",
        "field": 12,
        "probe_serial": "Unknown",
        "calibrated": True,
        "channels": [
            "height_sensor",
            "peak_force_error",
            "dmt_modulus",
            "log_dmt_modulus",
            "adhesion",
            "deformation",
            "dissipation",
            "height",
        ],
    }
    assert {key: start[key] for key in expected} == expected
    assert start["fields"]["deformation"] == "afm_imager_deformation"
    assert start["scan"] == {
        "size": 0.3,
        "rate": 3.0731,
        "lines": 20,
        "points": 32,
        "aspect": 1.0,
        "angle": pytest.approx(90.0, abs=1e-3),
    }


def test_data_keys_have_the_names_units_and_shapes_of_the_imager(qnm: Any) -> None:
    descriptor = next(doc for name, doc in qnm if name == "descriptor")
    key = descriptor["data_keys"]["afm_imager_dmt_modulus"]
    assert (key["units"], key["shape"], key["dtype_numpy"]) == ("Pa", [20, 32], "<f4")
    assert (key["dims"], key["external"]) == (["line", "point"], "STREAM:")


def test_settings_are_the_configuration_of_the_devices(qnm: Any) -> None:
    configuration = next(doc for name, doc in qnm if name == "descriptor")["configuration"]
    assert configuration["afm_imager"]["data"]["afm_imager_mode"] == "PeakForce QNM"
    assert configuration["afm_imager"]["data"]["afm_imager_sample_points"] == 64
    assert configuration["afm_scanner"]["data"]["afm_scanner_scan_rate"] == 3.0731
    assert configuration["afm_scanner"]["data"]["afm_scanner_lines"] == 20
    assert configuration["afm_probe"]["data"]["afm_probe_serial"] == "Unknown"
    units = configuration["afm_imager"]["data_keys"]["afm_imager_peak_force_amplitude"]["units"]
    assert units == "nm"


def test_arrays_are_those_of_the_file(qnm: Any) -> None:
    assets = AssetReader()
    for name, doc in qnm:
        if name in ("stream_resource", "stream_datum"):
            getattr(assets, name)(doc)
    recorded = read_channels(QNM)
    for key, channel in zip(recorded.keys(), recorded.channels, strict=True):
        found = assets.frame(f"afm_imager_{key}", 1)
        np.testing.assert_array_equal(found, channel.data.astype(np.float32))


@pytest.mark.slow
def test_the_catalog_has_the_images_of_a_folder(tmp_path: Path, folder: Path) -> None:
    data = tmp_path / "data"
    found = ingest(data, [folder / "C5.0_00012.spm"])
    ensure_catalog(data)
    try:
        wait_archived(data, found.added[0])
        stored = channels_of_run(read_catalog_documents(data, found.added[0]))
    finally:
        stop_catalog(data)
    recorded = read_channels(QNM)
    assert stored.keys() == recorded.keys()
    for own, channel in zip(stored.channels, recorded.channels, strict=True):
        np.testing.assert_array_equal(own.data, channel.data.astype(np.float32))


class _Seen(AnalysisRouter):
    """A live analysis that remembers what it is shown."""

    assets = ("deformation", "height")

    def __init__(self) -> None:
        super().__init__(lambda name, doc: None, name="seen", parameters={})
        self.readings: list[Any] = []

    def understands(self, start: Any) -> bool:
        return start["plan_name"] == "image"

    def begin(self, start: Any, publisher: Any) -> RunAnalysis:
        seen = self.readings

        class _Run(RunAnalysis):
            def reading(self, reading: Any) -> None:
                seen.append(reading)

            def finish(self, time: float) -> str:
                return ""

        return _Run()


def test_a_live_analysis_gets_its_channels(tmp_path: Path, folder: Path) -> None:
    live = _Seen()
    ingest(tmp_path / "data", [folder / "C5.0_00012.spm"], subscribers=[live])
    (reading,) = live.readings
    assert reading.image.shape == (20, 32)
    assert set(reading.beside) == {"height"}
    assert reading.data["afm_imager_mode"] == "PeakForce QNM"


def test_an_ingest_that_was_cut_short_is_made_good(tmp_path: Path, folder: Path) -> None:
    data, path = tmp_path / "data", folder / "C5.0_00012.spm"
    ingest(tmp_path / "other", [path])
    (run,) = list_runs(tmp_path / "other" / "journal")
    written = list(read_documents(run.path))
    with Journal(data / "journal") as journal:  # as far as a process got that was killed
        for name, doc in written[:3]:
            journal(name, doc)
    asset = next((tmp_path / "other" / "assets").rglob("*.h5"))
    left = data / asset.relative_to(tmp_path / "other")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert ingest(data, [path]).added == (run.uid,)
    assert list_runs(data / "journal")[0].exit_status == "success"


def test_one_bad_file_does_not_keep_the_others_out(tmp_path: Path, folder: Path) -> None:
    (folder / "B1.0_00000.spm").write_bytes(QNM.read_bytes()[:90000])
    (folder / "B2.0_00000.spm").write_bytes(b"nonsense")
    found = ingest(tmp_path / "data", [folder])
    assert len(found.added) == 2
    assert [path.name[:2] for path, _ in found.refused] == ["B1", "B2"]
    assert all("\n" not in reason for _, reason in found.refused)
    assert len(list((tmp_path / "data" / "assets").rglob("*.h5"))) == 2


def test_two_channels_of_one_name_have_two_keys(tmp_path: Path) -> None:
    found = ingest(tmp_path / "data", [DATA / "bruker_di-1.spm"])
    start = documents(tmp_path / "data", found.added[0])[0][1]
    assert start["channels"] == ["height", "height_retrace", "phase", "amplitude_error"]
    assert start["technique"] == "tapping"
    assert start["calibrated"] is False


def test_progress_metadata_and_numbers_are_the_callers(tmp_path: Path, folder: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    numbers = iter((7, 8))
    ingest(
        tmp_path / "data",
        [folder],
        origin=lambda path: Origin("blend", 5),
        md={"session": "June"},
        next_scan_id=lambda: next(numbers),
        progress=lambda done, of, path: steps.append((done, of, path.name)),
    )
    assert steps == [(0, 2, "A2.0_00003.spm"), (1, 2, "C5.0_00012.spm")]
    starts = [run.start for run in list_runs(tmp_path / "data" / "journal")]
    assert {start["scan_id"] for start in starts} == {7, 8}
    assert {(start["sample"], start["field"], start["session"]) for start in starts} == {
        ("blend", 5, "June")
    }


@pytest.mark.parametrize(
    ("name", "sample", "field"),
    [
        ("C5.0_00012.spm", "C5", 12),
        ("C5.012", "C5", 12),
        ("PP blend 3.0_00000_1.spm", "PP blend 3", 0),
        ("overview.spm", "overview", 0),
        ("spot_1-1000nm.ibw", "spot_1-1000nm", 0),
    ],
)
def test_sample_and_field_are_in_the_name(name: str, sample: str, field: int) -> None:
    assert origin_of(Path(name)) == Origin(sample, field)


def test_a_folder_gives_its_images_in_the_order_of_their_names(folder: Path) -> None:
    (folder / "notes.txt").write_text("not an image")
    (folder / "B1.004").write_bytes(b"")
    names = [path.name for path in image_files([folder])]
    assert names == ["A2.0_00003.spm", "B1.004", "C5.0_00012.spm"]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="does not exist"):
        ingest(tmp_path / "data", [tmp_path / "none"])
    assert not (tmp_path / "data" / "assets").exists()


def test_a_run_is_exported_with_its_uid(tmp_path: Path, qnm: Any) -> None:
    import gwyfile

    export_run(qnm, tmp_path / "run.gwy")
    content: Any = gwyfile.load(str(tmp_path / "run.gwy"))
    assert content["/2/meta"]["run_uid"] == qnm[0][1]["uid"]
    assert content["/2/data"]["si_unit_z"]["unitstr"] == "Pa"
    assert content["/2/data/title"] == "DMT Modulus"


def test_an_image_of_a_run_is_the_recorded_one(qnm: Any) -> None:
    found, recorded = channels_of_run(qnm), read_channels(QNM)
    assert found.keys() == recorded.keys()
    assert found.settings["scan_rate"] == recorded.settings["scan_rate"]
    for own, channel in zip(found.channels, recorded.channels, strict=True):
        np.testing.assert_array_equal(own.data, channel.data.astype(np.float32))
        assert (own.unit, own.x_size) == (channel.unit, pytest.approx(channel.x_size))


def test_a_run_without_such_an_image_is_refused(qnm: Any) -> None:
    with pytest.raises(ValueError, match="has no image 2"):
        channels_of_run(qnm, image=2)


def test_a_file_is_converted_by_the_ending_of_the_target(tmp_path: Path) -> None:
    for name in ("out.gwy", "out.nc"):
        convert(QNM, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"allowed are \.gwy, \.nc"):
        convert("missing.spm", tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == []
