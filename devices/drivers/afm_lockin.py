"""The multifrequency lock-in as a server offers it: a comb set whole, and lines of spectra in m.

The driver measures volts of the detector; the probe's calibration says how many metres a volt is.
Whatever goes wrong in an acquisition while the tip is at the sample, the tip is withdrawn: nobody
knows then what it does there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.comb import Comb, check_comb
from devices.drivers.afm_acquisition import (
    Acquisition,
    CrashGuard,
    ended_by_its_client,
    feedback_amplitude,
)
from devices.drivers.afm_head import HeadService
from devices.drivers.afm_probe import ProbeService
from devices.drivers.afm_protocols import MultiFrequencyLockin
from devices.drivers.afm_scanner import ScannerService
from devices.drivers.arguments import finite_number, no_others, whole_number, within
from devices.units import HERTZ, NONE
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

__all__ = ["LockinService"]

_DETUNED = 1e-9  # of df; a tone of n = 1e5 is then still within 1e-4 of a bin


class LockinService:
    """Commands ``lockin.read``, ``.set``, ``.tune``, ``.acquire`` and ``.abort``.

    Parameters
    ----------
    driver : MultiFrequencyLockin
        The lock-in.
    head, scanner, probe : HeadService, ScannerService, ProbeService
        The rest of the instrument.
    acquisition : Acquisition
        What goes on at the instrument.
    comb : Comb
        The comb to begin with.
    """

    name = "lockin"

    def __init__(
        self,
        driver: MultiFrequencyLockin,
        head: HeadService,
        scanner: ScannerService,
        probe: ProbeService,
        acquisition: Acquisition,
        comb: Comb,
    ) -> None:
        self._driver = driver
        self._head = head
        self._scanner = scanner
        self._probe = probe
        self._acquisition = acquisition
        self._guard = CrashGuard()
        self._pixels = 1
        self._driving = True
        check_comb(comb, driver.limits)
        driver.set_comb(comb)
        self._comb = comb
        self._comb_values = comb.to_wire()

    def describe(self) -> dict[str, Any]:
        """Return the limits of a comb and of the number of pixels, and the sample rate (Hz)."""
        return {"limits": self._driver.limits.to_wire(), "sample_rate": self._driver.sample_rate}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "tune": Command(run=self._tune, access=Access.READ, check=self._check_tune),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check_settings),
            "acquire": Command(
                run=self._acquire, access=Access.WRITE, check=self._check_ready, long=True
            ),
            "abort": Command(run=self._abort, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return nothing: spectra go to who asked for them."""
        return {}

    def make_safe(self) -> None:
        """End the acquisition and switch the drive off."""
        self._acquisition.abort("the client that asked for it has gone")
        self._driving = False
        self._driver.switch_off()

    def _snapshot(self) -> dict[str, Any]:
        return {
            "time": self._head.time,
            **self._comb_values,
            "pixels": self._pixels,
            "driving": self._driving and bool(self._comb.drive_tones),
            "sample_rate": self._driver.sample_rate,
        }

    def _read(self, call: Call) -> Result:
        no_others(call.args, "lockin.read")
        return Result(self._snapshot())

    def _check_tune(self, args: dict[str, Any]) -> None:
        no_others(args, "lockin.tune", "frequency", "df")
        limits = self._driver.limits
        for name, allowed in (("frequency", limits.frequency), ("df", limits.df)):
            value = finite_number(f"lock-in {name}", args.get(name), HERTZ)
            within(f"lock-in {name}", value, allowed, HERTZ)

    def _tune(self, call: Call) -> Result:
        args = call.args
        frequency, df = self._driver.tune(float(args["frequency"]), float(args["df"]))
        return Result({"frequency": frequency, "df": df})

    def _check_settings(self, args: dict[str, Any]) -> None:
        no_others(args, "lockin.set", "comb", "pixels")
        if "pixels" in args:
            pixels = whole_number("lock-in pixels", args["pixels"])
            within("lock-in pixels", pixels, (1, self._driver.limits.pixels), NONE)
        if "comb" in args:
            comb = Comb.from_wire(args["comb"])
            check_comb(comb, self._driver.limits)
            self._refuse_detuned(comb)
        self._acquisition.check_free("a setting of the lock-in")

    def _refuse_detuned(self, comb: Comb) -> None:
        _, exact = self._driver.tune(max(comb.tones) * comb.df, comb.df)
        if abs(exact - comb.df) > _DETUNED * comb.df:
            raise LimitError(
                f"comb df {comb.df:.12g} Hz is not one that the lock-in does exactly: the nearest "
                f"is {exact:.12g} Hz; ask lockin.tune for it"
            )

    def _set(self, call: Call) -> Result:
        with self._acquisition.aside("a setting of the lock-in"):
            if "comb" in call.args:
                comb = Comb.from_wire(call.args["comb"])
                self._driver.set_comb(comb)
                self._comb, self._comb_values = comb, comb.to_wire()
                self._driving = True
                self._guard.forget()
            self._pixels = int(call.args.get("pixels", self._pixels))
        return Result(self._snapshot())

    def _abort(self, call: Call) -> Result:
        self._acquisition.abort(f"by {call.client}")
        return Result({})

    def _check_ready(self, args: dict[str, Any]) -> None:
        no_others(args, "lockin.acquire")
        self._acquisition.check_free("an acquisition")
        self._refuse_moving()
        if self._comb.drive_tones and not self._driving:
            raise RefusedError(
                "the drive was switched off to make the instrument safe: set the comb again"
            )

    def _refuse_moving(self) -> None:
        for name, part in (("head", self._head), ("scanner", self._scanner)):
            if part.moving:
                raise BusyError(f"the {name} is moving: wait for its end, then acquire")

    def _acquire(self, call: Call) -> Result:
        with self._acquisition.acquiring() as abort:
            self._refuse_moving()  # again: it may have been withdrawn just now
            with ended_by_its_client(call, self._acquisition):
                return self._measure(call, abort)

    def _measure(self, call: Call, abort: threading.Event) -> Result:
        pixels, comb = self._pixels, self._comb
        operation = call.operation
        assert operation is not None
        engaged = not self._head.lifted
        self._head.prepare()
        start = self._head.time
        try:
            volts = self._driver.acquire(
                pixels, abort, lambda done: operation.progress(pixel=done, pixels=pixels)
            )
            if volts.shape != (pixels, len(comb.tones)):
                raise InstrumentError(
                    f"the lock-in sent spectra of {volts.shape} where {pixels} pixels of "
                    f"{len(comb.tones)} tones were set"
                )
            spectra = volts * np.asarray(self._probe.calibration.sensitivity)[list(comb.axes)]
            amplitude = feedback_amplitude(spectra, comb)
            self._guard.judge(amplitude, engaged)
        except CancelledError:
            raise self._acquisition.cancelled() from None
        except InstrumentError as error:
            self._head.withdraw("because an acquisition failed")
            raise InstrumentError(
                f"{error.message}; tip withdrawn: approach again", error.vendor_code
            ) from error
        heights = self._head.acquired(amplitude)
        return Result(
            {"start_time": start, "end_time": self._head.time},
            {"spectra": _plain(spectra, np.complex128), "z": _plain(heights, np.float64)},
        )


def _plain(values: NDArray[Any], dtype: type) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=dtype)
