"""Surfaces of many kinds, and the motion over them, for methods that are told tones alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from analysis.intermodulation import Measurement
from benchmarks._reconstruction_cases import Case, case
from sim.cantilever import Cantilever, Drive, Mode, Tones
from sim.cantilever.noise import tone_noise
from sim.cantilever.paper import case_1, case_2
from sim.forces import (
    DoubleLayerHertz,
    ExponentialDamping,
    Force,
    Jkr,
    LennardJones,
    Morse,
    VdwDmt,
)

__all__ = ["CURVES", "FIELDS", "HELD_OUT", "noisy"]

_TEMPERATURE = 300.0
_TONES_OF_CURVES, _TONES_OF_FIELDS = 24, 48


def _bimodal(force: Force, amplitudes: tuple[float, float], height: float) -> Case:
    """Return a case with the cantilever of the paper and other amplitudes, 24 tones a band."""
    cantilever, _, _, _, tones = case_1()
    pairs = [
        (tone, 0.5 * amplitude, mode)
        for mode, amplitude in enumerate(amplitudes)
        for tone in ((1500, 1501), (9450, 9451))[mode]
    ]
    drive = Drive.for_amplitudes(cantilever, 200.0, pairs)
    return _narrowed(case(cantilever, drive, force, height, tones), _TONES_OF_CURVES)


def _narrowed(whole: Case, tones: int) -> Case:
    return replace(whole, measurement=whole.select(tones))


def _paper(cubic: float) -> Case:
    return _narrowed(case(*case_1(cubic)), _TONES_OF_CURVES)


def _morse() -> Case:
    bond = Morse(bond_energy=1e-18, equilibrium=0.6e-9, decay=0.8e-9)
    damping = ExponentialDamping(linear=1e-7, decay=1e-9)
    return _bimodal(bond + damping, (10e-9, 5e-9), 13e-9)


def _lennard_jones() -> Case:
    atoms = LennardJones(hamaker=1e-19, radius=10e-9, sigma=0.8e-9)
    damping = ExponentialDamping(linear=5e-8, decay=0.8e-9)
    return _bimodal(atoms + damping, (10e-9, 0.5e-9), 10.9e-9)


def _jkr() -> Case:
    contact = Jkr(radius=20e-9, modulus=5e8, adhesion_work=0.05)
    return _bimodal(
        contact + ExponentialDamping(linear=1e-7, decay=2e-9), (12.5e-9, 12.5e-9), 17e-9
    )


def _polymer() -> Case:
    contact = VdwDmt(hamaker=3e-20, radius=20e-9, modulus=3e7)
    return _bimodal(
        contact + ExponentialDamping(linear=2e-7, decay=4e-9), (12.5e-9, 12.5e-9), 12e-9
    )


def _liquid() -> Case:
    cantilever = Cantilever((Mode(frequency=30e3, quality_factor=5.0, spring_constant=1.0),))
    pairs = [(149, 5e-9, 0), (150, 5e-9, 0)]
    layer = DoubleLayerHertz(
        radius=10e-9, modulus=1e8, tip_charge=0.03, sample_charge=0.03, debye_length=2e-9
    )
    force = layer + ExponentialDamping(linear=1e-6, decay=2e-9)
    drive = Drive.for_amplitudes(cantilever, 200.0, pairs)
    return case(cantilever, drive, force, 8e-9, Tones(z=tuple(range(130, 171))))


@dataclass(frozen=True)
class _Setting:
    """A cantilever over a surface, driven at both sides of its resonances with a beat of df.

    Parameters
    ----------
    height : float
        Of the resting tip, m.
    amplitudes : tuple of float
        Largest free amplitude of each mode, m.
    modes : tuple of Mode
        As many of them as there are amplitudes.
    df : float
        Hz.
    tones : int
        Measured round each resonance.
    """

    height: float
    amplitudes: tuple[float, ...]
    modes: tuple[Mode, ...] = case_1()[0].modes
    df: float = 200.0
    tones: int = _TONES_OF_CURVES

    def case(self, force: Force) -> Case:
        """Return the case, simulated."""
        modes = self.modes[: len(self.amplitudes)]
        starts = [int(mode.frequency // self.df) for mode in modes]
        pairs = [
            (start + side, 0.5 * amplitude, number)
            for number, (start, amplitude) in enumerate(zip(starts, self.amplitudes, strict=True))
            for side in (0, 1)
        ]
        cantilever = Cantilever(modes)
        measured = [start + 1 - self.tones // 2 + i for start in starts for i in range(self.tones)]
        drive = Drive.for_amplitudes(cantilever, self.df, pairs)
        return case(cantilever, drive, force, self.height, Tones(z=tuple(measured)))


def _soft(frequency: float, quality_factor: float, spring_constant: float) -> tuple[Mode, ...]:
    return (Mode(frequency, quality_factor, spring_constant),)


CURVES: dict[str, Callable[[], Case]] = {
    "vdW-DMT (paper)": lambda: _paper(0.0),
    "vdW-DMT, cubic damping 1e-5": lambda: _paper(1e-5),
    "vdW-DMT, cubic damping 1e-4": lambda: _paper(1e-4),
    "Morse": _morse,
    "Lennard-Jones": _lennard_jones,
    "JKR": _jkr,
    "soft polymer": _polymer,
    "liquid, Q = 5": _liquid,
}

FIELDS: dict[str, Callable[[], Case]] = {
    "z and y, c3 = 0": lambda: _narrowed(case(*case_2(0.0)), _TONES_OF_FIELDS),
    "z and y, c3 = 0.1 nN/nm³": lambda: _narrowed(case(*case_2(1e17)), _TONES_OF_FIELDS),
}

# Other surfaces and settings: no constant of the method was chosen for any one of them.
_HELD_OUT: dict[str, tuple[Force, _Setting]] = {
    "Morse, 0.15 nm": (
        Morse(bond_energy=4e-19, equilibrium=0.4e-9, decay=0.15e-9)
        + ExponentialDamping(linear=1e-7, decay=0.5e-9),
        _Setting(12.2e-9, (8e-9, 5e-9)),
    ),
    "Morse, 0.3 nm": (
        Morse(bond_energy=4e-19, equilibrium=0.5e-9, decay=0.3e-9)
        + ExponentialDamping(linear=2e-7, decay=0.6e-9),
        _Setting(19.5e-9, (12e-9, 8e-9)),
    ),
    "Morse, 0.6 nm": (
        Morse(bond_energy=1e-18, equilibrium=0.8e-9, decay=0.6e-9)
        + ExponentialDamping(linear=1.5e-7, decay=1.2e-9),
        _Setting(15.8e-9, (15e-9, 2e-9), df=500.0),
    ),
    "Lennard-Jones, 0.35 nm": (
        LennardJones(hamaker=1e-19, radius=10e-9, sigma=0.35e-9)
        + ExponentialDamping(linear=1e-7, decay=0.5e-9),
        _Setting(15.1e-9, (10e-9, 5e-9)),
    ),
    "Lennard-Jones, 0.6 nm, attractive part": (
        LennardJones(hamaker=2e-19, radius=15e-9, sigma=0.6e-9)
        + ExponentialDamping(linear=3e-7, decay=1e-9),
        _Setting(15.2e-9, (10e-9, 4e-9)),
    ),
    "JKR, 1.5 GPa": (
        Jkr(radius=10e-9, modulus=1.5e9, adhesion_work=0.08)
        + ExponentialDamping(linear=2e-7, decay=1e-9),
        _Setting(18e-9, (15e-9, 8e-9)),
    ),
    "JKR, 0.1 GPa, 30 nm": (
        Jkr(radius=30e-9, modulus=1e8, adhesion_work=0.03)
        + ExponentialDamping(linear=3e-7, decay=3e-9),
        _Setting(30e-9, (25e-9, 10e-9), df=500.0),
    ),
    "polymer, 5 MPa": (
        VdwDmt(hamaker=4e-20, radius=25e-9, modulus=5e6)
        + ExponentialDamping(linear=6e-7, decay=6e-9),
        _Setting(14e-9, (15e-9, 8e-9)),
    ),
    "polymer, 100 MPa, 40 nm": (
        VdwDmt(hamaker=5e-20, radius=15e-9, modulus=1e8)
        + ExponentialDamping(linear=4e-7, decay=3e-9),
        _Setting(38e-9, (40e-9, 5e-9), df=1000.0),
    ),
    "Morse, 0.45 nm, gently": (
        Morse(bond_energy=8e-19, equilibrium=0.7e-9, decay=0.45e-9)
        + ExponentialDamping(linear=2e-7, decay=0.8e-9),
        _Setting(8.2e-9, (6e-9, 3e-9), df=250.0),
    ),
    "Lennard-Jones, 0.5 nm": (
        LennardJones(hamaker=3e-19, radius=20e-9, sigma=0.5e-9)
        + ExponentialDamping(linear=2e-7, decay=1e-9),
        _Setting(12.2e-9, (8e-9, 4e-9)),
    ),
    "JKR, 3 GPa, 5 nm": (
        Jkr(radius=8e-9, modulus=3e9, adhesion_work=0.1)
        + ExponentialDamping(linear=3e-7, decay=0.8e-9),
        _Setting(6e-9, (5e-9, 3e-9)),
    ),
    "polymer, 30 MPa, df = 100 Hz": (
        VdwDmt(hamaker=6e-20, radius=30e-9, modulus=3e7)
        + ExponentialDamping(linear=5e-7, decay=3e-9),
        _Setting(20e-9, (20e-9, 10e-9), df=100.0),
    ),
    "liquid, Q = 5, 20 nm": (
        DoubleLayerHertz(
            radius=20e-9, modulus=5e8, tip_charge=0.02, sample_charge=0.01, debye_length=1.5e-9
        )
        + ExponentialDamping(linear=1.5e-6, decay=2e-9),
        _Setting(19e-9, (20e-9,), _soft(60e3, 5.0, 2.0), df=300.0, tones=40),
    ),
    "liquid, Q = 3": (
        DoubleLayerHertz(
            radius=15e-9, modulus=3e7, tip_charge=0.02, sample_charge=0.02, debye_length=3e-9
        )
        + ExponentialDamping(linear=2e-6, decay=3e-9),
        _Setting(12e-9, (12e-9,), _soft(20e3, 3.0, 0.3), df=100.0, tones=40),
    ),
    "liquid, Q = 8": (
        DoubleLayerHertz(
            radius=10e-9, modulus=3e8, tip_charge=0.03, sample_charge=0.02, debye_length=1e-9
        )
        + ExponentialDamping(linear=8e-7, decay=1e-9),
        _Setting(9e-9, (10e-9,), _soft(80e3, 8.0, 4.0), df=400.0, tones=40),
    ),
}

HELD_OUT: dict[str, Callable[[], Case]] = {
    name: partial(setting.case, force) for name, (force, setting) in _HELD_OUT.items()
}


def noisy(clean: Measurement, detector: float, rng: np.random.Generator) -> Measurement:
    """Return the measurement with the noise of one period at 300 K and a white detector.

    Parameters
    ----------
    clean : Measurement
        Without noise.
    detector : float
        One-sided amplitude density, m/rtHz; 0 for no noise at all, thermal either.
    rng : Generator
    """
    if detector == 0.0:
        return clean
    cantilever = Cantilever(
        tuple(Mode(m.frequency, m.quality_factor, m.spring_constant, m.axis) for m in clean.modes)
    )
    noise = np.empty(clean.tones.size)
    for axis in dict.fromkeys(clean.axes):
        own = clean.on_axis(axis)
        noise[own] = tone_noise(
            cantilever,
            clean.frequencies[own],
            1.0 / clean.df,
            temperature=_TEMPERATURE,
            detector=detector,
            axis=axis,
        )
    normal = rng.standard_normal((2, noise.size))
    return replace(clean, engaged=clean.engaged + noise * (normal[0] + 1j * normal[1]), noise=noise)
