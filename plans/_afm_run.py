"""What every run of an AFM shares: its start document, a spectrum, and its end on every way out.

The tip is near the surface only inside such a run; whatever ends it withdraws the tip first, then
ends what goes on, closes the lock-in's file and switches the drive off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator

from analysis.intermodulation.modes import Mode
from devices.afm import Afm
from devices.comb import TORSIONAL
from plans._steps import read_into, read_now, triggered
from plans._withdrawal import withdraw, withdrawn
from plans.endings import ending_with, insist, let_failures_pass

__all__ = [
    "afm_metadata",
    "afm_run",
    "arrive",
    "height_key",
    "move_head",
    "probe_modes",
    "record_spectra",
    "set_line",
]

T = TypeVar("T")

_TRIES = 5  # to arrive though pauses break the way off
_HEIGHT_NM = 0.5  # within which the head has arrived: a piezo's noise
_PLACE_UM = 0.01  # within which the scanner has
_CALIBRATED = (
    "resonance_frequency",
    "quality_factor",
    "spring_constant",
    "mode_axis",
    "radius",
)


def height_key(afm: Afm) -> str:
    """Key of the height of the engaged tip above the surface, nm, in the stream "engaged"."""
    return f"{afm.name}_approach_height_nm"


def afm_metadata(
    afm: Afm, plan_name: str, arguments: Mapping[str, Any], *, points: int
) -> dict[str, Any]:
    """Start document of a run of spectra.

    Parameters
    ----------
    afm : Afm
        The microscope.
    plan_name : str
        The plan.
    arguments : mapping
        Its arguments, JSON.
    points : int
        Acquisitions expected.

    Returns
    -------
    dict
        With ``fields``, which tell analysis the data keys of all it needs.
    """
    lockin, probe = afm.lockin, afm.probe
    return {
        "plan_name": plan_name,
        "plan_args": {"afm": afm.name, **arguments},
        "purpose": "raw",
        "detectors": [afm.lockin.name],
        "motors": [afm.head.z.name],
        "num_points": points,
        "fields": {
            "spectra": afm.lockin.spectra.name,
            "z": afm.lockin.z.name,
            "lifted": afm.head.lifted.name,
            "time": afm.lockin.time.name,
            "height": height_key(afm),
            "comb": {name: getattr(lockin, name).name for name in ("tones", "axes", "df")},
            "probe": {name: getattr(probe, name).name for name in _CALIBRATED},
        },
        "hints": {"dimensions": [(("time",), "primary")]},
    }


def afm_run(
    afm: Afm, body: Callable[[], MsgGenerator[T]], *, md: Mapping[str, Any]
) -> MsgGenerator[tuple[str, T]]:
    """Run `body` with the lock-in staged, and leave the microscope safe.

    The tip goes on after a pause where it stands, so the run is not rewindable. On every way out
    the tip is withdrawn, what goes on ended, the file closed and the drive switched off, each of
    these though the others fail.

    Parameters
    ----------
    afm : Afm
        The microscope.
    body : callable() -> generator of Msg
        What is done in the run.
    md : mapping
        The start document.

    Returns
    -------
    (str, object)
        Uid of the run, and what `body` returns.
    """
    found: list[T] = []

    def retract(failed: bool) -> MsgGenerator[None]:
        yield from withdraw(afm.head)

    def stop(failed: bool) -> MsgGenerator[None]:
        if failed:
            # bluesky's protocol has success positional; ophyd and its RunEngine do not
            yield from bps.stop(afm)  # pyright: ignore[reportArgumentType]
            yield from let_failures_pass()

    def unstage(failed: bool) -> MsgGenerator[None]:
        yield from bps.unstage(afm.lockin)

    def switch_off(failed: bool) -> MsgGenerator[None]:
        comb = afm.lockin.comb.get()
        silent = replace(comb, drive_tones=(), drive_amplitude=(), drive_phase=())
        yield from insist(afm.lockin.comb, silent)
        yield from insist(afm.head.feedback, "off")

    def retracted(failed: bool) -> MsgGenerator[None]:
        yield from withdrawn(afm.head)

    @bpp.run_decorator(md=dict(md))
    def run() -> MsgGenerator[None]:
        found.append((yield from body()))

    def staged() -> MsgGenerator[Any]:
        yield from bps.stage(afm.lockin)
        return (yield from run())

    uid = yield from ending_with(
        bpp.rewindable_wrapper(staged(), False),
        retract,  # first: nothing must keep the tip on the sample
        stop,
        unstage,
        switch_off,  # after the file is closed: a comb is not changed while a run writes spectra
        retracted,
    )
    return uid, found[0]


def record_spectra(afm: Afm) -> MsgGenerator[dict[str, Any]]:
    """Acquire along the scanner's line, into an event with heights and positions."""
    yield from triggered(afm.lockin)
    return (yield from read_into("primary", afm.lockin, afm.head, afm.scanner, afm.probe))


def arrive(
    movable: Any, target: Any, there: Callable[[], MsgGenerator[bool]]
) -> MsgGenerator[None]:
    """Go somewhere, again where a pause broke the way off.

    Parameters
    ----------
    movable : ophyd object
        What moves.
    target : object
        Where to.
    there : callable() -> generator of Msg
        Tells whether it has arrived.

    Raises
    ------
    bluesky.utils.FailedStatus
        It fails again and again, or the tip was withdrawn because of it.
    """
    failure: FailedStatus | None = None
    for _ in range(_TRIES):
        try:
            yield from bps.mv(movable, target)
        except FailedStatus as error:
            failure = error
        if (yield from there()):
            return
        withdrawn = yield from bps.rd(movable.root.head.withdrawn, default_value=0)
        if withdrawn and failure is not None:
            raise failure
    raise failure or RuntimeError(f"{movable.name} did not reach {target} in {_TRIES} moves")


def move_head(afm: Afm, z: float) -> MsgGenerator[None]:
    """Move the head to the height `z`, nm, unbroken by pauses."""

    def there() -> MsgGenerator[bool]:
        stands = yield from bps.rd(afm.head.z, default_value=z)
        return math.isclose(stands, z, abs_tol=_HEIGHT_NM)

    yield from arrive(afm.head.z, z, there)


def set_line(afm: Afm, line: tuple[float, float, float, float]) -> MsgGenerator[None]:
    """Send the scanner to the start of a line, µm, unbroken by pauses."""

    def there() -> MsgGenerator[bool]:
        x = yield from bps.rd(afm.scanner.x, default_value=line[0])
        y = yield from bps.rd(afm.scanner.y, default_value=line[1])
        return math.isclose(x, line[0], abs_tol=_PLACE_UM) and math.isclose(
            y, line[1], abs_tol=_PLACE_UM
        )

    yield from arrive(afm.scanner.line, line, there)


def probe_modes(afm: Afm) -> MsgGenerator[tuple[Mode, ...]]:
    """The calibrated modes of the probe."""
    probe = afm.probe
    frequencies = yield from read_now(probe.resonance_frequency)
    qualities = yield from read_now(probe.quality_factor)
    springs = yield from read_now(probe.spring_constant)
    axes = yield from read_now(probe.mode_axis)
    return tuple(
        Mode(f, q, k, "y" if axis == TORSIONAL else "z")
        for f, q, k, axis in zip(frequencies, qualities, springs, axes, strict=True)
    )
