"""Play and scale of the reported positions: what is between the command and the sensor.

Where the sensor has been driven since the last reversal it lags behind the command by half the
play, in the direction of the drive: a linear regression on position and direction. Where it stands
in its play it says again what it said before, and adds nothing. Lengths in µm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReportedFit", "fit_reported", "settled"]

# The motor may miss its target by some times 10 nm, so that a sensor that ought to be just driven
# may still stand.
_MARGIN = 0.03
_ROUNDS = 20


@dataclass(frozen=True)
class ReportedFit:
    """What the reported positions of an axis say.

    Parameters
    ----------
    half_play, scale : float
        µm, and way of the reported position for a unit commanded.
    half_play_stderr, scale_stderr : float
        NaN where it cannot be told.
    degrees : int
        Of freedom that the standard errors rest on.
    miss : ndarray, shape (n,)
        By how much the sensor was beside where the command should have brought it, µm; 0 where
        nothing was reported.
    """

    half_play: float
    scale: float
    half_play_stderr: float
    scale_stderr: float
    degrees: int
    miss: NDArray[np.float64]

    @classmethod
    def of_nothing(cls, stops: int) -> ReportedFit:
        """Fit where nothing was reported: no play that is known of."""
        return cls(0.0, np.nan, np.nan, np.nan, 0, np.zeros(stops))


def fit_reported(target: NDArray[np.float64], reported: NDArray[np.float64]) -> ReportedFit:
    """Fit play, scale and offset of the reported positions.

    Parameters
    ----------
    target, reported : ndarray, shape (n,)
        µm; NaN where nothing was reported.

    Returns
    -------
    ReportedFit
        Without a play where the axis never reverses.
    """
    from ._stage_kernels import play

    direction, since = _since_reversal(target)
    usable = np.isfinite(reported) & (direction != 0.0)
    width, middle = 0.0, float(target.mean())
    columns = np.stack([np.ones_like(target), target - middle, -0.5 * direction], axis=1)
    reverses = len(np.unique(direction[usable])) > 1
    if not reverses:
        columns = columns[:, :2]
    used, found = usable, np.zeros(columns.shape[1])
    for _ in range(_ROUNDS):
        used = usable & (since > width + _MARGIN)
        found = np.asarray(np.linalg.lstsq(columns[used], reported[used], rcond=None)[0])
        before, width = width, max(float(found[2] / found[1]), 0.0) if reverses else 0.0
        if abs(width - before) < 1e-6:
            break
    degrees = int(used.sum()) - columns.shape[1]
    rest = reported[used] - columns[used] @ found
    covariance = np.linalg.pinv(columns[used].T @ columns[used]) * (rest @ rest) / max(degrees, 1)
    spread = np.sqrt(np.diag(covariance))
    where = play(target, 0.5 * width, target[0])
    miss = (reported - found[0]) / found[1] - (where - middle)
    if not reverses:
        miss -= np.nanmean(miss)
    return ReportedFit(
        half_play=0.5 * width,
        scale=float(found[1]),
        half_play_stderr=0.5 * float(spread[2]) if reverses else np.nan,
        scale_stderr=float(spread[1]),
        degrees=degrees,
        miss=np.nan_to_num(miss),
    )


def _since_reversal(target: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Direction of the last move of every stop, 0 before any, and the way since it reversed."""
    direction, since = np.zeros(len(target)), np.zeros(len(target))
    for stop in range(1, len(target)):
        way = target[stop] - target[stop - 1]
        direction[stop] = np.sign(way) or direction[stop - 1]
        carries_on = direction[stop] == direction[stop - 1]
        since[stop] = abs(way) + (since[stop - 1] if carries_on else 0.0)
    return direction, since


def settled(inputs: NDArray[np.float64], half_width: float) -> NDArray[np.bool_]:
    """Stops at which a play has forgotten where it was in the beginning."""
    from ._stage_kernels import play

    low = play(inputs, half_width, inputs[0] - half_width)
    high = play(inputs, half_width, inputs[0] + half_width)
    return np.abs(high - low) < 1e-6
