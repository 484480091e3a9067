"""How much may a network's answer scatter? The uncertainty of its last layer, in closed form.

An ensemble of networks takes as many passes as it has members. The Laplace approximation of the
last layer (Kristiadi, Hein and Hennig, ICML 2020) asks only how well the training images fix its
weights: along directions of the embedding that they leave open, the answer may scatter. Its one
free number, the width of the prior, is chosen by images that were not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LastLayer"]

Floats = NDArray[np.float64]

_MOST_COMPONENTS = 64
_DRAWS = 64  # of the logits: a standard deviation to 9 %, far finer than it is worth
_PRECISIONS = np.logspace(-3, 4, 15)  # of the prior that are tried, per component of unit size


@dataclass(frozen=True, eq=False)
class LastLayer:
    """How uncertain the weights of the last layer are.

    Parameters
    ----------
    mean : ndarray, shape (columns,)
        Of the embeddings.
    axes : ndarray, shape (columns, components)
        Along which they vary, scaled so that they vary by about 1.
    covariance : ndarray, shape (outputs, components + 1, components + 1)
        Of the weights of each output, the last that of the bias.
    noise : ndarray, shape (outputs,)
        Variance of a value about its prediction; 0 for classes.
    """

    mean: Floats
    axes: Floats
    covariance: Floats
    noise: Floats

    @classmethod
    def of_classes(
        cls,
        training: tuple[ArrayLike, ArrayLike],
        validation: tuple[ArrayLike, ArrayLike, ArrayLike],
    ) -> LastLayer:
        """Find it for a network that classifies.

        Parameters
        ----------
        training : (embeddings, logits)
            Shapes (n, columns) and (n, classes).
        validation : (embeddings, logits, truth)
            The last the index of the true class, shape (n,).
        """
        from scipy.special import log_softmax, softmax

        mean, axes, features = _features(training[0])
        probabilities = softmax(np.asarray(training[1], dtype=np.float64), axis=1)
        weights = (probabilities * (1.0 - probabilities)).T
        held, logits, truth = validation
        inner = _inner(held, mean, axes)
        logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.intp)
        best: tuple[float, Floats] | None = None
        for precision in _PRECISIONS:
            covariance = np.stack([_posterior(features, weight, precision) for weight in weights])
            variance = _variances(inner, covariance)
            # MacKay's approximation of the mean probability (Neural Comput. 4, 720 (1992))
            moderated = logits / np.sqrt(1.0 + np.pi / 8.0 * variance)
            likelihood = log_softmax(moderated, axis=1)[np.arange(len(truth)), truth]
            loss = -float(np.mean(likelihood))
            if best is None or loss < best[0]:
                best = loss, covariance
        assert best is not None
        return cls(mean, axes, best[1], np.zeros(len(weights)))

    @classmethod
    def of_values(cls, training: ArrayLike, validation: tuple[ArrayLike, ArrayLike]) -> LastLayer:
        """Find it for a network that predicts values.

        Parameters
        ----------
        training : array_like, shape (n, columns)
            Embeddings.
        validation : (predicted, true)
            Of each value, shape (n, outputs): what it errs by on images not trained on.
        """
        mean, axes, features = _features(training)
        errors = np.asarray(validation[0], np.float64) - np.asarray(validation[1], np.float64)
        noise = np.mean(np.atleast_2d(errors) ** 2, axis=0)
        open_ = _posterior(features, np.ones(len(features)), 1.0)
        return cls(mean, axes, noise[:, np.newaxis, np.newaxis] * open_, noise)

    def variances(self, embeddings: ArrayLike) -> Floats:
        """Return the variance of each output's logit or value, shape (n, outputs)."""
        return _variances(_inner(embeddings, self.mean, self.axes), self.covariance) + self.noise

    def probability_spreads(self, embedding: ArrayLike, logits: ArrayLike) -> Floats:
        """Return the standard deviation of each probability.

        Parameters
        ----------
        embedding : array_like, shape (columns,)
            Of one image.
        logits : array_like, shape (classes,)
            After the temperature.

        Returns
        -------
        ndarray, shape (classes,)
            The same for the same image: the draws are those of a fixed seed.
        """
        from scipy.special import softmax

        logits = np.asarray(logits, dtype=np.float64)
        scatter = np.sqrt(self.variances(embedding)[0])
        draws = np.random.default_rng(0).standard_normal((_DRAWS, logits.size))
        return np.std(softmax(logits + scatter * draws, axis=1), axis=0)

    def arrays(self) -> dict[str, Any]:
        """Return what it is made of, to be stored."""
        return {f"last_{name}": value for name, value in vars(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> LastLayer:
        """Read it back."""
        names = ("mean", "axes", "covariance", "noise")
        return cls(**{name: np.asarray(arrays[f"last_{name}"]) for name in names})


def _features(embeddings: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return mean and axes of embeddings, and their components with a 1 for the bias."""
    vectors = np.asarray(embeddings, dtype=np.float64)
    mean = vectors.mean(axis=0)
    _, singular, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    most = min(_MOST_COMPONENTS, max(1, len(vectors) // 2), len(axes))
    size = max(float(singular[0]) / np.sqrt(len(vectors)), 1e-12)
    scaled = axes[:most].T / size
    return mean, scaled, _inner(vectors, mean, scaled)


def _inner(embeddings: ArrayLike, mean: Floats, axes: Floats) -> Floats:
    inner = (np.atleast_2d(np.asarray(embeddings, dtype=np.float64)) - mean) @ axes
    return np.concatenate([inner, np.ones((len(inner), 1))], axis=1)


def _posterior(features: Floats, weights: Floats, precision: float) -> Floats:
    """Return the covariance of the weights of one output (Gauss-Newton)."""
    known = (features * weights[:, np.newaxis]).T @ features
    return np.asarray(np.linalg.inv(known + precision * np.eye(len(known))), dtype=np.float64)


def _variances(inner: Floats, covariance: Floats) -> Floats:
    return np.einsum("ni,oij,nj->no", inner, covariance, inner)
