"""Is the tip still good? An image of a tip sample and the verdict on it, in one run.

The seed's routine images a tip sample, small and 2:1, after every 15 images (Bruker's application
note 155). The verdict is recorded before anybody acts on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan
from numpy.typing import NDArray

from devices.afm import Afm
from devices.tip_qualifier import Qualify, TipBaseline, TipQualifier, TipVerdict
from plans._image_run import Imaging, check_image, image_run
from plans._schedule import TIP_SCAN
from plans._steps import LiveResults, read_into, result_of, triggered
from plans._tip_result import TipResult
from plans.scans import Place, Scan

if TYPE_CHECKING:
    from analysis.tip_shape import TipLimits, TipSettings

__all__ = ["TipCheckRun", "checked_tip", "tip_check", "tip_qualification"]

_TIP = Place("tip")
_STREAM = "tip_check"
_VERDICT = ("status", "diameter", "diameter_error", "change", "reason")
_UNKNOWN = TipResult("good", reason="nobody looked: a dry run")
_M = 1e-9


@dataclass(frozen=True)
class TipCheckRun:
    """What `tip_check` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    verdict : TipResult
        What was found.
    result : object
        What the live analysis found; None when none was asked for.
    """

    uid: str
    verdict: TipResult
    result: Any


@plan
def tip_check(
    afm: Afm,
    qualifier: TipQualifier,
    place: Place = _TIP,
    scan: Scan = TIP_SCAN,
    *,
    mode: str = "ScanAsyst",
    setpoint: float | None = None,
    baseline: TipResult | None = None,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[TipCheckRun]:
    """Take an image of a tip sample, qualify the tip, and record both.

    The verdict is in the stream "tip_check" of the run; the tip is withdrawn meanwhile, and on
    every way out.

    Parameters
    ----------
    afm : Afm
        The microscope.
    qualifier : TipQualifier
        Makes the verdict.
    place : Place
        A field of the tip sample.
    scan, mode, setpoint
        As of `plans.image`.
    baseline : TipResult, optional
        An earlier good check of the same probe, to compare with.
    analysis, md
        As of `plans.image`.

    Returns
    -------
    TipCheckRun
        The uid of the run and the verdict.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    """
    imaging = Imaging(place, scan, mode, setpoint)
    check_image(afm, imaging)
    uid, verdict = yield from checked_tip(afm, qualifier, imaging, baseline=baseline, md=md or {})
    return TipCheckRun(uid, verdict, (yield from result_of(analysis, uid)))


def tip_qualification(
    settings: TipSettings | None = None, limits: TipLimits | None = None
) -> Qualify:
    """What a `TipQualifier` is given, to qualify tips by `analysis.tip_shape`.

    Parameters
    ----------
    settings : TipSettings, optional
        How the tip is estimated.
    limits : TipLimits, optional
        What it has to keep.

    Returns
    -------
    callable
        See `devices.tip_qualifier.Qualify`.
    """

    def qualify_image(
        image: NDArray[Any], pixel_size: tuple[float, float], baseline: TipBaseline | None
    ) -> TipVerdict:
        # numba is loaded when the first tip is looked at, not with every plan
        from analysis.tip_shape import Baseline, estimate_tip, qualify

        estimate = estimate_tip(image, pixel_size, settings)
        if baseline is None:
            return qualify(estimate, limits)
        height = estimate.heights[1]
        was = Baseline(baseline.diameter, baseline.diameter_error, height)
        return qualify(estimate, limits, was)

    return qualify_image


def checked_tip(
    afm: Afm,
    qualifier: TipQualifier,
    imaging: Imaging,
    *,
    baseline: TipResult | None,
    md: Mapping[str, Any],
) -> MsgGenerator[tuple[str, TipResult]]:
    """Do what `tip_check` does, with an image that was checked.

    Returns
    -------
    (str, TipResult)
        Uid of the run and the verdict; in a dry run, good.
    """

    def qualified() -> MsgGenerator[TipResult]:
        yield from triggered(qualifier)
        readings = yield from read_into(_STREAM, qualifier)
        if not readings:
            return _UNKNOWN
        return TipResult(**{name: readings[key]["value"] for name, key in keys.items()})

    keys = {name: getattr(qualifier, name).name for name in _VERDICT}
    yield from bps.mv(qualifier.baseline, _baseline(baseline))
    return (
        yield from image_run(
            afm,
            imaging,
            md={"plan_name": "tip_check", **md},
            told={_STREAM: keys},
            afterwards=qualified,
        )
    )


def _baseline(check: TipResult | None) -> TipBaseline | None:
    if check is None or not math.isfinite(check.diameter):
        return None
    return TipBaseline(_M * check.diameter, _M * check.diameter_error)
