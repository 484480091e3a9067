"""What the model of a stage explains: residuals, the hysteresis loop, the screw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..alignment import HysteresisResult
from ..compensation import AxisMap
from ..stage_model import AxisModel
from ..steps import IMAGE_AXES
from .style import ACTUAL, REPORTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["model_figure"]

_LOOP = 6.0  # µm about the start: where the small steps of a characterisation are
_CAPTION = (
    "model: all that was identified, without slip; slow: median of 15 images about each, which "
    "drift and slip move and the screw does not"
)
_SLOW = 15
_NM = 1e3  # in a µm
_ANGLES = 361
_Z = 1.96


@dataclass(frozen=True)
class _Course:
    """Target, actual and predicted positions of one axis at its stops, from a common origin; µm.

    `screw` is the part of `predicted` that the screw makes, `turn` its angle, None without one;
    `loop` the stops of the small steps, but the first, whose history is not known.
    """

    target: NDArray[np.float64]
    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    screw: NDArray[np.float64]
    turn: NDArray[np.float64] | None
    loop: slice


def model_figure(result: HysteresisResult) -> Figure:
    """Draw what is left without and with the model, the loop of small steps, and the screw's error.

    Parameters
    ----------
    result : HysteresisResult
        Of a characterisation, with its model.

    Returns
    -------
    matplotlib.figure.Figure
        13 inches wide, 4 high for each axis.

    Raises
    ------
    ValueError
        If the result has no model.
    """
    from matplotlib.figure import Figure

    model = result.model
    if model is None:
        raise ValueError("the run has no stage model to draw: characterise the stage")
    figure = Figure(figsize=(13.0, 4.0 * len(model.axes)), layout="constrained")
    panels = figure.subplots(len(model.axes), 3, squeeze=False, width_ratios=[1.15, 1.0, 1.0])
    letters = iter(ascii_lowercase)
    for row, axis in zip(panels, model.axes, strict=True):
        course = _course(result, axis)
        _draw_residuals(row[0], axis, course, next(letters))
        _draw_loop(row[1], axis, course, next(letters))
        _draw_screw(row[2], axis, course, next(letters))
    figure.supxlabel(_CAPTION, fontsize=8, color="0.3")
    return figure


def _course(result: HysteresisResult, axis: AxisModel) -> _Course:
    place = IMAGE_AXES.index(axis.axis)
    target, actual = result.target[:, place], result.actual[:, place]
    way = AxisMap.of(axis)
    smooth = replace(way, amplitudes=(0.0, 0.0))
    state = way.after(float(target[0]), 1.0)
    predicted, without = np.empty(len(target)), np.empty(len(target))
    for stop, command in enumerate(target):
        state = way.go(state, float(command))
        predicted[stop], without[stop] = way.position(state), smooth.position(state)
    screw = predicted - without
    other = result.actual[:, 1 - place]
    elapsed = np.nan_to_num(result.time - result.time[0])
    predicted += way.crosstalk * (other - other[0]) + np.nan_to_num(axis.drift.value) * elapsed
    loop = slice(1, _end_of_loops(target))
    turn = 2.0 * np.pi * without / (way.scale * way.period) if way.period else None
    return _Course(
        target=target,
        actual=actual - np.median((actual - predicted)[loop]),
        predicted=predicted,
        screw=screw,
        loop=loop,
        turn=turn,
    )


def _end_of_loops(target: NDArray[np.float64]) -> int:
    away = np.abs(target - target[0]) > _LOOP
    return int(np.argmax(away)) if away.any() else len(away)


def _slow(misfit: NDArray[np.float64]) -> NDArray[np.float64]:
    """The slow part of a misfit: median of the images about each."""
    padded = np.pad(misfit, _SLOW // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, _SLOW), axis=-1)


def _draw_residuals(panel: Axes, axis: AxisModel, course: _Course, letter: str) -> None:
    stops = np.arange(1, len(course.target) + 1)
    before = course.actual - course.target
    before = _NM * (before - np.median(before))
    after = _NM * (course.actual - course.predicted)
    left = f", {(after - _slow(after)).std():.0f} without its slow part"
    for words, values, color, marker, more in (
        ("target", before, REPORTED, "s", ""),
        ("model", after, ACTUAL, "o", left),
    ):
        label = f"actual \N{MINUS SIGN} {words}: {values.std():.0f} nm rms{more}"
        panel.plot(stops, values, color=color, marker=marker, ms=3, lw=0.5, label=label)
    panel.set_xlabel("image")
    panel.set_ylabel(f"{axis.axis}: residual (nm)")
    _title(panel, f"({letter})  {axis.axis}: without and with the model", columns=1)


def _draw_loop(panel: Axes, axis: AxisModel, course: _Course, letter: str) -> None:
    loop = course.loop
    target, actual, predicted = course.target[loop], course.actual[loop], course.predicted[loop]
    model = _NM * (predicted - target)
    panel.plot(target, model, color="0.25", lw=1.1, zorder=1, label="model")
    panel.plot(
        target, _NM * (actual - target), color=ACTUAL, marker="o", ms=3.5, ls="", label="measured"
    )
    panel.set_xlabel(f"target {axis.axis} (µm)")
    panel.set_ylabel(f"{axis.axis}: actual \N{MINUS SIGN} target (nm)")
    backlash = axis.backlash
    low, value, high = (_NM * v for v in (backlash.low, backlash.value, backlash.high))
    _title(panel, f"({letter})  loop: backlash {value:.0f} nm, {low:.0f} to {high:.0f}")


def _draw_screw(panel: Axes, axis: AxisModel, course: _Course, letter: str) -> None:
    if course.turn is None:
        panel.set_axis_off()
        words = f"no screw is seen above {_NM * axis.amplitudes[0].high:.0f} nm"
        panel.text(0.5, 0.5, words, ha="center", va="center")
        return
    period = axis.period.value
    place = np.mod(course.turn, 2.0 * np.pi) / (2.0 * np.pi) * period
    misfit = course.actual - course.predicted
    rest = _NM * (misfit - _slow(misfit) + course.screw)
    panel.plot(place, rest, ls="", marker="o", ms=3.5, color=ACTUAL, label="measured, all else off")
    angle = np.linspace(0.0, 2.0 * np.pi, _ANGLES)
    curve, half = np.zeros(_ANGLES), np.zeros(_ANGLES)
    for k, (amplitude, phase) in enumerate(zip(axis.amplitudes, axis.phases, strict=True), 1):
        sine, cosine = np.sin(k * angle + phase.value), np.cos(k * angle + phase.value)
        curve += amplitude.value * sine
        half += (amplitude.stderr * sine) ** 2 + (amplitude.value * phase.stderr * cosine) ** 2
    half = _NM * _Z * np.sqrt(half)
    turned = angle / (2.0 * np.pi) * period
    panel.fill_between(turned, _NM * curve - half, _NM * curve + half, color="0.7", lw=0)
    panel.plot(turned, _NM * curve, color="0.25", lw=1.1, label="95 % band")
    panel.set_xlabel(f"way of {axis.axis} in a turn of the screw, {period:.2f} µm (µm)")
    panel.set_ylabel(f"{axis.axis}: periodic error (nm)")
    first, second = (_NM * amplitude.value for amplitude in axis.amplitudes)
    _title(panel, f"({letter})  screw: {first:.0f} nm, second harmonic {second:.0f} nm")


def _title(panel: Axes, words: str, columns: int = 2) -> None:
    """Title, and the legend above the curves."""
    panel.axhline(0.0, color="0.75", lw=0.7, zorder=0)
    panel.set_title(words, loc="left", fontsize=10)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + (0.4 / columns) * (high - low))
    panel.legend(loc="upper left", ncols=columns, fontsize=8, frameon=False)
