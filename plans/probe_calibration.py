"""What are the modes of this cantilever? Resonance, quality factor and spring constant.

The response of the free tip to a comb over each resonance at once tells resonance and quality
factor, its thermal motion the spring constant, by equipartition. The fits are
`analysis.intermodulation.sweep` and `.thermal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator, plan
from numpy.typing import NDArray
from ophyd import Signal

from analysis.intermodulation.modes import Mode
from analysis.intermodulation.sweep import SweepFit, fit_sweep
from analysis.intermodulation.thermal import CalibrationError, Estimate, fit_thermal
from devices.afm import Afm
from devices.comb import FLEXURAL, TORSIONAL, Comb, check_comb
from plans._afm_run import afm_metadata, afm_run, probe_modes
from plans._checks import checked_count, positive
from plans._steps import read_into, triggered

__all__ = [
    "CalibrationEstimate",
    "ModeCalibration",
    "ProbeCalibrationRun",
    "calibrate_probe",
    "estimate_calibration",
]

_MOST_TONES = 64  # a mode; more tell little
_HALF_WIDTHS = 4.0  # of the band: the tails hold the background
_SEARCH = 3.0  # times that band is searched first: nominal resonances are some percent off
_SWEEP_PIXELS = 40
_FEWEST_PIXELS = 10
_PIXELS_A_WIDTH = 32.0  # bins this much narrower than a resonance do not smear it
_DRIVE = 0.01  # of what the output gives, shared by all tones of a sweep
_FEWEST_TONES = 8  # that tell a resonance
_GOOD = 0.1  # relative deviation of a spring constant; makers state theirs worse


@dataclass(frozen=True)
class ModeCalibration:
    """One mode.

    Parameters
    ----------
    frequency, quality_factor : Estimate
        Hz and 1.
    spring_constant : Estimate or None
        N/m; None where it was kept as it was: by a sweep, or where the thermal motion does not
        tell it to 10 % beside the noise of the detector.
    """

    frequency: Estimate
    quality_factor: Estimate
    spring_constant: Estimate | None


@dataclass(frozen=True)
class ProbeCalibrationRun:
    """What `calibrate_probe` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : tuple of ModeCalibration
        In the order of the probe's modes; empty in a dry run.
    """

    uid: str
    result: tuple[ModeCalibration, ...]


@dataclass(frozen=True)
class CalibrationEstimate:
    """What a calibration would take.

    Parameters
    ----------
    modes, pixels : int
        Modes measured, and pixels altogether.
    duration : float
        Seconds of the acquisitions.
    """

    modes: int
    pixels: int
    duration: float

    def __str__(self) -> str:
        return f"{self.modes} modes, {self.pixels} spectra in {self.duration:.3g} s or more"


@plan
def calibrate_probe(
    afm: Afm,
    method: Literal["thermal", "sweep"] = "thermal",
    *,
    pixels: int | None = None,
    temperature: float = 295.0,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[ProbeCalibrationRun]:
    """Measure every mode of the probe with the tip withdrawn, and put the calibration in force.

    A wide sweep about each nominal resonance finds it, a narrow one measures it. With ``thermal``
    the drive is then switched off and the thermal motion recorded. What was found is recorded in
    the stream "calibration". On every way out the tip is withdrawn and the drive off; a calibration
    that fails changes nothing.

    Parameters
    ----------
    afm : Afm
        The microscope, with the figures of the probe's maker or an earlier calibration.
    method : str
        ``thermal``, or ``sweep``, which leaves the spring constants as they are.
    pixels : int, optional
        Periods of 1/df that are recorded; 1000 for thermal motion, 40 for a sweep.
    temperature : float
        Of the cantilever, K.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    ProbeCalibrationRun
        The uid of the run, and every mode with standard deviations.

    Raises
    ------
    ValueError
        Arguments out of range, nothing has moved; or a resonance is not where it is expected.
    """
    count = _checked_pixels(afm, method, pixels)
    thermal = method == "thermal"
    temperature = positive("temperature", temperature, "K")
    modes = yield from probe_modes(afm)
    check_comb(_bands(afm, modes, _SEARCH).comb(_volts(afm)), afm.lockin.comb_limits)
    arguments = {"method": method, "pixels": count, "temperature": temperature}
    of_spectra = afm_metadata(afm, "calibrate_probe", arguments, points=1)
    del of_spectra["fields"]  # sweeps and thermal motion tell no forces
    _md = {**of_spectra, **(md or {})}

    def body() -> MsgGenerator[tuple[ModeCalibration, ...]]:
        found = modes
        narrow = _bands(afm, modes, _SEARCH)
        fits: list[SweepFit] = []
        for factor in (_SEARCH, 1.0):
            narrow = _bands(afm, found, factor)
            swept = _SWEEP_PIXELS if thermal or factor > 1.0 else count
            yield from _measure(afm, narrow.comb(_volts(afm)), swept)
            spectra = afm.lockin.spectra.get()
            if not spectra.size:  # a dry run
                break
            fits = _sweep_fits(narrow, spectra)
            found = tuple(
                replace(
                    mode, frequency=fit.frequency.value, quality_factor=fit.quality_factor.value
                )
                for mode, fit in zip(modes, fits, strict=True)
            )
        if thermal:
            narrow = _bands(afm, found, 1.0)
            yield from _measure(afm, narrow.comb(0.0), count)
        yield from read_into("primary", afm.lockin, afm.head, afm.scanner)
        springs = (
            _springs(narrow, afm.lockin.spectra.get(), fits, temperature)
            if thermal and fits
            else [None] * len(fits)
        )
        result = tuple(
            ModeCalibration(fit.frequency, fit.quality_factor, spring)
            for fit, spring in zip(fits, springs, strict=True)
        )
        if result:
            yield from _put_in_force(afm, result)
        return result

    uid, result = yield from afm_run(afm, body, md=_md)
    return ProbeCalibrationRun(uid, result)


def estimate_calibration(
    afm: Afm, method: str = "thermal", *, pixels: int | None = None
) -> MsgGenerator[CalibrationEstimate]:
    """Check what `calibrate_probe` is asked to do, and say what it would take; nothing moves.

    Parameters
    ----------
    afm, method, pixels
        As of `calibrate_probe`.

    Returns
    -------
    CalibrationEstimate
        ``print`` it.

    Raises
    ------
    ValueError, devices.wire.LimitError
        As `calibrate_probe`.
    """
    count = _checked_pixels(afm, method, pixels)
    modes = yield from probe_modes(afm)
    bands = _bands(afm, modes, _SEARCH)
    total = 2 * _SWEEP_PIXELS + count if method == "thermal" else _SWEEP_PIXELS + count
    return CalibrationEstimate(len(modes), total, total / bands.df)


@dataclass(frozen=True)
class _Bands:
    """Tones about each mode, and where in the comb they are."""

    df: float
    tones: tuple[tuple[int, ...], ...]
    axes: tuple[int, ...]

    def comb(self, volts: float) -> Comb:
        """Measure all tones; drive them with `volts` each, in phases that keep the crest low."""
        tones = [tone for band in self.tones for tone in band]
        axes = [axis for band, axis in zip(self.tones, self.axes, strict=True) for _ in band]
        if not volts:
            return Comb(df=self.df, tones=tuple(tones), axes=tuple(axes))
        phases = [np.pi * k**2 / len(tones) for k in range(len(tones))]  # Newman's
        return Comb(
            df=self.df,
            tones=tuple(tones),
            axes=tuple(axes),
            drive_tones=tuple(tones),
            drive_amplitude=(volts,) * len(tones),
            drive_phase=tuple(phases),
        )

    def split(self, values: NDArray[Any]) -> list[tuple[NDArray[np.float64], NDArray[Any]]]:
        """Frequencies and values, (..., tones), of each mode."""
        ends = np.cumsum([len(band) for band in self.tones])[:-1]
        parts = np.split(values, ends, axis=-1)
        return [
            (self.df * np.asarray(band, dtype=np.float64), part)
            for band, part in zip(self.tones, parts, strict=True)
        ]


def _bands(afm: Afm, modes: Sequence[Mode], factor: float) -> _Bands:
    """Tones `factor` times the usual band about each mode; pixels as long as it takes."""
    widths = [mode.frequency / mode.quality_factor for mode in modes]
    limits = afm.lockin.comb_limits
    number = min(_MOST_TONES, limits.tones // len(modes), limits.drive_tones // len(modes))
    if number < _FEWEST_TONES:
        raise ValueError(
            f"the lock-in measures {limits.tones} tones: {len(modes)} modes need "
            f"{_FEWEST_TONES * len(modes)}"
        )
    fastest = max(mode.frequency for mode in modes)
    asked = min(max(min(widths) / _PIXELS_A_WIDTH, limits.df[0]), limits.df[1])
    _, df = afm.lockin.tune(fastest, asked)
    tones = []
    for mode, width in zip(modes, widths, strict=True):
        stride = max(1, round(2.0 * factor * _HALF_WIDTHS * width / number / df))
        middle = round(mode.frequency / df)
        tones.append(tuple(middle + stride * (k - number // 2) for k in range(number)))
    axes = tuple(TORSIONAL if mode.axis == "y" else FLEXURAL for mode in modes)
    return _Bands(df, tuple(tones), axes)


def _checked_pixels(afm: Afm, method: str, pixels: int | None) -> int:
    if method not in _PIXELS:
        raise ValueError(f"method is {method!r}: thermal or sweep")
    count = checked_count("pixels", _PIXELS[method] if pixels is None else pixels)
    if count < _FEWEST_PIXELS:
        raise ValueError(
            f"pixels is {count}: {_FEWEST_PIXELS} or more are needed to tell signal from noise"
        )
    afm.lockin.pixels.check_value(count)
    return count


def _volts(afm: Afm) -> float:
    """Of every tone of a sweep."""
    limits = afm.lockin.comb_limits
    return _DRIVE * limits.drive_amplitude / limits.drive_tones


def _measure(afm: Afm, comb: Comb, pixels: int) -> MsgGenerator[None]:
    yield from bps.mv(afm.lockin.comb, comb)
    yield from bps.mv(afm.lockin.pixels, pixels)
    yield from triggered(afm.lockin)


def _sweep_fits(bands: _Bands, spectra: NDArray[np.complex128]) -> list[SweepFit]:
    turned = spectra * np.exp(-1j * np.asarray(bands.comb(1.0).drive_phase))
    mean, pixels = turned.mean(axis=0), len(turned)
    # Thermal motion is noise too, and strongest at the resonance: each tone has its own.
    noise = np.sqrt(np.sum(np.abs(turned - mean) ** 2, axis=0) / (2.0 * pixels * (pixels - 1)))
    if not noise.all():
        return [fit_sweep(f, response) for f, response in bands.split(mean)]
    return [
        fit_sweep(f, response, noise=spread)
        for (f, response), (_, spread) in zip(bands.split(mean), bands.split(noise), strict=True)
    ]


def _springs(
    bands: _Bands,
    spectra: NDArray[np.complex128],
    fits: Sequence[SweepFit],
    temperature: float,
) -> list[Estimate | None]:
    """Spring constants by the thermal motion; None of those that it does not tell well."""
    duration = 1.0 / bands.df
    density = np.mean(np.abs(spectra) ** 2, axis=0) * duration / 2.0
    springs: list[Estimate | None] = []
    for (f, seen), fit in zip(bands.split(density), fits, strict=True):
        resonance = (fit.frequency.value, fit.quality_factor.value)
        relative = fit.quality_factor.deviation / fit.quality_factor.value
        try:
            found = fit_thermal(
                f,
                seen,
                len(spectra),
                temperature=temperature,
                duration=duration,
                resonance=resonance,
            ).spring_constant
        except CalibrationError:  # below the noise
            springs.append(None)
            continue
        deviation = float(np.hypot(found.deviation, relative * found.value))
        good = deviation < _GOOD * found.value
        springs.append(Estimate(found.value, deviation) if good else None)
    return springs


_PIXELS = {"thermal": 1000, "sweep": _SWEEP_PIXELS}


def _put_in_force(afm: Afm, found: Sequence[ModeCalibration]) -> MsgGenerator[None]:
    """Set the calibration, and record it with its standard deviations."""
    before = afm.probe.calibration.get()
    springs = [mode.spring_constant for mode in found]
    calibration = replace(
        before,
        resonance_frequency=tuple(mode.frequency.value for mode in found),
        quality_factor=tuple(mode.quality_factor.value for mode in found),
        spring_constant=tuple(
            old if new is None else new.value
            for old, new in zip(before.spring_constant, springs, strict=True)
        ),
    )
    yield from bps.mv(afm.probe.calibration, calibration)
    spreads = {
        afm.probe.resonance_frequency: [mode.frequency.deviation for mode in found],
        afm.probe.quality_factor: [mode.quality_factor.deviation for mode in found],
        afm.probe.spring_constant: [0.0 if k is None else k.deviation for k in springs],
    }
    recorded = [
        device
        for signal, values in spreads.items()
        for device in (signal, Signal(name=f"{signal.name}_deviation", value=values))
    ]
    yield from read_into("calibration", *recorded)
