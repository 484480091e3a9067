"""What plans of stops and images share: a move, a frame into an event, and a result to wait for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.microscope import Microscope

__all__ = [
    "LiveResults",
    "exposure_s",
    "move_unbroken",
    "reach",
    "read_into",
    "read_now",
    "record",
    "record_positions",
    "result_of",
    "standing",
    "triggered",
    "wait_for_result",
]

_LOOK_AGAIN_S = 0.02
_TRIES = 5  # to reach a target though pauses break the move off


class LiveResults(Protocol):
    """Where a plan finds the result of the live analysis of its own run."""

    def future(self, raw_uid: str) -> Future[Any]:
        """The result of the analysis of run `raw_uid`, to come."""
        ...


def read_now(signal: Any) -> MsgGenerator[Any]:
    """Read a signal; in a dry run, where nobody answers, as it is now."""
    return (yield from bps.rd(signal, default_value=signal.get()))


def standing(tem: Microscope, axes: Iterable[str]) -> MsgGenerator[dict[str, float]]:
    """Where axes were last sent, µm and degrees: where a plan begins, and sends them back to."""
    start: dict[str, float] = {}
    for name in axes:
        start[name] = yield from read_now(tem.goniometer.axes[name].target)
    return start


def exposure_s(tem: Microscope) -> MsgGenerator[float]:
    """Seconds from the first pixel of a frame to the last, without what the scan takes on top."""
    rows, columns = yield from read_now(tem.camera.shape)
    dwell_us = yield from read_now(tem.camera.dwell_time)
    return 1e-6 * dwell_us * rows * columns


def move_unbroken(tem: Microscope, targets: Mapping[str, float]) -> MsgGenerator[None]:
    """Move, and make sure that the move was not cut short by a pause.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    targets : mapping of str to float
        Target by axis, µm and degrees.

    Raises
    ------
    RuntimeError
        The stage was stopped on its way.
    """
    yield from bps.mv(tem.goniometer, targets)
    readings = (yield from bps.read(tem.goniometer)) or {}  # nothing in a dry run
    for name, target in targets.items():
        mover = tem.goniometer.axes[name]
        sent = readings.get(mover.target.name, {"value": target})["value"]
        if not math.isclose(sent, target, abs_tol=10.0**-mover.precision):
            raise RuntimeError(
                f"{mover.name} was stopped at {sent:.{mover.precision}f} {mover.egu} on its way to "
                f"{target:.{mover.precision}f} {mover.egu}: the history of the axis is broken, run "
                "the experiment again"
            )


def reach(tem: Microscope, targets: Mapping[str, float]) -> MsgGenerator[None]:
    """Move, again where a pause broke the move off.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    targets : mapping of str to float
        Target by axis, µm and degrees.

    Raises
    ------
    RuntimeError
        The stage was stopped on its way again and again.
    """
    missed: str | None = ""
    for _ in range(_TRIES):
        yield from bps.mv(tem.goniometer, {axis: float(to) for axis, to in targets.items()})
        missed = None
        for name, target in targets.items():
            axis = tem.goniometer.axes[name]
            sent = yield from bps.rd(axis.target, default_value=target)
            if not math.isclose(sent, target, abs_tol=10.0**-axis.precision):
                missed = f"{axis.name} stands at {sent:.{axis.precision}f} {axis.egu}"
        if missed is None:
            return
    raise RuntimeError(f"{missed} and did not reach its target in {_TRIES} moves")


def triggered(device: Any) -> MsgGenerator[None]:
    """Trigger a device and wait until it is done.

    A pause breaks off the RunEngine's wait, and a plan that is not rewindable goes on behind it: no
    event must be made without its image.
    """
    status = yield from bps.trigger(device, wait=True)
    while status is not None and not status.done:
        yield from bps.sleep(_LOOK_AGAIN_S)


def read_into(stream: str, *devices: Any) -> MsgGenerator[dict[str, Any]]:
    """Read devices into one event of a stream.

    Returns
    -------
    dict
        Their readings; empty in a dry run.
    """
    yield from bps.create(stream)
    readings: dict[str, Any] = {}
    try:
        for device in devices:
            readings |= (yield from bps.read(device)) or {}
    except Exception:
        yield from bps.drop()  # else the baseline at the end finds it open and hides the cause
        raise
    yield from bps.save()
    return readings


def record(tem: Microscope) -> MsgGenerator[dict[str, Any]]:
    """Take an image and read it and the positions into one event; see `read_into`."""
    yield from triggered(tem.camera)
    return (yield from read_into("primary", tem.camera, tem.goniometer))


def record_positions(tem: Microscope, stream: str) -> MsgGenerator[dict[str, Any]]:
    """Read the positions into an event of a stream without images; see `read_into`."""
    return (yield from read_into(stream, tem.goniometer))


def wait_for_result(future: Future[Any]) -> MsgGenerator[Any]:
    """Wait for the result of a live analysis, also over pauses."""

    async def finished() -> None:
        # Shielded: what is waited for is not given up because a pause breaks off the wait.
        await asyncio.wait([asyncio.shield(asyncio.wrap_future(future))])

    while not future.done():
        yield from bps.wait_for([finished])
    return future.result()


def result_of(analysis: LiveResults | None, uid: str) -> MsgGenerator[Any]:
    """Wait for what a live analysis finds of a run.

    None where there is no analysis, nor in a dry run, which has no uid.
    """
    if analysis is None or not uid:
        return None
    return (yield from wait_for_result(analysis.future(uid)))
