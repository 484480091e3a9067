"""Running or estimating an experiment from the command line: station, progress bar, result."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky.utils import FailedStatus, RunEngineInterrupted
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from station.cli_errors import CommandError
from station.engine import Station
from station.interrupt import StopAtOnce
from station.listing import print_json
from station.live import LiveAnalysisError
from station.logs import logging_to
from station.recipes import (
    Characterise,
    CrossAxis,
    Drift,
    Experiment,
    Hysteresis,
    Mosaic,
    Outcome,
)
from station.results import kind_named
from station.settings import Settings
from station.stage_tables import plain

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from devices.microscope import Microscope
    from plans import LiveResults

__all__ = [
    "Characterise",
    "CrossAxis",
    "Drift",
    "Experiment",
    "Hysteresis",
    "Mosaic",
    "Outcome",
    "Seen",
    "desk",
    "estimate",
    "measure",
    "run",
]

_log = logging.getLogger(__name__)

_ANALYSIS = 120.0  # seconds that the analysis of a run that was stopped may take: a large montage


@dataclass(frozen=True)
class Seen(Experiment):
    """An experiment seen at a field of view of its own; the column is put back afterwards.

    Parameters
    ----------
    experiment : Experiment
        What to do.
    field_of_view : float or None
        Width of the images, µm; as the microscope stands if None.
    """

    experiment: Experiment
    field_of_view: float | None = None

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return self.experiment.analysis

    def plan(self, instrument: Microscope, analysis: LiveResults | None) -> MsgGenerator[Any]:
        """Make the plan."""
        make = partial(self.experiment.plan, instrument, analysis)
        if self.field_of_view is None:
            return make()
        return _at_field_of_view(instrument, self.field_of_view, make)

    def estimate(self, instrument: Microscope) -> Any:
        """Say what it would do at that field of view."""
        from plans.rehearsal import rehearse

        told = {}
        if self.field_of_view is not None:
            told[instrument.camera.field_of_view] = self.field_of_view
        return rehearse(self.plan(instrument, None), answers=told)

    def leave(self, outcome: Outcome, data: Path) -> Mapping[str, str]:
        """Write what the experiment leaves."""
        return self.experiment.leave(outcome, data)


def _at_field_of_view(
    tem: Microscope, width: float, make: Callable[[], MsgGenerator[Any]]
) -> MsgGenerator[Any]:
    import bluesky.plan_stubs as bps
    import bluesky.preprocessors as bpp

    before = tem.column.field_of_view.get()

    def back() -> MsgGenerator[None]:
        yield from bps.mv(tem.column.field_of_view, before)

    def seen() -> MsgGenerator[Any]:
        yield from bps.mv(tem.column.field_of_view, width)
        return (yield from make())

    return (yield from bpp.finalize_wrapper(seen(), back))


@contextlib.contextmanager
def desk(settings: Settings, settings_path: Path | None) -> Iterator[Station]:
    """A station for one command: Ctrl-C stops at once, messages go to the log file.

    Parameters
    ----------
    settings : Settings
        The settings.
    settings_path : Path or None
        The file they came from.

    Yields
    ------
    Station
        Connected.
    """
    with (
        logging_to(settings.data / "logs"),
        Station(settings, settings_path, context_managers=[StopAtOnce]) as station,
    ):
        station.RE.waiting_hook = None
        yield station


def measure(station: Station, experiment: Experiment, screen: Console) -> Outcome:
    """Run an experiment with a progress bar.

    Parameters
    ----------
    station : Station
        Connected.
    experiment : Experiment
        What to do.
    screen : rich.console.Console
        Where the bar is drawn.

    Returns
    -------
    Outcome
        Uid and result.

    Raises
    ------
    CommandError
        The run was stopped or has failed; the run is closed.
    """
    instrument = station.connect(experiment.instrument)
    experiment = experiment.prepared(station)
    analysed = kind_named(experiment.analysis) is not None
    plan = experiment.plan(instrument, station.live if analysed else None)
    spoken = io.StringIO()  # the RunEngine's prints, which are meant for a console
    with _progress(screen) as bar, contextlib.redirect_stdout(spoken):
        follow = _Follow(bar)
        if station.live is not None:
            station.live.watch.tell(follow.analysis)
        try:
            done = station.RE(plan, follow)
        except RunEngineInterrupted:
            line = _abort(station, experiment, follow.uid)
            _let_analysis_finish(station, follow.uid)
            raise CommandError(f"{line}{_go_on(experiment)}", 130) from None
        except FailedStatus as error:
            line = f"{_cause(error)}{_closed(follow)}{_go_on(experiment)}"
            raise CommandError(line) from error
        except Exception as error:
            if follow.uid is None:
                raise
            line = f"{_cause(error)}{_closed(follow)}{_go_on(experiment)}"
            raise CommandError(line) from error
        finally:
            if station.live is not None:
                station.live.watch.tell(None)
    return done.plan_result  # type: ignore[union-attr]  # call_returns_result is on


def _abort(station: Station, experiment: Experiment, uid: str | None) -> str:
    """End a paused plan; returns the line that says how that went."""
    ended = f"run {uid[:8]} is closed as aborted" if uid else "no run was begun"
    if station.RE.state == "paused":
        try:
            station.RE.abort("stopped by Ctrl-C")
        except FailedStatus as error:
            experiment.make_safe(station.connect(experiment.instrument))
            return f"stopped by Ctrl-C, {ended}; cleaning up failed: {_cause(error)}"
    return f"stopped by Ctrl-C: {experiment.safe}, {ended}"


def _let_analysis_finish(station: Station, uid: str | None) -> None:
    """Wait until what was recorded is analysed, or Ctrl-C comes once more."""
    if station.live is None or uid is None:
        return
    with contextlib.suppress(LiveAnalysisError, TimeoutError, KeyboardInterrupt):
        station.live.future(uid).result(timeout=_ANALYSIS)


def _closed(follow: _Follow) -> str:
    if follow.uid is None or not follow.running:
        return ""
    return f"; run {follow.uid[:8]} is closed as failed"


def _go_on(experiment: Experiment) -> str:
    command = experiment.go_on()
    return f"; to go on: {command}" if command else ""


def _cause(error: BaseException) -> str:
    while isinstance(error, FailedStatus) and error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def _progress(screen: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )


class _Follow:
    """Moves a progress bar with the events of a run."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("connecting", total=None)
        self._primary: str | None = None
        self._in_series = False
        self._analyses: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self.uid: str | None = None
        self.running = False

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self._begin(doc)
        elif name == "descriptor" and doc["name"] == "primary":
            self._primary = doc["uid"]
        elif name == "event" and doc["descriptor"] == self._primary:
            if not self._in_series:
                self._bar.advance(self._task)
        elif name == "stop":
            self.running = doc["exit_status"] != "success"
            if self._in_series:
                self._bar.advance(self._task)

    def _begin(self, start: Mapping[str, Any]) -> None:
        """Show a run; one of a series or a campaign is a step of that."""
        self.uid, self.running = start["uid"], True
        series = start.get("campaign") or start.get("series")
        self._in_series = series is not None
        name = start.get("plan_name", "run")
        if series is None:
            self._bar.update(self._task, total=start.get("num_points"), description=name)
            return
        told = f"{name} {start.get('sample', '')}".rstrip()
        self._bar.update(
            self._task, total=series["of"], completed=series["index"], description=told
        )

    def analysis(self, raw_uid: str, what: str, done: int, total: int) -> None:
        """Show how far the live analysis is; on its thread."""
        if raw_uid != self.uid:
            return
        with self._lock:
            if what not in self._analyses:
                self._analyses[what] = self._bar.add_task(what, total=total)
            self._bar.update(self._analyses[what], completed=done, total=total)


def run(
    settings: Settings,
    settings_path: Path | None,
    experiment: Experiment,
    *,
    as_json: bool,
) -> None:
    """Run an experiment and print what was found.

    Parameters
    ----------
    settings : Settings
        The settings.
    settings_path : Path or None
        The file they came from.
    experiment : Experiment
        What to do.
    as_json : bool
        Print for a script.
    """
    with desk(_with(settings, experiment), settings_path) as station:
        outcome = measure(station, experiment, Console(stderr=True))
        scan_id = station.RE.md["scan_id"]
    files = experiment.leave(outcome, settings.data)
    if settings.storage.catalog:
        from station.catalog import CatalogError, ensure_catalog

        try:
            ensure_catalog(settings.data)
        except CatalogError as error:
            _log.warning("the run is in the journal, not yet in the catalog: %s", error)
    if as_json:
        files = {f"{name}_file": path for name, path in files.items()}
        row = experiment.row(outcome)
        print_json({"uid": outcome.uid, "scan_id": scan_id, **row, **files})
        return
    screen = Console()
    table = experiment.table(outcome)
    if table is not None:
        screen.print(table)
    for name, path in files.items():
        screen.print(f"{name} {path}", highlight=False, soft_wrap=True)
    screen.print(f"{experiment.what} {outcome.uid} (scan {scan_id})", highlight=False)
    screen.print(f"look further: {experiment.further(outcome)}", highlight=False)


def estimate(
    settings: Settings,
    settings_path: Path | None,
    experiment: Experiment,
    *,
    as_json: bool,
) -> None:
    """Print what an experiment would do, and do nothing.

    Parameters
    ----------
    settings, settings_path, experiment, as_json
        As for `run`.
    """
    with desk(_with(settings, experiment), settings_path) as station:
        would = experiment.estimate(station.connect(experiment.instrument))
    if as_json:
        print_json({"estimate": plain(asdict(would))})
    else:
        Console().print(str(would), highlight=False, soft_wrap=True)


def _with(settings: Settings, experiment: Experiment) -> Settings:
    """The settings of a station with the instrument of the experiment alone."""
    return settings.model_copy(update={"instruments": (experiment.instrument,)})
