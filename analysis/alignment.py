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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._analysis_tables import AnalysisTables
from .deficit import Deficit, Estimate, Imaged, first_step_deficits
from .steps import IMAGE_AXES, AxisHistory, StepClass, Steps, legs, steps_from_stops

if TYPE_CHECKING:
    from .agreement import Agreement
    from .stage_drift import StageDrift
    from .stage_model import StageModel

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
    "stream_of",
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
    time : ndarray, shape (n + 1,)
        Of the images, s; NaN where unknown. On the instrument's clock where the run records it.
    verdict : Agreement or None
        Do the three positions agree? None before a run is analysed, or where no axis was moved.
    model : StageModel or None
        Of a characterisation.
    drift : StageDrift or None
        Of a run at rest.
    note : str
        What could not be found, and why.
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
    time: NDArray[np.float64]
    verdict: Agreement | None = None
    model: StageModel | None = None
    drift: StageDrift | None = None
    note: str = ""

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


def analyse(steps: Steps, *, raw_uid: str = "", time: ArrayLike | None = None) -> HysteresisResult:
    """Positions and first-step deficits from a table of n steps, and times of its n + 1 stops."""
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
        time=np.full(n + 1, np.nan) if time is None else np.asarray(time, dtype=float),
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
    from .documents import axis_units, steps_from_rows, times_from_rows
    from .findings import drift_from_rows, model_from_rows, verdict_from_rows

    found = AnalysisTables.read(
        documents, "hysteresis", "hysteresis analysis (start.analysis.name)"
    )
    if "displacement" not in found.data_keys:
        raise ValueError("the analysis was cut short: it holds no step")
    rows = found.rows("displacement")
    units = axis_units(found.data_keys["displacement"])
    result = analyse(
        steps_from_rows(rows, units), raw_uid=found.raw_uid, time=times_from_rows(rows)
    )
    judged = [
        (unit, row)
        for unit in dict.fromkeys(["µm", *units.values()])
        for row in found.rows(stream_of("verdict", unit))
    ]
    return replace(
        result,
        verdict=verdict_from_rows(judged, f"run {found.raw_uid}"),
        model=model_from_rows(found.rows("stage_model")),
        drift=drift_from_rows(next(iter(found.rows("drift")), None), found.rows("drift_track")),
        note=found.note,
    )


def stream_of(name: str, unit: str) -> str:
    """Name of the stream of a table of axes of one unit: a column has one unit."""
    return name if unit == "µm" else f"{name}_{unit}"
