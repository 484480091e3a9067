"""Moves between images: no image shows where they led, but the stage remembers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .alignment import HysteresisResult
from .record import StageRecord
from .steps import IMAGE_AXES

__all__ = ["Move", "with_moves"]


@dataclass(frozen=True)
class Move:
    """A stop without an image: when it was recorded (s), target and reported (x, y), µm."""

    time: float
    target: Sequence[float]
    reported: Sequence[float]


def with_moves(
    result: HysteresisResult, recorded: NDArray[np.float64], moves: Sequence[Move]
) -> StageRecord:
    """Record of x and y at the stops of a result and at the moves between them.

    Parameters
    ----------
    result : HysteresisResult
    recorded : ndarray, shape (n,)
        When the events of its stops were recorded, s, on the clock of the moves: it tells the
        order, and the time of a move on the clock of the images.
    moves : sequence of Move
        In any order.

    Returns
    -------
    StageRecord
        Actual positions are NaN at the moves; a move belongs to the segment of the next image.
    """
    seen = StageRecord.of_result(result, time=result.time)
    if not moves:
        return seen
    shown = len(IMAGE_AXES)
    when = np.array([move.time for move in moves])
    order = np.argsort(np.concatenate([recorded, when]), kind="stable")
    nothing = np.full((len(moves), shown), np.nan)
    follows = np.minimum(np.searchsorted(recorded, when), len(recorded) - 1)
    # beyond the images both clocks are taken to run alike
    shift = np.interp(when, recorded, result.time - recorded)

    def joined(stops: NDArray[np.float64], between: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([stops, between])[order]

    covariance = np.full((len(moves), shown, shown), np.nan)
    return StageRecord.of(
        joined(seen.target[:, :shown], np.array([move.target for move in moves])),
        joined(seen.reported[:, :shown], np.array([move.reported for move in moves])),
        joined(seen.actual[:, :shown], nothing),
        covariance=joined(seen.covariance[:, :shown, :shown], covariance),
        time=joined(result.time, when + shift),
        segment=np.concatenate([seen.segment, seen.segment[follows]])[order],
        sequence=np.zeros(len(order), dtype=np.int64),
        source=seen.source,
    )
