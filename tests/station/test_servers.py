"""Instrument servers as processes: they come up, they tell, and they always end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.wire import Client
from station.servers import InstrumentServer, ServerError
from station.settings import Settings, TEMSettings

STATION = [sys.executable, "-P", "-m", "station", "serve", "tem", "--clock-rate", "50"]

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, tem=TEMSettings(clock_rate=50.0))


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return condition()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_server_answers_where_it_says_and_is_gone_afterwards(settings: Settings):
    with InstrumentServer(settings) as facts:
        client = Client(facts.control, facts.events, name="test")
        try:
            services = client.connect().services
        finally:
            client.close()
        assert {"stage", "camera", "column"} <= set(services)
        assert facts.facts["simulated"] is True
        pid = facts.pid
    assert pid is not None
    assert not alive(pid)


def test_a_running_server_is_used_and_left_running(settings: Settings):
    with InstrumentServer(settings) as facts:
        other = settings.model_copy(update={"tem": TEMSettings(address=facts.control)})
        with InstrumentServer(other) as found:
            assert found.control == facts.control
        assert facts.pid is not None
        assert alive(facts.pid)


def test_a_server_that_cannot_start_gives_its_own_reason(tmp_path: Path):
    settings = Settings(data=tmp_path, tem=TEMSettings(driver="toaster"))
    with pytest.raises(ServerError) as caught:
        InstrumentServer(settings).__enter__()
    assert str(caught.value) == (
        "the server of tem did not start: tem.driver 'toaster' does not exist; there are: simulated"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_within_two_seconds(tmp_path: Path, number: int):
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [*STATION, "--ready-file", str(ready)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert wait_until(ready.exists)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert out.count("\n") == 1
    assert out.startswith("tem ready: ")
    assert "Traceback" not in err


def test_the_ready_file_names_addresses_and_process(tmp_path: Path):
    ready = tmp_path / "ready.json"
    process = subprocess.Popen([*STATION, "--ready-file", str(ready)], stdout=subprocess.DEVNULL)
    try:
        assert wait_until(ready.exists)
        content = json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait(5)
    assert content["pid"] == process.pid
    assert content["control"].startswith("tcp://127.0.0.1:")
    assert not content["control"].endswith(":0")


def test_a_server_ends_when_its_parent_was_killed(tmp_path: Path):
    script = (
        "import sys, threading; from station.servers import InstrumentServer; "
        "from station.settings import Settings; from pathlib import Path; "
        f"s = InstrumentServer(Settings(data=Path({str(tmp_path)!r}))); s.start(); "
        "print(s.wait_ready().pid, flush=True); threading.Event().wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not alive(pid), 3.0)
    finally:
        parent.stdout.close()
        parent.kill()
