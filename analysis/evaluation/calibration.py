"""Do the probabilities mean what they say?

Of images told with a probability of 0.8 a share of 0.8 should be right. The expected calibration
error is the mean gap, in bins of as many images each (Nixon et al., CVPR Workshops 2019). A finite
number of images shows a gap even where there is none, so the gap that exact probabilities would
show stands beside it (consistency resampling: Bröcker and Smith, Weather and Forecasting 22, 651
(2007)). One temperature that divides the logits mends what networks get wrong most (Guo et al.,
ICML 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.special import log_softmax, softmax

from .outcomes import Classified

__all__ = [
    "Calibration",
    "Reliability",
    "brier_score",
    "calibration",
    "calibration_error",
    "fit_temperature",
    "negative_log_likelihood",
    "reliability",
    "tempered",
]

BINS = 15  # Guo et al.
_FEWEST = 10  # images a bin: fewer tell nothing of a share
_FLOOR = 1e-6  # probability that nobody can claim to know; a forest says 0 where no tree voted
_RANGE = (1e-2, 1e2)  # of temperatures
_DRAWS = 500


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence and accuracy, bin by bin.

    Parameters
    ----------
    confidence, accuracy : ndarray, shape (bins,)
        Means over the images of each bin.
    counts : ndarray of int, shape (bins,)
        Predictions in each.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1."""
        return float(self.counts @ np.abs(self.confidence - self.accuracy)) / self.counts.sum()


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities can be trusted.

    Parameters
    ----------
    error : float
        Expected calibration error, 0 to 1.
    error_of_exact, error_limit : float
        Mean and 95th percentile of what exact probabilities would show on as many images.
    brier : float
        Mean square of the probabilities' errors, summed over the classes, 0 to 2.
    likelihood : float
        Negative log-likelihood an image, natural logarithm.
    """

    error: float
    error_of_exact: float
    error_limit: float
    brier: float
    likelihood: float

    @property
    def exact(self) -> bool:
        """Whether the gap is no larger than chance makes it."""
        return self.error <= self.error_limit


def calibration(outcomes: Classified, bins: int = BINS, seed: int = 0) -> Calibration:
    """Judge the probabilities of `outcomes`.

    Parameters
    ----------
    outcomes : Classified
        Of images that were not used to fit a temperature.
    bins : int
        At most; fewer where they would hold less than ten images.
    seed : int
        Of the resampling.
    """
    confidence = np.sort(outcomes.confidence)
    right = np.random.default_rng(seed).random((_DRAWS, confidence.size)) < confidence
    gaps = np.add.reduceat(confidence - right, _begins(confidence.size, bins), axis=1)
    drawn = np.abs(gaps).sum(axis=1) / confidence.size
    return Calibration(
        error=calibration_error(outcomes.confidence, outcomes.correct, bins),
        error_of_exact=float(np.mean(drawn)),
        error_limit=float(np.quantile(drawn, 0.95)),
        brier=brier_score(outcomes.probabilities, outcomes.true),
        likelihood=negative_log_likelihood(outcomes.probabilities, outcomes.true),
    )


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> Reliability:
    """Return confidence and accuracy in bins of as many images each.

    Parameters
    ----------
    confidence : array_like, shape (n,)
        Probability of the predicted class.
    correct : array_like of bool, shape (n,)
        Whether it was right.
    bins : int
        At most; fewer where they would hold less than ten images.
    """
    values = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if values.ndim != 1 or values.shape != right.shape or values.size == 0:
        raise ValueError(
            f"confidences of shape {values.shape} and verdicts of shape {right.shape} do not "
            "belong together"
        )
    if bins < 1:
        raise ValueError(f"{bins} bins: at least one")
    order = np.argsort(values, kind="stable")
    begins = _begins(values.size, bins)
    counts = np.diff(begins, append=values.size)
    return Reliability(
        confidence=np.add.reduceat(values[order], begins) / counts,
        accuracy=np.add.reduceat(right[order], begins) / counts,
        counts=counts,
    )


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error, 0 to 1; parameters as of `reliability`."""
    return reliability(confidence, correct, bins).error


def brier_score(probabilities: ArrayLike, true: ArrayLike) -> float:
    """Return the mean square error of the probabilities, summed over the classes, 0 to 2.

    Parameters
    ----------
    probabilities : array_like, shape (n, k)
        Of each class.
    true : array_like of int, shape (n,)
        Numbers of the true classes.
    """
    values, classes = _checked(probabilities, true)
    return float(((values - np.eye(values.shape[1])[classes]) ** 2).sum(axis=1).mean())


def negative_log_likelihood(probabilities: ArrayLike, true: ArrayLike) -> float:
    """Return the mean of -ln of the true classes' probabilities, which are taken as 1e-6 at least.

    Parameters as of `brier_score`.
    """
    values, classes = _checked(probabilities, true)
    return float(-np.log(np.maximum(values[np.arange(classes.size), classes], _FLOOR)).mean())


def fit_temperature(probabilities: ArrayLike, true: ArrayLike) -> float:
    """Return the temperature at which the true classes of a validation part are most likely.

    Parameters
    ----------
    probabilities : array_like, shape (n, k)
        Of images that the model was not trained on.
    true : array_like of int, shape (n,)
        Numbers of the true classes.

    Returns
    -------
    float
        Above 1 where the model is too sure; from 0.01 to 100. A part without a mistake does not
        tell how sure a model may be, so the true class counts (n + 1) / (n + 2) and the others the
        rest, as with Platt (Advances in Large Margin Classifiers, 61 (1999)).
    """
    values, classes = _checked(probabilities, true)
    count, width = values.shape
    targets = np.full((count, width), 1.0 / ((count + 2.0) * max(width - 1, 1)))
    targets[np.arange(count), classes] = (count + 1.0) / (count + 2.0)
    logits = np.log(np.maximum(values, _FLOOR))

    def unlikeliness(logarithm: float) -> float:
        return -float((targets * log_softmax(logits / math.exp(logarithm), axis=1)).sum()) / count

    found = optimize.minimize_scalar(
        unlikeliness, bounds=tuple(np.log(_RANGE)), method="bounded", options={"xatol": 1e-6}
    )
    return math.exp(float(found.x))


def tempered(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return probabilities whose logits are divided by a temperature.

    Parameters
    ----------
    probabilities : array_like, shape (..., k)
        Of each class; below 1e-6 they are taken as 1e-6.
    temperature : float
        Above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature {temperature:g} is not above 0")
    values = np.asarray(probabilities, dtype=np.float64)
    return softmax(np.log(np.maximum(values, _FLOOR)) / temperature, axis=-1)


def _begins(images: int, bins: int) -> NDArray[np.intp]:
    """Where each bin of as many ordered images begins."""
    count = max(1, min(bins, images // _FEWEST))
    return np.arange(count) * images // count


def _checked(
    probabilities: ArrayLike, true: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    values = np.asarray(probabilities, dtype=np.float64)
    classes = np.asarray(true, dtype=np.intp)
    if values.ndim != 2 or classes.shape != values.shape[:1] or classes.size == 0:
        raise ValueError(
            f"probabilities of shape {values.shape} and true classes of shape {classes.shape} do "
            "not belong together"
        )
    return values, classes
