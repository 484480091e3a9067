"""One model trained on one part of one split and judged on another: the smallest piece of a table.

A cell is done or not: its result is one JSON file, which appears whole when all of it is known.
Tables are made from such files alone, so a table of many hours goes on where it was killed, and can
be drawn again without training anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..recorded._writing import whole_file
from .channels import check_channels
from .tasks import Task, task_named

__all__ = ["Cell", "CellResult", "read_result", "read_results", "result_path", "write_result"]

FORMAT = "twinscope cell 1"
_DIGITS = 7  # of a float32


@dataclass(frozen=True)
class Cell:
    """What is trained on what.

    Parameters
    ----------
    task : str
        Of `tasks.TASKS`.
    channels : tuple of str
        That the model reads.
    estimator : str
        Name of its kind.
    repeat, fold : int
        Which split.
    size : int
        Training images, before augmentation; 0 for all of the training part.
    output : str
        The one property that is predicted; empty for all by one model, and for classes.
    """

    task: str
    channels: tuple[str, ...]
    estimator: str
    repeat: int = 0
    fold: int = 0
    size: int = 0
    output: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", check_channels(self.channels))
        task = task_named(self.task)
        if min(self.repeat, self.fold, self.size) < 0:
            raise ValueError("repeat, fold and size of a cell count from 0")
        if self.output and self.output not in task.properties:
            allowed = ", ".join(task.properties) or "none, it has classes"
            raise ValueError(f"task {self.task} has no property {self.output!r}: {allowed}")

    @property
    def of_task(self) -> Task:
        """The task itself."""
        return task_named(self.task)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the model of this cell answers."""
        return (self.output,) if self.output else self.of_task.outputs

    @property
    def split(self) -> str:
        """Name of the split."""
        return f"{self.repeat}.{self.fold}"

    @property
    def name(self) -> str:
        """Unique, and fit for a file."""
        parts = [self.task, "+".join(self.channels), self.estimator, self.output]
        parts += [f"n{self.size}" if self.size else "", f"r{self.repeat}f{self.fold}"]
        return re.sub(r"[^A-Za-z0-9.+_-]", "-", "_".join(filter(None, parts)))


@dataclass(frozen=True, eq=False)
class CellResult:
    """What the model of a cell said.

    Parameters
    ----------
    cell : Cell
        What was trained on what.
    key : mapping of str to str
        Hashes of data, labels, split and options: the same cell of another key is another result.
    images, groups, samples : tuple of str, length n
        Run and event, group and sample of each test image.
    true : ndarray, shape (n,) or (n, outputs)
        Numbers of the classes, or values of the properties.
    predicted : ndarray, shape (n, outputs)
        Probabilities of the classes, or values.
    validation_true, validation_predicted : ndarray
        The same of the validation part, by which probabilities are calibrated.
    trained : int
        Images of the training part, before augmentation.
    fit_s, predict_s : float
        Wall time of the training and of the prediction of all test images.
    """

    cell: Cell
    key: Mapping[str, str]
    images: tuple[str, ...]
    groups: tuple[str, ...]
    samples: tuple[str, ...]
    true: NDArray[np.generic]
    predicted: NDArray[np.float64]
    validation_true: NDArray[np.generic]
    validation_predicted: NDArray[np.float64]
    trained: int
    fit_s: float
    predict_s: float


def result_path(folder: Path, cell: Cell) -> Path:
    """Return where the result of a cell is kept."""
    return folder / "cells" / f"{cell.name}.json"


def write_result(folder: Path, result: CellResult) -> Path:
    """Write the result of a cell, whole or not at all.

    Parameters
    ----------
    folder : Path
        Of the whole table.
    result : CellResult

    Returns
    -------
    Path
        The file.
    """
    path = result_path(folder, result.cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "cell": asdict(result.cell),
        "key": dict(result.key),
        "outputs": list(result.cell.outputs),
        "images": list(result.images),
        "groups": list(result.groups),
        "samples": list(result.samples),
        "true": result.true.tolist(),
        "predicted": _rounded(result.predicted),
        "validation_true": result.validation_true.tolist(),
        "validation_predicted": _rounded(result.validation_predicted),
        "trained": result.trained,
        "fit_s": round(result.fit_s, 3),
        "predict_s": round(result.predict_s, 3),
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    return path


def read_result(path: Path) -> CellResult:
    """Read the result of a cell.

    Raises
    ------
    ValueError
        It is none, or one of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"not of the format {FORMAT!r}")
        return _result(document)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path.name} is no result of a cell ({error}): delete it to have it done again"
        ) from None


def read_results(folder: str | Path) -> list[CellResult]:
    """Read the results of all finished cells of a folder, ordered by name.

    Raises
    ------
    ValueError
        There are none, or one cannot be read.
    """
    paths = sorted((Path(folder) / "cells").glob("[!.]*.json"))
    if not paths:
        raise ValueError(f"no cell is finished in {folder}")
    return [read_result(path) for path in paths]


def _result(document: Mapping[str, Any]) -> CellResult:
    told = document["cell"]
    cell = Cell(**{**told, "channels": tuple(told["channels"])})
    kind = np.intp if cell.of_task.is_classification else np.float64
    width = len(cell.outputs)
    return CellResult(
        cell=cell,
        key=document["key"],
        images=tuple(document["images"]),
        groups=tuple(document["groups"]),
        samples=tuple(document["samples"]),
        true=np.asarray(document["true"], dtype=kind),
        predicted=np.asarray(document["predicted"], dtype=np.float64).reshape(-1, width),
        validation_true=np.asarray(document["validation_true"], dtype=kind),
        validation_predicted=np.asarray(document["validation_predicted"], dtype=np.float64).reshape(
            -1, width
        ),
        trained=int(document["trained"]),
        fit_s=float(document["fit_s"]),
        predict_s=float(document["predict_s"]),
    )


def _rounded(values: NDArray[np.float64]) -> list[list[float]]:
    return [[float(f"{value:.{_DIGITS}g}") for value in row] for row in values.tolist()]
