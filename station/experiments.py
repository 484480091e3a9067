"""Running an experiment from the command line: a station, a progress bar, a result."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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
from station.results import kind_named
from station.settings import Settings

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

__all__ = ["Experiment", "Hysteresis", "Mosaic", "desk", "measure", "run"]

_log = logging.getLogger(__name__)

_ANALYSIS = 120.0  # seconds that the analysis of a run that was stopped may take: a large montage


class Outcome(Protocol):
    """What an experiment's plan hands back."""

    @property
    def uid(self) -> str:
        """The recorded run."""
        ...

    @property
    def result(self) -> Any:
        """What the live analysis found; None when there is none."""
        ...


class Experiment(Protocol):
    """An experiment and what it is asked to do."""

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        ...

    def plan(self, station: Station) -> MsgGenerator[Any]:
        """Make the plan."""
        ...


@dataclass(frozen=True)
class Hysteresis:
    """What `plans.hysteresis` is asked to do; see there."""

    axes: tuple[str, ...] = ("x", "y")
    step: float = 1.0
    steps: int = 5
    repeats: int = 3
    settle_time: float = 0.0

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return "hysteresis"

    def plan(self, station: Station) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import hysteresis

        return hysteresis(
            station.tem,
            self.axes,
            step=self.step,
            steps=self.steps,
            repeats=self.repeats,
            settle_time=self.settle_time,
            analysis=station.live,
        )


@dataclass(frozen=True)
class Mosaic:
    """What `plans.mosaic` is asked to do, or `plans.mosaic_over` with `x` and `y`; see there."""

    rows: int | None = None
    columns: int | None = None
    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    overlap: float = 0.2
    serpentine: bool = True
    over_travel: float = 0.0
    settle_time: float = 0.0

    @property
    def analysis(self) -> str:
        """Name of its analysis."""
        return "mosaic"

    def plan(self, station: Station) -> MsgGenerator[Any]:
        """Make the plan."""
        from plans import mosaic, mosaic_over

        how: dict[str, Any] = {
            "overlap": self.overlap,
            "serpentine": self.serpentine,
            "over_travel": self.over_travel,
            "settle_time": self.settle_time,
            "analysis": station.live,
        }
        if self.x is not None and self.y is not None:
            return mosaic_over(station.tem, self.x, self.y, **how)
        rows, columns = (3 if number is None else number for number in (self.rows, self.columns))
        return mosaic(station.tem, rows, columns, **how)


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
    plan = experiment.plan(station)
    spoken = io.StringIO()  # the RunEngine's prints, which are meant for a console
    with _progress(screen) as bar, contextlib.redirect_stdout(spoken):
        follow = _Follow(bar)
        if station.live is not None:
            station.live.watch.tell(follow.analysis)
        try:
            done = station.RE(plan, follow)
        except RunEngineInterrupted:
            line = _abort(station, follow.uid)
            _let_analysis_finish(station, follow.uid)
            raise CommandError(line, 130) from None
        except FailedStatus as error:
            raise CommandError(f"{_cause(error)}{_closed(follow.uid)}") from error
        except Exception as error:
            if follow.uid is None:
                raise
            raise CommandError(f"{_cause(error)}{_closed(follow.uid)}") from error
        finally:
            if station.live is not None:
                station.live.watch.tell(None)
    return done.plan_result  # type: ignore[union-attr]  # call_returns_result is on


def _abort(station: Station, uid: str | None) -> str:
    """End a paused plan; returns the line that says how that went."""
    ended = f"run {uid[:8]} is closed as aborted" if uid else "no run was begun"
    if station.RE.state == "paused":
        try:
            station.RE.abort("stopped by Ctrl-C")
        except FailedStatus as error:
            station.tem.column.beam_blank.set(1)
            return f"stopped by Ctrl-C, {ended}; cleaning up failed: {_cause(error)}"
    return f"stopped by Ctrl-C: the stage was stopped, the beam is blanked, {ended}"


def _let_analysis_finish(station: Station, uid: str | None) -> None:
    """Wait until what was recorded is analysed, or Ctrl-C comes once more."""
    if station.live is None or uid is None:
        return
    with contextlib.suppress(LiveAnalysisError, TimeoutError, KeyboardInterrupt):
        station.live.future(uid).result(timeout=_ANALYSIS)


def _closed(uid: str | None) -> str:
    return f"; run {uid[:8]} is closed as failed" if uid else ""


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
        self._analyses: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self.uid: str | None = None

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self.uid = doc["uid"]
            self._bar.update(
                self._task, total=doc.get("num_points"), description=doc.get("plan_name", "run")
            )
        elif name == "descriptor" and doc["name"] == "primary":
            self._primary = doc["uid"]
        elif name == "event" and doc["descriptor"] == self._primary:
            self._bar.advance(self._task)

    def analysis(self, raw_uid: str, what: str, done: int, total: int) -> None:
        """Show how far the live analysis is; on its thread."""
        if raw_uid != self.uid:
            return
        with self._lock:
            if what not in self._analyses:
                self._analyses[what] = self._bar.add_task(what, total=total)
            self._bar.update(self._analyses[what], completed=done, total=total)


def run(
    settings: Settings, settings_path: Path | None, experiment: Experiment, *, as_json: bool
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
    with desk(settings, settings_path) as station:
        outcome = measure(station, experiment, Console(stderr=True))
        scan_id = station.RE.md["scan_id"]
    if settings.storage.catalog:
        from station.catalog import CatalogError, ensure_catalog

        try:
            ensure_catalog(settings.data)
        except CatalogError as error:
            _log.warning("the run is in the journal, not yet in the catalog: %s", error)
    kind = kind_named(experiment.analysis)
    found = kind is not None and outcome.result is not None
    if as_json:
        row = kind.row(outcome.result) if kind and found else {"deficits": None}
        print_json({"uid": outcome.uid, "scan_id": scan_id, **row})
        return
    screen = Console()
    if kind and found:
        screen.print(kind.table(outcome.result))
    screen.print(f"run {outcome.uid} (scan {scan_id})", highlight=False)
    screen.print(f"look further: twinscope report {outcome.uid[:8]}", highlight=False)
