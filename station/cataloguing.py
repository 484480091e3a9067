"""The commands about the catalog service, and holding one open for as long as it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from station.catalog import CatalogAddress, catalog_status, ensure_catalog, stop_catalog
from station.settings import Settings

__all__ = ["catalog_while", "start", "status", "stop"]


def start(settings: Settings) -> str:
    """Start the service unless it runs; returns the line to print."""
    address = ensure_catalog(settings.data)
    return f"catalog of {settings.data} at {address.uri}"


def stop(settings: Settings) -> str:
    """Stop the service; returns the line to print."""
    if stop_catalog(settings.data):
        return f"catalog service of {settings.data} stopped"
    return f"no catalog service runs for {settings.data}"


def status(settings: Settings, *, as_json: bool) -> str:
    """Describe the service and what it lacks; returns the text to print."""
    found = catalog_status(settings.data)
    if as_json:
        return json.dumps(
            {
                "running": found.running,
                "uri": found.address.uri if found.address else None,
                "archived": found.archived,
                "waiting": found.waiting,
                "aside": [{"uid": uid, "reason": reason} for uid, reason in found.aside],
            }
        )
    where = f"runs at {found.address.uri}" if found.address else "does not run"
    lines = [f"catalog service {where}: {found.archived} runs archived, {found.waiting} to come"]
    lines += [f"set aside: {uid[:8]}: {reason}" for uid, reason in found.aside]
    return "\n".join(lines)


@contextmanager
def catalog_while(settings: Settings) -> Iterator[Future[CatalogAddress]]:
    """Have a catalog service while the context lasts; one that ran before is left running.

    Parameters
    ----------
    settings : Settings
        The data folder.

    Yields
    ------
    concurrent.futures.Future of CatalogAddress
        The service, which comes up in the background.
    """
    ran_before = catalog_status(settings.data).running
    with ThreadPoolExecutor(1, thread_name_prefix="catalog-start") as background:
        try:
            yield background.submit(ensure_catalog, settings.data)
        finally:
            background.shutdown(wait=True)
            if not ran_before:
                stop_catalog(settings.data)
