"""Intermodulation Products' Presto as a multifrequency lock-in of an AFM.

The driver works with any object that has the methods of `presto.lockin.Lockin`; the maker's library
is imported only by `open_presto`. Groups of tones cannot be taken back once they are added, so all
are added at the beginning, and those that a comb does not need are silent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.comb import FLEXURAL, TORSIONAL, Comb, CombLimits
from devices.drivers._quadratures import complex_tones, vendor_errors
from devices.wire import CancelledError, LimitError

__all__ = ["PrestoLockin", "PrestoWiring", "open_presto"]

_CHUNK_S = 0.25  # in which an abort is heard
_SETTLING_PIXELS = 2  # after a setting all outputs are off for a moment, and the lever rings


@dataclass(frozen=True)
class PrestoWiring:
    """What is plugged in where, and what full scale means there.

    Parameters
    ----------
    drive_port : int
        Output to the shaker.
    flexural_port : int
        Input of the flexural signal.
    torsional_port : int, optional
        Input of the torsional signal, if it is plugged in.
    output_v, input_v : float
        Peak volts at full scale of the output and of the inputs.
    drive_tones, tones : int
        How many tones are kept for the drive, and for each input; 192 in all.
    sine : int
        -1 if the instrument's Q is the mean of V times minus the sine; seen by measuring the
        driven output directly at a phase of pi/2.
    """

    drive_port: int
    flexural_port: int
    torsional_port: int | None = None
    output_v: float = 1.0
    input_v: float = 1.0
    drive_tones: int = 16
    tones: int = 64
    sine: int = 1


class PrestoLockin:
    """`MultiFrequencyLockin` over an open Presto; see `devices.drivers.afm_protocols`.

    Parameters
    ----------
    instrument : object
        With the methods of `presto.lockin.Lockin`.
    wiring : PrestoWiring
        What is plugged in where.
    """

    def __init__(self, instrument: Any, wiring: PrestoWiring) -> None:
        self._instrument = instrument
        self._wiring = wiring
        self._lock = threading.Lock()
        self._columns: list[tuple[int, int]] = []
        self._df = 1.0
        self._settling = 0
        ports = {FLEXURAL: wiring.flexural_port, TORSIONAL: wiring.torsional_port}
        self._ports = {axis: port for axis, port in ports.items() if port is not None}
        with vendor_errors("Presto"):
            self._output = instrument.add_output_group(wiring.drive_port, wiring.drive_tones)
            self._inputs = {
                axis: instrument.add_input_group(port, wiring.tones)
                for axis, port in self._ports.items()
            }
            self._sample_rate = float(instrument.get_fs("adc"))

    @property
    def limits(self) -> CombLimits:
        """What the wiring leaves, up to 1 MHz of bandwidth a pixel and half the sample rate."""
        wiring = self._wiring
        return CombLimits(
            tones=wiring.tones * len(self._ports),
            drive_tones=wiring.drive_tones,
            df=(1.0, 1e6),
            frequency=(1.0, 0.5 * self._sample_rate),
            drive_amplitude=wiring.output_v,
            pixels=65536,
        )

    @property
    def sample_rate(self) -> float:
        """Samples per second of the inputs."""
        return self._sample_rate

    def tune(self, frequency: float, df: float) -> tuple[float, float]:
        """Return the nearest exact pair, by the instrument's own rule."""
        with self._lock, vendor_errors("Presto"):
            tuned, exact = self._instrument.tune(frequency, df)
        return float(tuned), float(exact)

    def set_comb(self, comb: Comb) -> None:
        """Measure and drive `comb`.

        Raises
        ------
        LimitError
            When it measures an axis that is not plugged in, or more tones of one than are kept.
        """
        rows = self._rows(comb)
        wiring = self._wiring
        drive = np.asarray(comb.drive_tones, np.float64) * comb.df
        with self._lock, vendor_errors("Presto"):
            self._instrument.set_df(comb.df)
            spare = rows[min(rows)][0] * comb.df
            self._output.set_frequencies(_padded(drive, wiring.drive_tones, spare))
            amplitudes = np.asarray(comb.drive_amplitude) / wiring.output_v
            self._output.set_amplitudes(_padded(amplitudes, wiring.drive_tones))
            self._output.set_phases(_padded(comb.drive_phase, wiring.drive_tones))
            for axis, group in self._inputs.items():
                frequencies = np.asarray(rows.get(axis, ()), np.float64) * comb.df
                group.set_frequencies(_padded(frequencies, wiring.tones, spare))
            self._instrument.apply_settings()
            self._columns = [
                (axis, rows[axis].index(tone))
                for tone, axis in zip(comb.tones, comb.axes, strict=True)
            ]
            self._df = comb.df
            self._settling = _SETTLING_PIXELS

    def acquire(
        self, pixels: int, abort: threading.Event, progress: Callable[[int], None]
    ) -> NDArray[np.complex128]:
        """Measure `pixels` periods; see `MultiFrequencyLockin.acquire`."""
        chunk = max(1, round(_CHUNK_S * self._df))
        parts = []
        for first in range(0, pixels, chunk):
            if abort.is_set():
                raise CancelledError("the acquisition was aborted")
            parts.append(self._pixels(min(chunk, pixels - first)))
            progress(first + parts[-1].shape[0])
        if abort.is_set():
            raise CancelledError("the acquisition was aborted")
        return np.concatenate(parts)

    def switch_off(self) -> None:
        """Set all amplitudes to 0; waits for the chunk that is being measured."""
        with self._lock, vendor_errors("Presto"):
            self._output.set_amplitudes(np.zeros(self._wiring.drive_tones))
            self._instrument.apply_settings()

    def _rows(self, comb: Comb) -> dict[int, list[int]]:
        """Return the tones of each axis, in the order of the comb."""
        rows: dict[int, list[int]] = {}
        for tone, axis in zip(comb.tones, comb.axes, strict=True):
            if axis not in self._ports:
                raise LimitError(f"comb tone {tone} is of axis {axis}: no input is wired for it")
            rows.setdefault(axis, []).append(tone)
        for axis, tones in rows.items():
            if len(tones) > self._wiring.tones:
                raise LimitError(
                    f"comb has {len(tones)} tones of axis {axis}: {self._wiring.tones} are kept "
                    "for each input"
                )
        return rows

    def _pixels(self, count: int) -> NDArray[np.complex128]:
        """Return the comb's tones of the next `count` pixels, V."""
        with self._lock, vendor_errors("Presto"):
            settling, self._settling = self._settling, 0
            data = self._instrument.get_pixels(settling + count)
            tones = {
                axis: complex_tones(data[port][1], data[port][2], sine=self._wiring.sine)
                for axis, port in self._ports.items()
            }
        chosen = [tones[axis][settling:, column] for axis, column in self._columns]
        return self._wiring.input_v * np.stack(chosen, axis=-1)


@contextmanager
def open_presto(address: str, wiring: PrestoWiring, **options: Any) -> Iterator[PrestoLockin]:
    """Connect to a Presto; the maker's library must be installed.

    Parameters
    ----------
    address : str
        Host of the instrument.
    wiring : PrestoWiring
        What is plugged in where.
    **options
        For `presto.lockin.Lockin`: port, ext_ref_clk, adc_mode, dac_mode.
    """
    with vendor_errors("Presto"):
        instrument = import_module("presto.lockin").Lockin(address=address, **options)
    with instrument as opened:
        yield PrestoLockin(opened, wiring)


def _padded(
    values: Sequence[float] | NDArray[np.float64], length: int, spare: float = 0.0
) -> NDArray[np.float64]:
    padded = np.full(length, spare)
    padded[: len(values)] = values
    return padded
