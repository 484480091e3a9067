"""Where did the stage go, compared with where it was sent and where it said it went?

From a run of stops - target, reported position, and the displacement between consecutive images -
follow each step's place in the history of its axis, the differences reported - target and
actual - target, and the first-step deficit after a reversal: what Fiedler et al., Microsc.
Microanal. 29 (2023), fig. 3, shows in red. Images tell the actual position of x and y; of any
other axis that moves, target and reported position are compared. Positions are in micrometres or
degrees, as `Steps.units` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .deficit import Deficit, Estimate, Imaged, first_step_deficits
from .steps import IMAGE_AXES, AxisHistory, StepClass, Steps, legs, steps_from_stops

__all__ = [
    "IMAGE_AXES",
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
    target, reported : ndarray, shape (n + 1, k)
        Positions of all axes at the stops, in ``steps.units``.
    actual : ndarray, shape (n + 1, 2)
        Positions of x and y at the stops, µm: the sum of the displacements from the first stop,
        where actual = reported by definition; after a refused registration the sum starts again
        from the reported position.
    actual_stderr : ndarray, shape (n + 1, 2)
        Standard error of the actual position relative to the start of its chain, µm.
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
        """Shape (n + 1, k), in ``steps.units``."""
        return self.reported - self.target

    @property
    def actual_minus_target(self) -> NDArray[np.float64]:
        """Of x and y, shape (n + 1, 2), µm."""
        return self.actual - self.target[:, : len(IMAGE_AXES)]

    def deficit(self, axis: str, direction: int) -> Deficit:
        """Deficit of one axis (``"x"``, ``"alpha"``, ...) and direction (-1, +1)."""
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
    images = slice(len(IMAGE_AXES))
    actual = np.empty((n + 1, 2))
    variance = np.zeros((n + 1, 2))
    chain = np.zeros(n + 1, dtype=np.int64)
    actual[0] = reported[0, images]
    for row in range(n):
        if steps.accepted[row]:
            actual[row + 1] = actual[row] + steps.actual_displacement[row]
            variance[row + 1] = variance[row] + np.diag(steps.covariance[row])
            chain[row + 1] = chain[row]
        else:
            actual[row + 1] = reported[row + 1, images]
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
    for axis, (name, unit) in enumerate(zip(steps.axes, steps.units, strict=True)):
        rows = steps.of_axis(axis)
        for direction in (+1, -1):
            mine = rows[steps.direction[rows, axis] == direction]
            if mine.size:
                found.append(
                    first_step_deficits(
                        axis=name,
                        unit=unit,
                        direction=direction,
                        target=steps.target_displacement[:, axis],
                        reported=steps.reported_displacement[:, axis],
                        actual=_imaged(steps, axis),
                        legs=legs(steps, axis, direction),
                        steps=mine,
                    )
                )
    return tuple(found)


def _imaged(steps: Steps, axis: int) -> Imaged | None:
    if axis >= len(IMAGE_AXES):
        return None
    return Imaged(
        displacement=steps.actual_displacement[:, axis],
        variance=steps.covariance[:, axis, axis],
        cross=steps.actual_displacement[:, 1 - axis],
    )


def result_from_documents(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> HysteresisResult:
    """Rebuild the result from the documents of an analysis run alone.

    Parameters
    ----------
    documents : iterable of (name, document)
        The analysis run, from the live callback, the journal or the catalog.

    Raises
    ------
    ValueError
        If they hold no start document of a hysteresis analysis, or no step, or that analysis
        failed: what a part of the run says is not the result of the run.
    """
    from .documents import axis_units, steps_from_rows

    raw_uid, rows, streams, units = "", [], {}, {}
    found = False
    for name, doc in documents:
        if name == "start":
            found = doc.get("analysis", {}).get("name") == "hysteresis"
            raw_uid = str(doc.get("raw_uid", ""))
        elif name == "descriptor":
            streams[doc["uid"]] = doc["name"]
            if doc["name"] == "displacement":
                units = axis_units(doc["data_keys"])
        elif name == "stop" and doc["exit_status"] == "fail":
            raise ValueError(f"the analysis failed: {doc.get('reason') or 'no reason is given'}")
        elif name == "event" and streams.get(doc["descriptor"]) == "displacement":
            rows.append((int(doc["seq_num"]), doc["data"]))
        elif name == "event_page" and streams.get(doc["descriptor"]) == "displacement":
            keys = list(doc["data"])
            for index, seq_num in enumerate(doc["seq_num"]):
                rows.append((int(seq_num), {key: doc["data"][key][index] for key in keys}))
    if not found:
        raise ValueError("these documents are no hysteresis analysis (start.analysis.name)")
    rows.sort(key=lambda row: row[0])
    return analyse(steps_from_rows([data for _, data in rows], units), raw_uid=raw_uid)
