"""What all engines need before they start: the checked question, and the modes as oscillators.

A mode's deflection is its steady motion under the drive plus the real part of a complex amplitude
c with c' = lambda c between kicks; a force F adds -i F / (Omega m) to c' (Borysov et al., eq. 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.cantilever.model import (
    AXES,
    Cantilever,
    Drive,
    Spectra,
    Tones,
    free_amplitudes,
    free_spectra,
)
from sim.forces import Force, composed_kernel
from sim.forces._base import Kernel

__all__ = ["Oscillator", "Problem", "force_response"]

_BLOCK = 512  # steps; exponentials are taken at its multiples and within one, and multiplied


@dataclass(frozen=True)
class Oscillator:
    """A mode between kicks.

    Parameters
    ----------
    axis : int
        0 along z, 1 along y.
    rate : complex
        lambda = -Gamma + i Omega, 1/s.
    gain : float
        1 / (Omega m), by which a force turns into amplitude, m/(N s).
    compliance : float
        1 / m, by which a force turns into acceleration, 1/kg.
    """

    axis: int
    rate: complex
    gain: float
    compliance: float


@dataclass(frozen=True)
class Problem:
    """The checked arguments of `Engine.simulate`, as arrays.

    Parameters
    ----------
    cantilever : Cantilever
        What moves.
    drive : Drive
        What moves it.
    tones : Tones
        What is wanted.
    kernel : callable
        All laws of the force in one function.
    parameters : ndarray, shape (pixels, parameters)
        Of the force.
    kinks : ndarray, shape (pixels, kinks)
        Distances at which the force or its slope jumps, m.
    heights : ndarray, shape (pixels,)
        m.
    """

    cantilever: Cantilever
    drive: Drive
    tones: Tones
    kernel: Kernel
    parameters: NDArray[np.float64]
    kinks: NDArray[np.float64]
    heights: NDArray[np.float64]

    @classmethod
    def checked(
        cls,
        cantilever: Cantilever,
        drive: Drive,
        forces: Force | Sequence[Force],
        heights: ArrayLike,
        tones: Tones,
    ) -> Problem:
        """Return the problem, or refuse what no engine can answer.

        Raises
        ------
        ValueError
            When heights are not a row of positive numbers, the forces are of different kinds or
            not one a pixel, or tones are asked of an axis without modes.
        """
        levels = np.array(heights, np.float64)
        if levels.ndim != 1 or levels.size == 0:
            raise ValueError(f"heights of shape {levels.shape} are not allowed: (pixels,)")
        if not (np.isfinite(levels) & (levels > 0)).all():
            bad = levels[~(np.isfinite(levels) & (levels > 0))][0]
            raise ValueError(f"height {bad!r} m is not allowed: a positive number")
        laws = _laws(forces, levels.size)
        for axis, wanted in zip(AXES, (tones.z, tones.y), strict=True):
            if wanted and all(mode.axis != axis for mode in cantilever.modes):
                raise ValueError(f"tones of {axis} are not allowed: no mode moves along {axis}")
        free_amplitudes(cantilever, drive)
        parameters = np.array([law.parameters for law in laws])
        if not np.isfinite(parameters).all():
            raise ValueError("force parameters that are not finite are not allowed")
        pixels = (levels.size, -1)
        shape = (levels.size, parameters.shape[1])
        return cls(
            cantilever,
            drive,
            tones,
            composed_kernel(laws[0]),
            np.broadcast_to(parameters, shape),
            np.broadcast_to([law.kinks for law in laws], (levels.size, len(laws[0].kinks)))
            if len(laws) == 1
            else np.array([law.kinks for law in laws], np.float64).reshape(pixels),
            levels,
        )

    @property
    def period(self) -> float:
        """One period of the base frequency, s."""
        return 1 / self.drive.df

    def oscillators(self) -> tuple[Oscillator, ...]:
        """Return the modes of the cantilever as oscillators."""
        found = []
        for mode in self.cantilever.modes:
            frequency = 2 * np.pi * mode.frequency
            decay = frequency / (2 * mode.quality_factor)
            damped = float(np.sqrt(frequency**2 - decay**2))
            compliance = frequency**2 / mode.spring_constant
            axis = AXES.index(mode.axis)
            found.append(Oscillator(axis, complex(-decay, damped), compliance / damped, compliance))
        return tuple(found)

    def free_motion(self, steps: int) -> NDArray[np.float64]:
        """Return the motion under the drive alone, at equal steps through a period.

        Parameters
        ----------
        steps : int
            How many, the first at the beginning of the period.

        Returns
        -------
        ndarray, shape (steps, 4)
            z, y in m and vz, vy in m/s.
        """
        rates: NDArray[np.complex128] = 2j * np.pi * self.drive.df * np.array(self.drive.tones)
        step = self.period / steps
        blocks = np.arange(-(-steps // _BLOCK)) * (_BLOCK * step)
        coarse = np.exp(blocks[:, None] * rates)
        within = rates.imag[:, None] * (np.arange(_BLOCK) * step)
        fine = np.concatenate([np.cos(within), -np.sin(within)])
        motion = free_amplitudes(self.cantilever, self.drive)
        free = np.empty((steps, 4))
        velocities = [rates * each for each in motion]
        for column, amplitudes in enumerate((*motion, *velocities)):
            turned = np.asarray(coarse * amplitudes, np.complex128)
            product = np.concatenate([np.real(turned), np.imag(turned)], axis=1) @ fine
            free[:, column] = product.ravel()[:steps]
        return free

    def spectra(
        self,
        z: NDArray[np.complex128],
        y: NDArray[np.complex128],
        closest: NDArray[np.float64],
    ) -> Spectra:
        """Return the spectra with the free motion added to what the force makes."""
        if not (np.isfinite(z).all() and np.isfinite(y).all()):
            raise FloatingPointError(
                "the motion ran away: the force is too stiff for the step; take smaller steps"
            )
        free = free_spectra(self.cantilever, self.drive, self.tones)
        return Spectra(free.z + z, free.y + y, closest)


def _laws(forces: Force | Sequence[Force], pixels: int) -> list[Force]:
    """Return one law for all pixels or one a pixel, all of the same kinds."""
    if isinstance(forces, Force):
        return [forces]
    laws = list(forces)
    if len(laws) != pixels:
        raise ValueError(f"{len(laws)} forces are not allowed: one, or one for each of {pixels}")
    first = laws[0]
    for law in laws:
        if law.kernels != first.kernels or law.sizes != first.sizes:
            raise ValueError("forces of different kinds are not allowed: the same laws everywhere")
        if len(law.kinks) != len(first.kinks):
            raise ValueError("forces with different numbers of kinks are not allowed together")
    return laws


def force_response(
    oscillators: Sequence[Oscillator],
    axis: int,
    frequencies: NDArray[np.float64],
    period: float,
    impulse: NDArray[np.complex128],
    change: NDArray[np.complex128],
) -> NDArray[np.complex128]:
    """Return the tones that a force makes, from its Fourier integral over one period.

    The motion need not be periodic: what the amplitudes change over the period enters exactly.

    Parameters
    ----------
    oscillators : sequence of Oscillator
        The modes.
    axis : int
        0 for z, 1 for y.
    frequencies : ndarray, shape (tones,)
        Of the tones, Hz; whole multiples of 1 / period.
    period : float
        s.
    impulse : ndarray of complex, shape (tones, pixels)
        Integral of F exp(-i 2 pi f t) over the period, N s.
    change : ndarray of complex, shape (modes, pixels)
        By how much each mode's amplitude c changed over the period, m.

    Returns
    -------
    ndarray of complex, shape (tones, pixels)
        m.
    """
    turn = 2j * np.pi * frequencies[:, None]
    total = np.zeros(impulse.shape, np.complex128)
    for mode, changed in zip(oscillators, change, strict=True):
        if mode.axis == axis:
            total += (-1j * mode.gain * impulse - changed) / (turn - mode.rate)
            total += (1j * mode.gain * impulse - changed.conj()) / (turn - mode.rate.conjugate())
    # a mean has no partner at the negative frequency
    mean = frequencies == 0
    total[mean] = 0.5 * total[mean].real
    return total / period
