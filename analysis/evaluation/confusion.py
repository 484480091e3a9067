"""Which class is taken for which? Bruker application note 155, figs. 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .intervals import CONFIDENCE, Interval, clopper_pearson
from .outcomes import Classified

__all__ = ["Confusion", "confusion", "confusion_of"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """A confusion matrix.

    Parameters
    ----------
    classes : tuple of str, length k
        Names.
    counts : ndarray of int, shape (k, k)
        Predictions; the first index is the true class, the second the predicted one.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """All predictions."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of right ones."""
        return float(np.trace(self.counts)) / self.total

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of each true class the shares of the predicted ones, shape (k, k); NaN for no images."""
        with np.errstate(invalid="ignore"):
            return self.counts / self.counts.sum(axis=1, keepdims=True)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the images of each class that are told as it, shape (k,)."""
        return np.diag(self.shares)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the images told as each class that are of it, shape (k,); NaN for none."""
        with np.errstate(invalid="ignore"):
            return np.diag(self.counts) / self.counts.sum(axis=0)

    @property
    def chance(self) -> float:
        """Accuracy if what is predicted knew nothing of what is true."""
        return float(self.counts.sum(axis=0) @ self.counts.sum(axis=1)) / self.total**2

    def exact_interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the accuracy with the interval of Clopper and Pearson: independent images."""
        return clopper_pearson(int(np.trace(self.counts)), self.total, confidence)


def confusion(true: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Confusion:
    """Count which class was predicted for which.

    Parameters
    ----------
    true, predicted : sequence of str, length n
        Names of classes.
    classes : sequence of str
        In the order of the matrix.

    Raises
    ------
    ValueError
        There is nothing to count, or a name is not among the classes.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for name in (*true, *predicted):
        if name not in numbers:
            raise ValueError(f"class {name!r} is not one of {', '.join(classes)}")
    if len(true) != len(predicted) or not true:
        raise ValueError(
            f"{len(true)} true and {len(predicted)} predicted classes do not make a matrix"
        )
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, ([numbers[n] for n in true], [numbers[n] for n in predicted]), 1)
    return Confusion(tuple(classes), counts)


def confusion_of(outcomes: Classified) -> Confusion:
    """Count the predictions of `outcomes`, all splits together."""
    counts = np.zeros((len(outcomes.classes),) * 2, dtype=np.int64)
    np.add.at(counts, (outcomes.true, outcomes.predicted), 1)
    return Confusion(tuple(outcomes.classes), counts)
