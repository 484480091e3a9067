"""Intermodulation Products' MLA-3 as a multifrequency lock-in of an AFM.

The driver works with any object that has the methods of the maker's `mla`; its library is imported
only by `open_mla`. An MLA has one list of frequencies for inputs and outputs: each entry has an
input that it is measured at, and an amplitude at the output, 0 where it drives nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.comb import FLEXURAL, TORSIONAL, Comb, CombLimits
from devices.drivers._quadratures import complex_tones, vendor_errors
from devices.wire import CancelledError, InstrumentError, LimitError

__all__ = ["MLALockin", "MLAWiring", "open_mla"]

_CHUNK_S = 0.25  # in which an abort is heard


@dataclass(frozen=True)
class MLAWiring:
    """What is plugged in where.

    Parameters
    ----------
    drive_port : int
        Output to the shaker.
    flexural_port : int
        Input of the flexural signal.
    torsional_port : int, optional
        Input of the torsional signal, if it is plugged in.
    output_v : float
        Peak volts that the output can give.
    input_gain : float
        Volts at the input for one unit of what the instrument reports.
    sample_rate : float
        Of the inputs, per second.
    frequency : tuple of float
        Range of the instrument, Hz.
    sine : int
        -1 if the instrument's Q is the mean of V times minus the sine; seen by measuring the
        driven output directly at a phase of pi/2.
    """

    drive_port: int = 1
    flexural_port: int = 1
    torsional_port: int | None = None
    output_v: float = 2.0
    input_gain: float = 1.0
    sample_rate: float = 250e6
    frequency: tuple[float, float] = (10.0, 5e6)
    sine: int = 1


class MLALockin:
    """`MultiFrequencyLockin` over a connected MLA; see `devices.drivers.afm_protocols`.

    Parameters
    ----------
    mla : object
        With the attribute `lockin` that the maker's has.
    wiring : MLAWiring
        What is plugged in where.
    """

    def __init__(self, mla: Any, wiring: MLAWiring | None = None) -> None:
        self._lockin = mla.lockin
        self._wiring = MLAWiring() if wiring is None else wiring
        self._lock = threading.Lock()
        self._count = int(self._lockin.nr_output_freq)
        self._columns: list[int] = []
        self._df = 1.0
        ports = {FLEXURAL: self._wiring.flexural_port, TORSIONAL: self._wiring.torsional_port}
        self._ports = {axis: port for axis, port in ports.items() if port is not None}

    @property
    def limits(self) -> CombLimits:
        """What the instrument has; a driven tone that is not measured takes an entry as well."""
        return CombLimits(
            tones=self._count,
            drive_tones=self._count,
            df=(0.1, 1e5),
            frequency=self._wiring.frequency,
            drive_amplitude=self._wiring.output_v,
            pixels=65536,
        )

    @property
    def sample_rate(self) -> float:
        """Samples per second of the inputs."""
        return self._wiring.sample_rate

    def tune(self, frequency: float, df: float) -> tuple[float, float]:
        """Return the nearest exact pair, by the instrument's own rule."""
        with self._lock, vendor_errors("MLA"):
            tuned, exact = self._lockin.tune1(frequency, df)
        return float(tuned), float(exact)

    def set_comb(self, comb: Comb) -> None:
        """Measure and drive `comb`.

        Raises
        ------
        LimitError
            When it measures an axis that is not plugged in, or needs more entries than there are.
        """
        entries = self._entries(comb)
        tones = np.full(self._count, entries[0][0])
        ports = np.full(self._count, self._ports[FLEXURAL])
        amplitudes, phases = np.zeros(self._count), np.zeros(self._count)
        mask = np.zeros(self._count, int)
        tones[: len(entries)] = [tone for tone, _ in entries]
        ports[: len(entries)] = [self._ports[axis] for _, axis in entries]
        driven = [tone for tone, _ in entries]
        for tone, amplitude, phase in zip(
            comb.drive_tones, comb.drive_amplitude, comb.drive_phase, strict=True
        ):
            entry = driven.index(tone)
            amplitudes[entry], phases[entry], mask[entry] = amplitude, np.degrees(phase), 1
        with self._lock, vendor_errors("MLA"):
            self._lockin.set_frequencies_by_n_and_df(tones, comb.df)
            self._lockin.set_input_multiplexer(ports)
            self._lockin.set_output_mask(mask, port=self._wiring.drive_port)
            self._lockin.set_phases(phases, "degree")
            self._lockin.set_amplitudes(amplitudes)
        self._columns = [entries.index(pair) for pair in zip(comb.tones, comb.axes, strict=True)]
        self._df = comb.df

    def acquire(
        self, pixels: int, abort: threading.Event, progress: Callable[[int], None]
    ) -> NDArray[np.complex128]:
        """Measure `pixels` periods; see `MultiFrequencyLockin.acquire`.

        The instrument keeps what it measures: the pixels are waited for in chunks and read in one
        piece, so that none is missing between two chunks.
        """
        chunk = max(1, round(_CHUNK_S * self._df))
        with vendor_errors("MLA"):
            self._lockin.start_lockin(cluster_size=1)
            try:
                for first in range(0, pixels, chunk):
                    if abort.is_set():
                        raise CancelledError("the acquisition was aborted")
                    self._lockin.wait_for_new_pixels(min(chunk, pixels - first))
                    progress(min(first + chunk, pixels))
                if abort.is_set():
                    raise CancelledError("the acquisition was aborted")
                data, _ = self._lockin.get_pixels(pixels, data_format="IQreal")
            finally:
                self._lockin.stop_lockin()
        quadratures = np.asarray(data, np.float64)
        if quadratures.shape != (2 * self._count, pixels):
            raise InstrumentError(
                f"MLA sent {quadratures.shape} numbers where {(2 * self._count, pixels)} were due"
            )
        tones = complex_tones(quadratures[0::2], quadratures[1::2], sine=self._wiring.sine)
        return self._wiring.input_gain * tones[self._columns].T

    def switch_off(self) -> None:
        """Set all amplitudes to 0."""
        with self._lock, vendor_errors("MLA"):
            self._lockin.set_amplitudes(np.zeros(self._count))

    def _entries(self, comb: Comb) -> list[tuple[int, int]]:
        """Return tone and axis of each entry: what is measured, then what is only driven."""
        entries = list(zip(comb.tones, comb.axes, strict=True))
        for tone, axis in entries:
            if axis not in self._ports:
                raise LimitError(f"comb tone {tone} is of axis {axis}: no input is wired for it")
        entries += [(tone, FLEXURAL) for tone in comb.drive_tones if tone not in comb.tones]
        if len(entries) > self._count:
            raise LimitError(
                f"comb needs {len(entries)} entries, measured and driven: the MLA has {self._count}"
            )
        return entries


@contextmanager
def open_mla(wiring: MLAWiring | None = None) -> Iterator[MLALockin]:
    """Connect to the MLA of the maker's own settings; its library must be installed.

    Parameters
    ----------
    wiring : MLAWiring, optional
        What is plugged in where.
    """
    with vendor_errors("MLA"):
        settings = import_module("mlaapi.mla_globals").read_config()
        mla = import_module("mlaapi.mla_api").MLA(settings)
        mla.connect()
    try:
        yield MLALockin(mla, wiring)
    finally:
        mla.disconnect()
