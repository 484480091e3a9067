"""SerialEM's metadata files (.mdoc), read with the mdocfile library.

A montage holds where each piece was meant to lie (PieceCoordinates), where the stage said it was
(StagePosition) and where the images say it lies (AlignedPieceCoords), the first and the last in
pixels. Neither magnification nor rotation is known well (pixel sizes are wrong by 10 to 15 % at low
magnification), so both are fitted: one matrix for all sections and one origin a section take
pixels to the stage. What the matrix takes up, the scale and angle of the stage, a montage cannot
show.

Format: https://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..record import StageRecord

__all__ = ["read_serialem_montage", "read_serialem_tilts"]

_TIME = "%d-%b-%y  %H:%M:%S"
_TIME_OF_FOUR_DIGITS = "%d-%b-%Y  %H:%M:%S"
# Whole pixels are all that a piece is placed to: a uniform error of one pixel.
_PIXEL_VARIANCE = 1.0 / 12.0


def read_serialem_montage(path: str | Path, *, last_piece: bool = False) -> StageRecord:
    """Read a montage: target, reported and actual positions of its pieces.

    Parameters
    ----------
    path : str or Path
        The .mdoc file.
    last_piece : bool
        Keep the last piece of each section. Behind it SerialEM writes where the stage went after
        the montage, which readers take for the position of that piece, so that published figures
        leave it out, and so does this by default.

    Returns
    -------
    StageRecord
        Of x and y, µm, a segment a section; `actual` is NaN where pieces were not aligned.

    Raises
    ------
    ValueError
        If there is no such file, or it is no montage with stage positions, or has too few pieces.
    """
    table = _table(path)
    pieces = _column(table, "PieceCoordinates", 3, path)
    reported = _column(table, "StagePosition", 2, path)
    aligned = _aligned(table, len(pieces))
    # a [MontSection] block says where the stage went after the pieces: it is no piece
    piece = np.isfinite(_column(table, "ZValue", 1, path)[:, 0])
    piece &= np.isfinite(pieces).all(axis=1) & np.isfinite(reported).all(axis=1)
    chosen = np.flatnonzero(piece)
    section = pieces[chosen, 2].astype(np.int64)
    number = np.arange(len(chosen))
    if not last_piece:
        inner = np.append(section[1:] == section[:-1], False)
        chosen, section, number = chosen[inner], section[inner], number[inner]
    seconds = _seconds(table, len(pieces))[chosen]
    pieces, reported, aligned = pieces[chosen], reported[chosen], aligned[chosen]
    if len(pieces) < 3 + len(np.unique(section)):
        raise ValueError(f"{path} has {len(pieces)} usable pieces: too few to fit the camera to")
    target, _ = _to_stage(pieces[:, :2], reported, section)
    actual = np.full_like(target, np.nan)
    spread = np.zeros((2, 2))
    known = np.isfinite(aligned).all(axis=1)
    if np.count_nonzero(known) >= 3 + len(np.unique(section[known])):
        actual[known], matrix = _to_stage(aligned[known], reported[known], section[known])
        spread = matrix.T @ matrix * _PIXEL_VARIANCE
    return StageRecord.of(
        target,
        reported,
        actual,
        covariance=spread,
        time=seconds,
        segment=section,
        row=number,
        image=[f"{Path(path).stem}:{piece}" for piece in number],
        source=f"SerialEM montage {Path(path).name}",
    )


def read_serialem_tilts(path: str | Path) -> StageRecord:
    """Read a tilt series: what the stage reported at each tilt.

    Parameters
    ----------
    path : str or Path
        The .mdoc file.

    Returns
    -------
    StageRecord
        Of x, y, z (µm) and alpha (deg). The file does not say what was asked for, so that targets
        are unknown, nor where the specimen was.

    Raises
    ------
    ValueError
        If there is no such file, or it is no tilt series with stage positions.
    """
    table = _table(path)
    tilt = _column(table, "TiltAngle", 1, path)
    place = _column(table, "StagePosition", 2, path)
    height = _column(table, "StageZ", 1, path)
    reported = np.concatenate([place, height, tilt], axis=1)
    return StageRecord.of(
        np.full_like(reported, np.nan),
        reported,
        axes={"x": "µm", "y": "µm", "z": "µm", "alpha": "deg"},
        time=_seconds(table, len(tilt)),
        row=np.arange(len(tilt)),
        image=[f"{Path(path).stem}:{number}" for number in range(len(tilt))],
        source=f"SerialEM tilt series {Path(path).name}",
    )


def _table(path: str | Path) -> dict[str, list[Any]]:
    """What each section says, key by key; None or NaN where it says nothing."""
    import mdocfile

    # every key that it does not know is warned of, and SerialEM has new ones every year
    logging.getLogger("mdocfile").setLevel(logging.ERROR)
    if not Path(path).is_file():
        raise ValueError(f"no file {path}: give the .mdoc file of a montage or a tilt series")
    try:
        table = mdocfile.read(Path(path))
    except Exception as error:  # whatever the parser makes of another kind of file
        raise ValueError(f"{path} cannot be read as a SerialEM .mdoc file: {error!r:.80}") from None
    if table.empty:
        raise ValueError(f"{path} has no section: a SerialEM .mdoc file has [ZValue = 0], ...")
    return {str(name): table[name].tolist() for name in table.columns}


def _column(
    table: dict[str, list[Any]], name: str, width: int, path: str | Path
) -> NDArray[np.float64]:
    found = _rows(table.get(name, []), width)
    if not np.isfinite(found).any():
        raise ValueError(f"{path} has no {name}: it cannot tell where the stage was")
    return found


def _rows(values: list[Any], width: int) -> NDArray[np.float64]:
    rows = np.full((len(values), width), np.nan)
    for number, value in enumerate(values):
        found = np.atleast_1d(np.asarray(np.nan if value is None else value, dtype=float))
        if found.size >= width:
            rows[number] = found[:width]
    return rows


def _aligned(table: dict[str, list[Any]], n: int) -> NDArray[np.float64]:
    """Where the pieces were found to lie, px, shape (n, 2); NaN where they were not aligned."""
    for name in ("AlignedPieceCoords", "AlignedPieceCoordsVS"):
        found = _rows(table.get(name, []), 2)
        if np.isfinite(found).any():
            return found
    return np.full((n, 2), np.nan)


def _seconds(table: dict[str, list[Any]], n: int) -> NDArray[np.float64]:
    """Seconds since the first dated section, shape (n,); NaN where no date is written."""
    found = np.full(n, np.nan)
    for number, text in enumerate(table.get("DateTime", [])):
        for form in (_TIME, _TIME_OF_FOUR_DIGITS):
            try:
                found[number] = datetime.strptime(str(text), form).timestamp()
            except ValueError:
                continue
            break
    known = found[np.isfinite(found)]
    return found - known[0] if known.size else found


def _to_stage(
    pixels: NDArray[np.float64], stage: NDArray[np.float64], section: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels in µm of the stage by least squares: one matrix, an origin a section; and the matrix.

    The matrix, shape (2, 2), takes pixels as rows: stage = pixels @ matrix + origin.
    """
    own = section[:, None] == np.unique(section)[None, :]
    design = np.concatenate([pixels, own], axis=1)
    found = np.asarray(np.linalg.lstsq(design, stage, rcond=None)[0], dtype=float)
    return design @ found, found[:2]
