"""What the finished cells of an experiment say, series by series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from ..evaluation import Accuracy, LearningCurve, accuracy, learning_curve
from .cells import CellResult
from .series import ClassSeries, Series, ValueSeries, class_series, value_series
from .tasks import TASKS

__all__ = ["BASELINES", "Evaluation", "network_pairs", "whole"]

BASELINES = ("small_cnn", "features+logistic", "features+forest")
_NETWORKS = ("resnet50", "small_resnet")
_CHANNELS = ("deformation", "dissipation", "dmt_modulus", "phase")  # as the note's fig. 2

_Own = TypeVar("_Own")


class Evaluation:
    """What the finished cells of an experiment say.

    Parameters
    ----------
    results : iterable of CellResult
        Any of them; a table shows what there is.

    Attributes
    ----------
    classes, values : dict
        `ClassSeries` and `ValueSeries` of each `Series`, those on all training images first.
    """

    def __init__(self, results: Iterable[CellResult]) -> None:
        kept = list(results)
        self.classes: dict[Series, ClassSeries] = _ordered(class_series(kept))
        self.values: dict[Series, ValueSeries] = _ordered(value_series(kept))
        self._accuracies = {series: accuracy(own.outcomes) for series, own in self.classes.items()}

    def accuracy(self, series: Series) -> Accuracy:
        """Return the accuracy of a series."""
        return self._accuracies[series]

    def learning_curves(self) -> dict[Series, LearningCurve]:
        """Return the learning curves of those series that were trained on several sizes.

        Returns
        -------
        dict
            By the series of any size, its size 0.
        """
        found: dict[Series, list[tuple[int, ClassSeries]]] = {}
        for series, own in self.classes.items():
            whole = Series(series.task, series.channels, series.estimator)
            size = series.size or round(own.trained)
            found.setdefault(whole, []).append((size, own))
        return {
            series: learning_curve([(size, own.outcomes) for size, own in points])
            for series, points in found.items()
            if len({size for size, _ in points}) == len(points) > 1
        }


def whole(found: Mapping[Series, object]) -> list[Series]:
    """Those trained on all images."""
    return [series for series in found if not series.size]


def network_pairs(
    found: Mapping[Series, _Own],
) -> Iterator[tuple[Series, Series, _Own, _Own]]:
    """Each network with each baseline of the same question and channels."""
    for network in whole(found):
        if network.estimator in BASELINES:
            continue
        for baseline in whole(found):
            same = (network.task, network.channels) == (baseline.task, baseline.channels)
            if same and baseline.estimator in BASELINES:
                yield network, baseline, found[network], found[baseline]


def _ordered(found: Mapping[Series, _Own]) -> dict[Series, _Own]:
    tasks = list(TASKS)
    kinds = (*_NETWORKS, *BASELINES)

    def rank(series: Series) -> tuple[object, ...]:
        kind = kinds.index(series.estimator) if series.estimator in kinds else len(kinds)
        first = series.channels[0]
        channel = _CHANNELS.index(first) if first in _CHANNELS else len(_CHANNELS)
        return (
            tasks.index(series.task),
            len(series.channels),
            channel,
            series.channels,
            kind,
            series.estimator,
            series.one_each,
            series.size,
        )

    return {series: found[series] for series in sorted(found, key=rank)}
