"""What an intermodulation run tells, rebuilt from the documents of its analysis run alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._analysis_tables import AnalysisTables
from .._columns import real
from .curve import Bands, ForceCurve, Verdict
from .lateral import LateralForces
from .measurement import Measurement
from .modes import Mode
from .tables import MAPPED

__all__ = [
    "EventField",
    "IntermodulationResult",
    "MeanSpectrum",
    "PixelCurve",
    "result_from_documents",
]

_AXES = ("z", "y")


@dataclass(frozen=True, eq=False)
class MeanSpectrum:
    """The mean spectrum of an event of the raw run.

    Parameters
    ----------
    seq_num : int
        Number of the event.
    lifted : bool
        Whether the tip was away from the surface: a free spectrum.
    pixels : int
        Of which the mean is.
    tones : ndarray of complex, shape (K,)
        m.
    noise : ndarray, shape (K,)
        Standard deviation of the real and the imaginary part of `tones`, m; NaN where one pixel
        alone cannot tell.
    """

    seq_num: int
    lifted: bool
    pixels: int
    tones: NDArray[np.complex128]
    noise: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PixelCurve:
    """The force curve of an event of the raw run.

    Parameters
    ----------
    seq_num : int
        Number of the event.
    pixel : int
        Which of its pixels; -1 for the mean of all.
    curve : ForceCurve
    height : float or None
        Of the resting tip above the surface, m, as the approach found it.
    """

    seq_num: int
    pixel: int
    curve: ForceCurve
    height: float | None = None


@dataclass(frozen=True, eq=False)
class EventField:
    """The force field along z and y of an event of the raw run.

    Parameters
    ----------
    seq_num : int
        Number of the event.
    forces : LateralForces
    """

    seq_num: int
    forces: LateralForces


@dataclass(frozen=True, eq=False)
class IntermodulationResult:
    """All that an intermodulation run tells.

    Parameters
    ----------
    raw_uid : str
        The run that was analysed.
    df : float
        Hz.
    tones : ndarray of int, shape (K,)
        Multiples of `df`.
    axes : tuple of {"z", "y"}, shape (K,)
    modes : tuple of Mode
    spectra : tuple of MeanSpectrum
        In the order of the run.
    curves : tuple of PixelCurve
        In the order of the run.
    fields : tuple of EventField
        In the order of the run; of probes whose torsional mode is measured.
    maps : mapping of str to ndarray, shape (rows, columns)
        By the names of `tables.MAPPED`, in their units; empty unless the run is a map. NaN where
        a row was not reached or nothing was found.
    note : str
        What could not be found.
    """

    raw_uid: str
    df: float
    tones: NDArray[np.int64]
    axes: tuple[str, ...]
    modes: tuple[Mode, ...]
    spectra: tuple[MeanSpectrum, ...]
    curves: tuple[PixelCurve, ...]
    fields: tuple[EventField, ...]
    maps: Mapping[str, NDArray[np.float64]]
    note: str = ""

    def measurement(self, seq_num: int | None = None, height: float | None = None) -> Measurement:
        """Return the engaged spectrum of an event with the free one before it.

        Parameters
        ----------
        seq_num : int, optional
            Number of the event; the first engaged one by default.
        height : float, optional
            Of the resting tip, m.

        Raises
        ------
        ValueError
            If there is no such spectrum, or none of the free cantilever before it.
        """
        engaged = [s for s in self.spectra if not s.lifted and seq_num in (None, s.seq_num)]
        if not engaged:
            raise ValueError(f"event {'' if seq_num is None else seq_num} is no engaged spectrum")
        free = [s for s in self.spectra if s.lifted and s.seq_num < engaged[0].seq_num]
        if not free:
            raise ValueError("no free spectrum was measured before the engaged one")
        return Measurement(
            tones=self.tones,
            free=free[-1].tones,
            engaged=engaged[0].tones,
            noise=np.nan_to_num(engaged[0].noise),
            modes=self.modes,
            df=self.df,
            height=height,
            axes=self.axes,
            free_noise=np.nan_to_num(free[-1].noise),
        )


def result_from_documents(
    documents: Iterable[tuple[str, Mapping[str, Any]]],
) -> IntermodulationResult:
    """Rebuild the result from the documents of an analysis run alone.

    Parameters
    ----------
    documents : iterable of (name, document)
        The analysis run, from the live callback, the journal or the catalog.

    Raises
    ------
    ValueError
        If they are no analysis of an intermodulation run, or that analysis failed or is empty.
    """
    found = AnalysisTables.read(documents, "intermodulation", "analysis of an intermodulation run")
    if "comb" not in found.events:
        raise ValueError("the analysis was cut short: it holds no spectra")
    comb = found.rows("comb")[0]
    return IntermodulationResult(
        raw_uid=found.raw_uid,
        df=real(comb, "df"),
        tones=np.array(comb["tone"], dtype=np.int64),
        axes=tuple(_AXES[int(lateral)] for lateral in comb["lateral"]),
        modes=_modes(comb),
        spectra=tuple(_spectrum(row) for row in found.rows("spectrum")),
        curves=tuple(_curve(row) for row in found.rows("curve")),
        fields=tuple(_field(row) for row in found.rows("field")),
        maps=_maps(found.rows("line")),
        note=found.note,
    )


def _numbers(row: Mapping[str, Any], key: str) -> NDArray[np.float64]:
    """Return a column of numbers; a table service may return what it holds as NaN as None."""
    return np.array([np.nan if value is None else value for value in row[key]], dtype=float)


def _modes(comb: Mapping[str, Any]) -> tuple[Mode, ...]:
    columns = ("mode_frequency", "mode_quality_factor", "mode_spring_constant")
    numbers = zip(*(_numbers(comb, key) for key in columns), strict=True)
    return tuple(
        Mode(*map(float, values), axis=_AXES[int(lateral)])
        for values, lateral in zip(numbers, comb["mode_lateral"], strict=True)
    )


def _spectrum(row: Mapping[str, Any]) -> MeanSpectrum:
    return MeanSpectrum(
        seq_num=int(row["raw_seq_num"]),
        lifted=bool(row["lifted"]),
        pixels=int(row["pixels"]),
        tones=_numbers(row, "tone_real") + 1j * _numbers(row, "tone_imag"),
        noise=_numbers(row, "noise"),
    )


def _curve(row: Mapping[str, Any]) -> PixelCurve:
    spread = _numbers(row, "conservative_stderr"), _numbers(row, "damping_stderr")
    cubic = _numbers(row, "cubic_damping")
    reason = str(row["reason"] or "")
    curve = ForceCurve(
        z=_numbers(row, "z"),
        conservative=_numbers(row, "conservative"),
        damping=_numbers(row, "damping"),
        cubic_damping=None if np.isnan(cubic).all() else cubic,
        bands=None if np.isnan(spread[0]).all() else Bands(*spread),
        chi2=real(row, "chi2"),
        degrees_of_freedom=int(row["degrees_of_freedom"]),
        verdict=Verdict(bool(row["valid"]), (reason,) if reason else ()),
    )
    height = real(row, "height")
    known = None if np.isnan(height) else height
    return PixelCurve(int(row["raw_seq_num"]), int(row["pixel"]), curve, known)


def _field(row: Mapping[str, Any]) -> EventField:
    z, y = _numbers(row, "z"), _numbers(row, "y")

    def grid(key: str) -> NDArray[np.float64]:
        return _numbers(row, key).reshape(z.size, y.size)

    def spread(key: str) -> NDArray[np.float64] | None:
        values = grid(key)
        return None if np.isnan(values).all() else values

    def verdict(axis: str) -> Verdict:
        reason = str(row[f"reason_{axis}"] or "")
        return Verdict(bool(row[f"valid_{axis}"]), (reason,) if reason else ())

    forces = LateralForces(
        z=z,
        y=y,
        force_z=grid("force_z"),
        force_y=grid("force_y"),
        force_z_std=spread("force_z_stderr"),
        force_y_std=spread("force_y_stderr"),
        visited=grid("visited") != 0.0,
        y_degrees=(int(row["y_degree_z"]), int(row["y_degree_y"])),
        verdict_z=verdict("z"),
        verdict_y=verdict("y"),
    )
    return EventField(int(row["raw_seq_num"]), forces)


def _maps(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    if not rows:
        return {}
    shape = (max(int(row["row"]) for row in rows) + 1, len(rows[0]["topography"]))
    maps = {name: np.full(shape, np.nan) for name in MAPPED}
    for row in rows:
        for name, values in maps.items():
            values[int(row["row"])] = _numbers(row, name)
    return maps
