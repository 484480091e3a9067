"""Would more images help? Accuracy against the number of images that a model was trained on.

Errors fall as a power of the number of training images towards a floor that no number passes
(Cortes et al., NIPS 6, 327 (1994); Hestness et al., arXiv:1712.00409).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from .accuracy import Accuracy, accuracy
from .outcomes import Classified

__all__ = ["LearningCurve", "PowerLaw", "fit_power_law", "learning_curve"]

_STEEPEST = 2.0  # exponents that are seen are 0.07 to 0.5 (Hestness et al.), in theory up to 1


@dataclass(frozen=True)
class PowerLaw:
    """Error = floor + scale (images)^(-exponent).

    Parameters
    ----------
    floor, scale, exponent : float
        Error of infinitely many images, 0 to 1; error above it at one image; 0 to 2.
    """

    floor: float
    scale: float
    exponent: float

    def error(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return the error at numbers of training images."""
        return self.floor + self.scale * np.asarray(images, dtype=np.float64) ** -self.exponent


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Accuracy against the size of the training part.

    Parameters
    ----------
    sizes : tuple of int
        Training images before augmentation, rising.
    accuracies : tuple of Accuracy
        At each size.
    law : PowerLaw or None
        What the errors follow; None for less than three sizes.
    """

    sizes: tuple[int, ...]
    accuracies: tuple[Accuracy, ...]
    law: PowerLaw | None


def learning_curve(points: Sequence[tuple[int, Classified]]) -> LearningCurve:
    """Return the learning curve of models trained on parts of different size.

    Parameters
    ----------
    points : sequence of tuple
        Number of training images, and the predictions of these models.
    """
    ordered = sorted(points, key=lambda point: point[0])
    sizes = tuple(size for size, _ in ordered)
    if len(set(sizes)) != len(sizes) or not sizes or sizes[0] < 1:
        raise ValueError(f"sizes {list(sizes)} are not different numbers of images from 1 on")
    found = tuple(accuracy(outcomes) for _, outcomes in ordered)
    law = fit_power_law(sizes, [1.0 - one.value for one in found]) if len(sizes) >= 3 else None
    return LearningCurve(sizes, found, law)


def fit_power_law(sizes: ArrayLike, errors: ArrayLike) -> PowerLaw:
    """Fit a power law with a floor to errors.

    Parameters
    ----------
    sizes : array_like, shape (n,)
        Numbers of training images; three at least.
    errors : array_like, shape (n,)
        0 to 1.
    """
    images = np.asarray(sizes, dtype=np.float64)
    values = np.asarray(errors, dtype=np.float64)
    if images.shape != values.shape or images.size < 3 or images.min() < 1:
        raise ValueError(
            f"a power law with a floor has three numbers: {images.size} sizes do not tell them"
        )
    middle = float(np.exp(np.log(images).mean()))  # there scale and exponent part best
    fit = optimize.least_squares(
        lambda p: p[0] + p[1] * (images / middle) ** -p[2] - values,
        x0=[0.5 * max(values.min(), 0.0), max(float(np.median(values)) / 2, 1e-6), 0.5],
        bounds=([0.0, 0.0, 0.0], [1.0, 1.0, _STEEPEST]),
        x_scale=[0.1, 0.1, 1.0],
    )
    floor, at_middle, exponent = fit.x.tolist()
    return PowerLaw(floor, at_middle * middle**exponent, exponent)
