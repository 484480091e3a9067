"""The force along z and y from the tones of a flexural and a torsional mode, form unknown.

Each component is a sum of functions of z times powers of y (Borysov et al., eq. 25, with `Field`
priors in the place of powers of z). In the bands F_z shows its even and F_y its odd powers of y
(eq. 26); how many of them the evidence decides, so that a power that is not there costs no noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._generic_basis import Nodes, tent_spectra
from ._generic_blocks import Field
from ._generic_curve import check_settling, first_motion, floor_of
from ._generic_error import Gradient, Hidden, hidden_tones, noise_covariance, stack
from ._generic_evidence import Equations, Estimate, Part, averaged, fit
from ._generic_verdict import UNSTABLE, UNTOUCHED, explains, known
from ._one_thread import on_one_thread
from .curve import Verdict
from .lateral import LateralForces
from .measurement import Measurement, touched
from .modes import response
from .motion import Motion, motion_from_spectra, spectrum

__all__ = ["reconstruct_field"]

Array = NDArray[np.float64]

_GRID = (201, 41)
# Passes of completion with the lowest powers of y alone, then with those that evidence asks for:
# on a motion without its outer tones, high powers would explain what is missing.
_PLAIN_PASSES = 2
# Error of a tone that the model predicts, as a part of it, pass by pass: what a force found on the
# motion of the bands alone says of the tones beside them is a guess; in the end a tenth is missed.
_PREDICTIONS = (1.0, 0.5, 0.3, 0.1, 0.1)
_FORMS = {"z": ((0,), (0, 2), (0, 2, 4)), "y": ((1,), (1, 3))}
# Evidence, as a natural logarithm, that another power of y needs: a power that is in the force
# brings hundreds, one that only mends what is not known of the motion, up to ten.
_STRONG = 10.0


@dataclass(frozen=True, eq=False)
class _Stage:
    """One pass: the motion, and the covariances of the equations' errors, N^2."""

    path: Motion
    covariances: dict[str, Array]


@dataclass(frozen=True, eq=False)
class _Component:
    """F_z or F_y: a function of z at the nodes for each power of y in units of `width`."""

    axis: str
    nodes: Nodes
    width: float
    powers: tuple[int, ...]
    equations: Equations
    blocks: tuple[Field, ...]
    estimate: Estimate

    def value(self, z: Array, y: Array, *, along: str = "") -> Array:
        """Return the component along a path, or its derivative along z or y."""
        total = np.zeros_like(z)
        u = y / self.width
        for power, part in zip(self.powers, self.estimate.parts, strict=True):
            nodal = part.mean * self.equations.unit
            if along == "z":
                total += self.nodes.slope(nodal, z) * u**power
            elif along == "y":
                if power:
                    total += self.nodes.value(nodal, z) * power * u ** (power - 1) / self.width
            else:
                total += self.nodes.value(nodal, z) * u**power
        return total


@on_one_thread
def reconstruct_field(measurement: Measurement) -> LateralForces:
    """Return the field of one pixel with tones along z and y."""
    try:
        return _forces(measurement, *_solved(measurement))
    except np.linalg.LinAlgError:
        return _no_field(measurement)


def _solved(measurement: Measurement) -> tuple[Motion, dict[str, _Component]]:
    noise = {axis: np.tile(measurement.force_noise(axis), 2) for axis in "zy"}
    stage = _Stage(first_motion(measurement), {a: np.diag(n**2) for a, n in noise.items()})
    pair = {axis: _fit(measurement, stage, axis, forms[0]) for axis, forms in _FORMS.items()}
    before = stage.path
    for number, prediction in enumerate(_PREDICTIONS):
        before = stage.path
        stage = _refine(measurement, stage, pair, prediction)
        if number < _PLAIN_PASSES:
            pair = {axis: _fit(measurement, stage, axis, own.powers) for axis, own in pair.items()}
        else:
            pair = _fit_both(measurement, stage)
    # A power of y that comes in may lead far aside for one pass: what counts is where it ends.
    assert before.y is not None
    assert stage.path.y is not None
    check_settling(before.y, stage.path.y)
    return stage.path, pair


def _no_field(measurement: Measurement) -> LateralForces:
    path = first_motion(measurement)
    z, y, visited = _grid(path)
    silent = np.zeros(visited.shape)
    verdict = Verdict(False, (UNSTABLE,))
    return LateralForces(
        z=z,
        y=y,
        force_z=silent,
        force_y=silent,
        force_z_std=None,
        force_y_std=None,
        visited=visited,
        y_degrees=(0, 1),
        verdict_z=verdict,
        verdict_y=verdict,
    )


def _fit_both(measurement: Measurement, stage: _Stage) -> dict[str, _Component]:
    found = {}
    for axis, forms in _FORMS.items():
        best = _fit(measurement, stage, axis, forms[0])
        for powers in forms[1:]:
            other = _fit(measurement, stage, axis, powers)
            if other.estimate.score > best.estimate.score - _STRONG:
                break
            best = other
        found[axis] = best
    return found


def _fit(measurement: Measurement, stage: _Stage, axis: str, powers: tuple[int, ...]) -> _Component:
    path = stage.path
    assert path.y is not None
    nodes = Nodes.over(path.lowest, float(path.z.max()))
    width = float(np.abs(path.y).max())
    force = measurement.force(axis)
    unit = float(np.sqrt(np.mean(np.abs(force) ** 2)))
    equations = Equations(
        stack(force) / unit,
        stage.covariances[axis] / unit**2,
        floor_of(force, measurement, axis) / unit**2,
        unit,
    )
    factors = np.array([(path.y / width) ** power for power in powers])
    tents = tent_spectra(nodes, path.z, factors, measurement.tones[measurement.on_axis(axis)])
    power = float(np.mean(equations.left**2))
    blocks = tuple(Field(nodes, stack(own), power / len(powers)) for own in tents)
    return _Component(axis, nodes, width, powers, equations, blocks, fit(equations, blocks))


def _refine(
    measurement: Measurement, stage: _Stage, pair: dict[str, _Component], prediction: float
) -> _Stage:
    """Return the motion with the answer to the field, and what its errors do to the equations."""
    path = stage.path
    assert path.y is not None
    samples, tones = path.z.size, np.arange(path.z.size // 2 + 1)
    answers, hidden = {}, {}
    for axis, component in pair.items():
        answer = response(measurement.modes, tones * measurement.df, axis)
        answer = answer * spectrum(component.value(path.z, path.y))
        own = measurement.on_axis(axis)
        answer[measurement.tones[own]] = measurement.engaged[own]
        unseen = hidden_tones(measurement, axis)
        deviation = prediction * np.abs(answer[unseen]) / np.sqrt(2.0)
        answers[axis], hidden[axis] = answer, Hidden(unseen, answer[unseen], deviation)
    completed = motion_from_spectra(measurement.df, answers["z"], answers["y"], samples=samples)
    check_settling(path.z, completed.z)
    assert completed.y is not None
    z, y = completed.z, completed.y
    covariances = {}
    for axis, component in pair.items():
        gradients = {
            moving: Gradient(component.value(z, y, along=moving), np.zeros_like(z))
            for moving in "zy"
        }
        covariances[axis] = noise_covariance(measurement, axis, gradients, hidden)
    return _Stage(completed, covariances)


def _forces(measurement: Measurement, path: Motion, pair: dict[str, _Component]) -> LateralForces:
    z, y, visited = _grid(path)
    values, spreads, reasons = {}, {}, {}
    for axis, component in pair.items():
        parts = averaged(component.equations, component.blocks, component.estimate)
        values[axis], spreads[axis] = _on_grid(component, parts, z, y)
        against = explains(component.estimate)
        own = measurement.select(measurement.on_axis(axis))
        if not touched(own):
            against = [UNTOUCHED]
        against += known(f"F_{axis}", values[axis][visited], spreads[axis][visited])
        reasons[axis] = tuple(against)
    # Both components make the motion along which either is sought.
    ok = not (reasons["z"] or reasons["y"])
    return LateralForces(
        z=z,
        y=y,
        force_z=values["z"],
        force_y=values["y"],
        force_z_std=spreads["z"],
        force_y_std=spreads["y"],
        visited=visited,
        y_degrees=(max(pair["z"].powers), max(pair["y"].powers)),
        verdict_z=Verdict(ok, reasons["z"] or reasons["y"]),
        verdict_y=Verdict(ok, reasons["y"] or reasons["z"]),
    )


def _on_grid(
    component: _Component, parts: tuple[Part, ...], z: Array, y: Array
) -> tuple[Array, Array]:
    value, variance = np.zeros((z.size, y.size)), np.zeros((z.size, y.size))
    for power, part in zip(component.powers, parts, strict=True):
        u = (y / component.width) ** power
        value += np.outer(component.nodes.value(part.mean, z), u)
        own = component.nodes.value(np.diag(part.covariance), z)
        variance += np.outer(np.maximum(own, 0.0), u**2)
    return value * component.equations.unit, np.sqrt(variance) * component.equations.unit


def _grid(path: Motion) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return deflections along z and y, and between them the cells where the motion came by."""
    assert path.y is not None
    z = np.linspace(path.lowest, 0.0, _GRID[0])
    y = np.linspace(float(path.y.min()), float(path.y.max()), _GRID[1])
    edges = [np.append(g - 0.5 * (g[1] - g[0]), g[-1] + 0.5 * (g[1] - g[0])) for g in (z, y)]
    count, _, _ = np.histogram2d(path.z, path.y, bins=edges)
    return z, y, count > 0.0
