"""The MLA driver over a stand-in that computes its quadratures from a signal in time."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from devices import Comb
from devices.drivers.mla import MLALockin, MLAWiring, open_mla
from devices.wire import CancelledError, InstrumentError, LimitError

WIRING = MLAWiring(drive_port=2, flexural_port=1, torsional_port=3, input_gain=10.0)
COMB = Comb(
    df=500.0,
    tones=(20, 30, 30),
    drive_tones=(30, 31),
    drive_amplitude=(0.5, 0.25),
    drive_phase=(0.3, -0.4),
    axes=(0, 0, 1),
)


class Instrument:
    """What `mla.lockin` offers: one list of frequencies, and a signal at each input."""

    nr_output_freq = 6
    samples = 1000

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.running = False
        self.settings: dict[str, Any] = {}

    @property
    def lockin(self) -> Instrument:
        return self

    def tune1(self, fcenter: float, df: float) -> tuple[float, float]:
        exact = 250e6 / round(250e6 / df)
        return exact * round(fcenter / exact), exact

    def _take(self, name: str, values: Any) -> None:
        self.calls.append(name)
        values = np.asarray(values)
        assert values.shape == (self.nr_output_freq,)
        self.settings[name] = values

    def set_frequencies_by_n_and_df(self, n: Any, df: float) -> None:
        self._take("n", n)
        self.settings["df"] = df

    def set_amplitudes(self, values: Any) -> None:
        self._take("amplitudes", values)

    def set_phases(self, values: Any, unit: str) -> None:
        assert unit == "degree"
        self._take("phases", values)

    def set_output_mask(self, mask: Any, port: int) -> None:
        self._take("mask", mask)
        self.settings["port"] = port

    def set_input_multiplexer(self, ports: Any) -> None:
        self._take("inputs", ports)

    def start_lockin(self, cluster_size: int) -> None:
        assert cluster_size == 1
        self.running = True

    def stop_lockin(self) -> None:
        self.running = False

    def wait_for_new_pixels(self, n: int) -> None:
        assert self.running
        self.calls.append(f"wait {n}")

    def voltage(self, port: int, t: np.ndarray) -> np.ndarray:
        w = 2 * np.pi * self.settings["df"] * t
        if port == 1:
            return 0.2 * np.cos(20 * w + 0.7) + 0.05 * np.cos(30 * w - 2.0)
        return 0.01 * np.cos(30 * w + 1.5)

    def get_pixels(self, n: int, data_format: str) -> tuple[np.ndarray, None]:
        assert self.running
        assert data_format == "IQreal"
        t = np.arange(self.samples) / (self.samples * self.settings["df"])
        rows = []
        for tone, port in zip(self.settings["n"], self.settings["inputs"], strict=True):
            angle = 2 * np.pi * tone * self.settings["df"] * t
            voltage = self.voltage(port, t)
            rows += [(voltage * np.cos(angle)).mean(), (voltage * np.sin(angle)).mean()]
        return np.tile(np.array(rows)[:, np.newaxis], (1, n)), None


def _ignore(pixels: int) -> None:
    pass


@pytest.fixture
def mla() -> Instrument:
    return Instrument()


def test_a_tone_is_measured_with_its_amplitude_and_phase_at_its_input(mla: Instrument) -> None:
    lockin = MLALockin(mla, WIRING)
    lockin.set_comb(COMB)
    spectra = lockin.acquire(2, threading.Event(), _ignore)
    volts = 10.0 * np.array([0.2 * np.exp(0.7j), 0.05 * np.exp(-2.0j), 0.01 * np.exp(1.5j)])
    np.testing.assert_allclose(spectra, np.tile(volts, (2, 1)), rtol=1e-9)


def test_the_comb_becomes_one_list_of_entries(mla: Instrument) -> None:
    MLALockin(mla, WIRING).set_comb(COMB)
    settings = mla.settings
    np.testing.assert_array_equal(settings["n"][:4], [20, 30, 30, 31])
    np.testing.assert_array_equal(settings["inputs"][:3], [1, 1, 3])
    np.testing.assert_array_equal(settings["mask"], [0, 1, 0, 1, 0, 0])
    np.testing.assert_allclose(settings["amplitudes"], [0, 0.5, 0, 0.25, 0, 0])
    np.testing.assert_allclose(settings["phases"][[1, 3]], np.degrees([0.3, -0.4]))
    assert (settings["df"], settings["port"]) == (500.0, 2)


def test_amplitudes_are_set_last(mla: Instrument) -> None:
    MLALockin(mla, WIRING).set_comb(COMB)
    assert mla.calls[-1] == "amplitudes"


def test_a_line_is_waited_for_in_chunks_and_read_in_one_piece(mla: Instrument) -> None:
    lockin = MLALockin(mla, WIRING)
    lockin.set_comb(COMB)
    told: list[int] = []
    assert lockin.acquire(300, threading.Event(), told.append).shape == (300, 3)
    assert told == [125, 250, 300]
    assert mla.calls[-3:] == ["wait 125", "wait 125", "wait 50"]
    assert not mla.running


def test_an_abort_is_heard_between_two_chunks(mla: Instrument) -> None:
    lockin = MLALockin(mla, WIRING)
    lockin.set_comb(COMB)
    abort = threading.Event()
    with pytest.raises(CancelledError):
        lockin.acquire(300, abort, lambda done: abort.set())
    assert not mla.running


def test_switching_off_drives_nothing(mla: Instrument) -> None:
    lockin = MLALockin(mla, WIRING)
    lockin.set_comb(COMB)
    lockin.switch_off()
    np.testing.assert_array_equal(mla.settings["amplitudes"], np.zeros(6))


def test_tuning_is_the_instruments_own(mla: Instrument) -> None:
    frequency, df = MLALockin(mla, WIRING).tune(300_123.0, 199.9)
    assert frequency / df == pytest.approx(round(frequency / df), abs=1e-9)
    assert df == pytest.approx(199.9, rel=1e-5)


def test_more_entries_than_the_instrument_has_are_refused(mla: Instrument) -> None:
    with pytest.raises(LimitError, match="needs 7 entries, measured and driven: the MLA has 6"):
        MLALockin(mla, WIRING).set_comb(Comb(500.0, (1, 2, 3, 4, 5, 6), (7,), (0.1,)))


def test_an_axis_without_an_input_is_refused(mla: Instrument) -> None:
    with pytest.raises(LimitError, match="no input is wired"):
        MLALockin(mla).set_comb(COMB)


def test_numbers_of_another_shape_are_refused(
    mla: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockin = MLALockin(mla, WIRING)
    lockin.set_comb(COMB)
    monkeypatch.setattr(mla, "get_pixels", lambda n, data_format: (np.zeros((12, n + 1)), None))
    with pytest.raises(InstrumentError, match=r"MLA sent \(12, 3\) numbers where \(12, 2\)"):
        lockin.acquire(2, threading.Event(), _ignore)


def test_without_the_makers_library_it_says_so() -> None:
    with pytest.raises(InstrumentError, match="mlaapi"), open_mla():
        pass
