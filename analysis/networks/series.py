"""The cells that make one figure: the same question, channels and model over all splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..evaluation import Classified, Regressed, fit_temperature, tempered
from .cells import CellResult
from .tasks import Task, task_named

__all__ = [
    "ClassSeries",
    "Series",
    "ValueSeries",
    "class_series",
    "joined_properties",
    "on_common",
    "value_series",
]

_Outcomes = TypeVar("_Outcomes", Classified, Regressed)


@dataclass(frozen=True)
class Series:
    """What the cells of a figure have in common.

    Parameters
    ----------
    task, channels, estimator, size
        As of `Cell`.
    one_each : bool
        Whether each property has a model of its own.
    """

    task: str
    channels: tuple[str, ...]
    estimator: str
    size: int = 0
    one_each: bool = False

    @property
    def of_task(self) -> Task:
        """The task itself."""
        return task_named(self.task)

    @property
    def channel(self) -> str:
        """The channels in words."""
        return channel_words(self.channels)


@dataclass(frozen=True, eq=False)
class ClassSeries:
    """Predicted classes over all splits.

    Parameters
    ----------
    outcomes : Classified
        As the models said it.
    calibrated : Classified
        With the temperature of each model's validation part.
    temperatures : tuple of float
        One a split; 1 where there is no validation part.
    trained : float
        Mean number of training images, before augmentation.
    fit_s, predict_s : float
        Mean wall time of a training, and of the prediction of one image.
    """

    outcomes: Classified
    calibrated: Classified
    temperatures: tuple[float, ...]
    trained: float
    fit_s: float
    predict_s: float


@dataclass(frozen=True, eq=False)
class ValueSeries:
    """Predicted properties over all splits.

    Parameters
    ----------
    outcomes : Regressed
        Those properties of which all splits are done.
    trained : float
        Mean number of training images, before augmentation.
    """

    outcomes: Regressed
    trained: float


def channel_words(channels: Sequence[str]) -> str:
    """Return names of channels as they are printed."""
    return " + ".join(name.replace("_", " ").replace("dmt", "DMT") for name in channels)


def class_series(results: Iterable[CellResult]) -> dict[Series, ClassSeries]:
    """Gather the results of classifications.

    Parameters
    ----------
    results : iterable of CellResult
        Others are left out.

    Raises
    ------
    ValueError
        Cells of one series are not of the same images.
    """
    return {
        series: _class_series(own)
        for series, own in _gathered(results).items()
        if series.of_task.is_classification
    }


def value_series(results: Iterable[CellResult]) -> dict[Series, ValueSeries]:
    """Gather the results of regressions; parameters and errors as of `class_series`."""
    return {
        series: _value_series(own)
        for series, own in _gathered(results).items()
        if not series.of_task.is_classification
    }


def on_common(first: _Outcomes, second: _Outcomes) -> tuple[_Outcomes, _Outcomes] | None:
    """Return both models' predictions of the images and splits that both have, if there are any."""
    common = set(_keys(first)) & set(_keys(second))
    if not common:
        return None
    return _kept(first, common), _kept(second, common)


def joined_properties(parts: Sequence[Regressed]) -> Regressed:
    """Return the predictions of models of one property each as those of one model.

    Parameters
    ----------
    parts : sequence of Regressed
        Rows that all of them have are kept.
    """
    keys = [_keys(one) for one in parts]
    common = set(keys[0]).intersection(*keys[1:])
    kept = [key for key in keys[0] if key in common]
    places = [{key: place for place, key in enumerate(own)} for own in keys]
    rows = [np.array([place[key] for key in kept], dtype=np.intp) for place in places]
    first = _taken(parts[0], rows[0])
    return replace(
        first,
        properties=tuple(name for one in parts for name in one.properties),
        true=np.hstack([one.true[own] for one, own in zip(parts, rows, strict=True)]),
        predicted=np.hstack([one.predicted[own] for one, own in zip(parts, rows, strict=True)]),
    )


def _gathered(results: Iterable[CellResult]) -> Mapping[Series, list[CellResult]]:
    found: dict[Series, list[CellResult]] = defaultdict(list)
    for result in results:
        cell = result.cell
        series = Series(cell.task, cell.channels, cell.estimator, cell.size, bool(cell.output))
        found[series].append(result)
    for series, own in found.items():
        if len({result.key["data"] for result in own}) > 1:
            raise ValueError(
                f"cells of {series.task}, {series.channel}, {series.estimator} are of different "
                "images: make tables of each folder alone"
            )
        own.sort(key=lambda result: (result.cell.repeat, result.cell.fold))
    return found


def _class_series(results: Sequence[CellResult]) -> ClassSeries:
    outcomes = Classified(
        images=_joined(result.images for result in results),
        groups=_joined(result.groups for result in results),
        classes=results[0].cell.outputs,
        true=np.concatenate([result.true for result in results]).astype(np.intp),
        probabilities=np.concatenate([result.predicted for result in results]),
        splits=_splits(results),
    )
    temperatures = tuple(_temperature(result) for result in results)
    calibrated = np.concatenate(
        [
            tempered(result.predicted, temperature)
            for result, temperature in zip(results, temperatures, strict=True)
        ]
    )
    return ClassSeries(
        outcomes=outcomes,
        calibrated=outcomes.with_probabilities(calibrated),
        temperatures=temperatures,
        trained=float(np.mean([result.trained for result in results])),
        fit_s=float(np.mean([result.fit_s for result in results])),
        predict_s=sum(result.predict_s for result in results) / len(outcomes),
    )


def _temperature(result: CellResult) -> float:
    if result.validation_true.size == 0:
        return 1.0
    return fit_temperature(result.validation_predicted, result.validation_true.astype(np.intp))


def _value_series(results: Sequence[CellResult]) -> ValueSeries:
    by_output: dict[tuple[str, ...], list[CellResult]] = defaultdict(list)
    for result in results:
        by_output[result.cell.outputs].append(result)
    order = {name: place for place, name in enumerate(results[0].cell.of_task.properties)}
    parts = [
        Regressed(
            images=_joined(result.images for result in own),
            groups=_joined(result.groups for result in own),
            samples=_joined(result.samples for result in own),
            properties=outputs,
            true=_column(result.true for result in own),
            predicted=np.concatenate([result.predicted for result in own]),
            splits=_splits(own),
        )
        for outputs, own in sorted(by_output.items(), key=lambda pair: order[pair[0][0]])
    ]
    return ValueSeries(
        outcomes=joined_properties(parts),
        trained=float(np.mean([result.trained for result in results])),
    )


def _column(parts: Iterable[NDArray[np.generic]]) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for part in parts for name in part)


def _splits(results: Iterable[CellResult]) -> tuple[str, ...]:
    return tuple(result.cell.split for result in results for _ in result.images)


def _keys(outcomes: Classified | Regressed) -> list[tuple[str, str]]:
    return list(zip(outcomes.images, outcomes.splits, strict=True))


def _kept(outcomes: _Outcomes, keys: set[tuple[str, str]]) -> _Outcomes:
    return _taken(outcomes, np.flatnonzero([key in keys for key in _keys(outcomes)]))


def _taken(outcomes: _Outcomes, rows: NDArray[np.intp]) -> _Outcomes:
    def some(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(names[int(row)] for row in rows)

    common = {
        "images": some(outcomes.images),
        "groups": some(outcomes.groups),
        "splits": some(outcomes.splits),
        "true": outcomes.true[rows],
    }
    if isinstance(outcomes, Classified):
        return replace(outcomes, **common, probabilities=outcomes.probabilities[rows])
    return replace(
        outcomes, **common, samples=some(outcomes.samples), predicted=outcomes.predicted[rows]
    )
