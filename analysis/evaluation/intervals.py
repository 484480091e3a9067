"""How sure is a measured figure? Intervals for few images, and for images that come in groups.

Images of one session share a probe and its calibration, so that their errors come together: the
groups, not the images, are what is independent. A proportion gets the exact interval of Clopper and
Pearson (Biometrika 26, 404 (1934)), for groups with the effective number of images in the place of
their number (Korn and Graubard, Survey Methodology 24, 193 (1998)). Any other figure gets a
bootstrap of whole groups, with the percentiles moved outwards for few groups (Hesterberg, The
American Statistician 69, 371 (2015), section 4.3). Scores of overlapping training parts vary
together: Nadeau and Bengio, Machine Learning 52, 239 (2003).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = [
    "CONFIDENCE",
    "Interval",
    "bootstrap",
    "clopper_pearson",
    "group_codes",
    "grouped_proportion",
    "mean_interval",
    "resampled_mean",
]

CONFIDENCE = 0.95
DRAWS = 2000  # the 2.5 % point of them is known to 0.35 %


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that holds its true value.

    Parameters
    ----------
    value : float
        As measured.
    low, high : float
        Ends of the interval.
    confidence : float
        How often such an interval holds the true value.
    """

    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    def holds(self, value: float) -> bool:
        """Tell whether `value` lies within."""
        return self.low <= value <= self.high


def clopper_pearson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """Return a proportion with its exact interval.

    Parameters
    ----------
    successes, trials : float
        Numbers of independent events; they need not be whole, for effective numbers.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        There are no trials, or more successes than trials.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(
            f"{successes:g} of {trials:g} is no proportion: at least one trial, and from 0 to all "
            "of them successes"
        )
    tail = _tail(confidence)
    low, high = 0.0, 1.0
    if successes > 0:
        low = float(special.betaincinv(successes, trials - successes + 1.0, tail))
    if successes < trials:
        high = float(special.betaincinv(successes + 1.0, trials - successes, 1.0 - tail))
    return Interval(successes / trials, low, high, confidence)


def grouped_proportion(
    values: ArrayLike, groups: Sequence[object], confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of shares of success of images that come in groups.

    Parameters
    ----------
    values : array_like, shape (images,)
        0 or 1, or the share of successes of an image that was predicted several times.
    groups : sequence, shape (images,)
        Images of different groups are independent; at least two groups.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Interval
        Clopper and Pearson's for the effective number of images. Where no two groups differ, as
        when all is right, no correlation can be seen and each group counts as one image.

    Raises
    ------
    ValueError
        There are fewer than two groups, or a value is not between 0 and 1.
    """
    share = _column(values, "values")
    if share.size and not (share.min() >= 0.0 and share.max() <= 1.0):
        raise ValueError("shares of success lie between 0 and 1")
    codes, count = group_codes(groups, share.size)
    mean = float(share.mean())
    residuals = np.bincount(codes, weights=share - mean, minlength=count)
    variance = float(residuals @ residuals) * count / (count - 1) / share.size**2
    effective = float(count)
    if variance > 1e-12:
        tail = _tail(confidence)
        # few groups know their variance badly: the ratio of the two quantiles of Student's t
        known = (special.stdtrit(share.size - 1, tail) / special.stdtrit(count - 1, tail)) ** 2
        effective = min(mean * (1.0 - mean) / variance, float(share.size)) * known
    return clopper_pearson(mean * effective, effective, confidence)


def bootstrap(
    terms: ArrayLike,
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    groups: Sequence[object],
    *,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return a figure with the interval of a bootstrap of whole groups.

    Parameters
    ----------
    terms : array_like, shape (images, k)
        What each image adds to the sums that the figure is made of.
    figure : callable
        From such sums, shape (draws, k), to figures, shape (draws,); NaN where there is none.
    groups : sequence, shape (images,)
        Images of different groups are independent; at least two groups.
    confidence : float
        Between 0 and 1.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    Interval
        The figure of all images, and expanded percentiles.
    """
    added = np.asarray(terms, dtype=np.float64)
    codes, count = group_codes(groups, added.shape[0])
    sums = np.zeros((count, added.shape[1]))
    np.add.at(sums, codes, added)
    value = float(figure(sums.sum(axis=0, keepdims=True))[0])
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), draws)
    drawn = figure(times @ sums)
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size == 0:
        return Interval(value, math.nan, math.nan, confidence)
    quantile = special.stdtrit(count - 1, _tail(confidence)) * math.sqrt(count / (count - 1))
    tail = float(special.ndtr(quantile))
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high), confidence)


def mean_interval(
    values: ArrayLike, groups: Sequence[object], confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of values of any size, with the interval of a bootstrap of the groups.

    Parameters
    ----------
    values : array_like, shape (images,)
        One an image.
    groups, confidence
        As of `bootstrap`.
    """
    column = _column(values, "values")
    terms = np.stack([column, np.ones_like(column)], axis=1)
    return bootstrap(terms, lambda sums: sums[:, 0] / sums[:, 1], groups, confidence=confidence)


def resampled_mean(
    scores: ArrayLike, test_over_train: float, confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of the scores of repeated splits of the same images.

    Parameters
    ----------
    scores : array_like, shape (splits,)
        One a split, at least two.
    test_over_train : float
        Images of the test part over those of the training part.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Interval
        The variance is that of independent scores plus what shared training images add.
    """
    values = _column(scores, "scores")
    if values.size < 2:
        raise ValueError(f"{values.size} score has no spread: at least two splits")
    error = math.sqrt((1.0 / values.size + test_over_train) * float(values.var(ddof=1)))
    reach = -float(special.stdtrit(values.size - 1, _tail(confidence))) * error
    mean = float(values.mean())
    return Interval(mean, mean - reach, mean + reach, confidence)


def group_codes(
    groups: Sequence[object], images: int | None = None
) -> tuple[NDArray[np.intp], int]:
    """Number the groups.

    Parameters
    ----------
    groups : sequence, shape (images,)
        Any names.
    images : int, optional
        How many there must be.

    Returns
    -------
    codes : ndarray of int, shape (images,)
    count : int
        Of different groups.

    Raises
    ------
    ValueError
        There are fewer than two groups, or not as many as images.
    """
    numbers: dict[object, int] = {}
    codes = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.intp)
    if images is not None and codes.size != images:
        raise ValueError(f"{codes.size} groups were given for {images} images: one an image")
    if len(numbers) < 2:
        raise ValueError(
            f"an interval needs images of at least two groups, these are of {len(numbers)}"
        )
    return codes, len(numbers)


def _tail(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence:g} is not between 0 and 1")
    return 0.5 * (1.0 - confidence)


def _column(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} of shape {array.shape} are not one number each")
    return array
