"""How does a cantilever answer a force? One driven, damped oscillator a mode, and their sum.

Borysov et al., "Reconstruction of Tip-Surface Interactions with Multimodal Intermodulation Atomic
Force Microscopy", eq. 4 (the modes), 7 (the linear response of one) and 19 (of collinear modes,
which feel the same force and are measured as one deflection).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["AXES", "Mode", "response"]

AXES = ("z", "y")


@dataclass(frozen=True)
class Mode:
    """One calibrated mode of the cantilever.

    Parameters
    ----------
    frequency : float
        Resonance frequency, Hz.
    quality_factor : float
    spring_constant : float
        N/m, at the tip.
    axis : {"z", "y"}
        "z" for a flexural mode, "y" for a torsional one.

    Raises
    ------
    ValueError
        If a number is not positive and finite, or the axis is neither z nor y.
    """

    frequency: float
    quality_factor: float
    spring_constant: float
    axis: str = "z"

    def __post_init__(self) -> None:
        for name in ("frequency", "quality_factor", "spring_constant"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} of a mode is {value}: it must be positive and finite")
        if self.axis not in AXES:
            raise ValueError(f"axis of a mode is {self.axis!r}: it must be one of {AXES}")


def response(
    modes: Sequence[Mode], frequencies: ArrayLike, axis: str = "z"
) -> NDArray[np.complex128]:
    """Return the deflection for a unit force, by frequency.

    Parameters
    ----------
    modes : sequence of Mode
        Those of other axes are left out.
    frequencies : array_like, shape (n,)
        Hz.
    axis : {"z", "y"}

    Returns
    -------
    ndarray of complex, shape (n,)
        Sum of the modes' responses, m/N, for time going as exp(+i omega t); eq. 7 and 19.

    Raises
    ------
    ValueError
        If no mode moves along `axis`.
    """
    collinear = [mode for mode in modes if mode.axis == axis]
    if not collinear:
        raise ValueError(f"no mode moves along {axis}: there are {[mode.axis for mode in modes]}")
    frequencies = np.asarray(frequencies, dtype=float)
    total = np.zeros(frequencies.shape, dtype=np.complex128)
    for mode in collinear:
        ratio = frequencies / mode.frequency
        total += 1.0 / (mode.spring_constant * (1.0 - ratio**2 + 1j * ratio / mode.quality_factor))
    return total
