"""Is the force between tip and surface found from its tones, and how soon?

The two cases of Borysov et al., section IV, simulated with the exact engine, of which the force is
known. Errors are relative rms over the deflections from the lowest to the rest point; the
dissipative force is judged at a fifth of the largest velocity, the lateral one at a fifth of the
largest lateral deflection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.intermodulation import Measurement
from analysis.intermodulation.lateral import reconstruct_lateral
from analysis.intermodulation.polynomial import reconstruct_naive, reconstruct_polynomial
from benchmarks._reconstruction_cases import Case, case
from benchmarks._reconstruction_drives import better_beat, threshold_dissipation
from benchmarks._reconstruction_speed import speed
from benchmarks.tables import Table
from sim.cantilever.paper import case_1, case_2

__all__ = ["measure"]

_CUBIC_DAMPING = (0.0, 1e-5, 1e-4)
_CUBIC_SPRING = (0.0, 1e17)
_TONES = 24
_SCAN = (4, 6, 8, 10, 11, 12, 14, 16, 20, 24)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _fidelity(cases: dict[float, Case]) -> Table:
    bands = {"1": (0,), "2": (1,), "1 and 2": (0, 1)}
    rows = []
    for cubic, known in cases.items():
        own = known.select(_TONES)
        for name, numbers in bands.items():
            places = np.concatenate([own.bands()[number] for number in numbers])
            plain, completed = (
                known.errors(reconstruct_polynomial(own, equation_tones=places, completions=passes))
                for passes in (0, 2)
            )
            rows.append([f"{cubic:g}", name, *map(_percent, (*plain, *completed))])
    return Table(
        title=f"Two flexural modes, {_TONES} tones a band, degree 21",
        columns=[
            "gamma_3, kg s/m²",
            "equations from band",
            "conservative, %",
            "dissipative, %",
            "conservative, completed, %",
            "dissipative, completed, %",
        ],
        rows=rows,
        notes="Aimed at: conservative 3.6 (0) and 5.8 (1e-4), dissipative 3.1 (0), dissipative "
        "completed 1 (0). Damping is linear in the model: where gamma_3 is not 0 the dissipative "
        "force cannot be right. Completed: tones outside of the bands estimated in two passes, and "
        "the damping by evidence instead of a polynomial.",
    )


def _equations(known: Case, own: Measurement, band: int, tones: int) -> NDArray[np.int64]:
    places = own.bands()[band]
    first = places.size // 2 - tones // 2
    return places[first : first + tones]


def _drop(cases: dict[float, Case]) -> Table:
    rows = []
    for tones in _SCAN:
        row = [str(tones)]
        for known in (cases[0.0], cases[1e-4]):
            own = known.select(_TONES)
            for band in (0, 1):
                places = _equations(known, own, band, tones)
                row.append(_percent(known.errors(reconstruct_naive(own, equation_tones=places))[0]))
        rows.append(row)
    return Table(
        title="Error of the conservative force by the number of tones, as fig. 8",
        columns=[
            "tones",
            "gamma_3 = 0, band 1, %",
            "gamma_3 = 0, band 2, %",
            "gamma_3 = 1e-4, band 1, %",
            "gamma_3 = 1e-4, band 2, %",
        ],
        rows=rows,
        notes="22 unknowns: real and imaginary parts of 11 tones. Fewer are solved by the "
        "pseudo-inverse here, and refused by `reconstruct_polynomial`.",
    )


def _lateral() -> Table:
    rows = []
    for cubic in _CUBIC_SPRING:
        known = case(*case_2(cubic))
        whole, both = known.whole_motion, known.measurement
        small = np.concatenate([known.band(0, _TONES), known.band(1, _TONES)])
        runs = {
            "24, whole motion, z^21 and z^20 y^3": reconstruct_lateral(
                both, y_degrees=(0, 3), path=whole, equation_tones=small
            ),
            "24, whole motion, both z^21 y^3": reconstruct_lateral(
                both, y_degrees=(2, 3), path=whole, equation_tones=small
            ),
            "24, whole motion, by evidence": reconstruct_lateral(
                both, path=whole, equation_tones=small
            ),
            "24, by evidence": reconstruct_lateral(known.select(_TONES)),
            "48, by evidence": reconstruct_lateral(known.select(48)),
            "64, by evidence": reconstruct_lateral(both),
        }
        for name, found in runs.items():
            errors = known.lateral_errors(found)
            degrees = f"{found.y_degrees[0]}, {found.y_degrees[1]}"
            rows.append([f"{cubic:g}", name, degrees, *map(_percent, errors)])
    return Table(
        title="A flexural and a torsional mode",
        columns=[
            "c3, N/m³",
            "tones a band, motion, powers",
            "powers of y in F_z, F_y",
            "F_z(z, 0), %",
            "F_z(z, y), %",
            "F_y, %",
        ],
        rows=rows,
        notes="Aimed at, with the whole motion: F_y 4, F_z of z alone 6. From 24 tones literally "
        "the motion that builds the equations lacks too much.",
    )


def measure() -> list[Table]:
    """Measure fidelity, other drives and speed.

    Returns
    -------
    list of Table
    """
    cases = {cubic: case(*case_1(cubic)) for cubic in _CUBIC_DAMPING}
    return [
        _fidelity(cases),
        _drop(cases),
        _lateral(),
        better_beat(),
        threshold_dissipation(),
        speed(),
    ]
