"""What does it cost to say nothing where a model should not speak?

A novelty above a threshold makes the model abstain. The curve shows which share of images of
unknown kind is caught at which share of known ones lost (a receiver operating characteristic). A
threshold that loses a given share of new known images at most comes from the order statistics of
known ones (split conformal prediction: Angelopoulos and Bates, arXiv:2107.07511, section 1). Of
known images, those of low confidence can be left out as well: accuracy against coverage (El-Yaniv
and Wiener, J. Mach. Learn. Res. 11, 1605 (2010)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import CONFIDENCE, Interval, clopper_pearson, grouped_proportion

__all__ = [
    "AbstentionCurve",
    "Coverage",
    "abstained",
    "abstention_curve",
    "abstention_threshold",
    "coverage",
]

ALLOWED = 0.05  # of known images


@dataclass(frozen=True, eq=False)
class AbstentionCurve:
    """Which shares of images are abstained on, threshold by threshold.

    Parameters
    ----------
    thresholds : ndarray, shape (n,)
        Falling; images with a novelty above one are abstained on. The first is infinite.
    known, unknown : ndarray, shape (n,)
        Shares of the images of known and of unknown kind.
    """

    thresholds: NDArray[np.float64]
    known: NDArray[np.float64]
    unknown: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Probability that an unknown image is more novel than a known one, 0 to 1."""
        return float(np.trapezoid(self.unknown, self.known))

    def best(self, known: float = ALLOWED) -> tuple[float, float, float]:
        """Return threshold, known and unknown share where at most `known` of the known is lost."""
        place = int(np.searchsorted(self.known, known + 1e-12, side="right")) - 1
        return (
            float(self.thresholds[place]),
            float(self.known[place]),
            float(self.unknown[place]),
        )


@dataclass(frozen=True, eq=False)
class Coverage:
    """Accuracy of the images that are kept, most confident first.

    Parameters
    ----------
    coverage, accuracy : ndarray, shape (n,)
        Share of the images that are kept, and how many of these are right.
    """

    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def risk(self) -> float:
        """Mean error over all coverages, 0 to 1."""
        return float(1.0 - self.accuracy.mean())

    def at(self, coverage: float) -> float:
        """Return the accuracy where a share `coverage` of the images is kept at least."""
        place = math.ceil(coverage * self.coverage.size - 1e-9) - 1
        return float(self.accuracy[max(place, 0)])


def abstention_curve(known: ArrayLike, unknown: ArrayLike) -> AbstentionCurve:
    """Return the curve of two sets of novelties.

    Parameters
    ----------
    known, unknown : array_like, shape (n,) and (m,)
        Novelty of each image; higher is stranger.
    """
    first, second = _scores(known, "known"), _scores(unknown, "unknown")
    levels = np.unique(np.concatenate([first, second]))[::-1]
    thresholds = np.concatenate([[np.inf], levels, [-np.inf]])
    return AbstentionCurve(
        thresholds=thresholds,
        known=_above(first, thresholds),
        unknown=_above(second, thresholds),
    )


def abstention_threshold(novelty: ArrayLike, allowed: float = ALLOWED) -> float:
    """Return the threshold that a share `allowed` of new known images exceeds at most.

    Parameters
    ----------
    novelty : array_like, shape (n,)
        Of known images that the model was not trained on.
    allowed : float
        Between 0 and 1.

    Returns
    -------
    float
        Infinite where there are too few images to promise it.
    """
    values = np.sort(_scores(novelty, "known"))
    if not 0.0 < allowed < 1.0:
        raise ValueError(f"an allowed share of {allowed:g} is not between 0 and 1")
    rank = math.ceil((values.size + 1) * (1.0 - allowed) - 1e-9)
    return float(values[rank - 1]) if rank <= values.size else math.inf


def abstained(
    novelty: ArrayLike,
    threshold: float,
    groups: Sequence[object] | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the share of images that a threshold abstains on, with its interval.

    Parameters
    ----------
    novelty : array_like, shape (n,)
        Of each image.
    threshold : float
        Above it is abstained.
    groups : sequence, shape (n,), optional
        Images of different groups are independent; all are where none are given.
    confidence : float
        Between 0 and 1.
    """
    above = _scores(novelty, "these") > threshold
    if groups is None:
        return clopper_pearson(int(above.sum()), above.size, confidence)
    return grouped_proportion(above, groups, confidence)


def coverage(confidence: ArrayLike, correct: ArrayLike) -> Coverage:
    """Return the accuracy of the most confident images, for each number of them.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        Higher is surer.
    correct : array_like of bool, shape (n,)
        Whether each was right.

    Returns
    -------
    Coverage
        Images of equal confidence share their mean.
    """
    values = _scores(confidence, "these")
    right = np.asarray(correct, dtype=np.float64)
    if right.shape != values.shape:
        raise ValueError(f"{right.size} verdicts were given for {values.size} confidences")
    _, kind = np.unique(-values, return_inverse=True)
    mean = np.bincount(kind, weights=right) / np.bincount(kind)
    ordered = mean[np.sort(kind)]
    number = np.arange(1, values.size + 1)
    return Coverage(coverage=number / values.size, accuracy=np.cumsum(ordered) / number)


def _above(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(values)
    return (values.size - np.searchsorted(ordered, thresholds, side="right")) / values.size


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} images: there are no scores, one number each is needed")
    if np.isnan(array).any():
        raise ValueError(f"{name} images: a score is not a number")
    return array
