"""What is a force law to a fit: parameters, a force along the motion, and how it answers changes.

A law's parameter that is given a number is known; one that is left None is fitted. Laws add up to
a `Model`. Slopes that a law does not write down are taken by central differences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Law", "Model", "Parameter", "Prior", "Slopes", "State"]

# Relative step of a central difference: the cube root of the rounding error.
_STEP = 6e-6
# Steps of the state: far below any length and speed of an AFM, far above rounding.
_STEP_M, _STEP_M_S = 1e-13, 1e-7


@dataclass(frozen=True)
class Prior:
    """What is known of a parameter beforehand: a mean and a standard deviation, in its unit.

    Raises
    ------
    ValueError
        If they are not finite or the standard deviation is negative; 0 holds the mean fixed.
    """

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.deviation) and self.deviation >= 0):
            raise ValueError(
                f"a prior of {self.mean} ± {self.deviation} is no mean and standard deviation"
            )


@dataclass(frozen=True)
class Parameter:
    """A parameter that can be fitted.

    Parameters
    ----------
    name, unit : str
    search : tuple of float
        Values from which a fit that is given no start looks for one; of a `linear` parameter only
        the typical size.
    linear : bool
        The law's force is proportional to it, summed over its linear parameters.
    logarithmic : bool
        It is positive and fitted as a logarithm.
    prior : Prior or None
        What is usually known of it.
    signed : bool
        A search for a start tries negative values, too.
    origin : bool
        It is the distance at which the contact begins: told by the motion only together with the
        height, so that their difference is fitted.
    """

    name: str
    unit: str
    search: tuple[float, ...]
    linear: bool = False
    logarithmic: bool = False
    prior: Prior | None = None
    signed: bool = False
    origin: bool = False


@dataclass(frozen=True, eq=False)
class State:
    """Where the tip is, and how fast, at n moments.

    Parameters
    ----------
    d, vz : ndarray, shape (n,)
        Distance from the surface, m, and its rate, m/s.
    y : ndarray, shape (n,), or None
        Lateral deflection, m, where there is a lateral signal.
    interval : float
        Time that each moment stands for, s: a jump of the force is spread over it.
    """

    d: NDArray[np.float64]
    vz: NDArray[np.float64]
    y: NDArray[np.float64] | None = None
    interval: float = 0.0

    def along_z(self, force: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a force along z with as many axes as there are signals, shape (axes, n)."""
        return force[None] if self.y is None else np.stack([force, np.zeros_like(force)])


@dataclass(frozen=True, eq=False)
class Slopes:
    """A force (along z, and along y where there is a lateral signal) and its slopes.

    Parameters
    ----------
    force : ndarray, shape (axes, n)
        N.
    parameters : ndarray, shape (m, axes, n)
        Slope with each of the m parameters, N over its unit.
    distance, velocity : ndarray, shape (axes, n)
        Slope with `d`, N/m, and with `vz`, N s/m.
    lateral : ndarray, shape (axes, n), or None
        Slope with `y`, N/m, where there is a lateral signal and the force depends on it.
    """

    force: NDArray[np.float64]
    parameters: NDArray[np.float64]
    distance: NDArray[np.float64]
    velocity: NDArray[np.float64]
    lateral: NDArray[np.float64] | None = None

    def __add__(self, other: Slopes) -> Slopes:
        lateral = [part for part in (self.lateral, other.lateral) if part is not None]
        return Slopes(
            self.force + other.force,
            np.concatenate([self.parameters, other.parameters]),
            self.distance + other.distance,
            self.velocity + other.velocity,
            sum(lateral[1:], lateral[0]) if lateral else None,
        )


class Law:
    """Base of the force laws: frozen dataclasses of constants and of `catalogue` parameters."""

    catalogue: ClassVar[tuple[Parameter, ...]]
    lateral: ClassVar[bool] = False

    def __post_init__(self) -> None:
        fitted = {parameter.name: parameter for parameter in self.catalogue}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            parameter = fitted.get(field.name)
            if value is None and parameter is not None:
                continue
            any_sign = parameter is not None and not parameter.logarithmic
            if not isinstance(value, int | float) or not _allowed(value, any_sign):
                wanted = "a finite number" if any_sign else "a positive number"
                wanted += "" if parameter is None else f" ({parameter.unit}) or None, to fit it,"
                raise ValueError(
                    f"{field.name} of {type(self).__name__} is {value!r}: {wanted} is wanted"
                )

    @property
    def known(self) -> tuple[float | None, ...]:
        """The parameters in the order of the catalogue, None where fitted."""
        return tuple(getattr(self, parameter.name) for parameter in self.catalogue)

    @property
    def laws(self) -> tuple[Law, ...]:
        """The law itself, as a sum of one."""
        return (self,)

    def __add__(self, other: Law | Model) -> Model:
        return Model(self.laws + other.laws)

    def force(self, values: NDArray[np.float64], state: State) -> NDArray[np.float64]:
        """Return the force, N, shape (axes, n), for values of the catalogue's parameters (m,)."""
        raise NotImplementedError

    def slopes(self, values: NDArray[np.float64], state: State) -> Slopes:
        """Return the force with its slopes; by central differences where not overridden."""
        parameters = []
        for i, value in enumerate(values):
            step = _STEP * (abs(value) or self.catalogue[i].search[0])
            up, down = values.copy(), values.copy()
            up[i] += step
            down[i] -= step
            change = self.force(up, state) - self.force(down, state)
            parameters.append(change / (2.0 * step))

        def slope(name: str, step: float) -> NDArray[np.float64]:
            above = replace(state, **{name: getattr(state, name) + step})
            below = replace(state, **{name: getattr(state, name) - step})
            return (self.force(values, above) - self.force(values, below)) / (2.0 * step)

        return Slopes(
            self.force(values, state),
            np.array(parameters),
            slope("d", _STEP_M),
            slope("vz", _STEP_M_S),
            None if state.y is None else slope("y", _STEP_M),
        )


@dataclass(frozen=True)
class Model:
    """A sum of force laws, made with `+`.

    Raises
    ------
    ValueError
        If a law is in it twice or no parameter is left to fit.
    """

    laws: tuple[Law, ...]

    def __post_init__(self) -> None:
        for kind, count in Counter(type(law) for law in self.laws).items():
            if count > 1:
                raise ValueError(f"{kind.__name__} is in the model {count} times: once is allowed")

    def __add__(self, other: Law | Model) -> Model:
        return Model(self.laws + other.laws)

    @property
    def lateral(self) -> bool:
        """Whether a law acts along y."""
        return any(law.lateral for law in self.laws)

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """Which of all parameters are fitted, shape (m,)."""
        return np.isnan(self._known)

    @cached_property
    def _known(self) -> NDArray[np.float64]:
        """All parameters, NaN where fitted, shape (m,)."""
        return np.array([np.nan if v is None else v for law in self.laws for v in law.known])

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The fitted parameters; a name that two laws share has the law's before it."""
        every = [(law, parameter) for law in self.laws for parameter in law.catalogue]
        names = Counter(parameter.name for _, parameter in every)
        return tuple(
            parameter
            if names[parameter.name] == 1
            else Parameter(**{**vars(parameter), "name": f"{_snake(law)}_{parameter.name}"})
            for (law, parameter), free in zip(every, self.free, strict=True)
            if free
        )

    def values(self, fitted: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return all parameters, shape (m,), with the fitted ones as given."""
        values = self._known.copy()
        values[self.free] = fitted
        return values

    def force(
        self, fitted: Sequence[float] | NDArray[np.float64], state: State
    ) -> NDArray[np.float64]:
        """Return the force, N, shape (axes, n), for values of the fitted parameters."""
        parts = zip(self.laws, self._split(self.values(fitted)), strict=True)
        first, *others = [law.force(values, state) for law, values in parts]
        return sum(others, first)

    def slopes(self, fitted: Sequence[float] | NDArray[np.float64], state: State) -> Slopes:
        """Return the force and its slopes, those of the fitted parameters only."""
        parts = zip(self.laws, self._split(self.values(fitted)), strict=True)
        first, *others = [law.slopes(values, state) for law, values in parts]
        total = sum(others, first)
        return replace(total, parameters=total.parameters[self.free])

    def _split(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        ends = accumulate(len(law.catalogue) for law in self.laws)
        return [
            values[end - len(law.catalogue) : end] for law, end in zip(self.laws, ends, strict=True)
        ]


def _snake(law: Law) -> str:
    name = type(law).__name__
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _allowed(value: float, any_sign: bool) -> bool:
    return math.isfinite(value) and (any_sign or value > 0.0)
