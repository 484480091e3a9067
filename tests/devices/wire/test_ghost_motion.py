"""A command that its sender has given up moves nothing, whatever happens to the server."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.wire import Client, ConnectionLost, StateUnknown

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
Spawn = Callable[..., "tuple[subprocess.Popen[str], str]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    processes: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str | Path) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, HERE / script, *arguments],
            cwd=HERE.parents[2],
            env={"PYTHONPATH": str(HERE.parents[2])},
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "moves"
    path.touch()
    return path


def moves(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line != "safe"]


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize("op", ["stage.nudge", "stage.move"])
def test_a_move_given_up_while_the_server_was_suspended_does_not_happen(
    spawn: Spawn, log: Path, op: str, eventually: Callable[..., bool]
) -> None:
    process, address = spawn("server_process.py", "tcp://127.0.0.1:0", log)
    client = Client(address, name="alice", heartbeat_s=0.5)
    client.connect(5)
    process.send_signal(signal.SIGSTOP)  # its kernel goes on taking what is sent to it
    if op == "stage.nudge":
        given_up = client.submit(op, {"x": 1e-6}, deadline_s=0.3)
    else:
        given_up = client.start(op, {"x": 1e-6}, deadline_s=0.3, timeout_s=5).future
    with pytest.raises(StateUnknown):
        given_up.result(3)
    process.send_signal(signal.SIGCONT)
    assert eventually(lambda: client.connected, 5)
    client.request("stage.nudge", {"x": 2e-6})
    pause(0.3)
    assert moves(log) == ["2e-06"]
    client.close()


@pytest.mark.parametrize("op", ["stage.nudge", "stage.move"])
def test_a_move_given_up_when_the_server_was_killed_does_not_happen_after_its_restart(
    spawn: Spawn, log: Path, op: str, eventually: Callable[..., bool]
) -> None:
    process, address = spawn("server_process.py", "tcp://127.0.0.1:0", log)
    client = Client(address, name="alice", heartbeat_s=0.5)
    client.connect(5)
    process.send_signal(signal.SIGSTOP)
    if op == "stage.nudge":
        lost = client.submit(op, {"x": 1e-6}, deadline_s=20)
    else:
        lost = client.start(op, {"x": 1e-6}, deadline_s=20, timeout_s=20).future
    pause(0.1)
    process.kill()
    process.wait()
    with pytest.raises(ConnectionLost):
        lost.result(3)
    with pytest.raises(ConnectionLost):
        client.request(op, {"x": 3e-6}, deadline_s=5)
    spawn("server_process.py", address, log)
    assert eventually(lambda: client.connected, 5)
    client.request("stage.nudge", {"x": 2e-6})
    pause(0.3)
    assert moves(log) == ["2e-06"]
    client.close()


def test_a_suspended_server_is_a_lost_connection_until_it_goes_on(
    spawn: Spawn, log: Path, eventually: Callable[..., bool]
) -> None:
    process, address = spawn("server_process.py", "tcp://127.0.0.1:0", log)
    client = Client(address, name="alice", heartbeat_s=0.2)
    client.connect(5)
    process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: not client.connected, 3)
    assert not client.stop()
    process.send_signal(signal.SIGCONT)
    assert eventually(lambda: client.connected, 5)
    client.close()


def test_the_instrument_is_made_safe_when_its_client_is_killed(
    spawn: Spawn, log: Path, eventually: Callable[..., bool]
) -> None:
    _, address = spawn("server_process.py", "tcp://127.0.0.1:0", log)
    doomed, word = spawn("client_process.py", address)
    assert word == "started"
    doomed.kill()
    assert eventually(lambda: log.read_text() == "safe\n", 5)
