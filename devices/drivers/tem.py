"""The commands a TEM server offers over any stage, camera and column that keep the protocols.

Whatever a device has checked is checked here again: a server answers to every client, not only to
ours, and it is the last place where a wrong number can be refused before something moves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from devices.drivers.arguments import finite_number, no_others, whole_number, within
from devices.drivers.motion import StageService
from devices.drivers.protocols import CameraDriver, ColumnDriver, StageDriver
from devices.units import MICROMETRE, MICROSECOND, NANOMETRE, NONE
from devices.wire import (
    Access,
    BusyError,
    Call,
    Command,
    InstrumentError,
    RefusedError,
    Result,
    Service,
)

__all__ = ["CameraService", "ColumnService", "tem_services"]

_ABORT_POLL_S = 0.02
_ABORTED_S = 5.0  # in which a frame that was aborted is over; a vendor's readout takes its time
_SCANNING = "the camera is scanning a frame: wait for its end, or abort it first"


def tem_services(
    stage: StageDriver, camera: CameraDriver, column: ColumnDriver, *, poll_s: float = 0.05
) -> list[Service]:
    """Return the services of a TEM: ``stage``, ``camera`` and ``column``.

    Parameters
    ----------
    stage, camera, column : StageDriver, CameraDriver, ColumnDriver
        The instrument.
    poll_s : float
        Seconds between two readings of a moving stage.
    """
    return [
        StageService(stage, poll_s=poll_s),
        CameraService(camera, column),
        ColumnService(column),
    ]


class CameraService:
    """Commands ``camera.read``, ``.configure``, ``.acquire`` and ``.abort``.

    Parameters
    ----------
    driver : CameraDriver
        The detector.
    column : ColumnDriver
        Says how wide a frame is on the specimen.
    """

    name = "camera"

    def __init__(self, driver: CameraDriver, column: ColumnDriver) -> None:
        self._driver = driver
        self._column = column
        self._exposing = threading.Lock()
        self._aborted = threading.Event()

    def describe(self) -> dict[str, Any]:
        """Return the limits of rows, columns (pixels) and dwell_time (s)."""
        return {"limits": {name: list(pair) for name, pair in self._driver.limits.items()}}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "configure": Command(
                run=self._configure, access=Access.WRITE, check=self._check_settings
            ),
            "acquire": Command(
                run=self._acquire, access=Access.WRITE, check=self._check_free, long=True
            ),
            "abort": Command(run=self._abort, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return nothing: frames go to who asked for them."""
        return {}

    def make_safe(self) -> None:
        """End the frame being scanned."""
        self._end_frame()

    def _end_frame(self) -> None:
        if self._exposing.locked():
            self._aborted.set()
        self._driver.abort()

    def _read(self, call: Call) -> Result:
        no_others(call.args, "camera.read")
        state = self._driver.read()
        rows, columns = state.settings.shape
        width = self._column.read().field_of_view
        return Result(
            {
                "time": state.time,
                "rows": rows,
                "columns": columns,
                "dwell_time": state.settings.dwell_time,
                "field_of_view": width,
                "pixel_size": width / columns,
                "camera_to_stage": [list(row) for row in state.camera_to_stage],
                "electrons_per_pixel": state.electrons_per_pixel,
            }
        )

    def _check_settings(self, args: dict[str, Any]) -> None:
        no_others(args, "camera.configure", "rows", "columns", "dwell_time")
        limits = self._driver.limits
        for name in ("rows", "columns"):
            if name in args:
                pixels = whole_number(f"camera {name}", args[name])
                within(f"camera {name}", pixels, limits[name], NONE)
        if "dwell_time" in args:
            dwell = finite_number("camera dwell time", args["dwell_time"], MICROSECOND)
            within("camera dwell time", dwell, limits["dwell_time"], MICROSECOND)
        self._check_free({})

    def _check_free(self, args: dict[str, Any]) -> None:
        no_others(args, "camera.acquire")
        if self._exposing.locked() and not self._aborted.is_set():
            raise BusyError(_SCANNING)

    def _occupy(self) -> None:
        """Have the camera to oneself; a frame that was aborted may come to its end first."""
        patience = _ABORTED_S if self._aborted.is_set() else 0.0
        if not self._exposing.acquire(timeout=patience):
            raise BusyError(_SCANNING)
        self._aborted.clear()

    def _configure(self, call: Call) -> Result:
        self._occupy()
        try:
            old = self._driver.read().settings
            rows, columns = old.shape
            shape = (int(call.args.get("rows", rows)), int(call.args.get("columns", columns)))
            dwell = float(call.args.get("dwell_time", old.dwell_time))
            self._driver.configure(replace(old, shape=shape, dwell_time=dwell))
        finally:
            self._exposing.release()
        return self._read(Call(args={}, arrays={}, client=call.client, operation=None))

    def _acquire(self, call: Call) -> Result:
        self._occupy()
        over = threading.Event()
        watcher = threading.Thread(
            target=self._abort_when_cancelled, args=(call, over), name="camera-cancel", daemon=True
        )
        try:
            watcher.start()
            state = self._driver.read()
            frame = self._driver.acquire()
        finally:
            over.set()
            watcher.join()
            self._exposing.release()
        expected = state.settings.shape
        if frame.image.shape != expected:
            raise InstrumentError(
                f"the camera sent a frame of {frame.image.shape} pixels where {expected} were set"
            )
        return Result(
            {
                "start_time": frame.start_time,
                "end_time": frame.end_time,
                "field_of_view": frame.field_of_view,
                "pixel_size": frame.field_of_view / expected[1],
                "metadata": dict(frame.metadata),
            },
            {"image": frame.image},
        )

    def _abort_when_cancelled(self, call: Call, over: threading.Event) -> None:
        while not over.wait(_ABORT_POLL_S):
            if call.operation is not None and call.operation.cancelled.is_set():
                self._end_frame()

    def _abort(self, call: Call) -> Result:
        self._end_frame()
        return Result({})


class ColumnService:
    """Commands ``column.read`` and ``column.set``, and telemetry ``column.state``.

    Parameters
    ----------
    driver : ColumnDriver
        The column.
    """

    name = "column"

    def __init__(self, driver: ColumnDriver) -> None:
        self._driver = driver
        self._one_at_a_time = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """Return the limits of magnification, field_of_view (m) and image_shift (m)."""
        return {"limits": {name: list(pair) for name, pair in self._limits().items()}}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return what is published while nobody asks."""
        return {"column.state": self._snapshot}

    def make_safe(self) -> None:
        """Blank the beam: nobody watches the specimen any more."""
        self._driver.blank(True)

    def _snapshot(self) -> dict[str, Any]:
        state = self._driver.read()
        return {
            "time": state.time,
            "magnification": state.magnification,
            "field_of_view": state.field_of_view,
            "beam_blank": state.beam_blank,
            "image_shift_x": state.image_shift[0],
            "image_shift_y": state.image_shift[1],
            "high_tension": state.high_tension,
        }

    def _read(self, call: Call) -> Result:
        no_others(call.args, "column.read")
        return Result(self._snapshot())

    def _limits(self) -> dict[str, tuple[float, float]]:
        state = self._driver.read()
        width = state.magnification * state.field_of_view
        lower, upper = self._driver.limits["magnification"]
        return {**self._driver.limits, "field_of_view": (width / upper, width / lower)}

    def _check(self, args: dict[str, Any]) -> None:
        shifts = ("image_shift_x", "image_shift_y")
        no_others(args, "column.set", "magnification", "field_of_view", "beam_blank", *shifts)
        limits = self._limits()
        if "magnification" in args and "field_of_view" in args:
            raise RefusedError("magnification and field of view are one setting: give either")
        if "magnification" in args:
            value = finite_number("magnification", args["magnification"], NONE)
            within("magnification", value, limits["magnification"], NONE)
        if "field_of_view" in args:
            value = finite_number("field of view", args["field_of_view"], MICROMETRE)
            within("field of view", value, limits["field_of_view"], MICROMETRE)
        for name in shifts:
            if name in args:
                what = name.replace("_", " ")
                value = finite_number(what, args[name], NANOMETRE)
                within(what, value, limits["image_shift"], NANOMETRE)
        if "beam_blank" in args and not isinstance(args["beam_blank"], bool):
            raise RefusedError(f"beam blank {args['beam_blank']!r} is not allowed: true or false")

    def _set(self, call: Call) -> Result:
        args = call.args
        with self._one_at_a_time:
            if "magnification" in args:
                self._driver.set_magnification(float(args["magnification"]))
            if "field_of_view" in args:
                state = self._driver.read()
                ratio = state.field_of_view / float(args["field_of_view"])
                self._driver.set_magnification(state.magnification * ratio)
            if "image_shift_x" in args or "image_shift_y" in args:
                x, y = self._driver.read().image_shift
                self._driver.set_image_shift(
                    float(args.get("image_shift_x", x)), float(args.get("image_shift_y", y))
                )
            if "beam_blank" in args:
                self._driver.blank(args["beam_blank"])
        return Result(self._snapshot())
