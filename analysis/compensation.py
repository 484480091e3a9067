"""Where to send a stage so that the specimen comes to rest where it is wanted.

The model of a stage, found by `analysis.identification`, run forwards predicts the specimen from
the sequence of commands: the play before the sensor, that behind it, Prandtl-Ishlinskii cells,
screw, scale, cross-talk and what the o-rings hold back. In each direction it is monotone, so that
it can be inverted leg by leg (Krejci & Kuhnen, IEE Proc. Control Theory Appl. 148 (2001) 185).
What cannot be predicted is the slip; a stage slips in proportion to the way of a short step, so
that a few small steps in the same direction at the end leave less of it than one long move. Lengths
in µm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from .stage_model import AxisModel, Quantity, StageModel

__all__ = ["AxisMap", "AxisState", "LearntMap", "Standing"]

# Share of the creep that is still held a second after a move, of the reference model's 60 % with
# 4 s and 40 % with 60 s.
_HELD = 0.6 * math.exp(-1.0 / 4.0) + 0.4 * math.exp(-1.0 / 60.0)
# How far over all plays and cells an axis is sent to be sure of their state, as a part of them: the
# model's widths have errors.
_MARGIN = 1.25
# The server's target comes back through its units: this much difference is none.
_SAME = 1e-5


class Standing(Protocol):
    """What a stage's server says of an axis at rest."""

    @property
    def target(self) -> float:
        """Where it was last sent, µm."""
        ...

    @property
    def direction(self) -> int:
        """Of its last motion: -1, 1, or 0 before the first."""
        ...

    @property
    def travel(self) -> float:
        """Way since it last turned round, µm."""
        ...


@dataclass(frozen=True)
class AxisState:
    """Where an axis stands: the command, and what the play and the cells made of it, µm.

    Parameters
    ----------
    command, sensor, loose : float
        Target, and that after the play before and behind the sensor.
    cells : tuple of float
        After each cell.
    held : float
        Of the specimen's way, by the o-rings.
    """

    command: float
    sensor: float
    loose: float
    cells: tuple[float, ...]
    held: float


@dataclass(frozen=True)
class AxisMap:
    """One axis of a stage, forwards and backwards; µm.

    Parameters
    ----------
    scale : float
        Way of the specimen for a unit commanded.
    sensor_half, loose_half : float
        Half widths of the plays before and behind the sensor.
    cells : tuple of (float, float)
        Half width and weight of each cell.
    period : float
        Of the screw; 0 without one.
    amplitudes, phases : tuple of float
        Of its first and second harmonic.
    crosstalk : float
        Way along this axis for a unit of the other.
    creep, creep_limit : float
        Part of a way that the o-rings hold back, and the most they hold.
    slip_length : float
        Way after which a move slips as much as any.
    """

    scale: float
    sensor_half: float
    loose_half: float
    cells: tuple[tuple[float, float], ...]
    period: float
    amplitudes: tuple[float, float]
    phases: tuple[float, float]
    crosstalk: float
    creep: float
    creep_limit: float
    slip_length: float

    @classmethod
    def of(cls, model: AxisModel) -> AxisMap:
        """Take the values of an identified axis; what is not known of screw and rest is left out.

        Raises
        ------
        ValueError
            If the play is not known.
        """
        if not math.isfinite(model.play.value):
            raise ValueError(
                f"the play of {model.axis} is not known: characterise the stage along both axes"
            )
        screw = math.isfinite(model.period.value)
        return cls(
            scale=model.scale.value,
            sensor_half=0.5 * _or_0(model.reported_play),
            loose_half=0.5 * model.play.value,
            cells=tuple((cell.half_width.value, cell.weight.value) for cell in model.cells),
            period=model.period.value if screw else 0.0,
            amplitudes=(model.amplitudes[0].value, model.amplitudes[1].value),
            phases=(_or_0(model.phases[0]), _or_0(model.phases[1])),
            crosstalk=_or_0(model.crosstalk),
            creep=_or_0(model.creep),
            creep_limit=_or_0(model.creep_limit),
            slip_length=model.repeatability_length.value,
        )

    @property
    def width(self) -> float:
        """Way after a reversal by which every play and cell has given way."""
        cells = max((half for half, _ in self.cells), default=0.0)
        return 2.0 * (self.sensor_half + self.loose_half + cells)

    def after(self, command: float, direction: float) -> AxisState:
        """State after a way longer than `width` in a direction, that ended at a command."""
        sensor = command - direction * self.sensor_half
        loose = sensor - direction * self.loose_half
        held = direction * self.creep_limit
        return AxisState(
            command, sensor, loose, tuple(loose - direction * half for half, _ in self.cells), held
        )

    def go(self, state: AxisState, command: float) -> AxisState:
        """State after a move to another command."""
        sensor = _play(command, self.sensor_half, state.sensor)
        loose = _play(sensor, self.loose_half, state.loose)
        cells = tuple(
            _play(loose, half, cell)
            for (half, _), cell in zip(self.cells, state.cells, strict=True)
        )
        moved = replace(state, command=command, sensor=sensor, loose=loose, cells=cells)
        way = self._output(moved) - self._output(state)
        held = max(-self.creep_limit, min(self.creep_limit, state.held + self.creep * way))
        return replace(moved, held=held)

    def position(self, state: AxisState) -> float:
        """Where the specimen is, without the other axis and the constant offset."""
        output = self._output(state)
        place = self.scale * output - _HELD * state.held
        if self.period:
            turn = 2.0 * math.pi * output / self.period
            place += self.amplitudes[0] * math.sin(turn + self.phases[0])
            place += self.amplitudes[1] * math.sin(2.0 * turn + self.phases[1])
        return place

    def command_for(self, place: float, state: AxisState) -> float:
        """Command of the one move from a state that takes the specimen to a place."""
        from scipy.optimize import brentq

        missing = place - self.position(state)
        if missing == 0.0:
            return state.command
        reach = math.copysign(2.0 * abs(missing) / self.scale + 2.0 * self.width, missing)
        found = brentq(
            lambda command: self.position(self.go(state, command)) - place,
            state.command,
            state.command + reach,
            xtol=1e-5,
        )
        return float(found)  # pyright: ignore[reportArgumentType]

    def _output(self, state: AxisState) -> float:
        return state.loose + sum(
            weight * (cell - state.loose)
            for (_, weight), cell in zip(self.cells, state.cells, strict=True)
        )


def _or_0(quantity: Quantity) -> float:
    return quantity.value if math.isfinite(quantity.value) else 0.0


def _play(command: float, half: float, before: float) -> float:
    return max(command - half, min(command + half, before))


class LearntMap:
    """The way to a target through the inverted model of a stage: an approach for x and y.

    The state of plays and cells is known from the commands that it gave; where the server says that
    others have moved the stage meanwhile, an axis is first sent far enough to take up all of them.

    Parameters
    ----------
    model : StageModel
        Of x and y.
    offset : (float, float)
        Position of the specimen less the model's, in the frame of the targets, µm; see `tied`.
    steps : int
        Small steps at the end, in the direction of the motion, to slip less.
    step : float
        Length of each, as a part of the way after which a move slips fully, 0..1. With a memory of
        0.7 five steps of 0.3 leave seven tenths of the slip of one long move.
    """

    name = "learnt map"

    def __init__(
        self,
        model: StageModel,
        *,
        offset: Sequence[float] = (0.0, 0.0),
        steps: int = 5,
        step: float = 0.3,
    ) -> None:
        if steps < 0:
            raise ValueError(f"steps is {steps}, must be 0 or more")
        if not 0.0 <= step <= 1.0:
            raise ValueError(f"step is {step!r}, must be within 0..1")
        self._model = model
        self._maps = {axis.axis: AxisMap.of(axis) for axis in model.axes}
        if set(self._maps) != {"x", "y"}:
            raise ValueError(f"the model is of {', '.join(self._maps)}, must be of x and y")
        self._offset = {"x": float(offset[0]), "y": float(offset[1])}
        self._steps = int(steps)
        self._step = float(step)
        self._states: dict[str, AxisState] = {}

    @property
    def parameters(self) -> Mapping[str, float]:
        """Offset, steps and what is most telling of the model; lengths in µm."""
        told = {f"offset_{axis}": value for axis, value in self._offset.items()}
        told |= {f"backlash_{axis.axis}": axis.backlash.value for axis in self._model.axes}
        return {**told, "steps": float(self._steps), "step": self._step}

    def stepping(self, steps: int) -> LearntMap:
        """Return the same map with another number of small steps at the end; 0 for one move."""
        offset = (self._offset["x"], self._offset["y"])
        return LearntMap(self._model, offset=offset, steps=steps, step=self._step)

    def tied(self, asked: ArrayLike, found: ArrayLike) -> LearntMap:
        """Return the map whose targets lie in the frame in which places were found.

        Parameters
        ----------
        asked, found : array_like, shape (n, 2)
            Targets of this map and where images, of an atlas for example, found the specimen then,
            µm; what is NaN is left out. A dozen tie it to a third of a slip.

        Raises
        ------
        ValueError
            If nothing was found.
        """
        missed = np.asarray(found, dtype=float) - np.asarray(asked, dtype=float)
        missed = missed[np.isfinite(missed).all(axis=-1)]
        if len(missed) == 0:
            raise ValueError("nothing was found to tie the map to: at least one place is needed")
        offset = missed.mean(axis=0) + np.array([self._offset["x"], self._offset["y"]])
        return LearntMap(self._model, offset=offset.tolist(), steps=self._steps, step=self._step)

    def waypoints(
        self, targets: Mapping[str, float], standing: Mapping[str, Standing]
    ) -> list[dict[str, float]]:
        """Return the commands that take the specimen to targets; an axis but x and y goes straight.

        Parameters
        ----------
        targets : mapping of str to float
            Where the specimen shall be, µm.
        standing : mapping of str to Standing
            What the server says of all axes.

        Returns
        -------
        list of dict of str to float
            Commands, one after the other, µm.
        """
        states = {name: self._known(name, standing[name]) for name in "xy"}
        places = self._places(targets, states, standing)
        ways: dict[str, list[float]] = {}
        for name, place in places.items():
            ways[name] = self._way(name, place, states[name])
        ways |= {name: [target] for name, target in targets.items() if name not in ways}
        longest = max(len(way) for way in ways.values())
        # the shorter ones wait: all end together
        return [
            {name: way[leg - longest] for name, way in ways.items() if leg >= longest - len(way)}
            for leg in range(longest)
        ]

    def _known(self, name: str, standing: Standing) -> AxisState | None:
        """State of an axis, if it is known."""
        state = self._states.get(name)
        if state is not None and abs(state.command - standing.target) <= _SAME:
            return state
        if standing.direction and standing.travel >= self._maps[name].width * _MARGIN:
            return self._maps[name].after(standing.target, float(standing.direction))
        return None

    def _places(
        self,
        targets: Mapping[str, float],
        states: Mapping[str, AxisState | None],
        standing: Mapping[str, Standing],
    ) -> dict[str, float]:
        """Wanted places along x and y, each without what the other axis adds."""
        wanted: dict[str, float] = {}
        for name, axis in self._maps.items():
            state = states[name]
            if name in targets:
                wanted[name] = targets[name] - self._offset[name]
            elif state is not None:
                wanted[name] = axis.position(state)
            else:
                wanted[name] = axis.scale * standing[name].target
        return {
            name: wanted[name] - self._maps[name].crosstalk * wanted["xy".replace(name, "")]
            for name in self._maps
            if name in targets
        }

    def _way(self, name: str, place: float, state: AxisState | None) -> list[float]:
        axis = self._maps[name]
        commands: list[float] = []
        if state is None:
            # up to the target from so far below that all gives way
            commands.append(place / axis.scale - self._run(axis) - 2.0 * _MARGIN * axis.width)
            state = axis.after(commands[0] + _MARGIN * axis.width, 1.0)
            commands.append(state.command)
        missing = place - axis.position(state)
        for left in range(self._steps, -1, -1):
            short = left * self._step * axis.slip_length
            if left and short >= abs(missing):
                continue  # a way shorter than all steps has fewer
            state = axis.go(state, axis.command_for(place - math.copysign(short, missing), state))
            commands.append(state.command)
        self._states[name] = state
        return commands

    def _run(self, axis: AxisMap) -> float:
        return self._steps * self._step * axis.slip_length / axis.scale
