"""What a stage's controller tells."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.stage_parameters import AXES

__all__ = ["Readback"]


@dataclass(frozen=True)
class Readback:
    """What the stage's own controller knows at a time; arrays are in the order of `AXES`.

    Parameters
    ----------
    time : float
        Seconds, the time asked for.
    position : ndarray, shape (5,)
        Reported position, from the newest sample of the sensors; m and rad.
    target : ndarray, shape (5,)
        Where each axis was last sent; after a stop or a limit switch, where it came to rest.
    moving : ndarray of bool, shape (5,)
        Whether the axis is under way. Falls only with a sample taken at rest, so that `position`
        is final when `moving` is false; a controller with the quirk `early_idle` says false just
        after a command too.
    direction : ndarray of int, shape (5,)
        Direction of the last drive, -1 or +1; 0 when the axis has not been driven.
    travel : ndarray, shape (5,)
        Way commanded in that direction since the last reversal.
    status : ndarray of int, shape (5,)
        0 at rest, 1 under way, 2 halted by a limit switch.
    """

    time: float
    position: NDArray[np.float64]
    target: NDArray[np.float64]
    moving: NDArray[np.bool_]
    direction: NDArray[np.int_]
    travel: NDArray[np.float64]
    status: NDArray[np.int_] = field(default_factory=lambda: np.zeros(len(AXES), dtype=np.int_))
