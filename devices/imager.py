"""The imaging of an AFM: an image of many channels a trigger, written to HDF5.

The mode decides the channels. Each is a data key of its own, the array in the file in SI units,
shape (lines, points), its first row the first line of the scan; the file alone tells a person what
it shows. Under a probe whose detector was never calibrated, forces are in volts: see
`devices.image_channels`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt

from devices._afm_signals import TextSignal
from devices._image_file import image_layout
from devices._imager_signals import (
    ChannelSignal,
    EngageSignal,
    FeedbackErrorSignal,
    ImageStatus,
    ImagingFlag,
    ImagingNumber,
    MidImageSignal,
    ModeSignal,
    SamplePointsSignal,
    SettingsSignal,
)
from devices._record_writer import RecordWriter
from devices._seen_lines import SeenLines
from devices.units import DEGREE, HERTZ, NANOMETRE, NANONEWTON, NONE, PERCENT, SECOND, VOLT
from devices.wire import RemoteOperation
from devices.wire.ophyd import ValueSignal, WireDevice, capabilities

__all__ = ["Imager"]

_BEGIN_S = 5.0  # nobody waits for it, and an image may begin late without harm
_PARTIAL_S = 5.0
_TIMEOUT_FACTOR = 3.0  # an image takes longer than its lines: it is sent and written,
_TIMEOUT_MARGIN_S = 120.0  # and a simulated sample may be slower than a real one

_Times = tuple[float, float]


class Imager(WireDevice):
    """A detector of images; its AFM's `asset_folder` is where their files go.

    Reading it is one request. `line` and `feedback_error` follow the instrument by themselves
    while somebody subscribes, so that a suspender can watch them.
    """

    operation = "imager.read"

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
    time = Cpt(MidImageSignal, kind="normal", unit=SECOND)
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
        self._acquiring: set[RemoteOperation] = set()
        self._acquiring_lock = threading.Lock()
        self._last: Mapping[str, NDArray[np.float32]] = {}
        self._last_times: _Times = (float("nan"), float("nan"))
        self._seen = SeenLines()
        self._seen_lock = threading.Lock()
        super().__init__(prefix, **kwargs)
        self._writer = RecordWriter(self.name, "images", kwargs["parent"].asset_folder)

    @property
    def last_image(self) -> tuple[Mapping[str, NDArray[np.float32]], _Times]:
        """The last whole image by channel, SI units, and the instrument's times at its ends (s)."""
        return self._last, self._last_times

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes images; see `RecordWriter`."""
        self._writer.refuse_recording(what)

    def observe(self, reading: Mapping[str, Any]) -> None:
        """Tell subscribers of line and feedback error that the server has sent by itself."""
        for signal in (self.line, self.image, self.feedback_error, self.engage):
            signal.observe(signal.convert(reading), reading["time"])

    def stage(self) -> list[object]:
        """Get ready to write a new file; the first image makes it."""
        self._writer.refuse_homeless()
        staged = super().stage()
        self._writer.begin()
        return staged

    def unstage(self) -> list[object]:
        """End an image that is still scanned and close the file; needs no link."""
        self.stop()
        self._writer.end()
        return super().unstage()

    def trigger(self) -> ImageStatus:
        """Scan an image; done when it is in the file. `watch` the status for its lines."""
        capabilities(self.client, "imager")
        thread = self._writer.thread()
        reading = self.snapshot.get()
        operation = self.client.start(
            "imager.acquire",
            {},
            deadline_s=_BEGIN_S,
            timeout_s=_TIMEOUT_FACTOR * reading["duration"] + _TIMEOUT_MARGIN_S,
        )
        status = ImageStatus(self, reading["lines"])
        with self._acquiring_lock:
            self._acquiring.add(operation)
        operation.on_progress(lambda values: self._progress(status, values))

        def acquired(done: Future[Any]) -> None:
            with self._acquiring_lock:
                self._acquiring.discard(operation)
            if done.exception() is not None:
                status.set_exception(done.exception())
                return
            self._writer.submit(thread, lambda: self._write(done, status), status.set_exception)

        operation.future.add_done_callback(acquired)
        return status

    def stop(self, *, success: bool = False) -> None:
        """End the image or the engage, if any; its status fails. Works with a dead link."""
        with self._acquiring_lock:
            acquiring = bool(self._acquiring)
        if acquiring:
            self.client.stop("imager.abort")
        else:
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

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the channels of the last trigger are."""
        yield from self._writer.collect()

    def _progress(self, status: ImageStatus, values: Mapping[str, Any]) -> None:
        if not status.done and "line" in values:
            status.report(float(values["line"]), values.get("remaining"))

    def _write(self, done: Future[Any], status: ImageStatus) -> None:
        try:
            reply = done.result()
            channels = {name: reply.arrays[name] for name in reply.values["units"]}
            keys = {name: getattr(self, name).name for name in channels}
            record = {keys[name]: array for name, array in channels.items()}
            self._writer.append(record, image_layout(reply.values, keys))
        except Exception as error:  # whatever it is, somebody waits for the status
            status.set_exception(error)
            return
        self._last = channels
        self._last_times = (reply.values["start_time"], reply.values["end_time"])
        status.report(status.target, 0.0)
        status.set_finished()
