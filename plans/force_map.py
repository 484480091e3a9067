"""What are the forces at every point of a field? Intermodulation spectra line by line.

A spectrum a pixel, one period of the base frequency each: "high resolution surface property
mapping at interactive scan speeds" (Borysov et al., section I). The height follows the surface from
line to line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator, plan

from devices.afm import Afm
from plans._afm_run import afm_metadata, afm_run, record_spectra, set_line
from plans._checks import checked_count, finite
from plans._engagement import (
    AS_IN_THE_PAPER,
    Tapping,
    check_tapping,
    engage,
    free_at_lift,
    lower,
    tapping_arguments,
)
from plans._steps import LiveResults, result_of, triggered
from plans.combs import Excitation
from plans.spectra_estimate import SpectraEstimate
from plans.tip_approach import Approach

__all__ = ["ForceMapRun", "Line", "estimate_map", "force_map", "map_lines"]

Line = tuple[float, float, float, float]
_LEARNING_LINES = 2  # of the feedback, over the first line, before it is recorded


@dataclass(frozen=True)
class ForceMapRun:
    """What `force_map` hands back.

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


def map_lines(x: tuple[float, float], y: tuple[float, float], shape: tuple[int, int]) -> list[Line]:
    """Lines of a map, pixels centred in their cells.

    Parameters
    ----------
    x, y : (float, float)
        Edges of the field, µm.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    list of (x0, y0, x1, y1)
        A line a row, µm, from the first edge of y on.

    Raises
    ------
    ValueError
        Edges that are not two different numbers, or a shape that is no shape.
    """
    try:
        (x0, x1), (y0, y1), (rows, columns) = x, y, shape
    except (TypeError, ValueError):
        raise ValueError(
            f"x {x!r}, y {y!r} and shape {shape!r}: give two edges, two edges, and rows and columns"
        ) from None
    edges = [finite("edge", value, "µm") for value in (x0, x1, y0, y1)]
    checked_count("rows", rows)
    checked_count("columns", columns)
    if edges[0] == edges[1] or edges[2] == edges[3]:
        raise ValueError(f"x {x!r} and y {y!r} span no field: give two different edges of each")
    places = edges[2] + (np.arange(rows) + 0.5) / rows * (edges[3] - edges[2])
    return [(edges[0], float(place), edges[1], float(place)) for place in places]


def estimate_map(
    afm: Afm,
    x: tuple[float, float],
    y: tuple[float, float],
    shape: tuple[int, int],
    *,
    tapping: Tapping = AS_IN_THE_PAPER,
) -> MsgGenerator[SpectraEstimate]:
    """Check what `force_map` is asked to do, and say what it would take; nothing moves.

    Parameters
    ----------
    afm, x, y, shape, tapping
        As of `force_map`.

    Returns
    -------
    SpectraEstimate
        ``print`` it.

    Raises
    ------
    ValueError, devices.wire.LimitError
        As `force_map`.
    """
    excitation, lines = yield from _checked(afm, x, y, shape, tapping)
    return SpectraEstimate.of(excitation, len(lines) + _LEARNING_LINES + 2, shape[1])


@plan
def force_map(
    afm: Afm,
    x: tuple[float, float],
    y: tuple[float, float],
    shape: tuple[int, int] = (64, 64),
    *,
    tapping: Tapping = AS_IN_THE_PAPER,
    feedback: Literal["line", "off"] = "line",
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[ForceMapRun]:
    """Record a spectrum at every pixel of a field, with free spectra before and after.

    The tip is brought to the surface at the beginning of the first line, as `tapping` says. Where
    the height follows the surface, the first line is gone along twice before it is recorded, to
    learn it. Between lines the run may be paused (Ctrl-C twice, or ``RE.request_pause(True)``); in
    mid-line a pause waits for the end of the line. On every way out the tip is withdrawn and the
    drive switched off.

    Parameters
    ----------
    afm : Afm
        The microscope, its probe calibrated.
    x, y : (float, float)
        Edges of the field, µm.
    shape : (int, int)
        Rows and columns.
    tapping : Tapping
        How the tip is driven and brought to the surface.
    feedback : str
        ``line``: the height follows the line before, so that the amplitude stays as it was engaged;
        ``off``: the height is constant.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    ForceMapRun
        The uid of the run, where the surface is, and the result of the live analysis.

    Raises
    ------
    ValueError, devices.wire.LimitError
        Arguments out of range; nothing has moved.
    ApproachError
        The tip was not brought to the surface; it is withdrawn.
    """
    if feedback not in ("line", "off"):
        raise ValueError(f"feedback is {feedback!r}: line or off")
    excitation, lines = yield from _checked(afm, x, y, shape, tapping)
    columns = int(shape[1])
    arguments = {
        "x": [float(edge) for edge in x],
        "y": [float(edge) for edge in y],
        "shape": [len(lines), columns],
        "feedback": feedback,
        **tapping_arguments(tapping, excitation),
    }

    def body() -> MsgGenerator[Approach | None]:
        yield from set_line(afm, (*lines[0][:2], *lines[0][:2]))
        found = yield from engage(afm, tapping, excitation, columns)
        yield from set_line(afm, lines[0])
        yield from free_at_lift(afm, tapping)
        yield from lower(afm)
        if feedback == "line":
            yield from _follow(afm, found, lines[0])
        for line in lines:
            yield from bps.checkpoint()
            yield from set_line(afm, line)
            yield from record_spectra(afm)
        yield from set_line(afm, lines[-1])
        yield from free_at_lift(afm, tapping)
        return found

    _md = {
        **afm_metadata(afm, "force_map", arguments, points=len(lines) + 2),
        "shape": [len(lines), columns],
        "extents": [arguments["y"], arguments["x"]],
        **(md or {}),
    }
    uid, found = yield from afm_run(afm, body, md=_md)
    return ForceMapRun(uid, found, (yield from result_of(analysis, uid)))


def _follow(afm: Afm, found: Approach | None, line: Line) -> MsgGenerator[None]:
    """Let the height follow the surface, and learn it along the first line."""
    if found is not None:
        yield from bps.mv(afm.head.setpoint, found.engaged)
    yield from bps.mv(afm.head.feedback, "line")
    for _ in range(_LEARNING_LINES):
        yield from set_line(afm, line)
        yield from triggered(afm.lockin)


def _checked(
    afm: Afm,
    x: tuple[float, float],
    y: tuple[float, float],
    shape: tuple[int, int],
    tapping: Tapping,
) -> MsgGenerator[tuple[Excitation, list[Line]]]:
    lines = map_lines(x, y, shape)
    for line in (lines[0], lines[-1]):
        afm.scanner.line.check_value(line)
    excitation = yield from check_tapping(afm, tapping, shape[1])
    return excitation, lines
