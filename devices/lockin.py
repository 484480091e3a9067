"""The multifrequency lock-in: a line of complex spectra a trigger, written to HDF5.

X of deflection(t) = Re sum_n X_n exp(+i n 2 pi df t) in metres, one spectrum a pixel, one period
1/df a pixel. The spectra and the heights of the head go from the wire to the file on the lock-in's
own thread; the status of `trigger` is done when a reader can see them. Configuration holds the
comb.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
from bluesky.protocols import Reading
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device

from devices._afm_signals import NumbersSignal
from devices._record_writer import Layout, Record, RecordWriter
from devices.comb import Comb, CombLimits, check_comb
from devices.status import RequestStatus
from devices.units import HERTZ, METRE, NONE, RADIAN, SECOND, VOLT, Unit
from devices.wire import RefusedError, RemoteOperation
from devices.wire.ophyd import (
    SettingSignal,
    StaticSignal,
    ValueSignal,
    WireDevice,
    capabilities,
    checked_number,
)

__all__ = ["Lockin"]

_REQUEST_S = 0.9
_SET_S = 5.0
_TIMEOUT_FACTOR = 3.0  # an acquisition takes longer than its pixels: the scanner flies back,
_TIMEOUT_MARGIN_S = 60.0  # and a simulated cantilever may be slower than a real one


class RecordSignal(StaticSignal):
    """An array of each acquisition: external; `get` returns the last, empty before the first.

    Of one number a line a number is recorded: a catalog takes an array of one for just that.

    Parameters
    ----------
    array : str
        Its name on the wire.
    dims : tuple of str
        What its dimensions are.
    """

    def __init__(self, *, array: str, dims: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.array = array
        self._dims = dims

    def _fresh(self) -> tuple[NDArray[Any], float]:
        record, times = self.device.last_record
        empty = np.zeros((0,) * len(self._dims), np.dtype(self._dtype_numpy))
        return record.get(self.name, empty), sum(times) / 2

    def read(self) -> dict[str, Reading[Any]]:
        """Return nothing: the array is in the file."""
        return {}

    def describe(self) -> dict[str, DataKey]:
        """Describe the array: shape, type, unit, and that it is external."""
        sizes = {"pixel": self.device.pixels.get(), "tone": len(self.device.tones.get())}
        dims = () if self._dims == ("pixel",) and sizes["pixel"] == 1 else self._dims
        return {
            self.name: {
                "source": self.source_name,
                "dtype": "array" if dims else "number",
                "dtype_numpy": self._dtype_numpy,
                "shape": [sizes[dim] for dim in dims],
                "dims": list(dims),
                "external": "STREAM:",
                "units": self.egu,
            }
        }


class MidAcquisitionSignal(StaticSignal):
    """The instrument's time in the middle of the last acquisition; NaN before the first."""

    def _fresh(self) -> tuple[float, float]:
        _, times = self.device.last_record
        middle = sum(times) / 2
        return middle, time.time() if np.isnan(middle) else times[1]


class CombNumbers(NumbersSignal):
    """One of the arrays of the comb, read only: a comb is set whole."""

    def __init__(self, *, key: str, unit: Unit = NONE, **kwargs: Any) -> None:
        super().__init__(key=key, command="", service="lockin", unit=unit, **kwargs)
        self._metadata.update(write_access=False)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse: the arrays of a comb belong together."""
        raise RefusedError(f"{self.name} is part of the comb: set {self.device.name}.comb whole")


class PixelsSignal(SettingSignal):
    """Pixels an acquisition."""

    @property
    def limits(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Least and greatest number of pixels."""
        return (1, self.device.comb_limits.pixels)

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no whole number within the limits, or comes in mid-run."""
        checked_number(self.name, value, self.limits, NONE, whole=True)
        self.device.refuse_recording(self.name)

    def arguments(self, value: Any) -> dict[str, Any]:
        """Return the number of pixels."""
        return {"pixels": int(value)}


class CombSetting(Device):
    """The comb: movable, checked and set whole, by one request."""

    def check_value(self, value: Any, **kwargs: Any) -> None:
        """Refuse what is no `Comb` (or the mapping of one) that the lock-in can do.

        Raises
        ------
        LimitError
            Before anything is sent.
        BusyError
            While a run writes spectra.
        """
        lockin: Any = self.parent
        check_comb(Comb.from_wire(value), lockin.comb_limits)
        lockin.refuse_recording(self.name)

    def set(self, value: Any, *, timeout: float | None = None) -> RequestStatus:
        """Put a comb in force; the status is the request's."""
        self.check_value(value)
        comb, lockin = Comb.from_wire(value), self.parent
        assert isinstance(lockin, Lockin)
        future = lockin.client.submit(
            "lockin.set",
            {"comb": comb.to_wire()},
            deadline_s=_SET_S if timeout is None else timeout,
        )
        status = RequestStatus(self, f"{self.name} of {len(comb.tones)} tones")

        def complete(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                status.set_finished()
            else:
                status.set_exception(error)

        future.add_done_callback(complete)
        return status

    def get(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, **kwargs: Any
    ) -> Comb:
        """Return the comb in force."""
        lockin: Any = self.parent
        reading = lockin.snapshot.get()
        return Comb(**{name: reading[name] for name in Comb.__dataclass_fields__})


class Lockin(WireDevice):
    """A detector of lines of spectra; its AFM's `asset_folder` is where their files go.

    `axes` tells of each tone in which signal it is measured: 0 flexural, 1 torsional.
    """

    operation = "lockin.read"

    comb = Cpt(CombSetting, kind="omitted")
    spectra = Cpt(
        RecordSignal,
        array="spectra",
        dims=("pixel", "tone"),
        unit=METRE,
        dtype_numpy="<c16",
        kind="normal",
    )
    z = Cpt(RecordSignal, array="z", dims=("pixel",), unit=METRE, kind="normal")
    time = Cpt(MidAcquisitionSignal, kind="normal", unit=SECOND)
    tones = Cpt(CombNumbers, key="tones", dtype_numpy="<i8", kind="config")
    axes = Cpt(CombNumbers, key="axes", dtype_numpy="<i8", kind="config")
    df = Cpt(ValueSignal, key="df", unit=HERTZ, kind="config")
    drive_tones = Cpt(CombNumbers, key="drive_tones", dtype_numpy="<i8", kind="config")
    drive_amplitude = Cpt(CombNumbers, key="drive_amplitude", unit=VOLT, kind="config")
    drive_phase = Cpt(CombNumbers, key="drive_phase", unit=RADIAN, kind="config")
    driving = Cpt(ValueSignal, key="driving", dtype_numpy="<i8", kind="config")
    pixels = Cpt(
        PixelsSignal,
        key="pixels",
        command="lockin.set",
        service="lockin",
        dtype_numpy="<i8",
        kind="config",
    )
    sample_rate = Cpt(ValueSignal, key="sample_rate", unit=HERTZ, kind="config")

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self._acquiring: set[RemoteOperation] = set()
        self._acquiring_lock = threading.Lock()
        self._last: Record = {}
        self._last_times = (float("nan"), float("nan"))
        super().__init__(prefix, **kwargs)
        self._writer = RecordWriter(self.name, "spectra", kwargs["parent"].asset_folder)

    @property
    def last_record(self) -> tuple[Record, tuple[float, float]]:
        """The last arrays by data key, and the instrument's times at their ends (s)."""
        return self._last, self._last_times

    @property
    def comb_limits(self) -> CombLimits:
        """What the lock-in can do."""
        return CombLimits.from_wire(capabilities(self.client, "lockin")["limits"])

    @property
    def recording(self) -> bool:
        """Whether events of a run point to spectra of the present comb."""
        return self._writer.recording

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes spectra: its descriptor would be wrong.

        Raises
        ------
        BusyError
            Tells what to do.
        """
        self._writer.refuse_recording(what)

    def tune(self, frequency: float, df: float) -> tuple[float, float]:
        """Return the frequency and the df nearest to those given that the lock-in does exactly.

        Parameters
        ----------
        frequency, df : float
            Hz.

        Returns
        -------
        tuple of float
            Frequency and df, Hz; the frequency is a whole multiple of the df.
        """
        values = self.client.request(
            "lockin.tune", {"frequency": float(frequency), "df": float(df)}, deadline_s=_REQUEST_S
        ).values
        return values["frequency"], values["df"]

    def stage(self) -> list[object]:
        """Get ready to write a new file; the first acquisition makes it."""
        self._writer.refuse_homeless()
        staged = super().stage()
        self._writer.begin()
        return staged

    def unstage(self) -> list[object]:
        """End an acquisition that still goes on and close the file; needs no link."""
        self.stop()
        self._writer.end()
        return super().unstage()

    def trigger(self) -> RequestStatus:
        """Acquire a line of spectra; done when it is in the file."""
        thread = self._writer.thread()
        reading = self.snapshot.get()
        expected = reading["pixels"] / reading["df"]
        operation = self.client.start(
            "lockin.acquire",
            {},
            deadline_s=_REQUEST_S,
            timeout_s=_TIMEOUT_FACTOR * expected + _TIMEOUT_MARGIN_S,
        )
        status = RequestStatus(self, f"{self.name} line")
        with self._acquiring_lock:
            self._acquiring.add(operation)

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
        """End the acquisition, if any; its status fails. Works with a dead link."""
        with self._acquiring_lock:
            acquiring = bool(self._acquiring)
        if acquiring:
            self.client.stop("lockin.abort")

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the arrays of the last trigger are."""
        yield from self._writer.collect()

    def _write(self, done: Future[Any], status: RequestStatus) -> None:
        try:
            reply = done.result()
            record = {signal.name: reply.arrays[signal.array] for signal in (self.spectra, self.z)}
            times = (reply.values["start_time"], reply.values["end_time"])
            datasets = {signal.name: f"/entry/{signal.array}" for signal in (self.spectra, self.z)}
            recorded = {key: _recorded(array) for key, array in record.items()}
            self._writer.append(recorded, Layout(datasets))
        except Exception as error:  # whatever it is, somebody waits for the status
            status.set_exception(error)
            return
        self._last, self._last_times = record, times
        status.set_finished()


def _recorded(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(()) if array.shape == (1,) else array
