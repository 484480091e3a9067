"""How well is a force told from tones alone, beside the polynomial of the paper?

Surfaces of many kinds, nothing but the tones told to either method; noise is that of one period at
300 K with a white detector. Both methods see the same draws, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from analysis.intermodulation import ForceCurve, Measurement
from analysis.intermodulation.generic import reconstruct
from analysis.intermodulation.lateral import LateralForces, reconstruct_lateral
from analysis.intermodulation.motion import motion
from analysis.intermodulation.polynomial import reconstruct_polynomial
from benchmarks._generic_cases import CURVES, FIELDS, HELD_OUT, noisy
from benchmarks._reconstruction_cases import Case
from benchmarks.tables import Table

__all__ = ["curve_rows", "measure"]

_DETECTORS = (0.0, 20e-15, 100e-15)
_COLUMNS = [
    "force",
    "detector (fm/√Hz)",
    "conservative error, polynomial",
    "generic",
    "dissipative error, polynomial",
    "generic",
    "90 % band holds, conservative",
    "damping",
    "verdict ok",
    "ok, though the polynomial is better",
    "s a pixel, polynomial",
    "generic",
]
_QUANTILE = 1.645  # 90 % of a normal distribution lie within


def measure(draws: int = 24) -> Iterable[Table]:
    """Yield the tables of curves, those held out too, and of fields."""
    several, few = max(1, draws // 3), max(1, draws // 8)
    yield Table(
        title="A force along z from tones alone",
        columns=_COLUMNS,
        rows=[
            row
            for number, make in enumerate(CURVES.items())
            for row in curve_rows(*make, several if number else draws)
        ],
        notes=f"Medians of {draws} draws of one period for the paper's force, of {several} for the "
        "others (1 without noise); errors are relative rms "
        "over the visited deflections below rest, the dissipative one of F(0.2 v_max) - F(0). The "
        "polynomial is of degree 21, both bands, unweighted. Bands are counted where the verdict "
        "is ok. Aims for the paper's force: 3.5 % / 12 % at 100 fm/√Hz, 2.6 % / 7 % at 20.",
    )
    yield Table(
        title="A force along z from tones alone, held out",
        columns=_COLUMNS,
        rows=[row for make in HELD_OUT.items() for row in curve_rows(*make, few)],
        notes=f"As above, {few} draws, over surfaces for none of which a constant was chosen.",
    )
    yield Table(
        title="A force along z and y from tones alone",
        columns=[
            "force",
            "detector (fm/√Hz)",
            "F_z error, polynomial",
            "generic",
            "F_y error, polynomial",
            "generic",
            "90 % band holds, F_z",
            "F_y",
            "verdict ok",
            "ok, though the polynomial is better",
            "s a pixel, polynomial",
            "generic",
        ],
        rows=[row for name in FIELDS for row in _field_rows(name, few)],
        notes="As above, over the cells where the motion came by; 48 tones a band; the polynomial "
        "has powers up to 21 of z, of y as many as it asks for itself.",
    )


def curve_rows(name: str, make: Callable[[], Case], draws: int) -> list[list[str]]:
    """Return the rows of a force along z."""
    found = make()
    rows = []
    for detector in _DETECTORS:
        trials = [
            _curve_trial(found, noisy(found.measurement, detector, np.random.default_rng(seed)))
            for seed in range(draws if detector else 1)
        ]
        rows.append(_row(name, detector, np.array(trials)))
    return rows


def _curve_trial(found: Case, measurement: Measurement) -> list[float]:
    begin = time.thread_time()
    polynomial = reconstruct_polynomial(measurement)
    middle = time.thread_time()
    generic = reconstruct(measurement)
    end = time.thread_time()
    assert isinstance(generic, ForceCurve)
    conservative, damping = _coverage(found, generic)
    errors = list(zip(_errors(found, polynomial), _errors(found, generic), strict=True))
    return [
        *[error for pair in errors for error in pair],
        conservative,
        damping,
        float(generic.verdict.ok),
        _lost(errors, generic.verdict.ok),
        middle - begin,
        end - middle,
    ]


def _errors(found: Case, curve: ForceCurve) -> tuple[float, float]:
    z = np.linspace(curve.z[0], 0.0, 2001)
    velocity = 0.2 * float(motion(found.measurement).velocity.max())
    still, moving = found.force_z(z), found.force_z(z, velocity) - found.force_z(z)
    off = curve.force(z) - still
    damped = curve.force(z, velocity) - curve.force(z) - moving
    return (
        float(np.linalg.norm(off) / np.linalg.norm(still)),
        float(np.linalg.norm(damped) / np.linalg.norm(moving)),
    )


def _coverage(found: Case, curve: ForceCurve) -> tuple[float, float]:
    """Return the parts of z where the 90 % bands hold the conservative force and the damping."""
    if curve.bands is None:
        return 0.0, 0.0
    off = curve.conservative - found.force_z(curve.z)
    slow = 1e-6  # m/s: so slow that damping is linear
    true = -(found.force_z(curve.z, slow) - found.force_z(curve.z, -slow)) / (2.0 * slow)
    return (
        float(np.mean(np.abs(off) <= _QUANTILE * curve.bands.conservative)),
        float(np.mean(np.abs(curve.damping - true) <= _QUANTILE * curve.bands.damping)),
    )


def _lost(errors: list[tuple[float, float]], ok: bool) -> float:
    """Return whether the polynomial is better in something, and the verdict does not warn."""
    return float(ok and any(polynomial < generic for polynomial, generic in errors))


def _field_rows(name: str, draws: int) -> list[list[str]]:
    found = FIELDS[name]()
    rows = []
    for detector in _DETECTORS:
        trials = [
            _field_trial(found, noisy(found.measurement, detector, np.random.default_rng(seed)))
            for seed in range(draws if detector else 1)
        ]
        rows.append(_row(name, detector, np.array(trials)))
    return rows


def _field_trial(found: Case, measurement: Measurement) -> list[float]:
    begin = time.thread_time()
    polynomial = reconstruct_lateral(measurement)
    middle = time.thread_time()
    generic = reconstruct(measurement)
    end = time.thread_time()
    assert isinstance(generic, LateralForces)
    true = found.field(generic.z[:, None], generic.y[None, :])
    seen = generic.visited
    held = []
    for value, spread, component in zip(
        (generic.force_z, generic.force_y),
        (generic.force_z_std, generic.force_y_std),
        true,
        strict=True,
    ):
        off = np.abs(value - component)[seen]
        held.append(0.0 if spread is None else float(np.mean(off <= _QUANTILE * spread[seen])))
    errors = list(zip(_field_errors(found, polynomial), _field_errors(found, generic), strict=True))
    ok = generic.verdict_z.ok and generic.verdict_y.ok
    return [
        *[error for pair in errors for error in pair],
        *held,
        float(ok),
        _lost(errors, ok),
        middle - begin,
        end - middle,
    ]


def _field_errors(found: Case, forces: LateralForces) -> list[float]:
    true = found.field(forces.z[:, None], forces.y[None, :])
    errors = []
    for value, component in zip((forces.force_z, forces.force_y), true, strict=True):
        wanted = np.broadcast_to(component, value.shape)[forces.visited]
        off = value[forces.visited] - wanted
        errors.append(float(np.linalg.norm(off) / np.linalg.norm(wanted)))
    return errors


def _row(name: str, detector: float, trials: np.ndarray) -> list[str]:
    """Return medians of errors and times, means of coverage and verdicts."""
    middle, mean = np.median(trials, axis=0), np.mean(trials, axis=0)
    sure = trials[trials[:, 6] > 0.0]
    errors = [f"{100 * value:.1f} %" for value in middle[:4]]
    held = (
        [f"{100 * value:.0f} %" for value in sure[:, 4:6].mean(axis=0)] if sure.size else 2 * ["-"]
    )
    shares = [f"{100 * value:.0f} %" for value in mean[6:8]]
    times = [f"{value:.2f}" for value in middle[8:]]
    density = f"{detector * 1e15:.0f}" if detector else "no noise"
    return [name, density, *errors, *held, *shares, *times]
