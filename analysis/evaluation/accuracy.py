"""How often is the class right, over repeated grouped splits?

Each image counts once, with the share of the splits in which it was told: images that were
predicted more often do not weigh more, and repeats do not pass for more images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import CONFIDENCE, Interval, grouped_proportion
from .outcomes import Classified

__all__ = ["Accuracy", "accuracy", "by_image"]


@dataclass(frozen=True)
class Accuracy:
    """How often the class was right.

    Parameters
    ----------
    interval : Interval
        Over the groups of images.
    images, groups, splits : int
        How many different ones.
    spread : float
        Standard deviation of the accuracy from split to split; NaN for one split.
    """

    interval: Interval
    images: int
    groups: int
    splits: int
    spread: float

    @property
    def value(self) -> float:
        """The accuracy, 0 to 1."""
        return self.interval.value


def accuracy(outcomes: Classified, confidence: float = CONFIDENCE) -> Accuracy:
    """Return the accuracy with its interval.

    Parameters
    ----------
    outcomes : Classified
        Of one split or many, images of two groups at least.
    confidence : float
        Between 0 and 1.
    """
    shares, _, groups = by_image(outcomes, outcomes.correct)
    splits = _split_scores(outcomes)
    return Accuracy(
        interval=grouped_proportion(shares, groups, confidence),
        images=len(shares),
        groups=len(set(groups)),
        splits=splits.size,
        spread=float(splits.std(ddof=1)) if splits.size > 1 else float("nan"),
    )


def by_image(
    outcomes: Classified, values: ArrayLike
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    """Return the mean over the splits of `values`, an image a row, with images and groups.

    Parameters
    ----------
    outcomes : Classified
        Says which image each row is of.
    values : array_like, shape (n,)
        One a row of `outcomes`.

    Raises
    ------
    ValueError
        An image is in two groups.
    """
    rows, images, groups = _numbered(outcomes.images, outcomes.groups)
    counts = np.bincount(rows)
    return np.bincount(rows, weights=np.asarray(values, float)) / counts, images, groups


def _numbered(
    images: Sequence[str], groups: Sequence[str]
) -> tuple[NDArray[np.intp], tuple[str, ...], tuple[str, ...]]:
    numbers: dict[str, int] = {}
    group_of: dict[str, str] = {}
    for image, group in zip(images, groups, strict=True):
        numbers.setdefault(image, len(numbers))
        if group_of.setdefault(image, group) != group:
            raise ValueError(f"image {image} is in group {group_of[image]} and in group {group}")
    rows = np.array([numbers[image] for image in images], dtype=np.intp)
    return rows, tuple(numbers), tuple(group_of.values())


def _split_scores(outcomes: Classified) -> NDArray[np.float64]:
    if not outcomes.splits:
        return np.array([outcomes.correct.mean()])
    splits = np.asarray(outcomes.splits)
    return np.array([outcomes.correct[splits == name].mean() for name in np.unique(splits)])
