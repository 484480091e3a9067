"""How many volts make the free tip swing as asked? Found by looking, never by a nominal gain."""

from __future__ import annotations

import math

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.afm import Afm
from devices.comb import check_comb
from plans._steps import triggered
from plans.combs import Excitation

__all__ = ["check_excitation", "set_drive"]

_FIRST = 1e-3  # of what the output gives, shared by the bands: a tip in air then swings little
_LARGEST_STEP = 30.0  # by which a drive is raised at once: the answer may be noise
_TOLERANCE = 0.01  # of the amplitude asked for; thermal noise of a pixel is 1e-3
_TRIES = 8


def check_excitation(afm: Afm, excitation: Excitation) -> None:
    """Refuse a comb that the lock-in cannot do; nothing has moved.

    Parameters
    ----------
    afm : Afm
        The microscope.
    excitation : Excitation
        What shall be driven and measured.

    Raises
    ------
    devices.wire.LimitError
        Names the limit.
    """
    limits = afm.lockin.comb_limits
    driven = sum(len(band.driven) for band in excitation.bands)
    check_comb(excitation.comb([_first(afm, driven)] * len(excitation.bands)), limits)


def set_drive(afm: Afm, excitation: Excitation) -> MsgGenerator[list[float]]:
    """Drive the free tip so that every beat has its amplitude, and leave it driven.

    Use it in a run, with the tip lifted, before its first event of spectra. A free tip is linear:
    a look and its ratio tell the volts.

    Parameters
    ----------
    afm : Afm
        The microscope.
    excitation : Excitation
        What is asked for.

    Returns
    -------
    list of float
        Volts of every driven tone of each band.

    Raises
    ------
    ValueError
        The amplitude cannot be reached: more volts than there are, or no answer to them.
    """
    wanted = [band.amplitude for band in excitation.bands]
    driven = sum(len(band.driven) for band in excitation.bands)
    limits = afm.lockin.comb_limits
    volts = [_first(afm, driven)] * len(wanted)
    found: list[float] = []
    for _ in range(_TRIES):
        comb = excitation.comb(volts)
        check_comb(comb, limits)
        yield from bps.mv(afm.lockin.comb, comb)
        yield from triggered(afm.lockin)
        spectra = afm.lockin.spectra.get()
        if not spectra.size:  # a dry run
            return volts
        found = excitation.beats(spectra)
        ratios = [
            want / have if have > 0.0 else math.inf
            for want, have in zip(wanted, found, strict=True)
        ]
        if all(abs(ratio - 1.0) < _TOLERANCE for ratio in ratios):
            return volts
        volts = [v * min(ratio, _LARGEST_STEP) for v, ratio in zip(volts, ratios, strict=True)]
        total = sum(v * len(band.driven) for v, band in zip(volts, excitation.bands, strict=True))
        if total > limits.drive_amplitude:
            raise ValueError(
                f"free amplitudes of {_list(wanted)} nm need {total:.3g} V, the lock-in gives "
                f"{limits.drive_amplitude:g} V: take smaller amplitudes, or calibrate the probe "
                "if the resonances lie elsewhere"
            )
    raise ValueError(
        f"free amplitudes of {_list(wanted)} nm were asked for and {_list(found)} nm found: the "
        "tip does not answer the drive; is it lifted, and the probe calibrated?"
    )


def _first(afm: Afm, driven: int) -> float:
    return _FIRST * afm.lockin.comb_limits.drive_amplitude / driven


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
