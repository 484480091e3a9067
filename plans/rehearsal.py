"""What would a plan do? Its moves, time, dose and overlap before anything of it is done.

The plan is walked message by message with nobody moving: it reads what the instruments say now,
overlaid with what it would have set by then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bluesky.preprocessors as bpp
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import MsgGenerator

from plans._durations import shown_time
from plans._exposures import least_overlap, most_exposed
from plans._walk import Walk

__all__ = ["Rehearsal", "rehearse"]

_COMMANDS = ("read", "locate", "set", "trigger", "sleep", "wait", "wait_for")
_BYTES_PER_PIXEL = 2


@dataclass(frozen=True)
class Rehearsal:
    """What a plan would do.

    Parameters
    ----------
    moves, images : int
        Commands to the stage, and frames of the camera.
    travel : mapping of str to float
        Way of each axis that moves, in `units`.
    extents : mapping of str to (float, float)
        Least and greatest target of each axis that moves, in `units`.
    units : mapping of str to str
        µm or deg.
    moving, exposing, sleeping : float
        Seconds of moves, frames and sleeps, each added up.
    duration : float
        Seconds that the plan takes at least, from what the instrument states of its motion and the
        camera of its frames: what else a microscope does at each command comes on top.
    beam_on : float
        Seconds with the beam on the specimen.
    dose_per_image, dose : float
        Electrons per Å² of the image with most, and of all together where they overlap most, by
        the camera's `electrons_per_pixel`, while frames are scanned; NaN where it is not known.
    overlap : float
        Least part of the field that consecutive images share, 0..1; NaN without two images.
    data_mb : float
        Size of the images, MB.
    """

    moves: int
    images: int
    travel: Mapping[str, float]
    extents: Mapping[str, tuple[float, float]]
    units: Mapping[str, str]
    moving: float
    exposing: float
    sleeping: float
    duration: float
    beam_on: float
    dose_per_image: float
    dose: float
    overlap: float
    data_mb: float

    def __str__(self) -> str:
        lines = [
            f"{self.moves} moves and {self.images} images in {shown_time(self.duration)} or more: "
            f"moves {shown_time(self.moving)}, frames {shown_time(self.exposing)}, sleeps "
            f"{shown_time(self.sleeping)}; beam on for {shown_time(self.beam_on)}"
        ]
        lines += [
            f"{axis} from {low:.5g} to {high:.5g} {self.units[axis]}, a way of "
            f"{self.travel[axis]:.5g} {self.units[axis]}"
            for axis, (low, high) in self.extents.items()
        ]
        if self.images:
            lines.append(
                f"dose {self.dose_per_image:.3g} e/Å² an image, {self.dose:.3g} e/Å² where most "
                f"images overlap; {self.data_mb:.3g} MB"
            )
        if math.isfinite(self.overlap):
            lines.append(f"consecutive images share at least {self.overlap:.0%} of the field")
        return "\n".join(lines)


def rehearse(plan: MsgGenerator[Any], *, answers: Mapping[Any, Any] | None = None) -> Rehearsal:
    """Estimate and check a plan before it runs; nothing moves, nothing is written.

    Every target is checked by the device that it is for, and tilts and heights for the pole piece,
    where the instrument tells its rule, with all axes where the plan will have sent them. A
    compensated stage moves by its approach.

    Parameters
    ----------
    plan : generator of Msg
        Any plan, for example ``hysteresis(tem)``, without its `analysis`: there is no result to
        wait for.
    answers : mapping, optional
        What a reading of a signal (or of the data key of that name) tells, for a plan that acts on
        what it measures; else what the instrument says now and what the plan has set.

    Returns
    -------
    Rehearsal
        ``print`` it.

    Raises
    ------
    ValueError
        What the plan refuses; or it waits for something that a rehearsal does not have, or does
        not end.
    devices.wire.LimitError
        A target is not allowed; says at which step of the plan.
    """
    walk = Walk({getattr(key, "name", key): value for key, value in (answers or {}).items()})
    simulator = RunEngineSimulator()
    for command in _COMMANDS:
        simulator.add_handler(command, getattr(walk, command))
    try:
        simulator.simulate_plan(bpp.msg_mutator(plan, walk.see))
    finally:
        plan.close()
    return _summary(walk)


def _summary(walk: Walk) -> Rehearsal:
    return Rehearsal(
        moves=walk.moves,
        images=len(walk.exposures),
        travel={axis.axis: way for axis, way in walk.travel.items()},
        extents={axis.axis: extent for axis, extent in walk.extents.items()},
        units={axis.axis: axis.egu for axis in walk.travel},
        moving=walk.seconds["moves"],
        exposing=walk.seconds["frames"],
        sleeping=walk.seconds["sleeps"],
        duration=walk.now,
        beam_on=walk.beam_on,
        dose_per_image=max((exposure.dose for exposure in walk.exposures), default=0.0),
        dose=most_exposed(walk.exposures),
        overlap=least_overlap(walk.exposures),
        data_mb=1e-6 * _BYTES_PER_PIXEL * walk.pixels,
    )
