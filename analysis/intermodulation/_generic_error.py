"""What do errors of the motion do to the force? They enter twice, and so they are correlated.

The force at a tone is the deflection over the response (Borysov et al., eq. 10), and the force of a
model is taken along the motion that the same deflections describe. An error of a deflection tone
therefore changes the left side of its own equation, and through the gradient of the force the right
sides of all: near resonance, where 1/chi is small, the latter is the larger. Tones beyond the bands
that nobody measured act in the second way only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._generic_basis import groups
from .measurement import Measurement
from .motion import spectrum

__all__ = ["Gradient", "Hidden", "follow", "hidden_tones", "noise_covariance", "stack"]

Array = NDArray[np.float64]


def stack(tones: NDArray[np.complex128]) -> Array:
    """Return real, then imaginary parts along the first axis."""
    return np.concatenate([tones.real, tones.imag])


@dataclass(frozen=True, eq=False)
class Gradient:
    """Derivatives of one component of the force along the motion, shape (samples,) each.

    Parameters
    ----------
    position, rate : ndarray
        With respect to a deflection, N/m, and to its rate, N s/m.
    """

    position: Array
    rate: Array


@dataclass(frozen=True, eq=False)
class Hidden:
    """Deflection tones next to the bands that were not measured, of one axis.

    Parameters
    ----------
    tones : ndarray of int, shape (m,)
    used : ndarray of complex, shape (m,)
        Their estimate in the motion, m.
    deviation : ndarray, shape (m,)
        Error of that estimate that no change of the force makes good, m.
    """

    tones: NDArray[np.int64]
    used: NDArray[np.complex128]
    deviation: Array


def hidden_tones(measurement: Measurement, axis: str) -> NDArray[np.int64]:
    """Return the tones at rest, within and half a band beside the bands that were not measured."""
    tones = measurement.tones[measurement.on_axis(axis)]
    near = [np.zeros(1, dtype=np.int64)]
    for group in groups(tones):
        beside = max(8, group.size // 2)
        first, last = int(tones[group[0]]) - beside, int(tones[group[-1]]) + beside
        near.append(np.arange(max(0, first), last + 1))
    return np.setdiff1d(np.concatenate(near), tones)


def noise_covariance(
    measurement: Measurement,
    axis: str,
    gradients: Mapping[str, Gradient],
    hidden: Mapping[str, Hidden],
) -> Array:
    """Return the covariance of the equations' errors, N^2, shape (2k, 2k).

    Parameters
    ----------
    measurement : Measurement
        Of one pixel.
    axis : {"z", "y"}
        Of the component of the force; the equations are those at the k tones of this axis.
    gradients : mapping of axis to Gradient
        Of that component, for each axis of motion.
    hidden : mapping of axis to Hidden
        For each axis of motion.
    """
    rows = measurement.tones[measurement.on_axis(axis)]
    total = np.zeros((2 * rows.size, 2 * rows.size))
    for moving, gradient in gradients.items():
        own = measurement.on_axis(moving)
        tones, noise = measurement.tones[own], measurement.change_noise[own]
        effect = -follow(gradient, rows, tones, measurement.df)
        if moving == axis:
            effect += _product(np.diag(1.0 / measurement.response(axis)))
        unseen = hidden[moving]
        lacking = follow(gradient, rows, unseen.tones, measurement.df)
        for matrix, deviation in ((effect, noise), (lacking, unseen.deviation)):
            scaled = matrix * np.tile(deviation, 2)
            total += scaled @ scaled.T
    return total


def _product(matrix: NDArray[np.complex128]) -> Array:
    """Return the real form of a complex matrix, for stacked vectors."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])


def follow(
    gradient: Gradient, rows: NDArray[np.int64], columns: NDArray[np.int64], df: float
) -> Array:
    """Return how force tones change with deflection tones, N/m, in real form (2 rows, 2 columns).

    A slowly changing gradient g(t) times Re(X exp(i m w t)) has X's part at n from the tone n - m
    of g and the conjugate's from n + m.
    """
    turn = 2j * np.pi * df * columns
    direct = np.zeros((rows.size, columns.size), dtype=np.complex128)
    mirrored = np.zeros_like(direct)
    for signal, factor in ((gradient.position, np.ones(columns.size)), (gradient.rate, turn)):
        tones = 0.5 * spectrum(signal)
        tones[0] *= 2.0
        below = rows[:, None] - columns[None, :]
        above = rows[:, None] + columns[None, :]
        low = np.where(below >= 0, tones[np.abs(below)], tones[np.abs(below)].conj())
        direct += low * factor
        mirrored += tones[above] * np.conj(factor)
    reflection = np.diag(np.repeat([1.0, -1.0], columns.size))
    return _product(direct) + _product(mirrored) @ reflection
