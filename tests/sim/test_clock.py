"""The instrument's time."""

import math
import threading
import time

import pytest

from sim.clock import ManualClock, ScaledClock


def test_a_scaled_clock_starts_at_the_real_time():
    assert ScaledClock(rate=1000.0).now() == pytest.approx(time.time(), abs=60.0)


def test_a_fast_clock_waits_an_hour_in_a_fraction_of_a_second():
    clock = ScaledClock(rate=36000.0)
    start, real = clock.now(), time.monotonic()
    interrupted = clock.wait(3600.0)
    elapsed, real_elapsed = clock.now() - start, time.monotonic() - real
    assert not interrupted
    assert elapsed >= 3600.0
    assert 0.1 <= real_elapsed < 30.0


def test_a_scaled_clock_is_woken_by_the_interrupt():
    clock, interrupt = ScaledClock(), threading.Event()
    timer = threading.Timer(0.02, interrupt.set)
    timer.start()
    try:
        assert clock.wait(30.0, interrupt)
    finally:
        timer.join()


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(start=5.0)
    assert clock.now() == 5.0
    clock.advance(2.0)
    assert not clock.wait(3.0)
    assert clock.now() == 10.0


def test_an_interrupted_manual_wait_takes_no_time():
    clock, interrupt = ManualClock(), threading.Event()
    interrupt.set()
    assert clock.wait(3.0, interrupt)
    assert clock.now() == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(rate)


@pytest.mark.parametrize("clock", [ScaledClock(), ManualClock()])
@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_an_impossible_wait_is_refused(clock, seconds):
    with pytest.raises(ValueError, match="0 or more"):
        clock.wait(seconds)
