"""Thousands of pixels at once, faster than the instrument: kicks by the force, exact in between.

Strang splitting: the force acts as kicks at equal steps, and between them the modes and the drive
move exactly, so that only the force is sampled (McLachlan and Quispel, Acta Numerica 11, 341
(2002)). Few steps a cycle are enough, because the sampling drifts through the thousand contacts of
a period and the errors of the kicks cancel. Where the steps keep pace with the beat of two modes
they cancel less, so the error is not a smooth function of the number of steps.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.cantilever._bands import Band, Listening
from sim.cantilever._lanes import HIDDEN, march
from sim.cantilever._problem import Problem, force_response
from sim.cantilever.model import Cantilever, Drive, Spectra, Tones
from sim.forces import Force

__all__ = ["FastEngine"]

_FAR = 1.0  # m; no tip is farther from its surface


@dataclass(frozen=True)
class FastEngine:
    """Fixed steps, many pixels abreast.

    Parameters
    ----------
    steps_per_cycle : int
        Steps in a cycle of the highest mode; 8 at least. 24 keep the error of the paper's cases
        below 2e-3 even where the steps keep pace with a beat, 14 do elsewhere.
    lanes : int
        How many pixels go abreast. Fewer pixels take as long as this many.
    dtype : str
        "float32" or "float64". The former is twice as fast and good to a few parts in 10^4.
    settling : int
        Periods before the measured ones, from the free motion on.
    measured : int
        Periods over which the tones are averaged.
    """

    steps_per_cycle: int = 24
    lanes: int = 64
    dtype: str = "float32"
    settling: int = 1
    measured: int = 1

    def __post_init__(self) -> None:
        lowest = {"steps_per_cycle": 8, "lanes": 1, "settling": 0, "measured": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and int(value) == value and value >= least):
                raise ValueError(f"{name} {value!r} is not allowed: a whole number from {least}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f'dtype {self.dtype!r} is not allowed: "float32" or "float64"')

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
            When the force is too stiff for the steps.
        """
        problem = Problem.checked(cantilever, drive, forces, heights, tones)
        plan = _Plan.of(problem, self.steps_per_cycle)
        lane_loop = _LaneLoop.of(problem, plan, self.lanes, np.dtype(self.dtype).type)
        pixels = problem.heights.size
        z = np.zeros((pixels, len(tones.z)), np.complex128)
        y = np.zeros((pixels, len(tones.y)), np.complex128)
        closest = np.empty(pixels)
        for first in range(0, pixels, self.lanes):
            chosen = slice(first, min(first + self.lanes, pixels))
            state = lane_loop.start(problem, chosen)
            for _ in range(self.settling):
                lane_loop.run(state)
            lane_loop.forget_closest(state)
            for _ in range(self.measured):
                samples = lane_loop.run(state)
                for band, weights in zip(plan.bands, lane_loop.weights, strict=True):
                    part = _tones(problem, plan, band, weights, samples) / self.measured
                    (z, y)[band.axis][chosen, band.places] += part.T[: chosen.stop - first]
            closest[chosen] = lane_loop.closest(state)[: chosen.stop - first]
        return problem.spectra(z, y, closest)


@dataclass(frozen=True)
class _Plan(Listening):
    """How a period is cut into steps, `stride` of them between two samples of the carriers."""

    steps: int = 1
    stride: int = 1
    step: float = 0.0

    @classmethod
    def of(cls, problem: Problem, steps_per_cycle: int) -> _Plan:
        hears = Listening.to(problem)
        fastest = max(mode.rate.imag for mode in hears.carriers[: hears.modes])
        least = math.ceil(steps_per_cycle * fastest * problem.period / (2 * np.pi))
        stride = max(1, least // hears.samples)
        samples = math.ceil(least / stride)
        steps = stride * samples
        return cls(
            hears.carriers, hears.modes, hears.bands, samples, steps, stride,
            problem.period / steps,
        )  # fmt: skip


@dataclass(frozen=True)
class _LaneLoop:
    """The compiled loop with all that it needs besides its state."""

    follow: Any
    carriers: int
    lanes: int
    free: NDArray[Any]
    coefficients: tuple[Any, ...]
    strain: tuple[Any, ...]
    stride: int
    record: NDArray[Any]
    weights: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, problem: Problem, plan: _Plan, lanes: int, real: Any) -> _LaneLoop:
        axes, coefficients, strain = [], [], [0.0, 0.0]
        for carrier in plan.carriers:
            turn = cmath.exp(carrier.rate * plan.step)
            coefficients += [turn.real, turn.imag, carrier.rate.real, -carrier.rate.imag]
            coefficients += [-carrier.gain * plan.step]
            strain[carrier.axis] += carrier.compliance * plan.step / 2
            axes.append(carrier.axis + (0 if carrier.compliance > 0 else HIDDEN))
        return cls(
            march(problem.kernel, problem.parameters.shape[1], tuple(axes), lanes),
            len(axes),
            lanes,
            problem.free_motion(plan.steps).astype(real),
            tuple(real(value) for value in coefficients),
            tuple(real(value) for value in strain),
            plan.stride,
            np.empty((plan.samples + 1, 2 * len(axes) * lanes), real),
            tuple(_weights(band, plan.samples, real) for band in plan.bands),
        )

    def start(self, problem: Problem, chosen: slice) -> NDArray[Any]:
        """Return the state of the pixels that move freely, the last one in all lanes left over."""
        pixels = np.minimum(np.arange(chosen.start, chosen.start + self.lanes), chosen.stop - 1)
        rows = 2 * self.carriers + 2 + problem.parameters.shape[1]
        state = np.zeros((rows, self.lanes), self.record.dtype)
        state[2 * self.carriers] = problem.heights[pixels]
        state[2 * self.carriers + 2 :] = problem.parameters[pixels].T
        self.forget_closest(state.reshape(-1))
        return state.reshape(-1)

    def closest(self, state: NDArray[Any]) -> NDArray[Any]:
        """Return the part of the state that holds the smallest distances."""
        first = (2 * self.carriers + 1) * self.lanes
        return state[first : first + self.lanes]

    def forget_closest(self, state: NDArray[Any]) -> None:
        """Begin anew to look for the smallest distances."""
        self.closest(state)[:] = _FAR

    def run(self, state: NDArray[Any]) -> NDArray[Any]:
        """Follow a period and return the carriers, (samples + 1, carriers, 2, lanes)."""
        self.follow(state, self.free, self.coefficients, self.strain, self.stride, self.record)
        return self.record.reshape(-1, self.carriers, 2, self.lanes)


def _weights(band: Band, samples: int, real: Any) -> NDArray[Any]:
    """Return the Fourier sum over the samples: real and imaginary rows, (2 tones, samples)."""
    angles = 2 * np.pi * np.arange(samples) / samples
    places = np.outer(band.numbers, np.arange(samples)) % samples
    return np.concatenate([np.cos(angles)[places], -np.sin(angles)[places]]).astype(real)


def _tones(
    problem: Problem,
    plan: _Plan,
    band: Band,
    weights: NDArray[Any],
    samples: NDArray[Any],
) -> NDArray[np.complex128]:
    """Return the tones of a band that the force makes, shape (tones, lanes).

    What a carrier gains between two samples is the sum of the kicks, each turned from its time to
    the later sample. Turned back to the middle of the kicks it is the force's Fourier integral
    over that time, but for the spread of the phase within it.
    """
    lanes = samples.shape[-1]
    carrier = plan.carriers[band.carrier]
    frequencies = band.frequencies(problem.drive.df)
    ends = samples[[0, -1]].astype(np.float64)
    first, last = ends[:, :, 0] + 1j * ends[:, :, 1]
    flat = samples[:-1, band.carrier].reshape(plan.samples, 2 * lanes)
    sums = (weights @ flat).astype(np.float64).reshape(2, frequencies.size, 2, lanes)
    fourier = sums[0, :, 0] - sums[1, :, 1] + 1j * (sums[0, :, 1] + sums[1, :, 0])

    span = plan.step * plan.stride
    turn = np.exp(2j * np.pi * frequencies * span)[:, None]
    shifted = turn * (fourier - first[band.carrier] + last[band.carrier])
    gained = shifted - np.exp(carrier.rate * span) * fourier
    middle = plan.step * (plan.stride - 1) / 2
    back = np.exp(-carrier.rate * (span - middle) - 2j * np.pi * frequencies * middle)
    impulse = gained * back[:, None] / (-1j * carrier.gain)
    modes = slice(plan.modes)
    return force_response(
        plan.carriers[modes], band.axis, frequencies, problem.period, impulse,
        last[modes] - first[modes],
    )  # fmt: skip
