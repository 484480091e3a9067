"""What a training is given, checked before anything is read at length, built or written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from .channels import ModelSpec, Problem, TargetScale, check_units
from .feeding import ImageSource
from .options import TrainingOptions

__all__ = ["TrainingInput", "as_targets", "check_images", "checked_input"]

_LEAST = 2  # images of a class in the training part: one alone is learnt by heart


@dataclass(frozen=True, eq=False)
class TrainingInput:
    """What a training is given.

    Parameters
    ----------
    image_set : ImageSource
        All images.
    targets : ndarray of int32, shape (images,), or of float32, shape (images, properties)
        Numbers of classes, or standardised values.
    train, validation : tuple of int
        Images of the parts.
    spec : ModelSpec
        The network.
    options : TrainingOptions
        How it is trained.
    scale : TargetScale
        By what values were standardised.
    fingerprint : str
        Hash of all of it.
    """

    image_set: ImageSource
    targets: NDArray[Any]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    spec: ModelSpec
    options: TrainingOptions
    scale: TargetScale
    fingerprint: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(lines, points, channels)."""
        return (*self.spec.shape, len(self.spec.channels))

    def judged(self, answers: NDArray[np.float64]) -> tuple[float, float]:
        """Return loss and score of the validation part.

        Parameters
        ----------
        answers : ndarray, shape (n, outputs)
            Logits, or standardised values.

        Returns
        -------
        loss : float
            Mean cross-entropy in nats, or mean square of standardised residuals.
        score : float
            Accuracy, or mean R² of the properties against their mean over this part.
        """
        if not self.validation:
            return float("nan"), float("nan")
        truth = self.targets[list(self.validation)]
        if self.spec.is_classification:
            chosen = log_softmax(answers, axis=1)[np.arange(len(truth)), truth]
            return float(-chosen.mean()), float(np.mean(answers.argmax(axis=1) == truth))
        residual = np.mean((answers - truth) ** 2, axis=0)
        spread = truth.var(axis=0, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            determined = np.where(spread > 0, 1 - residual / spread, np.nan)
        return float(residual.mean()), float(determined.mean())


def check_images(image_set: ImageSource, problem: Problem) -> None:
    """Refuse images that are not what a network reads.

    Raises
    ------
    ValueError
        Channels, their order, their units or the shape are others.
    """
    check_units(problem.channels, image_set.units)
    if tuple(image_set.channels) != problem.channels:
        raise ValueError(
            f"the images have the channels {', '.join(image_set.channels)}: "
            f"{', '.join(problem.channels)} are read, in this order"
        )
    if tuple(image_set.shape) != problem.shape:
        here, there = (" x ".join(map(str, shape)) for shape in (image_set.shape, problem.shape))
        raise ValueError(f"the images have {here} pixels: {there} are read")


def as_targets(problem: Problem, targets: Sequence[str] | NDArray[Any], images: int) -> Any:
    """Return numbers of classes (images,) or values (images, properties).

    Raises
    ------
    ValueError
        There are more or fewer than images, a class is not one of the outputs, or a value is not
        finite.
    """
    if len(targets) != images:
        raise ValueError(f"{len(targets)} targets for {images} images")
    if problem.is_classification:
        numbers = {name: number for number, name in enumerate(problem.outputs)}
        unknown = sorted({str(name) for name in targets} - set(numbers))
        if unknown:
            raise ValueError(f"class {unknown[0]} is not one of {', '.join(problem.outputs)}")
        return np.array([numbers[str(name)] for name in targets], dtype=np.int32)
    values = np.asarray(targets, dtype=np.float64)
    values = values.reshape(images, -1)
    if values.shape[1] != len(problem.outputs):
        raise ValueError(
            f"{values.shape[1]} values an image for {len(problem.outputs)} properties: "
            f"{', '.join(problem.outputs)}"
        )
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])
        raise ValueError(f"{problem.outputs[place]} is not known of every image")
    return values


def checked_parts(
    problem: Problem, targets: NDArray[Any], split: Any, images: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the training and the validation part.

    Raises
    ------
    ValueError
        They share an image, name one that does not exist, or a class has too few.
    """
    train = tuple(int(index) for index in split.train)
    validation = tuple(int(index) for index in split.validation)
    parts = {"train": train, "validation": validation, "test": tuple(split.test)}
    seen = Counter(index for part in parts.values() for index in set(part))
    twice = [index for index, number in seen.items() if number > 1]
    if twice:
        raise ValueError(f"image {twice[0]} is in two parts of the split")
    strange = [index for index in seen if not 0 <= index < images]
    if strange:
        raise ValueError(f"image {strange[0]} of the split does not exist: there are {images}")
    if len(train) < _LEAST:
        raise ValueError(f"{len(train)} training images: {_LEAST} at least")
    if problem.is_classification:
        counts = np.bincount(targets[list(train)], minlength=len(problem.outputs))
        few = int(np.argmin(counts))
        if counts[few] < _LEAST:
            raise ValueError(
                f"class {problem.outputs[few]} has {counts[few]} training images: {_LEAST} at least"
            )
    return train, validation


def checked_input(
    image_set: ImageSource,
    targets: Sequence[str] | NDArray[Any],
    split: Any,
    spec: ModelSpec,
    options: TrainingOptions,
) -> TrainingInput:
    """Check what a training is given; see `analysis.networks.training.train`.

    Raises
    ------
    ValueError
        Something does not fit.
    """
    check_images(image_set, spec)
    values = as_targets(spec, targets, len(image_set))
    train, validation = checked_parts(spec, values, split, len(image_set))
    scale = TargetScale.of(spec, values[list(train)])
    fingerprint = _fingerprint(image_set, values, (train, validation), spec, options)
    if not spec.is_classification:
        standardised = (values - np.asarray(scale.mean)) / np.asarray(scale.spread)
        values = standardised.astype(np.float32)
    return TrainingInput(image_set, values, train, validation, spec, options, scale, fingerprint)


def _fingerprint(
    image_set: ImageSource,
    targets: NDArray[Any],
    parts: tuple[tuple[int, ...], tuple[int, ...]],
    spec: ModelSpec,
    options: TrainingOptions,
) -> str:
    """SHA-256 of all that decides how a training goes."""
    digest = hashlib.sha256()
    about = {"spec": spec.as_dict(), "options": options.as_dict(), "parts": parts}
    digest.update(json.dumps(about, sort_keys=True).encode())
    for part in parts:
        rows = [[image_set.digests[index][name] for name in spec.channels] for index in part]
        digest.update(json.dumps(rows).encode())
        digest.update(np.ascontiguousarray(targets[list(part)]).tobytes())
    if options.start_from:
        path = Path(options.start_from)
        if not path.is_file():
            raise ValueError(f"no network in {path}: there is no such file")
        digest.update(path.read_bytes())
    return digest.hexdigest()
