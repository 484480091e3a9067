"""The frequency comb of a multifrequency lock-in: what is driven and what is measured.

All frequencies are whole multiples of one base frequency df, and a pixel is one period 1/df long:
then no tone leaks into another (Hutter, Platz et al., "Reconstructing nonlinearities with
intermodulation spectroscopy", PRL 104, 050801 (2010)). A comb is set whole or refused whole.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.wire import LimitError

__all__ = ["FLEXURAL", "TORSIONAL", "Comb", "CombLimits", "check_comb"]

FLEXURAL = 0
TORSIONAL = 1
_AXES = {FLEXURAL: "flexural", TORSIONAL: "torsional"}
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comb:
    """A comb. Sequences are kept as tuples; what is no number of the right kind is refused.

    Parameters
    ----------
    df : float
        Base frequency, Hz.
    tones : tuple of int
        The measured tones, as multiples of `df`; each once an axis.
    drive_tones : tuple of int
        The driven tones, as multiples of `df`; none measures what the cantilever does by itself.
    drive_amplitude : tuple of float
        Peak amplitude of each driven tone, V.
    drive_phase : tuple of float, optional
        Phase of each driven tone, rad: the output is sum_k A_k cos(2 pi n_k df t + phase_k). All 0
        by default.
    axes : tuple of int, optional
        Which signal of the detector each tone is measured in: 0 flexural, 1 torsional. All
        flexural by default.

    Raises
    ------
    LimitError
        Numbers that no lock-in could take: not whole, not finite, duplicate, of unequal length.
    """

    df: float
    tones: tuple[int, ...]
    drive_tones: tuple[int, ...] = ()
    drive_amplitude: tuple[float, ...] = ()
    drive_phase: tuple[float, ...] = ()
    axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        (df,) = _numbers("df", (self.df,))
        tones = _whole("tones", self.tones)
        drive_tones = _whole("drive tones", self.drive_tones)
        axes = _whole("axes", self.axes, least=FLEXURAL) or (FLEXURAL,) * len(tones)
        amplitude = _numbers("drive amplitudes", self.drive_amplitude)
        phase = _numbers("drive phases", self.drive_phase) or (0.0,) * len(drive_tones)
        if not df > 0:
            raise LimitError(f"comb df {df:g} Hz is not allowed: give a frequency above 0")
        if not tones:
            raise LimitError("a comb without tones measures nothing: give at least one tone")
        if any(axis not in _AXES for axis in axes):
            raise LimitError(f"comb axes {_some(axes)} are not allowed: 0 flexural, 1 torsional")
        _same_length("axes", axes, "tones", tones)
        _same_length("drive amplitudes", amplitude, "drive tones", drive_tones)
        _same_length("drive phases", phase, "drive tones", drive_tones)
        if len(set(drive_tones)) < len(drive_tones):
            raise LimitError(f"drive tones {_twice(drive_tones)} come twice: give each once")
        if len(set(zip(tones, axes, strict=True))) < len(tones):
            raise LimitError(f"tones {_twice(tones)} come twice on one axis: give each once")
        values = {
            "df": df,
            "tones": tones,
            "drive_tones": drive_tones,
            "drive_amplitude": amplitude,
            "drive_phase": phase,
            "axes": axes,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Frequencies of the measured tones, Hz."""
        return tuple(tone * self.df for tone in self.tones)

    def driven(self, axis: int = FLEXURAL) -> tuple[int, ...]:
        """Return the indices of the measured tones of `axis` that are driven as well."""
        driven = set(self.drive_tones)
        pairs = enumerate(zip(self.tones, self.axes, strict=True))
        return tuple(index for index, (tone, on) in pairs if on == axis and tone in driven)

    def to_wire(self) -> dict[str, Any]:
        """Return the comb as plain numbers and lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_wire(cls, values: object) -> Comb:
        """Read a comb from plain numbers and lists.

        Raises
        ------
        LimitError
            When `values` is no comb.
        """
        if isinstance(values, cls):
            return values
        names = set(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or not {"df", "tones"} <= set(values) <= names:
            raise LimitError(
                "a comb is df and tones, and if it drives drive_tones, drive_amplitude and "
                f"drive_phase, and axes: got {str(values)[:60]}"
            )
        return cls(**values)


@dataclass(frozen=True)
class CombLimits:
    """What a lock-in can do.

    Parameters
    ----------
    tones, drive_tones : int
        Greatest number of tones measured, all axes together, and driven.
    df, frequency : tuple of float
        Ranges, Hz; the frequency is that of any tone.
    drive_amplitude : float
        Greatest sum of the drive amplitudes, V: above it the output clips.
    pixels : int
        Greatest number of pixels of one acquisition.
    """

    tones: int
    drive_tones: int
    df: tuple[float, float]
    frequency: tuple[float, float]
    drive_amplitude: float
    pixels: int

    def to_wire(self) -> dict[str, Any]:
        """Return the limits as plain numbers and lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_wire(cls, values: Mapping[str, Any]) -> CombLimits:
        """Read limits from plain numbers and lists."""
        return cls(
            tones=int(values["tones"]),
            drive_tones=int(values["drive_tones"]),
            df=(float(values["df"][0]), float(values["df"][1])),
            frequency=(float(values["frequency"][0]), float(values["frequency"][1])),
            drive_amplitude=float(values["drive_amplitude"]),
            pixels=int(values["pixels"]),
        )


def check_comb(comb: Comb, limits: CombLimits) -> None:
    """Refuse a comb that the lock-in of `limits` cannot do.

    Raises
    ------
    LimitError
        Names the first limit that is broken.
    """
    for what, tones, most in (
        ("tones", comb.tones, limits.tones),
        ("drive tones", comb.drive_tones, limits.drive_tones),
    ):
        if len(tones) > most:
            raise LimitError(f"comb has {len(tones)} {what}: the lock-in has {most} at most")
    _in_range("df", comb.df, limits.df)
    for what, tones in (("tone", comb.tones), ("drive tone", comb.drive_tones)):
        for tone in tones:
            _in_range(f"{what} {tone} at", tone * comb.df, limits.frequency)
    if any(amplitude < 0 for amplitude in comb.drive_amplitude):
        raise LimitError("comb drive amplitudes below 0 V are not allowed: shift the phase by pi")
    total = sum(comb.drive_amplitude)
    if total > limits.drive_amplitude * (1.0 + _ROUNDING):
        raise LimitError(
            f"comb drive amplitudes sum to {total:.4g} V: the output clips above "
            f"{limits.drive_amplitude:.4g} V"
        )


def _in_range(what: str, value: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if not low * (1.0 - _ROUNDING) <= value <= high * (1.0 + _ROUNDING):
        raise LimitError(f"comb {what} {value:.9g} Hz is outside {low:.9g}..{high:.9g} Hz")


def _items(what: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise LimitError(f"comb {what} {values!r} are not a sequence of numbers")
    return tuple(values)


def _whole(what: str, values: object, least: int = 1) -> tuple[int, ...]:
    items = _items(what, values)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, numbers.Integral) or item < least:
            raise LimitError(f"comb {what} hold {item!r}: give whole numbers, {least} or more")
    return tuple(int(item) for item in items)


def _numbers(what: str, values: object) -> tuple[float, ...]:
    items = _items(what, values)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, numbers.Real) or not math.isfinite(item):
            raise LimitError(f"comb {what} hold {item!r}: give finite numbers")
    return tuple(float(item) for item in items)


def _same_length(what: str, values: tuple[Any, ...], of: str, tones: tuple[int, ...]) -> None:
    if len(values) != len(tones):
        raise LimitError(f"comb has {len(values)} {what} for {len(tones)} {of}: give one each")


def _some(values: tuple[int, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:5])
    return shown + (", ..." if len(values) > 5 else "")


def _twice(tones: tuple[int, ...]) -> str:
    return _some(tuple(sorted({tone for tone in tones if tones.count(tone) > 1})))
