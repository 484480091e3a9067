"""The station at work: a RunEngine, the microscope, the journal and the live analysis, joined.

The journal is the first subscriber and the only one that may end a run; everything else either
hands the documents on to a thread of its own or keeps its failures to itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bluesky import RunEngine
from bluesky.preprocessors import SupplementalData
from bluesky.utils import ProgressBarManager

from devices.microscope import Microscope
from station.journal import Journal
from station.keys import client_security
from station.live import LiveAnalysis, Watch
from station.lookup import report_folder
from station.metadata import PersistentMetadata, package_versions
from station.results import make_analyses
from station.servers import READY_S, InstrumentServer, ServerFacts
from station.settings import Settings

__all__ = ["Station"]

_log = logging.getLogger(__name__)

_END_OF_LOOP, _POLL = 1.0, 0.005  # seconds
_CONNECT = 5.0  # seconds for the handshake with a server that says that it is ready

Subscriber = Callable[[str, Mapping[str, Any]], object]


class Station:
    """Everything that one person at one desk works with.

    Building it starts the instrument's server, which comes up while the rest is put together;
    `connect_tem` then waits for it. As a context manager it does both, and closes.

    Parameters
    ----------
    settings : Settings
        The settings.
    settings_path : Path, optional
        The file they came from, for the server.
    context_managers : list, optional
        As of `bluesky.RunEngine`; bluesky's own handling of Ctrl-C unless given.

    Attributes
    ----------
    RE : bluesky.RunEngine
        Its ``md`` outlive the process.
    sd : bluesky.preprocessors.SupplementalData
        The baseline: goniometer and column.
    journal : station.journal.Journal
        The record of every document.
    live : station.live.LiveAnalysis or None
        The live analysis, unless the settings are against it.
    """

    def __init__(
        self,
        settings: Settings,
        settings_path: Path | None = None,
        *,
        context_managers: list[Any] | None = None,
    ) -> None:
        self.settings = settings
        self._tem: Microscope | None = None
        self._facts: ServerFacts | None = None
        with ExitStack() as undo:
            self._server = InstrumentServer(settings, settings_path)
            undo.callback(self._server.close)
            self._server.start()
            self.journal = Journal(settings.data / "journal")
            undo.callback(self.journal.close)
            self.live = self._make_live()
            if self.live is not None:
                undo.callback(self.live.close)
            self.RE = self._make_engine(context_managers)
            undo.callback(self._end_engine)
            self.sd = SupplementalData()
            self.RE.preprocessors.append(self.sd)
            self._subscribe(undo)
            self._undo = undo.pop_all()

    def _make_live(self) -> LiveAnalysis | None:
        if not self.settings.live.analysis:
            return None
        watch = Watch()
        make = partial(make_analyses, folder=report_folder(self.settings), progress=watch)
        return LiveAnalysis(self.journal, make, watch)

    def _make_engine(self, context_managers: list[Any] | None) -> RunEngine:
        md = PersistentMetadata(self.settings.data / "md.json")
        md.update(
            {
                "operator": self.settings.operator,
                **self.settings.md,
                "versions": dict(package_versions()),
            }
        )
        engine = RunEngine(
            md,  # pyright: ignore[reportArgumentType]  # any mutable mapping will do
            call_returns_result=True,
            scan_id_source=md.next_scan_id,
            context_managers=context_managers,
            loop=asyncio.new_event_loop(),
        )
        engine.waiting_hook = ProgressBarManager()  # pyright: ignore[reportAttributeAccessIssue]
        return engine

    def _subscribe(self, undo: ExitStack) -> None:
        self.RE.subscribe(self.journal)
        if self.live is not None:
            self.RE.subscribe(self.live)
        if self.settings.live.publish is not None:
            publisher = _publisher(self.settings.live.publish)
            undo.callback(publisher.close)
            self.RE.subscribe(kept_to_itself(publisher, "publishing documents"))

    def _end_engine(self) -> None:
        try:
            if self.RE.state not in ("idle", "panicked"):
                self.RE.abort("the station was closed")
        finally:  # a plan that does not end well must not leave the loop and its thread behind
            self._end_loop()

    def _end_loop(self) -> None:
        loop = self.RE.loop
        loop.call_soon_threadsafe(loop.stop)
        deadline = time.monotonic() + _END_OF_LOOP
        while loop.is_running() and time.monotonic() < deadline:
            threading.Event().wait(_POLL)
        if not loop.is_running():
            loop.close()

    @property
    def tem(self) -> Microscope:
        """The microscope; connected when it is first asked for."""
        return self._tem or self.connect_tem()

    @property
    def facts(self) -> ServerFacts | None:
        """What the instrument's server says of itself, once it is connected."""
        return self._facts

    @property
    def server(self) -> InstrumentServer:
        """The instrument's server."""
        return self._server

    def connect_tem(self, timeout_s: float = READY_S) -> Microscope:
        """Wait for the instrument's server and connect to it; also to try again after a failure.

        Parameters
        ----------
        timeout_s : float
            Seconds that a server that was started is given.

        Returns
        -------
        devices.microscope.Microscope
            Connected.

        Raises
        ------
        station.servers.ServerError
            The server did not start; says why.
        devices.wire.WireError
            It does not answer.
        """
        from devices.wire import Client

        if self._tem is not None:
            return self._tem
        self._server.start()
        facts = self._server.wait_ready(timeout_s)
        with ExitStack() as undo:
            client = Client(
                facts.control,
                facts.events or None,
                name=self.settings.operator,
                security=client_security(self.settings.tem.keys),
            )
            undo.callback(client.close)
            tem = Microscope(client, name="tem", asset_folder=self.settings.data / "assets")
            undo.callback(tem.close)
            tem.wait_for_connection(timeout=_CONNECT)
            self._undo.push(undo.pop_all())
        self.sd.baseline = [tem.goniometer, tem.column]
        self._tem, self._facts = tem, facts
        return tem

    def close(self) -> None:
        """End everything: an open run is aborted, the stage stopped, the beam blanked."""
        self._undo.close()

    def __enter__(self) -> Self:
        try:
            self.connect_tem()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def kept_to_itself(subscriber: Subscriber, what: str) -> Subscriber:
    """Make a subscriber that a run can do without: its first failure is logged, and its last.

    Parameters
    ----------
    subscriber : callable
        Takes name and document.
    what : str
        What it does, for the message.

    Returns
    -------
    callable
        To be subscribed to a RunEngine.
    """
    failed = False

    def safe(name: str, doc: Mapping[str, Any]) -> None:
        nonlocal failed
        if failed:
            return
        try:
            subscriber(name, doc)
        except Exception:
            failed = True
            _log.exception("%s failed and is given up; the run goes on", what)

    return safe


def _publisher(address: str) -> Any:
    import orjson
    from bluesky.callbacks.zmq import Publisher

    def serialize(doc: Any) -> bytes:
        return orjson.dumps(doc, option=orjson.OPT_SERIALIZE_NUMPY)

    return Publisher(address, serializer=serialize)
