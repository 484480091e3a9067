"""The imaging of an AFM: an image of many channels a trigger, written to HDF5.

The mode decides the channels. Each is a data key of its own, the array in the file in SI units,
shape (lines, points), its first row the first line of the scan; the file alone tells a person what
it shows. Under a probe whose detector was never calibrated, forces are in volts: see
`devices.image_channels`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd.status import DeviceStatus

from devices._afm_signals import TextSignal
from devices._detector import Detector, MiddleSignal
from devices._image_file import image_layout
from devices._imager_signals import (
    ChannelSignal,
    EngageSignal,
    FeedbackErrorSignal,
    ImageStatus,
    ImagingFlag,
    ImagingNumber,
    ModeSignal,
    SamplePointsSignal,
    SettingsSignal,
)
from devices._record_writer import Layout, Record
from devices._seen_lines import SeenLines
from devices.units import DEGREE, HERTZ, NANOMETRE, NANONEWTON, NONE, PERCENT, SECOND, VOLT
from devices.wire import RemoteOperation, Reply
from devices.wire.ophyd import ValueSignal, capabilities

__all__ = ["Imager"]

_PARTIAL_S = 5.0


class Imager(Detector):
    """A detector of images; its AFM's `asset_folder` is where their files go.

    Reading it is one request. `line` and `feedback_error` follow the instrument by themselves
    while somebody subscribes, so that a suspender can watch them.
    """

    operation = "imager.read"
    service = "imager"
    what = "images"
    begin_s = 5.0  # nobody waits for it, and an image may begin late without harm
    margin_s = 120.0  # it is sent and written, and a simulated sample may be slower than a real one

    engage = Cpt(EngageSignal, kind="omitted")
    settings = Cpt(SettingsSignal, kind="omitted")

    height_sensor = Cpt(ChannelSignal, kind="normal")
    peak_force_error = Cpt(ChannelSignal, kind="normal")
    dmt_modulus = Cpt(ChannelSignal, kind="normal")
    log_dmt_modulus = Cpt(ChannelSignal, kind="normal")
    adhesion = Cpt(ChannelSignal, kind="normal")
    deformation = Cpt(ChannelSignal, kind="normal")
    dissipation = Cpt(ChannelSignal, kind="normal")
    height = Cpt(ChannelSignal, kind="normal")
    amplitude_error = Cpt(ChannelSignal, kind="normal")
    phase = Cpt(ChannelSignal, kind="normal")
    time = Cpt(MiddleSignal, kind="normal", unit=SECOND)
    feedback_error = Cpt(FeedbackErrorSignal, kind="normal")
    line = Cpt(ValueSignal, key="line", dtype_numpy="<i8", kind="omitted")
    image = Cpt(ValueSignal, key="image", dtype_numpy="<i8", kind="omitted")

    mode = Cpt(ModeSignal, kind="config")
    channels = Cpt(TextSignal, key="channels", kind="config")
    peak_force_setpoint = Cpt(
        ImagingNumber, key="peak_force_setpoint", unit=NANONEWTON, kind="config"
    )
    pft_frequency = Cpt(ImagingNumber, key="pft_frequency", unit=HERTZ, kind="config")
    peak_force_amplitude = Cpt(
        ImagingNumber, key="peak_force_amplitude", unit=NANOMETRE, kind="config"
    )
    sample_points = Cpt(SamplePointsSignal, kind="config")
    peak_force_engage_setpoint = Cpt(
        ImagingNumber, key="peak_force_engage_setpoint", unit=VOLT, kind="config"
    )
    min_force_fit_boundary = Cpt(
        ImagingNumber, key="min_force_fit_boundary", unit=PERCENT, kind="config"
    )
    max_force_fit_boundary = Cpt(
        ImagingNumber, key="max_force_fit_boundary", unit=PERCENT, kind="config"
    )
    deformation_fit_region = Cpt(
        ImagingNumber, key="deformation_fit_region", unit=NONE, kind="config"
    )
    sample_poissons_ratio = Cpt(
        ImagingNumber, key="sample_poissons_ratio", unit=NONE, kind="config"
    )
    tip_half_angle = Cpt(ImagingNumber, key="tip_half_angle", unit=DEGREE, kind="config")
    include_adhesion_force = Cpt(ImagingFlag, key="include_adhesion_force", kind="config")
    target_amplitude = Cpt(ImagingNumber, key="target_amplitude", unit=NANOMETRE, kind="config")
    amplitude_setpoint = Cpt(ImagingNumber, key="amplitude_setpoint", unit=PERCENT, kind="config")

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self._last: Mapping[str, NDArray[np.float32]] = {}
        self._seen = SeenLines()
        self._seen_lock = threading.Lock()
        super().__init__(prefix, **kwargs)

    @property
    def last_image(self) -> tuple[Mapping[str, NDArray[np.float32]], tuple[float, float]]:
        """The last whole image by channel, SI units, and the instrument's times at its ends (s)."""
        return self._last, self.last_times

    def observe(self, reading: Mapping[str, Any]) -> None:
        """Tell subscribers of line and feedback error that the server has sent by itself."""
        for signal in (self.line, self.image, self.feedback_error, self.engage):
            signal.observe(signal.convert(reading), reading["time"])

    def trigger(self) -> DeviceStatus:
        """Scan an image; done when it is in the file. `watch` the status for its lines."""
        capabilities(self.client, "imager")
        return super().trigger()

    def stop(self, *, success: bool = False) -> None:
        """End the image and the engage, if any; their statuses fail. Works with a dead link."""
        super().stop(success=success)
        self.engage.stop(success=success)

    def partial(self) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """Return how much of the present image, or of the last, is there already.

        Asks the server for the lines that it has not seen yet; any thread, in mid-image as well.

        Returns
        -------
        tuple
            The number of lines done, and each channel, shape (lines, points), SI units, with NaN
            in the lines still missing. (0, {}) before the first image.
        """
        with self._seen_lock:
            seen = self._seen
            reply = self.client.request(
                "imager.partial", {"begun": seen.begun, "since": seen.done}, deadline_s=_PARTIAL_S
            )
            self._seen = seen = seen.with_more(reply.values, reply.arrays)
            return seen.done, {name: array.copy() for name, array in seen.arrays.items()}

    def _duration(self, reading: Mapping[str, Any]) -> float:
        return reading["duration"]

    def _begun(self, reading: Mapping[str, Any], operation: RemoteOperation) -> ImageStatus:
        status = ImageStatus(self, reading["lines"])
        operation.on_progress(status.scanned)
        return status

    def _record(self, reply: Reply) -> tuple[Record, Layout]:
        keys = {name: getattr(self, name).name for name in reply.values["units"]}
        record = {key: reply.arrays[name] for name, key in keys.items()}
        return record, image_layout(reply.values, keys)

    def _keep(self, reply: Reply) -> None:
        self._last = {name: reply.arrays[name] for name in reply.values["units"]}
