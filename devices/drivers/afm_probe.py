"""The probe as a server keeps it, for everybody who reads its instrument.

Its calibration, whether the detector's sensitivity was measured, and how far its tip has been
scanned; a new probe begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from devices.drivers.afm_acquisition import Acquisition, ended_by_its_client
from devices.drivers.arguments import no_others
from devices.drivers.imaging_protocols import MountedProbe, ProbeExchange
from devices.probe_calibration import ProbeCalibration
from devices.wire import Access, Call, CancelledError, Command, LimitError, RefusedError, Result

__all__ = ["ProbeLoading", "ProbeService"]

_LONGEST_SERIAL = 80


@dataclass(frozen=True)
class ProbeLoading:
    """How a new probe is put in.

    Parameters
    ----------
    exchange : ProbeExchange
        Who does it.
    acquisition : Acquisition
        What goes on at the instrument.
    withdrawn : callable
        Tells whether the tip is withdrawn.
    """

    exchange: ProbeExchange
    acquisition: Acquisition
    withdrawn: Callable[[], bool]


class ProbeService:
    """Commands ``probe.read``, ``.set``, ``.load`` and ``.abort``.

    Parameters
    ----------
    probe : MountedProbe or ProbeCalibration
        What is known of the probe before anybody calibrates it, mostly its maker's figures.
    """

    name = "probe"

    def __init__(self, probe: MountedProbe | ProbeCalibration) -> None:
        self._mounted = MountedProbe(probe) if isinstance(probe, ProbeCalibration) else probe
        self._loading: ProbeLoading | None = None
        self._frames = 0
        self._distance = 0.0
        self._changed = time.time()

    @property
    def calibration(self) -> ProbeCalibration:
        """The calibration in force."""
        return self._mounted.calibration

    @property
    def mounted(self) -> MountedProbe:
        """The probe in the holder, as far as it is known."""
        return self._mounted

    def allow_loading(self, loading: ProbeLoading) -> None:
        """Let new probes be put in from now on."""
        self._loading = loading

    def scanned(self, distance: float, whole: bool) -> None:
        """Note that the tip was scanned over `distance` (m), and whether that was a whole image."""
        self._distance += distance
        self._frames += whole
        self._changed = time.time()

    def describe(self) -> dict[str, Any]:
        """Say whether probes can be loaded; else a probe is what it is calibrated to be."""
        return {"loading": self._loading is not None}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check),
            "load": Command(run=self._load, access=Access.WRITE, check=self._check_load, long=True),
            "abort": Command(run=self._abort, access=Access.STOP),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return nothing: it changes when somebody sets it."""
        return {}

    def make_safe(self) -> None:
        """Do nothing: a calibration moves nothing."""

    def _snapshot(self) -> dict[str, Any]:
        mounted = self._mounted
        return {
            "time": self._changed,
            **mounted.calibration.to_wire(),
            "serial": mounted.serial,
            "calibrated": mounted.calibrated,
            "tip_frame_count": self._frames,
            "tip_scanned_distance": self._distance,
        }

    def _read(self, call: Call) -> Result:
        no_others(call.args, "probe.read")
        return Result(self._snapshot())

    def _changed_to(self, args: Mapping[str, Any]) -> MountedProbe:
        figures = {name: value for name, value in args.items() if name != "calibrated"}
        calibrated = args.get("calibrated", self._mounted.calibrated)
        if not isinstance(calibrated, bool):
            raise RefusedError(f"probe calibrated {calibrated!r} is not allowed: true or false")
        try:
            calibration = ProbeCalibration.from_wire({**self.calibration.to_wire(), **figures})
        except TypeError as error:
            raise LimitError(f"probe calibration cannot be read: {error}") from error
        return replace(self._mounted, calibration=calibration, calibrated=calibrated)

    def _check(self, args: dict[str, Any]) -> None:
        no_others(args, "probe.set", *ProbeCalibration.__dataclass_fields__, "calibrated")
        self._changed_to(args)

    def _set(self, call: Call) -> Result:
        self._mounted = self._changed_to(call.args)
        self._changed = time.time()
        return Result(self._snapshot())

    def _check_load(self, args: dict[str, Any]) -> None:
        no_others(args, "probe.load", "serial")
        serial = args.get("serial")
        if not isinstance(serial, str) or not 0 < len(serial.strip()) <= _LONGEST_SERIAL:
            raise RefusedError(
                f"probe serial {str(serial)[:100]!r} is not allowed: a text of 1 to "
                f"{_LONGEST_SERIAL} characters"
            )
        loading = self._ready()
        loading.acquisition.check_free("a new probe")

    def _ready(self) -> ProbeLoading:
        if self._loading is None:
            raise RefusedError("this AFM cannot be given a new probe from here: nobody puts it in")
        if not self._loading.withdrawn():
            raise RefusedError("a new probe needs the tip withdrawn: withdraw it first")
        return self._loading

    def _load(self, call: Call) -> Result:
        loading = self._ready()
        doing = loading.acquisition.acquiring("a new probe", "a new probe is being put in")
        with doing as abort, ended_by_its_client(call, loading.acquisition):
            self._ready()
            try:
                self._mounted = loading.exchange.load(call.args["serial"].strip(), abort)
            except CancelledError:
                raise loading.acquisition.cancelled(
                    "exchange of the probe", "look which probe is in, then load it again"
                ) from None
            self._frames, self._distance = 0, 0.0
            self._changed = time.time()
        return Result(self._snapshot())

    def _abort(self, call: Call) -> Result:
        if self._loading is not None:
            self._loading.acquisition.abort(f"by {call.client}")
        return Result({})
