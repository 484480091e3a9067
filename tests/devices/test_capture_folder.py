"""A folder that an instrument writes to, followed by a real RunEngine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from analysis.assets import AssetReader
from analysis.recorded import read_spm
from devices.capture_folder import CaptureFolder, CaptureTimes
from devices.wire import BusyError, LimitError, RefusedError
from plans.capture import capture

pytestmark = pytest.mark.skipif(find_spec("pySPM") is None, reason="pySPM needs Python below 3.13")
DATA = Path(__file__).parents[1] / "data" / "afm"
QNM = (DATA / "pfqnm_calibrated.spm").read_bytes()
TAPPING = (DATA / "tapping_calibrated.spm").read_bytes()
TIMES = CaptureTimes(settle=0.05, patience=60.0)
WAIT_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "captures"
    path.mkdir()
    return path


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Iterator[Callable[..., CaptureFolder]]:
    made: list[CaptureFolder] = []

    def flyer(times: CaptureTimes = TIMES, read: Any = read_spm) -> CaptureFolder:
        made.append(
            CaptureFolder(
                folder, read, name="afm_imager", asset_folder=tmp_path / "assets", times=times
            )
        )
        return made[-1]

    yield flyer
    for device in made:
        device.unstage()


@pytest.fixture
def instrument() -> Iterator[ThreadPoolExecutor]:
    """The instrument's own computer."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


class Recorded:
    """The documents of a run."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.all.append((name, doc))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [doc for found, doc in self.all if found == name]

    def descriptor(self, stream: str = "primary") -> dict[str, Any]:
        return next(doc for doc in self.of("descriptor") if doc["name"] == stream)

    def column(self, key: str, stream: str = "primary") -> list[Any]:
        uid = self.descriptor(stream)["uid"]
        pages = [doc for doc in self.of("event_page") if doc["descriptor"] == uid]
        return [value for page in pages for value in page["data"][key]]

    def assets(self) -> AssetReader:
        reader = AssetReader()
        for doc in self.of("stream_resource"):
            reader.stream_resource(doc)
        for doc in self.of("stream_datum"):
            reader.stream_datum(doc)
        return reader


@pytest.fixture
def recorded(engine: RunEngine) -> Recorded:
    found = Recorded()
    engine.subscribe(found)
    return found


def after_kickoff(flyer: CaptureFolder, write: Callable[[], None]) -> Callable[[], None]:
    """Write when the folder is being followed."""
    begun = threading.Event()
    original = flyer.kickoff

    def kickoff() -> Any:
        status = original()
        begun.set()
        return status

    flyer.kickoff = kickoff  # pyright: ignore[reportAttributeAccessIssue]

    def wait_and_write() -> None:
        assert begun.wait(WAIT_S)
        write()

    return wait_and_write


def slowly(path: Path, content: bytes, pieces: int = 5) -> None:
    """Write as an instrument does, piece by piece."""
    step = -(-len(content) // pieces)
    with path.open("wb") as file:
        for place in range(0, len(content), step):
            file.write(content[place : place + step])
            file.flush()
            threading.Event().wait(0.15)  # longer than the folder takes for the file to settle


def test_each_file_becomes_an_event_with_its_channels(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    flyer = make()

    def write() -> None:
        for number in range(3):
            slowly(folder / f"C5.0_0000{number}.spm", QNM, pieces=2)

    done = instrument.submit(after_kickoff(flyer, write))
    found = engine(capture(flyer, 3)).plan_result  # pyright: ignore[reportAttributeAccessIssue]
    done.result()
    assert found.images == 3
    assert recorded.column("afm_imager_file") == [f"C5.0_0000{n}.spm" for n in range(3)]
    expected = read_spm(DATA / "pfqnm_calibrated.spm").channel("dmt_modulus").data
    for seq_num in (1, 2, 3):
        image = recorded.assets().frame("afm_imager_dmt_modulus", seq_num)
        np.testing.assert_array_equal(image, expected.astype(np.float32))


def test_documents_say_units_calibration_and_settings(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    flyer = make()
    write = after_kickoff(flyer, lambda: slowly(folder / "one.spm", QNM, 1))
    instrument.submit(write)
    engine(capture(flyer, 1))
    descriptor = recorded.descriptor()
    assert descriptor["data_keys"]["afm_imager_dmt_modulus"]["units"] == "Pa"
    assert descriptor["data_keys"]["afm_imager_adhesion"]["external"] == "STREAM:"
    settings = descriptor["configuration"]["afm_imager"]
    assert settings["data"]["afm_imager_mode"] == "PeakForce QNM"
    assert settings["data"]["afm_imager_pft_frequency"] == 8000.0
    assert settings["data_keys"]["afm_imager_pft_frequency"]["units"] == "Hz"
    assert settings["data"]["afm_imager_calibrated"] == 1
    assert recorded.column("afm_imager_tip_frame_count") == [16]


def test_a_file_is_read_only_when_it_is_whole(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    refused: list[str] = []

    def read(path: Path) -> Any:
        try:
            return read_spm(path)
        except ValueError as error:
            refused.append(str(error))
            raise

    flyer = make(read=read)
    instrument.submit(after_kickoff(flyer, lambda: slowly(folder / "slow.spm", QNM, 6)))
    engine(capture(flyer, 1))
    assert all("ends within its header" in line or "cut off" in line for line in refused)
    assert len(recorded.column("afm_imager_file")) == 1


def test_images_of_another_kind_have_a_stream_of_their_own(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    flyer = make()

    def write() -> None:
        for name, content in (("a", QNM), ("b", TAPPING), ("c", QNM)):
            slowly(folder / f"{name}.spm", content, 1)

    instrument.submit(after_kickoff(flyer, write))
    engine(capture(flyer, 3))
    assert recorded.column("afm_imager_file") == ["a.spm", "c.spm"]
    assert recorded.column("afm_imager_file", "primary_2") == ["b.spm"]
    assert recorded.descriptor("primary_2")["data_keys"]["afm_imager_phase"]["units"] == "deg"


def test_a_file_that_never_becomes_complete_is_reported_and_left_out(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    flyer = make(CaptureTimes(settle=0.05, patience=0.4))

    def write() -> None:
        (folder / "half.spm").write_bytes(QNM[:90000])
        flyer.finish()

    instrument.submit(after_kickoff(flyer, write))
    found = engine(capture(flyer)).plan_result  # pyright: ignore[reportAttributeAccessIssue]
    assert found.images == 0
    assert recorded.column("afm_imager_file", "left_out") == ["half.spm"]
    (reason,) = recorded.column("afm_imager_reason", "left_out")
    assert "cut off in channel" in reason


def test_what_was_there_before_is_of_no_interest(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    (folder / "old.spm").write_bytes(QNM)
    flyer = make()
    instrument.submit(after_kickoff(flyer, lambda: slowly(folder / "new.spm", QNM, 1)))
    engine(capture(flyer, 1))
    assert recorded.column("afm_imager_file") == ["new.spm"]


def test_a_capture_without_a_number_ends_on_request(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    flyer = make()

    def write() -> None:
        slowly(folder / "one.spm", QNM, 3)
        flyer.finish()

    instrument.submit(after_kickoff(flyer, write))
    engine(capture(flyer))
    assert recorded.column("afm_imager_file") == ["one.spm"]
    assert recorded.of("stop")[0]["exit_status"] == "success"


def test_a_stop_ends_a_capture_that_waits(
    engine: RunEngine, recorded: Recorded, make: Any, instrument: ThreadPoolExecutor
) -> None:
    flyer = make()
    instrument.submit(after_kickoff(flyer, flyer.stop))
    with pytest.raises(FailedStatus, match="stopped after 0 files"):
        engine(capture(flyer, 5))
    assert recorded.of("stop")[0]["exit_status"] == "fail"


def test_a_reader_that_breaks_ends_the_capture_with_its_error(
    engine: RunEngine, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    def broken(path: Path) -> Any:
        raise RuntimeError("the reader is broken")

    flyer = make(read=broken)
    instrument.submit(after_kickoff(flyer, lambda: slowly(folder / "one.spm", QNM, 1)))
    with pytest.raises(FailedStatus, match="the reader is broken"):
        engine(capture(flyer, 1))


def test_a_folder_can_be_followed_again(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    for name in ("first", "second"):
        flyer = make()
        write = after_kickoff(flyer, lambda name=name: slowly(folder / f"{name}.spm", QNM, 1))
        instrument.submit(write)
        engine(capture(flyer, 1))
    pages = [page["data"]["afm_imager_file"] for page in recorded.of("event_page")]
    assert pages == [["first.spm"], ["second.spm"]]


def test_events_and_arrays_have_the_same_numbers(
    engine: RunEngine, recorded: Recorded, make: Any, folder: Path, instrument: ThreadPoolExecutor
) -> None:
    flyer = make()

    def write() -> None:
        for number in range(4):
            (folder / f"{number}.spm").write_bytes(QNM)
            if number == 1:
                threading.Event().wait(1.0)

    instrument.submit(after_kickoff(flyer, write))
    engine(capture(flyer, 4))
    numbers = [number for page in recorded.of("event_page") for number in page["seq_num"]]
    assert numbers == [1, 2, 3, 4]
    key = "afm_imager_height"
    resource = next(doc["uid"] for doc in recorded.of("stream_resource") if doc["data_key"] == key)
    datums = [doc for doc in recorded.of("stream_datum") if doc["stream_resource"] == resource]
    for what, first in (("indices", 0), ("seq_nums", 1)):
        covered = [n for doc in datums for n in range(doc[what]["start"], doc[what]["stop"])]
        assert covered == [first + n for n in range(4)]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    flyer = CaptureFolder(tmp_path / "none", read_spm, name="afm", asset_folder=tmp_path)
    with pytest.raises(RefusedError, match="no such folder"):
        flyer.kickoff()


def test_complete_before_kickoff_is_refused(make: Any) -> None:
    with pytest.raises(RefusedError, match="kickoff comes before"):
        make().complete()


def test_a_second_kickoff_is_refused(make: Any) -> None:
    flyer = make()
    flyer.kickoff()
    with pytest.raises(BusyError, match="already"):
        flyer.kickoff()


@pytest.mark.parametrize("expected", [-1, 1.5, True])
def test_a_number_of_files_that_is_none_is_refused(make: Any, expected: Any) -> None:
    flyer = make()
    flyer.expected.put(expected)
    with pytest.raises(LimitError, match="expected"):
        flyer.kickoff()


def test_times_that_make_no_sense_are_refused() -> None:
    with pytest.raises(LimitError, match="settle"):
        CaptureTimes(settle=2.0, patience=1.0)


def test_another_plan_is_told_which_one_to_use(make: Any) -> None:
    with pytest.raises(RefusedError, match=r"plans\.capture\.capture"):
        make().describe_collect()
