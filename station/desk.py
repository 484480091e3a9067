"""The console's desk: a station, its catalogs, and what the start-up says of them.

The profile's start-up file opens one `Desk` and hands out its parts; everything that can wait
(Tiled, databroker) comes up in the background.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from station import StationError
from station.catalog import (
    CatalogError,
    Catalogs,
    LazyCatalog,
    catalog_in_use,
    wait_archived,
)
from station.engine import Station
from station.journal import being_written, list_runs
from station.logs import logging_to
from station.positioning import ModelError, compensated_stage
from station.settings import Settings, load_settings, settings_file

if TYPE_CHECKING:
    from bluesky.callbacks.best_effort import BestEffortCallback
    from IPython.core.interactiveshell import InteractiveShell

    from devices.afm import Afm
    from devices.microscope import Microscope
    from devices.positioning import CompensatedStage

__all__ = ["Desk", "UpToDateCatalog", "in_queueserver"]

_log = logging.getLogger(__name__)

_WHERE = "%wa                                  where everything is, with limits"
_TO_TRY: Mapping[str, tuple[str, ...]] = {
    "tem": (
        "RE(bp.count([tem.camera]))           one image; then cat[-1]",
        "r = RE(hysteresis(tem, analysis=live)).plan_result   what the stage does",
    ),
    "afm": (
        "RE(calibrate_probe(afm))             the modes of the cantilever",
        "r = RE(point_spectrum(afm, analysis=live)).plan_result   the force at a point",
    ),
}
_ARCHIVE = 10.0  # seconds that a run is given to reach the catalog before it is read without it
_LOOK_BACK = 50  # runs that are looked through for unfinished ones at start-up


def in_queueserver() -> bool:
    """Whether this process is a worker of bluesky-queueserver: no prompts, no plots, no magics."""
    if "bluesky_queueserver" not in sys.modules:
        return False
    from bluesky_queueserver import is_re_worker_active  # pyright: ignore[reportMissingImports]

    return bool(is_re_worker_active())


class _Recorded:
    """The runs of this session that may not be in the catalog yet."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._waiting: list[str] = []

    def __call__(self, _name: str, stop: Mapping[str, Any]) -> None:
        self._waiting.append(stop["run_start"])

    def wait(self) -> None:
        """Return when the catalog holds them all, or has had its time."""
        while self._waiting:
            try:
                wait_archived(self._data, self._waiting[0], timeout=_ARCHIVE)
            except CatalogError as error:
                _log.warning("%s", error)
            del self._waiting[0]


class UpToDateCatalog(LazyCatalog):
    """A catalog that has what this session recorded: it waits for the archiver before it is read.

    Parameters
    ----------
    catalog : station.catalog.LazyCatalog
        What is read.
    wait : callable
        Returns when the catalog has it all.
    """

    def __init__(self, catalog: LazyCatalog, wait: Callable[[], None]) -> None:
        self._catalog = catalog
        self._wait = wait

    def open(self) -> Any:
        """The catalog itself, up to date."""
        opened = self._catalog.open()
        self._wait()
        return opened

    def __dir__(self) -> list[str]:
        return dir(self._catalog)


class Desk:
    """A station for a person at a console.

    Parameters
    ----------
    settings : Settings, optional
        Found as for the command line unless given.

    Attributes
    ----------
    station : Station
        RunEngine, journal, live analysis.
    cat, db : UpToDateCatalog
        The measurements, as a Tiled client and as a databroker.
    bec : bluesky.callbacks.best_effort.BestEffortCallback
        Tables, and plots where there is a display.
    tem : devices.microscope.Microscope or None
        None when it is not wanted or could not be connected; `connect` tries again.
    afm : devices.afm.Afm or None
        The same of the AFM.
    stage : devices.positioning.CompensatedStage or None
        Its goniometer, by the approach of the settings; None where that lacks its model.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        began = time.monotonic()
        self._path = settings_file()
        self.settings = settings or load_settings(self._path)
        self._logging = logging_to(self.settings.data / "logs")
        self._log = self._logging.__enter__()
        self.station = Station(self.settings, self._path)
        atexit.register(self.close)
        self.bec = self._best_effort()
        catalogs = Catalogs(self.settings.data)
        recorded = _Recorded(self.settings.data)
        self.station.RE.subscribe(recorded, "stop")
        self.cat = UpToDateCatalog(catalogs.cat, recorded.wait)
        self.db = UpToDateCatalog(catalogs.db, recorded.wait)
        self._catalog = ExitStack()
        self.tem: Microscope | None = None
        self.afm: Afm | None = None
        self.stage: CompensatedStage | None = None
        self.failures: dict[str, str] = {}
        self.stage_failure: str | None = None
        for name in self.settings.instruments:
            self._try(name)
        if self.settings.storage.catalog:
            self._catalog.enter_context(catalog_in_use(self.settings.data))
            catalogs.warm()
        if in_queueserver():
            self.station.RE.waiting_hook = None
        self._seconds = time.monotonic() - began

    def _best_effort(self) -> BestEffortCallback:
        from bluesky.callbacks.best_effort import BestEffortCallback

        bec = BestEffortCallback()
        if in_queueserver() or not _has_display():
            bec.disable_plots()
        self.station.RE.subscribe(bec)
        return bec

    def _try(self, name: str) -> None:
        try:
            self.connect(name)
        except Exception as error:
            if not _foreseeable(error):
                raise
            self.failures[name] = " ".join(str(error).split())

    def connect(self, name: str = "tem") -> Any:
        """Connect to an instrument, ``tem`` or ``afm``; returns it."""
        device = self.station.connect(name)
        self.failures.pop(name, None)
        if name == "afm":
            self.afm = device
        else:
            self.tem = device
            self._compensate(device)
        return device

    def _compensate(self, tem: Microscope) -> None:
        try:
            self.stage = compensated_stage(tem.goniometer, self.settings)
            self.stage_failure = None
        except ModelError as error:
            self.stage_failure = str(error)

    @property
    def label(self) -> str:
        """What the prompt shows: ``sim``, or the names of the instruments."""
        known = self.station.facts
        if not known:
            return f"no {' '.join(self.settings.instruments)}"
        names = ["sim" if each.facts.get("simulated") else each.name for each in known.values()]
        return " ".join(dict.fromkeys(names))

    def greet(self, shell: InteractiveShell | None) -> None:
        """Set up magics and prompt, and say what is connected.

        Parameters
        ----------
        shell : InteractiveShell or None
            The console; without one, or in a queueserver, nothing is set up or said.
        """
        if shell is None or in_queueserver():
            return
        from station.console import set_up

        set_up(shell, self.station.RE, self.label)
        Console().print(self._panel())

    def _panel(self) -> Panel:
        rows = Table.grid(padding=(0, 2))
        for name, text in self._connected():
            rows.add_row(Text(name, style="bold"), text)
        lines = [line for name in self.settings.instruments for line in _TO_TRY[name]]
        tries = Text("\n".join((_WHERE, *lines)))
        return Panel(
            Group(rows, Text("\nLines to try", style="bold"), tries),
            title=f"twinscope, ready in {self._seconds:.1f} s",
            expand=False,
        )

    def _approach(self) -> Text:
        if self.stage_failure is not None:
            return Text(self.stage_failure, "red")
        parameters = {} if self.stage is None else self.stage.approach.parameters
        numbers = ", ".join(f"{name} {value:g}" for name, value in parameters.items())
        told = self.settings.stage.approach
        return Text(f"tem.goniometer by {told}" + (f" ({numbers} µm)" if numbers else ""))

    def _instrument(self, name: str) -> Text:
        if name in self.failures:
            again = f"{name} = desk.connect({name!r})"
            return Text(f"not connected: {self.failures[name]}\nto try again: {again}", "red")
        facts = self.station.facts[name]
        described = ", ".join(
            f"{key} {value}" for key, value in facts.facts.items() if key != "simulated"
        )
        kind = "SIMULATED" if facts.facts.get("simulated") else f"{facts.driver} driver"
        return Text(f"{kind} ({described})" if described else f"{kind} at {facts.control}")

    def _connected(self) -> list[tuple[str, Text]]:
        settings = self.settings
        rows = [(name, self._instrument(name)) for name in settings.instruments]
        if "tem" in settings.instruments:
            rows.append(("stage", self._approach()))
        catalog = "cat and db come up in the background" if settings.storage.catalog else "off"
        rows += [
            ("data", Text(str(settings.data))),
            ("catalog", Text(catalog)),
            ("live", Text("analysis on" if self.station.live else "analysis off")),
            ("next scan", Text(str(int(self.station.RE.md.get("scan_id", 0)) + 1))),
            ("log", Text(str(self._log))),
        ]
        unfinished = self._unfinished()
        if unfinished:
            note = f"{unfinished} unfinished runs will be archived as aborted"
            rows.append(("note", Text(note, "yellow")))
        return rows

    def _unfinished(self) -> int:
        runs = list_runs(self.settings.data / "journal", most=_LOOK_BACK)
        return sum(run.stop is None and not being_written(run.path) for run in runs)

    def close(self) -> None:
        """End what this desk has started."""
        atexit.unregister(self.close)
        with ExitStack() as last:  # each is done, whatever becomes of those before it
            last.push(self._logging)
            last.push(self._catalog)
            self.station.close()


def _foreseeable(error: Exception) -> bool:
    from devices.wire import WireError

    return isinstance(error, StationError | WireError | OSError)


def _has_display() -> bool:
    if os.environ.get("MPLBACKEND", "").lower() == "agg":
        return False
    wanted = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in wanted)
