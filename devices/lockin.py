"""The multifrequency lock-in: a line of complex spectra a trigger, written to HDF5.

X of deflection(t) = Re sum_n X_n exp(+i n 2 pi df t) in metres, one spectrum a pixel, one period
1/df a pixel. Configuration holds the comb.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
from bluesky.protocols import Reading
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device

from devices._afm_signals import NumbersSignal
from devices._detector import Detector, MiddleSignal
from devices._record_writer import Layout, Record
from devices.comb import Comb, CombLimits, check_comb
from devices.status import RequestStatus
from devices.units import HERTZ, METRE, NONE, RADIAN, SECOND, VOLT, Unit
from devices.wire import RefusedError, Reply
from devices.wire.ophyd import (
    SettingSignal,
    StaticSignal,
    ValueSignal,
    capabilities,
    checked_number,
)

__all__ = ["Lockin"]

_REQUEST_S = 0.9
_SET_S = 5.0


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


class Lockin(Detector):
    """A detector of lines of spectra; its AFM's `asset_folder` is where their files go.

    `axes` tells of each tone in which signal it is measured: 0 flexural, 1 torsional.
    """

    operation = "lockin.read"
    service = "lockin"
    what = "spectra"
    margin_s = 60.0  # a simulated cantilever may be slower than a real one

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
    time = Cpt(MiddleSignal, kind="normal", unit=SECOND)
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
        self._last: Record = {}
        super().__init__(prefix, **kwargs)

    @property
    def last_record(self) -> tuple[Record, tuple[float, float]]:
        """The last arrays by data key, and the instrument's times at their ends (s)."""
        return self._last, self.last_times

    @property
    def comb_limits(self) -> CombLimits:
        """What the lock-in can do."""
        return CombLimits.from_wire(capabilities(self.client, "lockin")["limits"])

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

    def _duration(self, reading: Mapping[str, Any]) -> float:
        return reading["pixels"] / reading["df"]

    def _record(self, reply: Reply) -> tuple[Record, Layout]:
        arrays = {signal.name: reply.arrays[signal.array] for signal in (self.spectra, self.z)}
        datasets = {signal.name: f"/entry/{signal.array}" for signal in (self.spectra, self.z)}
        return {key: _recorded(array) for key, array in arrays.items()}, Layout(datasets)

    def _keep(self, reply: Reply) -> None:
        self._last = {signal.name: reply.arrays[signal.array] for signal in (self.spectra, self.z)}


def _recorded(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(()) if array.shape == (1,) else array
