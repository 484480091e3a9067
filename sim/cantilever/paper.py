"""The two cases of Borysov et al., section IV: two flexural modes, and one flexural, one torsional.

Parameters are the paper's. Where its text leaves a choice: the drive tones lie half a df on each
side of the resonance, both tones of a pair have the same force and half of the free amplitude on
average, and the powers of nm in the units of the cubic coefficients are arguments.
"""

from __future__ import annotations

import numpy as np

from sim.cantilever.model import Cantilever, Drive, Mode, Tones
from sim.forces import ExponentialDamping, Force, LateralSpring, VdwDmt

__all__ = ["Case", "case_1", "case_2"]

_DF = 200.0
_PAIRS = ((1500, 1501), (9450, 9451))
_FIRST = Mode(frequency=1500.5 * _DF, quality_factor=400.0, spring_constant=40.0)
_HEIGHT = 17e-9
_DECAY = 1.5e-9
_CONTACT = VdwDmt(hamaker=7.1e-20, radius=10e-9, modulus=1e9, intermolecular=0.3e-9)
_BAND = 32  # tones on each side of a resonance

Case = tuple[Cantilever, Drive, Force, float, Tones]


def case_1(cubic: float = 0.0) -> Case:
    """Two flexural modes over a surface that damps.

    Parameters
    ----------
    cubic : float
        Cubic damping gamma_3, N s^3/m^3.

    Returns
    -------
    tuple
        Cantilever, drive, force, height of the resting tip in m, and 64 tones round each resonance.
    """
    cantilever, drive = _driven("z", (12.5e-9, 12.5e-9))
    force = _CONTACT + ExponentialDamping(linear=2.2e-7, cubic=cubic, decay=_DECAY)
    first, second = _bands()
    return cantilever, drive, force, _HEIGHT, Tones(z=first + second)


def case_2(c3: float = 0.0) -> Case:
    """One flexural and one torsional mode over a surface with a lateral force (eq. 27).

    Parameters
    ----------
    c3 : float
        Cubic lateral stiffness, N/m^3.

    Returns
    -------
    tuple
        Cantilever, drive, force, height of the resting tip in m, and 64 tones round each resonance.
    """
    cantilever, drive = _driven("y", (25e-9, 12.5e-9))
    force = _CONTACT + LateralSpring(linear=0.22, cubic=c3, decay=_DECAY)
    first, second = _bands()
    return cantilever, drive, force, _HEIGHT, Tones(z=first, y=second)


def _bands() -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(high - _BAND, high + _BAND)) for _, high in _PAIRS)


def _driven(axis: str, amplitudes: tuple[float, float]) -> tuple[Cantilever, Drive]:
    """Return the cantilever whose second mode moves along `axis`, and its drive."""
    second = Mode(
        frequency=9450.5 * _DF,
        quality_factor=3 * _FIRST.quality_factor,
        spring_constant=50 * _FIRST.spring_constant,
        axis=axis,
    )
    cantilever = Cantilever((_FIRST, second))
    forces = np.zeros((2, 4), np.complex128)
    for index, (pair, amplitude) in enumerate(zip(_PAIRS, amplitudes, strict=True)):
        response = cantilever.modes[index].response(np.array(pair) * _DF)
        # the two tones add up to the amplitude where the beat is largest
        forces[index, 2 * index : 2 * index + 2] = amplitude / np.abs(response).sum()
    return cantilever, Drive(_DF, _PAIRS[0] + _PAIRS[1], forces)
