"""What would a campaign take, and can it be done at all?

A campaign with a rule takes something between what it takes when every image is as clear as can be,
and what it takes when no class is ever certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from devices.afm import Afm
from devices.image_channels import MODES
from plans._course import Course, Done
from plans._deciding import ClassResult
from plans._image_run import Imaging, check_image
from plans._schedule import Campaign, Step
from plans._tip_result import TipResult
from plans.scans import ImagingEstimate, Place

__all__ = ["AdaptiveEstimate", "corners", "estimate_campaign", "imaging_of"]

_ANY_CLASSES = ("this", "another")  # fewest that there can be, which are told apart soonest


@dataclass(frozen=True)
class AdaptiveEstimate(ImagingEstimate):
    """What a campaign takes at most that ends when the classes of its samples are certain.

    Parameters
    ----------
    least : ImagingEstimate
        What it takes if every image is as clear as an image can be.
    """

    least: ImagingEstimate

    @classmethod
    def between(cls, least: ImagingEstimate, most: ImagingEstimate) -> AdaptiveEstimate:
        """What is between two estimates."""
        return cls(**asdict(most), least=least)

    def __str__(self) -> str:
        return f"at least {self.least}\nat most {super().__str__()}"


def estimate_campaign(
    afm: Afm, campaign: Campaign, *, done: Iterable[Done] = ()
) -> ImagingEstimate:
    """Check what `campaign` is asked to do, and say what it would take with a good tip.

    Parameters
    ----------
    afm, campaign, done
        As of `campaign`.

    Returns
    -------
    ImagingEstimate
        Of what is not done yet; ``print`` it. Of a campaign with a rule, an `AdaptiveEstimate`.

    Raises
    ------
    ValueError, devices.wire.LimitError
        As `campaign`.
    """
    record = tuple(done)
    course = Course(campaign, record)
    for imaging in corners(campaign):
        check_image(afm, imaging)
    serial = afm.probe.serial.get()
    most = _of(campaign, _left(course, serial, _unclassified))
    if campaign.rule is None:
        return most
    least = _of(campaign, _left(Course(campaign, record), serial, _clear))
    return AdaptiveEstimate.between(least, most)


def corners(campaign: Campaign) -> list[Imaging]:
    """Images at the corners of what the campaign needs of each sample, repeated once as a whole."""
    needed: dict[str, list[Step]] = {}
    for step in campaign.schedule():
        needed.setdefault(step.place.sample, []).extend((step, campaign.again(step)))
    images = []
    for sample, steps in needed.items():
        xs, ys = ([getattr(step.place, axis) for step in steps] for axis in "xy")
        for x, y in ((min(xs), min(ys)), (max(xs), max(ys))):
            images.append(imaging_of(campaign, steps[0], Place(sample, x, y)))
    return images


def imaging_of(campaign: Campaign, step: Step, place: Place | None = None) -> Imaging:
    """How a step is imaged, where the campaign says unless a place is given."""
    tip = step.kind == "tip"
    return Imaging(
        step.place if place is None else place,
        campaign.scan_of(step),
        campaign.tip_mode if tip else campaign.mode,
        campaign.tip_setpoint if tip else campaign.setpoint,
    )


def _left(
    course: Course, serial: str, predicted: Callable[[Course, Step], ClassResult | None]
) -> list[Step]:
    """The steps that are left, if the tip is good and the images tell what `predicted` says."""
    good, left = TipResult("good"), []
    while (step := course.step) is not None:
        left.append(step)
        probe = f"one after {serial}" if serial in course.condemned else serial
        if step.kind == "tip":
            course.finished(Done(step.index, probe, good))
        else:
            course.finished(Done(step.index, probe, prediction=predicted(course, step)))
    return left


def _of(campaign: Campaign, steps: Iterable[Step]) -> ImagingEstimate:
    scanned: dict[str, list[Imaging]] = {"image": [], "tip": []}
    for step in steps:
        scanned[step.kind].append(imaging_of(campaign, step))
    return ImagingEstimate.of(
        *([(each.scan, len(MODES[each.mode])) for each in of] for of in scanned.values())
    )


def _unclassified(course: Course, step: Step) -> None:
    """Tell nothing."""


def _clear(course: Course, step: Step) -> ClassResult:
    """Confirm, as surely as an image can, what is believed of the sample."""
    known = course.predictions
    classes = known[0].classes if known else _ANY_CLASSES
    believed = course.decisions[step.place.sample].label or classes[0]
    return ClassResult(classes, tuple(float(name == believed) for name in classes))
