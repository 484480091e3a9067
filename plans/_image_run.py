"""What every image of an AFM has in common: its checks, its start document, its end.

The chuck moves only under a withdrawn tip, and the tip is at a sample only inside such a run;
whatever ends it withdraws the tip first, then ends what goes on and closes the imager's file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator

from devices.afm import Afm
from devices.image_channels import PEAK_FORCE_MODES
from devices.imaging_settings import ImagingSettings, check_curves
from devices.scan_frame import ScanFrame
from plans._checks import positive
from plans._steps import read_into, read_now, triggered
from plans._withdrawal import withdraw, withdrawn
from plans.endings import ending_with, let_failures_pass
from plans.scans import Place, Scan

__all__ = ["Imaging", "check_image", "image_run", "moved_withdrawn"]

T = TypeVar("T")

_TRIES = 5  # to arrive though pauses break the way off
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True)
class Imaging:
    """An image to be taken.

    Parameters
    ----------
    place : Place
        Where.
    scan : Scan
        How it is scanned.
    mode : str
        One of `devices.image_channels.MODES`.
    setpoint : float or None
        Peak force, nN; that in force unless given. There is none in Tapping.
    """

    place: Place
    scan: Scan
    mode: str
    setpoint: float | None = None

    @property
    def technique(self) -> str:
        """The mode as a word for searches: ``peakforce_qnm``, ``scanasyst`` or ``tapping``."""
        return self.mode.lower().replace(" ", "_")

    @property
    def settings(self) -> dict[str, Any]:
        """What of it the imager is set to."""
        settings: dict[str, Any] = {"mode": self.mode}
        if self.setpoint is not None:
            settings["peak_force_setpoint"] = float(self.setpoint)
        return settings

    @property
    def frame(self) -> dict[str, Any]:
        """What of it the scanner is set to: the frame about the middle of its range."""
        return {
            "scan_size": float(self.scan.size),
            "aspect_ratio": float(self.scan.aspect),
            "scan_rate": float(self.scan.rate),
            "lines": int(self.scan.lines),
            "samples_per_line": int(self.scan.points),
            "scan_angle": float(self.scan.angle),
            "x_offset": 0.0,
            "y_offset": 0.0,
        }


def check_image(afm: Afm, imaging: Imaging) -> None:
    """Refuse an image that cannot be taken; nothing has moved.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Says what is allowed.
    """
    if not afm.images:
        raise ValueError(f"{afm.name} takes no images: its server offers no imager")
    afm.imager.mode.check_value(imaging.mode)
    if imaging.setpoint is not None:
        positive("setpoint", imaging.setpoint, "nN")
        if imaging.mode not in PEAK_FORCE_MODES:
            raise ValueError(
                f"setpoint is {imaging.setpoint:g} nN: {imaging.mode} keeps no peak force; leave "
                "it out, and set the imager's amplitude_setpoint"
            )
    afm.chuck.place.check_value(imaging.place.target)
    present = ImagingSettings.from_wire(afm.imager.snapshot.get())
    settings = replace(present, **afm.imager.settings.arguments(imaging.settings))
    check_curves(settings, ScanFrame.from_wire(afm.scanner.frame.arguments(imaging.frame)))


def image_run(
    afm: Afm,
    imaging: Imaging,
    *,
    md: Mapping[str, Any],
    told: Mapping[str, Any] | None = None,
    afterwards: Callable[[], MsgGenerator[T]],
) -> MsgGenerator[tuple[str, T]]:
    """Go to the place, engage, take the image, and leave the microscope safe.

    A frame cannot be taken up where it was left, so the run is not rewindable: what a pause breaks
    off is begun again, and a frame that is being scanned goes on. On every way out the tip is
    withdrawn, what goes on ended and the file closed, each of these though the others fail.

    Parameters
    ----------
    afm : Afm
        The microscope.
    imaging : Imaging
        As checked.
    md : mapping
        Metadata, which win over those that every image has.
    told : mapping, optional
        What else of the run its ``fields`` tell: data keys by stream and name.
    afterwards : callable() -> generator of Msg
        What is done in the run after the image, with the tip withdrawn.

    Returns
    -------
    (str, object)
        Uid of the run, and what `afterwards` returns.
    """
    found: list[T] = []

    def retract(failed: bool) -> MsgGenerator[None]:
        yield from withdraw(afm.head)
        if failed:  # an image that the withdrawal has ended says so
            yield from let_failures_pass()

    def stop(failed: bool) -> MsgGenerator[None]:
        if failed:
            # bluesky's protocol has success positional; ophyd and its RunEngine do not
            yield from bps.stop(afm)  # pyright: ignore[reportArgumentType]
            yield from let_failures_pass()

    def unstage(failed: bool) -> MsgGenerator[None]:
        yield from bps.unstage(afm.imager)

    def retracted(failed: bool) -> MsgGenerator[None]:
        yield from withdrawn(afm.head)

    def body() -> MsgGenerator[None]:
        yield from moved_withdrawn(afm, afm.imager.engage, 1)
        yield from triggered(afm.imager)
        yield from read_into("primary", afm.imager, afm.head, afm.scanner, afm.chuck, afm.probe)
        yield from withdraw(afm.head)
        found.append((yield from afterwards()))

    def staged() -> MsgGenerator[str]:
        yield from bps.stage(afm.imager)
        yield from withdraw(afm.head)
        yield from withdrawn(afm.head)
        yield from bps.mv(afm.imager.settings, imaging.settings, afm.scanner.frame, imaging.frame)
        yield from moved_withdrawn(afm, afm.chuck.place, imaging.place.target)
        start = yield from _start_document(afm, imaging)
        start["fields"] |= told or {}
        return (yield from bpp.run_wrapper(body(), md={**start, **md}))

    uid = yield from ending_with(
        bpp.rewindable_wrapper(staged(), False),
        retract,  # first: nothing must keep the tip on the sample
        stop,
        unstage,
        retracted,
    )
    return uid, found[0]


class _Move:
    """A movable that remembers whether the RunEngine has stopped it, as it does in a pause.

    What somebody else has stopped, or withdrawn the tip from, is not begun again.
    """

    def __init__(self, movable: Any) -> None:
        self._movable = movable
        self.name = movable.name
        self.parent = None
        self.stopped = False

    def set(self, value: Any) -> Any:
        """Begin to move."""
        return self._movable.set(value)

    def stop(self, success: bool = True) -> None:
        """Stop the move, if there is one."""
        self.stopped = True
        self._movable.stop(success=success)


def moved_withdrawn(afm: Afm, movable: Any, target: Any) -> MsgGenerator[None]:
    """Move something that needs the tip withdrawn, again where a pause broke it off.

    Parameters
    ----------
    afm : Afm
        The microscope.
    movable : ophyd object
        What moves: the chuck, the engage, the exchange of the probe.
    target : object
        Where to.

    Raises
    ------
    bluesky.utils.FailedStatus
        It fails, or pauses have broken it off again and again.
    """
    for tries in range(1, _TRIES + 1):
        yield from withdrawn(afm.head)
        move = _Move(movable)
        try:
            status = yield from bps.abs_set(move, target, wait=True)
            while status is not None and not status.done:  # the wait was broken off
                yield from bps.sleep(_LOOK_AGAIN_S)
            yield from bps.null()  # where a failure is told that came in a pause
            return
        except FailedStatus:
            if tries == _TRIES or not move.stopped:
                raise


def _start_document(afm: Afm, imaging: Imaging) -> MsgGenerator[dict[str, Any]]:
    serial = yield from read_now(afm.probe.serial)
    calibrated = yield from read_now(afm.probe.calibrated)
    channels = yield from read_now(afm.imager.channels)
    place, scan = imaging.place, imaging.scan
    return {
        "plan_name": "image",
        "plan_args": {
            "afm": afm.name,
            "place": {"sample": place.sample, "x": place.x, "y": place.y},
            "scan": scan.to_document(),
            "mode": imaging.mode,
            "setpoint": imaging.setpoint,
        },
        "purpose": "raw",
        "detectors": [afm.imager.name],
        "motors": [afm.chuck.sample.name, afm.chuck.offset_x.name, afm.chuck.offset_y.name],
        "num_points": 1,
        "technique": imaging.technique,
        "sample": place.sample,
        "field": place.field,
        "probe_serial": serial,
        # what is constant as long as nobody comes near: one probe on one day
        "session": f"{time.strftime('%Y-%m-%d')} {serial}".rstrip(),
        "calibrated": bool(calibrated),
        "channels": list(channels),
        "scan": scan.to_document(),
        "fields": {
            **{name: getattr(afm.imager, name).name for name in channels},
            "time": afm.imager.time.name,
            "feedback_error": afm.imager.feedback_error.name,
            "peak_force_setpoint": afm.imager.peak_force_setpoint.name,
        },
        "hints": {"dimensions": [(("time",), "primary")]},
    }
