"""The camera's files and documents."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.utils import RedundantStaging

from devices.frames import RecordFile
from devices.wire import BusyError, CancelledError, ConnectionLost, LimitError, RefusedError


def frames_of(documents: Any) -> np.ndarray:
    """Read the frames of a run as a stranger would: by uri, parameters and indices."""
    (resource,) = documents.of("stream_resource")
    indices = [datum["indices"]["start"] for datum in documents.of("stream_datum")]
    with h5py.File(unquote(urlparse(resource["uri"]).path), "r", swmr=True) as file:
        frames = file[resource["parameters"]["dataset"]]
        assert isinstance(frames, h5py.Dataset)
        return frames[indices]


def frames_in(file: h5py.File) -> h5py.Dataset:
    frames = file["/entry/data"]
    assert isinstance(frames, h5py.Dataset)
    return frames


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.h5"))


def test_a_run_makes_valid_documents_one_index_an_event(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    engine(bp.count([bench.tem.camera], num=3))
    (resource,) = documents.of("stream_resource")
    assert resource["mimetype"] == "application/x-hdf5"
    assert resource["data_key"] == "tem_camera_image"
    assert resource["parameters"]["dataset"] == "/entry/data"
    assert resource["parameters"]["chunk_shape"] == [1, 32, 48]
    data = documents.of("stream_datum")
    assert [datum["indices"] for datum in data] == [{"start": i, "stop": i + 1} for i in range(3)]
    assert [datum["seq_nums"] for datum in data] == [
        {"start": i, "stop": i + 1} for i in range(1, 4)
    ]
    assert all("tem_camera_image" not in event["data"] for event in documents.of("event"))


def test_the_file_holds_the_frames_that_the_camera_took(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    taken: list[np.ndarray] = []

    def plan() -> Any:
        yield from bps.stage(bench.tem.camera)
        yield from bps.open_run()
        for _ in range(3):
            yield from bps.trigger_and_read([bench.tem.camera])
            taken.append(bench.tem.camera.image.get())
        yield from bps.close_run()
        yield from bps.unstage(bench.tem.camera)

    engine(plan())
    np.testing.assert_array_equal(frames_of(documents), np.stack(taken))
    assert len({frame.tobytes() for frame in taken}) == 3


def test_frames_can_be_read_while_the_run_goes_on(bench: Any) -> None:
    camera = bench.tem.camera
    camera.stage()
    camera.trigger().wait(timeout=30)
    list(camera.collect_asset_docs())
    (path,) = files_in(bench.assets)
    with h5py.File(path, "r", swmr=True, libver="latest") as file:
        assert frames_in(file).shape == (1, 32, 48)
        camera.trigger().wait(timeout=30)
        frames_in(file).refresh()
        assert frames_in(file).shape == (2, 32, 48)
    camera.unstage()


def test_the_image_is_described_as_external(bench: Any) -> None:
    described = bench.tem.camera.describe()
    assert list(described) == ["tem_camera_image", "tem_camera_time"]
    image = described["tem_camera_image"]
    assert (image["external"], image["shape"], image["dtype_numpy"]) == ("STREAM:", [32, 48], "<u2")


def test_configuration_has_what_analysis_needs(bench: Any) -> None:
    values = {key: entry["value"] for key, entry in bench.tem.camera.read_configuration().items()}
    assert values["tem_camera_pixel_size"] == pytest.approx(3750 / 48)
    assert values["tem_camera_to_stage"] == [[1.0, 0.0], [0.0, 1.0]]
    assert values["tem_camera_dwell_time"] == 1.0
    assert values["tem_camera_field_of_view"] == 3.75
    assert values["tem_camera_electrons_per_pixel"] > 0
    assert values["tem_camera_shape"] == [32, 48]
    units = {k: d.get("units") for k, d in bench.tem.camera.describe_configuration().items()}
    assert units["tem_camera_pixel_size"] == "nm"
    assert units["tem_camera_dwell_time"] == "µs"


def test_configuration_is_one_request(bench: Any) -> None:
    bench.client.sent.clear()
    bench.tem.camera.read_configuration()
    assert sum(bench.client.sent.values()) == 1


def test_the_time_of_a_frame_is_the_middle_of_its_exposure(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    clock = bench.simulated.stage._clock
    before = clock.now()
    engine(bp.count([bench.tem.camera]))
    (event,) = documents.of("event")
    assert before < event["data"]["tem_camera_time"] < clock.now()
    assert event["timestamps"]["tem_camera_time"] > event["data"]["tem_camera_time"]


def test_each_run_has_its_own_file(bench: Any, engine: RunEngine) -> None:
    engine(bp.count([bench.tem.camera]))
    engine(bp.count([bench.tem.camera]))
    assert len(files_in(bench.assets)) == 2


def test_before_the_first_frame_the_image_is_empty_and_its_time_unknown(bench: Any) -> None:
    assert bench.tem.camera.image.get().size == 0
    assert np.isnan(bench.tem.camera.time.get())


def test_staging_twice_is_refused_and_unstaging_twice_is_not(bench: Any) -> None:
    camera = bench.tem.camera
    camera.stage()
    with pytest.raises(RedundantStaging):
        camera.stage()
    camera.unstage()
    camera.unstage()


def test_a_run_without_a_frame_leaves_no_file(bench: Any) -> None:
    bench.tem.camera.stage()
    bench.tem.camera.unstage()
    assert files_in(bench.assets) == []


def test_a_camera_that_is_not_staged_says_what_to_do(bench: Any) -> None:
    with pytest.raises(RefusedError, match="not staged"):
        bench.tem.camera.trigger()


def test_a_frame_that_nobody_collected_is_overwritten(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    def plan() -> Any:
        yield from bps.stage(bench.tem.camera)
        yield from bps.open_run()
        yield from bps.trigger(bench.tem.camera, wait=True)
        yield from bps.trigger_and_read([bench.tem.camera])
        yield from bps.trigger_and_read([bench.tem.camera])
        yield from bps.close_run()
        yield from bps.unstage(bench.tem.camera)

    engine(plan())
    assert [d["indices"]["start"] for d in documents.of("stream_datum")] == [0, 1]
    with h5py.File(files_in(bench.assets)[0], "r") as file:
        assert frames_in(file).shape[0] == 2


def test_dwell_time_and_shape_can_be_set(bench: Any, engine: RunEngine) -> None:
    camera = bench.tem.camera
    engine(bps.mv(camera.dwell_time, 2.0, camera.shape, (64, 32)))
    settings = bench.simulated.camera.read().settings
    assert (settings.shape, settings.dwell_time) == ((64, 32), pytest.approx(2e-6))
    assert camera.shape.get() == [64, 32]


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("dwell_time", 1e9),
        ("dwell_time", float("nan")),
        ("dwell_time", "1"),
        ("shape", (8, 8)),
        ("shape", (64.5, 64)),
        ("shape", 64),
        ("shape", (64, 10**6)),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(
    bench: Any, signal: str, value: Any
) -> None:
    bench.client.sent.clear()
    with pytest.raises(LimitError):
        getattr(bench.tem.camera, signal).set(value)
    assert not bench.client.sent


def test_the_shape_keeps_while_a_run_writes_frames(bench: Any) -> None:
    camera = bench.tem.camera
    camera.stage()
    camera.trigger().wait(timeout=30)
    list(camera.collect_asset_docs())
    with pytest.raises(BusyError, match="while a run writes"):
        camera.shape.set((64, 64))
    camera.unstage()
    camera.shape.set((64, 64)).wait(timeout=30)


def test_an_aborted_frame_fails_with_the_cause(slow_bench: Any, until: Any) -> None:
    camera = slow_bench.tem.camera
    camera.dwell_time.set(1000.0).wait(timeout=30)
    camera.shape.set((128, 128)).wait(timeout=30)
    camera.stage()
    status = camera.trigger()
    until(lambda: slow_bench.simulated.camera._scanning.locked())
    camera.stop()
    with pytest.raises(CancelledError, match="aborted"):
        status.wait(timeout=30)
    camera.unstage()
    assert files_in(slow_bench.assets) == []


def test_unstaging_in_mid_frame_ends_the_frame(slow_bench: Any, until: Any) -> None:
    camera = slow_bench.tem.camera
    camera.dwell_time.set(1000.0).wait(timeout=30)
    camera.shape.set((128, 128)).wait(timeout=30)
    camera.stage()
    status = camera.trigger()
    until(lambda: slow_bench.simulated.camera._scanning.locked())
    camera.unstage()
    until(lambda: status.done)
    assert status.exception() is not None


def test_a_link_lost_in_mid_frame_fails_the_frame_and_unstaging_still_works(
    slow_bench: Any, until: Any
) -> None:
    camera = slow_bench.tem.camera
    camera.dwell_time.set(1000.0).wait(timeout=30)
    camera.shape.set((128, 128)).wait(timeout=30)
    camera.stage()
    status = camera.trigger()
    until(lambda: slow_bench.simulated.camera._scanning.locked())
    slow_bench.server.close()
    with pytest.raises((ConnectionLost, CancelledError)):
        status.wait(timeout=30)
    begun = time.monotonic()
    camera.unstage()
    assert time.monotonic() - begun < 0.6
    assert files_in(slow_bench.assets) == []


def test_unstaging_needs_no_link(bench: Any) -> None:
    camera = bench.tem.camera
    camera.stage()
    camera.trigger().wait(timeout=30)
    bench.server.close()
    camera.unstage()
    with h5py.File(files_in(bench.assets)[0], "r") as file:
        assert frames_in(file).shape[0] == 1


def test_a_frame_that_cannot_be_written_leaves_those_before_it(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = bench.tem.camera
    camera.stage()
    camera.trigger().wait(timeout=30)
    list(camera.collect_asset_docs())

    def full(*args: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__setitem__", full)
        with pytest.raises(OSError, match="no space"):
            camera.trigger().wait(timeout=30)
    assert list(camera.collect_asset_docs()) == []
    camera.trigger().wait(timeout=30)
    (_, datum) = next(iter(camera.collect_asset_docs()))
    assert datum["indices"] == {"start": 1, "stop": 2}
    camera.unstage()
    with h5py.File(files_in(bench.assets)[0], "r") as file:
        assert frames_in(file).shape[0] == 2


def test_a_writer_that_dies_in_mid_write_leaves_a_file_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "frames.h5"
    script = f"""
import os, h5py, numpy as np
from pathlib import Path
from devices.frames import RecordFile
file = RecordFile(Path({str(path)!r}), {{"image": "/entry/data"}})
frame = np.arange(12, dtype=np.uint16).reshape(3, 4)
file.append({{"image": frame}})
file.collect()
h5py.Dataset.__setitem__ = lambda *args: os._exit(1)
file.append({{"image": frame}})
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    with h5py.File(path, "r", swmr=True) as file:
        np.testing.assert_array_equal(
            frames_in(file)[0], np.arange(12, dtype=np.uint16).reshape(3, 4)
        )


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "frames.h5", {"image": "/entry/data"})
    file.append({"image": np.zeros((3, 4), np.uint16)})
    with pytest.raises(ValueError, match=r"frame of \(4, 4\) uint16 is not allowed"):
        file.append({"image": np.zeros((4, 4), np.uint16)})
    file.close()


def test_a_file_whose_folder_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    file = RecordFile(tmp_path / "taken" / "frames.h5", {"image": "/entry/data"})
    with pytest.raises(OSError, match="taken"):
        file.append({"image": np.zeros((3, 4), np.uint16)})


def test_a_path_with_blanks_makes_a_valid_uri(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "my frames" / "a.h5", {"image": "/entry/data"})
    file.append({"image": np.zeros((3, 4), np.uint16)})
    (_, resource), _ = file.collect()
    file.close()
    assert " " not in resource["uri"]
    assert unquote(urlparse(resource["uri"]).path) == str(tmp_path / "my frames" / "a.h5")


@pytest.mark.slow  # tiled takes seconds to import
def test_the_catalogs_reader_finds_the_frames(
    bench: Any, engine: RunEngine, documents: Any
) -> None:
    engine(bp.count([bench.tem.camera], num=2))
    from bluesky_tiled_plugins.writing.consolidators import HDF5Consolidator

    (descriptor,) = documents.of("descriptor")
    consolidator = HDF5Consolidator(documents.of("stream_resource")[0], descriptor)
    for datum in documents.of("stream_datum"):
        consolidator.consume_stream_datum(datum)
    adapter = consolidator.init_adapter()
    np.testing.assert_array_equal(np.asarray(adapter.read()), frames_of(documents))
