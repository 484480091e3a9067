"""The commands that only look: ``runs``, ``show``, ``catalog status``, ``settings``."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from station.catalog import catalog_status
from station.journal import RunSummary, list_runs, read_documents
from station.lookup import BESIDE, analysis_of, journal_folder, run_named
from station.results import kind_named, kind_of
from station.settings import Settings
from station.tables import run_row, run_table

__all__ = ["print_catalog", "print_json", "print_run", "print_runs", "print_settings"]

_LEFT_OUT = ("uid", "time", "hints", "versions", "fields", "plan_type")


def print_json(content: Any) -> None:
    """Print JSON for a script."""
    json.dump(content, sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")


def print_runs(settings: Settings, *, most: int, analyses: bool, as_json: bool) -> None:
    """Print the newest runs of the journal.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    most : int
        How many.
    analyses : bool
        Whether analysis runs are listed as well.
    as_json : bool
        For a script.
    """
    runs = [run for run in list_runs(journal_folder(settings)) if analyses or run.purpose == "raw"][
        -most:
    ]
    if as_json:
        print_json([run_row(run) for run in runs])
    elif runs:
        Console().print(run_table(runs))
    else:
        Console().print(f"no runs in {journal_folder(settings)} yet; try `twinscope demo`")


def print_run(settings: Settings, name: str, *, as_json: bool) -> None:
    """Print what a run recorded and what was found in it.

    Parameters
    ----------
    settings : Settings
        Where the journal is.
    name : str
        As for `station.lookup.run_named`.
    as_json : bool
        For a script.
    """
    run = run_named(settings, name)
    streams = _streams(run)
    analysis = run if run.purpose == "analysis" else analysis_of(settings, run)
    result = _result(analysis) if analysis is not None else None
    further = _further(settings, run)
    if as_json:
        print_json(
            {
                **run_row(run),
                "start": dict(run.start),
                "streams": streams,
                "analysis_uid": None if analysis is None else analysis.uid,
                **_row(analysis, result),
                **{key: value for each in further for key, value in _row(*each).items()},
            }
        )
        return
    screen = Console()
    screen.print(_start_table(run, streams))
    for done, found in ((analysis, result), *further):
        if done is not None and found is not None:
            screen.print(kind_of(done.start).table(found))
            screen.print(f"analysis {done.uid}", highlight=False)


def _further(settings: Settings, run: RunSummary) -> list[tuple[RunSummary, Any]]:
    """The analyses that a measurement has besides the one that it was made for."""
    if run.purpose == "analysis":
        return []
    done = (analysis_of(settings, run, kind) for kind in BESIDE)
    found = ((each, _result(each)) for each in done if each is not None)
    return [(each, result) for each, result in found if result is not None]


def _result(analysis: RunSummary) -> Any:
    kind = kind_named(analysis.plan_name)
    if kind is None or analysis.stop is None:
        return None
    try:
        return kind.read(read_documents(analysis.path))
    except ValueError:  # an analysis that was cut short holds no result
        return None


def _row(analysis: RunSummary | None, result: Any) -> dict[str, Any]:
    if analysis is None or result is None:
        return {"deficits": None}
    return kind_of(analysis.start).row(result)


def _streams(run: RunSummary) -> dict[str, dict[str, Any]]:
    streams: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for kind, doc in read_documents(run.path):
        if kind == "descriptor":
            names[doc["uid"]] = doc["name"]
            streams[doc["name"]] = {"events": 0, "keys": sorted(doc["data_keys"])}
        elif kind == "event":
            streams[names[doc["descriptor"]]]["events"] += 1
        elif kind == "event_page":
            streams[names[doc["descriptor"]]]["events"] += len(doc["seq_num"])
    return streams


def _start_table(run: RunSummary, streams: dict[str, dict[str, Any]]) -> Table:
    table = Table(show_header=False, title=f"run {run.uid}", title_justify="left")
    started = datetime.fromtimestamp(run.time)
    ended = run.exit_status or "unfinished"
    reason = (run.stop or {}).get("reason", "")
    table.add_row("started", f"{started:%Y-%m-%d %H:%M:%S}")
    table.add_row("ended", f"{ended}: {reason}" if reason else ended)
    for key, value in run.start.items():
        if key not in _LEFT_OUT:
            table.add_row(key, value if isinstance(value, str) else json.dumps(value, default=str))
    for name, stream in streams.items():
        table.add_row(f"stream {name}", f"{stream['events']} events: {', '.join(stream['keys'])}")
    return table


def print_catalog(settings: Settings, *, as_json: bool) -> None:
    """Print whether the catalog service runs and what it lacks.

    Parameters
    ----------
    settings : Settings
        The data folder.
    as_json : bool
        For a script.
    """
    found = catalog_status(settings.data)
    uri = found.address.uri if found.address else None
    if as_json:
        print_json(
            {
                "running": found.running,
                "uri": uri,
                "archived": found.archived,
                "waiting": found.waiting,
                "aside": [{"uid": uid, "reason": reason} for uid, reason in found.aside],
            }
        )
        return
    screen = Console()
    where = f"runs at {uri}" if uri else "does not run"
    screen.print(
        f"catalog service {where}: {found.archived} runs archived, {found.waiting} to come",
        highlight=False,
        soft_wrap=True,
    )
    for uid, reason in found.aside:
        screen.print(
            f"set aside: {uid[:8]}: {reason}", highlight=False, markup=False, soft_wrap=True
        )


def print_settings(settings: Settings, path: Path | None, *, as_json: bool) -> None:
    """Print the settings in force.

    Parameters
    ----------
    settings : Settings
        The settings.
    path : Path or None
        The file that they come from.
    as_json : bool
        For a script.
    """
    values = settings.model_dump(mode="json")
    if as_json:
        print_json(values)
        return
    table = Table(title=f"settings from {path or 'defaults (no twinscope.toml found)'}")
    table.add_column("key")
    table.add_column("value")
    for key, value in values.items():
        items = value.items() if isinstance(value, dict) else ((None, value),)
        for name, item in items:
            table.add_row(
                key if name is None else f"{key}.{name}", "" if item is None else str(item)
            )
    Console().print(table)
