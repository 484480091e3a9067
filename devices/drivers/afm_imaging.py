"""The imaging of an AFM as a server offers it: engage, scan a frame, show the lines that are there.

An image needs a tip that the imager has engaged, and a frame that can be scanned. Whatever goes
wrong while the tip is at the sample, it is withdrawn; an image that is aborted leaves it engaged.
An engage that does not come to its end withdraws it as well: nobody knows then how near it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.drivers.afm_acquisition import Acquisition, ended_by_its_client
from devices.drivers.afm_chuck import ChuckService
from devices.drivers.afm_head import HeadService
from devices.drivers.afm_probe import ProbeService
from devices.drivers.afm_scanner import ScannerService
from devices.drivers.arguments import finite_number, no_others, whole_number
from devices.drivers.image_buffer import ImageBuffer
from devices.drivers.imaging_protocols import ImageOrder, ImagingDriver
from devices.image_channels import CHANNELS, FEEDBACK_CHANNEL, MODES
from devices.imaging_settings import (
    SAMPLE_POINTS,
    ImagingSettings,
    check_curves,
    check_settings,
)
from devices.units import SECOND
from devices.wire import (
    Access,
    BusyError,
    Call,
    CancelledError,
    Command,
    InstrumentError,
    LimitError,
    RefusedError,
    Result,
)

__all__ = ["ImagerParts", "ImagerService"]


@dataclass(frozen=True)
class ImagerParts:
    """The rest of the instrument, as the imager needs it."""

    head: HeadService
    scanner: ScannerService
    probe: ProbeService
    chuck: ChuckService | None
    acquisition: Acquisition


class ImagerService:
    """Commands ``imager.read``, ``.set``, ``.engage``, ``.acquire``, ``.partial`` and ``.abort``.

    Telemetry ``imager.state``.

    Parameters
    ----------
    driver : ImagingDriver
        Scans.
    parts : ImagerParts
        The rest.
    """

    name = "imager"

    def __init__(self, driver: ImagingDriver, parts: ImagerParts) -> None:
        self._driver = driver
        self._parts = parts
        self._acquisition = parts.acquisition
        self._settings = ImagingSettings()
        self._engaged_after = -1  # withdrawals: a further one has undone it
        self._image: ImageBuffer | None = None
        self._images = 0

    def describe(self) -> dict[str, Any]:
        """Return the modes with their channels, the limits (SI) and the choices."""
        return {
            "modes": {mode: list(channels) for mode, channels in MODES.items()},
            "limits": self._driver.limits.to_wire(),
            "sample_points": list(SAMPLE_POINTS),
        }

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "partial": Command(run=self._partial, access=Access.READ, check=self._check_partial),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check_settings),
            "engage": Command(
                run=self._engage, access=Access.MOTION, check=self._check_engage, long=True
            ),
            "acquire": Command(
                run=self._acquire, access=Access.WRITE, check=self._check_acquire, long=True
            ),
            "abort": Command(run=self._abort, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return what is published while nobody asks."""
        return {"imager.state": self._snapshot}

    def make_safe(self) -> None:
        """End the image; the head withdraws the tip."""
        self._acquisition.abort("the client that asked for it has gone")

    @property
    def engaged(self) -> bool:
        """Whether the imager has brought the tip to the sample and it is there still."""
        head = self._parts.head
        return self._engaged_after == head.withdrawals and not head.lifted

    def _snapshot(self) -> dict[str, Any]:
        image, frame, probe = self._image, self._parts.scanner.frame, self._parts.probe.mounted
        error = CHANNELS[FEEDBACK_CHANNEL[self._settings.mode]]
        return {
            "time": self._parts.head.time,
            **self._settings.to_wire(),
            "channels": list(self._settings.channels),
            "lines": frame.lines,
            "samples_per_line": frame.samples_per_line,
            "duration": frame.duration,
            "calibrated": probe.calibrated,
            "engaged": self.engaged,
            "image": 0 if image is None else image.number,
            "line": 0 if image is None else image.done,
            "feedback_error": self._feedback_error(),
            "feedback_error_unit": error.unit_of(probe.calibrated),
        }

    def _feedback_error(self) -> float:
        """Return that of the last image; 0 when it was of another kind, in another unit."""
        image, probe = self._image, self._parts.probe.mounted
        if image is None:
            return 0.0
        order = image.order
        alike = order.settings.mode == self._settings.mode
        return image.feedback_error if alike and order.probe.calibrated == probe.calibrated else 0.0

    def _read(self, call: Call) -> Result:
        no_others(call.args, "imager.read")
        return Result(self._snapshot())

    def _check_settings(self, args: dict[str, Any]) -> None:
        no_others(args, "imager.set", *(field.name for field in fields(ImagingSettings)))
        settings = replace(self._settings, **args)
        check_settings(settings, self._driver.limits)
        self._acquisition.check_free("a setting of the imaging")
        if settings.mode != self._settings.mode and not self._parts.head.lifted:
            raise RefusedError(
                f"imaging mode {settings.mode!r} needs the tip off the sample: withdraw it, set "
                "the mode, engage again"
            )

    def _set(self, call: Call) -> Result:
        with self._acquisition.aside("a setting of the imaging"):
            self._settings = replace(self._settings, **call.args)
        return Result(self._snapshot())

    def _order(self) -> ImageOrder:
        return ImageOrder(self._parts.scanner.frame, self._settings, self._parts.probe.mounted)

    def _refuse_moving(self, what: str) -> None:
        parts = {"head": self._parts.head, "scanner": self._parts.scanner}
        for name, part in parts.items():
            if part.moving:
                raise BusyError(f"the {name} is moving: wait for its end, then {what}")

    def _check_engage(self, args: dict[str, Any]) -> None:
        no_others(args, "imager.engage", "engaged")
        if args.get("engaged", True) is not True:
            raise RefusedError("the imager engages only: head.withdraw takes the tip off")
        self._acquisition.check_free("to engage")
        if not self.engaged:
            self._refuse_unapproachable()

    def _refuse_unapproachable(self) -> None:
        self._refuse_moving("engage")
        if not self._parts.head.withdrawn:
            raise RefusedError("the imager engages a withdrawn tip: withdraw it first")
        if self._parts.chuck is not None and not self._parts.chuck.sample:
            raise RefusedError("no sample is under the tip: send the chuck to one first")

    def _engage(self, call: Call) -> Result:
        head = self._parts.head
        doing = self._acquisition.acquiring("to engage", "the tip is being engaged")
        with doing as abort, ended_by_its_client(call, self._acquisition):
            if not self.engaged:
                self._refuse_unapproachable()
                withdrawals = head.withdrawals
                self._approach(abort, withdrawals)
                self._engaged_after = withdrawals
        return Result(self._snapshot())

    def _approach(self, abort: threading.Event, withdrawals: int) -> None:
        head = self._parts.head
        try:
            self._driver.engage(self._order(), abort)
            head.engage(withdrawals)
        except CancelledError:
            head.withdraw("because the engage was stopped")
            raise self._acquisition.cancelled("engage", "tip withdrawn; engage again") from None
        except InstrumentError as error:
            head.withdraw("because the engage failed")
            raise InstrumentError(
                f"{error.message}; tip withdrawn: engage again", error.vendor_code
            ) from error

    def _abort(self, call: Call) -> Result:
        self._acquisition.abort(f"by {call.client}")
        return Result({})

    def _check_acquire(self, args: dict[str, Any]) -> None:
        no_others(args, "imager.acquire")
        self._acquisition.check_free("an image")
        self._refuse_impossible()

    def _refuse_impossible(self) -> None:
        self._parts.scanner.check_frame()
        check_curves(self._settings, self._parts.scanner.frame)
        self._refuse_moving("scan")
        if not self.engaged:
            raise RefusedError("the tip is not engaged: engage with the imager, then scan")

    def _acquire(self, call: Call) -> Result:
        doing = self._acquisition.acquiring("an image", "an image is being scanned")
        with doing as abort, ended_by_its_client(call, self._acquisition):
            self._refuse_impossible()  # again: it may have been withdrawn just now
            self._images += 1
            begun = self._parts.head.time
            self._image = image = ImageBuffer(self._images, self._order(), begun)
            try:
                self._scan(call, image, abort)
            finally:
                distance = image.order.frame.scanned_distance(image.done)
                self._parts.probe.scanned(distance, image.complete)
            return self._result(image)

    def _scan(self, call: Call, image: ImageBuffer, abort: threading.Event) -> None:
        head, operation, lines = self._parts.head, call.operation, image.order.frame.lines
        assert operation is not None

        def deliver(first: int, rows: Mapping[str, NDArray[np.float32]]) -> None:
            image.take(first, rows)
            head.keep_up()
            left = (lines - image.done) * image.order.frame.line_time
            operation.progress(line=image.done, remaining=left)

        try:
            self._driver.scan(image.order, abort, deliver)
            if not image.complete:
                raise InstrumentError(
                    f"the instrument ended the image after {image.done} of {lines} lines"
                )
        except CancelledError:
            raise self._acquisition.cancelled("image", "scan again for a whole one") from None
        except InstrumentError as error:
            head.withdraw("because an image failed")
            raise InstrumentError(
                f"{error.message}; tip withdrawn: engage again", error.vendor_code
            ) from error

    def _result(self, image: ImageBuffer) -> Result:
        order, chuck = image.order, self._parts.chuck
        _, arrays = image.rows(0)
        values = {
            "image": image.number,
            "start_time": image.begun,
            "end_time": self._parts.head.time,
            "feedback_error": image.feedback_error,
            "frame": order.frame.to_wire(),
            "settings": order.settings.to_wire(),
            "units": {name: CHANNELS[name].unit_of(order.probe.calibrated) for name in arrays},
            "calibrated": order.probe.calibrated,
            "serial": order.probe.serial,
            "sample": "" if chuck is None else chuck.sample,
        }
        return Result(values, arrays)

    def _check_partial(self, args: dict[str, Any]) -> None:
        no_others(args, "imager.partial", "begun", "since")
        finite_number("imager begun", args.get("begun", 0.0), SECOND)
        if whole_number("imager since", args.get("since", 0)) < 0:
            raise LimitError(f"imager since {args['since']} is not allowed: 0 or more")

    def _partial(self, call: Call) -> Result:
        """Return the lines from `since` on of the image that began at `begun`.

        All lines of the present image, if that is another one.
        """
        image = self._image
        if image is None:
            return Result({"begun": 0.0, "since": 0, "line": 0, "shape": [0, 0], "channels": []})
        same = call.args.get("begun", 0.0) == image.begun
        since = min(call.args.get("since", 0), image.done) if same else 0
        done, arrays = image.rows(since)
        frame = image.order.frame
        values = {
            "begun": image.begun,
            "since": since,
            "line": done,
            "shape": [frame.lines, frame.samples_per_line],
            "channels": list(arrays),
        }
        return Result(values, arrays if done > since else {})
