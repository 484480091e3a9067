"""Has the model seen the like of this image? How far it is from the training images, in four views.

In the network's embedding: the Mahalanobis distance to the nearest class with one shrunk covariance
(Lee et al., NeurIPS 2018; Ledoit and Wolf, J. Multivariate Anal. 88, 365 (2004)), and what of the
embedding lies outside the space of the training images (Wang et al., CVPR 2022). In the image
itself: the same distance of its `descriptors`. In the answer: how undecided it is, which tells a
sample between two known ones (Hendrycks and Gimpel, ICLR 2017). The limit is a quantile of images
that were not trained on, as in conformal prediction (Vovk et al., 2005), so that known images are
mistaken for new ones no more often than was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..evaluation import abstention_threshold
from .descriptors import descriptors, scales_of

__all__ = ["ALLOWED", "VIEWS", "Neighbourhood", "NoveltyDetector", "Seen", "limit_of"]

Floats = NDArray[np.float64]

ALLOWED = 0.05
"""Share of known images that may be taken for new."""

VIEWS = ("embedding", "outside", "image", "answer")
"""In which an image may be unlike the known ones; the last where classes are told."""

_VARIANCE = 0.95  # of the embeddings that is kept
_MOST_COMPONENTS = 64
_IMAGES_A_COMPONENT = 4  # fewer leave a covariance to the shrinkage
_LEAST = 1e-9  # of a distance: its logarithm must be finite
_LEAST_WIDTH = 1e-3  # of the logarithm of a distance that is the same for all


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Where the training images of some classes lie in a space.

    Parameters
    ----------
    mean, scale : ndarray, shape (columns,)
        By which columns are standardised.
    axes : ndarray, shape (columns, components)
        Orthonormal; what the distance is measured in.
    centres : ndarray, shape (classes, components)
        Of the classes.
    whitening : ndarray, shape (components, components)
        Makes the scatter within the classes that of a unit ball.
    """

    mean: Floats
    scale: Floats
    axes: Floats
    centres: Floats
    whitening: Floats

    @classmethod
    def fit(cls, vectors: ArrayLike, classes: Sequence[str]) -> Neighbourhood:
        """Measure where training images lie.

        Parameters
        ----------
        vectors : array_like, shape (n, columns)
            Of the training images.
        classes : sequence of str
            Class, or sample, of each.
        """
        from sklearn.covariance import ledoit_wolf

        vectors = np.asarray(vectors, dtype=np.float64)
        mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
        scale = np.where(scale > 1e-9 * (np.abs(mean) + 1e-9), scale, np.inf)  # tells nothing
        standard = (vectors - mean) / scale
        _, singular, axes = np.linalg.svd(standard, full_matrices=False)
        explained = np.cumsum(singular**2) / max(float(np.sum(singular**2)), 1e-300)
        wanted = int(np.searchsorted(explained, _VARIANCE)) + 1
        most = max(1, min(_MOST_COMPONENTS, len(vectors) // _IMAGES_A_COMPONENT, len(axes)))
        axes = axes[: min(wanted, most)].T
        inner = standard @ axes
        names, index = np.unique(np.asarray(classes, dtype=str), return_inverse=True)
        centres = np.array([inner[index == k].mean(axis=0) for k in range(len(names))])
        covariance, _ = ledoit_wolf(inner - centres[index], assume_centered=True)
        values, directions = np.linalg.eigh(covariance)
        floor = max(float(values[-1]) * 1e-9, 1e-12)
        whitening = directions / np.sqrt(np.maximum(values, floor))
        return cls(mean, scale, axes, centres, whitening)

    def distance(self, vectors: ArrayLike) -> Floats:
        """Return the distance to the nearest class, shape (n,)."""
        inner = self._standard(vectors) @ self.axes
        apart = (inner[:, np.newaxis] - self.centres) @ self.whitening
        return np.sqrt(np.min(np.sum(apart**2, axis=-1), axis=1))

    def outside(self, vectors: ArrayLike) -> Floats:
        """Return what lies outside the space of the training images, shape (n,)."""
        standard = self._standard(vectors)
        return np.linalg.norm(standard - (standard @ self.axes) @ self.axes.T, axis=1)

    def _standard(self, vectors: ArrayLike) -> Floats:
        return (np.atleast_2d(np.asarray(vectors, dtype=np.float64)) - self.mean) / self.scale

    def arrays(self, prefix: str) -> dict[str, Floats]:
        """Return what it is made of, to be stored."""
        return {f"{prefix}_{name}": value for name, value in vars(self).items()}

    @classmethod
    def of_arrays(cls, prefix: str, arrays: Mapping[str, Any]) -> Neighbourhood:
        """Read it back."""
        names = ("mean", "scale", "axes", "centres", "whitening")
        return cls(**{name: np.asarray(arrays[f"{prefix}_{name}"]) for name in names})


@dataclass(frozen=True, eq=False)
class Seen:
    """Images, and what a network makes of them.

    Parameters
    ----------
    embeddings : ndarray, shape (n, columns)
        Of the network.
    images : ndarray, shape (n, lines, points, channels)
        Finite.
    logits : ndarray, shape (n, classes), or None
        None of a network that predicts values.
    """

    embeddings: NDArray[Any]
    images: NDArray[Any]
    logits: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class NoveltyDetector:
    """Tells known images from new ones.

    Parameters
    ----------
    embedding, image : Neighbourhood
        Of the embeddings, and of the descriptors of the images.
    scales : ndarray, shape (channels,)
        Typical sizes of the channels, for the descriptors.
    middle, width : ndarray, shape (views,)
        Mean and standard deviation of the views of known images.
    limit : float
        Of the view that stands out most, in standard deviations; infinite where there were too few
        images to set it, so that every image passes.
    """

    embedding: Neighbourhood
    image: Neighbourhood
    scales: Floats
    middle: Floats
    width: Floats
    limit: float

    @classmethod
    def fit(
        cls, training: Seen, classes: Sequence[str], validation: Seen, allowed: float = ALLOWED
    ) -> NoveltyDetector:
        """Learn where training images lie, and set the limit by images not trained on.

        Parameters
        ----------
        training : Seen
            Images that the network was trained on.
        classes : sequence of str
            Class, or sample, of each of them.
        validation : Seen
            Known images that it was not trained on.
        allowed : float
            Share of known images that may be taken for new.
        """
        if not 0.0 < allowed < 1.0:
            raise ValueError(f"allowed is {allowed}: a share between 0 and 1")
        scales = scales_of(training.images)
        embedding = Neighbourhood.fit(training.embeddings, classes)
        image = Neighbourhood.fit(descriptors(training.images, scales), classes)
        made = cls(embedding, image, scales, np.zeros(1), np.ones(1), 0.0)
        views = made.views(validation)
        middle, width = views.mean(axis=0), np.maximum(views.std(axis=0), _LEAST_WIDTH)
        limit = limit_of(np.max((views - middle) / width, axis=1), allowed)
        return cls(embedding, image, scales, middle, width, limit)

    def views(self, seen: Seen) -> Floats:
        """Return the logarithm of the distance of images in each view, shape (n, views)."""
        found = [
            self.embedding.distance(seen.embeddings),
            self.embedding.outside(seen.embeddings),
            self.image.distance(descriptors(seen.images, self.scales)),
        ]
        if seen.logits is not None:
            ordered = np.sort(np.asarray(seen.logits, dtype=np.float64), axis=1)
            found.append(1.0 / np.maximum(ordered[:, -1] - ordered[:, -2], _LEAST))
        return np.log(np.maximum(np.stack(found, axis=1), _LEAST))

    def novelty(self, seen: Seen) -> Floats:
        """Return how new images are, shape (n,): above 1 further than known ones are."""
        return np.exp(np.max(self._apart(seen), axis=1) - self.limit)

    def foremost(self, seen: Seen) -> list[str]:
        """Return the view in which each image stands out most, one of `VIEWS`."""
        return [VIEWS[index] for index in np.argmax(self._apart(seen), axis=1)]

    def _apart(self, seen: Seen) -> Floats:
        return (self.views(seen) - self.middle) / self.width

    def arrays(self) -> dict[str, Any]:
        """Return what it is made of, to be stored."""
        return {
            **self.embedding.arrays("embedding"),
            **self.image.arrays("image"),
            "scales": self.scales,
            "middle": self.middle,
            "width": self.width,
            "limit": np.float64(self.limit),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> NoveltyDetector:
        """Read it back."""
        return cls(
            embedding=Neighbourhood.of_arrays("embedding", arrays),
            image=Neighbourhood.of_arrays("image", arrays),
            scales=np.asarray(arrays["scales"]),
            middle=np.asarray(arrays["middle"]),
            width=np.asarray(arrays["width"]),
            limit=float(arrays["limit"]),
        )


def limit_of(scores: ArrayLike, allowed: float) -> float:
    """Return what a further known image exceeds with a probability of `allowed` at most.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Of known images that are exchangeable with those to come.
    allowed : float
        Share.

    Returns
    -------
    float
        The quantile of conformal prediction; infinite where there are too few for it.
    """
    return abstention_threshold(scores, allowed)
