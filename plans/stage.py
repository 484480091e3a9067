"""How far does the stage really go, and does it come back?

The experiments of Fiedler et al., *Evaluating Stage Motion for Automated Electron Microscopy*
(Microsc. Microanal. 2023, doi 10.1093/micmic/ozad108) as bluesky plans. They move and record;
what the images say of the actual positions is found by `analysis.alignment`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan

from analysis.alignment import HysteresisResult
from devices.goniometer import Axis
from devices.microscope import Microscope
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import LiveResults, record, wait_for_result

__all__ = ["HysteresisRun", "LiveResults", "hysteresis", "hysteresis_targets"]

# The least overlap of consecutive fields, as a part of the field, that a registration can be
# expected to stand on with the stage falling short or long of the step.
_LEAST_OVERLAP = 0.2


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


def _checked_axes(tem: Microscope, axes: Sequence[str]) -> list[str]:
    known = tem.goniometer.axes
    names = [axes] if isinstance(axes, str) else list(axes)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"axes {names!r}: choose each once, of {', '.join(known)}")
    return names


def _check_counts(step: float, steps: int, repeats: int, settle_time: float) -> None:
    for name, value in (("steps", steps), ("repeats", repeats)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}: a whole number of at least 1 is needed")
    for name, value, least in (
        ("step", step, "above 0"),
        ("settle_time", settle_time, "0 or more"),
    ):
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise ValueError(f"{name} is {value!r}: a finite number is needed, {least}")
    if step <= 0:
        raise ValueError(f"step is {step:g}: it must be above 0 (both directions are run anyway)")
    if settle_time < 0:
        raise ValueError(f"settle_time is {settle_time:g} s: it must be 0 or more")


def _check_overlap(step: float, field_of_view: float) -> None:
    largest = (1 - _LEAST_OVERLAP) * field_of_view
    if step > largest:
        raise ValueError(
            f"step {step:g} µm leaves no overlap to register in a field of view of "
            f"{field_of_view:g} µm: steps up to {largest:g} µm are allowed; take a smaller step "
            "or a lower magnification"
        )


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
    names = _checked_axes(tem, axes)
    _check_counts(step, steps, repeats, settle_time)
    if {"x", "y"} & set(names):
        _check_overlap(step, (yield from bps.rd(tem.camera.field_of_view)))
    movers = {name: tem.goniometer.axes[name] for name in names}
    starts: dict[str, float] = {}
    for name, mover in movers.items():
        starts[name] = yield from bps.rd(mover.target)
        for end in (starts[name] - steps * step, starts[name] + steps * step):
            mover.check_value(end)

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
        for name, mover in movers.items():
            for target in hysteresis_targets(starts[name], step, steps, repeats):
                yield from bps.checkpoint()
                yield from _step(mover, target)
                if settle_time:
                    yield from bps.sleep(settle_time)
                yield from record(tem)

    uid = yield from imaging_run(
        tem, legs, md={**_md, **(md or {})}, send_back=[{name: starts[name]} for name in names]
    )
    if analysis is None:
        return HysteresisRun(uid, None)
    return HysteresisRun(uid, (yield from wait_for_result(analysis.future(uid))))


def _step(mover: Axis, target: float) -> MsgGenerator[None]:
    """Move, and make sure that the move was not cut short by a pause."""
    yield from bps.mv(mover, target)
    sent = yield from bps.rd(mover.target, default_value=target)
    if not math.isclose(sent, target, abs_tol=10.0**-mover.precision):
        raise RuntimeError(
            f"{mover.name} was stopped at {sent:.{mover.precision}f} {mover.egu} on its way to "
            f"{target:.{mover.precision}f} {mover.egu}: the history of the axis is broken, run the "
            "experiment again"
        )
