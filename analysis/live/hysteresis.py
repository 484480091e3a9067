"""Live analysis of a stage run: from image pairs to actual displacements and what they tell.

Holds no science: `analysis.registration` registers, `analysis.alignment` compares,
`analysis.agreement` judges, `analysis.identification` finds the model of a stage and
`analysis.stage_drift` the drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..agreement import evaluate
from ..alignment import HysteresisResult, analyse, stream_of
from ..documents import (
    Displacement,
    Stop,
    deficit_keys,
    deficit_row,
    displacement_keys,
    displacement_row,
    in_order,
    steps_from_rows,
    times_from_rows,
)
from ..findings import (
    drift_keys,
    drift_row,
    model_keys,
    model_rows,
    track_keys,
    track_rows,
    verdict_keys,
    verdict_row,
)
from ..moves import Move, with_moves
from ..record import StageRecord
from ..registration import Registration, register
from ..stage_drift import stage_drift
from ..steps import IMAGE_AXES, AxisHistory
from .router import AnalysisRouter, Emit, Publisher, Reading, RunAnalysis

__all__ = ["HysteresisAnalysis"]

_DISPLACEMENT_HINTS = [
    "axis",
    "direction",
    "step_class",
    "actual_displacement_x",
    "actual_displacement_y",
    "confidence",
]
_DEFICIT_HINTS = [
    "axis",
    "direction",
    "reported_deficit",
    "actual_deficit",
    "actual_deficit_low",
    "actual_deficit_high",
]
_VERDICT_HINTS = ["axis", "case", "reason"]
_MODEL_HINTS = ["axis", "scale", "backlash", "repeatability"]
_DRIFT_HINTS = ["velocity_x", "velocity_y"]
_MOVES = "moves"  # stream of the stops without images
_MICROMETRE = ("µm", "μm", "um")  # micro sign, Greek mu, ASCII


class HysteresisAnalysis(AnalysisRouter):
    """Registers consecutive images of every stage run and measures its first-step deficits.

    Emits one "displacement" event a step and, at the end, one "deficit" event an axis and
    direction and one "verdict" event an axis ("deficit_deg" and "verdict_deg" for an axis in
    degrees: a column has one unit). A run whose plan is `characterise`, or whose start document has
    a key ``characterisation``, also gives a "stage_model" event an axis; one of `measure_drift`, or
    with a key ``drift``, a "drift" event and a "drift_track" event an image. What could not be
    found is said in the stop document. `analysis.alignment.result_from_documents` makes the result
    of them.

    Parameters
    ----------
    emit : callable(name, document)
    prior_sigma : float
        How far the actual displacement may be from the reported one (standard deviation), µm.
        The default is generous: backlash may be 1 µm.
    min_overlap : float
        Least share of the field that two images must share, 0..1.
    """

    def __init__(self, emit: Emit, *, prior_sigma: float = 1.0, min_overlap: float = 0.15) -> None:
        if not prior_sigma > 0.0:
            raise ValueError(f"prior_sigma is {prior_sigma} µm, must be positive")
        parameters = {"prior_sigma": float(prior_sigma), "min_overlap": float(min_overlap)}
        super().__init__(emit, name="hysteresis", parameters=parameters)

    def understands(self, start: Mapping[str, Any]) -> bool:
        """Whether the run has images with a scale, and names the axes of a stage."""
        fields = start["fields"]
        scale = all(isinstance(fields.get(key), str) for key in ("pixel_size", "camera_to_stage"))
        axes = fields.get("axes")
        return scale and isinstance(axes, Mapping) and any(axis in axes for axis in IMAGE_AXES)

    def begin(self, start: Mapping[str, Any], publisher: Publisher) -> RunAnalysis:
        """Begin with a run."""
        return _RunHysteresis(start, publisher, self._parameters)


class _RunHysteresis(RunAnalysis):
    def __init__(
        self, start: Mapping[str, Any], publisher: Publisher, parameters: Mapping[str, float]
    ) -> None:
        self._fields = start["fields"]
        self._raw_uid = start["uid"]
        self._characterises = _is(start, "characterise", "characterisation")
        self._characterisation = start.get("characterisation")
        self._drifts = _is(start, "measure_drift", "drift")
        self._publisher = publisher
        self._prior_sigma = parameters["prior_sigma"]
        self._min_overlap = parameters["min_overlap"]
        self._histories = {axis: AxisHistory() for axis in in_order(self._fields["axes"])}
        self._units: dict[str, str] = {}
        self._before: tuple[Stop, Reading] | None = None
        self._rows: list[dict[str, Any]] = []
        self._recorded: list[float] = []
        self._moves: list[Move] = []
        self._settle: float | None = None

    def reading(self, reading: Reading) -> None:
        """Register the image of a stop with that of the stop before."""
        places = (self._places(reading, "target"), self._places(reading))
        stop = Stop(reading.seq_num, self._time(reading), *places)
        self._recorded.append(reading.time)
        if self._before is None:
            self._settle = self._settling(reading)
            self._units = {axis: self._unit(reading, axis) for axis in self._histories}
            keys = displacement_keys(self._units)
            self._publisher.declare("displacement", keys, _DISPLACEMENT_HINTS, reading.time)
        else:
            before, earlier = self._before
            found = self._displacement(before, earlier, stop, reading)
            history = {
                axis: history.advance(stop.target[axis] - before.target[axis])
                for axis, history in self._histories.items()
            }
            row = displacement_row(before, stop, found, history)
            self._rows.append(row)
            self._publisher.event("displacement", row, reading.time)
        self._before = (stop, reading)

    def aside(self, stream: str, time: float, data: Mapping[str, Any]) -> None:
        """Take a move without an image: it is part of the history of the stage."""
        if stream == _MOVES:
            axes = self._fields["axes"]
            places = {
                which: [float(data[axes[axis][which]]) for axis in IMAGE_AXES]
                for which in ("target", "reported")
            }
            self._moves.append(Move(time, **places))

    def finish(self, time: float) -> str:
        """Measure and judge what has been published; return what could not be found."""
        steps, times = steps_from_rows(self._rows, self._units), times_from_rows(self._rows)
        result = analyse(steps, raw_uid=self._raw_uid, time=times)
        self._publish_deficits(result, time)
        notes = [] if self._drifts else [self._try(self._publish_verdict, result, time)]
        if self._characterises:
            notes.append(self._try(self._publish_model, result, time))
        if self._drifts:
            notes.append(self._try(self._publish_drift, result, time))
        return "; ".join(filter(None, notes))

    @staticmethod
    def _try(publish: Callable[[HysteresisResult, float], None], *given: Any) -> str:
        """Publish, or return why it cannot be; the rest of the run stands."""
        try:
            publish(*given)
        except ValueError as error:
            return str(error)
        return ""

    def _publish_deficits(self, result: HysteresisResult, time: float) -> None:
        for unit in dict.fromkeys(["µm", *self._units.values()]):
            rows = [deficit_row(deficit) for deficit in result.deficits if deficit.unit == unit]
            if rows or unit == "µm":
                stream = stream_of("deficit", unit)
                self._publish(stream, deficit_keys(unit), _DEFICIT_HINTS, rows, time)

    def _publish_verdict(self, result: HysteresisResult, time: float) -> None:
        verdict = evaluate(StageRecord.of_result(result, time=result.time))
        for unit in dict.fromkeys(axis.unit for axis in verdict.axes):
            rows = [verdict_row(verdict, axis) for axis in verdict.axes if axis.unit == unit]
            stream = stream_of("verdict", unit)
            self._publish(stream, verdict_keys(unit), _VERDICT_HINTS, rows, time)

    def _publish_model(self, result: HysteresisResult, time: float) -> None:
        from ..identification import identify

        record = with_moves(result, np.array(self._recorded), self._moves)
        when = datetime.fromtimestamp(time, UTC)
        model = identify(record, measured=when, settle=self._settle)
        self._publish("stage_model", model_keys(model), _MODEL_HINTS, model_rows(model), time)

    def _publish_drift(self, result: HysteresisResult, time: float) -> None:
        drift = stage_drift(result)
        self._publish("drift", drift_keys(), _DRIFT_HINTS, [drift_row(drift)], time)
        self._publish("drift_track", track_keys(), ["x", "y"], track_rows(drift), time)

    def _publish(
        self,
        stream: str,
        keys: Mapping[str, Mapping[str, Any]],
        hints: list[str],
        rows: list[dict[str, Any]],
        time: float,
    ) -> None:
        self._publisher.declare(stream, keys, hints, time)
        for row in rows:
            self._publisher.event(stream, row, time)

    def _settling(self, reading: Reading) -> float | None:
        """Seconds from the end of a move to the middle of its image, where the run tells."""
        waited = (self._characterisation or {}).get("settle_time")
        dwell_us = reading.data.get(self._fields.get("dwell_time", ""))
        if waited is None or dwell_us is None or reading.image is None:
            return None
        return float(waited) + 0.5e-6 * float(dwell_us) * reading.image.size

    def _time(self, reading: Reading) -> float:
        key = self._fields.get("time")
        return reading.time if key is None else float(self._value(reading, key))

    def _unit(self, reading: Reading, axis: str) -> str:
        names = self._fields["axes"].get(axis)
        unit = "µm" if names is None else reading.units.get(names["reported"], "µm")
        if axis in IMAGE_AXES and unit not in _MICROMETRE:
            raise ValueError(f"{axis} is recorded in {unit}, must be µm to compare with the images")
        return "µm" if unit in _MICROMETRE else unit

    def _places(self, reading: Reading, which: str = "reported") -> dict[str, float]:
        axes = self._fields["axes"]
        return {
            axis: float(self._value(reading, axes[axis][which])) if axis in axes else float("nan")
            for axis in self._histories
        }

    def _value(self, reading: Reading, key: str) -> Any:
        if key not in reading.data:
            raise ValueError(f"the run does not record {key}, which its start document names")
        return reading.data[key]

    def _displacement(
        self, before: Stop, earlier: Reading, after: Stop, reading: Reading
    ) -> Displacement:
        if earlier.image is None or reading.image is None:
            return _unknown(earlier.problem or reading.problem)
        # (columns, rows) px to (x, y) µm
        to_stage = np.reshape(self._value(reading, self._fields["camera_to_stage"]), (2, 2)).astype(
            float
        )
        to_stage = to_stage * (float(self._value(reading, self._fields["pixel_size"])) * 1e-3)
        expected = np.nan_to_num(
            [after.reported[axis] - before.reported[axis] for axis in IMAGE_AXES]
        )
        columns, rows = np.linalg.solve(to_stage, expected)
        sigma = self._prior_sigma / np.sqrt(abs(np.linalg.det(to_stage)))
        try:
            found = register(
                earlier.image,
                reading.image,
                expected=(rows, columns),
                expected_sigma=sigma,
                min_overlap=self._min_overlap,
            )
        except ValueError as error:
            # one blank image costs its two steps, not the run
            return _unknown(str(error))
        if not np.isfinite(found.covariance).all():
            return Displacement(np.full(2, np.nan), np.full((2, 2), np.nan), found)
        covariance = to_stage @ found.covariance[::-1, ::-1] @ to_stage.T
        return Displacement(to_stage @ found.shift[::-1], covariance, found)


def _is(start: Mapping[str, Any], plan_name: str, key: str) -> bool:
    return start.get("plan_name") == plan_name or key in start


def _unknown(problem: str) -> Displacement:
    nothing = np.full(2, np.nan)
    registration = Registration(
        shift=nothing,
        covariance=np.full((2, 2), np.nan),
        confidence=0.0,
        overlap=0.0,
        accepted=False,
        reason=f"refused: {problem}",
        ncc=0.0,
        peak_ratio=1.0,
        prior_z=0.0,
    )
    return Displacement(nothing, registration.covariance, registration)
