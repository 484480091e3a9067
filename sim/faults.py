"""What goes wrong with a microscope's controller, as data that a driver acts upon.

Faults of the line (a time-out, a call that hangs: PyJEM's issue 30 is a block of 30 s) are for the
driver, which asks `Stage.fault` before it commands. Faults of the stage (a limit switch that is
hit, readings that are dropped) the stage shows by itself. A fault belongs to the number of the
command or of the sample, so that asking changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sim.noise import uniform
from sim.stage_effects import require

__all__ = ["BLOCK", "LIMITER", "NO_FAULTS", "TIMEOUT", "Fault", "FaultPlan"]

TIMEOUT, BLOCK, LIMITER = "timeout", "block", "limiter"
_STREAM_KIND, _STREAM_REACH, _STREAM_DROPPED = 21, 22, 23


@dataclass(frozen=True)
class Fault:
    """One fault of a command.

    Parameters
    ----------
    kind : str
        ``"timeout"``: the command never reaches the stage and the answer never comes;
        ``"block"``: the command is carried out and its answer takes `seconds`;
        ``"limiter"``: the stage halts after `reach` of its way, with status 2.
    seconds : float
        How long the call blocks.
    reach : float
        Part of the way, from 0 to below 1.
    """

    kind: str
    seconds: float = 30.0
    reach: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in (TIMEOUT, BLOCK, LIMITER):
            raise ValueError(f"fault kind {self.kind!r} is unknown: choose timeout, block, limiter")
        require("fault", "seconds", self.seconds, 0 <= self.seconds < float("inf"), "0 or more")
        require("fault", "reach", self.reach, 0 <= self.reach < 1, "from 0 to below 1")


@dataclass(frozen=True)
class FaultPlan:
    """How often each fault happens, and which are sure to.

    Parameters
    ----------
    timeout, block, limiter : float
        Probability a command.
    dropped : float
        Probability that a sample of the sensors is lost and the one before it is reported.
    block_seconds : float
        How long a blocked call takes.
    scheduled : mapping of int to Fault
        Faults of certain commands, by number from 0; they win over the drawn ones.
    """

    timeout: float = 0.0
    block: float = 0.0
    limiter: float = 0.0
    dropped: float = 0.0
    block_seconds: float = 30.0
    scheduled: Mapping[int, Fault] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in ("timeout", "block", "limiter", "dropped"):
            value = getattr(self, name)
            require("fault", name, value, 0 <= value <= 1, "a probability, 0 to 1")
        total = self.timeout + self.block + self.limiter
        require("fault", "timeout + block + limiter", total, total <= 1, "a probability, 0 to 1")

    def of_command(self, number: int, seed: int) -> Fault | None:
        """Return the fault of a command, by its number, or None."""
        if number in self.scheduled:
            return self.scheduled[number]
        chance = uniform(seed, _STREAM_KIND, number, 0)
        if chance < self.timeout:
            return Fault(TIMEOUT)
        if chance < self.timeout + self.block:
            return Fault(BLOCK, seconds=self.block_seconds)
        if chance < self.timeout + self.block + self.limiter:
            return Fault(LIMITER, reach=uniform(seed, _STREAM_REACH, number, 0))
        return None

    def drops(self, sample: int, seed: int) -> bool:
        """Return whether a sample of the sensors is lost."""
        return self.dropped > 0 and uniform(seed, _STREAM_DROPPED, sample, 0) < self.dropped


NO_FAULTS = FaultPlan()
