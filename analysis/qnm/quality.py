"""Did anything go wrong while an image was taken?

Neighbouring lines of an image show nearly the same: the median over the points of the difference of
two lines is small, and scatters alike all over the image. A tip that changes in the middle of a
frame makes one that is not. A feedback that fails leaves a force that is not the setpoint's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .channels import as_image

__all__ = ["TELLING", "Quality", "image_quality", "line_steps"]

TELLING = ("deformation", "adhesion", "phase")
"""Channels that a change of the tip shows in; the height steps with every grain of the sample."""

_SIGNIFICANT = 8.0  # robust standard deviations; lines are few hundreds, and samples are not even
_FEEDBACK = 0.25  # of the setpoint, rms: above it the force is not what was asked
_WILD = 0.05  # part of the pixels that were not measured
_SIGMA = 1.4826  # standard deviation over median absolute deviation, of a Gaussian


@dataclass(frozen=True)
class Quality:
    """What is wrong with an image.

    Parameters
    ----------
    problems : tuple of str
        In words; empty when nothing is.
    feedback_error : float
        Rms of the force error as a part of the setpoint; NaN where either is not known.
    tip_change : int
        Line at which the tip changed; -1 for none.
    """

    problems: tuple[str, ...]
    feedback_error: float
    tip_change: int

    @property
    def ok(self) -> bool:
        """Whether nothing is."""
        return not self.problems


def line_steps(image: ArrayLike) -> NDArray[np.float64]:
    """Steps from each line to the next in units of their own scatter.

    Parameters
    ----------
    image : array_like, shape (lines, points)
        Any unit; NaN where nothing was measured.

    Returns
    -------
    ndarray, shape (lines - 1,)
        Median over the points of the difference, less the median of these, over their robust
        standard deviation; 0 where a line has no pixel.
    """
    array = as_image(image)
    if array.shape[0] < 3:
        return np.zeros(max(0, array.shape[0] - 1))
    difference = np.diff(array, axis=0)
    known = np.isfinite(difference)
    steps = np.zeros(difference.shape[0])
    whole = known.any(axis=1)
    steps[whole] = np.nanmedian(difference[whole], axis=1)
    steps[whole] -= np.median(steps[whole])
    scatter = _SIGMA * float(np.median(np.abs(steps[whole]))) if whole.any() else 0.0
    return steps / scatter if scatter > 0 else np.zeros_like(steps)


def image_quality(channels: Mapping[str, ArrayLike], setpoint: float | None = None) -> Quality:
    """Judge an image by its channels.

    Parameters
    ----------
    channels : mapping of str to array_like, shape (lines, points)
        By their names; those that are not there are not judged.
    setpoint : float, optional
        In the unit of ``peak_force_error``.

    Returns
    -------
    Quality
    """
    problems: list[str] = []
    change, size = -1, 0.0
    for name in TELLING:
        if name not in channels:
            continue
        steps = np.abs(line_steps(channels[name]))
        if steps.size and steps.max() > max(size, _SIGNIFICANT):
            change, size = int(np.argmax(steps)) + 1, float(steps.max())
    if change >= 0:
        problems.append(f"the tip changed at line {change}")
    error = np.nan
    if "peak_force_error" in channels and setpoint:
        values = np.asarray(channels["peak_force_error"], dtype=np.float64)
        error = float(np.sqrt(np.nanmean(values**2))) / setpoint
        if not error <= _FEEDBACK:
            problems.append(f"the feedback is {error:.0%} of the setpoint off")
    for name, image in channels.items():
        lost = float(1 - np.isfinite(np.asarray(image, dtype=np.float64)).mean())
        if lost > _WILD:
            problems.append(f"{lost:.0%} of {name} was not measured")
    return Quality(tuple(problems), error, change)
