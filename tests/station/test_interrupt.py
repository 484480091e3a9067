"""Ctrl-C on the command line: what one press means, and another."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from station import interrupt
from station.interrupt import StopAtOnce


class Engine:
    """Stands for a RunEngine: counts the pauses that are asked of it."""

    def __init__(self) -> None:
        self.paused = threading.Event()
        self.pauses = 0

    def request_pause(self, *, defer: bool) -> None:
        assert not defer
        self.pauses += 1
        self.paused.set()


@pytest.fixture
def engine() -> Any:
    return Engine()


def test_ctrl_c_pauses_at_once(engine: Any) -> None:
    with StopAtOnce(engine):
        signal.raise_signal(signal.SIGINT)
        assert engine.paused.wait(1.0)


def test_a_hand_that_presses_many_times_means_once(engine: Any) -> None:
    with StopAtOnce(engine):
        for _ in range(5):
            signal.raise_signal(signal.SIGINT)
        assert engine.paused.wait(1.0)
    assert engine.pauses == 1


def test_ctrl_c_again_after_a_while_breaks_off(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "_GRACE", 0.0)
    with StopAtOnce(engine):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
