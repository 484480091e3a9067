"""The station at work: a RunEngine, the instruments, the journal and the live analysis, joined.

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
from typing import TYPE_CHECKING, Any, Self, cast

from bluesky import RunEngine
from bluesky.preprocessors import SupplementalData
from bluesky.utils import ProgressBarManager

from station.instruments import INSTRUMENTS
from station.journal import Journal
from station.keys import client_security
from station.live import LiveAnalysis, Watch
from station.lookup import report_folder
from station.metadata import PersistentMetadata, package_versions
from station.predictions import (
    PredictionError,
    PredictionWorker,
    image_classifier,
    make_prediction_analysis,
)
from station.presence import announced
from station.problems import ImageProblems
from station.results import make_analyses
from station.servers import READY_S, InstrumentServer, ServerFacts
from station.settings import Settings

if TYPE_CHECKING:
    from devices.afm import Afm
    from devices.image_classifier import ImageClassifier
    from devices.microscope import Microscope

__all__ = ["Station"]

_log = logging.getLogger(__name__)

_END_OF_LOOP, _POLL = 1.0, 0.005  # seconds
_LAST_PREDICTIONS = 60.0  # seconds for a model that is only coming up when a short run is over
_CONNECT = 5.0  # seconds for the handshake with a server that says that it is ready

Subscriber = Callable[[str, Mapping[str, Any]], object]


class Station:
    """Everything that one person at one desk works with.

    Building it starts the servers of the instruments that the settings name, which come up while
    the rest is put together; `connect` then waits for one. As a context manager it does both, and
    closes. An instrument that the settings do not name is started when it is asked for.

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
        The baseline: goniometer and column, head and scanner.
    journal : station.journal.Journal
        The record of every document.
    live : station.live.LiveAnalysis or None
        The live analysis, unless the settings are against it.
    predictor : station.predictions.PredictionWorker or None
        The model that predicts what images show, if the settings name one.
    predictions : station.live.LiveAnalysis or None
        Its predictions, on a thread of their own: neither a plan nor the other analyses wait.
    problems : station.problems.ImageProblems
        What the live analysis has found wrong with an image; can suspend the RunEngine.
    servers : mapping of str to InstrumentServer
        By the name of the instrument.
    facts : mapping of str to ServerFacts
        What the server of each connected instrument says of itself.
    """

    def __init__(
        self,
        settings: Settings,
        settings_path: Path | None = None,
        *,
        context_managers: list[Any] | None = None,
    ) -> None:
        self.settings = settings
        self.servers = {
            name: InstrumentServer(settings, settings_path, instrument=name) for name in INSTRUMENTS
        }
        self.facts: dict[str, ServerFacts] = {}
        self._devices: dict[str, Any] = {}
        self._classifier: ImageClassifier | None = None
        with ExitStack() as undo:
            for server in self.servers.values():
                undo.callback(server.close)
            for name in settings.instruments:
                self.servers[name].start()
            self.journal = Journal(settings.data / "journal")
            undo.callback(self.journal.close)
            self.problems = ImageProblems()
            self.live = self._make_live()
            if self.live is not None:
                undo.callback(self.live.close)
            self.predictor, self.predictions = self._make_predictions(undo)
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

        def record(name: str, doc: Mapping[str, Any]) -> None:
            self.journal(name, doc)
            self.problems(name, doc)

        return LiveAnalysis(record, make, watch)

    def _make_predictions(
        self, undo: ExitStack
    ) -> tuple[PredictionWorker | None, LiveAnalysis | None]:
        if self.settings.networks.model is None:
            return None, None
        worker = undo.enter_context(PredictionWorker(self.settings))
        if not self.settings.live.analysis:
            return worker, None
        make = make_prediction_analysis(worker)
        predictions = LiveAnalysis(self.journal, make, drain_s=_LAST_PREDICTIONS)
        undo.callback(predictions.close)
        return worker, predictions

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
        if self.predictions is not None:
            self.RE.subscribe(self.predictions)
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
        """The transmission electron microscope; connected when it is first asked for."""
        return self.connect_tem()

    @property
    def afm(self) -> Afm:
        """The atomic force microscope; connected when it is first asked for."""
        return self.connect_afm()

    @property
    def classifier(self) -> ImageClassifier:
        """The device through which a plan asks the model of the settings.

        Raises
        ------
        station.predictions.PredictionError
            The settings name none, or one that tells no classes.
        """
        if self._classifier is None:
            if self.predictor is None:
                raise PredictionError("no model is named: set [networks] model")
            self._classifier = image_classifier(self.afm, self.predictor)
        return self._classifier

    def connect_tem(self, timeout_s: float = READY_S) -> Microscope:
        """Connect to the transmission electron microscope; see `connect`."""
        return cast("Microscope", self.connect("tem", timeout_s))

    def connect_afm(self, timeout_s: float = READY_S) -> Afm:
        """Connect to the atomic force microscope; see `connect`."""
        return cast("Afm", self.connect("afm", timeout_s))

    def connect(self, name: str, timeout_s: float = READY_S) -> Any:
        """Wait for an instrument's server and connect to it; also to try again after a failure.

        Parameters
        ----------
        name : str
            ``tem`` or ``afm``.
        timeout_s : float
            Seconds that a server that was started is given.

        Returns
        -------
        ophyd.Device
            Connected.

        Raises
        ------
        station.servers.ServerError
            The server did not start; says why.
        devices.wire.WireError
            It does not answer.
        """
        from devices.wire import Client

        if name in self._devices:
            return self._devices[name]
        kind, server = INSTRUMENTS[name], self.servers[name]
        server.start()
        facts = server.wait_ready(timeout_s)
        with ExitStack() as undo:
            client = Client(
                facts.control,
                facts.events or None,
                name=self.settings.operator,
                security=client_security(kind.section(self.settings).keys),
            )
            undo.callback(client.close)
            device = kind.device(client, self.settings.data / "assets")
            undo.callback(device.close)
            device.wait_for_connection(timeout=_CONNECT)
            undo.enter_context(announced(self.settings.data, facts))
            self._undo.push(undo.pop_all())
        self.sd.baseline = [*self.sd.baseline, *kind.baseline(device)]
        self._devices[name], self.facts[name] = device, facts
        return device

    def close(self) -> None:
        """End everything: an open run is aborted, what moves stopped, beam off, tip withdrawn."""
        self._undo.close()

    def __enter__(self) -> Self:
        try:
            for name in self.settings.instruments:
                self.connect(name)
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
