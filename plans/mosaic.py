"""One image of a large area: overlapping fields on a grid, taken one after the other.

The grid lies along the rows and columns of the camera, so that fields overlap however the scan is
turned against the stage. The plan moves and records; where each field really was, and the montage,
are found from the overlaps by `analysis.live.MosaicAnalysis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator, plan

from analysis.mosaic import MosaicResult
from devices.microscope import Microscope
from plans._grid import Grid, check_counts, check_numbers, checked_pair
from plans._imaging_run import imaging_metadata, imaging_run
from plans._steps import LiveResults, reach, read_now, record, result_of, standing

__all__ = ["LiveResults", "MosaicRun", "mosaic", "mosaic_over"]

_AXES = ("x", "y")


@dataclass(frozen=True)
class MosaicRun:
    """What `mosaic` hands back.

    Parameters
    ----------
    uid : str
        The recorded run.
    result : MosaicResult or None
        What the live analysis found; None when none was asked for.
    """

    uid: str
    result: MosaicResult | None


def _steps(tem: Microscope, overlap: float) -> MsgGenerator[tuple[Any, Any]]:
    """Steps (x, y) µm along the columns and along the rows, and the field's size, px."""
    pixel_nm = yield from read_now(tem.camera.pixel_size)
    matrix = 1e-3 * pixel_nm * np.reshape((yield from read_now(tem.camera.to_stage)), (2, 2))
    rows, columns = yield from read_now(tem.camera.shape)
    return (1 - overlap) * columns * matrix[:, 0], (1 - overlap) * rows * matrix[:, 1]


@plan
def mosaic(
    tem: Microscope,
    rows: int = 3,
    columns: int = 3,
    *,
    overlap: float = 0.2,
    centre: Sequence[float] | None = None,
    serpentine: bool = True,
    over_travel: float = 0.0,
    settle_time: float = 0.0,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[MosaicRun]:
    """Take overlapping fields on a grid about a point.

    At every field an image and the reported and target positions of all axes are recorded. A pause
    loses no field: the stage is sent to where it was going before the next image. On every way out
    the beam is blanked and then the stage is sent back to where it began, each of these though the
    other fails.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    rows, columns : int
        Of fields.
    overlap : float
        Of neighbouring fields, as a part of the field: 0.05 to 0.9.
    centre : (x, y), optional
        Middle of the grid, µm; where the stage stands unless given.
    serpentine : bool
        Every other row backwards, the shortest way; else every row from the same side, so that play
        moves all rows alike.
    over_travel : float
        How far before a row's first field the stage begins its approach, so that the play is taken
        up when the row begins, µm; more than the play, or 0 for the direct way.
    settle_time : float
        Seconds waited after each move beyond the settling that the instrument itself waits for.
    analysis : LiveResults, optional
        Waited for at the end, to hand back its result.
    md : dict, optional
        Metadata, which win over the plan's own.

    Returns
    -------
    MosaicRun
        The uid of the run and the result of the live analysis.

    Raises
    ------
    ValueError
        Arguments out of range; nothing has moved.
    devices.wire.LimitError
        The fields lie outside the limits of an axis; nothing has moved.
    """
    check_numbers(overlap, over_travel, settle_time)
    check_counts(rows, columns)
    middle = None if centre is None else checked_pair("centre", centre)
    start = yield from standing(tem, _AXES)
    grid = Grid(
        int(rows),
        int(columns),
        float(overlap),
        bool(serpentine),
        np.array([start[axis] for axis in _AXES] if middle is None else middle),
        *(yield from _steps(tem, overlap)),
        float(over_travel),
    )
    arguments = {
        "rows": grid.rows,
        "columns": grid.columns,
        "overlap": grid.overlap,
        "centre": grid.centre.tolist(),
        "serpentine": grid.serpentine,
        "over_travel": grid.over_travel,
        "settle_time": float(settle_time),
    }
    return (yield from _take(tem, grid, start, arguments, analysis, md))


@plan
def mosaic_over(
    tem: Microscope,
    x: Sequence[float],
    y: Sequence[float],
    *,
    overlap: float = 0.2,
    serpentine: bool = True,
    over_travel: float = 0.0,
    settle_time: float = 0.0,
    analysis: LiveResults | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[MosaicRun]:
    """Take as many overlapping fields as cover a rectangle; see `mosaic`.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    x, y : (float, float)
        From where to where, µm.
    overlap, serpentine, over_travel, settle_time, analysis, md
        As of `mosaic`.

    Returns
    -------
    MosaicRun
        The uid of the run and the result of the live analysis.

    Raises
    ------
    ValueError
        Arguments out of range; nothing has moved.
    devices.wire.LimitError
        The fields lie outside the limits of an axis; nothing has moved.
    """
    check_numbers(overlap, over_travel, settle_time)
    sides = {"x": checked_pair("x", x), "y": checked_pair("y", y)}
    for name, (low, high) in sides.items():
        if not low < high:
            raise ValueError(f"{name} is {low:g} to {high:g} µm: it must go from low to high")
    along_columns, along_rows = yield from _steps(tem, overlap)
    # the rectangle as the camera sees it, in steps
    matrix = np.stack([along_columns, along_rows], axis=1)
    corners = np.array([(cx, cy) for cx in sides["x"] for cy in sides["y"]])
    extent = np.ptp(np.linalg.solve(matrix, corners.T), axis=1)
    # what n fields cover is n - 1 steps and a field of 1/(1 - overlap) steps
    needed = np.maximum(1, np.ceil(extent - 1 / (1 - overlap) + 1 - 1e-9)).astype(int)
    columns, rows = (int(n) for n in needed)
    middle = corners.mean(axis=0)
    return (
        yield from mosaic(
            tem,
            rows,
            columns,
            overlap=overlap,
            centre=(float(middle[0]), float(middle[1])),
            serpentine=serpentine,
            over_travel=over_travel,
            settle_time=settle_time,
            analysis=analysis,
            md=md,
        )
    )


def _take(
    tem: Microscope,
    grid: Grid,
    start: dict[str, float],
    arguments: dict[str, Any],
    analysis: LiveResults | None,
    md: dict[str, Any] | None,
) -> MsgGenerator[MosaicRun]:
    stops = [
        [{axis: float(v) for axis, v in zip(_AXES, place, strict=True)} for place in moves]
        for moves in grid.stops()
    ]
    for moves in stops:
        for targets in moves:
            tem.goniometer.check_value(targets)
    _md = {
        **imaging_metadata(tem, "mosaic", arguments, axes=_AXES, points=len(stops)),
        "mosaic": {
            "rows": grid.rows,
            "columns": grid.columns,
            "serpentine": grid.serpentine,
            "overlap": grid.overlap,
        },
        **(md or {}),
    }

    def fields() -> MsgGenerator[None]:
        for moves in stops:
            yield from bps.checkpoint()
            for targets in moves:
                yield from reach(tem, targets)
            if arguments["settle_time"]:
                yield from bps.sleep(arguments["settle_time"])
            yield from record(tem)

    uid = yield from imaging_run(tem, fields, md=_md, send_back=[start])
    return MosaicRun(uid, (yield from result_of(analysis, uid)))
