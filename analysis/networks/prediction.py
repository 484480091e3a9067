"""What a network says of one image: a class or properties, how sure it is, and whether it knows.

A probability alone does not tell an image that the network has never seen the like of: softmax is
as sure of noise as of a training image (Hendrycks and Gimpel, ICLR 2017). So a prediction carries
how much the network's own answers scatter, and how far the image is from those it was trained on;
beyond a limit it abstains, and says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .channels import CLASSIFICATION

__all__ = ["Prediction"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one image.

    Parameters
    ----------
    task : str
        ``"classification"`` or ``"regression"``.
    outputs : tuple of str
        Names of the classes, or of the properties.
    values : ndarray, shape (outputs,)
        Calibrated probabilities, or the properties in the units that the network was taught.
    spreads : ndarray, shape (outputs,)
        Standard deviation of each value over answers that are as well founded.
    novelty : float
        How far the image is from the training images: 1 is as far as known ones hardly ever are.
    reason : str
        Why the network abstains; empty when it does not.
    model : str
        Name and version, as ``icp:3``.
    seconds : float
        That it took.
    """

    task: str
    outputs: tuple[str, ...]
    values: Floats
    spreads: Floats
    novelty: float
    reason: str = ""
    model: str = ""
    seconds: float = field(default=math.nan)

    @property
    def abstained(self) -> bool:
        """Whether the values are not to be acted on."""
        return bool(self.reason)

    @property
    def label(self) -> str:
        """The most probable class; empty for properties."""
        if self.task != CLASSIFICATION:
            return ""
        return self.outputs[int(np.argmax(self.values))]

    @property
    def probability(self) -> float:
        """Of `label`; NaN for properties."""
        return float(np.max(self.values)) if self.task == CLASSIFICATION else math.nan

    @property
    def probabilities(self) -> Floats:
        """Of all classes; empty for properties."""
        return self.values if self.task == CLASSIFICATION else np.empty(0)

    @property
    def spread(self) -> float:
        """Standard deviation of the probability of `label`, or of the first property."""
        index = int(np.argmax(self.values)) if self.task == CLASSIFICATION else 0
        return float(self.spreads[index])
