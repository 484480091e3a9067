"""What relaxes after a move: the o-rings' creep, the glide to a new place, and heat.

After a move dy an axis is short by clip(0.06 dy, +-60 nm), which relaxes as 60 % exp(-t / 4 s) +
40 % exp(-t / 60 s), much like a logarithm. The o-rings never hold more than the 60 nm, whatever the
number of moves: after many in quick succession they slide. Every component is a number at the
start of a leg and an exponential after it, and a shortfall that builds up over a leg relaxes from
the leg's end on.
"""

from __future__ import annotations

import math

import numba

__all__ = ["GLIDE", "HEAT", "relaxed", "rest", "shortfall"]

GLIDE, HEAT = 2, 3  # the components after the two of the creep


@numba.njit(cache=True, error_model="numpy")
def shortfall(axis, held: float, way: float) -> float:
    """Return by how much more the specimen is short just after it was driven by `way`, signed.

    Parameters
    ----------
    axis : record of AXIS
        The axis.
    held : float
        What the o-rings hold already, the sum of the creep's components.
    way : float
        How far the specimen is driven.
    """
    after = held - axis.creep_fraction * way
    return held - max(-axis.creep_limit, min(axis.creep_limit, after))


@numba.njit(cache=True, error_model="numpy")
def rest(leg, axis):
    """Put the components at a leg's end into it, once the rest of it is there."""
    duration = leg.end - leg.start
    for k in range(leg.relaxing.size):
        value = leg.relaxing[k]
        if value != 0.0 and duration > 0.0:
            value *= math.exp(-duration / axis.times[k])
        leg.relaxing_end[k] = value
    leg.relaxing_end[0] -= axis.creep_share * leg.short
    leg.relaxing_end[1] -= (1.0 - axis.creep_share) * leg.short


@numba.njit(cache=True, error_model="numpy")
def relaxed(leg, axis, time: float, driven: float, component: int) -> float:
    """Return a component at a time.

    Parameters
    ----------
    leg : record of LEG
        Has the components at its start and its end, and the shortfall that it builds up.
    axis : record of AXIS
        The axis.
    time : float
        Seconds.
    driven : float
        Part of the leg's way that the specimen has gone, 0 to 1.
    component : int
        Which.
    """
    if time >= leg.end:
        value = leg.relaxing_end[component]
        since = time - leg.end
        return value * math.exp(-since / axis.times[component]) if value != 0.0 else 0.0
    value = leg.relaxing[component]
    if value != 0.0:
        value *= math.exp(-max(time - leg.start, 0.0) / axis.times[component])
    if component == 0:
        value -= axis.creep_share * leg.short * driven
    elif component == 1:
        value -= (1.0 - axis.creep_share) * leg.short * driven
    return value
