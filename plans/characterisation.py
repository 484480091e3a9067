"""What is this stage like? One run of at most 200 images from which its model is identified.

Where to go is `analysis.characterisation`'s, what the images say of the stage
`analysis.identification`'s; between them stands this plan. On its way are many moves without
images: each is recorded too, in the stream "moves".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan

from analysis.alignment import HysteresisResult
from analysis.characterisation import characterisation_path
from analysis.stage_model import StageModel
from devices.microscope import Microscope
from plans._checks import checked_count, not_negative
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import (
    LiveResults,
    move_unbroken,
    read_now,
    record,
    record_positions,
    result_of,
    standing,
)

__all__ = ["CharacterisationRun", "characterise"]

_AXES = ("x", "y")
_MOST_IMAGES = 200


@dataclass(frozen=True)
class CharacterisationRun:
    """What `characterise` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : HysteresisResult or None
        What the live analysis found, with the model; None when none was asked for.
    model : StageModel or None
        Of x and y, identified from all moves, those without images too: that of the result.
    """

    uid: str
    result: HysteresisResult | None
    model: StageModel | None


@plan
def characterise(
    tem: Microscope,
    *,
    diamond_images: int = 96,
    rest_images: int = 4,
    settle_time: float = 1.0,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[CharacterisationRun]:
    """Go through `characterisation_path` about where the stage stands, and identify its model.

    x and y move at once. After every move the positions are recorded, and at the stops an image.
    Repeating a move after a pause would change the history that is measured, so the plan is not
    rewindable. On every way out the beam is blanked and then the stage is sent back to where it
    began.

    Parameters
    ----------
    tem : Microscope
        The microscope, at a field of view of 10 µm or more; 30 µm are good.
    diamond_images : int
        Images along the sides of the diamond, a multiple of 4, at least 16.
    rest_images : int
        Images at rest at the end, which tell creep and drift.
    settle_time : float
        Seconds from the end of a move to its image.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result with the model.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    CharacterisationRun
        The uid of the run, the result of the live analysis and the model.

    Raises
    ------
    ValueError
        Arguments out of range, or more than 200 images; nothing has moved. Or the images do not
        identify the stage: the run is recorded and named.
    devices.wire.LimitError
        A target lies outside the limits of its axis; nothing has moved.
    """
    settle_time = not_negative("settle_time", settle_time, "s")
    start = yield from standing(tem, _AXES)
    field_of_view = yield from _smaller_side(tem)
    path = characterisation_path(
        field_of_view=field_of_view,
        centre=(start["x"], start["y"]),
        diamond_images=checked_count("diamond_images", diamond_images),
        rest_images=checked_count("rest_images", rest_images, least=0),
    )
    images = int(path.imaged.sum())
    if images > _MOST_IMAGES:
        raise ValueError(
            f"diamond_images {diamond_images} and rest_images {rest_images} make {images} images: "
            f"up to {_MOST_IMAGES} are allowed"
        )
    stops: list[dict[str, float]] = [{"x": float(x), "y": float(y)} for x, y in path.target]
    for targets in stops:
        tem.goniometer.check_value(targets)

    arguments = {
        "diamond_images": int(diamond_images),
        "rest_images": int(rest_images),
        "settle_time": settle_time,
    }
    _md = {
        **imaging_metadata(tem, "characterise", arguments, axes=_AXES, points=images),
        "characterisation": {**arguments, "field_of_view": field_of_view, "centre": start},
        **(md or {}),
    }

    def tour() -> MsgGenerator[None]:
        before = {}
        for targets, imaged in zip(stops, path.imaged, strict=True):
            yield from bps.checkpoint()
            if targets != before:  # else a rest: nothing moves
                yield from move_unbroken(tem, targets)
            before = targets
            if imaged:
                yield from bps.sleep(settle_time)
                yield from record(tem)
            else:
                yield from record_positions(tem, "moves")

    uid = yield from imaging_run(tem, tour, md=_md, send_back=[start])
    result = yield from result_of(analysis, uid)
    if result is None:
        return CharacterisationRun(uid, None, None)
    if result.model is None:
        raise ValueError(f"run {uid} gives no model: {result.note}")
    return CharacterisationRun(uid, result, result.model)


def _smaller_side(tem: Microscope) -> MsgGenerator[float]:
    """Smaller side of the field of view, µm."""
    width = yield from read_now(tem.camera.field_of_view)
    rows, columns = yield from read_now(tem.camera.shape)
    return width * min(1.0, rows / columns)
