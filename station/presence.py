"""Where the servers of a station are, for other programs on the same data folder to look on.

A station that connects to an instrument leaves the addresses in ``<data>/servers``, and takes them
away when it ends. What is found there may be gone: who connects will notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from station.servers import ServerFacts

__all__ = ["announced", "present"]


def _file(data: Path, name: str) -> Path:
    return data / "servers" / f"{name}.json"


@contextmanager
def announced(data: Path, facts: ServerFacts) -> Iterator[None]:
    """Let others know of a server for as long as the context lasts.

    Parameters
    ----------
    data : Path
        The data folder.
    facts : ServerFacts
        Of the server.
    """
    path = _file(data, facts.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    half.write_text(json.dumps(asdict(facts)), encoding="utf-8")
    half.replace(path)
    try:
        yield
    finally:
        if present(data, facts.name) == facts:  # else another station has come
            path.unlink(missing_ok=True)


def present(data: Path, name: str) -> ServerFacts | None:
    """Return where the server of an instrument is, or was.

    Parameters
    ----------
    data : Path
        The data folder.
    name : str
        Of the instrument.

    Returns
    -------
    ServerFacts or None
        None when no station has connected to one.
    """
    with suppress(OSError, ValueError, TypeError):
        return ServerFacts(**json.loads(_file(data, name).read_text(encoding="utf-8")))
    return None
