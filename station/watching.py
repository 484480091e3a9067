"""What is found in a run, drawn again and again while the run goes on.

It is a process of its own that reads the journal, where measurement and analysis both go as they
come: drawing costs the plan nothing, and whatever goes wrong here does not reach it. The figure
lies in a page that loads itself anew, so that any browser is the window.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.cli_errors import CommandError
from station.journal import (
    JournalTail,
    RunSummary,
    being_written,
    journal_files,
    summarize,
)
from station.lookup import BESIDE, NotAnalysedError, Stored, journal_folder, raw_run, report_folder
from station.report import save_figure
from station.results import kind_of
from station.seen_lines import ScannedLines
from station.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Watcher", "watch"]

_EVERY_S = 1.0
_FIGURE = "figure.png"
_DPI = 90  # a screen's
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="refresh" content="{every:g}">
<style>body{{font:14px sans-serif;margin:1em}} img{{max-width:100%}}</style></head>
<body><p>{title}</p><img src="{figure}" alt="{title}"></body></html>
"""


_Shown = tuple[Stored, str]  # and what it is, in words


@dataclass
class _Growing:
    """A run whose documents are read as they are written."""

    path: Path
    documents: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tail = JournalTail(self.path)

    def grow(self) -> bool:
        """Read what has come; whether anything has."""
        before = len(self.documents)
        self.documents.extend(self._tail.read())
        return len(self.documents) > before

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.documents and self.documents[-1][0] == "stop")

    def summary(self) -> RunSummary:
        """As the journal tells of it."""
        return summarize(self.path)


class Watcher:
    """Follows the newest measurement, or a given one, and what is found in it.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    name : str, optional
        A run as for `station.lookup.run_named`; the newest, and each that comes after it, unless
        given.
    analysis : str, optional
        Which of its analyses, as ``prediction``; what it was measured for unless given.
    """

    def __init__(
        self, settings: Settings, name: str | None = None, analysis: str | None = None
    ) -> None:
        self._kind = analysis
        self._folder = journal_folder(settings)
        self._reports = report_folder(settings)
        self._only = None if name is None else raw_run(settings, name).uid
        self._known: set[Path] = set()
        self._raw: RunSummary | None = None
        self._analyses: dict[str, _Growing] = {}

    def look(self) -> Stored | None:
        """What is known by now; None where that is no more than at the last look.

        The result holds what the analysis has found so far.

        Raises
        ------
        NotAnalysedError
            The analysis is over and has found nothing.
        """
        self._discover()
        if self._raw is None:
            return None
        growing = self._analyses.get(self._raw.uid)
        if growing is None or not growing.grow():
            return None
        analysis = growing.summary()
        try:
            result = kind_of(analysis.start).read(growing.documents)
        except ValueError as error:  # nothing yet, or it has failed
            if growing.ended:
                raise NotAnalysedError(f"run {self._raw.uid[:8]}: {error}") from error
            return None
        return Stored(self._raw, analysis, result, self._reports)

    @property
    def of_one_run(self) -> bool:
        """Whether a run was asked for."""
        return self._only is not None

    @property
    def done(self) -> bool:
        """Whether the run that was asked for is over, and so is its analysis."""
        if self._only is None or self._raw is None:
            return False
        growing = self._analyses.get(self._raw.uid)
        return not being_written(self._raw.path) and (growing is None or growing.ended)

    def progress(self) -> str:
        """How far the run is, in words."""
        if self._raw is None:
            return "no run yet"
        raw = summarize(self._raw.path)
        state = raw.exit_status or "going on"
        return f"scan {raw.scan_id}, {raw.plan_name}, run {raw.uid[:8]}: {state}"

    def _discover(self) -> None:
        """Take note of runs that were begun since the last look."""
        for path in journal_files(self._folder):
            if path in self._known:
                continue
            run = summarize(path)
            if run.problem is not None:  # not even begun
                continue
            self._known.add(path)
            if run.raw_uid is not None:
                if run.plan_name == self._kind if self._kind else run.plan_name not in BESIDE:
                    self._analyses[run.raw_uid] = _Growing(path)
            elif self._only in (None, run.uid) and (
                self._raw is None or run.time >= self._raw.time
            ):
                self._raw = run


def watch(
    settings: Settings,
    name: str | None = None,
    *,
    analysis: str | None = None,
    folder: Path | None = None,
    every_s: float = _EVERY_S,
    tell: Callable[[str], object] = print,
    drawn: Callable[[Path], object] = lambda page: None,
    stop: threading.Event | None = None,
) -> None:
    """Draw what is found, again and again, until the run is over or `stop` is set.

    Parameters
    ----------
    settings, name, analysis
        As of `Watcher`; without a name it goes on for ever.
    folder : Path, optional
        Where ``figure.png`` and ``index.html`` go; ``<data>/live`` unless given.
    every_s : float
        Seconds between two looks.
    tell : callable(str)
        Takes a line whenever something new was drawn.
    drawn : callable(Path)
        Takes the page when it is there first.
    stop : threading.Event, optional
        Ends it.

    Raises
    ------
    NotAnalysedError
        The analysis of the run that was asked for has found nothing.
    CommandError
        Figure or page cannot be written.
    """
    stop = threading.Event() if stop is None else stop
    folder = settings.data / "live" if folder is None else folder
    window = _Window(folder, every_s, tell, drawn)
    watcher = Watcher(settings, name, analysis)
    with ScannedLines(settings) as scanned:
        while True:
            over = watcher.done
            found = _new(watcher, tell)
            if found is not None:
                window.show(found)
            elif over:
                return
            elif (lines := scanned.look()) is not None:
                figure, words = lines
                window.draw(figure, f"{watcher.progress()}, {words}")
            if stop.wait(every_s):
                return


def _new(watcher: Watcher, tell: Callable[[str], object]) -> _Shown | None:
    """What is new; None when nothing is."""
    try:
        found = watcher.look()
    except NotAnalysedError as error:
        if watcher.of_one_run:
            raise
        tell(str(error))
        return None
    return None if found is None else (found, watcher.progress())


class _Window:
    """The page and its figure."""

    def __init__(
        self,
        folder: Path,
        every_s: float,
        tell: Callable[[str], object],
        drawn: Callable[[Path], object],
    ) -> None:
        self._folder = folder
        self._every_s = every_s
        self._tell = tell
        self._drawn = drawn
        self._number = 0

    def show(self, shown: _Shown) -> None:
        """Draw what an analysis has found."""
        found, words = shown
        try:
            figure = found.kind.progress_figure(found)
        except ValueError as error:  # nothing to draw yet
            self._tell(f"{words}; {error}")
            return
        self.draw(figure, words)

    def draw(self, figure: Figure, words: str) -> None:
        """Write a figure and the page about it."""
        self._number += 1
        page = self._folder / "index.html"
        text = _PAGE.format(
            title=html.escape(words),
            every=self._every_s,
            figure=f"{_FIGURE}?{self._number}",  # else a browser keeps the one that it has
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_figure(figure, self._folder / _FIGURE, _DPI)
            half = page.with_name(f".{page.name}.part")
            half.write_text(text, encoding="utf-8")
            half.replace(page)
        except OSError as error:
            raise CommandError(f"{self._folder} cannot be written: {error.strerror}") from error
        if self._number == 1:
            self._drawn(page)
        self._tell(words)
