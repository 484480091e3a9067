"""Which channels of an image a network reads, in which units, and what it is asked.

Networks take calibrated images in SI units as the instrument's analysis names them (Bruker
application note 155: phase, deformation, dissipation, DMT modulus; here adhesion too). Nothing of
this module needs a library for networks, so that bad input is refused before one is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHANNEL_UNITS",
    "CLASSIFICATION",
    "REGRESSION",
    "ModelSpec",
    "Problem",
    "TargetScale",
    "check_channels",
    "check_units",
]

CHANNEL_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "phase": "deg",
        "deformation": "m",
        "dissipation": "J",
        "dmt_modulus": "Pa",
        "adhesion": "N",
    }
)
"""The channels that a network reads, and the unit that each must be in."""

CLASSIFICATION = "classification"
REGRESSION = "regression"
_TASKS = (CLASSIFICATION, REGRESSION)


def check_channels(channels: Sequence[str]) -> tuple[str, ...]:
    """Return `channels` as a tuple.

    Raises
    ------
    ValueError
        There are none, one is named twice, or a network does not read one of them.
    """
    if isinstance(channels, str):
        raise ValueError(f"channels {channels!r} is not allowed: give a sequence of names")
    found = tuple(channels)
    if not found:
        raise ValueError("no channel: a network reads one or more")
    for name in found:
        if name not in CHANNEL_UNITS:
            known = ", ".join(CHANNEL_UNITS)
            raise ValueError(f"channel {name!r} is not one that a network reads: choose of {known}")
    if len(set(found)) < len(found):
        raise ValueError(f"channels {', '.join(found)} name one twice")
    return found


def check_units(channels: Sequence[str], units: Mapping[str, str]) -> None:
    """Refuse images whose units are not those of calibrated channels.

    Parameters
    ----------
    channels : sequence of str
        That are to be read.
    units : mapping of str to str
        The unit of each channel that there is.

    Raises
    ------
    ValueError
        A channel is missing, or in another unit.
    """
    for name in check_channels(channels):
        if name not in units:
            there = ", ".join(units) or "none"
            raise ValueError(f"channel {name} is missing: there is {there}")
        wanted, unit = CHANNEL_UNITS[name], units[name]
        if unit != wanted:
            raise ValueError(
                f"{name} is in {unit or 'no unit'}: a network wants {wanted}; calibrate the probe"
            )


@dataclass(frozen=True)
class Problem:
    """What is asked of an image.

    Parameters
    ----------
    task : str
        ``classification`` or ``regression``.
    channels : tuple of str
        Of the images, of `CHANNEL_UNITS`, in the order of their last axis.
    outputs : tuple of str
        Names of the classes, two or more, or of the properties, one or more.
    shape : tuple of int
        (lines, points) of the images.
    """

    task: str
    channels: tuple[str, ...]
    outputs: tuple[str, ...]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if self.task not in _TASKS:
            raise ValueError(f"task {self.task!r} is not allowed: {' or '.join(_TASKS)}")
        object.__setattr__(self, "channels", check_channels(self.channels))
        object.__setattr__(self, "outputs", tuple(str(name) for name in self.outputs))
        object.__setattr__(self, "shape", tuple(int(side) for side in self.shape))
        least = 2 if self.is_classification else 1
        if len(self.outputs) < least:
            raise ValueError(f"{len(self.outputs)} outputs: {self.task} needs {least} or more")
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs {', '.join(self.outputs)} name one twice")
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"shape {self.shape} is not allowed: give (lines, points)")

    @property
    def is_classification(self) -> bool:
        """Whether a class is asked for, not values."""
        return self.task == CLASSIFICATION


@dataclass(frozen=True)
class ModelSpec(Problem):
    """A problem and the kind of network that answers it.

    Parameters
    ----------
    task, channels, outputs, shape
        Of the `Problem`.
    architecture : str
        One of `analysis.networks.architectures.ARCHITECTURES`.
    """

    architecture: str = "resnet50"

    @classmethod
    def of(cls, problem: Problem, architecture: str) -> ModelSpec:
        """Return the spec of a network of `architecture` for `problem`."""
        return cls(problem.task, problem.channels, problem.outputs, problem.shape, architecture)

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as JSON has it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Return the spec of `as_dict`."""
        return cls(
            task=data["task"],
            channels=tuple(data["channels"]),
            outputs=tuple(data["outputs"]),
            shape=tuple(data["shape"]),
            architecture=data["architecture"],
        )


@dataclass(frozen=True)
class TargetScale:
    """By what the values of a regression are standardised while a network is trained.

    Parameters
    ----------
    mean, spread : tuple of float
        Of each property over the training part, in its own unit; 0 and 1 for classes.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def of(cls, problem: Problem, values: NDArray[Any]) -> TargetScale:
        """Measure `values` (n, properties) of the training part.

        Raises
        ------
        ValueError
            A property is the same for all images.
        """
        if problem.is_classification:
            number = len(problem.outputs)
            return cls((0.0,) * number, (1.0,) * number)
        spread = np.asarray(values.std(axis=0), dtype=np.float64)
        for name, one in zip(problem.outputs, spread, strict=True):
            if not one > 0:
                raise ValueError(f"{name} is the same for all training images")
        return cls(tuple(values.mean(axis=0).tolist()), tuple(spread.tolist()))
