"""A Tiled server of our own, on loopback, in a thread of the catalog service.

Built from Tiled's parts instead of its command line: the database is made in this process, which
takes a tenth of the time of the sub-process that Tiled would start for it.
"""

import asyncio
import contextlib
import copy
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn

from station.catalog.layout import CatalogError, Layout, read_json

CONTAINERS = ("raw", "analysis")
_LOOPBACK = "127.0.0.1"
_RUNS = {"name": "CatalogOfBlueskyRuns", "version": "3.0"}
_READY_S = 30.0
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def serve(layout: Layout) -> Iterator[str]:
    """Serve the catalog of a data folder, or find the shared server that it is to use.

    Parameters
    ----------
    layout : Layout
        The data folder; a database is made where there is none.

    Yields
    ------
    str
        The server's address; it answers, and has its containers.

    Raises
    ------
    CatalogError
        When the server does not come up.
    """
    shared = layout.shared_server()
    _forget_states_of_others(layout, shared or "own")
    key = layout.api_key()
    if shared is not None:
        _make_containers(shared, key)
        yield shared
        return
    prepare_database(layout)
    listener = _listener(layout)
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            _application(layout, key),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            lifespan="on",
        )
    )
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="tiled-server", daemon=True
    )
    thread.start()
    uri = f"http://{_LOOPBACK}:{port}"
    try:
        _make_containers(uri, key, thread)
        yield uri
    finally:
        server.should_exit = True
        thread.join(2.0)
        listener.close()


def _forget_states_of_others(layout: Layout, server: str) -> None:
    """Forget what was archived, where it was archived on another server."""
    last = layout.catalog / "server"
    if last.exists() and last.read_text() != server:
        for state in layout.states.glob("*.json"):
            state.unlink()
    last.write_text(server)


def prepare_database(layout: Layout) -> None:
    """Make the catalog's database where it is missing, and forget what an older one held."""
    if layout.database.exists():
        return
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import initialize_database

    for leftover in (*layout.states.glob("*.json"), *layout.catalog.glob("tables.duckdb*")):
        leftover.unlink()
    temporary = layout.database.with_suffix(".new")
    for leftover in layout.catalog.glob(f"{temporary.name}*"):
        leftover.unlink()
    uri = f"sqlite+aiosqlite:///{temporary}"

    async def initialize() -> None:
        engine = create_async_engine(uri)
        try:
            await initialize_database(engine)
        finally:
            await engine.dispose()

    asyncio.run(initialize())
    stamp_head(Path(ALEMBIC_INI_TEMPLATE_PATH), Path(ALEMBIC_DIR), uri)
    temporary.replace(layout.database)


def _application(layout: Layout, key: str) -> Any:
    from bluesky_tiled_plugins.exporters import json_seq_exporter
    from tiled.catalog import from_uri
    from tiled.config import Authentication
    from tiled.media_type_registration import default_serialization_registry
    from tiled.server.app import build_app

    registry = copy.deepcopy(default_serialization_registry)
    registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)
    catalog = from_uri(
        str(layout.database),
        writable_storage=[str(layout.arrays), f"duckdb:///{layout.tables}"],
        readable_storage=[str(layout.assets)],
    )
    return build_app(
        catalog,
        authentication=Authentication(single_user_api_key=key),
        serialization_registry=registry,
    )


def _listener(layout: Layout) -> socket.socket:
    """Listen where the last service did, if that is free, so that open clients go on working."""
    last = read_json(layout.last_address)
    ports = [urlsplit(last["uri"]).port or 0] if last else []
    for port in (*ports, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except OSError:
            listener.close()
        else:
            return listener
    raise CatalogError(f"no free port on {_LOOPBACK} for the catalog service")


def _make_containers(uri: str, key: str, thread: threading.Thread | None = None) -> None:
    deadline = time.monotonic() + _READY_S
    headers = {"Authorization": f"Apikey {key}"}
    with httpx.Client(base_url=uri, headers=headers, trust_env=False, timeout=5.0) as client:
        while not _answers(client):
            if thread is not None and not thread.is_alive():
                raise CatalogError("the Tiled server ended while it started; the log has the cause")
            if time.monotonic() > deadline:
                raise CatalogError(f"no Tiled server answers at {uri} within {_READY_S:.0f} s")
            threading.Event().wait(0.02)
        for name in CONTAINERS:
            if client.get(f"/api/v1/metadata/{name}").status_code == httpx.codes.NOT_FOUND:
                node = {
                    "id": name,
                    "structure_family": "container",
                    "metadata": {"name": name},
                    "specs": [_RUNS],
                }
                client.post("/api/v1/metadata/", json=node).raise_for_status()
                _log.info("made the container %s", name)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
