"""The journal: what is written is read, whatever happens to its writer."""

import errno
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import event_model
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plan_stubs import close_run, open_run
from bluesky.plans import count, scan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ophyd.sim import SynAxis, SynGauss

from station.journal import (
    Journal,
    JournalError,
    JournalTail,
    RunNotFoundError,
    being_written,
    close_abandoned,
    find_run,
    list_runs,
    read_documents,
)

UID = "11111111-aaaa-4000-8000-000000000001"
Documents = list[tuple[str, dict[str, Any]]]


def run_of(uid: str, *, events: int = 3, time: float = 1e9, **start: Any) -> Documents:
    """Make the documents of a run with one number an event."""
    bundle = event_model.compose_run(uid=uid, time=time, metadata=start)
    descriptor = bundle.compose_descriptor(
        name="primary",
        data_keys={"x": {"source": "test", "dtype": "number", "shape": []}},
    )
    documents: Documents = [
        ("start", dict(bundle.start_doc)),
        ("descriptor", dict(descriptor.descriptor_doc)),
    ]
    for index in range(events):
        event = descriptor.compose_event(
            data={"x": index / 3}, timestamps={"x": time + index}, time=time + index
        )
        documents.append(("event", dict(event)))
    documents.append(("stop", dict(bundle.compose_stop(time=time + events))))
    return documents


def write(folder: Path, documents: Documents) -> Path:
    """Journal some documents, and close the journal."""
    with Journal(folder) as journal:
        for name, doc in documents:
            journal(name, doc)
    return find_run(folder, documents[0][1]["uid"])


def same(left: Any, right: Any) -> bool:
    """Compare bit for bit: types, shapes, signs of zero and NaN payloads."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        if not (type(left) is type(right) and left.dtype == right.dtype):
            return False
        if left.dtype.kind == "O":
            return left.shape == right.shape and same(left.tolist(), right.tolist())
        return left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, np.generic):
        return type(left) is type(right) and left.tobytes() == right.tobytes()
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return np.float64(left).tobytes() == np.float64(right).tobytes()
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


arrays = hnp.arrays(
    dtype=hnp.scalar_dtypes() | hnp.unicode_string_dtypes(max_len=3),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | arrays
    | arrays.filter(lambda array: array.size > 0).map(lambda array: array.ravel()[0])
    | st.sampled_from([np.array([1, "a", None], dtype=object), np.float64("nan"), -0.0])
)
keys = st.text(max_size=5) | st.integers() | st.sampled_from(["$ndarray", "$items", "$float"])
payloads = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(payload=payloads)
@settings(max_examples=100, deadline=None)
def test_documents_read_are_the_documents_written(
    tmp_path_factory: pytest.TempPathFactory, payload: Any
) -> None:
    documents: Documents = [
        ("start", {"uid": UID, "time": 1e9, "payload": payload}),
        ("stop", {"uid": "s", "time": 1e9, "run_start": UID, "payload": [payload]}),
    ]
    path = write(tmp_path_factory.mktemp("journal"), documents)
    assert same([list(item) for item in read_documents(path)], [list(item) for item in documents])


@given(cut=st.integers(min_value=0))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_cut_anywhere_yields_the_documents_before_the_cut(tmp_path: Path, cut: int) -> None:
    documents = run_of(UID)
    whole = write(tmp_path / "whole", documents).read_bytes()
    cut %= len(whole) + 1
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(whole[:cut])
    assert list(read_documents(torn)) == documents[: whole[:cut].count(b"\n")]


def test_each_line_is_json_for_any_tool(tmp_path: Path) -> None:
    path = write(tmp_path, run_of(UID, temperature=math.nan, dose=np.float32(20)))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["start", "descriptor", *3 * ["event"], "stop"]


@pytest.mark.parametrize("line", [1, 3])
def test_a_damaged_line_is_reported_by_file_and_number(tmp_path: Path, line: int) -> None:
    path = write(tmp_path, run_of(UID))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b"0", b"1", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=rf"{path.name}, line {line} is damaged"):
        list(read_documents(path))


def test_the_file_lies_in_the_month_of_the_run_under_its_uid(tmp_path: Path) -> None:
    path = write(tmp_path, run_of(UID, time=1_000_000_000.0))
    assert path == tmp_path / "2001" / "09" / f"{UID}.jsonl"


def test_a_run_engine_records_every_document(tmp_path: Path) -> None:
    emitted: Documents = []
    motor: Any = SynAxis(name="motor")
    detector: Any = SynGauss("det", motor, "motor", center=0, Imax=1)
    engine = RunEngine(call_returns_result=False)
    with Journal(tmp_path) as journal:
        engine.subscribe(lambda name, doc: emitted.append((name, doc)))
        engine.subscribe(journal)
        engine(scan([detector], motor, -1, 1, 5))
    recorded = list(read_documents(find_run(tmp_path, -1)))
    assert [name for name, _ in recorded] == [name for name, _ in emitted]
    assert [doc["data"] for name, doc in recorded if name == "event"] == [
        doc["data"] for name, doc in emitted if name == "event"
    ]


def test_interleaved_runs_go_to_their_own_files(tmp_path: Path) -> None:
    first, second = run_of(UID), run_of(UID.replace("1", "2"), purpose="analysis")
    with Journal(tmp_path) as journal:
        for pair in zip(first, second, strict=True):
            for name, doc in pair:
                journal(name, doc)
    assert list(read_documents(find_run(tmp_path, UID))) == first
    assert list(read_documents(find_run(tmp_path, UID.replace("1", "2")))) == second


def test_event_pages_and_frames_find_their_run(tmp_path: Path) -> None:
    documents = run_of(UID)
    descriptor = documents[1][1]["uid"]
    events: Any = [doc for name, doc in documents if name == "event"]
    page = event_model.pack_event_page(*events)
    resource = {"uid": "r", "run_start": UID, "data_key": "image", "mimetype": "x", "uri": "u"}
    datum = {"uid": "d", "stream_resource": "r", "descriptor": descriptor}
    mixed = [
        *documents[:2],
        ("stream_resource", resource),
        ("stream_datum", datum),
        ("event_page", dict(page)),
        documents[-1],
    ]
    other = run_of(UID.replace("1", "2"))
    with Journal(tmp_path) as journal:
        journal(*other[0])
        for name, doc in mixed:
            journal(name, doc)
    assert list(read_documents(find_run(tmp_path, UID))) == mixed


def test_a_document_of_an_unknown_run_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, pytest.raises(JournalError, match="start is missing"):
        journal(*run_of(UID)[1])


@pytest.mark.parametrize("uid", ["../../etc/passwd", "", "a/b", ".hidden"])
def test_a_uid_that_is_no_file_name_is_refused(tmp_path: Path, uid: str) -> None:
    with Journal(tmp_path) as journal, pytest.raises(JournalError, match="cannot name a file"):
        journal("start", {"uid": uid, "time": 1.0})


def test_what_cannot_be_written_exactly_is_refused_by_name(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal, pytest.raises(TypeError, match=r"start\.sample\.kind is a"):
        journal("start", {"uid": UID, "time": 1.0, "sample": {"kind": object()}})
    assert list_runs(tmp_path) == []


def test_an_unwritable_folder_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        JournalError, match=r"cannot write the journal in .*file.*: Not a directory"
    ):
        Journal(tmp_path / "file" / "journal")


def test_a_full_disk_stops_the_plan_and_leaves_whole_lines(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    motor: Any = SynAxis(name="motor")
    engine = RunEngine(call_returns_result=False)
    with Journal(tmp_path) as journal:
        engine.subscribe(journal)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
            with pytest.raises(JournalError, match=f"cannot write the journal in {tmp_path}"):
                engine(count([motor], 100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (path,) = tmp_path.glob("*/*/*.jsonl")
    assert path.read_bytes().endswith(b"\n")
    assert len(list(read_documents(path))) > 3


def test_a_run_whose_stop_cannot_be_written_counts_as_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *documents, stop = run_of(UID)

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with Journal(tmp_path) as journal:
        for name, doc in documents:
            journal(name, doc)
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(JournalError, match="no space left"):
            journal(*stop)
        path = find_run(tmp_path, UID)
        assert not being_written(path)
        assert (close_abandoned(path) or {})["exit_status"] == "abort"


def test_a_journal_may_be_closed_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for name, doc in run_of(UID)[:3]:
        journal(name, doc)
    journal.close()
    journal.close()
    assert not being_written(find_run(tmp_path, UID))


def test_a_run_done_again_replaces_the_older_one_when_it_is_complete(tmp_path: Path) -> None:
    older, newer = run_of(UID, events=2), run_of(UID, events=4, time=2e9)
    path = write(tmp_path, older)
    with Journal(tmp_path) as journal:
        for name, doc in newer[:-1]:
            journal(name, doc)
        assert list(read_documents(path)) == older
        journal(*newer[-1])
    assert list(read_documents(path)) == newer
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_reader_does_not_go_on_in_the_file_that_replaced_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, run_of(UID, events=2))
    tail = JournalTail(path)
    assert len(list(tail.read(3))) == 3
    write(tmp_path, run_of(UID, events=9))
    assert list(tail.read()) == []


def test_a_run_begun_again_and_left_keeps_the_older_one(tmp_path: Path) -> None:
    older = run_of(UID)
    path = write(tmp_path, older)
    write(tmp_path, run_of(UID, events=9)[:4])
    assert list(read_documents(path)) == older


def test_a_run_that_is_written_is_told_from_one_that_was_left(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for name, doc in run_of(UID)[:3]:
            journal(name, doc)
        path = find_run(tmp_path, UID)
        assert being_written(path)
        assert close_abandoned(path) is None
    assert not being_written(path)


def test_a_run_that_was_left_gets_a_valid_stop(tmp_path: Path) -> None:
    path = write(tmp_path, run_of(UID)[:4])
    with path.open("ab") as file:
        file.write(b'{"name":"event","doc":{"torn')
    assert close_abandoned(path) is not None
    name, stop = list(read_documents(path))[-1]
    event_model.schema_validators[event_model.DocumentNames.stop].validate(stop)
    assert (name, stop["exit_status"], stop["num_events"]) == ("stop", "abort", {"primary": 2})
    assert "ended" in stop["reason"]
    assert close_abandoned(path) is None


WRITER = """
import os, sys
from station.journal import Journal
journal = Journal(sys.argv[1])
journal("start", {"uid": "abandoned", "time": 1e9})
if "fork" in sys.argv and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
sys.stdout.write("written\\n")
sys.stdout.flush()
if "fork" in sys.argv:
    os._exit(0)
sys.stdin.read()
"""


def writer(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITER, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    return process


def test_the_lock_of_a_killed_writer_is_gone(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        path = find_run(tmp_path, "abandoned")
        assert being_written(path)
        process.kill()
        process.wait()
        assert not being_written(path)


def test_a_forked_child_does_not_hold_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    with writer(tmp_path, "fork") as process:
        process.wait()
        assert wait_for(lambda: not being_written(find_run(tmp_path, "abandoned")))


def wait_for(condition: Callable[[], bool], timeout: float = 30.0) -> bool:
    deadline = time.monotonic() + timeout
    while not (fulfilled := condition()) and time.monotonic() < deadline:
        os.sched_yield()
    return fulfilled


def test_runs_are_found_by_uid_number_and_order(tmp_path: Path) -> None:
    for index in range(1, 4):
        uid = UID.replace("1", str(index))
        write(tmp_path, run_of(uid, time=1e9 + index * 3e6, scan_id=index % 2))
    write(tmp_path, run_of("ffff0000", time=2e9, purpose="analysis", raw_uid=UID))
    assert find_run(tmp_path, "2222").stem == UID.replace("1", "2")
    assert find_run(tmp_path, -1).stem == UID.replace("1", "3")
    assert find_run(tmp_path, "-3").stem == UID
    assert find_run(tmp_path, 1).stem == UID.replace("1", "3")
    assert find_run(tmp_path, -1, purpose="analysis").stem == "ffff0000"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("1111", "2 runs have a uid that begins with '1111'"),
        ("zz", "no run in .* has a uid that begins with 'zz'"),
        ("", "no run in .* has a uid that begins with ''"),
        ("--all", "no run in .* has a uid that begins with '--all'"),
        (-3, "run -3 was asked for, but .* holds 2 raw runs"),
        (7, "no run in .* has the scan number 7"),
    ],
)
def test_none_or_several_is_an_error_of_one_line(
    tmp_path: Path, key: str | int, message: str
) -> None:
    write(tmp_path, run_of(UID))
    write(tmp_path, run_of(UID[:-1] + "2"))
    with pytest.raises(RunNotFoundError, match=message) as caught:
        find_run(tmp_path, key)
    assert "\n" not in str(caught.value)


def test_a_listing_says_what_start_and_stop_say(tmp_path: Path) -> None:
    write(tmp_path, run_of(UID, events=5, scan_id=3, plan_name="hysteresis"))
    write(tmp_path, run_of("aaaa", events=2, time=2e9)[:-1])
    whole, unfinished = list_runs(tmp_path)
    assert (whole.scan_id, whole.plan_name, whole.exit_status) == (3, "hysteresis", "success")
    assert (whole.num_events, whole.duration) == ({"primary": 5}, 5.0)
    assert (unfinished.uid, unfinished.exit_status) == ("aaaa", None)


def test_a_damaged_run_is_listed_with_its_problem(tmp_path: Path) -> None:
    write(tmp_path, run_of(UID)).write_bytes(b"rubbish\n")
    write(tmp_path, run_of("aaaa"))
    problems = [run.problem for run in list_runs(tmp_path)]
    assert problems[0] is not None
    assert "line 1 is damaged" in problems[0]
    assert problems[1] is None


def test_a_listing_reads_first_and_last_line_only(tmp_path: Path) -> None:
    path = write(tmp_path, run_of(UID, events=3000))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1500] = b"damage\n"
    path.write_bytes(b"".join(lines))
    (run,) = list_runs(tmp_path)
    assert run.num_events == {"primary": 3000}


def test_a_run_without_events_is_a_run(tmp_path: Path) -> None:
    engine = RunEngine(call_returns_result=False)

    def empty() -> Any:
        yield from open_run()
        yield from close_run()

    with Journal(tmp_path) as journal:
        engine.subscribe(journal)
        engine(empty())
    assert [run.exit_status for run in list_runs(tmp_path)] == ["success"]
