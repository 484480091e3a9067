"""Finding runs as a person names them, and the analysis that belongs to a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station import StationError
from station.journal import RunSummary, find_run, list_runs, read_documents, summarize
from station.settings import Settings

if TYPE_CHECKING:
    from station.results import Kind

__all__ = [
    "BESIDE",
    "NotAnalysedError",
    "analysis_of",
    "journal_folder",
    "raw_run",
    "report_folder",
    "run_named",
    "stored",
]

BESIDE = ("prediction",)
"""Analyses that a run may have besides the one that it was measured for."""

_LONGEST_SCAN_ID = 7  # digits; a uid that begins with more of them is meant as a uid


class NotAnalysedError(StationError):
    """A run has no analysis in the journal."""


def journal_folder(settings: Settings) -> Path:
    """Where the journal of a station lies."""
    return settings.data / "journal"


def report_folder(settings: Settings) -> Path:
    """Where figures, pages and montages lie, each named by the uid of its measurement."""
    return settings.data / "reports"


def run_named(settings: Settings, name: str) -> RunSummary:
    """Find the run that is meant.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    name : str
        The first characters of a uid, a scan number, or -1 for the latest run.

    Returns
    -------
    RunSummary
        The one run.

    Raises
    ------
    station.journal.RunNotFoundError
        None, or more than one.
    """
    is_number = name.removeprefix("-").isdigit() and len(name) <= _LONGEST_SCAN_ID
    return summarize(find_run(journal_folder(settings), int(name) if is_number else name))


def raw_run(settings: Settings, name: str) -> RunSummary:
    """Find the measurement that is meant, also by the uid of its analysis.

    Parameters
    ----------
    settings, name
        As for `run_named`.

    Returns
    -------
    RunSummary
        The measurement.
    """
    run = run_named(settings, name)
    return run if run.raw_uid is None else run_named(settings, run.raw_uid)


def analysis_of(settings: Settings, raw: RunSummary, kind: str | None = None) -> RunSummary | None:
    """Find the latest finished analysis of a measurement.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    raw : RunSummary
        The measurement.
    kind : str, optional
        Name of the analysis, as ``prediction``; what the run was measured for unless given.

    Returns
    -------
    RunSummary or None
        None where there is none.
    """
    runs = list_runs(journal_folder(settings))
    mine = [
        run
        for run in runs
        if run.raw_uid == raw.uid
        and run.stop is not None
        and (run.plan_name == kind if kind is not None else run.plan_name not in BESIDE)
    ]
    return mine[-1] if mine else None


@dataclass(frozen=True)
class Stored:
    """A measurement and what was found in it.

    Parameters
    ----------
    raw, analysis : RunSummary
        Both runs.
    result : HysteresisResult or MosaicResult
        What the analysis run holds.
    folder : Path
        Of the reports.
    """

    raw: RunSummary
    analysis: RunSummary
    result: Any
    folder: Path

    @property
    def kind(self) -> Kind:
        """What can be said of it."""
        from station.results import kind_of

        return kind_of(self.analysis.start)

    def raw_documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The documents of the measurement."""
        return read_documents(self.raw.path)


def stored(settings: Settings, name: str) -> Stored:
    """Read a measurement's stored analysis.

    Parameters
    ----------
    settings, name
        As for `run_named`; the uid of one of its analyses means this one.

    Returns
    -------
    Stored
        Both runs and the result.

    Raises
    ------
    NotAnalysedError
        There is no analysis of it, or it has no result.
    """
    from station.results import kind_of

    run = run_named(settings, name)
    raw = run if run.raw_uid is None else run_named(settings, run.raw_uid)
    named = run.raw_uid is not None and run.plan_name in BESIDE
    found = analysis_of(settings, raw, run.plan_name if named else None)
    if found is None:
        raise NotAnalysedError(
            f"run {raw.uid[:8]} ({raw.plan_name}) has no finished analysis in the journal; "
            f"`twinscope replay {raw.uid[:8]}` analyses it"
        )
    try:
        result = kind_of(found.start).read(read_documents(found.path))
    except ValueError as error:
        raise NotAnalysedError(f"run {raw.uid[:8]} ({raw.plan_name}): {error}") from error
    return Stored(raw, found, result, report_folder(settings))
