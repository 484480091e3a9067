"""Is the order of difficulty that of the note? Its claims, one by one, with how sure they are here.

Bruker application note 155: the deformation is the best channel, the phase the worst (fig. 2); the
notched Izod test is told worst of the properties (figs. 4 and 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..evaluation import (
    Interval,
    Regressed,
    bootstrap,
    compare_accuracy,
    independent_difference,
    regression_scores,
)
from ..evaluation.regression import r2_of_sums, r2_terms
from ._table_text import EvaluationTable, model_words, property_words, signed
from .series import Series, on_common
from .summary import Evaluation, whole

__all__ = ["order_of_difficulty"]

_BEST, _LAST, _WORST = ("deformation",), ("phase",), "notched_izod"


def order_of_difficulty(told: Evaluation) -> EvaluationTable:
    """Hold the note's claims on channels and properties against what was found."""
    return EvaluationTable(
        title="Order of difficulty",
        columns=["the note says", "task", "model", "found, best first", "does it hold"],
        rows=[*_channel_rows(told), *_property_rows(told)],
        notes="Shown: every interval of 95 % of a difference, on the same images or of different "
        "ones, lies on the note's side of zero.",
    )


def _channel_rows(told: Evaluation) -> list[list[str]]:
    families: dict[tuple[str, str], list[Series]] = {}
    for series in whole(told.classes):
        if len(series.channels) == 1 and not series.of_task.shuffled:
            families.setdefault((series.task, series.estimator), []).append(series)
    rows = []
    for (_, estimator), family in families.items():
        by_channel = {series.channels: series for series in family}
        for best, claim in ((True, "deformation is best"), (False, "phase is worst")):
            chosen = by_channel.get(_BEST if best else _LAST)
            others = [series for series in family if series is not chosen]
            if chosen is None or not others:
                continue
            gains = {
                other.channel: _gain(told, *((chosen, other) if best else (other, chosen)))
                for other in others
            }
            order = sorted(family, key=lambda series: -told.accuracy(series).value)
            found = [
                f"{series.channel} {100 * told.accuracy(series).value:.1f} %" for series in order
            ]
            title = chosen.of_task.title
            rows.append([claim, title, estimator, ", ".join(found), _holds(gains)])
    return rows


def _gain(told: Evaluation, first: Series, second: Series) -> Interval:
    """Of accuracy, on the same images where there are some."""
    common = on_common(told.classes[first].outcomes, told.classes[second].outcomes)
    if common is not None:
        return compare_accuracy(*common).difference
    return independent_difference(told.accuracy(first).interval, told.accuracy(second).interval)


def _property_rows(told: Evaluation) -> list[list[str]]:
    rows = []
    for series in whole(told.values):
        outcomes = told.values[series].outcomes
        others = [name for name in outcomes.properties if name != _WORST]
        if _WORST not in outcomes.properties or not others:
            continue
        scores = sorted(regression_scores(outcomes), key=lambda score: -score.r2.value)
        found = [f"{property_words(score.name)} {signed(score.r2.value)}" for score in scores]
        gains = {property_words(name): _lead(outcomes, name) for name in others}
        model = f"{model_words(series)}, {series.channel}"
        rows.append(["Izod is worst", series.of_task.title, model, ", ".join(found), _holds(gains)])
    return rows


def _lead(outcomes: Regressed, name: str) -> Interval:
    """By how much R² of a property is above that of the worst."""
    terms = np.hstack([r2_terms(*outcomes.column(each)) for each in (name, _WORST)])
    return bootstrap(
        terms, lambda sums: r2_of_sums(sums[:, :4]) - r2_of_sums(sums[:, 4:]), outcomes.groups
    )


def _holds(gains: Mapping[str, Interval]) -> str:
    against = [name for name, gain in gains.items() if gain.value <= 0]
    if against:
        return f"no: {_listed(against)}"
    unsure = [name for name, gain in gains.items() if gain.low <= 0]
    return f"yes, not shown against {_listed(unsure)}" if unsure else "shown"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
