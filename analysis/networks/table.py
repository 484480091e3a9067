"""The tables of an experiment: what was reached, how sure that is, and what the note reports.

Made from finished cells alone. The network stands beside the baselines on the same splits, the
channels beside each other on the same images, and everything beside the figures of Bruker
application note 155 with the intervals that their few test images allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import combinations

from ..evaluation import calibration, compare_accuracy, confusion_of, published
from ._order_table import order_of_difficulty
from ._property_tables import property_channels, property_models, property_scores
from ._table_text import NONE, Compared, EvaluationTable, compared_rows, percent
from .cells import CellResult
from .series import on_common
from .summary import Evaluation, network_pairs, whole

__all__ = ["EvaluationTable", "tables_of"]

_COMPARED = (
    "Intervals of 95 % of the difference are from a bootstrap of the groups; p is from exchanging "
    "the two within whole groups, adjusted for the number of rows (Holm), and decides the verdict."
)


def tables_of(results: Iterable[CellResult] | Evaluation) -> list[EvaluationTable]:
    """Return all tables for which there are cells.

    Parameters
    ----------
    results : iterable of CellResult, or Evaluation
        Of one experiment.
    """
    told = results if isinstance(results, Evaluation) else Evaluation(results)
    makers: tuple[Callable[[Evaluation], EvaluationTable], ...] = (
        _accuracies,
        _against_baselines,
        _channels,
        property_scores,
        property_models,
        property_channels,
        order_of_difficulty,
        _calibrations,
        _learning,
        _shuffled,
    )
    return [table for table in (maker(told) for maker in makers) if table.rows]


def _accuracies(told: Evaluation) -> EvaluationTable:
    rows = []
    for series in whole(told.classes):
        if series.of_task.shuffled:
            continue
        found = told.accuracy(series)
        note = published(series.task, "+".join(series.channels))
        rows.append(
            [
                series.of_task.title,
                series.channel,
                series.estimator,
                percent(found.interval),
                f"{100 * found.spread:.1f}" if math.isfinite(found.spread) else NONE,
                f"{found.images} / {found.groups}",
                percent(note.interval()) if note else NONE,
                f"{note.right}/{note.images}" if note else NONE,
            ]
        )
    return EvaluationTable(
        title="Accuracy",
        columns=[
            "told apart",
            "channel",
            "model",
            "accuracy (%)",
            "spread over splits (%)",
            "images / groups",
            "note 155 (%)",
            "its images, inferred",
        ],
        rows=rows,
        notes="In brackets intervals of 95 %: over the groups of images (Korn and Graubard), and "
        "for the note over as many independent images (Clopper and Pearson). The note gives no "
        "numbers of images; those here are the fractions that its percentages fit.",
    )


def _against_baselines(told: Evaluation) -> EvaluationTable:
    pairs = []
    for network, baseline, first, second in network_pairs(told.classes):
        common = on_common(first.outcomes, second.outcomes)
        if common is None or network.of_task.shuffled:
            continue
        means = [100 * float(one.correct.mean()) for one in common]
        words = [
            network.of_task.title,
            network.channel,
            f"{network.estimator} {means[0]:.1f}",
            f"{baseline.estimator} {means[1]:.1f}",
        ]
        pairs.append(Compared(words, compare_accuracy(*common)))
    return EvaluationTable(
        title="Networks against baselines, on the same splits",
        columns=[
            "told apart",
            "channel",
            "network (%)",
            "baseline (%)",
            "difference (points)",
            "p (Holm)",
            "the network is",
        ],
        rows=compared_rows(pairs, 100.0),
        notes=_COMPARED,
    )


def _channels(told: Evaluation) -> EvaluationTable:
    pairs = []
    for first, second in combinations(whole(told.classes), 2):
        same = (first.task, first.estimator) == (second.task, second.estimator)
        if not same or first.of_task.shuffled:
            continue
        common = on_common(told.classes[first].outcomes, told.classes[second].outcomes)
        if common is None:  # of other images
            continue
        words = [first.of_task.title, first.estimator, first.channel, second.channel]
        pairs.append(Compared(words, compare_accuracy(*common)))
    return EvaluationTable(
        title="Channels against each other, on the same images",
        columns=[
            "told apart",
            "model",
            "channel",
            "against",
            "difference (points)",
            "p (Holm)",
            "the first is",
        ],
        rows=compared_rows(pairs, 100.0),
        notes=f"{_COMPARED} Channels of other images, as phase, are not here.",
    )


def _calibrations(told: Evaluation) -> EvaluationTable:
    rows = []
    for series in whole(told.classes):
        if series.of_task.shuffled:
            continue
        own = told.classes[series]
        before, after = calibration(own.outcomes), calibration(own.calibrated)
        rows.append(
            [
                series.of_task.title,
                series.channel,
                series.estimator,
                f"{before.error:.3f}",
                f"{after.error:.3f}",
                f"{after.error_of_exact:.3f} (95 %: {after.error_limit:.3f})",
                f"{before.brier:.3f} / {after.brier:.3f}",
                f"{before.likelihood:.3f} / {after.likelihood:.3f}",
                f"{min(own.temperatures):.2f} to {max(own.temperatures):.2f}",
            ]
        )
    return EvaluationTable(
        title="Calibration of the probabilities",
        columns=[
            "told apart",
            "channel",
            "model",
            "ECE as trained",
            "ECE with temperature",
            "ECE of exact ones",
            "Brier, before / after",
            "log-loss, before / after",
            "temperatures",
        ],
        rows=rows,
        notes="Expected calibration error in bins of as many predictions each, 15 at most; exact "
        "probabilities show a gap too on so few images. Temperatures are fitted on the validation "
        "part of each split, never on its test part.",
    )


def _learning(told: Evaluation) -> EvaluationTable:
    rows = []
    for series, curve in told.learning_curves().items():
        for size, found in zip(curve.sizes, curve.accuracies, strict=True):
            rows.append(
                [
                    series.of_task.title,
                    series.channel,
                    series.estimator,
                    str(size),
                    percent(found.interval),
                    f"{100 * (1 - float(curve.law.error(2 * curve.sizes[-1]))):.1f}"
                    if curve.law and size == curve.sizes[-1]
                    else NONE,
                ]
            )
    return EvaluationTable(
        title="Learning curve",
        columns=[
            "told apart",
            "channel",
            "model",
            "training images",
            "accuracy (%)",
            "expected of twice as many (%)",
        ],
        rows=rows,
        notes="Test parts are the same at every size. Expected: a power law with a floor through "
        "the errors.",
    )


def _shuffled(told: Evaluation) -> EvaluationTable:
    rows = []
    for series in whole(told.classes):
        if not series.of_task.shuffled:
            continue
        found = told.accuracy(series)
        chance = confusion_of(told.classes[series].outcomes).chance
        rows.append(
            [
                series.channel,
                series.estimator,
                percent(found.interval),
                f"{100 * chance:.1f}",
                "yes" if found.interval.holds(chance) else "NO",
            ]
        )
    return EvaluationTable(
        title="Shuffled labels",
        columns=["channel", "model", "accuracy (%)", "chance (%)", "chance is within"],
        rows=rows,
        notes="Labels are exchanged among the fields before anything is trained; a model that is "
        "above chance here knows its test images. It may be a little below: what a class has more "
        "of in the training part it has less of in the test part.",
    )
