"""What plans of spectra share: drive, approach, the free spectrum at lift, the engaged ones.

The approach comes before the first recorded spectrum, so that the free one is taken a little above
the surface with the drive of all others, and so is the last, which tells how the drive has drifted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator
from ophyd import Signal

from devices.afm import Afm
from plans._afm_run import move_head, probe_modes, record_spectra
from plans._checks import checked_count, positive
from plans._drive import check_excitation, set_drive
from plans._steps import read_into
from plans.combs import Excitation, paper_comb
from plans.tip_approach import Approach, Guard, approach, check_approach

__all__ = [
    "AS_IN_THE_PAPER",
    "Tapping",
    "check_tapping",
    "engage",
    "free_at_lift",
    "lower",
    "paper_excitation",
    "tapping_arguments",
]

_LOOK_PIXELS = 4  # a look of an approach: 20 ms at 200 Hz
_CLEAR = 1.05  # of the lift: beyond it for certain
_AMPLITUDE_NM = 12.5  # of each mode's beat, as in the paper's case of two collinear modes


@dataclass(frozen=True)
class Tapping:
    """How the tip is driven and brought to the surface.

    Parameters
    ----------
    excitation : Excitation or None
        What is driven and measured; that of the paper about the calibrated modes unless given.
    guard : Guard
        How the approach ends, and what ends it before.
    lift : float
        Height above the working one at which free spectra are taken, nm: beyond the reach of the
        forces.
    """

    excitation: Excitation | None = None
    guard: Guard = field(default_factory=Guard)
    lift: float = 200.0


AS_IN_THE_PAPER = Tapping()


def paper_excitation(
    afm: Afm,
    amplitudes: tuple[float, ...] | None = None,
    *,
    df: float = 200.0,
    tones_a_band: int = 24,
) -> MsgGenerator[Excitation]:
    """The paper's comb about the calibrated modes, with the nearest df that the lock-in does.

    Parameters
    ----------
    afm : Afm
        The microscope.
    amplitudes : tuple of float, optional
        As of `paper_comb`, nm; 12.5 of every mode unless given.
    df : float
        Base frequency, Hz.
    tones_a_band : int
        As of `paper_comb`.

    Returns
    -------
    Excitation
    """
    modes = yield from probe_modes(afm)
    _, exact = afm.lockin.tune(max(mode.frequency for mode in modes), positive("df", df, "Hz"))
    given = (_AMPLITUDE_NM,) * len(modes) if amplitudes is None else amplitudes
    return paper_comb(modes, exact, given, tones_a_band=tones_a_band)


def check_tapping(afm: Afm, tapping: Tapping, pixels: int) -> MsgGenerator[Excitation]:
    """Refuse what cannot be done; nothing has moved.

    Parameters
    ----------
    afm : Afm
        The microscope.
    tapping : Tapping
        How it is driven and approached.
    pixels : int
        Of an acquisition.

    Returns
    -------
    Excitation
        That of `tapping`, or the paper's.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Says what is allowed.
    """
    afm.lockin.pixels.check_value(checked_count("pixels", pixels))
    afm.head.lift.check_value(positive("lift", tapping.lift, "nm"))
    excitation = tapping.excitation
    if excitation is None:
        excitation = yield from paper_excitation(afm)
    if excitation.reach <= 0.0:
        raise ValueError("no flexural mode is driven: a tip that does not tap finds no surface")
    check_excitation(afm, excitation)
    yield from check_approach(afm, tapping.guard, excitation.reach)
    return excitation


def tapping_arguments(tapping: Tapping, excitation: Excitation) -> dict[str, Any]:
    """What the start document says of it."""
    guard = tapping.guard
    return {
        "df": excitation.df,
        "amplitudes": [band.amplitude for band in excitation.bands],
        "driven": [list(band.driven) for band in excitation.bands],
        "ratio": guard.ratio,
        "height": guard.height,
        "floor": guard.floor,
        "lift": tapping.lift,
    }


def engage(
    afm: Afm, tapping: Tapping, excitation: Excitation, pixels: int
) -> MsgGenerator[Approach | None]:
    """Drive the withdrawn tip, bring it to the surface, and make ready to record.

    Parameters
    ----------
    afm : Afm
        The microscope, staged, in a run without an event of spectra.
    tapping : Tapping
        How.
    excitation : Excitation
        As checked.
    pixels : int
        Of each acquisition to come.

    Returns
    -------
    Approach or None
        None in a dry run.
    """
    yield from bps.mv(
        afm.lockin.pixels, _LOOK_PIXELS, afm.head.lift, tapping.lift, afm.head.feedback, "off"
    )
    yield from set_drive(afm, excitation)
    found = yield from approach(afm, excitation.reach, tapping.guard)
    yield from bps.mv(afm.lockin.pixels, pixels)
    if found is not None:
        values = {
            "surface": found.surface,
            "height": found.height,
            "uncertainty": found.uncertainty,
            "free": found.free,
            "amplitude": found.engaged,
        }
        told = [
            Signal(name=f"{afm.name}_approach_{name}_nm", value=value)
            for name, value in values.items()
        ]
        yield from read_into("engaged", *told)
    return found


def free_at_lift(afm: Afm, tapping: Tapping) -> MsgGenerator[None]:
    """Lift the engaged tip, and record a free spectrum."""
    stands = afm.head.working_height
    height = yield from bps.rd(stands, default_value=stands.get())
    if height == height:  # else nothing is engaged: a dry run
        target = height + _CLEAR * tapping.lift
        afm.head.z.check_value(target)
        yield from move_head(afm, target)
    yield from record_spectra(afm)


def lower(afm: Afm) -> MsgGenerator[None]:
    """Lower a lifted tip to its working height."""
    stands = afm.head.working_height
    height = yield from bps.rd(stands, default_value=stands.get())
    if height == height:
        yield from move_head(afm, height)
