"""What another drive than the paper's tells: one mode or two, beats of equal or unequal rate."""

from __future__ import annotations

import numpy as np

from analysis.intermodulation import Measurement, motion
from analysis.intermodulation.lateral import reconstruct_lateral
from analysis.intermodulation.polynomial import reconstruct_polynomial
from benchmarks._reconstruction_cases import case
from benchmarks.tables import Table
from sim.cantilever import Cantilever, Drive, Tones
from sim.cantilever.paper import case_1, case_2
from sim.forces import ThresholdDamping, VdwDmt

__all__ = ["better_beat", "threshold_dissipation"]

# The contact and the damping of the paper.
_CONTACT = VdwDmt(hamaker=7.1e-20, radius=10e-9, modulus=1e9, intermolecular=0.3e-9)
_DAMPING, _DECAY = 2.2e-7, 1.5e-9
# Above the largest velocity of the first mode alone (0.0236 m/s), far below that of both modes.
_THRESHOLD = 0.03
_CUBIC = (0.0, 1e15, 1e17)
_TONES = 48


def _one_mode(drive: Drive) -> Drive:
    """Return the drive with the second mode at rest."""
    forces = np.array(drive.forces)
    forces[1] = 0.0
    return Drive(drive.df, drive.tones, forces)


def _lost_power(measurement: Measurement) -> float:
    """Return the mean power that the force takes from the tip, W, from the tones alone."""
    rate = 2j * np.pi * measurement.frequencies * measurement.engaged
    return -0.5 * float(np.real(np.sum(measurement.force() * np.conj(rate))))


def _threshold_case(drive: Drive, tones: Tones, damping: float) -> Measurement:
    cantilever, _, _, height, _ = case_1()
    force = _CONTACT + ThresholdDamping(linear=damping, threshold=_THRESHOLD, decay=_DECAY)
    return case(cantilever, drive, force, height, tones).measurement


def threshold_dissipation() -> Table:
    """Measure a damping that sets in above a velocity, with one driven mode and with two."""
    _, both, _, _, tones = case_1()
    first = Tones(z=tuple(tone for tone in tones.z if tone < both.tones[2] // 2))
    rows = []
    for name, drive, wanted in (
        ("first mode alone", _one_mode(both), first),
        ("both modes", both, tones),
    ):
        without, with_it = (_threshold_case(drive, wanted, g) for g in (0.0, _DAMPING))
        curve = reconstruct_polynomial(with_it)
        deep = curve.z < 0.95 * curve.z[0]
        rows.append(
            [
                name,
                f"{motion(with_it).velocity.max():.4f}",
                f"{1e12 * _lost_power(without):.4f}",
                f"{1e12 * _lost_power(with_it):.4f}",
                f"{1e9 * abs(float(np.mean(curve.damping[deep]))):.1f}",
            ]
        )
    return Table(
        title=f"Damping above {_THRESHOLD} m/s",
        columns=[
            "drive",
            "largest velocity, m/s",
            "power lost without it, pW",
            "power lost with it, pW",
            "mean damping found in the lowest 5 %, nN s/m",
        ],
        rows=rows,
        notes="Power from the tones alone: - 1/2 Re sum F conj(i w Z). A damping that sets in "
        "above the largest velocity of the first mode is seen when the second is driven too.",
    )


def _beat(cantilever: Cantilever, drive: Drive, offsets: tuple[int, int]) -> Drive:
    """Return the drive with the torsional pair at other tones, at the same free amplitudes."""
    first, second = cantilever.modes
    middle = drive.tones[2]
    free = first.response(np.array(drive.tones[:2]) * drive.df) * drive.forces[0, :2]
    pairs = [(drive.tones[i], complex(free[i]), 0) for i in range(2)]
    amplitude = complex(abs(second.response(middle * drive.df) * drive.forces[1, 2]))
    pairs += [(middle + offset, amplitude, 1) for offset in offsets]
    return Drive.for_amplitudes(cantilever, drive.df, pairs)


def better_beat() -> Table:
    """Measure the field along z and y with the paper's beats and a torsional beat of 3 df."""
    rows = []
    for cubic in _CUBIC:
        cantilever, paper, force, height, tones = case_2(cubic)
        for name, drive in (
            ("n, n + 1 as the paper", paper),
            ("n - 1, n + 2", _beat(cantilever, paper, (-1, 2))),
        ):
            known = case(cantilever, drive, force, height, tones)
            found = reconstruct_lateral(known.select(_TONES), y_degrees=(2, 3))
            errors = known.lateral_errors(found)
            rows.append([f"{cubic:g}", name, *(f"{100 * error:.1f}" for error in errors)])
    return Table(
        title="A better drive for the second case",
        columns=[
            "c3, N/m³",
            "torsional drive tones",
            "F_z(z, 0), %",
            "F_z(z, y), %",
            "F_y, %",
        ],
        rows=rows,
        notes=f"{_TONES} tones a band, their motion only, powers z^21 y^3 for both components. "
        "With beats of one rate and in phase z^i y^j and z^(i + j) differ by little; with another "
        "rate they differ.",
    )
