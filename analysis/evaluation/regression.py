"""How much of a bulk property do the images tell? Bruker application note 155, figs. 4 and 5.

R² compares with a model that always says the mean of the true values: 1 is perfect, 0 no better.
All images of a sample share its true value, so R² also says how well samples are told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .intervals import CONFIDENCE, Interval, bootstrap, mean_interval
from .outcomes import Regressed

__all__ = [
    "PropertyScore",
    "SampleMean",
    "r2_of_sums",
    "r2_terms",
    "regression_scores",
    "sample_means",
]


@dataclass(frozen=True)
class PropertyScore:
    """How well one property is predicted.

    Parameters
    ----------
    name : str
        Of the property.
    r2, rmse : Interval
        Coefficient of determination; root of the mean square error in the property's unit.
    bias : float
        Mean of predicted less true, in the property's unit.
    images : int
        Different ones.
    """

    name: str
    r2: Interval
    rmse: Interval
    bias: float
    images: int


@dataclass(frozen=True)
class SampleMean:
    """What the images of a sample say of a property.

    Parameters
    ----------
    sample : str
        Its name.
    true : float
        Measured in bulk.
    predicted : Interval
        Mean over the images; NaN ends where all are of one group.
    scatter : float
        Standard deviation of single images.
    """

    sample: str
    true: float
    predicted: Interval
    scatter: float


def regression_scores(
    outcomes: Regressed, confidence: float = CONFIDENCE
) -> tuple[PropertyScore, ...]:
    """Return R² and error of each property, with intervals from a bootstrap of the groups.

    Parameters
    ----------
    outcomes : Regressed
        Images of two groups at least.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        All images have the same true value of a property: R² has no meaning.
    """
    return tuple(_score(outcomes, name, confidence) for name in outcomes.properties)


def r2_terms(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each image adds to the sums that R² is made of, shape (n, 4).

    Parameters
    ----------
    true, predicted : ndarray, shape (n,)
        Values of one property.
    """
    offset = true - true.mean()  # of any origin, the mean loses fewest digits
    return np.stack([np.ones_like(true), offset, offset**2, (predicted - true) ** 2], axis=1)


def r2_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R² of sums of `r2_terms`, shape (draws, 4); NaN where all true values are equal."""
    images, first, second, errors = sums.T
    total = second - first**2 / images
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 1e-12 * second, 1.0 - errors / total, math.nan)


def sample_means(
    outcomes: Regressed, name: str, confidence: float = CONFIDENCE
) -> tuple[SampleMean, ...]:
    """Return what is predicted for each sample, in the order in which they appear."""
    true, predicted = outcomes.column(name)
    samples = np.asarray(outcomes.samples)
    groups = np.asarray(outcomes.groups)
    found = []
    for sample in dict.fromkeys(outcomes.samples):
        own = samples == sample
        found.append(
            SampleMean(
                sample=sample,
                true=float(true[own][0]),
                predicted=_mean(predicted[own], groups[own], confidence),
                scatter=float(predicted[own].std(ddof=1)) if own.sum() > 1 else math.nan,
            )
        )
    return tuple(found)


def _score(outcomes: Regressed, name: str, confidence: float) -> PropertyScore:
    true, predicted = outcomes.column(name)
    if np.ptp(true) == 0.0:
        raise ValueError(f"all images have {name} {true[0]:g}: R² needs values that differ")
    terms = r2_terms(true, predicted)
    return PropertyScore(
        name=name,
        r2=bootstrap(terms, r2_of_sums, outcomes.groups, confidence=confidence),
        rmse=bootstrap(
            terms,
            lambda sums: np.sqrt(sums[:, 3] / sums[:, 0]),
            outcomes.groups,
            confidence=confidence,
        ),
        bias=float((predicted - true).mean()),
        images=len(set(outcomes.images)),
    )


def _mean(values: NDArray[np.float64], groups: NDArray[np.str_], confidence: float) -> Interval:
    names = groups.tolist()
    if len(set(names)) < 2:
        return Interval(float(values.mean()), math.nan, math.nan, confidence)
    return mean_interval(values, names, confidence)
