"""How a plan takes the tip off the sample: at once, and it is made sure of."""

from __future__ import annotations

from dataclasses import dataclass

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.head import Head

__all__ = ["Withdrawal", "withdraw", "withdrawn"]

_WITHDRAWN_S, _LOOK_AGAIN_S = 30.0, 0.05  # a motorised head takes seconds


@dataclass(frozen=True)
class Withdrawal:
    """The withdrawal of the tip as something that a plan can stop, which is never refused."""

    head: Head

    @property
    def name(self) -> str:
        """For the messages of a plan."""
        return f"{self.head.name}_withdrawal"

    def stop(self, success: bool = True) -> None:
        """Retract the tip, whatever goes on."""
        self.head.withdraw()


def withdraw(head: Head) -> MsgGenerator[None]:
    """Retract the tip, whatever goes on; see `withdrawn` for its end."""
    yield from bps.stop(Withdrawal(head))


def withdrawn(head: Head) -> MsgGenerator[None]:
    """Wait until the tip is withdrawn.

    Raises
    ------
    RuntimeError
        It is not after a while: somebody must look at it.
    """
    waited = 0.0
    while not (yield from bps.rd(head.withdrawn, default_value=1)):
        if waited >= _WITHDRAWN_S:
            raise RuntimeError(
                f"{head.name} is not withdrawn after {_WITHDRAWN_S:g} s: look at the tip"
            )
        yield from bps.sleep(_LOOK_AGAIN_S)
        waited += _LOOK_AGAIN_S
