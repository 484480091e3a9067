"""Nothing that was emitted is lost, whoever is killed.

This file is also the acquisition that a test kills: ``python test_catalog_kill.py DATA``.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from event_model import compose_stream_resource
from ophyd import Component as Cpt
from ophyd import Device, DeviceStatus, Signal
from ophyd.sim import SynAxis

from station.catalog import (
    catalog_status,
    ensure_catalog,
    open_broker,
    open_catalog,
    read_catalog_documents,
    stop_catalog,
    wait_archived,
)
from station.journal import Journal, find_run, read_documents

SIDE = 32
SLOWEST_S = 0.05  # what storage may delay a document
# A server that does not answer costs its client seconds; a pause of the scheduler, less.
HICCUP_S = 0.5


def frame(index: int) -> np.ndarray:
    """The frame that the detector takes as its n-th: the truth for what is read back."""
    pixels = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
    return pixels + np.uint16(1000 * index)


class FrameDetector(Device):
    """A detector of classic ophyd that streams frames into one HDF5 file a run."""

    mean = Cpt(Signal, value=0.0, kind="hinted")
    matrix = Cpt(Signal, value=np.array([[0.1 + 0.2, -1e-17], [1 / 3, 1.0]]), kind="config")
    noise = Cpt(Signal, value=np.zeros(3, np.float32), kind="normal")

    def __init__(self, folder: Path, *, name: str) -> None:
        super().__init__(name=name)
        self._folder = folder
        self._file: h5py.File | None = None
        self._assets: list[tuple[str, dict[str, Any]]] = []
        self._taken = 0

    def stage(self) -> list[object]:
        path = self._folder / f"{uuid4()}.h5"
        self._file = h5py.File(path, "w", libver="latest")
        self._frames = self._file.create_dataset(
            "entry/data",
            shape=(0, SIDE, SIDE),
            maxshape=(None, SIDE, SIDE),
            chunks=(1, SIDE, SIDE),
            dtype=np.uint16,
        )
        self._file.swmr_mode = True
        self._stream = compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost{path}",
            data_key=f"{self.name}_image",
            parameters={"dataset": "/entry/data", "chunk_shape": (1, SIDE, SIDE), "swmr": True},
        )
        document = dict(self._stream.stream_resource_doc)
        self._assets = [("stream_resource", document)]
        self._taken = 0
        return super().stage()

    def unstage(self) -> list[object]:
        if self._file is not None:
            self._file.close()
        return super().unstage()

    def trigger(self) -> DeviceStatus:
        image = frame(self._taken)
        self._frames.resize(self._taken + 1, axis=0)
        self._frames[self._taken] = image
        self._frames.flush()
        self.mean.put(image.mean() / 3)
        self.noise.put(np.full(3, self._taken / 3, np.float32))
        datum = self._stream.compose_stream_datum(
            {"start": self._taken, "stop": self._taken + 1},
            {"start": 0, "stop": 0},
            {"uid": "", "name": ""},  # type: ignore[arg-type]
        )
        self._assets.append(("stream_datum", dict(datum)))
        self._taken += 1
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def describe(self) -> Any:
        image = {
            "source": "file",
            "dtype": "array",
            "dtype_numpy": "<u2",
            "shape": [1, SIDE, SIDE],
            "external": "STREAM:",
        }
        return {**super().describe(), f"{self.name}_image": image}

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        assets, self._assets = self._assets, []
        yield from assets


def acquire(data: Path) -> None:
    """Take frames until the process is killed."""
    detector: Any = FrameDetector(data / "assets", name="camera")
    engine: Any = RunEngine(call_returns_result=False)
    engine.subscribe(Journal(data / "journal"))
    motor: Any = SynAxis(name="motor")
    engine(count([detector, motor], 10_000, delay=0.02))


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder with a running catalog service."""
    ensure_catalog(tmp_path)
    yield tmp_path
    stop_catalog(tmp_path)


def journalled(data: Path, uid: str) -> list[tuple[str, dict[str, Any]]]:
    return list(read_documents(find_run(data / "journal", uid)))


def events(documents: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [doc for name, doc in documents if name == "event"]


class DiskTime:
    """Counts the seconds that this process waits for the disk itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._timed(getattr(os, name)))

    def _timed(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def timed(descriptor: int) -> None:
            began = time.perf_counter()
            sync(descriptor)
            self.seconds += time.perf_counter() - began

        return timed


@pytest.mark.slow
def test_a_killed_service_neither_delays_nor_loses_a_document(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskTime(monkeypatch)
    delays: list[float] = []
    points = 45
    engine: Any = RunEngine(call_returns_result=False)
    detector: Any = FrameDetector(data / "assets", name="camera")
    journal = Journal(data / "journal")

    def timed(name: str, doc: dict[str, Any]) -> None:
        began = time.perf_counter() - disk.seconds
        journal(name, doc)
        delays.append(time.perf_counter() - disk.seconds - began)

    def kill_in_the_middle(name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 2 * points // 3:
            (state,) = data.glob("catalog/state/*.json")
            assert '"partial"' in state.read_text()
            os.kill(ensure_catalog(data).pid, signal.SIGKILL)

    engine.subscribe(timed)
    engine.subscribe(kill_in_the_middle, "event")
    (uid,) = engine(count([detector], points, delay=0.02))
    journal.close()
    assert not catalog_status(data).running
    *others, slowest = sorted(delays)
    assert others[-1] < SLOWEST_S
    assert slowest < HICCUP_S

    ensure_catalog(data)
    wait_archived(data, uid, 60)
    run = open_catalog(data)[uid]
    assert run.metadata["stop"]["exit_status"] == "success"
    images = run["primary"]["camera_image"].read()
    np.testing.assert_array_equal(np.squeeze(images), [frame(n) for n in range(points)])
    table = open_broker(data)[-1].table()
    recorded = events(journalled(data, uid))
    assert list(table["camera_mean"]) == [event["data"]["camera_mean"] for event in recorded]
    assert list(table.index) == list(range(1, points + 1))


@pytest.mark.slow
def test_a_killed_acquisition_leaves_an_aborted_run_with_all_its_events(data: Path) -> None:
    process = subprocess.Popen([sys.executable, __file__, str(data)])
    deadline = time.monotonic() + 60
    emitted = 0
    while emitted < 25 and time.monotonic() < deadline:
        process.poll()
        lines = [path.read_bytes() for path in data.glob("journal/*/*/[!.]*.jsonl")]
        emitted = lines[0].count(b'{"name":"event"') if lines else 0
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    uid = find_run(data / "journal", -1).stem
    wait_archived(data, uid, 60)
    documents = journalled(data, uid)
    number = len(events(documents))
    assert number >= 25
    run = open_catalog(data)[uid]
    stop = run.metadata["stop"]
    assert (stop["exit_status"], stop["num_events"]) == ("abort", {"primary": number})
    means = run["primary"].read(variables=["camera_mean"])["camera_mean"].values
    assert list(means) == [event["data"]["camera_mean"] for event in events(documents)]
    images = np.squeeze(run["primary"]["camera_image"].read())
    assert len(images) >= number
    np.testing.assert_array_equal(images, [frame(n) for n in range(len(images))])


@pytest.mark.slow
def test_the_catalog_gives_the_documents_as_they_came(data: Path) -> None:
    engine: Any = RunEngine(call_returns_result=False)
    with Journal(data / "journal") as journal:
        engine.subscribe(journal)
        detector: Any = FrameDetector(data / "assets", name="camera")
        motor: Any = SynAxis(name="motor")
        (uid,) = engine(count([detector, motor], 5))
    wait_archived(data, uid, 60)
    live, replayed = journalled(data, uid), list(read_catalog_documents(data, uid))
    assert [name for name, _ in replayed] == [name for name, _ in live]
    assert replayed[0] == live[0]
    recorded, read = (docs[1][1]["configuration"]["camera"]["data"] for docs in (live, replayed))
    assert read["camera_matrix"] == recorded["camera_matrix"].tolist()
    for (name, left), (_, right) in zip(live, replayed, strict=True):
        if name == "event":
            assert list(right["data"]["camera_noise"]) == left["data"]["camera_noise"].tolist()
            assert right["data"]["camera_mean"] == left["data"]["camera_mean"]
            assert (right["seq_num"], right["time"]) == (left["seq_num"], left["time"])
            assert right["timestamps"] == left["timestamps"]
        if name == "stream_datum":
            assert (right["indices"], right["seq_nums"]) == (left["indices"], left["seq_nums"])


if __name__ == "__main__":
    acquire(Path(sys.argv[1]))
