"""Recorded documents come in their order and, if asked, in their time."""

from __future__ import annotations

import threading
import time

import pytest

from analysis.replay import replay

RUN = [("start", {"time": 100.0}), ("stream_datum", {}), ("event", {"time": 101.0})]
RUN += [("event_page", {"time": [101.5, 102.0]}), ("stop", {"time": 102.0})]


def test_every_callback_gets_every_document_in_order():
    first, second = [], []
    replay(RUN, lambda n, d: first.append((n, d)), lambda n, d: second.append((n, d)))
    assert first == second == RUN


def test_speed_divides_the_time_of_the_run():
    begin = time.monotonic()
    replay(RUN, lambda n, d: None, speed=10.0)
    assert time.monotonic() - begin == pytest.approx(0.2, abs=0.1)


def test_interrupt_ends_the_replay():
    got, interrupt = [], threading.Event()
    interrupt.set()
    replay(RUN, lambda n, d: got.append(n), speed=1e-3, interrupt=interrupt)
    assert got == []


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_speed_that_is_not_positive_is_refused(speed):
    with pytest.raises(ValueError, match="must be positive"):
        replay(RUN, speed=speed)
