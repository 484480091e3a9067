"""What the catalog does without its service: order of documents, proxies, plain errors."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import event_model
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.catalog import (
    CatalogError,
    LazyCatalog,
    catalog_status,
    ensure_catalog,
    stop_catalog,
    wait_archived,
)
from station.catalog.archiver import Archiver
from station.catalog.documents import in_live_order
from station.catalog.feed import plain
from station.catalog.layout import CatalogAddress, Layout, RunState, read_state, write_state
from station.journal import Journal

Documents = list[tuple[str, dict[str, Any]]]


def exported(events: int, frames: int) -> Documents:
    """Make a run's documents in the order of Tiled's exporter: all frames in one, at the end."""
    descriptor = {"uid": "d", "time": 1.0, "name": "primary", "run_start": "u", "data_keys": {}}
    resource = {"uid": "r", "run_start": "u", "data_key": "image"}
    datum = {
        "uid": "s",
        "stream_resource": "r",
        "descriptor": "d",
        "indices": {"start": 0, "stop": frames},
        "seq_nums": {"start": 1, "stop": frames + 1},
    }
    return [
        ("start", {"uid": "u", "time": 0.0}),
        ("descriptor", descriptor),
        *[
            ("event", {"uid": f"e{n}", "descriptor": "d", "seq_num": n, "time": 1.0 + n})
            for n in range(1, events + 1)
        ],
        ("stream_resource", resource),
        ("stream_datum", datum),
        ("stop", {}),
    ]


def test_each_frame_comes_before_its_event() -> None:
    names = [name for name, _ in in_live_order(exported(2, 2))]
    pairs = ["stream_resource", "stream_datum", "event", "stream_datum", "event"]
    assert names == ["start", "descriptor", *pairs, "stop"]


@given(events=st.integers(0, 5), more=st.integers(0, 3))
def test_every_frame_is_there_once(events: int, more: int) -> None:
    datums = [
        doc for name, doc in in_live_order(exported(events, events + more)) if "datum" in name
    ]
    covered = [
        index for doc in datums for index in range(doc["indices"]["start"], doc["indices"]["stop"])
    ]
    assert covered == list(range(events + more))


def test_a_stream_is_declared_before_its_first_event() -> None:
    late = {"uid": "l", "time": 9.0, "name": "late", "run_start": "u", "data_keys": {}}
    event = {"uid": "x", "descriptor": "l", "seq_num": 1, "time": 2.5}
    documents = [*exported(2, 2), ("descriptor", late), ("event", event)]
    order = [doc["uid"] for name, doc in in_live_order(documents) if "datum" not in name]
    assert order[:-1] == ["u", "d", "r", "e1", "l", "x", "e2"]


def test_a_run_without_end_gets_a_valid_stop() -> None:
    name, stop = list(in_live_order(exported(3, 3)))[-1]
    event_model.schema_validators[event_model.DocumentNames.stop].validate(stop)
    assert (name, stop["exit_status"], stop["time"]) == ("stop", "abort", 4.0)
    assert stop["num_events"] == {"primary": 3}


@given(
    values=st.lists(
        st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=3), max_size=5
    )
)
def test_plain_documents_stay_as_they_are(values: list[Any]) -> None:
    assert plain({"a": values, "b": {"c": None}}) == {"a": values, "b": {"c": None}}


def test_numpy_content_becomes_plain_value_for_value() -> None:
    document = {"a": np.arange(3, dtype=np.uint8), "b": np.float32(0.1), 3: (np.True_, b"\x00")}
    assert plain(document) == {"a": [0, 1, 2], "b": float(np.float32(0.1)), "3": [True, "AA=="]}


def test_a_state_fits_the_file_that_it_was_made_for(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    layout.prepare()
    file = tmp_path / "file"
    file.write_text("content")
    stat = file.stat()
    state = RunState("archived", stat.st_ino, stat.st_mtime_ns, stat.st_size)
    write_state(layout, "u", state)
    assert read_state(layout, "u") == state
    assert state.fits(file.stat())
    file.write_text("other content")
    assert not state.fits(file.stat())


def test_a_damaged_state_is_no_state(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    layout.prepare()
    for content in ("{", "[]", '{"state": "archived", "of_another_version": 1}'):
        (layout.states / "u.json").write_text(content)
        assert read_state(layout, "u") is None


def test_without_a_service_the_status_counts_what_waits(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal("start", {"uid": "u", "time": 1.0})
    status = catalog_status(tmp_path)
    assert (status.running, status.archived, status.waiting) == (False, 0, 1)


def test_there_is_nothing_to_stop(tmp_path: Path) -> None:
    assert stop_catalog(tmp_path) is False


def test_waiting_for_an_unknown_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"the journal in .* has no run nothing"):
        wait_archived(tmp_path, "nothing", 0.0)


def test_waiting_without_a_service_says_so(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal("start", {"uid": "u", "time": 1.0})
    with pytest.raises(CatalogError, match="no catalog service runs"):
        wait_archived(tmp_path, "u", 0.0)


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogError, match=r"cannot write the catalog in .*file/catalog"):
        ensure_catalog(tmp_path / "file")


class _Refusing:
    """A container of the catalog that fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.times = 0

    def __getitem__(self, uid: str) -> Any:
        self.times += 1
        raise self._error


def _archive(folder: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> _Refusing:
    """Let the archiver look once an hour, a day long, at a run that the catalog does not take."""
    layout = Layout.of(folder)
    layout.prepare()
    with Journal(layout.journal) as journal:
        journal("start", {"uid": "u", "time": 1.0})
        journal("stop", {"uid": "s", "time": 1.0, "run_start": "u"})
    container = _Refusing(error)
    archiver = Archiver(layout, "nowhere")
    archiver._containers = {"raw": container}
    now = time.monotonic()
    for hour in range(24):
        monkeypatch.setattr(time, "monotonic", lambda hour=hour: now + 3600 * hour)
        archiver.step()
    return container


def test_a_run_that_fails_five_times_is_set_aside_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _archive(tmp_path, RuntimeError("no such column"), monkeypatch).times == 5
    assert catalog_status(tmp_path).aside == (("u", "RuntimeError: no such column"),)


def test_a_server_that_is_away_is_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _archive(tmp_path, httpx.ConnectError("refused"), monkeypatch).times == 24
    assert catalog_status(tmp_path).waiting == 1


class _Taking:
    """A container that takes all runs; `then` happens when the first is looked for."""

    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then
        self.asked: list[str] = []

    def __getitem__(self, uid: str) -> Any:
        self.asked.append(uid)
        self._then()
        raise RuntimeError("not today")


def test_a_bad_run_that_is_removed_does_not_hold_up_the_others(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    layout.prepare()
    with Journal(layout.journal) as journal:
        for uid in ("bad", "good"):
            journal("start", {"uid": uid, "time": 1.0})
            journal("stop", {"uid": "s", "time": 1.0, "run_start": uid})
    bad = next(layout.journal.glob("*/*/bad.jsonl"))
    container = _Taking(lambda: bad.unlink(missing_ok=True))
    archiver = Archiver(layout, "nowhere")
    archiver._containers = {"raw": container}
    archiver.step()
    archiver.step()
    assert set(container.asked) == {"bad", "good"}
    assert not (layout.states / "bad.json").exists()


class _Opened:
    """A catalog that counts how often it was opened."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, address: CatalogAddress) -> dict[str, int]:
        self.times += 1
        return {"run": self.times}


class _Running(Layout):
    def running_address(self) -> CatalogAddress:
        return CatalogAddress((self.data / "address").read_text(), "key", 1)


def test_a_proxy_opens_once_and_again_when_the_service_has_moved(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("here")
    opened = _Opened()
    catalog = LazyCatalog(opened, _Running(tmp_path))
    assert opened.times == 0
    assert (catalog["run"], catalog["run"], len(catalog), "run" in catalog) == (1, 1, 1, True)
    (tmp_path / "address").write_text("there")
    assert list(catalog.items()) == [("run", 2)]


@pytest.mark.parametrize(
    "name", ["_repr_html_", "_ipython_display_", "_ipython_canary_method_should_not_exist_"]
)
def test_what_a_console_asks_of_everything_opens_nothing(tmp_path: Path, name: str) -> None:
    opened = _Opened()
    assert not hasattr(LazyCatalog(opened, _Running(tmp_path)), name)
    assert opened.times == 0


def test_a_shared_server_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiled.toml").write_text('uri = "http://127.0.0.1:1"')
    with pytest.raises(CatalogError, match=r"tiled\.toml must give uri and api_key_file"):
        Layout.of(tmp_path).shared_server()
