"""Analysing a recorded run again: from the journal or the catalog, compared with what is stored.

Two analyses are the same when every event of every stream holds the same bits; uids and times are
not compared, for a catalog does not keep those of single events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from rich.console import Console

from station.cli_errors import CommandError
from station.journal import JournalError, RunSummary, read_documents
from station.listing import print_json
from station.lookup import analysis_of, raw_run, report_folder
from station.results import Kind, kind_of, make_analyses
from station.settings import Settings

__all__ = ["Replayed", "differences", "print_replay", "replay_run"]

Documents = Iterable[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Replayed:
    """An analysis done again.

    Parameters
    ----------
    raw : RunSummary
        The measurement.
    stored : RunSummary or None
        Its stored analysis.
    kind : Kind
        Of the analysis.
    result : HysteresisResult or MosaicResult
        What was found now.
    differences : tuple of str
        Where it differs from the stored one, at most a few; empty when it does not.
    """

    raw: RunSummary
    stored: RunSummary | None
    kind: Kind
    result: Any
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether there is a stored analysis and it has the same numbers, bit for bit."""
        return self.stored is not None and not self.differences


def replay_run(
    settings: Settings, name: str, *, source: str = "journal", speed: float | None = None
) -> Replayed:
    """Analyse a recorded run again.

    Parameters
    ----------
    settings : Settings
        Where the runs are.
    name : str
        As for `station.lookup.run_named`.
    source : str
        ``"journal"`` or ``"catalog"``.
    speed : float, optional
        Times the speed of the recording; as fast as can be unless given.

    Returns
    -------
    Replayed
        Result and comparison.

    Raises
    ------
    CommandError
        The run cannot be analysed.
    """
    from analysis.replay import replay

    if source not in ("journal", "catalog"):
        raise CommandError(f"--from {source!r}: allowed are journal and catalog", 2)
    raw = raw_run(settings, name)
    found: list[tuple[str, dict[str, Any]]] = []
    stored = analysis_of(settings, raw)
    analyses = make_analyses(
        lambda name, doc: found.append((name, dict(doc))),
        folder=report_folder(settings),
        stored=None if stored is None else stored.start,
    )
    replay(_documents(settings, raw, source), analyses, speed=inf if speed is None else speed)
    analyses.close()
    if not found:
        raise CommandError(f"run {raw.uid[:8]} ({raw.plan_name}) has no stage images to analyse")
    try:
        kind = kind_of(found[0][1])
        result = kind.read(found)
    except ValueError as error:
        raise CommandError(f"run {raw.uid[:8]}: {error}") from error
    before = () if stored is None else read_documents(stored.path)
    return Replayed(raw, stored, kind, result, tuple(differences(found, before)) if stored else ())


def _documents(settings: Settings, raw: RunSummary, source: str) -> Documents:
    if source == "journal":
        return read_documents(raw.path)
    from station.catalog import read_catalog_documents, wait_archived

    if raw.stop is not None:
        from station.catalog import ensure_catalog

        ensure_catalog(settings.data)
        wait_archived(settings.data, raw.uid)
    return read_catalog_documents(settings.data, raw.uid)


def differences(first: Documents, second: Documents, most: int = 3) -> list[str]:
    """Where the events of two analyses differ.

    Parameters
    ----------
    first, second : iterable of (name, document)
        The documents of one run each.
    most : int
        After so many the search ends.

    Returns
    -------
    list of str
        Stream, event and key of each difference; empty when all bits are the same.
    """
    found = []
    ours, theirs = _events(first), _events(second)
    for key in sorted(ours.keys() | theirs.keys()):
        stream, number = key
        if key not in ours or key not in theirs:
            found.append(f"{stream} event {number} is in one of them only")
        else:
            a, b = ours[key], theirs[key]
            found += [
                f"{stream} event {number}: {name} {a.get(name)} != {b.get(name)}"
                for name in sorted(a.keys() | b.keys())
                if not _same_bits(a.get(name), b.get(name))
            ]
        if len(found) >= most:
            break
    return found[:most]


def _same_bits(first: Any, second: Any) -> bool:
    a, b = np.asarray(first), np.asarray(second)
    return (a.shape, a.dtype.kind, a.tobytes()) == (b.shape, b.dtype.kind, b.tobytes())


def _events(documents: Documents) -> dict[tuple[str, int], Mapping[str, Any]]:
    streams: dict[str, str] = {}
    return {(stream, number): data for stream, number, data in _numbered(documents, streams)}


def _numbered(
    documents: Documents, streams: dict[str, str]
) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for name, doc in documents:
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event":
            yield streams[doc["descriptor"]], doc["seq_num"], doc["data"]


def print_replay(
    settings: Settings, name: str, *, source: str, speed: float | None, as_json: bool
) -> bool:
    """Analyse a run again and print the numbers and the comparison.

    Parameters
    ----------
    settings, name, source, speed
        As for `replay_run`.
    as_json : bool
        For a script.

    Returns
    -------
    bool
        Whether the numbers are those that are stored.
    """
    try:
        done = replay_run(settings, name, source=source, speed=speed)
    except JournalError as error:
        raise CommandError(str(error)) from error
    stored_uid = None if done.stored is None else done.stored.uid
    if as_json:
        print_json(
            {
                "uid": done.raw.uid,
                "analysis_uid": stored_uid,
                "source": source,
                "same": done.same,
                "differences": list(done.differences),
                **done.kind.row(done.result),
            }
        )
        return done.same
    screen = Console()
    screen.print(done.kind.table(done.result))
    if stored_uid is None:
        screen.print(f"run {done.raw.uid[:8]} has no stored analysis to compare with")
    elif done.same:
        screen.print(
            f"from the {source}: the same as analysis {stored_uid}, bit for bit",
            highlight=False,
            soft_wrap=True,
        )
    else:
        screen.print(f"from the {source}: NOT the same as analysis {stored_uid}:", soft_wrap=True)
        for difference in done.differences:
            screen.print(f"  {difference}", highlight=False)
    return done.same
