"""The catalog service: one a data folder, on loopback, whatever happened before."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import event_model
import httpx
import psutil
import pytest

from station.catalog import (
    CatalogError,
    Catalogs,
    analyses_of,
    catalog_in_use,
    catalog_status,
    ensure_catalog,
    open_analysis,
    open_broker,
    open_catalog,
    read_catalog_documents,
    stop_catalog,
    wait_archived,
)
from station.journal import Journal, find_run, read_documents

pytestmark = pytest.mark.slow

Documents = list[tuple[str, dict[str, Any]]]


def run_of(values: list[Any], uid: str | None = None, time: float = 1e9, **start: Any) -> Documents:
    """Make the documents of a run with one value an event."""
    bundle = event_model.compose_run(uid=uid or str(uuid4()), time=time, metadata=start)
    kind = "integer" if isinstance(values[0], int) else "number"
    descriptor = bundle.compose_descriptor(
        name="primary", data_keys={"x": {"source": "test", "dtype": kind, "shape": []}}
    )
    events = [
        descriptor.compose_event(data={"x": value}, timestamps={"x": time + n}, time=time + n)
        for n, value in enumerate(values)
    ]
    return [
        ("start", dict(bundle.start_doc)),
        ("descriptor", dict(descriptor.descriptor_doc)),
        *[("event", dict(event)) for event in events],
        ("stop", dict(bundle.compose_stop(time=time + len(values)))),
    ]


def record(data: Path, documents: Documents) -> str:
    with Journal(data / "journal") as journal:
        for name, doc in documents:
            journal(name, doc)
    return documents[0][1]["uid"]


def values_of(documents: Any) -> list[Any]:
    return [doc["data"]["x"] for name, doc in documents if name == "event"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a running catalog service."""
    folder = tmp_path_factory.mktemp("data")
    ensure_catalog(folder)
    yield folder
    stop_catalog(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder without a service; one that a test starts is ended."""
    yield tmp_path
    stop_catalog(tmp_path)


def test_the_server_listens_on_loopback_only(data: Path) -> None:
    process = psutil.Process(ensure_catalog(data).pid)
    listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_the_key_is_for_its_owner_only_and_asked_for(data: Path) -> None:
    assert stat.S_IMODE((data / "catalog" / "key").stat().st_mode) == 0o600
    with httpx.Client(trust_env=False) as client:
        answer = client.get(f"{ensure_catalog(data).uri}/api/v1/metadata/raw")
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_an_event_is_in_the_catalog_while_the_run_goes_on(data: Path) -> None:
    documents = run_of([0.5, 1.5])
    with Journal(data / "journal") as journal:
        for name, doc in documents[:-1]:
            journal(name, doc)
        uid = documents[0][1]["uid"]
        # Tiled refuses to read a column that grew since its shape was asked for: wait, then read.
        deadline = time.monotonic() + 20
        length = 0
        while length < 2 and time.monotonic() < deadline:
            with suppress(KeyError):
                (length,) = open_catalog(data)[uid]["primary"]["x"].shape
        found = list(open_catalog(data)[uid]["primary"]["x"].read())
        journal(*documents[-1])
    assert found == [0.5, 1.5]


def test_runs_are_found_by_order_uid_and_number(data: Path) -> None:
    older = record(data, run_of([1.0], time=2.1e9, scan_id=901))
    newer = record(data, run_of([2.0], time=2.2e9, scan_id=902))
    late = record(data, run_of([3.0], time=2.0e9, scan_id=900))
    for uid in (older, newer, late):
        wait_archived(data, uid, 60)
    catalog = open_catalog(data)
    assert catalog[-1].metadata["start"]["uid"] == newer
    assert catalog[older[:8]].metadata["start"]["uid"] == older
    assert catalog[900].metadata["start"]["uid"] == late
    assert list(open_broker(data)[-1].table()["x"]) == [2.0]


@pytest.mark.parametrize(
    "values",
    [
        [0.1 + 0.2, float("nan"), -0.0, 5e-324, 1.7976931348623157e308, float("inf")],
        [2**53 + 1, -(2**63), 0],
        [0, 1, 0.1 + 0.2],
        [1 / 3, 2],
    ],
)
def test_numbers_come_out_as_they_went_in(data: Path, values: list[Any]) -> None:
    uid = record(data, run_of(values))
    wait_archived(data, uid, 60)
    assert [repr(float(v)) for v in values_of(read_catalog_documents(data, uid))] == [
        repr(float(v)) for v in values
    ]


def test_an_analysis_done_again_replaces_the_older_one(data: Path) -> None:
    raw, uid = record(data, run_of([1.0])), str(uuid4())
    extra = {"purpose": "analysis", "raw_uid": raw}
    for values in ([1.0, 2.0], [3.0, 4.0]):
        record(data, run_of(values, uid, time=1e9 + values[0], **extra))
        wait_archived(data, uid, 60)
        assert list(open_analysis(data)[uid]["primary"]["x"].read()) == values
    assert analyses_of(data, raw) == [uid]
    assert uid not in list(open_catalog(data))


def test_a_damaged_run_is_set_aside_and_the_others_go_on(data: Path) -> None:
    good = record(data, run_of([1.0]))
    bad = str(uuid4())
    path = find_run(data / "journal", good).with_name(f"{bad}.jsonl")
    path.write_bytes(b"rubbish\n")
    other = record(data, run_of([2.0]))
    wait_archived(data, other, 60)
    with pytest.raises(CatalogError, match=f"{bad}.jsonl, line 1 is damaged"):
        wait_archived(data, bad, 60)
    assert [uid for uid, _ in catalog_status(data).aside] == [bad]


def test_a_repaired_run_is_archived_after_all(data: Path) -> None:
    documents = run_of([1.0, 2.0])
    path = find_run(data / "journal", record(data, run_of([9.0])))
    uid = documents[0][1]["uid"]
    broken = path.with_name(f"{uid}.jsonl")
    broken.write_bytes(b"rubbish\n")
    with pytest.raises(CatalogError):
        wait_archived(data, uid, 60)
    broken.unlink()
    record(data, documents)
    wait_archived(data, uid, 60)
    assert values_of(read_catalog_documents(data, uid)) == [1.0, 2.0]


def test_a_console_holds_the_catalog_before_it_is_open(data: Path) -> None:
    code = (
        "import sys; from station.catalog import Catalogs; c = Catalogs(sys.argv[1]);"
        "assert not {'tiled', 'databroker', 'pandas', 'dask'} & set(sys.modules);"
        "c.warm(); assert len(c.cat) == len(c.db._catalog) > 0; print(c.cat)"
    )
    record(data, run_of([1.0]))
    done = subprocess.run(
        [sys.executable, "-c", code, str(data)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith("<Catalog {")


def test_a_restarted_service_is_found_by_an_open_console(folder: Path) -> None:
    uid = record(folder, run_of([1.0]))
    catalogs = Catalogs(folder)
    assert len(catalogs.cat) >= 0
    first = ensure_catalog(folder)
    stop_catalog(folder)
    with socket.socket() as squatter:  # so that the service must go elsewhere
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", urlsplit(first.uri).port))
        squatter.listen()
        wait_for_run(catalogs, uid)
        assert ensure_catalog(folder).uri != first.uri


def wait_for_run(catalogs: Catalogs, uid: str) -> None:
    deadline = time.monotonic() + 60
    while uid not in list(catalogs.cat):
        assert time.monotonic() < deadline


def test_callers_at_the_same_time_get_the_same_service(folder: Path) -> None:
    code = "import sys; from station.catalog import *; print(ensure_catalog(sys.argv[1]).pid)"
    callers = [
        subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    pids = {caller.communicate()[0] for caller in callers}
    assert len(pids) == 1
    assert int(pids.pop()) == ensure_catalog(folder).pid


def test_what_a_crash_leaves_is_not_taken_for_a_service(folder: Path) -> None:
    crashed = ensure_catalog(folder)
    os.kill(crashed.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while catalog_status(folder).running and time.monotonic() < deadline:
        pass
    assert (folder / "catalog" / "service.json").exists()
    assert not catalog_status(folder).running
    restarted = ensure_catalog(folder)
    assert restarted.pid != crashed.pid
    assert restarted.uri == crashed.uri  # so that clients that are open go on working


def test_a_service_ends_when_it_is_asked_to_and_leaves_no_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = ensure_catalog(folder).pid
    client = open_catalog(folder)  # an open connection must not hold it up
    children = psutil.Process(pid).children(recursive=True)
    sent, kill = [], os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: (sent.append(number), kill(pid, number)))
    assert stop_catalog(folder)
    assert sent == [signal.SIGTERM]
    assert not any(child.is_running() for child in children)
    assert client is not None


def test_a_service_whose_starter_has_gone_ends_by_itself(folder: Path) -> None:
    starter, say_ready = os.pipe()
    os.close(starter)
    command = [sys.executable, "-m", "station.catalog.service", "--data", str(folder)]
    subprocess.run(
        [*command, "--ready-fd", str(say_ready)], pass_fds=(say_ready,), timeout=50, check=True
    )
    os.close(say_ready)
    assert not catalog_status(folder).running


def test_a_service_that_cannot_start_names_its_log(folder: Path) -> None:
    (folder / "catalog").mkdir()
    (folder / "catalog" / "catalog.db").write_text("no database")
    with pytest.raises(CatalogError, match=r"did not start; the cause is in .*service\.log"):
        ensure_catalog(folder)


def test_a_catalog_that_was_removed_is_made_again_from_the_journal(folder: Path) -> None:
    documents = run_of([1.0, 2.0])
    uid = record(folder, documents)
    for _ in range(2):
        ensure_catalog(folder)
        wait_archived(folder, uid, 10)
        assert values_of(read_catalog_documents(folder, uid)) == [1.0, 2.0]
        stop_catalog(folder)
        (folder / "catalog" / "catalog.db").unlink()
    assert list(read_documents(find_run(folder / "journal", uid))) == documents


def test_a_shared_server_is_used_where_one_is_configured(data: Path, folder: Path) -> None:
    (folder / "tiled.toml").write_text(
        f'uri = "{ensure_catalog(data).uri}"\napi_key_file = "{data / "catalog" / "key"}"\n'
    )
    uid = record(folder, run_of([1.0]))
    ensure_catalog(folder)
    wait_archived(folder, uid, 10)
    assert values_of(read_catalog_documents(data, uid)) == [1.0]
    assert values_of(read_catalog_documents(folder, uid)) == [1.0]
    assert not (folder / "catalog" / "catalog.db").exists()


def test_a_service_in_use_by_another_is_left_to_it(folder: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(catalog_in_use(folder))
        second.enter_context(catalog_in_use(folder))
        ensure_catalog(folder)
        first.close()
        assert catalog_status(folder).running
        second.close()
        assert not catalog_status(folder).running


def test_a_service_that_ran_before_outlives_its_use(folder: Path) -> None:
    ensure_catalog(folder)
    with catalog_in_use(folder):
        pass
    assert catalog_status(folder).running
