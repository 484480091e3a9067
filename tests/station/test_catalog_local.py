"""The catalog that is written without its server holds what the server would have written."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import event_model
import numpy as np
import pytest
import zarr
from bluesky_tiled_plugins import TiledWriter
from tiled.structures.core import StructureFamily

from station.catalog import ensure_catalog, open_catalog, stop_catalog, wait_archived
from station.catalog.database import CatalogDatabase
from station.catalog.feed import RunFeed
from station.catalog.layout import Layout
from station.catalog.local import LocalContainer, NotLocalError
from station.catalog.server import prepare_database
from station.journal import Journal, find_run, summarize

# Of Alembic, about the configuration that Tiled gives it.
pytestmark = pytest.mark.filterwarnings("ignore:No path_separator found:DeprecationWarning")

Documents = list[tuple[str, dict[str, Any]]]
LONG = 40  # numbers; TiledWriter keeps arrays of more than 16 as arrays, not in a table


def run_of(events: int, shape: tuple[int | None, ...] = (LONG,)) -> Documents:
    """Make a run with a number, a short list and a long one an event, and frames in a file."""
    bundle: Any = event_model.compose_run(uid=str(uuid4()), time=1e9, metadata={"sample": "none"})
    keys: dict[str, Any] = {
        "x": {"source": "test", "dtype": "number", "shape": [], "units": "nm"},
        "few": {"source": "test", "dtype": "array", "shape": [3], "dtype_numpy": "<f8"},
        "many": {"source": "test", "dtype": "array", "shape": [*shape], "dtype_numpy": "<f8"},
        "frame": {
            "source": "test",
            "dtype": "array",
            "shape": [1, 4, 5],
            "dtype_numpy": "<u2",
            "external": "STREAM:",
        },
    }
    descriptor = bundle.compose_descriptor(name="primary", data_keys=keys)
    resource = bundle.compose_stream_resource(
        mimetype="application/x-hdf5",
        uri="file://localhost/nowhere/frames.h5",
        data_key="frame",
        parameters={"dataset": "/entry/data", "chunk_shape": (1, 4, 5)},
    )
    documents: Documents = [
        ("start", dict(bundle.start_doc)),
        ("descriptor", dict(descriptor.descriptor_doc)),
        ("stream_resource", dict(resource.stream_resource_doc)),
    ]
    for n in range(events):
        datum = resource.compose_stream_datum(
            {"start": n, "stop": n + 1}, {"start": n + 1, "stop": n + 2}, descriptor.descriptor_doc
        )
        data = {"x": n / 3, "few": [n / 7] * 3, "many": [float(n)] * LONG}
        stamps = dict.fromkeys(data, 1e9)
        event = descriptor.compose_event(data=data, timestamps=stamps, time=1e9 + n)
        documents += [("stream_datum", dict(datum)), ("event", dict(event))]
    return [*documents, ("stop", dict(bundle.compose_stop(time=2e9)))]


def described(node: Any, *keys: str) -> dict[str, Any]:
    """Tell all that a catalog says of a node and of what is in it, but for links and times."""
    said = node.item["attributes"]
    told = {
        "/".join(keys): (
            said["structure_family"],
            said["metadata"],
            said["specs"],
            said["structure"] if said["structure_family"] != "container" else None,
        )
    }
    if said["structure_family"] == "container":
        base = getattr(node, "base", node)
        for key in base:
            told |= described(base[key], *keys, key)
    return told


class ServerAskedError(Exception):
    """The server was asked for a container."""


class _Server:
    """What stands for the server: whoever asks it is found out."""

    def __getitem__(self, name: str) -> Any:
        raise ServerAskedError(name)


@pytest.fixture(scope="module", autouse=True)
def _zarr_thread(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let Zarr start its thread, which stays, before threads are counted."""
    zarr.create_array(tmp_path_factory.mktemp("zarr") / "array", shape=(1,), dtype="f8")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A data folder with an empty catalog, and no service."""
    layout = Layout.of(tmp_path)
    layout.prepare()
    prepare_database(layout)
    with closing(CatalogDatabase(layout, _Server)) as database:
        database.add_node(0, "raw", StructureFamily.container, {})
        database.flush()
    return layout


@pytest.fixture
def raw(layout: Layout) -> Iterator[LocalContainer]:
    """The container of measurements."""
    with closing(CatalogDatabase(layout, _Server)) as database:
        yield LocalContainer.of(database, "raw")


def write(documents: Documents, raw: Any) -> None:
    writer = TiledWriter(raw, batch_size=1)
    for name, doc in documents:
        writer(name, doc)


def stored(layout: Layout, uid: str) -> np.ndarray:
    array = zarr.open_array(layout.arrays / "raw" / uid / "primary" / "many")
    return np.asarray(array[:])


@pytest.mark.slow
def test_it_holds_what_the_server_would_have_written(tmp_path: Path) -> None:
    own = tmp_path / "own"
    documents = run_of(3)
    uid = documents[0][1]["uid"]
    ensure_catalog(own)
    try:
        with Journal(own / "journal") as journal:
            for name, doc in documents:
                journal(name, doc)
        wait_archived(own, uid, 60)
        catalog = open_catalog(own)
        written = described(catalog[uid], "run")
        catalog[uid].delete(recursive=True, external_only=False)
        writer = TiledWriter(catalog)
        for name, doc in documents:
            writer(name, doc)
        assert written == described(open_catalog(own)[uid], "run")
    finally:
        stop_catalog(own)


def test_nothing_is_to_be_seen_before_it_is_flushed(layout: Layout, raw: LocalContainer) -> None:
    documents = run_of(2)
    uid = documents[0][1]["uid"]
    with closing(CatalogDatabase(layout, _Server)) as reader:
        number = reader.find("raw") or -1
        write(documents, raw)
        assert reader.find(uid, number) is None
        raw.flush()
        assert reader.find(uid, number) is not None


def test_what_is_forgotten_can_be_written_again(layout: Layout, raw: LocalContainer) -> None:
    documents = run_of(2)
    write(documents, raw)
    raw.forget()
    write(documents, raw)
    raw.flush()
    assert stored(layout, documents[0][1]["uid"])[:, 0].tolist() == [0.0, 1.0]


def test_an_array_grows_with_every_flush(layout: Layout, raw: Any) -> None:
    documents = run_of(5)
    writer = TiledWriter(raw, batch_size=1)
    for name, doc in documents:
        writer(name, doc)
        if name == "event" and doc["seq_num"] % 2:
            raw.flush()
    raw.flush()
    assert stored(layout, documents[0][1]["uid"])[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_an_array_that_a_killed_service_left_is_replaced(
    layout: Layout, raw: LocalContainer
) -> None:
    documents = run_of(2)
    uid = documents[0][1]["uid"]
    left = layout.arrays / "raw" / uid / "primary" / "many"
    zarr.create_array(left, shape=(9, LONG), dtype="f8")
    write(documents, raw)
    raw.flush()
    assert stored(layout, uid).shape == (2, LONG)


def test_arrays_of_changing_length_are_refused(raw: LocalContainer) -> None:
    with pytest.raises(NotLocalError, match="arrays of changing length"):
        write(run_of(1, (None,)), raw)


def test_a_run_that_is_not_for_the_database_goes_to_the_server(
    layout: Layout, raw: LocalContainer
) -> None:
    documents = run_of(1, (None,))
    with Journal(layout.journal) as journal:
        for name, doc in documents:
            journal(name, doc)
    summary = summarize(find_run(layout.journal, documents[0][1]["uid"]))
    feed = RunFeed(layout, summary, raw)
    with pytest.raises(ServerAskedError, match="raw"):
        feed.step(500)
