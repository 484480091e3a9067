"""What the numbers of `analysis.networks.features` tell without a network.

Logistic and ridge regression on standardised numbers, and random forests (Breiman, Mach. Learn. 45,
5 (2001)), fitted to the training part of the split that a network gets. How much each is held back
from the training data is chosen on the validation part, as a network stops by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._training_input import as_targets, check_images, checked_parts
from .channels import Problem
from .features import feature_table
from .feeding import ImageSource

__all__ = ["FeatureEstimator", "Method", "forest", "linear"]

Floats = NDArray[np.float64]
Method = Callable[[Problem, int], Sequence[Any]]
"""From problem and seed to models of scikit-learn, of which the best on the validation part is
kept."""

_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of a logistic, 1/alpha of a ridge regression
_LEAVES = (1, 3, 8)  # fewest images of a leaf
_TREES = 400  # more change the probabilities by less than their own error
_ITERATIONS = 5000
_LEAST_PROBABILITY = 1e-3  # that a forest of so many trees can tell from 0


def linear(problem: Problem, seed: int) -> Sequence[Any]:
    """Logistic or ridge regression on standardised numbers, more and less held back."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if problem.is_classification:
        models = [LogisticRegression(C=c, max_iter=_ITERATIONS) for c in _STRENGTHS]
    else:
        models = [Ridge(alpha=1 / c) for c in _STRENGTHS]
    return [make_pipeline(StandardScaler(), model) for model in models]


def forest(problem: Problem, seed: int) -> Sequence[Any]:
    """Random forests with smaller and larger leaves; values of different units weigh alike."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.preprocessing import StandardScaler

    each: dict[str, Any] = {"n_estimators": _TREES, "max_features": "sqrt", "random_state": seed}
    if problem.is_classification:
        return [RandomForestClassifier(min_samples_leaf=leaf, **each) for leaf in _LEAVES]
    trees = [RandomForestRegressor(min_samples_leaf=leaf, **each) for leaf in _LEAVES]
    return [TransformedTargetRegressor(tree, transformer=StandardScaler()) for tree in trees]


class FeatureEstimator:
    """A baseline: numbers of an image, and what was learnt of them.

    Parameters
    ----------
    problem : Problem
        What is asked.
    method : callable
        How it is learnt, `linear` or `forest`.
    seed : int
        Of what is drawn at random.
    folder : Path, optional
        Where the numbers of images are kept; several baselines may share it.
    """

    def __init__(
        self, problem: Problem, method: Method, seed: int = 0, folder: Path | None = None
    ) -> None:
        self.problem = problem
        self._method, self._seed, self._folder = method, seed, folder
        self._model: Any = None

    def fit(
        self, image_set: ImageSource, targets: Sequence[str] | NDArray[Any], split: Any
    ) -> FeatureEstimator:
        """Learn from the training part.

        Parameters
        ----------
        image_set : ImageSource
            All images.
        targets : sequence of str, or ndarray of shape (images, properties)
            Of every image.
        split : Split
            Its ``train`` and ``validation`` parts are used.

        Raises
        ------
        ValueError
            Something does not fit; as `analysis.networks.training.train`.
        """
        check_images(image_set, self.problem)
        truth = as_targets(self.problem, targets, len(image_set))
        train, validation = checked_parts(self.problem, truth, split, len(image_set))
        table = feature_table(image_set, [*train, *validation], self._folder)
        numbers, held_out = table[: len(train)], table[len(train) :]
        models = list(self._method(self.problem, self._seed))
        if not validation:
            models = [models[len(models) // 2]]
        for model in models:
            model.fit(numbers, _column(truth[list(train)]))
        losses = [self._loss(model, held_out, truth[list(validation)]) for model in models]
        self._model = models[int(np.argmin(losses))]
        return self

    def predict(self, image_set: ImageSource, indices: Sequence[int]) -> Floats:
        """Return probabilities or values of images, (n, outputs)."""
        if self._model is None:
            raise ValueError("nothing was learnt yet: fit first")
        check_images(image_set, self.problem)
        if not len(indices):
            return np.empty((0, len(self.problem.outputs)))
        return self._answers(self._model, feature_table(image_set, indices, self._folder))

    def evidence(self, image_set: ImageSource, indices: Sequence[int]) -> Floats:
        """Return log-probabilities or values of images, (n, outputs)."""
        answers = self.predict(image_set, indices)
        if not self.problem.is_classification:
            return answers
        return np.log(np.maximum(answers, _LEAST_PROBABILITY))

    def _answers(self, model: Any, numbers: Floats) -> Floats:
        """Probabilities or values of a model."""
        if self.problem.is_classification:
            return np.asarray(model.predict_proba(numbers), dtype=np.float64)
        values = np.asarray(model.predict(numbers), dtype=np.float64)
        return values.reshape(len(numbers), len(self.problem.outputs))

    def _loss(self, model: Any, numbers: Floats, truth: NDArray[Any]) -> float:
        """Mean loss: cross-entropy, or squares over the variance of each property."""
        if not len(truth):
            return 0.0
        answers = self._answers(model, numbers)
        if self.problem.is_classification:
            chosen = answers[np.arange(len(truth)), truth]
            return float(-np.log(np.maximum(chosen, _LEAST_PROBABILITY)).mean())
        spread = np.maximum(truth.var(axis=0), np.finfo(float).tiny)
        return float(np.mean((answers - truth) ** 2 / spread))


def _column(truth: NDArray[Any]) -> NDArray[Any]:
    """Targets as scikit-learn takes them: one property is no table."""
    return truth[:, 0] if truth.ndim == 2 and truth.shape[1] == 1 else truth
