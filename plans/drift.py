"""How fast does the specimen drift while the stage is at rest?

Images of one field at a fixed interval. The stage's own creep after a move, the holder's warming
and cooling and the beam itself all move the specimen; what remains after a long rest is the drift
that limits exposures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan

from analysis.alignment import HysteresisResult
from devices.microscope import Microscope
from plans._checks import positive
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import LiveResults, exposure_s, record, result_of

__all__ = ["DriftRun", "measure_drift"]

_MOST_IMAGES = 10_000  # half a day at the default interval; a larger number is a slip


@dataclass(frozen=True)
class DriftRun:
    """What `measure_drift` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : HysteresisResult or None
        What the live analysis found, with the drift; None when none was asked for.
    """

    uid: str
    result: HysteresisResult | None


@plan
def measure_drift(
    tem: Microscope,
    *,
    duration: float = 60.0,
    interval: float = 5.0,
    blank_between: bool = True,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[DriftRun]:
    """Take images of the field where the stage stands, one every `interval`, and move nothing.

    The beam warms the specimen and moves it, and every image costs dose: between images it is
    blanked, which keeps the dose low but lets the specimen cool; leave it on to see the drift of
    a specimen in the beam. On every way out the beam is blanked.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    duration : float
        Seconds from the first image to the last, at most: whole intervals are taken.
    interval : float
        Seconds from the start of one image to that of the next; more than a frame takes.
    blank_between : bool
        Whether the beam is blanked between images.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    DriftRun
        The uid of the run and the result of the live analysis.

    Raises
    ------
    ValueError
        Arguments out of range.
    """
    interval, duration = positive("interval", interval, "s"), positive("duration", duration, "s")
    exposure = yield from exposure_s(tem)
    if interval <= exposure:
        raise ValueError(
            f"interval is {interval:g} s: it must be longer than a frame, which takes "
            f"{exposure:g} s"
        )
    if duration < interval:
        raise ValueError(
            f"duration is {duration:g} s: it must be at least one interval, {interval:g} s"
        )
    images = 1 + int(duration / interval + 1e-9)
    if images > _MOST_IMAGES:
        raise ValueError(
            f"{duration:g} s at an interval of {interval:g} s are {images} images: up to "
            f"{_MOST_IMAGES} are allowed; take a longer interval"
        )
    arguments = {"duration": duration, "interval": interval, "blank_between": bool(blank_between)}
    _md = imaging_metadata(tem, "measure_drift", arguments, axes=(), points=images)

    def take() -> MsgGenerator[None]:
        if blank_between:
            yield from bps.mv(tem.column.beam_blank, 0)
        yield from record(tem)
        if blank_between:
            yield from bps.mv(tem.column.beam_blank, 1)

    def series() -> MsgGenerator[None]:
        yield from bps.repeat(take, images, delay=[interval] * (images - 1))

    uid = yield from imaging_run(tem, series, md={**_md, **(md or {})}, send_back=[])
    return DriftRun(uid, (yield from result_of(analysis, uid)))
