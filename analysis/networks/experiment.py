"""Training and judging the cells of a table, one after another, each but once.

All models of a task see the same splits of the same images, so that they can be compared image by
image. Splits are of whole groups and are made before a label is shuffled or an image left out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import ImageSet, Split, grouped_splits, split_groups
from .cells import Cell, CellResult, read_result, result_path, write_result
from .channels import Problem, check_units
from .estimators import ESTIMATORS, Estimator, Factory
from .options import TrainingOptions
from .tasks import Task, task_named

__all__ = [
    "CellProgress",
    "Experiment",
    "Plan",
    "shuffled_labels",
    "smaller",
]


@dataclass(frozen=True)
class Plan:
    """How all cells of a table are split and trained.

    Parameters
    ----------
    folds, repeats : int
        Of the splits.
    validation : float
        Share of what is not tested.
    seed : int
        Of splits, models and shuffled labels.
    by : tuple of str
        What keeps images on one side of a split.
    options : mapping of str to TrainingOptions
        Of networks, by their names; the defaults for one that is not named.
    """

    folds: int = 5
    repeats: int = 1
    validation: float = 0.2
    seed: int = 0
    by: tuple[str, ...] = ("session", "field")
    options: Mapping[str, TrainingOptions] = field(default_factory=dict)


@dataclass(frozen=True)
class CellProgress:
    """How far a table is.

    Parameters
    ----------
    cell : Cell
        The one at work, or just finished.
    done, cells : int
        Finished ones and all.
    detail : object
        What its estimator reports; None before and after.
    """

    cell: Cell
    done: int
    cells: int
    detail: object = None


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The images of a cell, their split and targets, and the hashes of all of it."""

    images: ImageSet
    split: Split
    targets: Any
    key: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Experiment:
    """Image sets, and the folder in which the results of their cells are kept.

    Parameters
    ----------
    sets : sequence of ImageSet
        A task takes the first that has its channels and samples.
    folder : Path
        ``cells/`` in it holds the results, ``work/`` what is half done, ``features/`` what was
        measured of the images for those estimators whose names begin so.
    plan : Plan
        Splits and options.
    properties : mapping
        Of each sample, by name, the values of the properties.
    estimators : mapping of str to callable, optional
        Factories; those of `analysis.networks` unless given.
    """

    sets: Sequence[ImageSet]
    folder: Path
    plan: Plan = field(default_factory=Plan)
    properties: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    estimators: Mapping[str, Factory] = field(default_factory=lambda: ESTIMATORS)

    def cells(
        self,
        tasks: Iterable[str],
        channels: Iterable[tuple[str, ...]],
        estimators: Iterable[str],
        *,
        sizes: Iterable[int] = (0,),
        one_each: bool = False,
    ) -> list[Cell]:
        """Return the cells of all combinations, split by split.

        Parameters
        ----------
        tasks, channels, estimators
            What to combine.
        sizes : iterable of int
            Of the training part; 0 for all of it.
        one_each : bool
            A model for each property, as the note's, instead of one for all.
        """
        kinds = list(estimators)
        return [
            Cell(task, chosen, kind, repeat, fold, size, output)
            for repeat in range(self.plan.repeats)
            for fold in range(self.plan.folds)
            for task in tasks
            for chosen in channels
            for output in (task_named(task).properties if one_each else ("",)) or ("",)
            for size in sizes
            for kind in kinds
        ]

    def run(
        self,
        cells: Sequence[Cell],
        progress: Callable[[CellProgress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> list[CellResult]:
        """Do what is not done yet.

        Parameters
        ----------
        cells : sequence of Cell
            In the order in which they are done.
        progress : callable, optional
            Called before, within and after each cell.
        stop : callable, optional
            Asked before each cell; True ends the work.

        Returns
        -------
        list of CellResult
            Of all that are finished.

        Raises
        ------
        ValueError
            A cell cannot be done, or was done on other data; said before any is trained.
        """
        for cell in dict.fromkeys(cells):
            self._check(cell)
        report = progress or _silent
        found = []
        for done, cell in enumerate(cells):
            if stop is not None and stop():
                break
            report(CellProgress(cell, done, len(cells)))
            found.append(self._result(cell, _within(report, cell, done, len(cells))))
            report(CellProgress(cell, done + 1, len(cells)))
        return found

    @cached_property
    def _splits(self) -> dict[tuple[Any, ...], list[Split]]:
        return {}

    def _set_of(self, task: Task, channels: Sequence[str]) -> ImageSet:
        """The first set that has the channels and the samples, with all of its channels."""
        for image_set in self.sets:
            if set(channels) <= set(image_set.channels) and set(task.samples) <= set(
                image_set.samples
            ):
                check_units(channels, image_set.units)
                return image_set.only(samples=task.samples)
        raise ValueError(
            f"no image set has {', '.join(channels)} of {', '.join(task.samples)}: "
            + "; ".join(
                f"{one.path.name} has {', '.join(one.channels)} of {', '.join(one.samples)}"
                for one in self.sets
            )
        )

    def _split_of(self, cell: Cell, images: ImageSet) -> Split:
        key = (images.path, images.rows)
        if key not in self._splits:
            self._splits[key] = grouped_splits(
                images,
                folds=self.plan.folds,
                repeats=self.plan.repeats,
                validation=self.plan.validation,
                seed=self.plan.seed,
                by=self.plan.by,
            )
        split = self._splits[key][cell.repeat * self.plan.folds + cell.fold]
        if not cell.size:
            return split
        return smaller(split, images.labels(), cell.size, self.plan.seed)

    def _targets(self, cell: Cell, images: ImageSet) -> Any:
        """Names of classes, or an array of values, an image each."""
        task = cell.of_task
        if task.is_classification:
            labels = images.labels()
            return shuffled_labels(images, self.plan.seed, cell.repeat) if task.shuffled else labels
        table = {name: self._values(name, cell.outputs) for name in task.samples}
        return np.array([table[name] for name in images.labels()], dtype=np.float64)

    def _values(self, sample: str, names: Sequence[str]) -> list[float]:
        known = self.properties.get(sample, {})
        missing = [name for name in names if name not in known]
        if missing:
            raise ValueError(f"no {missing[0]} of sample {sample} is given")
        return [float(known[name]) for name in names]

    def _prepared(self, cell: Cell) -> _Prepared:
        images = self._set_of(cell.of_task, cell.channels)
        chosen = images.only(channels=cell.channels)
        split = self._split_of(cell, images)
        targets = self._targets(cell, images)
        options = self.plan.options.get(cell.estimator)
        key = {
            "data": chosen.content_hash,
            "split": _digest([split.train, split.validation, split.test]),
            "labels": _digest(np.asarray(targets).tolist()),
            "options": _digest([self.plan.seed, asdict(options) if options else None]),
        }
        return _Prepared(chosen, split, targets, key)

    def _check(self, cell: Cell) -> None:
        self._factory(cell)
        if cell.repeat >= self.plan.repeats or cell.fold >= self.plan.folds:
            raise ValueError(
                f"cell {cell.name}: there are {self.plan.repeats} repeats of {self.plan.folds} "
                "folds, counted from 0"
            )
        key = self._prepared(cell).key
        path = result_path(self.folder, cell)
        if path.exists() and dict(read_result(path).key) != key:
            raise ValueError(
                f"{path.name} in {self.folder} is of other images, labels, splits or options: "
                "choose another folder, or delete it to have it done again"
            )

    def _factory(self, cell: Cell) -> Factory:
        if cell.estimator not in self.estimators:
            known = ", ".join(self.estimators)
            raise ValueError(f"no estimator {cell.estimator!r}: choose of {known}")
        return self.estimators[cell.estimator]

    def _result(self, cell: Cell, report: Callable[[object], None]) -> CellResult:
        path = result_path(self.folder, cell)
        if path.exists():
            return read_result(path)
        prepared = self._prepared(cell)
        own, shared = self.folder / "work" / cell.name, self.folder / "features"
        estimator = self._factory(cell)(
            Problem(cell.of_task.kind, cell.channels, cell.outputs, prepared.images.shape),
            seed=self.plan.seed + cell.repeat * self.plan.folds + cell.fold,
            folder=shared if cell.estimator.startswith("features") else own,
            options=self.plan.options.get(cell.estimator),
            progress=report,
        )
        result = _judged(cell, prepared, estimator, self.plan.by)
        written = write_result(self.folder, result)
        shutil.rmtree(own, ignore_errors=True)  # a network of 50 layers is 90 MB a cell
        return read_result(written)  # the same to the last digit as when it is found again


def _judged(cell: Cell, prepared: _Prepared, estimator: Estimator, by: Sequence[str]) -> CellResult:
    """Train and ask."""
    images, split = prepared.images, prepared.split
    begin = time.perf_counter()
    estimator.fit(images, prepared.targets, split)
    fitted = time.perf_counter()
    predicted = np.asarray(estimator.predict(images, split.test), dtype=np.float64)
    ended = time.perf_counter()
    validated = np.empty((0, len(cell.outputs)))
    if split.validation:
        validated = np.asarray(estimator.predict(images, split.validation), dtype=np.float64)
    numbers = _numbers(cell, prepared.targets)
    groups = split_groups(images.records, by)
    records = [images.records[index] for index in split.test]
    return CellResult(
        cell=cell,
        key=prepared.key,
        images=tuple(f"{record.run_uid}/{record.event}" for record in records),
        groups=tuple(str(groups[index]) for index in split.test),
        samples=tuple(record.sample for record in records),
        true=numbers[list(split.test)],
        predicted=predicted,
        validation_true=numbers[list(split.validation)],
        validation_predicted=validated,
        trained=len(split.train),
        fit_s=fitted - begin,
        predict_s=ended - fitted,
    )


def smaller(split: Split, labels: Sequence[str], size: int, seed: int) -> Split:
    """Return the split with fewer training images, as many of each class as can be.

    Parameters
    ----------
    split : Split
    labels : sequence of str
        Of all images of the set.
    size : int
        Training images; those of a smaller size are among those of a larger one.
    seed : int
        Which are taken.

    Raises
    ------
    ValueError
        There are not as many, or fewer than one of each class would be left.
    """
    classes = sorted({labels[index] for index in split.train})
    if not len(classes) <= size <= len(split.train):
        raise ValueError(
            f"a training part of {size} images: it has {len(classes)} classes and "
            f"{len(split.train)} images, so between these"
        )
    order = np.random.default_rng((seed, len(split.train))).permutation(np.asarray(split.train))
    rank: dict[str, int] = dict.fromkeys(classes, 0)
    placed: list[tuple[int, int]] = []
    for index in map(int, order):
        placed.append((rank[labels[index]], index))
        rank[labels[index]] += 1
    placed.sort(key=lambda pair: pair[0])  # stable: turn by turn through the classes
    return Split(
        train=tuple(index for _, index in placed[:size]),
        validation=split.validation,
        test=split.test,
    )


def shuffled_labels(images: ImageSet, seed: int, repeat: int) -> tuple[str, ...]:
    """Return labels that say nothing: exchanged among the fields, an image each.

    Images of one field keep one label, so that a field on both sides of a split would show: what
    was learnt of it in training is then right in the test.

    Parameters
    ----------
    images : ImageSet
    seed, repeat : int
        Which exchange.
    """
    fields = [(record.sample, record.session, record.field) for record in images.records]
    names = list(dict.fromkeys(fields))
    drawn = np.random.default_rng((seed, repeat)).permutation(len(names))
    label = {name: names[place][0] for name, place in zip(names, drawn.tolist(), strict=True)}
    return tuple(label[name] for name in fields)


def _numbers(cell: Cell, targets: Any) -> NDArray[Any]:
    if not cell.of_task.is_classification:
        return np.asarray(targets, dtype=np.float64)
    place = {name: number for number, name in enumerate(cell.outputs)}
    return np.array([place[name] for name in targets], dtype=np.intp)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _within(
    report: Callable[[CellProgress], None], cell: Cell, done: int, cells: int
) -> Callable[[object], None]:
    return lambda detail: report(CellProgress(cell, done, cells, detail))


def _silent(_: CellProgress) -> None:
    return None
