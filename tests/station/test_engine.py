"""The station as a whole: one run from the wire to the journal, and what happens when it breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.wire import Client
from plans import hysteresis
from station.engine import Station, kept_to_itself
from station.journal import list_runs
from station.servers import InstrumentServer
from station.settings import Settings, TEMSettings

pytestmark = pytest.mark.slow


def settings_in(folder: Path, **tem: object) -> Settings:
    values = {"profile": "ideal", "clock_rate": 50.0, **tem}
    return Settings(data=folder, tem=TEMSettings.model_validate(values))


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(settings_in(tmp_path)) as opened:
        yield opened


def test_a_hysteresis_run_gives_its_result_and_both_runs_to_the_journal(station: Station):
    plan = hysteresis(station.tem, ("x",), steps=2, repeats=2, analysis=station.live)
    outcome = station.RE(plan).plan_result  # type: ignore[union-attr]
    runs = {run.purpose: run for run in list_runs(station.journal.folder)}
    assert outcome.result.raw_uid == outcome.uid == runs["raw"].uid
    assert runs["analysis"].raw_uid == outcome.uid
    assert {run.exit_status for run in runs.values()} == {"success"}


def test_every_run_has_a_baseline_and_who_was_at_the_desk(station: Station):
    from bluesky.plans import count

    documents: list[tuple[str, Any]] = []
    station.RE(count([]), lambda name, doc: documents.append((name, doc)))
    start = next(doc for name, doc in documents if name == "start")
    baseline = next(
        doc for name, doc in documents if name == "descriptor" and doc["name"] == "baseline"
    )
    assert start["operator"] == station.settings.operator
    assert "twinscope" in start["versions"]
    assert "tem_goniometer_x" in baseline["data_keys"]


def test_a_server_that_was_killed_ends_the_plan_with_its_cause_and_the_run_is_closed(
    station: Station,
):
    def kill(name: str, _doc: object) -> None:
        process = station.servers["tem"].process
        if name == "event" and process is not None and process.poll() is None:
            events.append(name)
            if len(events) == 4:
                process.kill()

    events: list[str] = []
    plan = hysteresis(station.tem, ("x",), analysis=station.live)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)answer|lost|unknown|connect") as caught:
        station.RE(plan, kill)
    assert time.monotonic() - began < 30
    assert "\n" not in str(caught.value)
    (raw,) = [run for run in list_runs(station.journal.folder) if run.purpose == "raw"]
    assert raw.exit_status in ("fail", "abort")


def test_the_journal_is_the_only_subscriber_that_may_end_a_run():
    calls: list[str] = []

    def fails(name: str, _doc: object) -> None:
        calls.append(name)
        raise RuntimeError("no disk")

    safe = kept_to_itself(fails, "the test")
    for name in ("start", "stop"):
        safe(name, {})
    assert calls == ["start"]


def run_command(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "station", "run", "hysteresis", *words]
    return subprocess.Popen(
        [*command, "--data", str(folder), "--profile", "ideal"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TWINSCOPE_STORAGE__CATALOG": "false"},
    )


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_ctrl_c_stops_blanks_and_closes_the_run_as_aborted(tmp_path: Path):
    process = run_command(tmp_path, "--axes", "x", "--clock-rate", "2")
    try:
        wait_for(lambda: [run for run in list_runs(tmp_path / "journal") if run.purpose == "raw"])
        threading.Event().wait(1.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    (run,) = [run for run in list_runs(tmp_path / "journal") if run.purpose == "raw"]
    assert process.returncode == 130
    assert run.exit_status == "abort"
    assert "stopped by Ctrl-C" in err
    assert run.uid[:8] in err
    assert "Traceback" not in err


def test_after_ctrl_c_the_instrument_is_at_rest_where_it_began_and_blanked(tmp_path: Path):
    with InstrumentServer(settings_in(tmp_path, clock_rate=2.0)) as facts:
        process = run_command(tmp_path, "--axes", "x", "--address", facts.control)
        try:
            wait_for(lambda: list_runs(tmp_path / "journal"))
            threading.Event().wait(1.0)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
        client = Client(facts.control, name="test")
        try:
            client.connect()
            x = client.request("stage.read").values["axes"]["x"]
            blanked = client.request("column.read").values["beam_blank"]
        finally:
            client.close()
    assert not x["moving"]
    assert abs(x["position"]) < 0.2e-6
    assert blanked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--step", "-1"), "must be above 0"),
        (("--step", "nan"), "a finite number is needed"),
        (("--axes", "w"), "choose each once, of x, y"),
        (("--step", "9"), "leaves no overlap"),
        (("--steps", "0"), "at least 1"),
        (("--step", "2.9", "--steps", "5000"), "outside"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_recorded(
    tmp_path: Path, words: tuple[str, ...], said: str
):
    process = run_command(tmp_path, *words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert list_runs(tmp_path / "journal") == []


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path):
    process = run_command(tmp_path, "--address", "tcp://127.0.0.1:9")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert "tcp://127.0.0.1:9" in err
