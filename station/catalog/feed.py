"""One run on its way from the journal to the catalog.

What a step sends to the catalog of one's own is written in one piece at its end; a Tiled server
that others share gets every event of a run that goes on at once, and a run that is complete whole.
"""

import base64
import logging
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from station.catalog.layout import Layout, RunState, read_state, write_state
from station.catalog.local import LocalContainer, NotLocalError
from station.journal import JournalTail, RunSummary, close_abandoned, summarize

_AT_ONCE = 1  # a run that goes on: every event is sent when it comes
_WHOLE = 10_000  # a run that is complete: its events go in one piece
_MOST_BEHIND = 200  # documents; further behind, a complete run is quicker sent anew
_log = logging.getLogger(__name__)


class ColumnChangedError(Exception):
    """A column that began with integers goes on with fractions."""


class RunFeed:
    """Sends one run's documents to the catalog, as the journal grows.

    A run that the catalog holds in part is deleted there and sent anew: only so is it certain to
    be whole, with nothing twice.

    Parameters
    ----------
    layout : Layout
        The data folder.
    run : RunSummary
        The run.
    container : LocalContainer or CatalogOfBlueskyRuns
        The container that the run belongs in, or the client of a shared one.

    Attributes
    ----------
    sent : int
        Documents that the catalog has got.
    """

    def __init__(self, layout: Layout, run: RunSummary, container: Any) -> None:
        self.uid = run.uid
        self.path = run.path
        self._layout = layout
        self._use(container)
        self._fractions: set[tuple[str, str]] = set()
        self._begin()

    def step(self, most: int) -> bool:
        """Send what the journal has got since the last step.

        Parameters
        ----------
        most : int
            Send at most so many documents, so that other runs have their turn.

        Returns
        -------
        bool
            Whether the run is archived.
        """
        documents = list(self._tail.read(most))
        if not documents:
            close_abandoned(self.path)
            return False
        if self.sent == 0:
            self._start_writing()
        elif self._behind(len(documents)):
            self._begin()
            return False
        try:
            return self._send(documents)
        except ColumnChangedError:
            self._forget()
            self._begin()
            return False
        except NotLocalError:
            self._forget()
            self._use(self._container.remote)
            self._begin()
            return False
        except Exception:
            self._forget()
            raise

    def has_ended(self) -> bool:
        """Tell whether the journal holds the run's end, which has not been sent."""
        return self.path.stat().st_size != self._tail.offset and self._complete()

    def _behind(self, documents: int) -> bool:
        """Tell whether a complete run is quicker sent anew, whole."""
        each = self._local is None and self._batch == _AT_ONCE
        return each and documents > _MOST_BEHIND and self._complete()

    def _use(self, container: Any) -> None:
        self._container = container
        self._local = container if isinstance(container, LocalContainer) else None

    def _forget(self) -> None:
        if self._local is not None:
            self._local.forget()

    def _begin(self) -> None:
        self._tail = JournalTail(self.path)
        self._writer: Any = None
        self.sent = 0
        self._batch = _AT_ONCE
        self._streams: dict[str, str] = {}
        self._keys: dict[str, Mapping[str, Any]] = {}

    def _complete(self) -> bool:
        return summarize(self.path).stop is not None

    def _start_writing(self) -> None:
        self._batch = _WHOLE if self._complete() else _AT_ONCE
        delete_run(self._container, self.uid)
        self._note("partial")
        from bluesky_tiled_plugins import TiledWriter

        self._writer = TiledWriter(self._container, batch_size=self._batch)

    def _send(self, documents: list[tuple[str, dict[str, Any]]]) -> bool:
        ended = False
        for name, doc in documents:
            self._writer(name, self._suited(name, doc))
            self.sent += 1
            ended = name == "stop"
            if ended:
                break
        if self._local is not None:
            self._local.flush()
        if not ended:
            return False
        self._note("archived")
        _log.info("archived %s (%d documents)", self.uid, self.sent)
        return True

    def _note(self, state: str) -> None:
        tail, stat = self._tail, self.path.stat()
        changed = stat.st_mtime_ns if stat.st_ino == tail.inode else 0
        note = RunState(state, tail.inode, changed, tail.offset, tail.crc)
        write_state(self._layout, self.uid, note)

    def _suited(self, name: str, doc: dict[str, Any]) -> dict[str, Any]:
        """Bring a document into the form that the writer takes: JSON values, steady columns."""
        if name == "descriptor":
            self._streams[doc["uid"]] = doc.get("name", "primary")
            self._keys[doc["uid"]] = doc["data_keys"]
        elif name == "event":
            doc = {**doc, "data": self._steady(doc["descriptor"], doc["data"])}
        elif name == "event_page":
            doc = {**doc, "data": self._steady(doc["descriptor"], doc["data"])}
        return plain(doc)

    def _steady(self, descriptor: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Let a column of numbers hold one type: a table's type is that of its first row."""
        keys = self._keys[descriptor]
        steady = {}
        for key, value in data.items():
            value = plain(value)
            kind = keys[key].get("dtype") if key in keys else None
            column = (self._streams[descriptor], key)
            if kind == "number" or column in self._fractions:
                value = _as_floats(value)
            elif kind == "integer" and _has_floats(value):
                self._fractions.add(column)
                raise ColumnChangedError(key)
            steady[key] = value
        return steady


def set_aside(layout: Layout, run: RunSummary, reason: str) -> None:
    """Note that a run cannot be archived, and why."""
    stat = run.path.stat()
    note = RunState("aside", stat.st_ino, stat.st_mtime_ns, stat.st_size, reason=reason)
    write_state(layout, run.uid, note)
    _log.error("set run %s aside: %s", run.uid, reason)


def forget_aside(layout: Layout) -> None:
    """Forget which runs could not be archived: the cause may have gone."""
    for path in layout.states.glob("*.json"):
        state = read_state(layout, path.stem)
        if state is not None and state.state == "aside":
            path.unlink()


def is_archived(layout: Layout, path: Path) -> bool:
    """Tell whether the catalog holds a run just as its journal file is now."""
    uid = path.stem
    state = read_state(layout, uid)
    stat = path.stat()
    if state is None or state.state == "partial":
        return False
    if state.fits(stat):
        return True
    if state.state == "aside" or state.size != stat.st_size:
        return False
    try:
        if zlib.crc32(path.read_bytes()) != state.crc:
            return False
    except OSError:  # the feed meets it again, and sets the run aside with the reason
        return False
    # A copy of the same content: remember its face, so that it need not be read again.
    write_state(layout, uid, replace(state, inode=stat.st_ino, mtime_ns=stat.st_mtime_ns))
    return True


def delete_run(container: Any, uid: str) -> None:
    """Remove a run from the catalog, if it is there; asset files stay as they are."""
    try:
        node = container[uid]
    except KeyError:
        return
    node.delete(recursive=True, external_only=False)


def plain(value: Any) -> Any:
    """Turn numpy content into plain lists and numbers, value for value.

    Parameters
    ----------
    value : object
        A document, or a part of one.

    Returns
    -------
    object
        The same with JSON types only; keys are text, bytes are base64.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def _as_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    return float(value) if type(value) is int else value


def _has_floats(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_floats(item) for item in value)
    return isinstance(value, float)
