"""Many formulations, what bulk tests find of each, and what images tell of those never seen.

Every formulation is drawn for itself and imaged by probes of its own sessions, so a split by
formulations is one by probes and sessions too. Nothing is learnt of a formulation that is tested.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from analysis.datasets import (
    ImageRecord,
    ImageSet,
    Split,
    check_split,
    open_image_set,
    write_image_set,
)
from analysis.evaluation import Regressed
from analysis.networks.channels import REGRESSION, Problem
from analysis.networks.checkpoints import written_whole
from analysis.networks.estimators import estimator_of
from analysis.networks.tasks import PROPERTIES
from benchmarks._network_runs import Recipe, bulk_properties, properties_of, simulated_runs
from plans.scans import Scan, field_place
from sim.copolymer import Copolymer, Formulation

__all__ = [
    "FORCE",
    "MEAN",
    "PHASE",
    "Family",
    "averaged",
    "expected_properties",
    "from_rubber",
    "hidden_shares",
    "image_sets",
    "predictions",
    "regressed",
    "splits_of",
]

Floats = NDArray[np.float64]
FORCE = ("deformation", "dissipation", "dmt_modulus")
PHASE = ("phase",)
_NAMES = tuple(PROPERTIES)
_SIDE = 96  # points of a line: the smallest domains have 14 across at 4 µm, 6 at 10 µm
MEAN = "mean"
"""In place of an estimator: who sees no image."""


@dataclass(frozen=True)
class Family:
    """Formulations, and how many images are taken of each.

    Parameters
    ----------
    formulations : int
        How many are drawn.
    probes : int
        For each formulation, none of which sees another; each has a session.
    fields : int
        That a probe images.
    lines : int
        Of an image, and points of a line.
    seed : int
        Of formulations, surfaces, probes and what no image shows.
    """

    formulations: int = 100
    probes: int = 2
    fields: int = 2
    lines: int = 128
    seed: int = 0

    @property
    def images(self) -> int:
        """Of one mode."""
        return self.formulations * self.probes * self.fields

    def drawn(self) -> tuple[Formulation, ...]:
        """Return the formulations; those of a larger family begin with those of a smaller one."""
        rng = np.random.default_rng([self.seed, crc32(b"formulations")])
        return tuple(
            Formulation.drawn(rng, f"F{number:03d}") for number in range(self.formulations)
        )

    def recipes(self) -> Iterator[Recipe]:
        """Yield how each formulation is imaged in PeakForce QNM."""
        for number, made in enumerate(self.drawn()):
            yield Recipe(
                (made.name,),
                sessions=self.probes,
                fields=self.fields,
                lines=self.lines,
                seed=self.seed,
                first_session=self.probes * number,
                drawn=(made,),
            )

    def tested(self) -> dict[str, dict[str, float]]:
        """Return what bulk tests find of each formulation."""
        return bulk_properties(self.drawn(), self.seed)

    def shown(self) -> dict[str, dict[str, float]]:
        """Return what they would find were there nothing that no image shows."""
        return {made.name: properties_of(made.bulk()) for made in self.drawn()}


def image_sets(
    family: Family, folder: Path, told: Callable[[str, int, int], object]
) -> tuple[ImageSet, ImageSet]:
    """Take the images that are not in a folder yet, in PeakForce QNM and of the phase.

    Parameters
    ----------
    family : Family
    folder : Path
        Of runs and image sets.
    told : callable(what, done, of)
        Told of the progress.

    Returns
    -------
    force, phase : ImageSet
        Images of the same formulations in the same order.
    """
    force = list(family.recipes())
    # as Bruker application note 155 took them
    phase = [replace(recipe, size=10.0, mode="Tapping") for recipe in force]
    return (
        _image_set(folder, "force", force, FORCE, told),
        _image_set(folder, "phase", phase, PHASE, told),
    )


def _image_set(
    folder: Path,
    name: str,
    recipes: Sequence[Recipe],
    channels: tuple[str, ...],
    told: Callable[[str, int, int], object],
) -> ImageSet:
    runs = []
    for done, recipe in enumerate(recipes, start=1):
        runs.append(simulated_runs(folder / f"{name}-runs" / recipe.samples[0], recipe))
        told(f"{name} formulations", done, len(recipes))
    path = folder / f"{name}.h5"
    if path.exists():
        found = open_image_set(path)
        if [record.run_uid for record in found.records] == [uid for of in runs for uid in of.uids]:
            return found
    return write_image_set(path, chain.from_iterable(runs), channels)


def splits_of(images: ImageSet, folds: int, seed: int = 0) -> list[Split]:
    """Part the formulations of a set, each in a test part once.

    Parameters
    ----------
    images : ImageSet
    folds : int
        One is tested and the next one is for validation.
    seed : int
        Sets of the same formulations are parted alike by the same seed.

    Raises
    ------
    LeakError
        Two parts share a session, or an image.
    """
    order = np.random.default_rng(seed).permutation(images.samples)
    parts = np.array_split(order, folds)
    labels = np.array(images.labels())
    found = []
    for fold in range(folds):
        tested = np.isin(labels, parts[fold])
        validated = np.isin(labels, parts[(fold + 1) % folds])
        kinds = (~tested & ~validated, validated, tested)
        split = Split(*(tuple(np.flatnonzero(kind).tolist()) for kind in kinds))
        check_split(images, split)
        found.append(split)
    return found


def predictions(
    images: ImageSet,
    values: Mapping[str, Mapping[str, float]],
    estimator: str,
    splits: Sequence[Split],
    folder: Path,
    names: Sequence[str] = _NAMES,
) -> Regressed:
    """Predict properties of formulations that were not learnt from, a model for each property.

    Parameters
    ----------
    images : ImageSet
        Of the channels that are read.
    values : mapping
        Of each formulation, by name, the values of the properties.
    estimator : str
        Of `analysis.networks.estimators.ESTIMATORS`, or `MEAN`, which says the mean of the training
        part.
    splits : sequence of Split
        That test every image once.
    folder : Path
        Where it is kept what was measured of images and what models said.
    names : sequence of str
        Which properties.
    """
    true = np.array([[values[sample][name] for name in names] for sample in images.labels()])
    said = [
        _answers(images, name, own, estimator, splits, folder)
        for name, own in zip(names, true.T, strict=True)
    ]
    return regressed(images, names, true, np.stack(said, axis=1))


def _answers(
    images: ImageSet,
    name: str,
    true: Floats,
    estimator: str,
    splits: Sequence[Split],
    folder: Path,
) -> Floats:
    """What models of one property say of every image, each asked of what it did not learn from."""
    asked = [images.content_hash, name, true.tolist(), estimator, [each.parts for each in splits]]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    path = folder / "answers" / f"{key}.npy"
    if path.exists():
        return np.load(path, allow_pickle=False)
    predicted = np.full(true.shape, np.nan)
    for number, split in enumerate(splits):
        tested = list(split.test)
        if estimator == MEAN:
            predicted[tested] = true[list(split.train)].mean()
            continue
        problem = Problem(REGRESSION, images.channels, (name,), images.shape)
        model = estimator_of(estimator, problem, seed=number, folder=folder / "features")
        model.fit(images, true, split)
        predicted[tested] = model.predict(images, split.test)[:, 0]
    path.parent.mkdir(parents=True, exist_ok=True)
    written_whole(path, lambda beside: np.save(beside, predicted, allow_pickle=False))
    return predicted


def from_rubber(images: ImageSet, family: Family, splits: Sequence[Split]) -> Regressed:
    """Predict the properties by straight lines in the share of rubber that a field really has.

    Parameters
    ----------
    images : ImageSet
        Of the fields; what was imaged of them is not used.
    family : Family
        Of which they are.
    splits : sequence of Split
        That test every image once; lines are fitted to the other parts.
    """
    surfaces = {made.name: Copolymer(made, family.seed) for made in family.drawn()}
    share = np.array([_rubber(surfaces[record.sample], record) for record in images.records])
    tested = family.tested()
    true = np.array([[tested[sample][name] for name in _NAMES] for sample in images.labels()])
    predicted = np.full(true.shape, np.nan)
    terms = np.stack([np.ones_like(share), share], axis=1)
    for split in splits:
        learnt, asked = [*split.train, *split.validation], list(split.test)
        lines = np.linalg.lstsq(terms[learnt], true[learnt], rcond=None)[0]
        predicted[asked] = terms[asked] @ lines
    return regressed(images, _NAMES, true, predicted)


def _rubber(surface: Copolymer, record: ImageRecord) -> float:
    """Share of a field that is rubber or polyethylene."""
    place = field_place(record.sample, record.field, Scan(record.size, 1.0, *record.shape))
    steps = record.size * ((np.arange(_SIDE) + 0.5) / _SIDE - 0.5)
    x, y = np.meshgrid(1e-6 * (place.x + steps), 1e-6 * (place.y + steps))
    return float((surface.component(x, y) > 0).mean())


def regressed(images: ImageSet, names: Sequence[str], true: Floats, predicted: Floats) -> Regressed:
    """Return predictions of images whose groups are their formulations.

    Parameters
    ----------
    images : ImageSet
    names : sequence of str
        Of the properties.
    true, predicted : ndarray, shape (images, properties)
    """
    labels = images.labels()
    uids = [f"{record.run_uid}/{record.event}" for record in images.records]
    return Regressed(uids, labels, labels, tuple(names), true, predicted)


def averaged(outcomes: Regressed) -> Regressed:
    """Return one prediction a formulation, the mean of those of its images."""
    samples = np.array(outcomes.samples)
    kinds = list(dict.fromkeys(outcomes.samples))
    true, predicted = (
        np.array([values[samples == kind].mean(axis=0) for kind in kinds])
        for values in (outcomes.true, outcomes.predicted)
    )
    return Regressed(kinds, kinds, kinds, outcomes.properties, true, predicted)


def expected_properties(made: Formulation, rng: np.random.Generator, draws: int) -> Floats:
    """Return the mean of what bulk tests find of a formulation, shape (properties,).

    Parameters
    ----------
    made : Formulation
    rng : numpy.random.Generator
        Draws what no image shows.
    draws : int
        How often.
    """
    return _tests(made, rng, draws).mean(axis=0)


def hidden_shares(seed: int, formulations: int, draws: int) -> Floats:
    """Return which share of the variance of each property no image shows, shape (properties,).

    Parameters
    ----------
    seed : int
        Of all that is drawn.
    formulations : int
        As of a `Family`.
    draws : int
        For each of them, of what no image shows.
    """
    rng = np.random.default_rng([seed, crc32(b"hidden")])
    made = [Formulation.drawn(rng, "drawn") for _ in range(formulations)]
    found = np.stack([_tests(each, rng, draws) for each in made])
    within = found.var(axis=1, ddof=1).mean(axis=0)
    return within / found.reshape(-1, len(_NAMES)).var(axis=0)


def _tests(made: Formulation, rng: np.random.Generator, draws: int) -> Floats:
    """Results of so many tests of the bulk, each with other hidden parts."""
    found = [properties_of(made.bulk(rng)) for _ in range(draws)]
    return np.array([[values[name] for name in _NAMES] for values in found])
