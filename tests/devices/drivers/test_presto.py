"""The Presto driver over a stand-in that computes its quadratures from a signal in time.

The stand-in knows only the definition, I = (1/T) int V cos and Q = (1/T) int V sin, and the voltage
at its input; so amplitude, sign and phase of the driver are checked from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from devices import Comb
from devices.comb import check_comb
from devices.drivers.presto import PrestoLockin, PrestoWiring, open_presto
from devices.wire import CancelledError, InstrumentError, LimitError

WIRING = PrestoWiring(
    drive_port=1,
    flexural_port=5,
    torsional_port=6,
    output_v=2.0,
    input_v=4.0,
    drive_tones=3,
    tones=4,
)
COMB = Comb(
    df=1000.0,
    tones=(10, 12, 25),
    drive_tones=(10, 11),
    drive_amplitude=(0.5, 0.25),
    drive_phase=(0.3, -0.4),
    axes=(0, 0, 1),
)
Signal = Callable[[np.ndarray], np.ndarray]


class Group:
    def __init__(self, count: int) -> None:
        self.count = count
        self.settings: dict[str, np.ndarray] = {}

    def _take(self, name: str, values: Any) -> None:
        values = np.asarray(values, float)
        assert values.shape == (self.count,)
        self.settings[name] = values

    def set_frequencies(self, values: Any) -> None:
        self._take("frequencies", values)

    def set_amplitudes(self, values: Any) -> None:
        self._take("amplitudes", values)

    def set_phases(self, values: Any) -> None:
        self._take("phases", values)


class Presto:
    """What `presto.lockin.Lockin` offers, over one signal a port, in units of full scale."""

    samples = 1000

    def __init__(self, signals: dict[int, Signal]) -> None:
        self.signals = signals
        self.groups: dict[int, Group] = {}
        self.df = 0.0
        self.applied = 0
        self.asked: list[int] = []
        self.closed = False

    def add_output_group(self, port: int, nr_freq: int) -> Group:
        return self.groups.setdefault(port, Group(nr_freq))

    def add_input_group(self, port: int, nr_freq: int) -> Group:
        return self.groups.setdefault(port, Group(nr_freq))

    def get_fs(self, which: str) -> float:
        assert which == "adc"
        return 1e6

    def set_df(self, df: float) -> None:
        self.df = df

    def apply_settings(self) -> None:
        self.applied += 1

    def tune(self, f: float, df: float) -> tuple[float, float]:
        exact = 1e6 / round(1e6 / df)
        return exact * round(f / exact), exact

    def get_pixels(self, n: int) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        self.asked.append(n)
        t = np.arange(self.samples) / (self.samples * self.df)
        data = {}
        for port, signal in self.signals.items():
            frequencies = self.groups[port].settings["frequencies"]
            angle = 2 * np.pi * np.outer(frequencies, t)
            i = np.tile((signal(t) * np.cos(angle)).mean(axis=1), (n, 1))
            q = np.tile((signal(t) * np.sin(angle)).mean(axis=1), (n, 1))
            data[port] = (frequencies, i, q)
        return data

    def __enter__(self) -> Presto:
        return self

    def __exit__(self, *args: object) -> None:
        self.closed = True


def _tone(amplitude: float, tone: int, phase: float) -> Signal:
    return lambda t: amplitude * np.cos(2 * np.pi * tone * COMB.df * t + phase)


@pytest.fixture
def presto() -> Presto:
    flexural = [_tone(0.2, 10, 0.7), _tone(0.05, 12, -2.0)]
    return Presto({5: lambda t: flexural[0](t) + flexural[1](t), 6: _tone(0.1, 25, 1.5)})


def _ignore(pixels: int) -> None:
    pass


def test_a_tone_is_measured_with_its_amplitude_and_phase(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    spectra = lockin.acquire(3, threading.Event(), _ignore)
    volts = 4.0 * np.array([0.2 * np.exp(0.7j), 0.05 * np.exp(-2.0j), 0.1 * np.exp(1.5j)])
    np.testing.assert_allclose(spectra, np.tile(volts, (3, 1)), rtol=1e-9)


def test_an_instrument_with_the_other_sine_is_told_by_the_wiring(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    conjugate = PrestoLockin(presto, PrestoWiring(1, 5, 6, 2.0, 4.0, 3, 4, sine=-1))
    conjugate.set_comb(COMB)
    one = lockin.acquire(1, threading.Event(), _ignore)
    other = conjugate.acquire(1, threading.Event(), _ignore)
    np.testing.assert_allclose(other, one.conj())


def test_the_comb_is_set_at_the_ports_in_hertz_full_scale_and_radians(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    drive = presto.groups[1].settings
    np.testing.assert_allclose(drive["frequencies"][:2], [10e3, 11e3])
    np.testing.assert_allclose(drive["amplitudes"], [0.25, 0.125, 0.0])
    np.testing.assert_allclose(drive["phases"][:2], [0.3, -0.4])
    np.testing.assert_allclose(presto.groups[5].settings["frequencies"][:2], [10e3, 12e3])
    np.testing.assert_allclose(presto.groups[6].settings["frequencies"][:1], [25e3])
    assert (presto.df, presto.applied) == (1000.0, 1)


def test_a_smaller_comb_silences_what_it_does_not_drive(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    lockin.set_comb(Comb(1000.0, (12,)))
    np.testing.assert_array_equal(presto.groups[1].settings["amplitudes"], np.zeros(3))
    assert lockin.acquire(2, threading.Event(), _ignore).shape == (2, 1)


def test_pixels_in_which_the_outputs_settle_are_dropped_once(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    lockin.acquire(4, threading.Event(), _ignore)
    lockin.acquire(4, threading.Event(), _ignore)
    assert presto.asked == [6, 4]


def test_a_long_line_is_measured_in_chunks_with_progress(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    told: list[int] = []
    assert lockin.acquire(600, threading.Event(), told.append).shape == (600, 3)
    assert told == [250, 500, 600]


def test_an_abort_is_heard_between_two_chunks(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    abort = threading.Event()
    with pytest.raises(CancelledError):
        lockin.acquire(600, abort, lambda done: abort.set())
    assert presto.asked == [252]


def test_switching_off_drives_nothing(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)
    lockin.switch_off()
    np.testing.assert_array_equal(presto.groups[1].settings["amplitudes"], np.zeros(3))
    assert presto.applied == 2


def test_tuning_is_the_instruments_own(presto: Presto) -> None:
    assert PrestoLockin(presto, WIRING).tune(10_100.0, 999.0) == (
        pytest.approx(10 * 1e6 / 1001),
        pytest.approx(1e6 / 1001),
    )


def test_limits_follow_the_wiring(presto: Presto) -> None:
    limits = PrestoLockin(presto, WIRING).limits
    assert (limits.tones, limits.drive_tones, limits.drive_amplitude) == (8, 3, 2.0)
    check_comb(COMB, limits)
    with pytest.raises(LimitError, match="clips above 2 V"):
        check_comb(Comb(1000.0, (10,), (10,), (2.1,)), limits)


def test_an_axis_without_an_input_is_refused(presto: Presto) -> None:
    lockin = PrestoLockin(presto, PrestoWiring(1, 5))
    with pytest.raises(LimitError, match="no input is wired"):
        lockin.set_comb(COMB)


def test_more_tones_of_an_axis_than_are_kept_are_refused(presto: Presto) -> None:
    lockin = PrestoLockin(presto, WIRING)
    with pytest.raises(LimitError, match="5 tones of axis 0: 4 are kept"):
        lockin.set_comb(Comb(1000.0, (1, 2, 3, 4, 5)))


def test_what_the_library_raises_is_told_in_one_line(
    presto: Presto, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockin = PrestoLockin(presto, WIRING)
    lockin.set_comb(COMB)

    def broken(n: int) -> None:
        raise OSError("connection reset\nby peer")

    monkeypatch.setattr(presto, "get_pixels", broken)
    with pytest.raises(InstrumentError, match="Presto failed: connection reset by peer"):
        lockin.acquire(1, threading.Event(), _ignore)


def test_without_the_makers_library_it_says_so() -> None:
    with pytest.raises(InstrumentError, match="presto"), open_presto("192.0.2.1", WIRING):
        pass
