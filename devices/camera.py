"""The camera: a frame a trigger, written to HDF5 beside the documents, never inside them.

Configuration holds what analysis needs of a frame: the size of a pixel, and how the image lies on
the stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bluesky.protocols import Reading
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt

from devices._detector import Detector, MiddleSignal
from devices._record_writer import Layout, Record
from devices.units import MICROMETRE, MICROSECOND, NANOMETRE, NONE, SECOND
from devices.wire import LimitError, Reply
from devices.wire.ophyd import (
    SettingSignal,
    StaticSignal,
    ValueSignal,
    capabilities,
    checked_number,
)

__all__ = ["Camera"]


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
        self.device.refuse_recording(self.name)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return rows and columns."""
        rows, columns = value
        return {"rows": int(rows), "columns": int(columns)}


class MatrixSignal(ValueSignal):
    """The 2 x 2 matrix that takes (columns, rows) to the stage's (x, y)."""

    def convert(self, reading: Mapping[str, Any]) -> list[list[float]]:
        """Take the matrix out of a reading."""
        return [[float(value) for value in row] for row in reading["camera_to_stage"]]


class Camera(Detector):
    """A detector of whole frames; its microscope's `asset_folder` is where their files go."""

    operation = "camera.read"
    service = "camera"
    what = "frames"
    margin_s = 20.0  # a frame must be read out, sent and written

    image = Cpt(ImageSignal, kind="normal", dtype_numpy="<u2")
    time = Cpt(MiddleSignal, kind="normal", unit=SECOND)
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
        self._last: NDArray[np.uint16] = np.zeros((0, 0), np.uint16)
        super().__init__(prefix, **kwargs)

    @property
    def last_frame(self) -> tuple[NDArray[np.uint16], tuple[float, float]]:
        """The last frame, shape (rows, columns), and the instrument's times at its ends (s)."""
        return self._last, self.last_times

    def _duration(self, reading: Mapping[str, Any]) -> float:
        return reading["rows"] * reading["columns"] * reading["dwell_time"]

    def _record(self, reply: Reply) -> tuple[Record, Layout]:
        return {self.image.name: reply.arrays["image"]}, Layout({self.image.name: "/entry/data"})

    def _keep(self, reply: Reply) -> None:
        self._last = reply.arrays["image"]
