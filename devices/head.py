"""The head of an AFM: the height of the tip, its feedback, and the withdrawal.

Larger z is farther from the sample. The tip is *lifted* (`lifted` is 1) when it is withdrawn, when
nobody has declared it engaged, or when it is at least `lift` above its working height; spectra
taken then are free. A plan that has approached declares the tip engaged (``mv(head.engaged, 1)``):
the height of that moment is the working height, and follows the feedback from there.
"""

from __future__ import annotations

import logging
from typing import Any

from ophyd import Component as Cpt

from devices._afm_signals import ChoiceSignal, FlagSignal, LongSettingSignal
from devices.status import MotionStatus
from devices.units import NANOMETRE
from devices.wire.ophyd import SettingSignal, ValueSignal, WireDevice

__all__ = ["Head"]

_LOG = logging.getLogger(__name__)


class HeightSignal(LongSettingSignal):
    """The height of the head: movable, for ``bps.mv``, ``bps.mvr`` and scans."""

    def new_status(self, value: Any, initial: Any) -> MotionStatus:
        """Return the status of a move to `value`, with progress."""
        return MotionStatus(
            self,
            float(value),
            initial=initial,
            name=self.name,
            unit=self.egu,
            precision=self.precision,
        )


class HeadSetting(SettingSignal):
    """A setting of the head in nm."""

    def __init__(self, *, key: str, **kwargs: Any) -> None:
        super().__init__(
            key=key, command="head.set", service="head", limit=key, unit=NANOMETRE, **kwargs
        )


class Head(WireDevice):
    """Height, feedback and state of the tip. Reading it is one request.

    `amplitude` is the mean of the last acquisition: the root of the sum of squares of the driven
    tones in the flexural signal, 0 before the first.
    """

    operation = "head.read"

    z = Cpt(
        HeightSignal,
        key="z",
        command="head.move",
        stopping="head.stop",
        service="head",
        limit="z",
        unit=NANOMETRE,
        kind="hinted",
        labels={"motors"},
    )
    lifted = Cpt(ValueSignal, key="lifted", dtype_numpy="<i8", kind="normal")
    withdrawn = Cpt(ValueSignal, key="withdrawn", dtype_numpy="<i8", kind="normal")
    amplitude = Cpt(ValueSignal, key="amplitude", unit=NANOMETRE, kind="normal")
    deflection = Cpt(ValueSignal, key="deflection", unit=NANOMETRE, kind="normal")
    engaged = Cpt(FlagSignal, key="engaged", command="head.set", service="head", kind="omitted")
    working_height = Cpt(ValueSignal, key="working_height", unit=NANOMETRE, kind="omitted")
    feedback = Cpt(
        ChoiceSignal,
        key="feedback",
        command="head.set",
        service="head",
        choices=("off", "line"),
        kind="config",
    )
    setpoint = Cpt(HeadSetting, key="setpoint", kind="config")
    lift = Cpt(HeadSetting, key="lift", kind="config")

    @property
    def hints(self) -> dict[str, Any]:
        """The height."""
        return {"fields": [self.z.name]}

    def withdraw(self) -> None:
        """Retract the tip fully, at once. Never raises, and works while anything else goes on.

        A move or an acquisition that it meets ends with that reason.
        """
        if not self.client.stop("head.withdraw"):
            _LOG.error("%s: nobody acknowledged the withdrawal: look at the tip", self.name)

    def stop(self, *, success: bool = False) -> None:
        """Stop the height where it is, if it moves; the tip is not withdrawn."""
        self.z.stop(success=success)
