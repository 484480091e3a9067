"""What is wrong with the images of a run, as a signal that suspends the next ones.

The live analysis of an image tells of a tip that changed, a feedback that failed, pixels that are
missing (`analysis.qnm.image_quality`). Installed as suspender, the RunEngine waits before it goes
on until somebody has looked: ``RE.install_suspender(station.problems.suspender())``, and then
``station.problems.clear()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluesky.suspenders import SuspenderBase
from ophyd import Signal

__all__ = ["ImageProblems", "SuspendOnProblem"]

_STREAM = "quality"


class SuspendOnProblem(SuspenderBase):
    """Suspends while the signal holds words."""

    def _should_suspend(self, value: str) -> bool:
        return bool(value)

    def _should_resume(self, value: str) -> bool:
        return not value

    def _get_justification(self) -> str:
        return f"{self._sig.get()}: look at the microscope, then clear the problem"


class ImageProblems:
    """Follows the documents of analyses; `signal` holds what was wrong last, "" when nothing is."""

    def __init__(self) -> None:
        self.signal = Signal(name="image_problem", value="")
        self._streams: set[str] = set()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document of an analysis run."""
        if name == "descriptor" and doc["name"] == _STREAM:
            self._streams.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._streams:
            self._streams.discard(doc["descriptor"])  # an image has one
            if doc["data"]["problems"]:
                self.signal.put(doc["data"]["problems"])

    def clear(self) -> None:
        """Say that somebody has looked: what waits goes on."""
        self.signal.put("")

    def suspender(self) -> SuspendOnProblem:
        """Make what is given to ``RE.install_suspender``."""
        return SuspendOnProblem(self.signal)
