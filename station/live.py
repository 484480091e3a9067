"""The live analysis of runs, on a thread of its own.

The RunEngine's thread only puts documents into a queue without bounds, so that none is lost and
none waits. The thread registers images, writes the analysis run to the journal beside the raw one
and keeps the result for the plan that asks for it. Work that takes long tells a `Watch` how far it
is, and is ended through it when the station closes.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from analysis.live import Analysis, HysteresisAnalysis
from station import StationError
from station.results import kind_of

__all__ = ["LiveAnalysis", "LiveAnalysisError", "Watch"]

_log = logging.getLogger(__name__)

Emit = Callable[[str, Mapping[str, Any]], object]
Watcher = Callable[[str, str, int, int], object]

_DRAIN = 1.0  # seconds
_KEPT = 64  # results; older ones are in the journal


class LiveAnalysisError(StationError):
    """A run has no result; says why."""


class Watch:
    """How far the live analysis is; called on its thread."""

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self._watcher: Watcher | None = None

    def tell(self, watcher: Watcher | None) -> None:
        """Have `watcher` called with (raw uid, what, done, all) from now on; nobody if None."""
        self._watcher = watcher

    def __call__(self, raw_uid: str, what: str, done: int, total: int) -> None:
        """Take a step of the analysis; raises when it is to end."""
        if self.given_up.is_set():
            raise LiveAnalysisError("the station was closed before the analysis was done")
        watcher = self._watcher
        if watcher is not None:
            watcher(raw_uid, what, done, total)


class LiveAnalysis:
    """Subscriber of a RunEngine that analyses runs while they are taken.

    Parameters
    ----------
    journal : callable
        Takes name and document of the analysis runs.
    make_router : callable, optional
        Makes the analysis from where its documents shall go.
    watch : Watch, optional
        What the analysis tells its progress to.
    drain_s : float
        Seconds that `close` waits for the analysis of what has been recorded.
    """

    def __init__(
        self,
        journal: Emit,
        make_router: Callable[[Emit], Analysis] = HysteresisAnalysis,
        watch: Watch | None = None,
        drain_s: float = _DRAIN,
    ) -> None:
        self.watch = Watch() if watch is None else watch
        self._journal = journal
        self._drain_s = drain_s
        self._router = make_router(self._emit)
        self._queue: queue.SimpleQueue[tuple[str, Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._futures: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()
        self._collected: dict[str, _Collected] = {}
        self._owners: dict[str, str] = {}  # analysis run of each of its descriptors
        self._given_up = self.watch.given_up
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="live-analysis", daemon=True)
        self._thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document of a raw run; returns at once.

        Parameters
        ----------
        name : str
            Kind of document.
        doc : mapping
            The document.
        """
        if name == "start":
            future: Future[Any] = Future()
            # Not to be cancelled: a plan that is aborted while it waits takes it from nobody else.
            future.set_running_or_notify_cancel()
            with self._lock:
                if not self._ended:
                    self._futures[doc["uid"]] = future
                while len(self._futures) > _KEPT:
                    del self._futures[next(iter(self._futures))]
        self._queue.put((name, doc))

    def future(self, raw_uid: str) -> Future[Any]:
        """The result of a run, to come or there.

        Parameters
        ----------
        raw_uid : str
            A run of this session.

        Returns
        -------
        concurrent.futures.Future
            Of a `HysteresisResult` or a `MosaicResult`; fails with `LiveAnalysisError` where
            there is no result.
        """
        with self._lock:
            known = self._futures.get(raw_uid)
        if known is None:
            known = Future()
            known.set_exception(
                LiveAnalysisError(f"run {raw_uid} is not one of the last {_KEPT} of this session")
            )
        return known

    def close(self) -> None:
        """Finish what is recorded, as long as is allowed, and end the thread.

        What is left then is closed as unfinished; `twinscope replay` makes up for it.
        """
        self._queue.put(None)
        self._thread.join(self._drain_s)
        self._given_up.set()
        self._thread.join(_DRAIN)

    def _work(self) -> None:
        try:
            while (item := self._queue.get()) is not None and not self._given_up.is_set():
                name, doc = item
                self._router(name, doc)
                if name == "stop":
                    self._settle(doc["run_start"])
            self._router.close()
        finally:  # whatever happens here, nobody waits for ever
            with self._lock:
                self._ended = True
                known = list(self._futures)
            for uid in known:
                self._settle(uid)

    def _settle(self, raw_uid: str) -> None:
        """Fail the future of a run that has ended without an analysis."""
        future = self.future(raw_uid)
        if not future.done():
            future.set_exception(
                LiveAnalysisError(
                    f"run {raw_uid[:8]} was not analysed: no stage images, or the log has why"
                )
            )

    def _emit(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document of an analysis run from the router."""
        self._journal(name, doc)
        if name == "start":
            self._collected[doc["uid"]] = _Collected(doc["raw_uid"])
            uid = doc["uid"]
        elif name == "event":
            uid = self._owners[doc["descriptor"]]
        else:
            uid = doc["run_start"]
        if name == "descriptor":
            self._owners[doc["uid"]] = uid
        self._collected[uid].documents.append((name, doc))
        if name == "stop":
            done = self._collected.pop(uid)
            self._owners = {key: owner for key, owner in self._owners.items() if owner != uid}
            self._finish(done, doc)

    def _finish(self, done: _Collected, stop: Mapping[str, Any]) -> None:
        future = self.future(done.raw_uid)
        if future.done():
            return
        name = done.raw_uid[:8]
        if stop["exit_status"] != "success":
            reason = f"the analysis of run {name} failed: {stop['reason']}"
            future.set_exception(LiveAnalysisError(reason))
            return
        try:
            _, start = done.documents[0]
            future.set_result(kind_of(start).read(done.documents))
        except ValueError as error:
            reason = f"the analysis of run {name} has no result: {error}"
            future.set_exception(LiveAnalysisError(reason))


@dataclass
class _Collected:
    """The documents of an analysis run so far."""

    raw_uid: str
    documents: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
