"""The lens set of em_stitch: overlapping fields of a TEMCA and what was matched in each pair.

The set (metadata and template matches, two JSON files) holds the commanded stage positions of a
grid of fields, and of every overlapping pair up to some hundred points that show the same place.
A point is where a template of one field was found in the other, so some are wrong, and the lens
moves points against each other by a part that is linear in their place in the field. The
displacement of a pair is therefore the robust fit of constant and slope, at the centre of the
field; the fields are placed by `analysis.positions.solve_positions`.

Format: https://github.com/AllenInstitute/em_stitch, integration_tests/test_files/lens_example.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..positions import Pair, Positions, solve_positions
from ..record import StageRecord

__all__ = ["LensSet", "read_em_stitch"]

# Templates were found to a few px (scatter 4 px about the fit); further out a match is wrong.
_WRONG_PX = 20.0
_START_PX = 100.0
_LEAST_POINTS = 12
# The stage is off by up to a quarter of a µm a field, at 4 nm/px.
_STAGE_SIGMA_PX = 300.0
_ROUNDS = 30


@dataclass(frozen=True)
class LensSet:
    """A lens set, read and solved.

    Parameters
    ----------
    record : StageRecord
        Target and actual positions of the fields, x and y in µm, in the order they were taken.
    positions : Positions
        How the fields were placed, px; its closure tells how well the pairs agree.
    pixel_size : float
        Nominal, µm.
    raster : ndarray of int, shape (n, 2)
        Column and row of each field in the raster.
    refused : tuple of str
        Pairs that could not be used, and why.
    """

    record: StageRecord
    positions: Positions
    pixel_size: float
    raster: NDArray[np.int64]
    refused: tuple[str, ...]

    @property
    def closure(self) -> float:
        """Root mean square misfit of the loops, µm."""
        return self.positions.closure.rms * self.pixel_size


def read_em_stitch(metadata: str | Path, matches: str | Path) -> LensSet:
    """Read a lens set and solve for the positions of its fields.

    The actual positions are brought to the axes of the stage by the matrix that fits them best to
    the targets: scale, rotation and shear of the stage the set cannot show.

    Parameters
    ----------
    metadata, matches : str or Path
        The two JSON files.

    Returns
    -------
    LensSet

    Raises
    ------
    ValueError
        If the files are not such a set.
    """
    try:
        header, content = json.loads(Path(metadata).read_text())
        fields, camera = content["data"], header["metadata"]["camera_info"]
        collection = json.loads(Path(matches).read_text())["collection"]
        names = [Path(field["img_path"]).stem for field in fields]
        stage = 1e-3 * np.array([field["img_meta"]["stage_pos"] for field in fields], dtype=float)
        raster = np.array([field["img_meta"]["raster_pos"] for field in fields], dtype=np.int64)
        pixel_size = 1e-3 * float(fields[0]["img_meta"]["pixel_size"])
        centre = 0.5 * (np.array([camera["width"], camera["height"]], dtype=float) - 1.0)
        pairs, refused = _pairs(collection, names, centre)
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{metadata} and {matches} are no lens set of em_stitch ({error!r:.80}): "
            "give its metadata and its matches, JSON"
        ) from None
    if len(fields) < 4 or not pairs:
        raise ValueError(f"{metadata} has {len(fields)} fields and {len(pairs)} usable pairs: "
                         "at least 4 fields that overlap are needed")  # fmt: skip
    expected = _expected(pairs, stage, pixel_size)
    solved = solve_positions(pairs, expected, _STAGE_SIGMA_PX)
    design = np.concatenate([solved.position, np.ones((len(fields), 1))], axis=1)
    found, *_ = np.linalg.lstsq(design, stage, rcond=None)
    matrix = found[:2]
    covariance = matrix.T @ solved.relative_covariance @ matrix
    record = StageRecord.of(
        stage,
        None,
        design @ found,
        covariance=covariance,
        row=np.arange(len(fields)),
        image=names,
        source=f"em_stitch lens set {Path(metadata).name}",
    )
    return LensSet(record, solved, pixel_size, raster, tuple(refused))


def _pairs(
    collection: Sequence[Mapping[str, Any]], names: Sequence[str], centre: NDArray[np.float64]
) -> tuple[list[Pair], list[str]]:
    place = {name: number for number, name in enumerate(names)}
    found: dict[tuple[int, int], list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    refused: list[str] = []
    for match in collection:
        first, second = place[match["pId"]], place[match["qId"]]
        p, q = (np.array(match["matches"][side], dtype=float).T for side in "pq")
        displacement = _displacement(p, q, centre)
        if displacement is None:
            refused.append(f"fields {first}-{second}: no {_LEAST_POINTS} points agree")
            continue
        shift, covariance = displacement
        sign = 1.0 if first < second else -1.0
        ends = (min(first, second), max(first, second))
        found.setdefault(ends, []).append((sign * shift, covariance))
    # templates of either field were sought in the other: two looks at one overlap, not a loop
    pairs = [
        Pair(*ends, np.mean([s for s, _ in looks], axis=0), np.mean([c for _, c in looks], axis=0))
        for ends, looks in found.items()
    ]
    return pairs, refused


def _displacement(
    p: NDArray[np.float64], q: NDArray[np.float64], centre: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Displacement p - q (rows, columns) of points that lie about the centre, px; its covariance.

    A point and its partner lie on two sides of the centre of the field where their middle is at it:
    there a lens that is symmetric moves both by the same way, in opposite directions, whatever its
    order, and the slope takes up what it does elsewhere.
    """
    moved = p - q
    design = np.concatenate([np.ones((len(p), 1)), 0.5 * (p + q) / centre - 1.0], axis=1)
    good = np.hypot(*(moved - np.median(moved, axis=0)).T) < _START_PX
    found, residual, before = np.zeros((3, 2)), moved, good
    for _ in range(_ROUNDS):
        if np.count_nonzero(good) < _LEAST_POINTS:
            return None
        found = np.asarray(np.linalg.lstsq(design[good], moved[good], rcond=None)[0], dtype=float)
        residual = moved - design @ found
        before, good = good, np.hypot(*residual.T) < _WRONG_PX
        if (before == good).all():
            break
    good = good & before
    if np.count_nonzero(good) < _LEAST_POINTS:
        return None
    variance = float(np.mean(residual[good] ** 2))
    weight = float(np.linalg.inv(design[good].T @ design[good])[0, 0])
    return found[0, ::-1], np.eye(2) * variance * weight


def _expected(
    pairs: Sequence[Pair], stage: NDArray[np.float64], pixel_size: float
) -> NDArray[np.float64]:
    """Stage positions in px of the camera: turned (or mirrored) as the pairs say."""
    ends = np.array([(pair.first, pair.second) for pair in pairs])
    shift = np.array([pair.shift for pair in pairs])
    way = (stage[ends[:, 1]] - stage[ends[:, 0]]) / pixel_size
    u, _, v = np.linalg.svd(way.T @ shift)
    return (stage - stage.mean(axis=0)) / pixel_size @ (u @ v)
