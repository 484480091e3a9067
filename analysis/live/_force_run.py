"""The analysis of one run of spectra: what `IntermodulationAnalysis` begins.

Apart from the router, because it loads SciPy and numba, which a station must not wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..intermodulation import ForceCurve, Measurement, Mode
from ..intermodulation.generic import reconstruct
from ..intermodulation.models import ExponentialDamping, VdwDmt
from ..intermodulation.parametric import ParametricMap, PixelVerdict, fit_map
from ..intermodulation.pixels import FreeSpectrum, mean_pixel, within_calibration
from ..intermodulation.tables import (
    HINTS,
    comb_keys,
    comb_row,
    curve_keys,
    curve_row,
    field_keys,
    field_row,
    line_keys,
    line_row,
    spectrum_keys,
    spectrum_row,
)
from .router import Publisher, Reading, RunAnalysis

__all__ = ["ForceRun"]

Progress = Callable[[str, str, int, int], object]

_AXES = ("z", "y")
_POINTS = 201  # of a force curve: a tenth of a nm over 20 nm
_FIELD = (101, 31)  # points along z and y of a force field
_NANO = 1e-9


class ForceRun(RunAnalysis):
    """Reconstructs forces from the spectra of one run as they come."""

    def __init__(
        self,
        start: Mapping[str, Any],
        publisher: Publisher,
        parameters: Mapping[str, float],
        progress: Progress | None,
    ) -> None:
        self._uid = str(start["uid"])
        self._keys = start["fields"]
        self._is_map = "shape" in start
        self._points = int(start.get("num_points", 0))
        self._out = publisher
        self._curve_every = int(parameters["curve_every"])
        self._calibration = float(parameters["calibration"])
        self._progress = progress
        self._free: FreeSpectrum | None = None
        self._height: float | None = None
        self._before: ParametricMap | None = None
        self._declared: set[str] = set()
        self._seen = self._lines = 0
        self._lost: list[int] = []

    def reading(self, reading: Reading) -> None:
        """Take the spectra of the pixels of one acquisition."""
        self._seen += 1
        if reading.image is None:
            self._lost.append(reading.seq_num)
            return
        spectra = np.asarray(reading.image)
        lifted = bool(self._value(reading, self._keys["lifted"]))
        if lifted:
            self._free = FreeSpectrum.of(spectra)
        self._tell_comb(reading)
        self._tell_spectrum(reading, spectra, lifted)
        if not lifted:
            self._forces(reading, spectra)
        if self._progress is not None:
            self._progress(self._uid, "spectra analysed", self._seen, self._points)

    def aside(self, stream: str, time: float, data: Mapping[str, Any]) -> None:
        """Take the height at which the tip was engaged."""
        key = self._keys.get("height")
        if key in data:
            self._height = _NANO * float(data[key])

    def finish(self, time: float) -> str:
        """Say which events had no spectra."""
        if not self._lost:
            return ""
        return f"no spectra of events {', '.join(map(str, self._lost))}"

    def _tell_comb(self, reading: Reading) -> None:
        if "comb" in self._declared:
            return
        comb = self._keys["comb"]
        tones = [int(tone) for tone in self._value(reading, comb["tones"])]
        axes = [int(axis) for axis in self._value(reading, comb["axes"])]
        modes = self._modes(reading)
        row = comb_row(float(self._value(reading, comb["df"])), tones, axes, modes)
        self._event("comb", comb_keys(len(tones), len(modes)), row, reading.time)

    def _tell_spectrum(self, reading: Reading, spectra: NDArray[Any], lifted: bool) -> None:
        noise = np.full(spectra.shape[1], np.nan)
        if self._free is not None:
            noise = self._free.noise / np.sqrt(len(spectra))
        row = spectrum_row(reading.seq_num, lifted, len(spectra), spectra.mean(axis=0), noise)
        self._event("spectrum", spectrum_keys(spectra.shape[1]), row, reading.time)

    def _forces(self, reading: Reading, spectra: NDArray[Any]) -> None:
        if self._free is None:
            raise ValueError(
                f"event {reading.seq_num} is engaged, but no free spectrum was taken before it"
            )
        measured = self._measurement(reading, spectra, self._free)
        if self._is_map:
            self._line(reading, measured)
        else:
            self._curve(reading.seq_num, -1, mean_pixel(measured), reading.time)

    def _line(self, reading: Reading, measured: Measurement) -> None:
        row, self._lines = self._lines, self._lines + 1
        if row % self._curve_every == 0:
            middle = measured.pixels // 2
            self._curve(reading.seq_num, middle, measured.pixel(middle), reading.time)
        radius = _NANO * float(self._value(reading, self._keys["probe"]["radius"]))
        law = VdwDmt(radius) + ExponentialDamping(cubic=0.0)
        found = fit_map(
            within_calibration(measured, self._calibration),
            law,
            before=self._before,
        )
        if (found.verdict == PixelVerdict.GOOD).any():
            self._before = found
        cells = line_row(reading.seq_num, row, reading.beside["z"], found)
        self._event("line", line_keys(measured.pixels), cells, reading.time)

    def _curve(self, seq_num: int, pixel: int, measured: Measurement, time: float) -> None:
        found = reconstruct(measured)
        if isinstance(found, ForceCurve):
            row = curve_row(seq_num, pixel, found, _POINTS, measured.height)
            self._event("curve", curve_keys(_POINTS), row, time)
        else:
            self._event("field", field_keys(_FIELD), field_row(seq_num, found, _FIELD), time)

    def _event(
        self, stream: str, keys: Mapping[str, Any], row: Mapping[str, Any], time: float
    ) -> None:
        if stream not in self._declared:
            self._declared.add(stream)
            self._out.declare(stream, keys, HINTS[stream], time)
        self._out.event(stream, row, time)

    def _measurement(
        self, reading: Reading, spectra: NDArray[Any], free: FreeSpectrum
    ) -> Measurement:
        comb = self._keys["comb"]
        return Measurement(
            tones=np.asarray(self._value(reading, comb["tones"])),
            free=free.tones,
            engaged=spectra,
            noise=np.nan_to_num(free.noise),
            modes=self._modes(reading),
            df=float(self._value(reading, comb["df"])),
            height=self._height,
            axes=tuple(_AXES[int(axis)] for axis in self._value(reading, comb["axes"])),
            free_noise=np.nan_to_num(free.noise) / np.sqrt(free.pixels),
        )

    def _modes(self, reading: Reading) -> tuple[Mode, ...]:
        probe = self._keys["probe"]
        columns = ("resonance_frequency", "quality_factor", "spring_constant", "mode_axis")
        numbers = [np.atleast_1d(self._value(reading, probe[name])) for name in columns]
        return tuple(
            Mode(float(frequency), float(quality), float(stiffness), _AXES[int(axis)])
            for frequency, quality, stiffness, axis in zip(*numbers, strict=True)
        )

    def _value(self, reading: Reading, key: str) -> Any:
        if key not in reading.data:
            raise ValueError(f"the run does not record {key}, which its start document names")
        return reading.data[key]
