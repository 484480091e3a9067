"""A mosaic by the command line: run, look, replay from both sources, report; errors in a line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from station.journal import list_runs, read_documents
from station.live import LiveAnalysisError, Watch
from station.results import kind_named, kind_of

slow = [pytest.mark.slow, pytest.mark.timeout(120)]
SMALL = ("--rows", "2", "--columns", "3", "--over-travel", "1.5", "--clock-rate", "50")


@dataclass(frozen=True)
class Recorded:
    """A run that the command line has recorded, and where."""

    folder: Path
    told: dict[str, Any]


def twinscope(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "station", *words],
        env={**os.environ, "TWINSCOPE_DATA": str(folder), "XDG_CONFIG_HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("recorded")
    done = twinscope(folder, "run", "mosaic", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    yield Recorded(folder, json.loads(done.stdout))
    twinscope(folder, "catalog", "stop")


class TestRecorded:
    """What one recorded mosaic gives."""

    pytestmark = slow

    def test_a_run_tells_where_each_field_was(self, recorded: Recorded):
        fields = recorded.told["mosaic"]["fields"]
        assert [(field["row"], field["column"]) for field in fields] == [
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 2),
            (1, 1),
            (1, 0),
        ]
        strays = np.array([np.subtract(f["actual"], f["target"]) for f in fields])
        assert 0.01 < np.abs(strays).max() < 1.0  # µm: a stage, but neither ideal nor broken
        assert max(max(field["stderr"]) for field in fields) < 0.002

    def test_a_run_leaves_a_montage_and_a_figure(self, recorded: Recorded):
        reports = recorded.folder / "reports"
        with tifffile.TiffFile(reports / recorded.told["mosaic"]["montage"]) as file:
            rows, columns = file.series[0].shape
        assert rows > 1.6 * 512
        assert columns > 2.4 * 512
        assert (reports / f"{recorded.told['uid']}.png").exists()

    @pytest.mark.parametrize("source", ["journal", "catalog"])
    def test_a_replay_gives_the_same_numbers_bit_for_bit(self, recorded: Recorded, source: str):
        done = twinscope(recorded.folder, "replay", "-1", "--from", source, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert told["same"] is True
        assert told["mosaic"] == recorded.told["mosaic"]

    def test_show_gives_the_positions(self, recorded: Recorded):
        told = json.loads(twinscope(recorded.folder, "show", "1", "--json").stdout)
        assert told["mosaic"] == recorded.told["mosaic"]
        assert told["streams"]["primary"]["events"] == 6

    def test_runs_lists_it(self, recorded: Recorded):
        (row,) = json.loads(twinscope(recorded.folder, "runs", "--json").stdout)
        assert (row["plan_name"], row["exit_status"]) == ("mosaic", "success")

    def test_a_report_is_a_figure_and_a_page(self, recorded: Recorded):
        done = twinscope(recorded.folder, "report", "-1", "-o", "out.png")
        assert done.returncode == 0, done.stderr
        page = (recorded.folder / "out.md").read_text(encoding="utf-8")
        assert "# Mosaic, scan 1" in page
        assert "loops close to" in page


@pytest.mark.slow
def test_a_rectangle_is_covered(tmp_path: Path):
    words = ("--x", "-2.5,2.5", "--y", "-1,1", "--clock-rate", "50", "--json")
    done = twinscope(tmp_path, "run", "mosaic", *words)
    twinscope(tmp_path, "catalog", "stop")
    assert done.returncode == 0, done.stderr
    fields = json.loads(done.stdout)["mosaic"]["fields"]
    assert [(field["row"], field["column"]) for field in fields] == [(0, 0), (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--overlap", "0"), "overlap is 0 of the field: 0.05 to 0.9 is allowed"),
        (("--rows", "0"), "rows is 0: a whole number of at least 1 is needed"),
        (("--x", "-5,5"), "give --rows and --columns, or --x and --y, or none of them"),
        (("--x", "5", "--y", "0,1"), "--x '5' is not allowed: give two numbers, as -5,5"),
        (("--x", "-30000,30000", "--y", "0,1"), "fields: up to 10000 are allowed"),
    ],
)
def test_what_is_not_allowed_is_told_in_a_line(tmp_path: Path, words: Any, message: str):
    done = twinscope(tmp_path, "run", "mosaic", "--clock-rate", "50", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("twinscope: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.slow
def test_a_mosaic_stopped_by_ctrl_c_gives_what_it_has(tmp_path: Path):
    words = ["run", "mosaic", "--rows", "6", "--columns", "6", "--clock-rate", "10"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "station", *words],
        env={**os.environ, "TWINSCOPE_DATA": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 40
        while fields_recorded(tmp_path) < 4 and time.monotonic() < deadline:
            threading.Event().wait(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 130, err
    told = json.loads(twinscope(tmp_path, "show", "1", "--json").stdout)
    assert told["exit_status"] == "abort"
    assert 4 <= len(told["mosaic"]["fields"]) < 36
    assert (tmp_path / "reports" / told["mosaic"]["montage"]).exists()


def fields_recorded(folder: Path) -> int:
    """How many fields of the raw run are in the journal."""
    raw = [run for run in list_runs(folder / "journal") if run.purpose == "raw"]
    if not raw:
        return 0
    documents = list(read_documents(raw[0].path))
    uids = [d["uid"] for n, d in documents if n == "descriptor" and d["name"] == "primary"]
    return sum(n == "event" and d["descriptor"] in uids for n, d in documents)


def test_a_watch_hands_progress_on_until_it_is_told_not_to():
    watch, told = Watch(), []
    watch("uid", "montage", 1, 2)
    watch.tell(lambda *step: told.append(step))
    watch("uid", "montage", 2, 2)
    watch.tell(None)
    watch("uid", "montage", 3, 3)
    assert told == [("uid", "montage", 2, 2)]


def test_a_watch_ends_the_work_when_the_station_closes():
    watch = Watch()
    assert isinstance(watch.given_up, threading.Event)
    watch.given_up.set()
    with pytest.raises(LiveAnalysisError, match="the station was closed"):
        watch("uid", "montage", 1, 2)


def test_an_analysis_that_is_not_known_is_named():
    assert kind_named("tomography") is None
    with pytest.raises(ValueError, match="'tomography' is not known; there are: mosaic, hyst"):
        kind_of({"analysis": {"name": "tomography"}})
