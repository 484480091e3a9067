"""How does a field of a sample look? Images of an AFM with all channels of their mode.

PeakForce QNM as in Bruker's application note 155, and phase images in tapping, 10 µm at 2 Hz. Each
image is a run of its own, so that a catalog finds images by what is in their start documents:
sample, probe, technique, channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, plan

from devices.afm import Afm
from devices.image_channels import MODES
from plans._image_run import Imaging, check_image, image_run
from plans._steps import LiveResults, result_of
from plans.scans import ImagingEstimate, Place, Scan, field_place

__all__ = [
    "ImageRun",
    "ImageSeriesRun",
    "ImagingEstimate",
    "Place",
    "Scan",
    "estimate_images",
    "field_place",
    "image",
    "phase_series",
]

QNM = "PeakForce QNM"
_PHASE = Scan(10.0, 2.0)  # the application note's, for every phase image


@dataclass(frozen=True)
class ImageRun:
    """What `image` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : object
        What the live analysis found; None when none was asked for.
    """

    uid: str
    result: Any


@dataclass(frozen=True)
class ImageSeriesRun:
    """What `phase_series` hands back.

    Parameters
    ----------
    runs : tuple of ImageRun
        One a place, in their order.
    """

    runs: tuple[ImageRun, ...]


@plan
def image(
    afm: Afm,
    place: Place,
    scan: Scan,
    *,
    mode: str = QNM,
    setpoint: float | None = None,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[ImageRun]:
    """Take an image of a field, with all channels of the mode.

    The chuck is moved under the withdrawn tip, the tip engaged, the frame scanned, the tip
    withdrawn; on every way out the tip is withdrawn. A pause (Ctrl-C twice) lets a frame that is
    being scanned go on; an abort ends it.

    Parameters
    ----------
    afm : Afm
        The microscope.
    place : Place
        The field.
    scan : Scan
        How it is scanned.
    mode : str
        ``PeakForce QNM``, ``ScanAsyst`` or ``Tapping``.
    setpoint : float, optional
        Peak force, nN; that in force unless given.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    ImageRun
        The uid of the run and the result of the live analysis.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    """
    imaging = Imaging(place, scan, mode, setpoint)
    check_image(afm, imaging)
    uid, _ = yield from image_run(afm, imaging, md=md or {}, afterwards=bps.null)
    return ImageRun(uid, (yield from result_of(analysis, uid)))


@plan
def phase_series(
    afm: Afm,
    places: Sequence[Place],
    scan: Scan = _PHASE,
    *,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[ImageSeriesRun]:
    """Take phase images in tapping of several fields, a run each.

    Between images the tip is withdrawn and the series may be paused.

    Parameters
    ----------
    afm : Afm
        The microscope.
    places : sequence of Place
        The fields, each once; see `field_place`.
    scan : Scan
        How they are scanned.
    analysis, md
        As of `image`.

    Returns
    -------
    ImageSeriesRun
        Its runs.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    """
    series = _checked(afm, places, scan, "Tapping", None)
    uid = str(uuid4())
    runs: list[ImageRun] = []

    def images() -> MsgGenerator[None]:
        for index, each in enumerate(series):
            yield from bps.checkpoint()
            told = {"series": {"uid": uid, "index": index, "of": len(series)}, **(md or {})}
            take = image(afm, each.place, scan, mode=each.mode, analysis=analysis, md=told)
            runs.append((yield from take))

    yield from bpp.rewindable_wrapper(images(), False)
    return ImageSeriesRun(tuple(runs))


def estimate_images(
    afm: Afm,
    places: Sequence[Place],
    scan: Scan,
    *,
    mode: str = QNM,
    setpoint: float | None = None,
) -> ImagingEstimate:
    """Check what `image` or `phase_series` is asked to do, and say what it would take.

    Parameters
    ----------
    afm : Afm
        The microscope.
    places : sequence of Place
        The fields, each once.
    scan, mode, setpoint
        As of `image`.

    Returns
    -------
    ImagingEstimate
        ``print`` it.

    Raises
    ------
    ValueError, devices.wire.LimitError
        As `image`.
    """
    series = _checked(afm, places, scan, mode, setpoint)
    return ImagingEstimate.of((each.scan, len(MODES[each.mode])) for each in series)


def _checked(
    afm: Afm, places: Sequence[Place], scan: Scan, mode: str, setpoint: float | None
) -> list[Imaging]:
    if not places or len(set(places)) != len(places):
        raise ValueError(f"{len(places)} places: name each field once, and one or more")
    series = [Imaging(place, scan, mode, setpoint) for place in places]
    for each in series:
        check_image(afm, each)
    return series
