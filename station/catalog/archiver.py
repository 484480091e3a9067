"""The archiver: whatever the journal holds and the catalog lacks, it sends.

A thread of the catalog service. It looks at the journal's folders five times a second, gives each
run that grows a turn every second or two, gives a stop document to a run whose writer is gone, and
sends again what failed, later and later. One run that cannot be archived is set aside and never
stops the others.
"""

import contextlib
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station.catalog.client import connect
from station.catalog.database import CatalogDatabase
from station.catalog.feed import RunFeed, forget_aside, is_archived, set_aside
from station.catalog.layout import Layout
from station.catalog.local import LocalContainer
from station.catalog.server import CONTAINERS
from station.journal import JournalError, RunSummary, being_written, summarize

_PERIOD_S = 0.2
_TURN = 500  # documents a run may send before the next run has its turn
# A run that goes on has a turn a second, and a rarer one where turns cost more than their share of
# a core; never rarer than a reader would wait.
_SHORTEST_TURN_S, _LONGEST_TURN_S, _SHARE = 1.0, 2.0, 0.05
_TRIES = 5
_LONGEST_PAUSE_S = 60.0
_SETTLED_S = 2.0  # a folder that changed later than this may change again within its time stamp
_GARBAGE_S = 3600.0  # age of an unfinished replacement that nobody writes any more
_log = logging.getLogger(__name__)


@dataclass
class _Job:
    run: RunSummary
    inode: int
    feed: RunFeed | None = None
    tries: int = 0
    not_before: float = 0.0


class Archiver:
    """Follows a journal and feeds the catalog.

    Parameters
    ----------
    layout : Layout
        The data folder.
    uri : str
        Address of the Tiled server.
    """

    def __init__(self, layout: Layout, uri: str) -> None:
        self._layout = layout
        self._uri = uri
        self._containers: dict[str, Any] = {}
        self._jobs: dict[str, _Job] = {}
        self._seen: dict[Path, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="archiver", daemon=True)

    def start(self) -> None:
        """Begin; runs that were set aside have another chance."""
        forget_aside(self._layout)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End; what is not sent yet is sent by the next service.

        Parameters
        ----------
        timeout : float
            How long to wait for the request under way, in seconds.
        """
        self._ended.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if not self._containers:
                    self._containers = self._open()
                self.step()
            except Exception:
                _log.exception("the archiver goes on after an error")
                self._ended.wait(1.0)
            self._ended.wait(_PERIOD_S)

    def _open(self) -> dict[str, Any]:
        if self._layout.shared_server() is not None:
            root = self._connect()
            return {name: root[name] for name in CONTAINERS}
        database = CatalogDatabase(self._layout, self._connect)
        return {name: LocalContainer.of(database, name) for name in CONTAINERS}

    def _connect(self) -> Any:
        return connect(self._uri, self._layout.api_key())

    def step(self) -> None:
        """Look once, and give every run that waits its turn."""
        self._look()
        for uid, job in sorted(self._jobs.items(), key=lambda item: item[1].run.time):
            if self._ended.is_set():
                return
            if self._is_due(job) and self._serve(job):
                del self._jobs[uid]

    def _is_due(self, job: _Job) -> bool:
        if time.monotonic() >= job.not_before:
            return True
        try:
            # The pause gathers events; a run that has ended has no more of them.
            return job.feed is not None and job.feed.has_ended()
        except OSError:  # its turn tells what has become of the file
            return True

    def _look(self) -> None:
        """Note the runs in folders that have changed."""
        for month in sorted(self._layout.journal.glob("[0-9]*/[0-9]*")):
            changed = month.stat().st_mtime_ns
            if self._seen.get(month) == changed:
                continue
            with os.scandir(month) as entries:
                for entry in entries:
                    # A file may be removed, or put in its place, while the folder is read.
                    with contextlib.suppress(FileNotFoundError):
                        self._consider(entry)
            if time.time_ns() - changed > _SETTLED_S * 1e9:
                self._seen[month] = changed

    def _consider(self, entry: os.DirEntry[str]) -> None:
        if entry.name.startswith("."):
            if time.time() - entry.stat().st_mtime > _GARBAGE_S:
                _remove_garbage(Path(entry.path))
            return
        if not entry.name.endswith(".jsonl"):
            return
        uid = entry.name.removesuffix(".jsonl")
        job = self._jobs.get(uid)
        if job is not None and job.inode == entry.inode():
            return
        path = Path(entry.path)
        if not is_archived(self._layout, path):
            self._jobs[uid] = _Job(summarize(path), entry.inode())

    def _serve(self, job: _Job) -> bool:
        """Give a run its turn; tell whether it needs no more of them."""
        try:
            if job.run.problem is not None:
                raise JournalError(job.run.problem)
            if job.feed is None:
                container = self._containers[job.run.purpose]
                job.feed = RunFeed(self._layout, job.run, container)
            sent, began = job.feed.sent, time.thread_time()
            done = job.feed.step(_TURN)
            if job.feed.sent != sent:
                pause = (time.thread_time() - began) / _SHARE
                job.not_before = time.monotonic() + min(
                    max(pause, _SHORTEST_TURN_S), _LONGEST_TURN_S
                )
            return done
        except Exception as error:
            if not job.run.path.exists():
                _log.warning("the journal of %s was removed before it was archived", job.run.uid)
                return True
            if isinstance(error, JournalError):
                set_aside(self._layout, job.run, str(error))
                return True
            return self._failed(job, error)

    def _failed(self, job: _Job, error: Exception) -> bool:
        from httpx import TransportError

        job.feed = None
        job.tries += 1
        pause = min(2.0 ** (job.tries - 1), _LONGEST_PAUSE_S)
        job.not_before = time.monotonic() + pause
        if job.tries >= _TRIES and not isinstance(error, TransportError):
            set_aside(self._layout, job.run, f"{type(error).__name__}: {error}")
            return True
        _log.warning("run %s again in %.0f s", job.run.uid, pause, exc_info=error)
        return False


def _remove_garbage(path: Path) -> None:
    """Remove the unfinished replacement of a run, if the process that wrote it is gone."""
    if not being_written(path):
        path.unlink(missing_ok=True)
        _log.info("removed %s, which was never finished", path)
