"""A model of the stage from one characterisation run.

Reported positions give the play before the sensor, actual positions all that is behind it; see
`analysis._axis_fit` for the model and its sources, `analysis.characterisation` for where to go.
What a run cannot tell is NaN in the model and named in its notes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ._axis_fit import PRIORS, AxisData, AxisFit, fit_axis
from ._reported_fit import ReportedFit, fit_reported, settled
from .record import StageRecord
from .stage_model import AxisModel, Cell, Quantity, StageModel
from .steps import IMAGE_AXES

__all__ = ["identify"]

_LEAST_STOPS = 60
_MOST_LOST = 0.1
# An axis that was sent over less than this, µm, is at rest.
_MOVES = 1e-3
# Half the widest play that is forgotten before the fit begins, µm.
_WIDEST = 1.0
# Best of some tens of periods that were tried, noise alone reaches 3 to 4 standard deviations.
_SEEN = 5.0
# Standard errors above which a run has said next to nothing: half of what was held possible before,
# for the play anything up to 1.5 µm.
_VAGUE_PLAY = 0.5 * 1.5 / math.sqrt(12.0)
_VAGUE_CROSSTALK = 0.5 * PRIORS["crosstalk"][1]
_UNKNOWN = Quantity(np.nan, np.nan, np.nan, np.nan)


def identify(record: StageRecord, *, measured: datetime, settle: float | None = None) -> StageModel:
    """Identify the model of x and y.

    Parameters
    ----------
    record : StageRecord
        Of the moves of `characterisation_path`, or of any run that reverses often and goes far.
        Times and targets of all stops are needed, the actual position only where there are images;
        segments are joined.
    measured : datetime
        When, with its time zone.
    settle : float, optional
        Seconds from the end of a motion to its image; half the time since the stop before where
        that is shorter or nothing is given.

    Returns
    -------
    StageModel
        Of the axes that moved.

    Raises
    ------
    ValueError
        If times or targets are missing, if neither x nor y moved, or if one that did has its actual
        position known at too few stops.
    """
    names = [name for name in IMAGE_AXES if name in record.axes]
    target = record.target[:, [record.axis(name) for name in names]]
    if not (np.isfinite(record.time).all() and np.isfinite(target).all()):
        raise ValueError("times and targets of all stops are needed to identify a stage")
    moving = [name for name, way in zip(names, np.ptp(target, axis=0), strict=True) if way > _MOVES]
    if not moving:
        raise ValueError(f"the targets of {' and '.join(names)} never change: nothing to identify")
    pause = _pauses(record.time, settle)
    notes = [f"{name}: not known, for it never moved" for name in IMAGE_AXES if name not in moving]
    known = _known(record, moving)
    axes = tuple(_axis(record, name, moving, known, pause, notes) for name in moving)
    return StageModel(axes, measured, record.source, int(known.sum()), notes=tuple(notes))


def _known(record: StageRecord, moving: list[str]) -> NDArray[np.bool_]:
    """Stops with an image, in segments that have more than one."""
    place = [record.axis(name) for name in moving]
    known = np.isfinite(record.actual[:, place]).all(axis=1)
    _, segment, images = np.unique(record.segment, return_inverse=True, return_counts=True)
    images = np.bincount(segment, weights=known, minlength=len(images))
    known &= images[segment] > 1
    if np.count_nonzero(known) < _LEAST_STOPS:
        raise ValueError(
            f"actual {' and '.join(moving)} are known at {np.count_nonzero(known)} stops, "
            f"{_LEAST_STOPS} are needed to identify a stage"
        )
    return known


def _pauses(time: NDArray[np.float64], settle: float | None) -> NDArray[np.float64]:
    """Seconds from the end of a motion to each stop's time."""
    interval = np.diff(time, prepend=time[0])
    wanted = np.inf if settle is None else settle
    return np.where(interval > wanted, wanted, 0.5 * interval)


def _middle(target: NDArray[np.float64]) -> float:
    """Of the way of an axis, µm: scale and cross-talk are those there, where paths curve."""
    return 0.5 * float(target.min() + target.max())


def _place(record: StageRecord, name: str, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Actual position about the middle of the run, each segment's origin near its targets'; or 0.

    Where nothing is known it is 0 too.
    """
    axis = record.axis(name)
    beside = record.actual[:, axis] - record.target[:, axis]
    place = record.actual[:, axis] - _middle(record.target[:, axis])
    for segment in np.unique(record.segment[known]):
        here = record.segment == segment
        place[here] -= beside[here & known].mean()
    return np.where(known, place, 0.0)


def _axis(
    record: StageRecord, name: str, moving: list[str], known: NDArray[np.bool_],
    settle: NDArray[np.float64],
    notes: list[str],
) -> AxisModel:  # fmt: skip
    from ._stage_kernels import play

    axis = record.axis(name)
    target, reported = record.target[:, axis], record.reported[:, axis]
    if np.isfinite(reported).sum() >= _LEAST_STOPS:
        sensor = fit_reported(target, reported)
    else:
        sensor = ReportedFit.of_nothing(len(target))
        notes.append(f"{name}: no reported positions, so that all play is behind the sensor")
    origin = target - _middle(target)
    after = play(origin, sensor.half_play, origin[0])
    used = known & settled(after, _WIDEST)
    if np.count_nonzero(used) < _LEAST_STOPS:
        raise ValueError(
            f"{name} goes 2 µm or more in one direction too late in the run: only "
            f"{np.count_nonzero(used)} stops follow, {_LEAST_STOPS} are needed"
        )
    lost = np.count_nonzero(known) - np.count_nonzero(used)
    if lost > _MOST_LOST * np.count_nonzero(known):
        notes.append(f"{name}: {lost} stops are not used, for the axis had not gone far enough")
    others = [_place(record, other, known) for other in moving if other != name]
    data = AxisData(
        actual=_place(record, name, known),
        other=others[0] if others else np.zeros(len(target)),
        time=record.time,
        sensor=after,
        miss=sensor.miss,
        segment=record.segment,
        variance=record.measured_variance(axis),
        known=used,
        settle=settle,
    )
    return _told(_model(name, fit_axis(data), sensor, _middle(target)), notes)


def _model(name: str, fit: AxisFit, sensor: ReportedFit, middle: float) -> AxisModel:
    half_play, period, fraction, limit, *halves = fit.shape.T
    slip, length, memory, *_ = fit.noise.T
    column = dict(zip(PRIORS, fit.linear.T, strict=True))
    carried = [column[f"cell_{k + 1}"] for k in range(len(halves))]
    scale = column["loose"] + sum(carried)
    backlash = 2.0 * scale * (sensor.half_play + half_play)
    backlash += sum(2.0 * h * w for h, w in zip(halves, carried, strict=True))
    waves = [_wave(column, k, period, middle) for k in (1, 2)]
    return AxisModel(
        axis=name,
        reported_scale=_regressed(sensor.scale, sensor.scale_stderr, sensor.degrees),
        reported_play=_regressed(
            2.0 * sensor.half_play, 2.0 * sensor.half_play_stderr, sensor.degrees
        ),
        scale=_quantity(scale),
        play=_quantity(2.0 * half_play),
        cells=tuple(
            Cell(_quantity(h), _quantity(w / scale)) for h, w in zip(halves, carried, strict=True)
        ),
        backlash=_quantity(backlash),
        period=_quantity(period),
        amplitudes=(waves[0][0], waves[1][0]),
        phases=(waves[0][1], waves[1][1]),
        repeatability=_quantity(slip),
        repeatability_length=_quantity(length),
        slip_memory=_quantity(memory),
        creep=_quantity(fraction),
        creep_limit=_quantity(limit),
        drift=_quantity(column["drift"]),
        crosstalk=_quantity(column["crosstalk"]),
    )


def _told(model: AxisModel, notes: list[str]) -> AxisModel:
    """Model without what the run has not told."""
    name, first = model.axis, model.amplitudes[0]
    if first.value <= _SEEN * first.stderr:
        notes.append(f"{name}: no screw is seen above {1e3 * first.high:.0f} nm")
        amplitudes = (replace(first, low=0.0), model.amplitudes[1])  # there may be none at all
        unknown = (_UNKNOWN, _UNKNOWN)
        model = replace(model, amplitudes=amplitudes, period=_UNKNOWN, phases=unknown)
    if model.play.stderr > _VAGUE_PLAY:
        notes.append(f"{name}: play and backlash are not known, for the axis hardly reverses")
        cells = (Cell(_UNKNOWN, _UNKNOWN),) * len(model.cells)
        model = replace(model, play=_UNKNOWN, backlash=_UNKNOWN, cells=cells)
    if model.crosstalk.stderr > _VAGUE_CROSSTALK:
        notes.append(f"{name}: cross-talk is not known, for nothing else moves on its own")
        model = replace(model, crosstalk=_UNKNOWN)
    return model


def _wave(
    column: dict[str, NDArray[np.float64]], harmonic: int, period: NDArray[np.float64],
    middle: float,
) -> tuple[Quantity, Quantity]:  # fmt: skip
    """Amplitude and phase of a sin(2 pi harmonic u / P + phase), at target u = 0."""
    cosine, sine = column[f"cos_{harmonic}"], column[f"sin_{harmonic}"]
    phase = np.arctan2(cosine, sine) - 2.0 * math.pi * harmonic * middle / period
    # about its circular mean, so that a phase near pi is not spread over the whole circle
    centre = float(np.angle(np.exp(1j * phase).mean()))
    return _quantity(np.hypot(cosine, sine)), _quantity(
        centre + np.angle(np.exp(1j * (phase - centre)))
    )


def _quantity(drawn: NDArray[np.float64]) -> Quantity:
    """Mean and central 95 % of a sample."""
    low, value, high = np.percentile(drawn, [2.5, 50.0, 97.5])
    return Quantity(float(value), float(drawn.std()), float(low), float(high))


def _regressed(value: float, stderr: float, degrees: int) -> Quantity:
    """Coefficient of a linear regression, with Student's interval."""
    from scipy.special import stdtrit

    if math.isnan(stderr):
        return _UNKNOWN
    reach = float(stdtrit(max(degrees, 1), 0.975)) * stderr
    return Quantity(value, stderr, value - reach, value + reach)
