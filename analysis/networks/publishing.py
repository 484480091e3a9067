"""From a trained network to a model that others can rely on.

What a network was taught does not tell how far its probabilities can be trusted, how much they
scatter, which images it knows, and how far images of one session repeat each other: all of it is
measured here, on images of the validation part, and goes into the registry with the network. The
test part says how well that works.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .card import DataFacts, ModelCard, ModelInputs, SplitFacts, hash_of_split
from .channels import CLASSIFICATION, ModelSpec, check_units
from .dependence import DEPENDENCE, believed_correlation
from .descriptors import filled
from .last_layer import LastLayer
from .novelty import ALLOWED, NoveltyDetector, Seen
from .predictor import Knowledge, Network, calibrated, log_probabilities, open_network
from .registry import MODEL, REFERENCE, Registered, Registry

if TYPE_CHECKING:
    from ..datasets.image_set import ImageSet
    from ..datasets.records import ImageRecord

__all__ = ["Parts", "Publication", "publish"]

Floats = NDArray[np.float64]

_BATCH = 16  # images that are held and answered at a time
_LIBRARIES = ("keras", "tensorflow", "numpy", "scikit-learn")
_FEWEST = 2  # validation images without which nothing can be calibrated


class Parts(Protocol):
    """Which images a network was trained, chosen and judged by: an `analysis.datasets` split."""

    @property
    def train(self) -> Sequence[int]:
        """Of the image set."""
        ...

    @property
    def validation(self) -> Sequence[int]:
        """Of the image set."""
        ...

    @property
    def test(self) -> Sequence[int]:
        """Of the image set."""
        ...


@dataclass(frozen=True)
class Publication:
    """What people and the registry are told of a model.

    Parameters
    ----------
    name : str
        Of the model.
    seed : int
        That it was trained with.
    intended_use, limits : str
        What it is for, and where it is of no use.
    metrics : mapping of str to float
        What else was measured.
    allowed : float
        Share of known images on which it may abstain.
    """

    name: str
    seed: int = 0
    intended_use: str = ""
    limits: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    allowed: float = ALLOWED


@dataclass(frozen=True, eq=False)
class _Answered:
    """Images of a part, and what the network makes of them."""

    indices: tuple[int, ...]
    images: NDArray[np.float32]
    answers: Floats
    embeddings: Floats


@dataclass(frozen=True, eq=False)
class _Taught:
    """What a network is for, and what it makes of the images that it was made from."""

    spec: ModelSpec
    records: Sequence[ImageRecord]
    parts: Mapping[str, _Answered]
    truth: NDArray[Any]

    @property
    def classifies(self) -> bool:
        return self.spec.task == CLASSIFICATION

    def truth_of(self, part: str) -> NDArray[Any]:
        return self.truth[list(self.parts[part].indices)]

    def records_of(self, part: str) -> list[ImageRecord]:
        return [self.records[index] for index in self.parts[part].indices]

    def seen(self, part: str) -> Seen:
        """Return what tells known images from new ones."""
        told = self.parts[part]
        return Seen(told.embeddings, told.images, told.answers if self.classifies else None)


def publish(
    registry: Registry,
    model: Path,
    image_set: ImageSet,
    targets: Sequence[str] | ArrayLike,
    split: Parts,
    publication: Publication,
) -> Registered:
    """Calibrate a trained network and add it to the registry.

    Parameters
    ----------
    registry : Registry
        Where it goes.
    model : Path
        The trained network, a ``.keras`` file.
    image_set : ImageSet
        That it was trained on.
    targets : sequence of str, or array_like, shape (n, properties)
        The truth of each image of the set.
    split : Parts
        How the set was divided.
    publication : Publication
        Name, seed, and what people are told.

    Returns
    -------
    Registered
        The next version of its name.

    Raises
    ------
    ValueError
        The set is not the one that the network is for, or its validation part is too small.
    """
    from .architectures import load_network, spec_of

    spec = spec_of(load_network(model))
    check_units(spec.channels, image_set.units)
    if tuple(image_set.shape) != spec.shape:
        raise ValueError(f"the network is for images of {spec.shape} pixels, not {image_set.shape}")
    if len(split.validation) < _FEWEST:
        raise ValueError(f"{len(split.validation)} validation images: give {_FEWEST} or more")
    chosen = image_set.only(channels=spec.channels)
    network = open_network(model)
    parts = {
        name: _answered(network, chosen, getattr(split, name))
        for name in ("train", "validation", "test")
    }
    taught = _Taught(spec, chosen.records, parts, _truth(spec, targets))
    temperature = _temperature(taught)
    known = Knowledge(
        novelty=_novelty(taught, publication.allowed), last_layer=_last_layer(taught, temperature)
    )
    measured = {**_measured(taught, known), **_dependence(taught, known, temperature)}
    limits = publication.limits
    if not math.isfinite(known.novelty.limit):
        few = f"It never abstains: {len(split.validation)} validation images set no limit for that."
        limits = f"{limits} {few}".strip()
    told = replace(publication, limits=limits)
    card = _card(spec, chosen, split, told, temperature, measured)

    def write(folder: Path) -> None:
        shutil.copyfile(model, folder / MODEL)
        known.write(folder / REFERENCE)

    return registry.publish(card, write)


def _answered(network: Network, image_set: ImageSet, indices: Sequence[int]) -> _Answered:
    images, answers, embeddings = [], [], []
    for first in range(0, len(indices), _BATCH):
        batch = image_set.images(list(indices[first : first + _BATCH]))
        batch = np.stack([filled(image)[0] for image in batch])
        given = network(batch)
        images.append(batch)
        answers.append(given[0])
        embeddings.append(given[1])
    if not images:
        shape = (0, *image_set.shape, len(image_set.channels))
        return _Answered((), np.empty(shape, np.float32), np.empty((0, 1)), np.empty((0, 1)))
    return _Answered(
        tuple(indices),
        np.concatenate(images),
        np.concatenate(answers).astype(np.float64),
        np.concatenate(embeddings).astype(np.float64),
    )


def _truth(spec: ModelSpec, targets: Sequence[str] | ArrayLike) -> NDArray[Any]:
    """Return index of the class, or the values, of each image of the set."""
    if spec.task != CLASSIFICATION:
        values = np.asarray(targets, dtype=np.float64)
        return values.reshape(len(values), -1)
    names = [str(name) for name in np.asarray(targets).tolist()]
    unknown = sorted(set(names) - set(spec.outputs))
    if unknown:
        told = ", ".join(spec.outputs)
        raise ValueError(f"the network knows no {', '.join(unknown)}; its classes are {told}")
    return np.array([spec.outputs.index(name) for name in names], dtype=np.intp)


def _temperature(taught: _Taught) -> float:
    if not taught.classifies:
        return 1.0
    from scipy.special import softmax

    from ..evaluation import fit_temperature

    answers = taught.parts["validation"].answers
    found = fit_temperature(softmax(answers, axis=1), taught.truth_of("validation"))
    # Of a few images without an error any temperature towards 0 is the better: they cannot tell
    # that the network may be surer than it is.
    return max(found, 1.0)


def _novelty(taught: _Taught, allowed: float) -> NoveltyDetector:
    samples = [record.sample for record in taught.records_of("train")]
    return NoveltyDetector.fit(taught.seen("train"), samples, taught.seen("validation"), allowed)


def _last_layer(taught: _Taught, temperature: float) -> LastLayer:
    train, held = taught.parts["train"], taught.parts["validation"]
    theirs = taught.truth_of("validation")
    if not taught.classifies:
        return LastLayer.of_values(train.embeddings, (held.answers, theirs))
    learnt, checked = (
        log_probabilities(calibrated(part.answers, temperature)) for part in (train, held)
    )
    return LastLayer.of_classes((train.embeddings, learnt), (held.embeddings, checked, theirs))


def _measured(taught: _Taught, known: Knowledge) -> dict[str, float]:
    """Return how well the model does on the test part, if there is one."""
    test = taught.parts["test"]
    if not test.indices:
        return {}
    theirs = taught.truth_of("test")
    new = known.novelty.novelty(taught.seen("test")) > 1.0
    found = {"test_images": float(len(theirs)), "test_abstained": float(np.mean(new))}
    if taught.classifies:
        right = np.argmax(test.answers, axis=1) == theirs
        return {**found, "test_accuracy": float(np.mean(right))}
    for column, name in enumerate(taught.spec.outputs):
        residual = float(np.sum((test.answers[:, column] - theirs[:, column]) ** 2))
        about = float(np.sum((theirs[:, column] - theirs[:, column].mean()) ** 2))
        if about > 0.0:
            found[f"test_r2_{name}"] = 1.0 - residual / about
    return found


def _dependence(taught: _Taught, known: Knowledge, temperature: float) -> dict[str, float]:
    """Return how far images of sessions that the network has not seen repeat each other, if told.

    Images on which it abstains count for nothing, as they do when it is asked.
    """
    if not taught.classifies:
        return {}
    trained = {record.session for record in taught.records_of("train")}
    unlike = known.novelty.novelty(taught.seen("validation")) > 1.0
    records, truth = taught.records_of("validation"), taught.truth_of("validation")
    counted = [
        place
        for place, record in enumerate(records)
        if record.session not in trained and not unlike[place]
    ]
    found = believed_correlation(
        calibrated(taught.parts["validation"].answers[counted], temperature),
        truth[counted].tolist(),
        [(records[place].sample, records[place].session) for place in counted],
    )
    return {} if found is None else {DEPENDENCE: found}


def _card(
    spec: ModelSpec,
    image_set: ImageSet,
    split: Parts,
    publication: Publication,
    temperature: float,
    measured: Mapping[str, float],
) -> ModelCard:
    records = image_set.records
    uids = {
        name: tuple(dict.fromkeys(records[index].run_uid for index in getattr(split, name)))
        for name in ("train", "validation", "test")
    }

    def each(name: str) -> tuple[str, ...]:
        return tuple(sorted({str(getattr(record, name)) for record in records}))

    return ModelCard(
        name=publication.name,
        version=0,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=spec.task,
        architecture=spec.architecture,
        outputs=spec.outputs,
        inputs=ModelInputs(
            channels=spec.channels,
            units={name: image_set.units[name] for name in spec.channels},
            size_um=float(image_set.size_um),
            shape=spec.shape,
        ),
        data=DataFacts(
            content_hash=image_set.content_hash,
            images=len(image_set),
            samples=each("sample"),
            probes=each("probe"),
            sessions=each("session"),
        ),
        split=SplitFacts(**uids, hash=hash_of_split(**uids)),
        seed=publication.seed,
        code_version=_version("twinscope"),
        libraries={name: _version(name) for name in _LIBRARIES},
        metrics={**measured, **publication.metrics},
        temperature=temperature,
        intended_use=publication.intended_use,
        limits=publication.limits,
    )


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # as tensorflow-cpu in the place of tensorflow
        return "unknown"
