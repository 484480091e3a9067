"""Tables of bulk properties: how well each is told, by which model and which channel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ..evaluation import compare_r2, regression_scores
from ._table_text import (
    NONE,
    Compared,
    EvaluationTable,
    compared_rows,
    model_words,
    number,
    property_words,
)
from .series import ValueSeries, on_common
from .summary import Evaluation, network_pairs, whole
from .tasks import PROPERTIES

__all__ = ["property_channels", "property_models", "property_scores"]


def property_scores(told: Evaluation) -> EvaluationTable:
    rows = []
    for series in whole(told.values):
        scores = {s.name: s for s in regression_scores(told.values[series].outcomes)}
        images = max(score.images for score in scores.values())
        rows.append(
            [
                series.of_task.title,
                series.channel,
                model_words(series),
                *(number(scores[name].r2) if name in scores else NONE for name in PROPERTIES),
                str(images),
            ]
        )
    return EvaluationTable(
        title="Bulk properties: R²",
        columns=["task", "channel", "model", *map(property_words, PROPERTIES), "images"],
        rows=rows,
        notes="Intervals of 95 % from a bootstrap of the groups. All images of a sample have one "
        "true value, so R² is that of telling these samples, not of a sample never seen. The note "
        "prints no numbers of R²; its text calls notched Izod the worst throughout.",
    )


def property_models(told: Evaluation) -> EvaluationTable:
    pairs = [
        (network, baseline, first, second)
        for network, baseline, first, second in network_pairs(told.values)
    ]
    return _r2_table(
        "Bulk properties: networks against baselines, on the same splits",
        [
            ([one.of_task.title, one.channel, model_words(one), model_words(two)], first, second)
            for one, two, first, second in pairs
        ],
        ["task", "channel", "network", "baseline"],
    )


def property_channels(told: Evaluation) -> EvaluationTable:
    pairs = [
        ([one.of_task.title, model_words(one), one.channel, two.channel], told.values[one], own)
        for one, two in combinations(whole(told.values), 2)
        if (one.task, model_words(one)) == (two.task, model_words(two))
        for own in (told.values[two],)
    ]
    return _r2_table(
        "Bulk properties: channels against each other, on the same images",
        pairs,
        ["task", "model", "channel", "against"],
    )


def _r2_table(
    title: str,
    pairs: Sequence[tuple[list[str], ValueSeries, ValueSeries]],
    columns: Sequence[str],
) -> EvaluationTable:
    found = []
    for words, first, second in pairs:
        common = on_common(first.outcomes, second.outcomes)
        if common is None:
            continue
        for name in first.outcomes.properties:
            if name not in second.outcomes.properties:
                continue
            found.append(Compared([*words, property_words(name)], compare_r2(*common, name)))
    return EvaluationTable(
        title=title,
        columns=[*columns, "property", "difference of R²", "p (Holm)", "the first is"],
        rows=compared_rows(found, 1.0),
        notes="Intervals of 95 % from a bootstrap of the groups; p of the square errors from "
        "exchanges within whole groups, adjusted for the number of rows (Holm).",
    )
