"""Where did the stage go, compared with where it was sent and where it said it went?

From a run of stops - target, reported position, and the displacement between consecutive images -
follow each step's place in the history of its axis, the differences reported - target and
actual - target, and the first-step deficit after a reversal: what Fiedler et al., Microsc.
Microanal. 29 (2023), fig. 3, shows in red. Positions are in micrometres; arrays hold (x, y).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .deficit import Deficit, Estimate, first_step_deficits
from .steps import AXES, AxisHistory, StepClass, Steps, legs, steps_from_stops

__all__ = [
    "AXES",
    "AxisHistory",
    "Deficit",
    "Estimate",
    "HysteresisResult",
    "StepClass",
    "Steps",
    "analyse",
    "legs",
    "result_from_documents",
    "steps_from_stops",
]


@dataclass(frozen=True)
class HysteresisResult:
    """All that a hysteresis run tells.

    Parameters
    ----------
    raw_uid : str
        The run that was analysed ("" if it has none).
    steps : Steps
        Step by step.
    seq_num : ndarray of int, shape (n + 1,)
        Event numbers of the stops.
    target, reported, actual : ndarray, shape (n + 1, 2)
        Positions at the stops, um. The actual ones are the sum of the displacements from the
        first stop, where actual = reported by definition; after a refused registration the sum
        starts again from the reported position.
    actual_stderr : ndarray, shape (n + 1, 2)
        Standard error of the actual position relative to the start of its chain, um.
    chain : ndarray of int, shape (n + 1,)
        Number of the unbroken chain of registrations a stop belongs to.
    deficits : tuple of Deficit
        One for each axis and direction with at least one step.
    """

    raw_uid: str
    steps: Steps
    seq_num: NDArray[np.int64]
    target: NDArray[np.float64]
    reported: NDArray[np.float64]
    actual: NDArray[np.float64]
    actual_stderr: NDArray[np.float64]
    chain: NDArray[np.int64]
    deficits: tuple[Deficit, ...]

    @property
    def reported_minus_target(self) -> NDArray[np.float64]:
        """Shape (n + 1, 2), um."""
        return self.reported - self.target

    @property
    def actual_minus_target(self) -> NDArray[np.float64]:
        """Shape (n + 1, 2), um."""
        return self.actual - self.target

    def deficit(self, axis: str, direction: int) -> Deficit:
        """Deficit of one axis (``"x"``, ``"y"``) and direction (-1, +1)."""
        for found in self.deficits:
            if (found.axis, found.direction) == (axis, direction):
                return found
        known = ", ".join(f"{d.axis}{d.direction:+d}" for d in self.deficits) or "none"
        raise KeyError(f"no steps of axis {axis} in direction {direction:+d}; there are: {known}")


def analyse(steps: Steps, *, raw_uid: str = "") -> HysteresisResult:
    """Positions and first-step deficits from a table of steps."""
    n = len(steps)
    if n == 0:
        raise ValueError("the run has no step: at least two stops with images are needed")
    start_target = steps.target[:1] - steps.target_displacement[:1]
    start_reported = steps.reported[:1] - steps.reported_displacement[:1]
    target = np.concatenate([start_target, steps.target])
    reported = np.concatenate([start_reported, steps.reported])
    actual = np.empty((n + 1, 2))
    variance = np.zeros((n + 1, 2))
    chain = np.zeros(n + 1, dtype=np.int64)
    actual[0] = reported[0]
    for row in range(n):
        if steps.accepted[row]:
            actual[row + 1] = actual[row] + steps.actual_displacement[row]
            variance[row + 1] = variance[row] + np.diag(steps.covariance[row])
            chain[row + 1] = chain[row]
        else:
            actual[row + 1] = reported[row + 1]
            chain[row + 1] = chain[row] + 1
    return HysteresisResult(
        raw_uid=raw_uid,
        steps=steps,
        seq_num=np.concatenate([steps.seq_num[:1, 0], steps.seq_num[:, 1]]),
        target=target,
        reported=reported,
        actual=actual,
        actual_stderr=np.sqrt(variance),
        chain=chain,
        deficits=_deficits(steps),
    )


def _deficits(steps: Steps) -> tuple[Deficit, ...]:
    found = []
    for axis, name in enumerate(AXES):
        rows = steps.of_axis(axis)
        for direction in (+1, -1):
            mine = rows[steps.direction[rows, axis] == direction]
            if mine.size:
                found.append(
                    first_step_deficits(
                        axis=name,
                        direction=direction,
                        target=steps.target_displacement[:, axis],
                        reported=steps.reported_displacement[:, axis],
                        actual=steps.actual_displacement[:, axis],
                        variance=steps.covariance[:, axis, axis],
                        cross=steps.actual_displacement[:, 1 - axis],
                        legs=legs(steps, axis, direction),
                        steps=mine,
                    )
                )
    return tuple(found)


def result_from_documents(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> HysteresisResult:
    """Rebuild the result from the documents of an analysis run alone.

    Parameters
    ----------
    documents : iterable of (name, document)
        The analysis run, from the live callback, the journal or the catalog.

    Raises
    ------
    ValueError
        If they hold no start document of a hysteresis analysis, or no step.
    """
    from .documents import steps_from_rows

    raw_uid, rows, streams = "", [], {}
    found = False
    for name, doc in documents:
        if name == "start":
            found = doc.get("analysis", {}).get("name") == "hysteresis"
            raw_uid = str(doc.get("raw_uid", ""))
        elif name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event" and streams.get(doc["descriptor"]) == "displacement":
            rows.append((int(doc["seq_num"]), doc["data"]))
        elif name == "event_page" and streams.get(doc["descriptor"]) == "displacement":
            keys = list(doc["data"])
            for index, seq_num in enumerate(doc["seq_num"]):
                rows.append((int(seq_num), {key: doc["data"][key][index] for key in keys}))
    if not found:
        raise ValueError("these documents are no hysteresis analysis (start.analysis.name)")
    rows.sort(key=lambda row: row[0])
    return analyse(steps_from_rows([data for _, data in rows]), raw_uid=raw_uid)
