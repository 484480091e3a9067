"""Following an instrument that takes its images by itself: its files as events of a run.

A NanoScope with AutoMET images samples and tip in its own order; the run records what it writes,
image after image, with what the headers tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, plan

from devices.capture_folder import CaptureFolder
from plans.endings import ending_with

__all__ = ["CaptureRun", "capture"]

_LOOK_S = 0.5


@dataclass(frozen=True)
class CaptureRun:
    """What `capture` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    images : int
        Files that became events.
    """

    uid: str
    images: int


@plan
def capture(
    folder: CaptureFolder, images: int = 0, *, md: Mapping[str, Any] | None = None
) -> MsgGenerator[CaptureRun]:
    """Record the images that an instrument writes to a folder.

    Each kind of image (channels, size, settings) has its stream: ``primary``, ``primary_2``, ...;
    files that never became complete are in ``left_out``, with the reason.

    Parameters
    ----------
    folder : CaptureFolder
        The folder.
    images : int
        Ends after so many; 0: when `CaptureFolder.finish` is called.
    md : mapping, optional
        Metadata, among them ``fields`` for the analysis; they win over the plan's own.

    Returns
    -------
    CaptureRun
        Uid of the run and number of images.

    Raises
    ------
    bluesky.utils.FailedStatus
        The folder was stopped, or cannot be followed any longer.
    """
    start = {
        "plan_name": "capture",
        "plan_args": {"folder": folder.name, "images": images},
        "purpose": "raw",
        "detectors": [folder.name],
        "hints": {"dimensions": [(("time",), "primary")]},
        **(md or {}),
    }
    declared: set[str] = set()
    # as bluesky's protocols have them; ophyd's own statuses and devices are typed otherwise
    flyer: Any = folder

    def collected() -> MsgGenerator[None]:
        for stream in flyer.streams:
            if stream.stream not in declared:
                yield from bps.declare_stream(stream, name=stream.stream, collect=True)
                declared.add(stream.stream)
            yield from bps.collect(stream, name=stream.stream)

    def body() -> MsgGenerator[None]:
        yield from bps.kickoff(flyer, wait=True)
        ended = yield from bps.complete(flyer, wait=False)
        while ended is not None and not ended.done:
            yield from bps.sleep(_LOOK_S)
            yield from collected()
        yield from collected()
        yield from bps.null()  # where the failure of the status is told

    def recorded() -> MsgGenerator[str]:
        yield from bps.mv(flyer.expected, images)
        yield from bps.stage(flyer)
        return (yield from bpp.run_wrapper(body(), md=start))

    def stop(failed: bool) -> MsgGenerator[None]:
        yield from bps.stop(flyer)

    def unstage(failed: bool) -> MsgGenerator[None]:
        yield from bps.unstage(flyer)

    uid = yield from ending_with(bpp.rewindable_wrapper(recorded(), False), stop, unstage)
    return CaptureRun(uid, folder.taken)
