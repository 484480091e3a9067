"""The calibration of the probe as a server keeps it, for everybody who reads its instrument."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from devices.drivers.arguments import no_others
from devices.probe_calibration import ProbeCalibration
from devices.wire import Access, Call, Command, LimitError, Result

__all__ = ["ProbeService"]


class ProbeService:
    """Commands ``probe.read`` and ``probe.set``.

    Parameters
    ----------
    calibration : ProbeCalibration
        What is known of the probe before anybody calibrates it, mostly its maker's figures.
    """

    name = "probe"

    def __init__(self, calibration: ProbeCalibration) -> None:
        self._calibration = calibration
        self._changed = time.time()

    @property
    def calibration(self) -> ProbeCalibration:
        """The calibration in force."""
        return self._calibration

    def describe(self) -> dict[str, Any]:
        """Return nothing: a probe is what it is calibrated to be."""
        return {}

    def commands(self) -> Mapping[str, Command]:
        """Return the commands by verb."""
        return {
            "read": Command(run=self._read, access=Access.READ, inline=True),
            "set": Command(run=self._set, access=Access.WRITE, check=self._check),
        }

    def telemetry(self) -> Mapping[str, Callable[[], dict[str, Any]]]:
        """Return nothing: it changes when somebody sets it."""
        return {}

    def make_safe(self) -> None:
        """Do nothing: a calibration moves nothing."""

    def _snapshot(self) -> dict[str, Any]:
        return {"time": self._changed, **self._calibration.to_wire()}

    def _read(self, call: Call) -> Result:
        no_others(call.args, "probe.read")
        return Result(self._snapshot())

    def _changed_to(self, args: Mapping[str, Any]) -> ProbeCalibration:
        try:
            return ProbeCalibration.from_wire({**self._calibration.to_wire(), **args})
        except TypeError as error:
            raise LimitError(f"probe calibration cannot be read: {error}") from error

    def _check(self, args: dict[str, Any]) -> None:
        no_others(args, "probe.set", *ProbeCalibration.__dataclass_fields__)
        self._changed_to(args)

    def _set(self, call: Call) -> Result:
        self._calibration = self._changed_to(call.args)
        self._changed = time.time()
        return Result(self._snapshot())
