"""What a network says of one image: a class or properties, how sure it is, and whether it knows.

A probability alone does not tell an image that the network has never seen the like of: softmax is
as sure of noise as of a training image (Hendrycks and Gimpel, ICLR 2017). So a prediction carries
how much the network's own answers scatter, and how far the image is from those it was trained on;
beyond a limit it abstains, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .channels import CLASSIFICATION

__all__ = ["ModelTerms", "Prediction"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ModelTerms:
    """Which model answers, from which channels and in which terms.

    Parameters
    ----------
    model : str
        Name and version, as ``icp:3``.
    channels : tuple of str
        That it looks at.
    outputs : tuple of str
        Names of its classes, or of its properties.
    task : str
        ``"classification"`` or ``"regression"``.
    """

    model: str
    channels: tuple[str, ...]
    outputs: tuple[str, ...]
    task: str = CLASSIFICATION

    @property
    def classifies(self) -> bool:
        """Whether it tells classes."""
        return self.task == CLASSIFICATION

    def to_document(self) -> dict[str, Any]:
        """The terms as start documents have them; see `of_document`."""
        return {**asdict(self), "channels": list(self.channels), "outputs": list(self.outputs)}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> ModelTerms:
        """The terms that `to_document` told of."""
        return cls(
            model=str(document["model"]),
            channels=tuple(document["channels"]),
            outputs=tuple(document["outputs"]),
            task=str(document.get("task", CLASSIFICATION)),
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one image.

    Parameters
    ----------
    by : ModelTerms
        Who says it.
    values : ndarray, shape (outputs,)
        Calibrated probabilities, or the properties in the units that the network was taught.
    spreads : ndarray, shape (outputs,)
        Standard deviation of each value over answers that are as well founded.
    novelty : float
        How far the image is from the training images: 1 is as far as known ones hardly ever are.
    reason : str
        Why the network abstains; empty when it does not.
    seconds : float
        That it took.
    """

    by: ModelTerms
    values: Floats
    spreads: Floats
    novelty: float
    reason: str = ""
    seconds: float = field(default=math.nan)

    @property
    def model(self) -> str:
        """Name and version of who says it."""
        return self.by.model

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of what the values are."""
        return self.by.outputs

    @property
    def abstained(self) -> bool:
        """Whether the values are not to be acted on."""
        return bool(self.reason)

    @property
    def label(self) -> str:
        """The most probable class; empty for properties."""
        return self.outputs[int(np.argmax(self.values))] if self.by.classifies else ""

    @property
    def probability(self) -> float:
        """Of `label`; NaN for properties."""
        return float(np.max(self.values)) if self.by.classifies else math.nan

    @property
    def probabilities(self) -> Floats:
        """Of all classes; empty for properties."""
        return self.values if self.by.classifies else np.empty(0)

    @property
    def spread(self) -> float:
        """Standard deviation of the probability of `label`, or of the first property."""
        index = int(np.argmax(self.values)) if self.by.classifies else 0
        return float(self.spreads[index])
