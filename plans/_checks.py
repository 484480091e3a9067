"""What plans refuse before anything moves, each in one line."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bluesky.utils import MsgGenerator

from devices.microscope import Microscope
from plans._steps import read_now

__all__ = [
    "check_overlap",
    "checked_axes",
    "checked_count",
    "finite",
    "not_negative",
    "positive",
]

# The least overlap of consecutive fields, as a part of the field, that a registration can be
# expected to stand on with the stage falling short or long of the step.
_LEAST_OVERLAP = 0.2
_ROUNDING = 1e-9


def checked_axes(tem: Microscope, axes: Sequence[str]) -> list[str]:
    """Return names of axes; refuse those that do not exist or come twice."""
    known = tem.goniometer.axes
    names = [axes] if isinstance(axes, str) else list(axes)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"axes {names!r}: choose each once, of {', '.join(known)}")
    return names


def checked_count(name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number of at least `least`; refuse anything else."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} is {value!r}: a whole number of at least {least} is needed")
    return int(value)


def positive(name: str, value: Any, unit: str = "") -> float:
    """Return a finite number above 0; refuse anything else."""
    number = finite(name, value, "above 0")
    if number <= 0:
        raise ValueError(f"{name} is {number:g} {unit}".rstrip() + ": it must be above 0")
    return number


def not_negative(name: str, value: Any, unit: str = "") -> float:
    """Return a finite number from 0; refuse anything else."""
    number = finite(name, value, "0 or more")
    if number < 0:
        raise ValueError(f"{name} is {number:g} {unit}".rstrip() + ": it must be 0 or more")
    return number


def finite(name: str, value: Any, allowed: str) -> float:
    """Return a finite number; refuse anything else."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}: a finite number is needed, {allowed}")
    return float(value)


def check_overlap(tem: Microscope, steps: Mapping[str, float]) -> MsgGenerator[None]:
    """Refuse steps of x or y after which two images cannot be registered.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    steps : mapping of str to float
        Greatest step by axis, µm; axes that do not move the image are passed over.
    """
    pixel = 1e-3 * (yield from read_now(tem.camera.pixel_size))
    rows, columns = yield from read_now(tem.camera.shape)
    matrix = np.reshape((yield from read_now(tem.camera.to_stage)), (2, 2))
    size = pixel * np.array([columns, rows])
    for name, moved in zip("xy", np.linalg.inv(matrix).T, strict=True):
        largest = (1 - _LEAST_OVERLAP) / float(np.max(np.abs(moved) / size))
        if steps.get(name, 0.0) > largest + _ROUNDING:
            raise ValueError(
                f"step {steps[name]:g} µm leaves no overlap to register in a field of view of "
                f"{size[0]:g} µm by {size[1]:g} µm: steps of {name} up to {largest:g} µm are "
                "allowed; take a smaller step or a lower magnification"
            )
