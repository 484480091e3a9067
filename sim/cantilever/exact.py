"""The motion to any accuracy: adaptive steps of what the force changes, ending on its kinks.

It is the measure of the other engines. Modes and drive turn exactly; what the force adds to them is
integrated by Gauss quadrature along the motion, again and again until the motion fits the force.
Tones come from the moments of the force over short parts of the period, so that nothing is sampled
and nothing aliases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import fft

from sim.cantilever._bands import Listening
from sim.cantilever._exact_flow import Swing, work
from sim.cantilever._exact_march import ENDED, MOMENTS, Limits, Pixel, Run, march
from sim.cantilever._exact_rule import rule
from sim.cantilever._problem import Problem, force_response
from sim.cantilever.model import Cantilever, Drive, Spectra, Tones, free_amplitudes
from sim.forces import Force

__all__ = ["ExactEngine"]

_PART_OF_BIN = 1 / 4  # the largest step, whose moments in time are taken to the third: good to 1e-8
_FIRST = 1 / 8  # of the largest step, the first one between two kinks


@dataclass(frozen=True)
class ExactEngine:
    """Adaptive steps, one pixel after the other.

    Parameters
    ----------
    tolerance : float
        Error of one step, as a part of the largest free deflection. Of what the surface changes
        in the tones, about as much is missed.
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
        setup = _Setup.of(problem, self.tolerance)
        follow = march(problem.kernel)
        pixels = problem.heights.size
        carriers, bins = len(setup.listening.carriers), setup.listening.samples
        found = [np.zeros((pixels, len(wanted)), np.complex128) for wanted in (tones.z, tones.y)]
        closest = np.empty(pixels)
        x = work(carriers)
        for number in range(pixels):
            amplitudes = np.zeros(carriers, np.complex128)
            pixel = setup.pixel(problem, number)
            for period in range(self.settling + self.measured):
                before = amplitudes.copy()
                moments = np.zeros((carriers, bins, MOMENTS), np.complex128)
                state, nearest, _ = follow(setup.run, pixel, x, amplitudes, moments)
                if state != ENDED:
                    raise FloatingPointError(
                        f"pixel {number}: no step is small enough for the force at the tolerance "
                        f"{self.tolerance:g}"
                    )
                if period == self.settling:
                    closest[number] = nearest
                if period >= self.settling:
                    closest[number] = min(closest[number], nearest)
                    for axis, part in enumerate(setup.tones(problem, moments, amplitudes - before)):
                        found[axis][number] += part / self.measured
        return problem.spectra(found[0], found[1], closest)


@dataclass(frozen=True)
class _Setup:
    """What the loop needs of a problem, the same for all pixels."""

    listening: Listening
    run: Run

    @classmethod
    def of(cls, problem: Problem, tolerance: float) -> _Setup:
        listening = Listening.to(problem)
        carriers = listening.carriers
        motion = np.array(free_amplitudes(problem.cantilever, problem.drive))
        sides, places = np.nonzero(motion)
        spin = 2 * np.pi * problem.drive.df * np.array(problem.drive.tones)[places]
        swing = Swing(
            np.array([carrier.rate for carrier in carriers]),
            np.array([c.gain if c.compliance > 0 else 0.0 for c in carriers]),
            np.array([carrier.axis for carrier in carriers]),
            spin,
            motion[sides, places],
            sides,
        )
        fastest = max([*swing.rates.imag, *spin])
        scale = max(float(np.abs(motion).sum(axis=1).max()), 1e-12)
        bin_length = problem.period / listening.samples
        largest = min(2 * np.pi / fastest, _PART_OF_BIN * bin_length)
        limits = Limits(problem.period, float(largest), tolerance * scale)
        return cls(listening, Run(swing, rule(), limits))

    def pixel(self, problem: Problem, number: int) -> Pixel:
        """Return what is a pixel's own."""
        kinks = np.array([-np.inf, *np.sort(problem.kinks[number]), np.inf])
        entries = np.full(kinks.size - 1, _FIRST * self.run.limits.largest)
        parameters = tuple(problem.parameters[number])
        return Pixel(problem.heights[number], parameters, kinks, entries)

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
        spectrum = np.asarray(fft(moments, axis=1))
        for band in self.listening.bands:
            frequencies = band.frequencies(problem.drive.df)
            apart = self.run.swing.rates[band.carrier] - 2j * np.pi * frequencies
            series = apart[:, None] ** order / factorials
            places = band.numbers % moments.shape[1]
            impulse = np.sum(spectrum[band.carrier, places] * series, axis=1)
            found[band.axis][band.places] = force_response(
                modes, band.axis, frequencies, problem.period, impulse[:, None],
                change[: len(modes), None],
            )[:, 0]  # fmt: skip
        return found
