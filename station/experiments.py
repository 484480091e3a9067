"""Running an experiment from the command line: a station, a progress bar, a result."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky.utils import FailedStatus, RunEngineInterrupted
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from station.cli_errors import CommandError
from station.engine import Station
from station.interrupt import StopAtOnce
from station.listing import print_json
from station.logs import logging_to
from station.settings import Settings
from station.tables import deficit_rows, deficit_table

if TYPE_CHECKING:
    from plans import HysteresisRun

__all__ = ["Hysteresis", "desk", "measure", "run"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hysteresis:
    """What `plans.hysteresis` is asked to do; see there."""

    axes: tuple[str, ...] = ("x", "y")
    step: float = 1.0
    steps: int = 5
    repeats: int = 3
    settle_time: float = 0.0


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


def measure(station: Station, experiment: Hysteresis, screen: Console) -> HysteresisRun:
    """Run the hysteresis experiment with a progress bar.

    Parameters
    ----------
    station : Station
        Connected.
    experiment : Hysteresis
        What to do.
    screen : rich.console.Console
        Where the bar is drawn.

    Returns
    -------
    plans.HysteresisRun
        Uid and result.

    Raises
    ------
    CommandError
        The run was stopped or has failed; the run is closed.
    """
    from plans import hysteresis

    plan = hysteresis(
        station.tem,
        experiment.axes,
        step=experiment.step,
        steps=experiment.steps,
        repeats=experiment.repeats,
        settle_time=experiment.settle_time,
        analysis=station.live,
    )
    spoken = io.StringIO()  # the RunEngine's prints, which are meant for a console
    with _progress(screen) as bar, contextlib.redirect_stdout(spoken):
        follow = _Follow(bar)
        try:
            done = station.RE(plan, follow)
        except RunEngineInterrupted:
            raise CommandError(_abort(station, follow.uid), 130) from None
        except FailedStatus as error:
            raise CommandError(f"{_cause(error)}{_closed(follow.uid)}") from error
        except Exception as error:
            if follow.uid is None:
                raise
            raise CommandError(f"{_cause(error)}{_closed(follow.uid)}") from error
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


def run(
    settings: Settings, settings_path: Path | None, experiment: Hysteresis, *, as_json: bool
) -> None:
    """Run an experiment and print what was found.

    Parameters
    ----------
    settings : Settings
        The settings.
    settings_path : Path or None
        The file they came from.
    experiment : Hysteresis
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
    if as_json:
        deficits = None if outcome.result is None else deficit_rows(outcome.result)
        print_json({"uid": outcome.uid, "scan_id": scan_id, "deficits": deficits})
        return
    screen = Console()
    if outcome.result is not None:
        screen.print(deficit_table(outcome.result))
    screen.print(f"run {outcome.uid} (scan {scan_id})", highlight=False)
    screen.print(f"look further: twinscope report {outcome.uid[:8]}", highlight=False)
