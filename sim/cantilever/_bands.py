"""Which oscillator each wanted tone is read from.

The amplitude of a mode sums the force's kicks, turned to the mode's frequency; so it holds the
spectrum of the force near that frequency. Tones far from every mode get a listener: an oscillator
that the force kicks and that does not move the tip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.cantilever._problem import Oscillator, Problem

__all__ = ["Band", "Listening"]

_REACH = 64  # tones from a carrier that it still hears
_SAMPLES_A_TONE = 64  # of a period, for each tone between a carrier and the farthest it hears


@dataclass(frozen=True)
class Band:
    """Tones of one axis that one carrier hears.

    Parameters
    ----------
    axis : int
        0 for z, 1 for y.
    carrier : int
        Index of the carrier.
    places : ndarray of int, shape (tones,)
        Where the tones stand among those that are wanted.
    numbers : ndarray of int, shape (tones,)
        The tones.
    """

    axis: int
    carrier: int
    places: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def frequencies(self, df: float) -> NDArray[np.float64]:
        """Return the frequencies of the tones at the base frequency `df`, Hz."""
        return self.numbers.astype(np.float64) * df


@dataclass(frozen=True)
class Listening:
    """The carriers of a problem, modes first, and what each of them hears.

    Parameters
    ----------
    carriers : tuple of Oscillator
        The modes, then the listeners, which have no compliance.
    modes : int
        How many of the carriers are modes.
    bands : tuple of Band
        Every wanted tone once.
    samples : int
        In how many parts a period has to be cut to tell the tones apart.
    """

    carriers: tuple[Oscillator, ...]
    modes: int
    bands: tuple[Band, ...]
    samples: int

    @classmethod
    def to(cls, problem: Problem) -> Listening:
        """Return the carriers that hear every wanted tone of `problem`."""
        modes = problem.oscillators()
        df = problem.drive.df
        carriers, bands, farthest = list(modes), [], 1.0
        for axis, wanted in enumerate((problem.tones.z, problem.tones.y)):
            tones = np.array(wanted, np.int64)
            left = tones
            centers = [
                (index, mode.rate.imag / (2 * np.pi * df))
                for index, mode in enumerate(modes)
                if mode.axis == axis
            ]
            while left.size:
                if centers:
                    carrier, center = centers.pop(0)
                    near = left[np.abs(left - center) <= _REACH]
                else:
                    near = left[left <= left[0] + 2 * _REACH]
                    carrier, center = len(carriers), float(near[0] + near[-1]) / 2
                    rate = complex(0.0, 2 * np.pi * df * center)
                    carriers.append(Oscillator(axis, rate, modes[0].gain, 0.0))
                if near.size:
                    bands.append(Band(axis, carrier, np.searchsorted(tones, near), near))
                    farthest = max(farthest, float(np.abs(near - center).max()))
                    left = np.setdiff1d(left, near)
        samples = int(np.ceil(_SAMPLES_A_TONE * farthest))
        return cls(tuple(carriers), len(modes), tuple(bands), samples)
