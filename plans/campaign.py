"""How do many images of several samples come about unattended, with a tip that is known to be good?

The routine of Bruker's application note 155: samples in turn, a tip sample after every 15 images.
Each image is a run of its own; which of them belong together and which count is told by their start
documents and by the verdicts in the runs of the tip sample, so that a campaign that was interrupted
goes on from its record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator, plan

from analysis.sequential import Decision
from devices.afm import Afm
from devices.image_classifier import ImageClassifier
from devices.tip_qualifier import TipQualifier
from devices.wire import ExpiredError
from plans._campaign_estimate import AdaptiveEstimate, corners, estimate_campaign, imaging_of
from plans._course import Course, Done
from plans._deciding import STREAM, Classifying, ClassResult
from plans._image_run import check_image, image_run, moved_withdrawn
from plans._schedule import Campaign, Step
from plans._steps import LiveResults, read_now, result_of
from plans._tip_result import TipResult
from plans._withdrawal import withdraw, withdrawn
from plans.tip_check import checked_tip

__all__ = [
    "AdaptiveEstimate",
    "Campaign",
    "CampaignRun",
    "Course",
    "Done",
    "NewProbe",
    "ProbeError",
    "Step",
    "campaign",
    "estimate_campaign",
    "probes_from_box",
]

T = TypeVar("T")

NewProbe = Callable[[Done], MsgGenerator[Any]]
"""Puts in a new probe, after the check of the present one; the tip is withdrawn."""

_log = logging.getLogger(__name__)
_TRIES = 3  # of an image when answers come late
_NEW_PROBES = 3  # in a row without a good check: then it is the tip sample that is bad


class ProbeError(RuntimeError):
    """The probe is no good and there is no other; the tip is withdrawn."""


@dataclass(frozen=True)
class CampaignRun:
    """What `campaign` hands back.

    Parameters
    ----------
    uid : str
        Of the campaign.
    runs : tuple of (int, str)
        Index and uid of the runs that were added, in their order.
    counting : tuple of int
        Indices of the images that count, each image of each sample once.
    decisions : mapping of str to Decision
        Of which class each sample is, by the images that count; empty without a rule.
    """

    uid: str
    runs: tuple[tuple[int, str], ...]
    counting: tuple[int, ...]
    decisions: Mapping[str, Decision] = field(default_factory=dict)


@plan
def campaign(
    afm: Afm,
    campaign: Campaign,
    *,
    qualifier: TipQualifier,
    classifier: ImageClassifier | None = None,
    done: Iterable[Done] = (),
    new_probe: NewProbe | None = None,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[CampaignRun]:
    """Take the images of a campaign, and check the tip among them.

    A tip that is worn or bad has the images since the last good check taken again, elsewhere, with
    a new probe, which is checked first; a check that tells nothing is repeated once elsewhere.
    An image that ends because the instrument answered late is begun again. Between images the tip
    is withdrawn and the campaign may be paused; on every way out the tip is withdrawn.

    With a classifier each image is classified in its run, in the stream "prediction", and with a
    rule (see `Campaign`) no more images are taken of a sample whose class is certain, nor of one
    that further images by the same probe would hardly tell more of. An image that cannot be
    classified counts as one that tells nothing.

    Parameters
    ----------
    afm : Afm
        The microscope.
    campaign : Campaign
        What is to be done.
    qualifier : TipQualifier
        Makes the verdicts on the tip.
    classifier : ImageClassifier, optional
        Classifies the images; needed by a campaign with a rule.
    done : iterable of Done
        What was done of the same campaign before, of which nothing is done twice.
    new_probe : callable(Done) -> generator of Msg, optional
        Puts in a new probe; see `probes_from_box`. Without it the campaign stops when it needs one.
    analysis : LiveResults, optional
        Waited for after each image, so that the live analysis keeps pace.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    CampaignRun
        Its runs, which images count, and what they tell of the samples.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    ProbeError
        A new probe is needed. Put it in, and resume the campaign.
    """
    course = Course(campaign, done)
    yield from _check(afm, campaign)
    classifying = yield from _classifying(course, campaign, classifier)
    routine = _Routine(afm, campaign, qualifier, classifying, md or {})
    runs: list[tuple[int, str]] = []

    def steps() -> MsgGenerator[None]:
        unproven: list[str] = []
        while (step := course.step) is not None:
            yield from bps.checkpoint()
            serial = yield from _patiently(partial(_probe, afm, course, new_probe, unproven))
            take = partial(routine.take, step, course.baseline(serial))
            uid, found, predicted = yield from _patiently(take)
            runs.append((step.index, uid))
            if found is not None and found.good:
                unproven.clear()
            course.finished(Done(step.index, serial, found, predicted))
            yield from result_of(analysis, uid)

    yield from bpp.rewindable_wrapper(steps(), False)
    counting = tuple(image.index for image in course.counting)
    return CampaignRun(campaign.uid, tuple(runs), counting, course.decisions)


def probes_from_box(afm: Afm, serials: Sequence[str]) -> NewProbe:
    """What puts in the probes of a box one after the other, as `new_probe` of `campaign`.

    Parameters
    ----------
    afm : Afm
        The microscope.
    serials : sequence of str
        Serial numbers in their order; a probe that is not among them comes before them all.

    Returns
    -------
    callable(Done) -> generator of Msg
        Raises `ProbeError` when there is none left.
    """
    box = [str(serial) for serial in serials]

    def put_in(worn: Done) -> MsgGenerator[None]:
        left = box[box.index(worn.probe) + 1 :] if worn.probe in box else box
        if not left:
            raise ProbeError(
                f"{_verdict(worn)}; it was the last of the box: fill it and resume the campaign"
            )
        yield from moved_withdrawn(afm, afm.probe.load, left[0])

    return put_in


@dataclass(frozen=True)
class _Routine:
    """Who takes the images, and what their start documents say."""

    afm: Afm
    campaign: Campaign
    qualifier: TipQualifier
    classifying: Classifying | None
    md: Mapping[str, Any]

    def take(
        self, step: Step, baseline: TipResult | None
    ) -> MsgGenerator[tuple[str, TipResult | None, ClassResult | None]]:
        """Do a step; returns the uid of its run, the verdict of a check, what an image is."""
        imaging = imaging_of(self.campaign, step)
        md = {**self.md, "campaign": self._told(step)}
        if step.kind == "tip":
            check = checked_tip(self.afm, self.qualifier, imaging, baseline=baseline, md=md)
            uid, found = yield from check
            return uid, found, None
        if self.classifying is None:
            uid, _ = yield from image_run(self.afm, imaging, md=md, afterwards=bps.null)
            return uid, None, None
        uid, predicted = yield from image_run(
            self.afm,
            imaging,
            md={"classifier": self.classifying.told.to_document(), **md},
            told={STREAM: self.classifying.keys},
            afterwards=self.classifying.classified,
        )
        return uid, None, predicted

    def _told(self, step: Step) -> dict[str, Any]:
        return {
            "uid": self.campaign.uid,
            "name": self.campaign.name,
            "index": step.index,
            "of": len(self.campaign.schedule()),
            "sample_index": step.number,
            "attempt": step.attempt,
            "purpose": "tip" if step.kind == "tip" else "sample",
            "definition": self.campaign.to_document(),
        }


def _check(afm: Afm, campaign: Campaign) -> MsgGenerator[None]:
    for imaging in corners(campaign):
        check_image(afm, imaging)
    if not (yield from read_now(afm.probe.serial)):
        raise ValueError(
            f"{afm.probe.name} has no serial number: a campaign must tell its probes apart; load "
            f"the probe by its number ({afm.probe.load.name})"
        )


def _classifying(
    course: Course, campaign: Campaign, classifier: ImageClassifier | None
) -> MsgGenerator[Classifying | None]:
    if classifier is None:
        if campaign.rule is not None:
            raise ValueError(
                f"{campaign.name} ends when the classes of its samples are certain: it needs a "
                "classifier"
            )
        return None
    classifying = yield from Classifying.by(classifier)
    if campaign.rule is not None:
        classifying.told.check(course.predictions)
    return classifying


def _probe(
    afm: Afm, course: Course, new_probe: NewProbe | None, unproven: list[str]
) -> MsgGenerator[str]:
    """Serial number of the probe, after another one was put in if the present one is no good."""
    serial = yield from read_now(afm.probe.serial)
    worn = course.condemned.get(serial)
    if worn is None:
        return serial
    if new_probe is None:
        raise ProbeError(
            f"{_verdict(worn)}; put in a new probe ({afm.probe.load.name}) and resume the "
            "campaign, which takes the images since the last good check again"
        )
    if len(unproven) >= _NEW_PROBES:
        raise ProbeError(
            f"{_verdict(worn)}, and so were {', '.join(unproven[:-1])} before it; look at the tip "
            "sample, then put in a new probe and resume the campaign"
        )
    yield from withdraw(afm.head)
    yield from withdrawn(afm.head)
    tried: set[str] = set()
    while serial in course.condemned:  # after an interruption an older one may be in the holder
        if serial in tried:
            raise ProbeError(
                f"{_verdict(course.condemned[serial])}, and it is in the holder still; put in a "
                "new probe and resume the campaign"
            )
        tried.add(serial)
        yield from new_probe(course.condemned[serial])
        serial = yield from read_now(afm.probe.serial)
    unproven.append(serial)
    return serial


def _patiently(stub: Callable[[], MsgGenerator[T]]) -> MsgGenerator[T]:
    """Do something again whose end was that the instrument answered late, which hours may bring."""
    for _ in range(_TRIES - 1):
        try:
            return (yield from stub())
        except (ExpiredError, FailedStatus) as error:
            if not _late(error):
                raise
            _log.warning("%s; it is done again", error)
    return (yield from stub())


def _late(error: Exception) -> bool:
    """Whether nothing is wrong but that an answer came late."""
    if isinstance(error, FailedStatus):
        (status,) = error.args
        return isinstance(status.exception(), ExpiredError)
    return isinstance(error, ExpiredError)


def _verdict(worn: Done) -> str:
    assert worn.check is not None
    return f"step {worn.index} found the tip of probe {worn.probe} {worn.check.told}"
