"""The tables of an intermodulation analysis run: which columns they have, and how they are filled.

One place knows the columns, so that what the live callback writes is what the result is read from.
Complex tones are two columns, real and imaginary part; all is in SI units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._columns import boolean, integer, number, string
from .curve import ForceCurve
from .lateral import LateralForces
from .modes import Mode
from .parametric import ParametricMap

__all__ = [
    "HINTS",
    "MAPPED",
    "comb_keys",
    "comb_row",
    "curve_keys",
    "curve_row",
    "field_keys",
    "field_row",
    "line_keys",
    "line_row",
    "plain",
    "spectrum_keys",
    "spectrum_row",
]

# What a line of a map holds for every pixel, with its unit: the topography, the parameters of the
# law, chi-square per degree of freedom, misfit as a part of the force, and its `PixelVerdict`.
MAPPED: Mapping[str, str] = {
    "topography": "m",
    "topography_stderr": "m",
    "adhesion": "N",
    "adhesion_stderr": "N",
    "modulus": "Pa",
    "modulus_stderr": "Pa",
    "damping": "N s/m",
    "damping_stderr": "N s/m",
    "chi2": "",
    "misfit": "",
    "verdict": "",
}

HINTS: Mapping[str, list[str]] = {
    "comb": ["df"],
    "spectrum": ["raw_seq_num", "lifted"],
    "curve": ["raw_seq_num", "chi2", "valid"],
    "field": ["raw_seq_num", "valid"],
    "line": ["raw_seq_num", "row"],
}


def _array(units: str, length: int, kind: str = "<f8") -> dict[str, Any]:
    key: dict[str, Any] = {
        "source": "analysis",
        "dtype": "array",
        "dtype_numpy": kind,
        "shape": [length],
    }
    return {**key, "units": units} if units else key


def plain(values: NDArray[Any]) -> list[Any]:
    """Return an array as documents hold it."""
    return np.asarray(values).tolist()


def comb_keys(tones: int, modes: int) -> dict[str, Any]:
    """Columns of the one row that says what was measured with what."""
    return {
        "df": number("Hz", 3),
        "tone": _array("", tones, "<i8"),
        "lateral": _array("", tones, "<i8"),
        "mode_frequency": _array("Hz", modes),
        "mode_quality_factor": _array("", modes),
        "mode_spring_constant": _array("N/m", modes),
        "mode_lateral": _array("", modes, "<i8"),
    }


def comb_row(
    df: float, tones: Sequence[int], axes: Sequence[int], modes: Sequence[Mode]
) -> dict[str, Any]:
    """The row of `comb_keys`; axes are 0 for the flexural signal, 1 for the torsional one."""
    return {
        "df": df,
        "tone": list(tones),
        "lateral": list(axes),
        "mode_frequency": [mode.frequency for mode in modes],
        "mode_quality_factor": [mode.quality_factor for mode in modes],
        "mode_spring_constant": [mode.spring_constant for mode in modes],
        "mode_lateral": [int(mode.axis == "y") for mode in modes],
    }


def spectrum_keys(tones: int) -> dict[str, Any]:
    """Columns of the mean spectrum of an event of the raw run."""
    return {
        "raw_seq_num": integer(),
        "lifted": boolean(),
        "pixels": integer(),
        "tone_real": _array("m", tones),
        "tone_imag": _array("m", tones),
        "noise": _array("m", tones),
    }


def spectrum_row(
    seq_num: int,
    lifted: bool,
    pixels: int,
    mean: NDArray[np.complex128],
    noise: NDArray[np.float64],
) -> dict[str, Any]:
    """A row of `spectrum_keys`; the noise is that of the mean."""
    return {
        "raw_seq_num": seq_num,
        "lifted": lifted,
        "pixels": pixels,
        "tone_real": plain(mean.real),
        "tone_imag": plain(mean.imag),
        "noise": plain(noise),
    }


def curve_keys(points: int) -> dict[str, Any]:
    """Columns of a force curve of `points` deflections."""
    return {
        "raw_seq_num": integer(),
        "pixel": integer(),
        "height": number("m", 12),
        "z": _array("m", points),
        "conservative": _array("N", points),
        "conservative_stderr": _array("N", points),
        "damping": _array("N s/m", points),
        "damping_stderr": _array("N s/m", points),
        "cubic_damping": _array("N s³/m³", points),
        "chi2": number("", 1),
        "degrees_of_freedom": integer(),
        "valid": boolean(),
        "reason": string(),
    }


def curve_row(
    seq_num: int, pixel: int, curve: ForceCurve, points: int, height: float | None
) -> dict[str, Any]:
    """A row of `curve_keys`: the curve at `points` deflections, evenly from the lowest to 0."""
    z = np.linspace(curve.z[0], curve.z[-1], points)

    def at(values: NDArray[np.float64] | None) -> list[float]:
        return [np.nan] * points if values is None else plain(np.interp(z, curve.z, values))

    bands = curve.bands
    return {
        "raw_seq_num": seq_num,
        "pixel": pixel,
        "height": np.nan if height is None else height,
        "z": plain(z),
        "conservative": at(curve.conservative),
        "conservative_stderr": at(None if bands is None else bands.conservative),
        "damping": at(curve.damping),
        "damping_stderr": at(None if bands is None else bands.damping),
        "cubic_damping": at(curve.cubic_damping),
        "chi2": float(curve.chi2),
        "degrees_of_freedom": int(curve.degrees_of_freedom),
        "valid": bool(curve.verdict.ok),
        "reason": "; ".join(curve.verdict.reasons),
    }


def field_keys(shape: tuple[int, int]) -> dict[str, Any]:
    """Columns of a force field on a grid of (z, y), the fields row by row."""
    points = shape[0] * shape[1]
    return {
        "raw_seq_num": integer(),
        "z": _array("m", shape[0]),
        "y": _array("m", shape[1]),
        "force_z": _array("N", points),
        "force_z_stderr": _array("N", points),
        "force_y": _array("N", points),
        "force_y_stderr": _array("N", points),
        "visited": _array("", points, "<i8"),
        "y_degree_z": integer(),
        "y_degree_y": integer(),
        "valid": boolean(),
        "valid_z": boolean(),
        "reason_z": string(),
        "valid_y": boolean(),
        "reason_y": string(),
    }


def field_row(seq_num: int, field: LateralForces, shape: tuple[int, int]) -> dict[str, Any]:
    """A row of `field_keys`: of the grid of `field`, about `shape` of its points evenly."""
    rows, columns = (
        np.linspace(0, grid.size - 1, points).round().astype(int)
        for grid, points in zip((field.z, field.y), shape, strict=True)
    )

    def at(values: NDArray[Any] | None) -> list[Any]:
        if values is None:
            return [np.nan] * (rows.size * columns.size)
        return plain(values[np.ix_(rows, columns)].ravel())

    return {
        "raw_seq_num": seq_num,
        "z": plain(field.z[rows]),
        "y": plain(field.y[columns]),
        "force_z": at(field.force_z),
        "force_z_stderr": at(field.force_z_std),
        "force_y": at(field.force_y),
        "force_y_stderr": at(field.force_y_std),
        "visited": at(field.visited.astype(int)),
        "y_degree_z": field.y_degrees[0],
        "y_degree_y": field.y_degrees[1],
        "valid": bool(field.verdict_z.ok and field.verdict_y.ok),
        "valid_z": bool(field.verdict_z.ok),
        "reason_z": "; ".join(field.verdict_z.reasons),
        "valid_y": bool(field.verdict_y.ok),
        "reason_y": "; ".join(field.verdict_y.reasons),
    }


def line_keys(pixels: int) -> dict[str, Any]:
    """Columns of a line of a map of `pixels` pixels."""
    return {
        "raw_seq_num": integer(),
        "row": integer(),
        **{name: _array(unit, pixels) for name, unit in MAPPED.items()},
    }


def line_row(
    seq_num: int, row: int, head_z: NDArray[np.float64], found: ParametricMap
) -> dict[str, Any]:
    """A row of `line_keys`; the surface lies the tip's height below the head, shape (pixels,)."""

    def of(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        place = found.names.index(name)
        return found.values[:, place], found.deviations[:, place]

    height, height_stderr = of("height")
    modulus, modulus_stderr = of("modulus")
    damping, damping_stderr = of("linear")
    columns = {
        "topography": head_z - height,
        "topography_stderr": height_stderr,
        "adhesion": found.adhesion,
        "adhesion_stderr": found.adhesion_deviation,
        "modulus": modulus,
        "modulus_stderr": modulus_stderr,
        "damping": damping,
        "damping_stderr": damping_stderr,
        "chi2": found.chi2 / found.degrees_of_freedom,
        "misfit": found.misfit,
        "verdict": found.verdict.astype(float),
    }
    numbers = {name: plain(values) for name, values in columns.items()}
    return {"raw_seq_num": seq_num, "row": row, **numbers}
