"""Everything that can be asked about an image, behind one protocol: networks and baselines alike.

A table that compares them does not know which is which. Importing this module imports no library
for networks; what a kind needs is imported when one of it is made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .channels import ModelSpec, Problem
from .options import Progress, TrainingOptions

if TYPE_CHECKING:
    from .feeding import ImageSource
    from .trained import Trained

__all__ = ["ESTIMATORS", "NETWORKS", "Estimator", "Factory", "NetworkEstimator", "estimator_of"]

NETWORKS: tuple[str, ...] = ("resnet50", "small_resnet", "small_cnn")
"""Estimators that are trained as options tell."""

Floats = NDArray[np.float64]


class Estimator(Protocol):
    """Learns from the training part of a split and answers for any image."""

    def fit(
        self, image_set: ImageSource, targets: Sequence[str] | NDArray[Any], split: Any
    ) -> Estimator:
        """Learn; `targets` are of every image of the set: classes, or values (n, properties)."""
        ...

    def predict(self, image_set: ImageSource, indices: Sequence[int]) -> Floats:
        """Return probabilities in the order of the outputs, or values, (n, outputs)."""
        ...

    def evidence(self, image_set: ImageSource, indices: Sequence[int]) -> Floats:
        """Return logits or log-probabilities, or values, (n, outputs)."""
        ...


class NetworkEstimator:
    """A network.

    Parameters
    ----------
    problem : Problem
        What is asked.
    architecture : str
        One of `analysis.networks.architectures.ARCHITECTURES`.
    folder : Path, optional
        Of its training alone; unless given, nothing is left of it but what is in memory.
    options : TrainingOptions, optional
        How it is trained.
    progress : callable(Progress), optional
        Called after each batch.
    """

    def __init__(
        self,
        problem: Problem,
        architecture: str,
        folder: Path | None = None,
        options: TrainingOptions | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self.problem = problem
        self.trained: Trained | None = None
        self._spec = ModelSpec.of(problem, architecture)
        self._options = options or TrainingOptions()
        self._progress = progress
        self._folder = folder
        self._model: Any = None

    def fit(
        self, image_set: ImageSource, targets: Sequence[str] | NDArray[Any], split: Any
    ) -> NetworkEstimator:
        """Train the network, or go on with its training; see `analysis.networks.training.train`."""
        from .architectures import load_network
        from .training import train

        with ExitStack() as stack:
            folder = self._folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.trained = train(
                image_set, targets, split, self._spec, self._options, folder, self._progress
            )
            self._model = load_network(self.trained.model)
        return self

    def evidence(self, image_set: ImageSource, indices: Sequence[int]) -> Floats:
        """Return logits or values of images, (n, outputs)."""
        from ._training_input import check_images
        from .training import predicted

        if self._model is None:
            raise ValueError("nothing was learnt yet: fit first")
        check_images(image_set, self.problem)
        return predicted(self._model, image_set, indices)

    def predict(self, image_set: ImageSource, indices: Sequence[int]) -> Floats:
        """Return probabilities or values of images, (n, outputs)."""
        from scipy.special import softmax

        answers = self.evidence(image_set, indices)
        return softmax(answers, axis=1) if self.problem.is_classification else answers


class Factory(Protocol):
    """Makes an estimator."""

    def __call__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        folder: Path | None = None,
        options: TrainingOptions | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> Estimator:
        """Return an estimator that has learnt nothing yet.

        Parameters
        ----------
        problem : Problem
            What is asked.
        seed : int
            Of what is drawn at random; in place of that of the options.
        folder : Path, optional
            Where it keeps what it can go on from. Baselines may share one, networks may not.
        options : TrainingOptions, optional
            How networks are trained; baselines have none.
        progress : callable(Progress), optional
            Called by networks after each batch.
        """
        ...


def _network(
    architecture: str,
    problem: Problem,
    *,
    seed: int = 0,
    folder: Path | None = None,
    options: TrainingOptions | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Estimator:
    """Make a network."""
    chosen = replace(options or TrainingOptions(), seed=seed)
    return NetworkEstimator(problem, architecture, folder, chosen, progress)


def _baseline(
    method: str,
    problem: Problem,
    *,
    seed: int = 0,
    folder: Path | None = None,
    options: TrainingOptions | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Estimator:
    """Make a baseline."""
    from . import baselines

    methods = {"linear": baselines.linear, "forest": baselines.forest}
    return baselines.FeatureEstimator(problem, methods[method], seed, folder)


ESTIMATORS: Mapping[str, Factory] = MappingProxyType(
    {
        **{name: partial(_network, name) for name in NETWORKS},
        "features+logistic": partial(_baseline, "linear"),
        "features+forest": partial(_baseline, "forest"),
    }
)
"""What makes an estimator, by name; the linear baseline of a regression is a ridge regression."""


def estimator_of(name: str, problem: Problem, **kwargs: Any) -> Estimator:
    """Make the estimator of a name; see `Factory`.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"estimator {name!r} is not known: choose of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name](problem, **kwargs)
