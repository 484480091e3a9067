"""Does a step along one axis move the specimen along the other?

The second experiment of Fiedler et al., *Evaluating Stage Motion for Automated Electron Microscopy*
(Microsc. Microanal. 2023, doi 10.1093/micmic/ozad108, fig. 4): along each cardinal direction from
the origin outward, steps of one axis are interspersed with perpendicular ones, and the same way
back shows whether the stage returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan

from analysis.alignment import HysteresisResult
from devices.microscope import Microscope
from plans._checks import check_overlap, checked_axes, checked_count, not_negative, positive
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import LiveResults, move_unbroken, record, result_of, standing

__all__ = ["CrossAxisRun", "cross_axis", "cross_axis_targets"]

# Perpendicular places after each step outward: two steps each way, so that perpendicular steps
# come first after a reversal and later alike, and the way stays along its direction.
_ASIDE = (1, 0, -1, 0)


@dataclass(frozen=True)
class CrossAxisRun:
    """What `cross_axis` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : HysteresisResult or None
        What the live analysis found; None when none was asked for.
    """

    uid: str
    result: HysteresisResult | None


def cross_axis_targets(
    start: tuple[float, float], step: tuple[float, float], steps: int, repeats: int
) -> list[tuple[float, float]]:
    """Positions that two axes are sent to, in order, the start included.

    For each cardinal direction (+ and - of the first axis, then of the second) `repeats` times
    `steps` steps outward, each followed by a perpendicular step to 1, 0, -1, 0, ... times its
    size, and the same way back.

    Parameters
    ----------
    start, step : (float, float)
        Where the axes begin, and the size of a step of each, in their own units.
    steps, repeats : int
        Steps outward in a direction, and how often each direction is run out and back.

    Returns
    -------
    list of (float, float)
        ``1 + 16 * repeats * steps`` positions, consecutive ones one step of one axis apart; the
        last is `start`.
    """
    out, aside = [(0, 0)], 0
    for k in range(1, steps + 1):
        out.append((k, aside))
        aside = _ASIDE[(k - 1) % len(_ASIDE)]
        out.append((k, aside))
    way = [*out[1:], *reversed(out[:-1])]
    places = [(0, 0)]
    for sign in (1, -1):
        places += [(sign * along, across) for _ in range(repeats) for along, across in way]
    for sign in (1, -1):
        places += [(across, sign * along) for _ in range(repeats) for along, across in way]
    return [(start[0] + a * step[0], start[1] + b * step[1]) for a, b in places]


@plan
def cross_axis(
    tem: Microscope,
    axes: Sequence[str] = ("x", "y"),
    *,
    step: float | Sequence[float] = 1.0,
    steps: int = 5,
    repeats: int = 1,
    settle_time: float = 0.0,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[CrossAxisRun]:
    """Step two axes in turn along each cardinal direction, an image at every stop (fig. 4).

    The axes go through `cross_axis_targets` from where they stand, one of them at a time; at every
    stop an image and the reported and target positions of all axes are recorded. Repeating a move
    after a pause would change the history that is measured, so the plan is not rewindable. On
    every way out the beam is blanked and then both axes are sent back to where they began.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    axes : (str, str)
        Two of ``x``, ``y``, ``z``, ``alpha``, ``beta``. Images tell actual positions of x and y.
    step : float or (float, float)
        Size of a step, of both axes or of each, µm for x, y, z and degrees for alpha, beta.
    steps : int
        Steps outward in a direction.
    repeats : int
        How often each direction is run out and back.
    settle_time : float
        Seconds waited after each move beyond the settling that the instrument itself waits for.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    CrossAxisRun
        The uid of the run and the result of the live analysis.

    Raises
    ------
    ValueError
        Arguments out of range, or a step that leaves no overlap; nothing has moved.
    devices.wire.LimitError
        A target lies outside the limits of its axis; nothing has moved.
    """
    names = checked_axes(tem, axes)
    if len(names) != 2:
        raise ValueError(f"axes {names!r}: two axes are needed, for example 'x', 'y'")
    sizes = _checked_steps(step)
    steps, repeats = checked_count("steps", steps), checked_count("repeats", repeats)
    settle_time = not_negative("settle_time", settle_time, "s")
    yield from check_overlap(tem, dict(zip(names, sizes, strict=True)))
    start = yield from standing(tem, names)
    places = cross_axis_targets((start[names[0]], start[names[1]]), sizes, steps, repeats)
    stops = [dict(zip(names, place, strict=True)) for place in places]
    for targets in stops:
        tem.goniometer.check_value(targets)
        tem.goniometer.check_room(targets)

    arguments = {
        "axes": names,
        "step": list(sizes),
        "steps": steps,
        "repeats": repeats,
        "settle_time": settle_time,
    }
    _md = imaging_metadata(tem, "cross_axis", arguments, axes=names, points=len(stops))

    def directions() -> MsgGenerator[None]:
        for before, targets in pairwise([start, *stops]):
            yield from bps.checkpoint()
            # an axis that rests is not sent anywhere: some stages move when sent where they are
            changed = {name: target for name, target in targets.items() if target != before[name]}
            if changed:
                yield from move_unbroken(tem, changed)
            if settle_time:
                yield from bps.sleep(settle_time)
            yield from record(tem)

    uid = yield from imaging_run(tem, directions, md={**_md, **(md or {})}, send_back=[start])
    return CrossAxisRun(uid, (yield from result_of(analysis, uid)))


def _checked_steps(step: Any) -> tuple[float, float]:
    try:
        first, second = step
    except TypeError:
        first = second = step
    except ValueError:
        raise ValueError(f"step is {step!r}: one number or two are needed") from None
    return positive("step", first), positive("step", second)
