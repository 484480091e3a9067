"""Is one channel, or one model, really better than another?

On the same images the difference is far better known than either accuracy. Its interval comes from
a bootstrap of the groups, its significance from exchanging the two models within whole groups (a
permutation test of matched pairs), beside the exact test of McNemar (Psychometrika 12, 153 (1947))
for independent images. Different images: the interval of a difference from the two intervals (Zou
and Donner, Statistics in Medicine 27, 1693 (2008)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .accuracy import by_image
from .intervals import CONFIDENCE, Interval, bootstrap, group_codes, mean_interval
from .outcomes import Classified, Regressed
from .regression import r2_of_sums, r2_terms

__all__ = [
    "Comparison",
    "compare_accuracy",
    "compare_r2",
    "holm",
    "independent_difference",
    "mcnemar",
]

_EXCHANGES = 9999
_Outcomes = TypeVar("_Outcomes", Classified, Regressed)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Parameters
    ----------
    difference : Interval
        First less second, of accuracy or R².
    p_groups : float
        Probability of a difference as large if the two were alike, from exchanges within groups.
    p_mcnemar : float
        The same for independent images, from the first split that has each; NaN for R².
    only_first, only_second : int
        Images that only the one told, in that split; 0 for R².
    images, groups : int
        On which both were judged.
    """

    difference: Interval
    p_groups: float
    p_mcnemar: float
    only_first: int
    only_second: int
    images: int
    groups: int

    @property
    def verdict(self) -> str:
        """The interval in words."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no difference shown"


def compare_accuracy(
    first: Classified, second: Classified, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare the accuracies of two models, or of two channels, on the same images.

    Parameters
    ----------
    first, second : Classified
        Rows are matched by image and split; all images of the one are in the other.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        They are not predictions of the same images, or the images are of less than two groups.
    """
    rows = _matched(first, second)
    if not np.array_equal(first.true, second.true[rows]):
        raise ValueError("the two models have other true classes of the same images")
    right = first.correct, second.correct[rows]
    gain = right[0].astype(np.float64) - right[1]
    values, _, groups = by_image(first, gain)
    only = _first_predictions(first.images)
    wins, losses = int((gain[only] > 0).sum()), int((gain[only] < 0).sum())
    return Comparison(
        difference=mean_interval(values, groups, confidence),
        p_groups=_exchanged(values, groups),
        p_mcnemar=mcnemar(wins, losses),
        only_first=wins,
        only_second=losses,
        images=len(values),
        groups=len(set(groups)),
    )


def compare_r2(
    first: Regressed, second: Regressed, name: str, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare R² of one property of two models, or of two channels, on the same images.

    Parameters
    ----------
    first, second : Regressed
        As for `compare_accuracy`.
    name : str
        Of the property.
    confidence : float
        Between 0 and 1.
    """
    rows = _matched(first, second)
    true, one = first.column(name)
    other_true, other = (values[rows] for values in second.column(name))
    if not np.array_equal(true, other_true):
        raise ValueError(f"the two models have other true values of {name} of the same images")
    terms = np.hstack([r2_terms(true, one), r2_terms(true, other)])
    return Comparison(
        difference=bootstrap(
            terms,
            lambda sums: r2_of_sums(sums[:, :4]) - r2_of_sums(sums[:, 4:]),
            first.groups,
            confidence=confidence,
        ),
        p_groups=_exchanged((other - true) ** 2 - (one - true) ** 2, first.groups),
        p_mcnemar=math.nan,
        only_first=0,
        only_second=0,
        images=len(set(first.images)),
        groups=len(set(first.groups)),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided probability of McNemar's exact test.

    Parameters
    ----------
    only_first, only_second : int
        Images that only the one model told.
    """
    if only_first + only_second == 0:
        return 1.0
    from scipy import stats  # takes long to import

    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def independent_difference(first: Interval, second: Interval) -> Interval:
    """Return the difference of two figures of different images.

    Parameters
    ----------
    first, second : Interval
        Of the same confidence.
    """
    if first.confidence != second.confidence:
        raise ValueError(
            f"intervals of {first.confidence:.0%} and {second.confidence:.0%} cannot be joined"
        )
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, value - below, value + above, first.confidence)


def holm(probabilities: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities of several tests adjusted for their number.

    Parameters
    ----------
    probabilities : sequence of float
        One a test.

    Returns
    -------
    tuple of float
        In the same order (Holm, Scandinavian Journal of Statistics 6, 65 (1979)).
    """
    values = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(values)
    raised = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(raised, 1.0)
    return tuple(adjusted.tolist())


def _matched(first: _Outcomes, second: _Outcomes) -> NDArray[np.intp]:
    """Rows of `second` in the order of `first`."""
    keys = [_keys(outcomes) for outcomes in (first, second)]
    places = {key: place for place, key in enumerate(keys[1])}
    missing = len(set(keys[0]) ^ set(keys[1]))
    if missing or len(places) != len(keys[1]):
        raise ValueError(
            f"{missing} predictions of one model have no partner of the other: only predictions "
            "of the same images in the same splits are compared"
        )
    return np.array([places[key] for key in keys[0]], dtype=np.intp)


def _keys(outcomes: Classified | Regressed) -> list[tuple[str, str]]:
    splits = outcomes.splits or [""] * len(outcomes)
    return list(zip(outcomes.images, splits, strict=True))


def _first_predictions(images: Sequence[str]) -> list[int]:
    """Row of the first prediction of each image."""
    found: dict[str, int] = {}
    for row, image in enumerate(images):
        found.setdefault(image, row)
    return list(found.values())


def _exchanged(gains: NDArray[np.float64], groups: Sequence[str]) -> float:
    """Two-sided probability of the sum of the gains when the models are exchanged by groups."""
    from scipy import stats  # takes long to import

    codes, count = group_codes(groups, gains.size)
    sums = np.bincount(codes, weights=gains, minlength=count)
    if not sums.any():
        return 1.0
    found = stats.permutation_test(
        (sums,),
        lambda values, axis: np.sum(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_EXCHANGES,
        batch=1000,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
