"""Tones that turn with the modes, the slow motion without a surface, and how steps go along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.cantilever._envelope_average import Orbits
from sim.cantilever.model import Cantilever, Drive, free_amplitudes

__all__ = ["Carriers", "band_motion"]

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Carriers:
    """Tones that turn with the modes, and the slow motion without a surface.

    `away` is how far each drive tone is from its mode's, `motion` the free amplitude of each mode's
    band at the drive tones, shape (2, tones), m, and `drive` the largest force on each mode, N;
    `decay` is mu and `gain` kappa of b' = mu b + kappa G.
    """

    tones: NDArray[np.int64]
    axes: str
    orbits: Orbits
    decay: Complex
    gain: Complex
    away: NDArray[np.int64]
    motion: Complex
    drive: NDArray[np.float64]

    def free(self, steps: int) -> Complex:
        """Return the free amplitudes at the half steps of one period, m, shape (2 steps, 2)."""
        halves = np.arange(2 * steps)
        turns = np.exp(2j * np.pi * np.outer(halves, self.away) / (2 * steps))
        return turns.astype(np.complex128) @ self.motion.T

    def stages(self, step: float) -> Complex:
        """Return how each stage of a step of some seconds weighs amplitude and force, (4, 2, 4).

        For the end of the step amplitude and force, then for the next stage amplitude and force.
        """
        half, gain = np.exp(self.decay * step / 2), self.gain * step
        whole, none = half * half, np.zeros(2, np.complex128)
        return np.stack(
            [
                np.stack([whole, whole * gain / 6, half, half * gain / 2], axis=1),
                np.stack([none, half * gain / 3, half, gain / 2], axis=1),
                np.stack([none, half * gain / 3, whole, half * gain], axis=1),
                np.stack([none, gain / 6, none, none], axis=1),
            ]
        )


def band_motion(cantilever: Cantilever, drive: Drive, bands: NDArray[np.int64]) -> Complex:
    """Return the free amplitude of each mode's band at the drive tones, m, shape (2, tones)."""
    axes = [mode.axis for mode in cantilever.modes]
    if axes == ["z", "y"] and any(np.any(drive.forces[k, bands != k]) for k in range(2)):
        raise ValueError("a drive of one axis in the band of the other is not allowed here")
    if not np.any(drive.forces[: axes.count("z")]):
        raise ValueError("a drive without force along z is not allowed here")
    motion = np.zeros((2, len(drive.tones)), np.complex128)
    of_axis = dict(zip("zy", free_amplitudes(cantilever, drive), strict=True))
    for band, axis in enumerate(axes):
        motion[band] = np.where(bands == band, of_axis[axis], 0.0)
    return motion
