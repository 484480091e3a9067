"""How far does the stage really go, and does it come back?

The experiments of Fiedler et al., *Evaluating Stage Motion for Automated Electron Microscopy*
(Microsc. Microanal. 2023, doi 10.1093/micmic/ozad108) as bluesky plans. They move and record;
what the images say of the actual positions is found by `analysis.alignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan

from analysis.alignment import HysteresisResult
from devices.microscope import Microscope
from plans._checks import check_overlap, checked_axes, checked_count, not_negative, positive
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import LiveResults, move_unbroken, record, result_of, standing

__all__ = ["HysteresisRun", "LiveResults", "hysteresis", "hysteresis_targets"]


@dataclass(frozen=True)
class HysteresisRun:
    """What `hysteresis` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : HysteresisResult or None
        What the live analysis found; None when none was asked for.
    """

    uid: str
    result: HysteresisResult | None


def hysteresis_targets(start: float, step: float, steps: int, repeats: int) -> list[float]:
    """Positions that one axis is sent to, in order, the start included.

    For each direction (first positive, then negative) `repeats` times `steps` steps out and the
    same steps back, so that each direction meets ``2 * repeats - 1`` reversals whose history is
    known.

    Parameters
    ----------
    start, step : float
        Where the axis begins, and the size of a step, in its own unit.
    steps, repeats : int
        Steps a leg, and how often each pair of legs is run.

    Returns
    -------
    list of float
        ``1 + 4 * repeats * steps`` positions; the last is `start`.
    """
    leg = [*range(1, steps + 1), *range(steps - 1, -1, -1)]
    indices = [0] + [sign * k for sign in (1, -1) for _ in range(repeats) for k in leg]
    return [start + k * step for k in indices]


@plan
def hysteresis(
    tem: Microscope,
    axes: Sequence[str] = ("x", "y"),
    *,
    step: float = 1.0,
    steps: int = 5,
    repeats: int = 3,
    settle_time: float = 0.0,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[HysteresisRun]:
    """Step each axis out and back in both directions, an image at every stop (fig. 3).

    One axis after the other goes through `hysteresis_targets` from where it stands; at every stop
    an image and the reported and target positions of all axes are recorded. Repeating a move after
    a pause would change the history that is measured, so the plan is not rewindable. On every way
    out the beam is blanked and then each axis is sent back to where it began, each of these though
    the others fail.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    axes : sequence of str
        Of ``x``, ``y``, ``z``, ``alpha``, ``beta``. Images tell actual positions of x and y.
    step : float
        Size of a step, µm for x, y, z and degrees for alpha, beta.
    steps : int
        Steps a leg.
    repeats : int
        How often each direction is run out and back; from 2 on every direction has several
        reversals and so a confidence interval.
    settle_time : float
        Seconds waited after each move beyond the settling that the instrument itself waits for.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    HysteresisRun
        The uid of the run and the result of the live analysis.

    Raises
    ------
    ValueError
        Arguments out of range, or a step that leaves no overlap; nothing has moved.
    devices.wire.LimitError
        The legs would leave the limits of an axis; nothing has moved.
    """
    names = checked_axes(tem, axes)
    step, settle_time = positive("step", step), not_negative("settle_time", settle_time, "s")
    steps, repeats = checked_count("steps", steps), checked_count("repeats", repeats)
    yield from check_overlap(tem, dict.fromkeys(names, step))
    starts = yield from standing(tem, names)
    for name, start in starts.items():
        for end in (start - steps * step, start + steps * step):
            tem.goniometer.check_value({name: end})
            tem.goniometer.check_room({name: end})

    arguments = {
        "axes": names,
        "step": step,
        "steps": steps,
        "repeats": repeats,
        "settle_time": settle_time,
    }
    points = len(names) * (1 + 4 * repeats * steps)
    _md = imaging_metadata(tem, "hysteresis", arguments, axes=names, points=points)

    def legs() -> MsgGenerator[None]:
        for name in names:
            for target in hysteresis_targets(starts[name], step, steps, repeats):
                yield from bps.checkpoint()
                yield from move_unbroken(tem, {name: target})
                if settle_time:
                    yield from bps.sleep(settle_time)
                yield from record(tem)

    uid = yield from imaging_run(
        tem, legs, md={**_md, **(md or {})}, send_back=[{name: starts[name]} for name in names]
    )
    return HysteresisRun(uid, (yield from result_of(analysis, uid)))
