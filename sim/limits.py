"""What a command may ask of a stage: known axes, targets within limits, room at the pole piece."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sim.stage_parameters import AXES, StageParameters

__all__ = ["check_targets", "refuse_touch"]


def check_targets(parameters: StageParameters, targets: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the targets in the order of `AXES`, nan for none.

    Parameters
    ----------
    parameters : StageParameters
        Has the limits.
    targets : mapping of str to float
        Positions by axis name, m and rad.

    Raises
    ------
    ValueError
        When there is no target, an axis is unknown or a target not finite or outside the limits.
    """
    if not targets:
        raise ValueError(f"stage command without an axis: name one of {', '.join(AXES)}")
    goals = np.full(len(AXES), np.nan)
    for name, target in targets.items():
        if name not in AXES:
            raise ValueError(f"stage axis {name!r} is unknown: choose of {', '.join(AXES)}")
        axis = parameters.axes[name]
        if not axis.lower <= target <= axis.upper:
            raise ValueError(
                f"{name} target {target!r} {axis.unit} is outside "
                f"{axis.lower:g}..{axis.upper:g} {axis.unit}"
            )
        goals[AXES.index(name)] = float(target)
    return goals


def refuse_touch(room: float, ends: NDArray[np.float64], where: str) -> None:
    """Raise a ValueError when the room at the pole piece is below 0.

    Parameters
    ----------
    room : float
        Metres, as of `PolePiece.room`.
    ends : ndarray, shape (5,)
        Where all axes are to go.
    where : str
        Where on the way it would touch.
    """
    if room < 0:
        z, alpha, beta = ends[2] * 1e6, math.degrees(ends[3]), math.degrees(ends[4])
        raise ValueError(
            f"alpha {alpha:.1f} deg, beta {beta:.1f} deg, z {z:.0f} um is not allowed: {where} "
            f"the holder would touch the pole piece, {-room * 1e6:.0f} um too high"
        )
