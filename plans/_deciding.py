"""Of which class are the samples of a campaign, by what a network says of their images?

A prediction is acted upon when it is recorded in the raw run of its image, so that a campaign that
goes on from its record decides as it did. What was concluded from images that do not count is
forgotten with them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator, short_uid

from analysis.sequential import Decision, ImageEvidence, StoppingRule
from devices.image_classifier import ImageClassifier
from devices.wire import WireError
from plans._steps import read_into, read_now

__all__ = ["STREAM", "ClassResult", "Classes", "Classifying", "decide"]

STREAM = "prediction"
"""Where the prediction of an image is in its run."""

_SIGNALS = ("label", "probability", "probabilities", "spread", "novelty", "abstained", "reason")
_LOOK_AGAIN_S = 0.02
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassResult:
    """What a network says of an image, as plans act on it.

    Parameters
    ----------
    classes : tuple of str
        What the network tells apart.
    probabilities : tuple of float
        Of each class, calibrated.
    abstained : bool
        Whether the image is unlike what the network knows.
    reason : str
        Why, in words.

    Raises
    ------
    ValueError
        Not a probability a class.
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    abstained: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.probabilities):
            raise ValueError(
                f"{len(self.probabilities)} probabilities for the classes {', '.join(self.classes)}"
            )

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(zip(self.probabilities, self.classes, strict=True))[1]

    @classmethod
    def of_event(
        cls, data: Mapping[str, Any], keys: Mapping[str, str], classes: Iterable[str]
    ) -> ClassResult:
        """The prediction of an event.

        Parameters
        ----------
        data : mapping
            Of the event, by data key.
        keys : mapping of str to str
            Data key of each signal, as the start document tells.
        classes : iterable of str
            What the network tells apart.
        """
        return cls(
            tuple(str(name) for name in classes),
            tuple(float(each) for each in data[keys["probabilities"]]),
            bool(data[keys["abstained"]]),
            str(data[keys["reason"]]),
        )

    def evidence(self, probe: str) -> ImageEvidence:
        """What it tells of the sample, of an image by this probe."""
        return ImageEvidence(self.probabilities, probe, self.abstained)


@dataclass(frozen=True)
class Classes:
    """What a classifier tells apart, and by which model.

    Parameters
    ----------
    model : str
        Its name and version.
    classes : tuple of str
        Names of the classes.
    """

    model: str
    classes: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """As start documents have it."""
        return {"model": self.model, "classes": list(self.classes)}

    def check(self, predictions: Iterable[ClassResult]) -> None:
        """Refuse what tells nothing apart, or other classes than predictions that were made.

        Raises
        ------
        ValueError
            Says what the model tells apart.
        """
        if len(self.classes) < 2:
            raise ValueError(
                f"model {self.model} tells no classes apart: a campaign that ends when the classes "
                "of its samples are certain needs one that does"
            )
        for each in predictions:
            if each.classes != self.classes:
                raise ValueError(
                    f"model {self.model} tells {', '.join(self.classes)} apart, but the images of "
                    f"this campaign were classified as {', '.join(each.classes)}: go on with the "
                    "model that it was begun with"
                )


@dataclass(frozen=True)
class Classifying:
    """What has images classified within their runs.

    Parameters
    ----------
    classifier : ImageClassifier
        Looks at the last image.
    told : Classes
        What it tells apart.
    """

    classifier: ImageClassifier
    told: Classes

    @classmethod
    def by(cls, classifier: ImageClassifier) -> MsgGenerator[Classifying]:
        """Ask a classifier what it tells apart; nothing is triggered."""
        model = yield from read_now(classifier.model)
        classes = yield from read_now(classifier.classes)
        return cls(classifier, Classes(str(model), tuple(str(name) for name in classes)))

    @property
    def keys(self) -> dict[str, str]:
        """Data keys of the prediction by their signals."""
        return {name: getattr(self.classifier, name).name for name in _SIGNALS}

    def classified(self) -> MsgGenerator[ClassResult | None]:
        """Classify the last image and read the prediction into the run.

        A classifier that fails leaves an image without a prediction: the image is good, and a
        campaign that cannot ask takes more images rather than none.

        Returns
        -------
        ClassResult or None
            None where there is no prediction, and in a dry run.
        """
        try:
            yield from self._looked()
            readings = yield from read_into(STREAM, self.classifier)
        except FailedStatus as error:
            (failed,) = error.args
            if failed.device is not self.classifier:  # it is told to whoever waits just then
                raise
            return _unclassified(failed.exception())
        except WireError as error:
            return _unclassified(error)
        if not readings:
            return None
        data = {key: reading["value"] for key, reading in readings.items()}
        return ClassResult.of_event(data, self.keys, self.told.classes)

    def _looked(self) -> MsgGenerator[None]:
        """Trigger the classifier and wait until it has looked, or has failed.

        In a group of its own: the next wait must not find a failure that nobody waited for.
        """
        group = short_uid("classified")
        device: Any = self.classifier  # whose statuses are ophyd's, not bluesky's protocol
        status = yield from bps.trigger(device, group=group)
        yield from bps.wait(group)
        while status is not None and not status.done:  # a pause broke the wait off
            yield from bps.sleep(_LOOK_AGAIN_S)
        yield from bps.null()  # where a failure is told that came in a pause


def decide(
    rule: StoppingRule, predictions: Iterable[tuple[str, ClassResult | None]], probe: str
) -> Decision:
    """Decide on a sample.

    Parameters
    ----------
    rule : StoppingRule
        When its class is certain.
    predictions : iterable of (str, ClassResult or None)
        Probe and prediction of each image; an image without a prediction tells nothing.
    probe : str
        In the holder now.

    Returns
    -------
    Decision

    Raises
    ------
    ValueError
        Predictions of different classes.
    """
    told = [(by, found) for by, found in predictions if found is not None]
    if not told:
        return Decision()
    classes = told[0][1].classes
    if any(found.classes != classes for _, found in told):
        raise ValueError("the images of a sample were classified by models of different classes")
    evidence = [found.evidence(by) for by, found in told]
    return rule.decision(classes, evidence, probe=probe)


def _unclassified(why: object) -> None:
    _log.warning("the image is not classified: %s", why)
