"""``twinscope demo``: the whole way, from a simulated stage to a figure, in half a minute."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

from rich.console import Console

from station.catalog import catalog_while, wait_archived
from station.experiments import Hysteresis, desk, measure
from station.listing import print_json
from station.report import write_report
from station.settings import Settings
from station.tables import deficit_rows, deficit_table

__all__ = ["run_demo"]

_ARCHIVE = 60.0  # seconds
_DEMONSTRATED = Hysteresis()


def _program() -> str:
    """How this was called, so that what is printed can be typed again."""
    return sys.argv[0] if sys.argv[0].endswith("twinscope") else "twinscope"


def run_demo(
    settings: Settings,
    settings_path: Path | None,
    *,
    open_figure: bool,
    as_json: bool,
    experiment: Hysteresis = _DEMONSTRATED,
) -> None:
    """Run the hysteresis experiment on a simulated microscope and show what was found.

    Parameters
    ----------
    settings : Settings
        The simulated driver, and a clock that runs fast.
    settings_path : Path or None
        The file they came from.
    open_figure : bool
        Show the figure when it is done.
    as_json : bool
        Print for a script.
    experiment : Hysteresis
        What is demonstrated.
    """
    talk = Console(stderr=True, quiet=as_json)
    talk.print(
        f"a simulated TEM ({settings.tem.profile} stage, specimen {settings.tem.specimen}, "
        f"clock {settings.tem.clock_rate:g} times real time)",
        highlight=False,
    )
    only_tem = settings.model_copy(update={"instruments": (experiment.instrument,)})
    with catalog_while(settings.data) as catalog:
        with desk(only_tem, settings_path) as station:
            outcome = measure(station, experiment, talk)
        written = write_report(settings, outcome.uid)
        with talk.status("waiting for the catalog"):
            catalog.result()
            for run in (written.stored.raw, written.stored.analysis):
                wait_archived(settings.data, run.uid, timeout=_ARCHIVE)
    result, raw = written.stored.result, written.stored.raw
    if as_json:
        print_json(
            {
                "uid": raw.uid,
                "analysis_uid": written.stored.analysis.uid,
                "figure": str(written.figure),
                "report": str(written.text),
                "deficits": deficit_rows(result),
            }
        )
    else:
        screen = Console()
        screen.print(deficit_table(result))
        for label, value in (
            ("run", raw.uid),
            ("analysis", written.stored.analysis.uid),
            ("figure", written.figure),
        ):
            screen.print(f"{label:9} {value}", highlight=False, soft_wrap=True)
        option = f"--data {settings.data}"
        screen.print("look further:")
        for command in ("show", "replay --from catalog", "console"):
            uid = "" if command == "console" else f" {raw.uid[:8]}"
            screen.print(f"  {_program()} {command}{uid} {option}", highlight=False, soft_wrap=True)
    if open_figure:
        webbrowser.open(written.figure.resolve().as_uri())
