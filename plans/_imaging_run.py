"""What every run of stops and images shares: its start document, and its end on every way out.

The beam is on only inside such a run; whatever ends it blanks the beam first, then stops what
moves, closes the camera's file and sends the stage back to where it began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, plan

from devices.microscope import Microscope
from plans.endings import ending_with, insist, let_failures_pass

__all__ = ["imaging_metadata", "imaging_run", "with_beam"]

T = TypeVar("T")


def imaging_metadata(
    tem: Microscope,
    plan_name: str,
    arguments: Mapping[str, Any],
    *,
    axes: Sequence[str],
    points: int,
) -> dict[str, Any]:
    """Start document of a run of stops and images.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    plan_name : str
        The plan.
    arguments : mapping
        Its arguments, JSON.
    axes : sequence of str
        The axes that it moves.
    points : int
        Images expected.

    Returns
    -------
    dict
        With ``fields``, which tell analysis the data keys of image, scale and positions.
    """
    return {
        "plan_name": plan_name,
        "plan_args": {"tem": tem.name, **arguments},
        "purpose": "raw",
        "detectors": [tem.camera.name],
        "motors": [tem.goniometer.axes[name].name for name in axes],
        "num_points": points,
        "fields": {
            "image": tem.camera.image.name,
            "pixel_size": tem.camera.pixel_size.name,
            "camera_to_stage": tem.camera.to_stage.name,
            "dwell_time": tem.camera.dwell_time.name,
            "time": tem.camera.time.name,
            "axes": {
                name: {"reported": axis.reported.name, "target": axis.target.name}
                for name, axis in tem.goniometer.axes.items()
            },
        },
        "hints": {"dimensions": [(("time",), "primary")]},
    }


def imaging_run(
    tem: Microscope,
    body: Callable[[], MsgGenerator[Any]],
    *,
    md: Mapping[str, Any],
    send_back: Sequence[Mapping[str, float]],
    restore: Sequence[Callable[[bool], MsgGenerator[Any]]] = (),
) -> MsgGenerator[str]:
    """Run `body` with the camera staged and the beam on, and leave the microscope safe.

    Repeating a move after a pause would change the history of the stage, so the run is not
    rewindable. On every way out the beam is blanked, then what moves is stopped, the camera's file
    closed, and the stage sent back, each of these though the others fail.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    body : callable() -> generator of Msg
        What is done in the run.
    md : mapping
        The start document.
    send_back : sequence of mapping of str to float
        Moves of the goniometer at the end, one after the other, each tried though others fail.
    restore : sequence of callable(failed) -> generator of Msg
        What else is put back, before the stage is.

    Returns
    -------
    str
        Uid of the run.
    """

    def blank(failed: bool) -> MsgGenerator[None]:
        yield from insist(tem.column.beam_blank, 1)

    def stop(failed: bool) -> MsgGenerator[None]:
        if failed:
            # bluesky's protocol has success positional; ophyd and its RunEngine do not
            yield from bps.stop(tem)  # pyright: ignore[reportArgumentType]
            yield from let_failures_pass()

    def back(targets: Mapping[str, float], failed: bool) -> MsgGenerator[None]:
        yield from bps.mv(tem.goniometer, targets)

    def unstage(failed: bool) -> MsgGenerator[None]:
        yield from bps.unstage(tem.camera)

    @bpp.run_decorator(md=dict(md))
    def run() -> MsgGenerator[None]:
        yield from bps.mv(tem.column.beam_blank, 0)
        yield from body()

    def staged() -> MsgGenerator[Any]:
        yield from bps.stage(tem.camera)
        return (yield from run())

    return (
        yield from ending_with(
            bpp.rewindable_wrapper(staged(), False),
            blank,  # first: a stage that hangs must not keep the beam on the specimen
            stop,
            unstage,
            *restore,
            *(partial(back, targets) for targets in send_back),
        )
    )


@plan
def with_beam(
    tem: Microscope,
    stub: Callable[[], MsgGenerator[T]],
    *,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[T]:
    """Run a stub that looks and moves, such as `coarse_fine`, in a run of its own.

    The stage stays where the stub leaves it; on every way out the beam is blanked.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    stub : callable() -> generator of Msg
        For example ``lambda: recall(tem, place)``.
    md : mapping, optional
        Metadata of the run.

    Returns
    -------
    object
        What the stub returns.
    """
    found: list[T] = []

    def body() -> MsgGenerator[None]:
        found.append((yield from stub()))

    _md = {"plan_name": "with_beam", "purpose": "raw", "detectors": [tem.camera.name]}
    yield from imaging_run(tem, body, md={**_md, **(md or {})}, send_back=[])
    return found[0]
