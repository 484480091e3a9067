"""A model of the stage from one characterisation run.

Reported positions give the play before the sensor, actual positions all that is behind it; see
`analysis._axis_fit` for the model and its sources, `analysis.characterisation` for where to go.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ._axis_fit import NAMES, AxisData, AxisFit, fit_axis, fit_reported, settled
from .record import StageRecord
from .stage_model import AxisModel, Cell, Quantity, StageModel
from .steps import IMAGE_AXES

__all__ = ["identify"]

_LEAST_STOPS = 60
_MOST_LOST = 0.1
# Half the widest play that is forgotten before the fit begins, µm.
_WIDEST = 1.0
_Z = 1.96
# Best of some tens of periods that were tried, noise alone reaches 3 to 4 standard deviations.
_SEEN = 5.0


def identify(record: StageRecord, *, measured: datetime, settle: float | None = None) -> StageModel:
    """Identify the model of x and y.

    Parameters
    ----------
    record : StageRecord
        Of `characterisation_targets`, or of any run that reverses often and goes far, in one
        segment, with times.
    measured : datetime
        When, with its time zone.
    settle : float, optional
        Seconds from the end of a motion to its image; by default the shortest time between two
        stops.

    Returns
    -------
    StageModel

    Raises
    ------
    ValueError
        If x or y, times, or positions at enough stops are missing.
    """
    place = [record.axis(name) for name in IMAGE_AXES]
    known = np.isfinite(record.actual[:, place]).all(axis=1)
    known &= record.segment == np.bincount(record.segment - record.segment.min()).argmax() + (
        record.segment.min()
    )
    if np.count_nonzero(known) < _LEAST_STOPS:
        raise ValueError(
            f"actual x and y are known at {np.count_nonzero(known)} stops of one segment, "
            f"{_LEAST_STOPS} are needed to identify a stage"
        )
    if not (np.isfinite(record.time).all() and np.isfinite(record.target[:, place]).all()):
        raise ValueError("times and targets of all stops are needed to identify a stage")
    pause = float(np.diff(record.time).min()) if settle is None else settle
    notes: list[str] = []
    axes = tuple(_axis(record, name, known, pause, notes) for name in IMAGE_AXES)
    return StageModel(axes, measured, record.source, int(known.sum()), notes=tuple(notes))


def _axis(
    record: StageRecord, name: str, known: NDArray[np.bool_], settle: float, notes: list[str]
) -> AxisModel:
    from ._stage_kernels import play

    axis = record.axis(name)
    other = record.axis(IMAGE_AXES[1 - IMAGE_AXES.index(name)])
    target, reported = record.target[:, axis], record.reported[:, axis]
    if np.isfinite(reported).sum() >= _LEAST_STOPS:
        sensor, spread, _ = fit_reported(target, reported)
    else:
        sensor, spread = np.array([0.0, np.nan, np.nan]), np.full((3, 3), np.nan)
        notes.append(f"{name}: no reported positions, so that all play is behind the sensor")
    origin = target - target.mean()
    after = play(origin, sensor[0], origin[0])
    other_place = np.nan_to_num(record.actual[:, other] - np.nanmean(record.actual[:, other]))
    data = AxisData(
        target=origin,
        actual=np.nan_to_num(record.actual[:, axis] - np.nanmean(record.actual[:, axis])),
        other=other_place,
        time=record.time,
        variance=record.measured_variance(axis),
        known=known & settled(after, _WIDEST),
        settle=settle,
    )
    if np.count_nonzero(data.known) < _LEAST_STOPS:
        raise ValueError(
            f"{name} reverses over 2 µm or more too late in the run: only "
            f"{np.count_nonzero(data.known)} stops follow, {_LEAST_STOPS} are needed"
        )
    lost = len(target) - np.count_nonzero(data.known)
    if lost > _MOST_LOST * len(target):
        notes.append(f"{name}: {lost} stops are not used, for the axis had not reversed far enough")
    fit = fit_axis(data, after)
    return _seen(_model(name, fit, sensor, spread, float(target.mean())), notes)


def _model(
    name: str, fit: AxisFit, sensor: NDArray[np.float64], spread: NDArray[np.float64],
    middle: float,
) -> AxisModel:  # fmt: skip
    half_play, period, fraction, limit, *halves = fit.shape.T
    slip, length, memory, *_ = fit.noise.T
    column = dict(zip(NAMES, fit.linear.T, strict=True))
    carried = [column[f"cell_{k + 1}"] for k in range(len(halves))]
    scale = column["loose"] + sum(carried)
    deviation = math.sqrt(float(np.nan_to_num(spread[0, 0])))
    before = sensor[0] + deviation * np.random.default_rng(0).normal(size=len(scale))
    backlash = 2.0 * scale * (before + half_play)
    backlash += sum(2.0 * h * w for h, w in zip(halves, carried, strict=True))
    waves = [_wave(column, k, period, middle) for k in (1, 2)]
    return AxisModel(
        axis=name,
        reported_scale=_normal(float(sensor[1]), math.sqrt(spread[1, 1])),
        reported_play=_normal(2.0 * float(sensor[0]), 2.0 * math.sqrt(spread[0, 0])),
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


def _seen(model: AxisModel, notes: list[str]) -> AxisModel:
    """Model without the period and the phases of a screw that may be chance."""
    first = model.amplitudes[0]
    if first.value > _SEEN * first.stderr:
        return model
    notes.append(f"{model.axis}: no screw is seen above {1e3 * first.high:.0f} nm")
    unknown = Quantity(np.nan, np.nan, np.nan, np.nan)
    return replace(model, period=unknown, phases=(unknown, unknown))


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


def _normal(value: float, stderr: float) -> Quantity:
    return Quantity(value, stderr, value - _Z * stderr, value + _Z * stderr)
