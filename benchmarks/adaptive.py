"""How many images does a campaign save that leaves a sample when its class is certain?

Simulated campaigns, each with a probe that nothing was trained with and samples of unknown class:
the same images, classified by the same estimator and pooled by the same rule, once a fixed number
of each sample and once until a class is certain. ``python -m benchmarks adaptive``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from analysis.datasets import Split
from analysis.evaluation.calibration import fit_temperature, tempered
from analysis.evaluation.intervals import Interval, bootstrap, grouped_proportion
from analysis.networks.channels import Problem
from analysis.networks.estimators import Estimator, estimator_of
from analysis.sequential import Dependence, StoppingRule, fit_dependence, pooled
from benchmarks._adaptive_images import Shot, SimulatedImages
from benchmarks.tables import Table
from plans import Campaign, ClassResult, Course, Done, TipResult

__all__ = ["CLASSES", "measure"]

CLASSES = ("A2", "B3", "B4", "C3", "C5")  # the five that the application note tells apart
_CHANNEL = "deformation"
_POSITIONS = 3  # samples in turn between two checks of the tip
_IMAGES = 45  # of a sample: the application note's
_VISIT = 5  # of them between two checks
_TRAINED, _HELD_OUT = 12, 12  # probes
_OF_A_PROBE = 15  # images of each class
_STARTS = 5  # each campaign is gone through from so many of its images on
_CONFIDENCE = 0.99
_RULES = ((1, 1e-4), (2, 3e-4), (2, 1e-4), (2, 3e-5), (2, 1e-5), (2, 0.0))  # least, gain
_DEFAULT = (2, 1e-5)
_AT_A_TIME = 4  # probes, between two times that what was measured of images is written
_ASKED = 0.6


@dataclass(frozen=True)
class _Taught:
    """An estimator and what images that it was not trained with tell of it."""

    estimator: Estimator
    temperature: float
    dependence: Dependence
    accuracy: Interval

    def probabilities(self, images: SimulatedImages) -> NDArray[np.float64]:
        """Calibrated probabilities of images, (images, classes)."""
        told = self.estimator.predict(images, range(len(images)))
        return tempered(told, self.temperature)


@dataclass(frozen=True)
class _Unknown:
    """A campaign: the classes of its samples and what is told of every image that there may be."""

    probe: int
    truth: tuple[int, ...]
    told: NDArray[np.float64]  # samples, images, classes

    def from_image(self, first: int) -> Self:
        """The same campaign, begun with another image."""
        return type(self)(self.probe, self.truth, np.roll(self.told, -first, axis=1))


@dataclass(frozen=True)
class _Outcome:
    """What was found of the samples of several campaigns, one entry a sample."""

    probes: NDArray[np.intp]
    images: NDArray[np.intp]
    right: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    certain: NDArray[np.bool_]
    checks: float  # of the tip, a campaign

    @property
    def accuracy(self) -> Interval:
        """Part of the samples whose class is right."""
        return grouped_proportion(self.right, self.probes.tolist())

    @property
    def mean_images(self) -> float:
        """Of a sample."""
        return float(self.images.mean())


def measure(
    campaigns: int = 60,
    estimator: str = "features+forest",
    lines: int = 64,
    folder: Path | None = None,
) -> Iterator[Table]:
    """Run fixed and adaptive campaigns.

    Parameters
    ----------
    campaigns : int
        Each with a probe of its own.
    estimator : str
        Of `analysis.networks.estimators.ESTIMATORS`.
    lines : int
        Of an image, and points of a line.
    folder : Path, optional
        Where what was measured of images is kept, so that a campaign that was broken off goes on.

    Yields
    ------
    Table
    """
    folder = folder or Path(tempfile.gettempdir()) / "twinscope-adaptive"
    taught = _teach(estimator, lines, folder)
    unknown = list(_unknown(taught, campaigns, lines))
    turned = [
        each.from_image(start * _IMAGES // _STARTS) for each in unknown for start in range(_STARTS)
    ]
    fixed = [_fixed(turned, count, taught.dependence) for count in range(1, _IMAGES + 1)]
    adaptive = {
        (least, gain): _adaptive(turned, StoppingRule(_CONFIDENCE, least, gain, taught.dependence))
        for least, gain in _RULES
    }
    yield _compared(taught, fixed, adaptive, campaigns)
    yield _by_class(turned, fixed[-1], adaptive[_DEFAULT])


def _teach(name: str, lines: int, folder: Path) -> _Taught:
    """Train an estimator, and calibrate it with probes that it was not trained with."""
    shots = [
        Shot(sample, probe, number)
        for probe in range(_TRAINED + _HELD_OUT)
        for sample in CLASSES
        for number in range(_OF_A_PROBE)
    ]
    images = SimulatedImages(tuple(shots), (_CHANNEL,), lines)
    of_a_probe = len(CLASSES) * _OF_A_PROBE
    train = range(_TRAINED * of_a_probe)
    validation = range(len(train), len(shots))
    problem = Problem("classification", images.channels, CLASSES, images.shape)
    estimator = estimator_of(name, problem, folder=folder)
    split = Split(tuple(train), tuple(validation), ())
    estimator.fit(images, [shot.sample for shot in shots], split)
    labels = np.array([CLASSES.index(shots[index].sample) for index in validation])
    groups = [(shots[index].sample, shots[index].probe) for index in validation]
    told = estimator.predict(images, validation)
    temperature = fit_temperature(told, labels)
    calibrated = tempered(told, temperature)
    return _Taught(
        estimator,
        temperature,
        fit_dependence(calibrated, labels, groups),
        grouped_proportion(told.argmax(axis=1) == labels, [probe for _, probe in groups]),
    )


def _unknown(taught: _Taught, campaigns: int, lines: int) -> Iterator[_Unknown]:
    """Draw the samples of each campaign, and classify all images that it may want."""
    first = _TRAINED + _HELD_OUT
    for begin in range(first, first + campaigns, _AT_A_TIME):
        probes = range(begin, min(begin + _AT_A_TIME, first + campaigns))
        drawn = {probe: _samples(probe) for probe in probes}
        shots = tuple(
            Shot(sample, probe, 100 * position + number)
            for probe in probes
            for position, sample in enumerate(drawn[probe])
            for number in range(_IMAGES)
        )
        told = taught.probabilities(SimulatedImages(shots, (_CHANNEL,), lines))
        by_campaign = told.reshape(len(probes), _POSITIONS, _IMAGES, len(CLASSES))
        for probe, each in zip(probes, by_campaign, strict=True):
            yield _Unknown(probe, tuple(CLASSES.index(name) for name in drawn[probe]), each)


def _samples(probe: int) -> list[str]:
    rng = np.random.default_rng([0, probe, 1])
    return [str(name) for name in rng.choice(CLASSES, _POSITIONS)]


def _fixed(campaigns: Sequence[_Unknown], count: int, dependence: Dependence) -> _Outcome:
    """Pool so many images of each sample."""
    rows = []
    for each in campaigns:
        for label, told in zip(each.truth, each.told, strict=True):
            chances = pooled(told[:count], [each.probe] * count, dependence)
            best = int(chances.argmax())
            rows.append((each.probe, count, best == label, chances[best], False))
    every = -(-count * _POSITIONS // (_VISIT * _POSITIONS))
    return _outcome(rows, 1.0 + every)


def _adaptive(campaigns: Sequence[_Unknown], rule: StoppingRule) -> _Outcome:
    """Go through campaigns as the plan does, with a tip that is good."""
    rows, checks = [], 0
    for each in campaigns:
        names = tuple(str(position) for position in range(_POSITIONS))
        course = Course(Campaign(names, images=_IMAGES, tip_every=_VISIT * _POSITIONS, rule=rule))
        while (step := course.step) is not None:
            if step.kind == "tip":
                checks += 1
                course.finished(Done(step.index, str(each.probe), TipResult("good")))
                continue
            told = each.told[int(step.place.sample), step.number]
            prediction = ClassResult(CLASSES, tuple(told.tolist()))
            course.finished(Done(step.index, str(each.probe), prediction=prediction))
        for name, label in zip(names, each.truth, strict=True):
            found = course.decisions[name]
            right = found.label == CLASSES[label]
            rows.append((each.probe, found.images, right, found.confidence, found.certain))
    return _outcome(rows, checks / len(campaigns))


def _outcome(rows: Sequence[tuple[Any, ...]], checks: float) -> _Outcome:
    probes, images, right, confidence, certain = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return _Outcome(probes, images, right, confidence, certain, checks)


def _compared(
    taught: _Taught,
    fixed: Sequence[_Outcome],
    adaptive: Mapping[tuple[int, float], _Outcome],
    campaigns: int,
) -> Table:
    rows = [_row(f"fixed, {n} of each", fixed[n - 1], fixed) for n in (1, 2, _VISIT, _IMAGES)]
    rows += [
        _row(f"adaptive, {least} or more, gain {gain:g}", found, fixed)
        for (least, gain), found in adaptive.items()
    ]
    return Table(
        title="Samples of unknown class: a fixed number of images, or until the class is certain",
        columns=[
            "campaign",
            "images a sample: mean, median, 90 %",
            "accuracy (95 %)",
            "said to be",
            "certain: part, accuracy of these",
            f"accuracy less that of {_IMAGES} (95 %)",
            f"images, % of {_IMAGES}",
            "fixed number as accurate",
            "images, % of that",
            "tip checks",
        ],
        rows=rows,
        notes=f"{campaigns} campaigns of {_POSITIONS} samples drawn of {', '.join(CLASSES)}, each "
        f"with a probe of its own, gone through from {_STARTS} starts; {_CHANNEL}, 4 µm. The "
        f"estimator was trained with {_TRAINED} other probes and calibrated with {_HELD_OUT} more "
        f"(temperature {taught.temperature:.2f}, correlation of images of one probe "
        f"{taught.dependence.correlation:.2f}); {_in_percent(taught.accuracy)} of single images "
        f"are right; intervals over probes. Adaptive: until a class has a probability of "
        f"{_CONFIDENCE:g}, or no further image promises the gain to the probability to be right. "
        f"Asked: the accuracy of the fixed campaign with at most {_ASKED:.0%} of its images. The "
        "fixed number as accurate is found afterwards, from the accuracy of all fixed numbers, "
        "smoothed to rise with it: nobody knows it before a campaign.",
    )


def _row(name: str, found: _Outcome, fixed: Sequence[_Outcome]) -> list[str]:
    whole = fixed[-1]
    ordered = np.percentile(found.images, [50, 90])
    equal = _as_accurate(found, fixed)
    certain = "-"
    if found.certain.any():
        certain = f"{found.certain.mean():.0%}, {found.right[found.certain].mean():.1%}"
    return [
        name,
        f"{found.mean_images:.1f}, {ordered[0]:.0f}, {ordered[1]:.0f}",
        _in_percent(found.accuracy),
        f"{found.confidence.mean():.1%}",
        certain,
        _difference(found, whole),
        f"{found.mean_images / whole.mean_images:.0%}",
        f"> {_IMAGES}" if equal is None else f"{equal:.1f}",
        "-" if equal is None else f"{found.mean_images / equal:.0%}",
        f"{found.checks:.1f}",
    ]


def _as_accurate(found: _Outcome, fixed: Sequence[_Outcome]) -> float | None:
    """Fixed number of images at which a campaign is as accurate; None if at none."""
    from sklearn.isotonic import IsotonicRegression

    numbers = np.arange(1, len(fixed) + 1)
    accuracy = IsotonicRegression().fit_transform(numbers, [each.right.mean() for each in fixed])
    wanted = found.right.mean()
    if wanted > accuracy[-1]:
        return None
    above = int(np.argmax(accuracy >= wanted))
    if above == 0:
        return 1.0
    rise = accuracy[above] - accuracy[above - 1]
    return float(numbers[above - 1] + (wanted - accuracy[above - 1]) / rise)


def _difference(found: _Outcome, other: _Outcome) -> str:
    """Of the accuracies on the same samples, in points."""
    gains = found.right.astype(float) - other.right.astype(float)
    terms = np.column_stack([gains, np.ones(len(gains))])
    interval = bootstrap(terms, lambda sums: sums[:, 0] / sums[:, 1], found.probes.tolist())
    value, low, high = (100 * each for each in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _in_percent(interval: Interval) -> str:
    value, low, high = (100 * each for each in (interval.value, interval.low, interval.high))
    return f"{value:.1f} % ({low:.1f}-{high:.1f})"


def _by_class(campaigns: Sequence[_Unknown], fixed: _Outcome, adaptive: _Outcome) -> Table:
    truth = np.array([label for each in campaigns for label in each.truth])
    rows = []
    for label, name in enumerate(CLASSES):
        mine = truth == label
        rows.append(
            [
                name,
                str(int(mine.sum()) // _STARTS),
                f"{fixed.right[mine].mean():.1%}",
                f"{adaptive.right[mine].mean():.1%}",
                f"{adaptive.images[mine].mean():.1f}",
                f"{adaptive.certain[mine].mean():.0%}",
            ]
        )
    return Table(
        title="Where the images go: {} or more of a sample, gain {:g}".format(*_DEFAULT),
        columns=[
            "class",
            "samples",
            f"accuracy with {_IMAGES} images",
            "accuracy, adaptive",
            "images a sample, adaptive",
            "certain",
        ],
        rows=rows,
    )
