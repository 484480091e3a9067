"""What plans of stops and images share: a frame into an event, and a result to wait for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.microscope import Microscope

__all__ = ["LiveResults", "record", "wait_for_result"]

_LOOK_AGAIN_S = 0.02


class LiveResults(Protocol):
    """Where a plan finds the result of the live analysis of its own run."""

    def future(self, raw_uid: str) -> Future[Any]:
        """The result of the analysis of run `raw_uid`, to come."""
        ...


def record(tem: Microscope) -> MsgGenerator[None]:
    """Take an image and read the positions into one event.

    A pause breaks off the RunEngine's wait, and a plan that is not rewindable goes on behind it:
    the event must not be made without its image.
    """
    # ophyd's statuses keep bluesky's protocol but for the names of arguments
    status = yield from bps.trigger(tem.camera, wait=True)  # pyright: ignore[reportArgumentType]
    while status is not None and not status.done:
        yield from bps.sleep(_LOOK_AGAIN_S)
    yield from bps.create("primary")
    try:
        yield from bps.read(tem.camera)
        yield from bps.read(tem.goniometer)
    except Exception:
        yield from bps.drop()  # else the baseline at the end finds it open and hides the cause
        raise
    yield from bps.save()


def wait_for_result(future: Future[Any]) -> MsgGenerator[Any]:
    """Wait for the result of a live analysis, also over pauses."""

    async def finished() -> None:
        # Shielded: what is waited for is not given up because a pause breaks off the wait.
        await asyncio.wait([asyncio.shield(asyncio.wrap_future(future))])

    while not future.done():
        yield from bps.wait_for([finished])
    return future.result()
