"""The motion to any accuracy: adaptive steps of what the force changes, ending on its kinks.

It is the measure of the other engines. Steps of order 5 are taken of the amplitudes that only the
force changes (Lawson's transformation), and tones come from the moments of the force over short
parts of the period, so that nothing is sampled and nothing aliases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.cantilever._adaptive import ENDED, MOMENTS, SHRINK, SIZES, march, turns
from sim.cantilever._bands import Listening
from sim.cantilever._problem import Problem, force_response
from sim.cantilever.model import Cantilever, Drive, Spectra, Tones, free_amplitudes
from sim.forces import Force

__all__ = ["ExactEngine"]

_LARGEST = 1 / 6  # of a cycle of the highest mode or drive tone, the largest step


@dataclass(frozen=True)
class ExactEngine:
    """Adaptive steps, one pixel after the other.

    Parameters
    ----------
    tolerance : float
        Error of one step, as a part of the largest free deflection. The tones are good to about
        a hundred times as much.
    settling : int
        Periods before the measured ones, from the free motion on.
    measured : int
        Periods over which the tones are averaged.
    """

    tolerance: float = 1e-9
    settling: int = 1
    measured: int = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and 1e-14 <= self.tolerance <= 1e-2):
            raise ValueError(f"tolerance {self.tolerance!r} is not allowed: from 1e-14 to 1e-2")
        for name, least in {"settling": 0, "measured": 1}.items():
            value = getattr(self, name)
            if int(value) != value or value < least:
                raise ValueError(f"{name} {value!r} is not allowed: a whole number from {least}")

    def simulate(
        self,
        cantilever: Cantilever,
        drive: Drive,
        forces: Force | Sequence[Force],
        heights: ArrayLike,
        tones: Tones,
    ) -> Spectra:
        """Let the driven cantilever settle over each pixel, then measure its tones.

        Parameters and result are those of `sim.cantilever.Engine.simulate`.

        Raises
        ------
        ValueError
            When the arguments are not allowed; nothing is computed.
        FloatingPointError
            When no step is small enough for the force.
        """
        problem = Problem.checked(cantilever, drive, forces, heights, tones)
        run = _Run.of(problem, self.tolerance)
        follow = march(problem.kernel)
        pixels = problem.heights.size
        found = [np.zeros((pixels, len(wanted)), np.complex128) for wanted in (tones.z, tones.y)]
        closest = np.empty(pixels)
        for pixel in range(pixels):
            amplitudes = np.zeros(len(run.listening.carriers), np.complex128)
            for period in range(self.settling + self.measured):
                before = amplitudes.copy()
                moments = np.zeros((before.size, run.listening.samples, MOMENTS), np.complex128)
                state, nearest, _ = follow(
                    amplitudes, problem.heights[pixel], problem.parameters[pixel],
                    problem.kinks[pixel], problem.period, *run.arrays, moments,
                )  # fmt: skip
                if state != ENDED:
                    raise FloatingPointError(
                        f"pixel {pixel}: no step is small enough for the force at the tolerance "
                        f"{self.tolerance:g}"
                    )
                if period == self.settling:
                    closest[pixel] = nearest
                if period >= self.settling:
                    closest[pixel] = min(closest[pixel], nearest)
                    for axis, part in enumerate(run.tones(problem, moments, amplitudes - before)):
                        found[axis][pixel] += part / self.measured
        return problem.spectra(found[0], found[1], closest)


@dataclass(frozen=True)
class _Run:
    """What the loop needs of a problem, the same for all pixels."""

    listening: Listening
    sizes: NDArray[np.float64]
    rates: NDArray[np.complex128]
    gains: NDArray[np.float64]
    axes: NDArray[np.int64]
    spin: NDArray[np.complex128]
    sway: NDArray[np.complex128]
    sides: NDArray[np.int64]
    tolerance: float

    @classmethod
    def of(cls, problem: Problem, tolerance: float) -> _Run:
        listening = Listening.to(problem)
        carriers = listening.carriers
        motion = np.array(free_amplitudes(problem.cantilever, problem.drive))
        sides, places = np.nonzero(motion)
        spin = 2j * np.pi * problem.drive.df * np.array(problem.drive.tones)[places]
        fastest = max([carrier.rate.imag for carrier in carriers[: listening.modes]])
        fastest = max([fastest, *spin.imag])
        scale = max(float(np.abs(motion).sum(axis=1).max()), 1e-12)
        return cls(
            listening,
            _LARGEST * 2 * np.pi / fastest * SHRINK ** -np.arange(SIZES),
            np.array([carrier.rate for carrier in carriers]),
            np.array([c.gain if c.compliance > 0 else 0.0 for c in carriers]),
            np.array([carrier.axis for carrier in carriers]),
            spin,
            motion[sides, places],
            sides,
            tolerance * scale,
        )

    @property
    def arrays(self) -> tuple[object, ...]:
        """The arguments of the loop from `sizes` to `tolerance`."""
        table = turns(self.sizes, self.rates, self.spin)
        return (
            self.sizes, table, self.rates, self.gains, self.axes, self.spin, self.sway,
            self.sides, self.tolerance,
        )  # fmt: skip

    def tones(
        self,
        problem: Problem,
        moments: NDArray[np.complex128],
        change: NDArray[np.complex128],
    ) -> list[NDArray[np.complex128]]:
        """Return the tones of z and y that the force made, from its moments."""
        found = [
            np.zeros(len(wanted), np.complex128) for wanted in (problem.tones.z, problem.tones.y)
        ]
        modes = self.listening.carriers[: self.listening.modes]
        order = np.arange(MOMENTS)
        factorials = np.cumprod(np.maximum(order, 1))
        bins = self.listening.samples
        for band in self.listening.bands:
            frequencies = band.frequencies(problem.drive.df)
            turn = np.exp(-2j * np.pi * (np.outer(band.numbers, np.arange(bins)) % bins) / bins)
            apart = self.rates[band.carrier] - 2j * np.pi * frequencies
            series = apart[:, None] ** order / factorials
            impulse = np.sum((turn @ moments[band.carrier]) * series, axis=1)
            found[band.axis][band.places] = force_response(
                modes, band.axis, frequencies, problem.period, impulse[:, None],
                change[: len(modes), None],
            )[:, 0]  # fmt: skip
        return found
