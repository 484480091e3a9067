"""From an image set to a published model, and from a recorded run to what a model says of it."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from station import StationError
from station.journal import read_documents
from station.lookup import analysis_of, raw_run
from station.model_registry import registry_of
from station.predictions import PredictionWorker, make_prediction_analysis
from station.replaying import differences
from station.settings import Settings

if TYPE_CHECKING:
    from analysis.datasets import ImageSet
    from analysis.networks import TrainingOptions
    from analysis.networks.options import Progress
    from analysis.networks.records import PredictionResult
    from analysis.networks.registry import Registered

__all__ = ["ModellingError", "Predicted", "Wanted", "predict_run", "read_properties", "train_model"]


_MICRO = 1e-6


class ModellingError(StationError):
    """A model cannot be made, or has nothing to say; one line."""


@dataclass(frozen=True)
class Wanted:
    """The model that is to be made.

    Parameters
    ----------
    name : str
        In the registry.
    channels : tuple of str
        That it looks at.
    architecture : str
        Of `analysis.networks.architectures`.
    properties : mapping of str to mapping
        Values of the properties of each sample; without any the model tells the samples apart.
    samples : tuple of str
        Images of these alone; all of the set if empty.
    folds, fold : int
        The set is parted into so many; one is for the test.
    by : tuple of str
        What keeps images on one side: ``session``, ``probe``, ``field``.
    intended_use, limits : str
        For its card.
    """

    name: str
    channels: tuple[str, ...]
    architecture: str = "resnet50"
    properties: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    folds: int = 5
    fold: int = 0
    by: tuple[str, ...] = ("session", "field")
    intended_use: str = ""
    limits: str = ""


@dataclass(frozen=True)
class Predicted:
    """What a model says of a recorded run.

    Parameters
    ----------
    raw_uid : str
        Of the run.
    result : PredictionResult
        Found now.
    stored_uid : str or None
        Analysis run of the same model that was made live, if there is one.
    differences : tuple of str
        Where it differs from that.
    """

    raw_uid: str
    result: PredictionResult
    stored_uid: str | None
    differences: tuple[str, ...]


def train_model(
    settings: Settings,
    image_set: ImageSet,
    wanted: Wanted,
    options: TrainingOptions,
    progress: Callable[[Progress], object] | None = None,
) -> Registered:
    """Train a network, or go on with its training, and publish it.

    Parameters
    ----------
    settings : Settings
        The data folder: what is half done is in ``<data>/trainings/<name>``.
    image_set : ImageSet
        The images.
    wanted : Wanted
        The model.
    options : TrainingOptions
        How it is trained.
    progress : callable, optional
        Called after each batch.

    Returns
    -------
    Registered
        The new version.

    Raises
    ------
    ValueError
        Images, split and network do not fit; nothing is left behind.
    """
    from analysis.datasets import grouped_splits
    from analysis.networks import ModelSpec, check_units
    from analysis.networks.channels import CLASSIFICATION, REGRESSION
    from analysis.networks.publishing import Publication, publish
    from analysis.networks.registry import checked_name

    folder = settings.data / "trainings" / checked_name(wanted.name)
    check_units(wanted.channels, image_set.units)
    registry = registry_of(settings)
    if not 0 <= wanted.fold < wanted.folds:
        raise ValueError(f"fold is {wanted.fold}: 0 to {wanted.folds - 1} are there")
    chosen = image_set.only(channels=wanted.channels, samples=wanted.samples or None)
    labels: Any = chosen.labels()
    if wanted.properties:
        names, targets = _values(labels, wanted.properties)
        task = REGRESSION
    else:
        names, targets, task = chosen.samples, labels, CLASSIFICATION
    spec = ModelSpec(task, wanted.channels, tuple(names), chosen.shape, wanted.architecture)
    split = grouped_splits(chosen, folds=wanted.folds, seed=options.seed, by=wanted.by)[wanted.fold]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its remarks would break the progress bar
    from analysis.networks.training import train

    trained = train(chosen, targets, split, spec, options, folder, progress)
    publication = Publication(wanted.name, options.seed, wanted.intended_use, wanted.limits)
    return publish(registry, trained.model, chosen, targets, split, publication)


def _values(
    labels: tuple[str, ...], properties: Mapping[str, Mapping[str, float]]
) -> tuple[tuple[str, ...], Any]:
    """Return the names of the properties, and their values for each image."""
    for sample in sorted(set(labels)):
        if sample not in properties:
            raise ModellingError(f"the properties of sample {sample} are not told")
    names = tuple(next(iter(properties.values())))
    return names, np.array([[properties[label][name] for name in names] for label in labels])


def read_properties(path: Path) -> dict[str, dict[str, float]]:
    """Read properties of samples: CSV, the first column ``sample``, one more a property.

    Raises
    ------
    ModellingError
        The file is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found = {row.pop("sample"): {k: float(v) for k, v in row.items()} for row in rows}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModellingError(
            f"{path} is no table of properties (sample,property,...): {error}"
        ) from error
    if not found or not next(iter(found.values())):
        raise ModellingError(f"{path} holds no properties: its first line is sample,property,...")
    return found


def predict_run(settings: Settings, name: str, model: str | None = None) -> Predicted:
    """Ask a model what a recorded run shows, by the callback that asks it live.

    Parameters
    ----------
    settings : Settings
        Where runs and models are.
    name : str
        As for `station.lookup.run_named`.
    model : str, optional
        Name, or name and version; that of the settings unless given.

    Raises
    ------
    ValueError
        The run is no image for this model.
    StationError
        The model does not answer.
    """
    from analysis.networks.records import NAME, result_from_documents
    from analysis.recorded import channels_of_run
    from analysis.replay import replay

    raw = raw_run(settings, name)
    found: list[tuple[str, dict[str, Any]]] = []
    worker = PredictionWorker(settings, model)
    router = make_prediction_analysis(worker)(lambda kind, doc: found.append((kind, dict(doc))))
    image = channels_of_run(read_documents(raw.path))
    units = {channel.name: channel.unit for channel in image.channels}
    worker.card.check_stream(units, units, image.channels[0].x_size / _MICRO)
    with worker:
        replay(read_documents(raw.path), router)
        router.close()
    try:
        result = result_from_documents(found)
    except ValueError as error:
        raise ModellingError(f"run {raw.uid[:8]}: {error}") from error
    before = analysis_of(settings, raw, NAME)
    if before is None or before.start["analysis"]["parameters"]["model"] != result.by.model:
        return Predicted(raw.uid, result, None, ())
    unlike = tuple(differences(found, read_documents(before.path)))
    return Predicted(raw.uid, result, before.uid, unlike)
