"""Stick-slip: the specimen does not come to rest where the drive would have it.

Each move adds a slip, s <- 0.7 s + N(0, 80 nm min(1, |dy| / 2 um)) in the reference model, and a
move of less than 25 nm may stick and be made up for by the next. Here the memory too goes with the
way, 0.7^min(1, |dy| / 2 um): a move of a nanometre cannot undo a third of the slip. Moves of 2 um
and more follow the reference to the letter; after many of them s has the standard deviation
80 nm / sqrt(1 - 0.7^2) = 112 nm.
"""

from __future__ import annotations

import numba

__all__ = ["next_slip", "sticks"]


@numba.njit(cache=True, error_model="numpy")
def next_slip(axis, slip: float, way: float, end: float, noise: float) -> float:
    """Return the slip after a move.

    Parameters
    ----------
    axis : record of AXIS
        The axis.
    slip : float
        Before.
    way : float
        How far the specimen is driven, signed.
    end : float
        Where the move ends; a sticky region makes it slip more.
    noise : float
        A standard normal number.
    """
    part = min(1.0, abs(way) / axis.repeatability_length)
    spread = axis.repeatability * part
    if axis.sticky_lower < end < axis.sticky_upper:
        spread *= axis.sticky_factor
    if part == 1.0:
        return axis.slip_memory * slip + spread * noise
    return axis.slip_memory**part * slip + spread * noise


@numba.njit(cache=True, error_model="numpy")
def sticks(axis, way: float, chance: float) -> bool:
    """Return whether a move of `way` sticks, given a number from 0 to 1."""
    return abs(way) < axis.stick_threshold and chance < axis.stick_probability
