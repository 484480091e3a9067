"""Of which class is a sample, after so many images of it, and is it time to stop imaging it?

The sequential test of Wald, Ann. Math. Statist. 16, 117 (1945), in its Bayesian form for several
classes: the evidence of the images adds up until the posterior probability of one class is high
enough. What images of one probe have in common they all repeat; so n of them count as
n / (1 + (n - 1) r), with r their intraclass correlation (Kish, Survey Sampling, 1965, chapter 5):
exact where classes, probes and images differ normally, and every way the same part r by the probe.
So a probe may have told all it can before a class is certain; what further images promise is seen
by preposterior analysis (Raiffa and Schlaifer, Applied Statistical Decision Theory, 1961).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Decision",
    "Dependence",
    "ImageEvidence",
    "StoppingRule",
    "expected_accuracy",
    "fit_dependence",
    "pooled",
]

# No image rules a class out: nobody has tested a network on more than some thousand images.
_LEAST_PROBABILITY = 1e-3
_SUM_TOLERANCE = 1e-3  # of probabilities that were stored in single precision
_CORRELATIONS = np.linspace(0.0, 1.0, 101)
_FURTHER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # images, of which the best number is looked for


@dataclass(frozen=True)
class Dependence:
    """How far images of one sample with one probe repeat each other.

    Parameters
    ----------
    correlation : float
        Of their evidence, 0..1: at 0 each image counts in full, at 1 all together count as one.
        The default is what held-out probes show of simulated copolymers, whose deformation hangs
        on the calibration of the probe; see `fit_dependence`.

    Raises
    ------
    ValueError
        Not between 0 and 1.
    """

    correlation: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.correlation <= 1.0:
            raise ValueError(f"correlation is {self.correlation!r}: from 0 to 1 is allowed")

    def weight(self, images: int) -> float:
        """Weight of each image among so many of one probe."""
        return 1.0 / (1.0 + (images - 1) * self.correlation)

    def independent(self, images: int) -> float:
        """As how many independent ones so many images of one probe count."""
        return images * self.weight(images)


@dataclass(frozen=True)
class ImageEvidence:
    """What one image tells of its sample.

    Parameters
    ----------
    probabilities : tuple of float
        Of each class, calibrated; they add up to 1.
    probe : hashable
        Images of the same probe depend on each other.
    abstained : bool
        Whether nothing is to be concluded from the image.
    """

    probabilities: tuple[float, ...]
    probe: Hashable = ""
    abstained: bool = False


@dataclass(frozen=True)
class Decision:
    """What several images tell of their sample.

    Parameters
    ----------
    certain : bool
        Whether they tell enough.
    exhausted : bool
        Whether further images by the same probe promise to tell hardly more.
    label : str
        The most probable class; empty as long as no image tells anything.
    confidence : float
        Its posterior probability.
    images : int
        That were counted.
    abstained : int
        Images that tell nothing.
    """

    certain: bool = False
    exhausted: bool = False
    label: str = ""
    confidence: float = 0.0
    images: int = 0
    abstained: int = 0

    @property
    def settled(self) -> bool:
        """Whether there is a reason to take no further image."""
        return self.certain or self.exhausted


@dataclass(frozen=True)
class StoppingRule:
    """When the class of a sample is certain.

    Parameters
    ----------
    confidence : float
        Posterior probability from which on a class is certain, between 0.5 and 1.
    least : int
        Images that must count before any class is certain: what one image shows may be an
        exceptional place of the sample.
    gain : float
        What an image must promise to add to the probability to be right; if none does, the sample
        is left with an uncertain class, until there is another probe. 0 leaves none so.
    dependence : Dependence
        Of images of one probe.

    Raises
    ------
    ValueError
        What makes no rule.
    """

    confidence: float = 0.99
    least: int = 2
    gain: float = 1e-5  # of 1e-4 and more simulated campaigns feel the loss of accuracy
    dependence: Dependence = field(default_factory=Dependence)

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1.0:
            raise ValueError(
                f"confidence is {self.confidence!r}: above 0.5 and below 1 is allowed, as no "
                "number of images makes a class quite certain"
            )
        if isinstance(self.least, bool) or int(self.least) != self.least or self.least < 1:
            raise ValueError(f"least is {self.least!r}: a whole number of at least 1 is needed")
        if not 0.0 <= self.gain < 1.0:
            raise ValueError(f"gain is {self.gain!r}: from 0 to below 1 is allowed")

    def decision(
        self,
        classes: Sequence[str],
        evidence: Iterable[ImageEvidence],
        *,
        probe: Hashable | None = None,
    ) -> Decision:
        """Decide on a sample.

        Parameters
        ----------
        classes : sequence of str
            What the probabilities are of, each as probable as the others before the first image.
        evidence : iterable of ImageEvidence
            Of its images, in the order in which they were taken.
        probe : hashable, optional
            With which further images would be taken; that of the last image unless given.

        Returns
        -------
        Decision

        Raises
        ------
        ValueError
            Numbers that are no probabilities of these classes.
        """
        every = list(evidence)
        told = [image for image in every if not image.abstained]
        if not told:
            return Decision(abstained=len(every))
        probabilities = [image.probabilities for image in told]
        probes = [image.probe for image in told]
        chances = pooled(probabilities, probes, self.dependence)
        if len(chances) != len(classes):
            raise ValueError(f"{len(chances)} probabilities for the classes {', '.join(classes)}")
        best = int(np.argmax(chances))
        enough = len(told) >= self.least
        certain = enough and chances[best] >= self.confidence
        by_present = probes.count(every[-1].probe if probe is None else probe)
        promised = _promised(_evidence(probabilities), chances, by_present, self.dependence)
        return Decision(
            certain=bool(certain),
            exhausted=bool(enough and promised < self.gain),
            label=classes[best],
            confidence=float(chances[best]),
            images=len(told),
            abstained=len(every) - len(told),
        )

    def to_document(self) -> dict[str, Any]:
        """The rule as a start document has it; see `of_document`."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> StoppingRule:
        """The rule that `to_document` told of."""
        return cls(**{**document, "dependence": Dependence(**document["dependence"])})


def pooled(
    probabilities: ArrayLike, probes: Sequence[Hashable], dependence: Dependence
) -> NDArray[np.float64]:
    """Pool what images of one sample tell.

    Parameters
    ----------
    probabilities : array_like, shape (images, classes)
        Calibrated, of classes that are equally probable where they were calibrated.
    probes : sequence, length images
        Images of the same probe depend on each other.
    dependence : Dependence
        In what measure.

    Returns
    -------
    ndarray, shape (classes,)
        Posterior probabilities of the classes of the sample.

    Raises
    ------
    ValueError
        Numbers that are no probabilities.
    """
    evidence = _evidence(probabilities)
    if len(probes) != len(evidence):
        raise ValueError(f"{len(probes)} probes for {len(evidence)} images: name one an image")
    counts: dict[Hashable, int] = {}
    for probe in probes:
        counts[probe] = counts.get(probe, 0) + 1
    weights = np.array([dependence.weight(counts[probe]) for probe in probes])
    return _normalised(weights @ evidence)


def expected_accuracy(first: float, second: float, information: float) -> float:
    """How probable it will be to be right about a sample, after images that are still to come.

    Evidence between two classes is normally distributed, with a variance that is twice its mean.

    Parameters
    ----------
    first, second : float
        Probabilities of the two most probable classes as they are now, the greater first.
    information : float
        Variance of the log-odds of the two that the images will bring: above 0.

    Returns
    -------
    float
        At least `first`, when the other classes do not become the most probable.
    """
    odds, spread = math.log(first / second), math.sqrt(information)
    stays = _normal((0.5 * information + odds) / spread)
    changes = _normal((0.5 * information - odds) / spread)
    return first * stays + second * changes


def fit_dependence(
    probabilities: ArrayLike, labels: ArrayLike, groups: Sequence[Hashable]
) -> Dependence:
    """Find how far images of one probe repeat each other, from images that were held out.

    The correlation is that under which the classes of the samples were the most probable, each
    group pooled over 1, 2, 4, ... of its images: a correlation that is too low makes pooled
    probabilities bolder than they are right.

    Parameters
    ----------
    probabilities : array_like, shape (images, classes)
        Calibrated, of images of probes and samples that the network was not trained with.
    labels : array_like of int, shape (images,)
        True class of each image.
    groups : sequence, length images
        Images of one sample with one probe are one group.

    Returns
    -------
    Dependence

    Raises
    ------
    ValueError
        No group has two images, or one has images of two classes.
    """
    evidence, truth = _evidence(probabilities), np.asarray(labels, dtype=np.intp)
    if not len(evidence) == len(truth) == len(groups):
        raise ValueError(
            f"{len(evidence)} images with {len(truth)} labels in {len(groups)} groups: "
            "one of each an image is needed"
        )
    members: dict[Hashable, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(group, []).append(image)
    if all(len(images) < 2 for images in members.values()):
        raise ValueError("no probe has two images of one sample: nothing tells how they depend")
    sums: list[tuple[int, int, NDArray[np.float64]]] = []
    for group, images in members.items():
        if len(set(truth[images].tolist())) > 1:
            raise ValueError(f"group {group!r} has images of two classes: group them by sample too")
        sums += [(n, int(truth[images[0]]), total) for n, total in _sums(evidence[images])]
    counts = np.array([n for n, _, _ in sums])
    true = np.array([label for _, label, _ in sums])
    totals = np.array([total for _, _, total in sums])
    # every size of pool counts alike, however many pools of it there are
    _, size, pools = np.unique(counts, return_inverse=True, return_counts=True)
    shares = 1.0 / pools[size]
    losses = [
        _loss(totals / (1.0 + (counts - 1) * correlation)[:, np.newaxis], true, shares)
        for correlation in _CORRELATIONS
    ]
    return Dependence(float(_CORRELATIONS[int(np.argmin(losses))]))


def _evidence(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Logarithms of the probabilities of each image, none of which rules a class out."""
    given = np.asarray(probabilities, dtype=np.float64)
    if given.ndim != 2 or given.shape[0] < 1 or given.shape[1] < 2:
        raise ValueError(f"probabilities of shape {given.shape}: (images, two classes or more)")
    if not (np.isfinite(given).all() and (given >= 0.0).all()):
        raise ValueError("probabilities must be numbers from 0 to 1")
    if not np.allclose(given.sum(axis=1), 1.0, rtol=0.0, atol=_SUM_TOLERANCE):
        worst = float(given.sum(axis=1)[np.argmax(np.abs(given.sum(axis=1) - 1.0))])
        raise ValueError(f"the probabilities of an image add up to {worst:.4g}: 1 is needed")
    return np.log(np.maximum(given, _LEAST_PROBABILITY))


def _promised(
    evidence: NDArray[np.float64],
    chances: NDArray[np.float64],
    by_probe: int,
    dependence: Dependence,
) -> float:
    """Most that any number of further images promises to add to the probability to be right.

    An image each; of a probe that has made `by_probe` images of the sample already.
    """
    second, first = np.argsort(chances)[-2:]
    odds = evidence[:, first] - evidence[:, second]
    # of normal evidence of variance v the mean square is v + v**2 / 4, whichever class is the true
    variance = 2.0 * (math.sqrt(1.0 + float(np.mean(odds**2))) - 1.0)
    likeliest, next_to_it = float(chances[first]), float(chances[second])
    known, best = dependence.independent(by_probe) if by_probe else 0.0, 0.0
    for images in _FURTHER:
        information = variance * (dependence.independent(by_probe + images) - known)
        if information > 0.0 and next_to_it > 0.0:
            right = expected_accuracy(likeliest, next_to_it, information)
            best = max(best, (right - likeliest) / images)
    return best


def _normal(value: float) -> float:
    """Cumulative distribution of the normal distribution."""
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


def _sums(evidence: NDArray[np.float64]) -> list[tuple[int, NDArray[np.float64]]]:
    """Number of images and summed evidence of consecutive 1, 2, 4, ... images of a group."""
    images = len(evidence)
    sizes = [2**power for power in range(int(math.log2(images)) + 1)]
    return [
        (size, evidence[first : first + size].sum(axis=0))
        for size in sizes
        for first in range(0, images - size + 1, size)
    ]


def _normalised(evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of logarithms that are known but for a constant."""
    chances = np.exp(evidence - evidence.max(axis=-1, keepdims=True))
    return chances / chances.sum(axis=-1, keepdims=True)


def _loss(
    evidence: NDArray[np.float64], truth: NDArray[np.intp], shares: NDArray[np.float64]
) -> float:
    """Mean negative logarithm of the probability of the truth."""
    above = evidence - evidence.max(axis=-1, keepdims=True)
    surprise = np.log(np.exp(above).sum(axis=-1)) - above[np.arange(len(truth)), truth]
    return float((shares * surprise).sum() / shares.sum())
