"""How a network is trained, and how far a training is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["PRECISIONS", "Progress", "TrainingOptions"]

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
"""Policies of Keras; ``auto`` is mixed_bfloat16 on a graphics processor and float32 elsewhere."""


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training part at most. With augmentation five passes are one of application
        note 155, whose training part holds each image in five orientations.
    batch : int
        Images a step.
    learning_rate : float
        The highest; it rises to it during `warm_up` and falls to 0 at the last epoch.
    patience : int
        Epochs without a lower loss on the validation part after which the training ends.
    seed : int
        Of weights, order, orientations and dropout.
    augment : bool
        Whether images are shown in the five orientations.
    precision : str
        One of `PRECISIONS`.
    weight_decay : float
        Share of the weights, times the learning rate, that each step takes away.
    warm_up : int
        Epochs.
    start_from : str
        Path of a network of the same architecture whose weights are taken to begin with; empty for
        none.
    freeze : bool
        Whether of such a network only the head is trained.
    """

    epochs: int = 100
    batch: int = 32
    learning_rate: float = 1e-3
    patience: int = 25
    seed: int = 0
    augment: bool = True
    precision: str = "auto"
    weight_decay: float = 1e-2
    warm_up: int = 3
    start_from: str = ""
    freeze: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)!r} is not allowed: 1 or more")
        for name in ("seed", "warm_up"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)!r} is not allowed: 0 or more")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate {self.learning_rate!r} is not allowed: above 0")
        if not 0 <= self.weight_decay < 1:
            raise ValueError(f"weight_decay {self.weight_decay!r} is not allowed: 0 to below 1")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision {self.precision!r} is not allowed: one of {', '.join(PRECISIONS)}"
            )
        if self.freeze and not self.start_from:
            raise ValueError("freeze without start_from: there is no network to keep as it is")

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingOptions:
        """Return the options of `as_dict`."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    epoch, epochs : int
        Which it is in, from 1, and how many there are at most.
    batch, batches : int
        How many of this epoch are done, and how many there are.
    loss : float
        Mean over this epoch so far.
    validation_loss : float
        After the last whole epoch; NaN before.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    validation_loss: float
