"""What forces does the tip feel at one point? Intermodulation spectra, free and engaged.

Borysov et al., section III: the spectrum of the free tip, the spectrum of the tip that taps, and
their difference, which is the force. As functions of height and of amplitude they tell more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan

from devices.afm import Afm
from plans._afm_run import afm_metadata, afm_run, move_head, record_spectra
from plans._checks import positive
from plans._drive import check_excitation, set_drive
from plans._engagement import (
    AS_IN_THE_PAPER,
    Tapping,
    check_tapping,
    engage,
    free_at_lift,
    lower,
    paper_excitation,
    tapping_arguments,
)
from plans._steps import LiveResults, read_now, result_of
from plans.combs import Excitation
from plans.spectra_estimate import SpectraEstimate
from plans.tip_approach import Approach, ApproachError

__all__ = [
    "AmplitudeSeriesRun",
    "FreeSpectrumRun",
    "SpectrumRun",
    "amplitude_series",
    "estimate_point",
    "free_spectrum",
    "height_series",
    "point_spectrum",
]

_SPECTRA = 3  # of a point: free, engaged, free
_APART = 20.0  # times the tip's reach that a new approach begins above the last engaged height


@dataclass(frozen=True)
class FreeSpectrumRun:
    """What `free_spectrum` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    excitation : Excitation
        What was driven and measured.
    volts : tuple of float
        Of every driven tone of each band, V.
    """

    uid: str
    excitation: Excitation
    volts: tuple[float, ...]


@dataclass(frozen=True)
class SpectrumRun:
    """What `point_spectrum` and `height_series` hand back.

    Parameters
    ----------
    uid : str
        The recorded run.
    approach : Approach or None
        Where the surface was found; None in a dry run.
    result : object
        What the live analysis found; None when none was asked for.
    """

    uid: str
    approach: Approach | None
    result: Any


@dataclass(frozen=True)
class AmplitudeSeriesRun:
    """What `amplitude_series` hands back.

    Parameters
    ----------
    runs : tuple of SpectrumRun
        One an amplitude, in their order.
    """

    runs: tuple[SpectrumRun, ...]


@plan
def free_spectrum(
    afm: Afm,
    excitation: Excitation | None = None,
    *,
    pixels: int = 16,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[FreeSpectrumRun]:
    """Find the drive for the asked amplitudes with the tip withdrawn, and record its spectrum.

    On every way out the drive is switched off.

    Parameters
    ----------
    afm : Afm
        The microscope.
    excitation : Excitation, optional
        What is driven and measured; that of the paper about the calibrated modes unless given.
    pixels : int
        Spectra, one period 1/df each.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    FreeSpectrumRun
        The uid of the run and the drive.

    Raises
    ------
    ValueError
        Arguments out of range, nothing was driven; or amplitudes that the drive does not reach.
    devices.wire.LimitError
        The lock-in cannot do such a comb.
    """
    afm.lockin.pixels.check_value(pixels)
    if excitation is None:
        excitation = yield from paper_excitation(afm)
    driven: Excitation = excitation
    check_excitation(afm, driven)
    arguments = {
        "df": driven.df,
        "amplitudes": [band.amplitude for band in driven.bands],
        "pixels": pixels,
    }

    def body() -> MsgGenerator[list[float]]:
        yield from bps.mv(afm.lockin.pixels, pixels)
        volts = yield from set_drive(afm, driven)
        yield from record_spectra(afm)
        return volts

    _md = {**afm_metadata(afm, "free_spectrum", arguments, points=1), **(md or {})}
    uid, volts = yield from afm_run(afm, body, md=_md)
    return FreeSpectrumRun(uid, driven, tuple(volts))


@plan
def point_spectrum(
    afm: Afm,
    *,
    pixels: int = 16,
    tapping: Tapping = AS_IN_THE_PAPER,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[SpectrumRun]:
    """Approach where the scanner stands, and record free, engaged and again free spectra.

    The tip is lowered step by step until it taps as `tapping` says; the steps are in the stream
    "approach". On every way out it is withdrawn and the drive switched off.

    Parameters
    ----------
    afm : Afm
        The microscope, its probe calibrated.
    pixels : int
        Spectra of each kind, one period 1/df each.
    tapping : Tapping
        How the tip is driven and brought to the surface.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    SpectrumRun
        The uid of the run, where the surface is, and the result of the live analysis.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    ApproachError
        The tip was not brought to the surface; it is withdrawn.
    """
    excitation = yield from check_tapping(afm, tapping, pixels)
    arguments = {"pixels": pixels, **tapping_arguments(tapping, excitation)}

    def body() -> MsgGenerator[Approach | None]:
        yield from _stand_still(afm)
        found = yield from engage(afm, tapping, excitation, pixels)
        yield from free_at_lift(afm, tapping)
        yield from lower(afm)
        yield from record_spectra(afm)
        yield from free_at_lift(afm, tapping)
        return found

    _md = {**afm_metadata(afm, "point_spectrum", arguments, points=_SPECTRA), **(md or {})}
    uid, found = yield from afm_run(afm, body, md=_md)
    return SpectrumRun(uid, found, (yield from result_of(analysis, uid)))


def estimate_point(
    afm: Afm, *, pixels: int = 16, tapping: Tapping = AS_IN_THE_PAPER
) -> MsgGenerator[SpectraEstimate]:
    """Check what `point_spectrum` is asked to do, and say what it would take; nothing moves.

    Parameters
    ----------
    afm, pixels, tapping
        As of `point_spectrum`.

    Returns
    -------
    SpectraEstimate
        ``print`` it.

    Raises
    ------
    ValueError, devices.wire.LimitError
        As `point_spectrum`.
    """
    excitation = yield from check_tapping(afm, tapping, pixels)
    return SpectraEstimate.of(excitation, _SPECTRA, pixels)


@plan
def height_series(
    afm: Afm,
    heights: Sequence[float],
    *,
    pixels: int = 16,
    tapping: Tapping = AS_IN_THE_PAPER,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[SpectrumRun]:
    """Record engaged spectra at several heights of the resting tip above the surface.

    From the greatest height down, with a free spectrum before and after. The series is given up
    when the amplitude falls below the floor of the guard. On every way out the tip is withdrawn and
    the drive switched off.

    Parameters
    ----------
    afm : Afm
        The microscope, its probe calibrated.
    heights : sequence of float
        nm, each below the reach of the free tip.
    pixels, tapping, analysis, md
        As of `point_spectrum`; the guard's ratio and height are not used.

    Returns
    -------
    SpectrumRun
        The uid of the run, where the surface is, and the result of the live analysis.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    ApproachError
        The tip was not brought to the surface, or came too near; it is withdrawn.
    """
    falling = sorted({positive("height", height, "nm") for height in heights}, reverse=True)
    if not falling:
        raise ValueError("no heights are given: name one or more, nm")
    how = replace(tapping, guard=replace(tapping.guard, ratio=None, height=falling[0]))
    excitation = yield from check_tapping(afm, how, pixels)
    arguments = {"pixels": pixels, "heights": falling, **tapping_arguments(how, excitation)}

    def body() -> MsgGenerator[Approach | None]:
        yield from _stand_still(afm)
        found = yield from engage(afm, how, excitation, pixels)
        yield from free_at_lift(afm, how)
        yield from lower(afm)
        for height in falling:
            yield from bps.checkpoint()
            if found is not None:
                yield from move_head(afm, found.surface + height)
            readings = yield from record_spectra(afm)
            if found is not None:
                _check_floor(readings[afm.head.amplitude.name]["value"], found, how)
        yield from free_at_lift(afm, how)
        return found

    points = len(falling) + 2
    _md = {**afm_metadata(afm, "height_series", arguments, points=points), **(md or {})}
    uid, found = yield from afm_run(afm, body, md=_md)
    return SpectrumRun(uid, found, (yield from result_of(analysis, uid)))


@plan
def amplitude_series(
    afm: Afm,
    factors: Sequence[float],
    *,
    pixels: int = 16,
    tapping: Tapping = AS_IN_THE_PAPER,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[AmplitudeSeriesRun]:
    """Record a `point_spectrum` at several amplitudes of the drive, a run each.

    From the second on the approach begins a little above where the tip was engaged before.

    Parameters
    ----------
    afm : Afm
        The microscope, its probe calibrated.
    factors : sequence of float
        By which all amplitudes of the excitation are multiplied.
    pixels, tapping, analysis, md
        As of `point_spectrum`.

    Returns
    -------
    AmplitudeSeriesRun
        Its runs.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    ApproachError
        The tip was not brought to the surface; it is withdrawn.
    """
    given = [positive("factor", factor) for factor in factors]
    if not given:
        raise ValueError("no factors are given: name one or more")
    excitation = yield from check_tapping(afm, tapping, pixels)
    series = []
    for factor in given:
        bands = tuple(replace(b, amplitude=factor * b.amplitude) for b in excitation.bands)
        each = replace(tapping, excitation=replace(excitation, bands=bands))
        yield from check_tapping(afm, each, pixels)
        series.append(each)
    highest = afm.head.z.limits[1]
    runs: list[SpectrumRun] = []
    for each in series:
        if runs and runs[-1].approach is not None:
            start = min(runs[-1].approach.z + _APART * excitation.reach, highest)
            each = replace(each, guard=replace(each.guard, start=start))
        runs.append(
            (yield from point_spectrum(afm, pixels=pixels, tapping=each, analysis=analysis, md=md))
        )
    return AmplitudeSeriesRun(tuple(runs))


def _stand_still(afm: Afm) -> MsgGenerator[None]:
    """Make the line of the scanner the point where it stands."""
    x = yield from read_now(afm.scanner.x)
    y = yield from read_now(afm.scanner.y)
    yield from bps.mv(afm.scanner.line, (x, y, x, y))


def _check_floor(amplitude: float, found: Approach, tapping: Tapping) -> None:
    floor = tapping.guard.floor
    if amplitude < floor * found.free:
        raise ApproachError(
            f"the amplitude fell to {amplitude:.3g} nm, below {floor:.0%} of the free "
            f"{found.free:.3g} nm: the tip is withdrawn; ask for greater heights"
        )
