"""The cantilever, its drive, the tones that are measured, and what an engine of motion gives back.

Modes and their linear response are those of Borysov et al., eqs. 4, 7 and 19; a drive is a comb of
tones at whole multiples of a base frequency df. Spectra are complex tones X_n with
x(t) = Re sum X_n exp(+i n 2 pi df t).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.forces import Force

__all__ = [
    "Cantilever",
    "Drive",
    "Engine",
    "Mode",
    "Spectra",
    "Tones",
    "free_spectra",
]

AXES = ("z", "y")


@dataclass(frozen=True)
class Mode:
    """One eigenmode (Borysov et al., eq. 4).

    Parameters
    ----------
    frequency : float
        Resonance frequency, Hz.
    quality_factor : float
        Q; above 1/2, so that the mode swings.
    spring_constant : float
        Stiffness of the mode, N/m.
    axis : str
        "z" for a flexural mode, "y" for a torsional one.
    """

    frequency: float
    quality_factor: float
    spring_constant: float
    axis: str = "z"

    def __post_init__(self) -> None:
        for name in ("frequency", "spring_constant"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"mode {name} {value!r} is not allowed: a positive number")
        if not (math.isfinite(self.quality_factor) and self.quality_factor > 0.5):
            raise ValueError(
                f"mode quality_factor {self.quality_factor!r} is not allowed: a number above 0.5"
            )
        if self.axis not in AXES:
            raise ValueError(f'mode axis {self.axis!r} is not allowed: "z" or "y"')

    def response(self, frequencies: ArrayLike) -> NDArray[np.complex128]:
        """Return chi, the deflection that a unit of force makes (Borysov et al., eq. 7).

        Parameters
        ----------
        frequencies : array_like, shape (n,)
            Hz.

        Returns
        -------
        ndarray, shape (n,)
            m/N.
        """
        x = np.asarray(frequencies, np.float64) / self.frequency
        return 1 / (self.spring_constant * (1 - x**2 + 1j * x / self.quality_factor))


@dataclass(frozen=True)
class Cantilever:
    """A cantilever with its modes; all modes of an axis feel the same force.

    Parameters
    ----------
    modes : tuple of Mode
        One at least.
    """

    modes: tuple[Mode, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", tuple(self.modes))
        if not self.modes:
            raise ValueError("a cantilever without modes is not allowed: name one at least")

    def response(self, frequencies: ArrayLike, axis: str = "z") -> NDArray[np.complex128]:
        """Return the sum of chi over the modes of an axis (Borysov et al., eqs. 7 and 19).

        Parameters
        ----------
        frequencies : array_like, shape (n,)
            Hz.
        axis : str
            "z" or "y".

        Returns
        -------
        ndarray, shape (n,)
            m/N; zero where no mode moves along the axis.
        """
        if axis not in AXES:
            raise ValueError(f'axis {axis!r} is not allowed: "z" or "y"')
        total = np.zeros(np.shape(frequencies), np.complex128)
        for mode in self.modes:
            if mode.axis == axis:
                total = total + mode.response(frequencies)
        return total


@dataclass(frozen=True)
class Drive:
    """A comb of drive forces.

    Parameters
    ----------
    df : float
        Base frequency, Hz; the motion is measured over whole periods 1 / df.
    tones : tuple of int
        Which multiples of df are driven; ascending, positive.
    forces : ndarray of complex, shape (modes, tones)
        Force on each mode at each tone, N.
    """

    df: float
    tones: tuple[int, ...]
    forces: NDArray[np.complex128]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.df) and self.df > 0):
            raise ValueError(f"drive df {self.df!r} Hz is not allowed: a positive number")
        object.__setattr__(self, "tones", check_tones(self.tones, "drive", lowest=1))
        forces = np.array(self.forces, np.complex128)
        if forces.ndim != 2 or forces.shape[1] != len(self.tones):
            raise ValueError(
                f"drive forces of shape {forces.shape} are not allowed: (modes, {len(self.tones)})"
            )
        if not np.isfinite(forces).all():
            raise ValueError("drive forces with values that are not finite are not allowed")
        forces.setflags(write=False)
        object.__setattr__(self, "forces", forces)

    @classmethod
    def for_amplitudes(
        cls,
        cantilever: Cantilever,
        df: float,
        pairs: Sequence[tuple[int, complex, int]],
    ) -> Drive:
        """Return the drive that swings the free cantilever as asked.

        Parameters
        ----------
        cantilever : Cantilever
            What is driven.
        df : float
            Base frequency, Hz.
        pairs : sequence of (int, complex, int)
            Tone, complex amplitude in m of the free motion at that tone, and the index of the mode
            that is driven to have it.

        Returns
        -------
        Drive
        """
        tones = sorted({tone for tone, _, _ in pairs})
        forces = np.zeros((len(cantilever.modes), len(tones)), np.complex128)
        for tone, amplitude, mode in pairs:
            if not 0 <= mode < len(cantilever.modes):
                raise ValueError(
                    f"drive of mode {mode} is not allowed: "
                    f"the cantilever has modes 0 to {len(cantilever.modes) - 1}"
                )
            response = cantilever.modes[mode].response(tone * df)
            forces[mode, tones.index(tone)] += amplitude / response
        return cls(df, tuple(tones), forces)


@dataclass(frozen=True)
class Tones:
    """Which tones are wanted of each axis.

    Parameters
    ----------
    z, y : tuple of int
        Multiples of df, ascending; 0 is the mean deflection.
    """

    z: tuple[int, ...] = ()
    y: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for axis in AXES:
            object.__setattr__(self, axis, check_tones(getattr(self, axis), axis, lowest=0))


@dataclass(frozen=True)
class Spectra:
    """The motion of each pixel as tones, and how near it came to the surface.

    Parameters
    ----------
    z : ndarray of complex, shape (pixels, tones of z)
        m.
    y : ndarray of complex, shape (pixels, tones of y)
        m.
    closest : ndarray, shape (pixels,)
        Smallest distance to the surface, m; below zero the tip is in the sample.
    """

    z: NDArray[np.complex128]
    y: NDArray[np.complex128]
    closest: NDArray[np.float64]


class Engine(Protocol):
    """What moves cantilevers over surfaces."""

    def simulate(
        self,
        cantilever: Cantilever,
        drive: Drive,
        forces: Force | Sequence[Force],
        heights: ArrayLike,
        tones: Tones,
    ) -> Spectra:
        """Let the driven cantilever settle over each pixel, then measure its tones.

        Parameters
        ----------
        cantilever : Cantilever
            What moves.
        drive : Drive
            What moves it.
        forces : Force or sequence of Force
            The law of all pixels, or one a pixel, of the same kinds.
        heights : array_like, shape (pixels,)
            Height of the resting tip above the surface, m.
        tones : Tones
            What is wanted.

        Returns
        -------
        Spectra
        """
        ...


def check_tones(tones: Sequence[int], of: str, *, lowest: int) -> tuple[int, ...]:
    """Return `tones` as plain numbers, or refuse them."""
    values = tuple(int(tone) for tone in tones)
    if any(value != tone for value, tone in zip(values, tones, strict=True)):
        raise ValueError(f"{of} tones that are not whole numbers are not allowed")
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"{of} tones must ascend, each named once")
    if values and values[0] < lowest:
        raise ValueError(f"{of} tone {values[0]} is not allowed: {lowest} or more")
    return values


def free_amplitudes(
    cantilever: Cantilever, drive: Drive
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the free motion along z and along y at the tones of the drive, m."""
    if drive.forces.shape[0] != len(cantilever.modes):
        raise ValueError(
            f"drive forces for {drive.forces.shape[0]} modes are not allowed: "
            f"the cantilever has {len(cantilever.modes)}"
        )
    frequencies = np.array(drive.tones, np.float64) * drive.df
    motion = {axis: np.zeros(len(drive.tones), np.complex128) for axis in AXES}
    for mode, forces in zip(cantilever.modes, drive.forces, strict=True):
        motion[mode.axis] += mode.response(frequencies) * forces
    return motion["z"], motion["y"]


def free_spectra(cantilever: Cantilever, drive: Drive, tones: Tones) -> Spectra:
    """Return the steady motion far from any surface (Borysov et al., eq. 5).

    Parameters
    ----------
    cantilever : Cantilever
        What moves.
    drive : Drive
        What moves it.
    tones : Tones
        What is wanted.

    Returns
    -------
    Spectra
        One pixel, with an infinite distance to the surface.
    """
    spectra = []
    for motion, wanted in zip(free_amplitudes(cantilever, drive), (tones.z, tones.y), strict=True):
        of_tone = dict(zip(drive.tones, motion, strict=True))
        spectra.append(np.array([[of_tone.get(tone, 0.0) for tone in wanted]], np.complex128))
    return Spectra(spectra[0], spectra[1], np.array([np.inf]))
