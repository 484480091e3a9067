"""What a model said of images that it was not trained on, beside what is true.

Repeated splits predict an image several times, each time by another model: a row is one prediction,
`images` says of which image it is, and `groups` which images are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Classified", "Regressed"]


@dataclass(frozen=True, eq=False)
class Classified:
    """Predictions of classes.

    Parameters
    ----------
    images : sequence of str, length n
        Identity of the image of each row.
    groups : sequence of str, length n
        Its group; images of different groups are independent.
    classes : sequence of str, length k
        Names.
    true : ndarray of int, shape (n,)
        Numbers of the true classes.
    probabilities : ndarray, shape (n, k)
        Of each class; rows sum to 1.
    splits : sequence of str, length n, optional
        Which split's model said it; empty where there was one.
    """

    images: Sequence[str]
    groups: Sequence[str]
    classes: Sequence[str]
    true: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    splits: Sequence[str] = ()

    def __post_init__(self) -> None:
        count = len(self.images)
        _check_rows(self, count)
        if self.probabilities.shape != (count, len(self.classes)):
            raise ValueError(
                f"probabilities of shape {self.probabilities.shape} do not belong to {count} "
                f"images of {len(self.classes)} classes"
            )
        if not np.isfinite(self.probabilities).all():
            raise ValueError("probabilities that are not finite numbers cannot be judged")
        if self.true.shape != (count,) or not np.isin(self.true, range(len(self.classes))).all():
            raise ValueError(
                f"true classes are numbers from 0 to {len(self.classes) - 1}, one an image"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def predicted(self) -> NDArray[np.intp]:
        """Numbers of the most probable classes, shape (n,)."""
        return np.argmax(self.probabilities, axis=1)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether they are the true ones, shape (n,)."""
        return self.predicted == self.true

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the most probable class, shape (n,)."""
        return self.probabilities.max(axis=1)

    def with_probabilities(self, probabilities: NDArray[np.float64]) -> Classified:
        """Return the same images with other probabilities, as after a calibration."""
        return replace(self, probabilities=probabilities)


@dataclass(frozen=True, eq=False)
class Regressed:
    """Predictions of properties.

    Parameters
    ----------
    images, groups, splits
        As of `Classified`.
    samples : sequence of str, length n
        Of which sample each image is.
    properties : sequence of str, length p
        Names.
    true, predicted : ndarray, shape (n, p)
        Each property in its own unit.
    """

    images: Sequence[str]
    groups: Sequence[str]
    samples: Sequence[str]
    properties: Sequence[str]
    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    splits: Sequence[str] = ()

    def __post_init__(self) -> None:
        count = len(self.images)
        _check_rows(self, count)
        if len(self.samples) != count:
            raise ValueError(f"{len(self.samples)} samples were given for {count} images")
        for name, values in (("true", self.true), ("predicted", self.predicted)):
            if values.shape != (count, len(self.properties)):
                raise ValueError(
                    f"{name} values of shape {values.shape} do not belong to {count} images of "
                    f"{len(self.properties)} properties"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{name} values that are not finite numbers cannot be judged")

    def __len__(self) -> int:
        return len(self.images)

    def column(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the true and the predicted values of one property, shape (n,) each."""
        if name not in self.properties:
            raise ValueError(f"no property {name!r}; there are {', '.join(self.properties)}")
        place = list(self.properties).index(name)
        return self.true[:, place], self.predicted[:, place]


def _check_rows(outcomes: Classified | Regressed, count: int) -> None:
    if count == 0:
        raise ValueError("there are no predictions")
    if len(outcomes.groups) != count or len(outcomes.splits) not in (0, count):
        raise ValueError(
            f"{len(outcomes.groups)} groups and {len(outcomes.splits)} splits were given for "
            f"{count} images"
        )
