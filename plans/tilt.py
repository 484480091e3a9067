"""Tilting the specimen about a feature: the eucentric height, and tilt series.

A feature that does not lie on the tilt axis moves in the image and out of focus as the specimen is
tilted. `eucentric_height` brings it there; `tilt_series` keeps it in the middle of the field with
one image a tilt, by shifting the image before each by what `analysis.tilting` predicts from those
before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky.utils import MsgGenerator, plan
from numpy.typing import NDArray

from analysis.tilting import (
    Foreshortening,
    Predictor,
    TiltGeometry,
    TiltPredictor,
    fit_tilt_geometry,
    tilt_scheme,
    unchanged,
)
from devices.microscope import Microscope
from plans._checks import not_negative, positive
from plans._field_tracker import FieldTracker, TrackedStage, home_of
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import LiveResults, result_of

__all__ = ["EucentricRun", "TiltSeriesRun", "eucentric_height", "tilt_series"]

_STEPS_A_SIDE = 3  # tilts on either side of the level from which a height is found
_STILL_UNSURE = 1.0  # µm: what the first tilts, the smallest, may leave of the height
# The errors of registration are not those of a fit: a stage strays by some hundredth of a µm.
_LEAST_STDERR = 0.02
_APPROACH_DEG = 15.0  # greatest step on the way to the first tilt of a series


@dataclass(frozen=True)
class EucentricRun:
    """What `eucentric_height` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    dz : float
        By how much z was moved, µm.
    z_offset, stderr : float
        What the last tilts say of the height above the axis that is left, and its standard error,
        µm.
    y_offset, y_offset_stderr : float
        How far the optical axis lies beside the tilt axis, µm: the tilt-axis offset.
    reached : bool
        Whether `z_offset` is within the tolerance.
    """

    uid: str
    dz: float
    z_offset: float
    stderr: float
    y_offset: float
    y_offset_stderr: float
    reached: bool


@dataclass(frozen=True)
class TiltSeriesRun:
    """What `tilt_series` hands back; n images, those on the way to the first tilt not among them.

    Parameters
    ----------
    uid : str
        The recorded run.
    tilts : tuple of float
        Degrees, in the order taken.
    residuals : ndarray, shape (n, 2)
        From the feature to the centre of the field in each image, (x, y) µm.
    predicted, found : ndarray, shape (n, 2)
        Where the field would have been without correction, (x, y) µm.
    focus : ndarray, shape (n,)
        Predicted change of height, µm.
    accepted : ndarray of bool, shape (n,)
        Whether the image could be registered; what is found of one that could not is what was
        predicted.
    result : object
        What the live analysis found; None when none was asked for.
    """

    uid: str
    tilts: tuple[float, ...]
    residuals: NDArray[np.float64]
    predicted: NDArray[np.float64]
    found: NDArray[np.float64]
    focus: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    result: Any


def _checked_rounds(tilt: float | Sequence[float]) -> list[float]:
    rounds = [float(tilt)] if isinstance(tilt, int | float) else [float(t) for t in tilt]
    if not rounds or not all(math.isfinite(t) and t > 0 for t in rounds):
        raise ValueError(f"tilt is {tilt!r}: angles above 0 deg are needed")
    return rounds


@plan
def eucentric_height(
    tem: Microscope,
    *,
    tilt: float | Sequence[float] = (10.0, 40.0),
    iterations: int = 4,
    tolerance: float = 0.3,
    reach: float = 25.0,
    over_travel: float = 1.0,
    settle_time: float = 0.0,
    foreshortening: Foreshortening = unchanged,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[EucentricRun]:
    """Bring the specimen to the height at which tilting does not move it, and leave it there.

    The feature in the middle of the field is followed through tilts on both sides of the level,
    from the least outwards so that the fields keep their overlap; what its way across the tilt axis
    says of the height is corrected, and found again at the next, greater tilt. The last tilt is
    repeated until the height is right. On every way out the beam is blanked and the image shift,
    the tilt and the stage are put back; z too, unless all went well.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    tilt : float or sequence of float
        Greatest tilt of each round, degrees.
    iterations : int
        Rounds at most.
    tolerance : float
        What may be left of the height, µm.
    reach : float
        How far z may be moved, up or down, µm.
    over_travel : float
        How far x, y and z go back before they come to their place again after each tilt, which sets
        their play free, µm; 0 leaves them alone.
    settle_time : float
        Seconds waited before each image beyond the settling that the instrument itself waits for.
    foreshortening : callable
        How long a unit of the specimen looks across the tilt axis at a tilt.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    EucentricRun
        By how much z was moved, what is left, and the tilt-axis offset.

    Raises
    ------
    ValueError
        Arguments out of range; nothing has moved.
    devices.wire.LimitError
        The tilts or the heights would leave the limits of an axis or touch the pole piece; nothing
        has moved.
    RuntimeError
        The feature was lost, or the height is out of reach.
    bluesky.utils.FailedStatus
        The microscope refused a move.
    """
    rounds = _checked_rounds(tilt)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < len(rounds):
        raise ValueError(
            f"iterations is {iterations!r}: at least one for each of {len(rounds)} tilts"
        )
    over_travel = not_negative("over_travel", over_travel, "µm")
    settle_time = not_negative("settle_time", settle_time, "s")
    tolerance, reach = positive("tolerance", tolerance, "µm"), positive("reach", reach, "µm")
    home = yield from home_of(tem)
    tracker = FieldTracker(tem, TiltPredictor(), foreshortening)
    stage = TrackedStage(tem, tracker, home, over_travel, settle_time)
    stage.check([-max(rounds), max(rounds)], reach)
    arguments = {
        "tilt": rounds,
        "iterations": iterations,
        "tolerance": tolerance,
        "reach": reach,
        "over_travel": over_travel,
        "settle_time": settle_time,
    }
    _md = imaging_metadata(
        tem,
        "eucentric_height",
        arguments,
        axes=("alpha", "z"),
        points=len(rounds) * (2 * _STEPS_A_SIDE + 1),
    )
    offsets: list[TiltGeometry] = []  # from the axis, found in every round

    def search() -> MsgGenerator[None]:
        for number in range(iterations):
            largest = rounds[min(number, len(rounds) - 1)]
            unsure = _STILL_UNSURE if number else reach
            yield from stage.begin(TiltPredictor(z_offset=(0.0, unsure)))
            for alpha in tilt_scheme(-largest, largest, largest / _STEPS_A_SIDE, "dose-symmetric"):
                yield from stage.look(alpha)
            offsets.append(_about_axis(tracker))
            left = offsets[-1].z_offset
            within = number >= len(rounds) - 1 and abs(left) <= tolerance
            if within or number == iterations - 1:
                return
            if abs(stage.z - left - home["z"]) > reach:
                raise RuntimeError(
                    f"the eucentric height is {stage.z - left - home['z']:+.1f} µm away, beyond "
                    f"the reach of {reach:g} µm: allow more, or bring z nearer by hand"
                )
            stage.z -= left

    uid = yield from imaging_run(
        tem, search, md={**_md, **(md or {})}, send_back=[], restore=stage.endings()
    )
    last = offsets[-1]
    y_stderr, z_stderr = last.stderr
    return EucentricRun(
        uid,
        dz=stage.z - home["z"],
        z_offset=last.z_offset,
        stderr=float(z_stderr),
        y_offset=last.y_offset,
        y_offset_stderr=float(y_stderr),
        reached=abs(last.z_offset) <= tolerance,
    )


def _about_axis(tracker: FieldTracker) -> TiltGeometry:
    """Where the feature lies about the tilt axis, from all fields that were found."""
    found = tracker.found
    if not found:  # a dry run, in which there are no images
        return TiltGeometry(0.0, 0.0, np.full((2, 2), np.nan), math.nan)
    alphas = [alpha for alpha, _, _ in found]
    y = [place[1] for _, place, _ in found]
    stderr = [math.hypot(_LEAST_STDERR, math.sqrt(covariance[1, 1])) for *_, covariance in found]
    return fit_tilt_geometry(alphas, y, stderr)


@plan
def tilt_series(
    tem: Microscope,
    *,
    start: float = -60.0,
    stop: float = 60.0,
    step: float = 3.0,
    scheme: str = "dose-symmetric",
    predict: Predictor | None = None,
    track: bool = True,
    over_travel: float = 1.0,
    settle_time: float = 0.0,
    foreshortening: Foreshortening = unchanged,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[TiltSeriesRun]:
    """Take an image at every tilt, with the feature kept in the middle of the field.

    Before each image the field is shifted by what `predict` expects of the tilt, by image shift and
    where that is not enough by the stage; each image is registered with the nearest tilt before it,
    and `predict` is told. What was predicted and found is in the events. A series that begins far
    from where the stage stands is approached in steps, whose images are in the stream
    ``approach``. On every way out the beam is blanked and the image shift, the tilt and the stage
    are put back.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    start, stop, step : float
        Least and greatest tilt, and from one to the next, degrees.
    scheme : str
        ``"dose-symmetric"``, ``"continuous"`` or ``"bidirectional"``: see
        `analysis.tilting.tilt_scheme`.
    predict : Predictor, optional
        `analysis.tilting.TiltPredictor` unless given.
    track : bool
        Whether the prediction is acted upon, or only recorded.
    over_travel : float
        How far x, y and z go back before they come to their place again after each tilt, which sets
        their play free, µm: more than the play, or 0 to leave them alone.
    settle_time : float
        Seconds waited before each image beyond the settling that the instrument itself waits for.
    foreshortening : callable
        How long a unit of the specimen looks across the tilt axis at a tilt:
        `analysis.tilting.cosine` for a flat specimen in projection.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    TiltSeriesRun
        The uid, and how well the feature was kept.

    Raises
    ------
    ValueError
        Arguments out of range; nothing has moved.
    devices.wire.LimitError
        The tilts would leave the limits of an axis or touch the pole piece; nothing has moved.
    RuntimeError
        The feature was lost.
    bluesky.utils.FailedStatus
        The microscope refused a move.
    """
    tilts = tilt_scheme(start, stop, step, scheme)
    over_travel = not_negative("over_travel", over_travel, "µm")
    settle_time = not_negative("settle_time", settle_time, "s")
    home = yield from home_of(tem)
    tracker = FieldTracker(tem, TiltPredictor() if predict is None else predict, foreshortening)
    stage = TrackedStage(tem, tracker, home, over_travel, settle_time, correct=track)
    stage.check(tilts)
    arguments = {
        "start": start,
        "stop": stop,
        "step": step,
        "scheme": scheme,
        "predict": type(tracker.predictor).__name__,
        "track": track,
        "over_travel": over_travel,
        "settle_time": settle_time,
        "foreshortening": foreshortening(60.0),
    }
    _md = imaging_metadata(tem, "tilt_series", arguments, axes=("alpha",), points=len(tilts))
    _md["detectors"].append(tracker.name)
    rows: list[tuple[Any, ...]] = []

    def series() -> MsgGenerator[None]:
        for alpha in _approach(home["alpha"], tilts[0]):
            yield from stage.look(alpha, "approach")
        for alpha in tilts:
            yield from stage.look(alpha)
            rows.append(tracker.summary)

    uid = yield from imaging_run(
        tem, series, md={**_md, **(md or {})}, send_back=[], restore=stage.endings()
    )
    off, predicted, found, focus, accepted = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    result = yield from result_of(analysis, uid)
    return TiltSeriesRun(uid, tuple(tilts), off, predicted, found, focus, accepted, result)


def _approach(standing_at: float, first: float) -> list[float]:
    """Tilts from where the stage stands to before the first of a series; none if that is near."""
    steps = math.ceil(abs(first - standing_at) / _APPROACH_DEG - 1e-9)
    if steps < 2:
        return []
    return [standing_at + (first - standing_at) * k / steps for k in range(steps)]
