"""The camera: a frame a trigger, written to HDF5 beside the documents, never inside them.

The frame goes from the wire to the file on the camera's own thread; the status of `trigger` is
done when a reader can see it. Configuration holds what analysis needs of a frame: the size of a
pixel, and how the image lies on the stage.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from bluesky.protocols import Reading
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt

from devices.frames import FrameFile
from devices.status import RequestStatus
from devices.units import MICROMETRE, MICROSECOND, NANOMETRE, NONE, SECOND
from devices.wire import BusyError, LimitError, RefusedError, RemoteOperation
from devices.wire.ophyd import (
    SettingSignal,
    StaticSignal,
    ValueSignal,
    WireDevice,
    capabilities,
    checked_number,
)

__all__ = ["Camera"]

_REQUEST_S = 0.9
_TIMEOUT_FACTOR = 3.0  # a frame takes longer than its pixels: lines fly back,
_TIMEOUT_MARGIN_S = 20.0  # and a frame must be read out, sent and written


class ImageSignal(StaticSignal):
    """The frames: external, in an HDF5 file; `get` returns the last one, empty before the first."""

    def _fresh(self) -> tuple[NDArray[np.uint16], float]:
        image, times = self.device.last_frame
        return image, sum(times) / 2

    def read(self) -> dict[str, Reading[Any]]:
        """Return nothing: the frame is in the file."""
        return {}

    def describe(self) -> dict[str, DataKey]:
        """Describe the frames: shape, type, and that they are external."""
        rows, columns = self.device.shape.get()
        return {
            self.name: {
                "source": self.source_name,
                "dtype": "array",
                "dtype_numpy": "<u2",
                "shape": [rows, columns],
                "dims": ["row", "column"],
                "external": "STREAM:",
                "units": "counts",
            }
        }


class MidExposureSignal(StaticSignal):
    """The instrument's time in the middle of the last frame; NaN before the first."""

    def _fresh(self) -> tuple[float, float]:
        _, times = self.device.last_frame
        middle = sum(times) / 2
        return middle, time.time() if math.isnan(middle) else times[1]


class ShapeSignal(SettingSignal):
    """Rows and columns of a frame."""

    def convert(self, reading: Mapping[str, Any]) -> list[int]:
        """Take rows and columns out of a reading."""
        return [int(reading["rows"]), int(reading["columns"])]

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse a shape that is not two whole numbers within the limits, or comes in mid-run."""
        try:
            rows, columns = value
        except (TypeError, ValueError):
            raise LimitError(
                f"{self.name} target {value!r} is not allowed: give (rows, columns)"
            ) from None
        limits = capabilities(self.device.client, "camera")["limits"]
        for what, pixels in (("rows", rows), ("columns", columns)):
            low, high = limits[what]
            checked_number(f"{self.name} {what}", pixels, (low, high), NONE, whole=True)
        if self.device.recording:
            raise BusyError(
                f"{self.name} cannot change while a run writes frames: end the run, then set it"
            )

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return rows and columns."""
        rows, columns = value
        return {"rows": int(rows), "columns": int(columns)}


class MatrixSignal(ValueSignal):
    """The 2 x 2 matrix that takes (columns, rows) to the stage's (x, y)."""

    def convert(self, reading: Mapping[str, Any]) -> list[list[float]]:
        """Take the matrix out of a reading."""
        return [[float(value) for value in row] for row in reading["camera_to_stage"]]


class Camera(WireDevice):
    """A detector of whole frames; its microscope's `asset_folder` is where their files go."""

    operation = "camera.read"

    image = Cpt(ImageSignal, kind="normal", dtype_numpy="<u2")
    time = Cpt(MidExposureSignal, kind="normal", unit=SECOND)
    shape = Cpt(
        ShapeSignal,
        key="shape",
        command="camera.configure",
        service="camera",
        shape=(2,),
        dtype_numpy="<i8",
        kind="config",
    )
    dwell_time = Cpt(
        SettingSignal,
        key="dwell_time",
        command="camera.configure",
        service="camera",
        limit="dwell_time",
        unit=MICROSECOND,
        kind="config",
    )
    pixel_size = Cpt(ValueSignal, key="pixel_size", unit=NANOMETRE, kind="config")
    to_stage = Cpt(MatrixSignal, key="camera_to_stage", shape=(2, 2), kind="config")
    field_of_view = Cpt(ValueSignal, key="field_of_view", unit=MICROMETRE, kind="config")
    electrons_per_pixel = Cpt(ValueSignal, key="electrons_per_pixel", kind="config")

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self._folder: Path | None = kwargs["parent"].asset_folder
        self._frames: FrameFile | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._exposures: set[RemoteOperation] = set()
        self._exposures_lock = threading.Lock()
        self._last: NDArray[np.uint16] = np.zeros((0, 0), np.uint16)
        self._last_times = (math.nan, math.nan)
        super().__init__(prefix, **kwargs)

    @property
    def last_frame(self) -> tuple[NDArray[np.uint16], tuple[float, float]]:
        """The last frame, shape (rows, columns), and the instrument's times at its ends (s)."""
        return self._last, self._last_times

    @property
    def recording(self) -> bool:
        """Whether a run writes frames."""
        return self._frames is not None and self._frames.begun

    def stage(self) -> list[object]:
        """Get ready to write a new file; the first frame makes it."""
        if self._folder is None:
            raise RefusedError(
                f"{self.name} has no folder for its frames: give the microscope an asset_folder"
            )
        staged = super().stage()
        day = time.strftime("%Y/%m/%d")
        name = f"{time.strftime('%H%M%S')}-{self.name}-{uuid.uuid4().hex[:8]}.h5"
        self._frames = FrameFile(self._folder / day / name, self.image.name)
        self._writer = ThreadPoolExecutor(max_workers=1)
        return staged

    def unstage(self) -> list[object]:
        """End a frame still being scanned and close the file; needs no link."""
        self.stop()
        frames, writer = self._frames, self._writer
        self._frames = self._writer = None
        if writer is not None:
            writer.shutdown(wait=True)
        if frames is not None:
            frames.close()
        return super().unstage()

    def trigger(self) -> RequestStatus:
        """Scan a frame; done when it is in the file."""
        frames, writer = self._frames, self._writer
        if frames is None or writer is None:
            raise RefusedError(
                f"{self.name} is not staged: trigger it in a run, for example RE(count([camera]))"
            )
        reading = self.snapshot.get()
        expected = reading["rows"] * reading["columns"] * reading["dwell_time"]
        operation = self.client.start(
            "camera.acquire",
            {},
            deadline_s=_REQUEST_S,
            timeout_s=_TIMEOUT_FACTOR * expected + _TIMEOUT_MARGIN_S,
        )
        status = RequestStatus(self, f"{self.name} frame")
        with self._exposures_lock:
            self._exposures.add(operation)

        def written(done: Future[Any]) -> None:
            with self._exposures_lock:
                self._exposures.discard(operation)
            try:
                writer.submit(self._write, frames, done, status)
            except RuntimeError:  # the run is over, and its writer with it
                late = RefusedError(f"{self.name}: the frame came after the run")
                status.set_exception(done.exception() or late)

        operation.future.add_done_callback(written)
        return status

    def stop(self, *, success: bool = False) -> None:
        """End the frame being scanned, if any; its status fails. Works with a dead link."""
        with self._exposures_lock:
            exposing = bool(self._exposures)
        if exposing:
            self.client.stop("camera.abort")

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the frame of the last trigger is."""
        if self._frames is not None:
            yield from self._frames.collect()

    def _write(self, frames: FrameFile, done: Future[Any], status: RequestStatus) -> None:
        try:
            reply = done.result()
            image = reply.arrays["image"]
            times = (reply.values["start_time"], reply.values["end_time"])
            frames.write(image)
        except Exception as error:  # whatever it is, somebody waits for the status
            status.set_exception(error)
            return
        self._last, self._last_times = image, times
        status.set_finished()
