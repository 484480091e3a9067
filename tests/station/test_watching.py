"""Is a run seen while it goes on? The journal is written document by document here."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import event_model
import pytest

from station.journal import Journal, RunNotFoundError
from station.lookup import NotAnalysedError
from station.settings import Settings
from station.watching import Watcher, watch


class Runs:
    """Writes runs and their analyses into a journal."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder)
        self.journal = Journal(folder / "journal")

    def begin(self, **metadata: Any) -> Any:
        run = event_model.compose_run(metadata={"plan_name": "count", **metadata})
        self.journal("start", dict(run.start_doc))
        return run

    def analysis(self, raw: Any, name: str = "hysteresis") -> Any:
        return self.begin(purpose="analysis", raw_uid=raw.start_doc["uid"], analysis={"name": name})

    def end(self, run: Any, **how: Any) -> None:
        self.journal("stop", dict(run.compose_stop(**how)))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_journal_without_runs_shows_nothing(runs: Runs) -> None:
    watcher = Watcher(runs.settings)
    assert watcher.look() is None
    assert watcher.progress() == "no run yet"


def test_a_run_that_goes_on_is_told_with_its_plan(runs: Runs) -> None:
    watcher = Watcher(runs.settings)
    run = runs.begin(scan_id=7)
    assert watcher.look() is None
    uid = run.start_doc["uid"][:8]
    assert watcher.progress() == f"scan 7, count, run {uid}: going on"


def test_the_newest_run_is_followed(runs: Runs) -> None:
    watcher = Watcher(runs.settings)
    runs.end(runs.begin(scan_id=1))
    watcher.look()
    runs.begin(scan_id=2)
    watcher.look()
    assert watcher.progress().startswith("scan 2")


def test_a_run_that_was_asked_for_is_kept_though_others_come(runs: Runs) -> None:
    first = runs.begin(scan_id=1)
    watcher = Watcher(runs.settings, first.start_doc["uid"])
    runs.begin(scan_id=2)
    watcher.look()
    assert watcher.progress().startswith("scan 1")


def test_it_is_done_when_run_and_analysis_are_over(runs: Runs) -> None:
    raw = runs.begin(scan_id=1)
    watcher = Watcher(runs.settings, raw.start_doc["uid"])
    found = runs.analysis(raw)
    watcher.look()
    assert not watcher.done
    runs.end(raw)
    assert not watcher.done
    runs.end(found)
    with pytest.raises(NotAnalysedError, match="holds no step"):
        watcher.look()
    assert watcher.done


def test_an_analysis_that_failed_is_told(runs: Runs) -> None:
    raw = runs.begin(scan_id=1)
    found = runs.analysis(raw)
    runs.end(raw)
    runs.end(found, exit_status="fail", reason="no texture")
    with pytest.raises(NotAnalysedError, match=r"run .{8}: .*no texture"):
        watch(runs.settings, "1", tell=lambda line: None)


def test_a_failed_analysis_does_not_end_the_watch_over_all_runs(runs: Runs) -> None:
    raw, told, stop = runs.begin(scan_id=1), [], threading.Event()
    found = runs.analysis(raw)
    runs.end(raw)
    runs.end(found, exit_status="fail", reason="no texture")

    def tell(line: str) -> None:
        told.append(line)
        stop.set()

    watch(runs.settings, every_s=0.01, tell=tell, stop=stop)
    assert "no texture" in told[0]


def test_a_run_that_does_not_exist_is_refused(runs: Runs) -> None:
    with pytest.raises(RunNotFoundError, match="no run"):
        Watcher(runs.settings, "abc")
