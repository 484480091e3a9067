"""The force along one axis from the tones of one pixel: passes of fit and completion of the motion.

The conservative part is a `Field`; damping is none, positive with a smooth logarithm, free, or
positive with a part in the cube of the velocity, whichever the evidence prefers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._generic_basis import Nodes, tent_spectra
from ._generic_blocks import Block, Field, Positive
from ._generic_error import Gradient, Hidden, follow, hidden_tones, noise_covariance, stack
from ._generic_evidence import Equations, Estimate, Part, averaged, fit, resume
from ._one_thread import on_one_thread
from .measurement import Measurement
from .modes import response
from .motion import Motion, motion, motion_from_spectra, spectrum

__all__ = ["Search", "Solved", "check_settling", "first_motion", "floor_of", "solve_curve"]

Array = NDArray[np.float64]

# Passes of completion: two are enough in air, a soft cantilever in a liquid takes more.
_PASSES = 2, 3
_SETTLED = 0.2
# Evidence, as a natural logarithm, that speaks for another form of damping than the first one:
# above 3 it is strong (Kass and Raftery, J. Am. Stat. Assoc. 90, 773 (1995)).
_STRONG = 3.0
_FORMS = (("positive",), (), ("free",), ("positive", "cubic"))
_POWERS = {"positive": 1, "free": 1, "cubic": 3}
# How much of the tones' power the first guess of a damping explains.
_GUESSES = {"positive": 0.05, "free": 0.05, "cubic": 0.005}
# Samples a cycle of the highest tone: contact is a small part of a cycle.
_SAMPLES, _FEWEST = 24, 1 << 15
# Error of a tone that the model predicts, as a part of it: what its linear dependence on the force
# leaves. In the paper's first case the model misses the tones beside the bands by a tenth.
_PREDICTION = 0.1
# Part of the largest velocity at which the dissipative force is judged.
_JUDGED = 0.2
# Part of the largest deflection by which the answer to the force may change the motion in a pass: a
# force that was found where the tip hardly was may be so wrong that its answer leads far away.
_LARGEST_CHANGE = 0.5
# The floor of the model's error holds a hundredth of the band's power beside each tone's own.
_SHARED = 0.01


@dataclass(frozen=True, eq=False)
class Search:
    """What is sought, and from which tones.

    Parameters
    ----------
    equations : ndarray of int, optional
        Places of the tones at which the force is fitted, all by default. All tones describe the
        motion.
    forms : tuple of tuple of str
        The first form of damping to be tried, and others that take its place on strong evidence.
    passes : tuple of int
        Fewest and most passes of completion.
    samples : int
        Of the motion, at least.
    """

    equations: NDArray[np.int64] | None = None
    forms: tuple[tuple[str, ...], ...] = _FORMS
    passes: tuple[int, int] = _PASSES
    samples: int = 0

    def rows(self, count: int) -> NDArray[np.int64]:
        """Return the places of real and imaginary parts among those of `count` tones."""
        places = np.arange(count) if self.equations is None else self.equations
        return np.concatenate([places, places + count])


@dataclass(frozen=True, eq=False)
class Solved:
    """The force of one pixel at the nodes.

    Parameters
    ----------
    path : Motion
        Completed.
    nodes : Nodes
    damping : tuple of str
        The parts after the conservative one.
    equations : Equations
    estimate : Estimate
    parts : tuple of Part
        With the uncertainty of the hyperparameters, in N, N s/m and N s³/m³.
    dissipative : Part
        The dissipative force at 0.2 of the largest velocity, N.
    hidden : Hidden
        Tones that were completed.
    """

    path: Motion
    nodes: Nodes
    damping: tuple[str, ...]
    equations: Equations
    estimate: Estimate
    parts: tuple[Part, ...]
    dissipative: Part
    hidden: Hidden


@dataclass(frozen=True, eq=False)
class _Stage:
    """One pass: the motion as it is known, and the equations along it.

    `tents` holds the stacked tones of the tents times each power of the velocity, in units of
    `speed`; `shift` is what is added to the measured force, N, `covariance` that of its errors.
    """

    path: Motion
    nodes: Nodes
    speed: float
    tents: dict[int, Array]
    shift: Array
    covariance: Array


def _first_stage(measurement: Measurement, samples: int) -> _Stage:
    path = first_motion(measurement, samples)
    nodes, speed = _scales(path)
    tents = _tents(nodes, path, speed, measurement.tones)
    noise = np.tile(measurement.force_noise(), 2)
    return _Stage(path, nodes, speed, tents, np.zeros(noise.size), np.diag(noise**2))


def _scales(path: Motion) -> tuple[Nodes, float]:
    return Nodes.over(path.lowest, float(path.z.max())), float(np.abs(path.velocity).max())


def _tents(
    nodes: Nodes,
    path: Motion,
    speed: float,
    tones: NDArray[np.int64],
    gain: NDArray[np.complex128] | None = None,
) -> dict[int, Array]:
    powers = (0, *sorted(set(_POWERS.values())))
    rate = path.velocity / speed
    factors = np.array([np.prod(power * [rate], axis=0) * np.ones_like(rate) for power in powers])
    found = tent_spectra(nodes, path.z, factors, tones)
    if gain is not None:
        found = found * gain[:, None]
    return {power: stack(own) for power, own in zip(powers, found, strict=True)}


@dataclass(frozen=True, eq=False)
class _Fit:
    nodes: Nodes
    speed: float
    damping: tuple[str, ...]
    equations: Equations
    blocks: tuple[Block, ...]
    estimate: Estimate

    def units(self) -> list[float]:
        """Return what turns each part into N and powers of m/s."""
        powers = [0] + [_POWERS[kind] for kind in self.damping]
        return [self.equations.unit / self.speed**power for power in powers]


def first_motion(measurement: Measurement, samples: int = 0) -> Motion:
    """Return the motion of the measured tones, sampled for forces with a sharp contact."""
    wanted = max(_SAMPLES * int(measurement.tones.max()), _FEWEST, samples)
    return motion(measurement, 1 << (wanted - 1).bit_length())


def check_settling(before: Array, after: Array) -> None:
    """Refuse a deflection that runs away from the one of the pass before.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it does.
    """
    # not less, rather than more: a deflection may have become no number
    if not np.abs(after - before).max() < _LARGEST_CHANGE * np.abs(before).max():
        raise np.linalg.LinAlgError("the motion with the answer to the force runs away")


def floor_of(force: NDArray[np.complex128], measurement: Measurement, axis: str) -> Array:
    """Return the variances of a model error of the size of the tones, N^2, (2k,)."""
    power = np.abs(force) ** 2
    shared = np.zeros(force.size)
    own = np.flatnonzero(measurement.on_axis(axis))
    for places in measurement.bands():
        band = np.isin(own, places)
        if band.any():
            shared[band] = power[band].mean()
    return np.tile(power + _SHARED * shared, 2)


@on_one_thread
def solve_curve(measurement: Measurement, search: Search | None = None) -> Solved:
    """Return the force of one pixel with tones along z alone."""
    search = Search() if search is None else search
    stage = _first_stage(measurement, search.samples)
    first, *others = search.forms
    found = _fit(measurement, stage, search, first)
    stage, hidden, found = _completed(measurement, stage, search, found)
    rivals = [found, *(_fit(measurement, stage, search, kinds) for kinds in others)]
    best = min(rivals, key=lambda rival: rival.estimate.score)
    if best.estimate.score < found.estimate.score - _STRONG:
        stage, hidden, found = _completed(measurement, stage, search, best)
    dissipative = [0.0] + [_JUDGED ** _POWERS[kind] for kind in found.damping]
    mixtures = np.vstack([np.eye(len(found.blocks)), dissipative])
    *parts, slow = averaged(found.equations, found.blocks, found.estimate, mixtures)
    return Solved(
        path=stage.path,
        nodes=found.nodes,
        damping=found.damping,
        equations=found.equations,
        estimate=found.estimate,
        parts=tuple(map(_scaled, parts, found.units())),
        dissipative=_scaled(slow, found.equations.unit),
        hidden=hidden,
    )


def _scaled(part: Part, unit: float) -> Part:
    return Part(part.mean * unit, part.covariance * unit**2)


def _completed(
    measurement: Measurement, stage: _Stage, search: Search, found: _Fit
) -> tuple[_Stage, Hidden, _Fit]:
    """Return the fit on a motion that no longer changes by more than it is uncertain."""
    fewest, most = search.passes
    number = 0
    while True:
        before = stage.path
        stage, hidden = _refine(measurement, stage, found)
        found = _fit(measurement, stage, search, found.damping, found)
        number += 1
        change = np.sqrt(2.0 * np.mean((stage.path.z - before.z) ** 2))
        settled = change < _SETTLED * np.sqrt(2.0 * np.sum(hidden.deviation**2))
        if number >= most or (number >= fewest and settled):
            return stage, hidden, found


def _fit(
    measurement: Measurement,
    stage: _Stage,
    search: Search,
    damping: tuple[str, ...],
    before: _Fit | None = None,
) -> _Fit:
    nodes = stage.nodes
    force = measurement.force()
    rows = search.rows(force.size)
    unit = float(np.sqrt(2.0 * np.mean(stack(force)[rows] ** 2)))
    equations = Equations(
        (stack(force) + stage.shift)[rows] / unit,
        stage.covariance[np.ix_(rows, rows)] / unit**2,
        floor_of(force, measurement, "z")[rows] / unit**2,
        unit,
    )
    power = float(np.mean(equations.left**2))
    blocks: list[Block] = [Field(nodes, stage.tents[0][rows], power)]
    for kind in damping:
        prior = Field if kind == "free" else Positive
        own = -stage.tents[_POWERS[kind]][rows]
        blocks.append(prior(nodes, own, _GUESSES[kind] * power))
    start = None
    if before is not None:
        resume(blocks, before.blocks)
        start = before.estimate.hyper
    estimate = fit(equations, blocks, start)
    return _Fit(nodes, stage.speed, damping, equations, tuple(blocks), estimate)


def _refine(measurement: Measurement, stage: _Stage, found: _Fit) -> tuple[_Stage, Hidden]:
    """Return the motion with the answer to the force, and the equations along it.

    The hidden tones are the cantilever's answer to the very force that is sought. To first order
    they are eliminated: tents act directly, and through the hidden tones they make.
    """
    force, gradient = _along(stage.path, found)
    samples, df = stage.path.z.size, measurement.df
    tones = np.arange(samples // 2 + 1)
    answer = response(measurement.modes, tones * df) * spectrum(force)
    answer[measurement.tones] = measurement.engaged
    path = motion_from_spectra(df, answer, samples=samples)
    check_settling(stage.path.z, path.z)
    unseen = hidden_tones(measurement, "z")
    hidden = Hidden(unseen, answer[unseen], _PREDICTION * np.abs(answer[unseen]) / np.sqrt(2.0))
    _, gradient = _along(path, found)
    covariance = noise_covariance(measurement, "z", {"z": gradient}, {"z": hidden})
    nodes, speed = _scales(path)
    tents = _tents(nodes, path, speed, measurement.tones)
    gain = response(measurement.modes, unseen * df)
    gain[unseen == 0] *= 0.5
    made = _tents(nodes, path, speed, unseen, gain)
    through = follow(gradient, measurement.tones, unseen, df)
    for power, own in tents.items():
        tents[power] = own + through @ made[power]
    shift = through @ stack(hidden.used)
    return _Stage(path, nodes, speed, tents, shift, covariance), hidden


def _along(path: Motion, found: _Fit) -> tuple[Array, Gradient]:
    """Return the force along a motion, N, and its gradient."""
    nodes, v = found.nodes, path.velocity
    nodal = [
        part.mean * unit for part, unit in zip(found.estimate.parts, found.units(), strict=True)
    ]
    force, position = nodes.value(nodal[0], path.z), nodes.slope(nodal[0], path.z)
    rate = np.zeros_like(v)
    for kind, values in zip(found.damping, nodal[1:], strict=True):
        power = _POWERS[kind]
        damping = nodes.value(values, path.z)
        force = force - damping * v**power
        position = position - nodes.slope(values, path.z) * v**power
        rate = rate - power * damping * v ** (power - 1)
    return force, Gradient(position, rate)
