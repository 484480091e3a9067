"""What a tip-surface force law is: a formula in NumPy, and the same formula for compiled loops.

A law tells the force on the tip from the distance d to the surface, the lateral deflection y and
both velocities. `Force.components` is the reference form. `Force.kernels` are plain functions of
scalars that numba compiles into whatever loop calls them; they hold no branches, so that a loop
over pixels becomes vector instructions, and they keep the precision of their arguments.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

__all__ = ["Force", "Kernel", "Sum", "composed_kernel", "require"]

Kernel = Callable[..., tuple[Any, Any]]


class Force(ABC):
    """A law of the force between tip and surface. Laws compose with ``+``.

    Distances are in m (the surface at d = 0), velocities in m/s, forces in N; attraction is
    negative.
    """

    @abstractmethod
    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the force along z and along y, the reference form.

        Parameters
        ----------
        d : array_like
            Distance of the tip from the surface, m.
        y : array_like
            Lateral deflection, m.
        vz, vy : array_like
            Velocities along z and y, m/s.

        Returns
        -------
        tuple of ndarray
            Fz and Fy in N, of the shape to which the arguments broadcast.
        """

    @property
    def kinks(self) -> tuple[float, ...]:
        """Distances d in m at which the force or its slope jumps."""
        return ()

    @property
    @abstractmethod
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form: ``kernel(d, y, vz, vy, p, o) -> (fz, fy)``, one function a law.

        `p` holds the parameters of all the laws, `o` is the place of this law's first.
        """

    @property
    @abstractmethod
    def parameters(self) -> NDArray[np.float64]:
        """What the kernels read as `p`: the parameters as the formula needs them, shape (n,)."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many of the parameters belong to each of the kernels."""
        return (self.parameters.size,)

    def __add__(self, other: Force) -> Sum:
        if not isinstance(other, Force):
            return NotImplemented
        return Sum(_laws(self) + _laws(other))


@dataclass(frozen=True)
class Sum(Force):
    """Several laws that act at once.

    Parameters
    ----------
    laws : tuple of Force
        The laws; one at least.
    """

    laws: tuple[Force, ...]

    def __post_init__(self) -> None:
        if not self.laws:
            raise ValueError("a sum of no force laws is not allowed: name one at least, or NoForce")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sum of the laws' forces along z and y, N."""
        parts = [law.components(d, y, vz, vy) for law in self.laws]
        return (
            np.sum([part[0] for part in parts], axis=0),
            np.sum([part[1] for part in parts], axis=0),
        )

    @property
    def kinks(self) -> tuple[float, ...]:
        """Distances d in m at which any of the laws or its slope jumps."""
        return tuple(sorted({kink for law in self.laws for kink in law.kinks}))

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The laws' compiled forms, in the order of the laws."""
        return tuple(kernel for law in self.laws for kernel in law.kernels)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """The laws' parameters, one after the other."""
        return np.concatenate([law.parameters for law in self.laws])

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many of the parameters belong to each of the kernels."""
        return tuple(size for law in self.laws for size in law.sizes)


def _laws(force: Force) -> tuple[Force, ...]:
    return force.laws if isinstance(force, Sum) else (force,)


def composed_kernel(force: Force) -> Kernel:
    """Return one function for all the laws of `force`, to be called from compiled code.

    Parameters
    ----------
    force : Force
        A law or a sum of laws. Forces of the same kinds give the same function.

    Returns
    -------
    callable
        ``kernel(d, y, vz, vy, p, o) -> (fz, fy)``, o = 0 for parameters as in `force.parameters`.
    """
    return _composed(force.kernels, force.sizes)


@cache
def _composed(kernels: tuple[Kernel, ...], sizes: tuple[int, ...]) -> Kernel:
    first, size = kernels[0], sizes[0]
    # the cache on disk knows a kernel by its name: the print tells it when the formula changes
    print_of_code = _print_of_code(first)

    @register_jitable
    def alone(d, y, vz, vy, p, o):
        print_of_code  # noqa: B018  # pyright: ignore[reportUnusedExpression]
        return first(d, y, vz, vy, p, o)

    if len(kernels) == 1:
        return alone
    rest = _composed(kernels[1:], sizes[1:])

    @register_jitable
    def together(d, y, vz, vy, p, o):
        one = alone(d, y, vz, vy, p, o)
        others = rest(d, y, vz, vy, p, o + size)
        return one[0] + others[0], one[1] + others[1]

    return together


def _print_of_code(kernel: Kernel) -> int:
    code = kernel.__code__
    text = repr((code.co_code, code.co_names, [c for c in code.co_consts if not callable(c)]))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def require(law: Force, *, positive: str = "", finite: str = "", at_least_zero: str = "") -> None:
    """Refuse parameters of `law` that no tip and surface can have.

    Parameters
    ----------
    law : Force
        A dataclass.
    positive, finite, at_least_zero : str
        Names of fields, separated by blanks.

    Raises
    ------
    ValueError
        When a field is not finite, or not of the sign it must have.
    """
    kinds = dict.fromkeys(positive.split(), "positive")
    kinds |= dict.fromkeys(finite.split(), "finite")
    kinds |= dict.fromkeys(at_least_zero.split(), "zero or more")
    names = {field.name for field in fields(law)}  # type: ignore[arg-type]
    for name, kind in kinds.items():
        assert name in names, name
        value = getattr(law, name)
        good = math.isfinite(value)
        good = good and (kind != "positive" or value > 0) and (kind != "zero or more" or value >= 0)
        if not good:
            raise ValueError(
                f"{type(law).__name__} {name} {value!r} is not allowed: a number, {kind}"
            )
