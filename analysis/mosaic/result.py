"""Where did the stage really go, field by field of a mosaic, and do the fields agree?

The plan's grid, and the result of a mosaic's analysis run, rebuilt from its documents alone: for
each field target, reported and actual position, for each pair of fields what registration said of
it. Positions are stage coordinates of the middle of a field, µm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._analysis_tables import AnalysisTables
from .._columns import real

__all__ = ["Montage", "MosaicPairs", "MosaicResult", "grid_order", "result_from_documents"]


def grid_order(rows: int, columns: int, *, serpentine: bool) -> NDArray[np.int64]:
    """Rows and columns of the fields in the order in which they are taken.

    Parameters
    ----------
    rows, columns : int
    serpentine : bool
        Every other row backwards; else every row from its first column.

    Returns
    -------
    ndarray of int, shape (rows * columns, 2)
        (row, column) of each field.
    """
    order = np.indices((rows, columns)).reshape(2, -1).T
    if serpentine:
        back = order[:, 0] % 2 == 1
        order[back, 1] = columns - 1 - order[back, 1]
    return order.astype(np.int64)


@dataclass(frozen=True)
class MosaicPairs:
    """The registrations of a mosaic.

    Parameters
    ----------
    first, second : ndarray of int, shape (k,)
        Fields, counted from 0 in the order of `MosaicResult.seq_num`.
    shift : ndarray, shape (k, 2)
        How far the second lies from the first, (x, y) µm; NaN where refused.
    covariance : ndarray, shape (k, 2, 2)
        µm².
    accepted : ndarray of bool, shape (k,)
        By registration.
    left_out : ndarray of bool, shape (k,)
        Accepted, but contradicted by all others.
    reason : tuple of str
        Of registration, in words.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shift: NDArray[np.float64]
    covariance: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    left_out: NDArray[np.bool_]
    reason: tuple[str, ...]

    @property
    def used(self) -> NDArray[np.bool_]:
        """Whether the positions rest on a pair, shape (k,)."""
        return self.accepted & ~self.left_out


@dataclass(frozen=True)
class Montage:
    """The file that the fields were blended into.

    Parameters
    ----------
    file : str
        Its name, in the folder of the reports; "" if it could not be written.
    shape : (int, int)
        Rows and columns.
    pixel_size_nm : float
    first_pixel : ndarray, shape (2,)
        Stage coordinates of the centre of its first pixel, µm.
    reason : str
        Why it could not be written.
    """

    file: str
    shape: tuple[int, int]
    pixel_size_nm: float
    first_pixel: NDArray[np.float64]
    reason: str


@dataclass(frozen=True)
class MosaicResult:
    """All that a mosaic tells of the stage.

    Parameters
    ----------
    raw_uid : str
        The run that was analysed.
    seq_num : ndarray of int, shape (n,)
        Event numbers of the fields.
    grid : ndarray of int, shape (n, 2)
        Row and column of each.
    target, reported, actual : ndarray, shape (n, 2)
        (x, y), µm. The actual positions of a group of fields are known to each other; where the
        whole group lies, the stage says.
    covariance : ndarray, shape (n, 2, 2)
        Of the actual position relative to the mean of its group, µm².
    group : ndarray of int, shape (n,)
        Fields joined by pairs have the same number; a field without pairs is alone, and lies where
        the stage says.
    imaged : ndarray of bool, shape (n,)
        Whether the field has an image.
    field_size : ndarray, shape (2,)
        Of a field along its columns and along its rows, µm.
    pairs : MosaicPairs
    outliers : tuple of str
        The pairs left out, in words, the worst first.
    scale : float
        How much larger the residuals are than the covariances of the pairs say, 1 or more.
    closure_rms : float
        Of the sums of the shifts round the shortest loops, µm; NaN without loops.
    loops : int
    montage : Montage or None
        None when none was asked for.
    """

    raw_uid: str
    seq_num: NDArray[np.int64]
    grid: NDArray[np.int64]
    target: NDArray[np.float64]
    reported: NDArray[np.float64]
    actual: NDArray[np.float64]
    covariance: NDArray[np.float64]
    group: NDArray[np.int64]
    imaged: NDArray[np.bool_]
    field_size: NDArray[np.float64]
    pairs: MosaicPairs
    outliers: tuple[str, ...]
    scale: float
    closure_rms: float
    loops: int
    montage: Montage | None

    @property
    def actual_minus_target(self) -> NDArray[np.float64]:
        """Shape (n, 2), µm; NaN for fields that no pair places."""
        return np.where(self.placed[:, None], self.actual - self.target, np.nan)

    @property
    def actual_minus_reported(self) -> NDArray[np.float64]:
        """Shape (n, 2), µm; NaN for fields that no pair places."""
        return np.where(self.placed[:, None], self.actual - self.reported, np.nan)

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Whether pairs, and not the stage alone, say where a field is, shape (n,)."""
        return np.bincount(self.group)[self.group] > 1

    @property
    def residual(self) -> NDArray[np.float64]:
        """Shift of each pair less the difference of its positions, shape (k, 2), µm."""
        return self.pairs.shift - (self.actual[self.pairs.second] - self.actual[self.pairs.first])

    @property
    def residual_rms(self) -> float:
        """Of the pairs that are used, a component, µm; NaN without any."""
        used = self.residual[self.pairs.used]
        return float(np.sqrt(np.mean(used**2))) if used.size else float("nan")


def result_from_documents(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> MosaicResult:
    """Rebuild the result from the documents of an analysis run alone.

    Parameters
    ----------
    documents : iterable of (name, document)
        The analysis run, from the live callback, the journal or the catalog.

    Raises
    ------
    ValueError
        If they are no analysis of a mosaic, or that analysis failed or holds no field.
    """
    found = AnalysisTables.read(documents, "mosaic", "analysis of a mosaic (start.analysis.name)")
    if "position" not in found.events or "mosaic" not in found.events:
        raise ValueError("the analysis of the mosaic was cut short: it holds no positions")
    return _result(found.raw_uid, {name: found.rows(name) for name in _STREAMS})


_STREAMS = ("position", "pair", "outlier", "mosaic", "montage")


def _result(raw_uid: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> MosaicResult:
    fields, whole = tables["position"], tables["mosaic"][-1]
    seq_num = _whole(fields, "raw_seq_num")
    outliers = tables["outlier"]
    return MosaicResult(
        raw_uid=raw_uid,
        seq_num=seq_num,
        grid=np.stack([_whole(fields, "row"), _whole(fields, "column")], axis=1),
        target=_vectors(fields, "target"),
        reported=_vectors(fields, "reported"),
        actual=_vectors(fields, "actual"),
        covariance=_covariances(fields, "actual"),
        group=_whole(fields, "group"),
        imaged=np.array([bool(row["imaged"]) for row in fields]),
        field_size=np.array([real(whole, "field_width"), real(whole, "field_height")]),
        pairs=_pairs(tables["pair"], seq_num, outliers),
        outliers=tuple(str(row["reason"]) for row in outliers),
        scale=real(whole, "scale"),
        closure_rms=real(whole, "closure_rms"),
        loops=int(whole["loops"]),
        montage=_montage(tables["montage"]),
    )


def _pairs(
    rows: Sequence[Mapping[str, Any]],
    seq_num: NDArray[np.int64],
    outliers: Sequence[Mapping[str, Any]],
) -> MosaicPairs:
    number = {int(seq): index for index, seq in enumerate(seq_num)}
    ends = [(int(row["raw_seq_num_first"]), int(row["raw_seq_num"])) for row in rows]
    wrong = {(int(row["raw_seq_num_first"]), int(row["raw_seq_num"])) for row in outliers}
    return MosaicPairs(
        first=np.array([number[first] for first, _ in ends], dtype=np.int64),
        second=np.array([number[second] for _, second in ends], dtype=np.int64),
        shift=_vectors(rows, "shift"),
        covariance=_covariances(rows, "shift"),
        accepted=np.array([bool(row["accepted"]) for row in rows], dtype=bool),
        left_out=np.array([pair in wrong for pair in ends], dtype=bool),
        reason=tuple(str(row["reason"]) for row in rows),
    )


def _montage(rows: Sequence[Mapping[str, Any]]) -> Montage | None:
    if not rows:
        return None
    row = rows[-1]
    return Montage(
        file=str(row["file"] or ""),
        shape=(int(row["rows"]), int(row["columns"])),
        pixel_size_nm=real(row, "pixel_size"),
        first_pixel=np.array([real(row, f"first_pixel_{axis}") for axis in "xy"]),
        reason=str(row["reason"] or ""),
    )


def _whole(rows: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.int64]:
    return np.array([int(row[key]) for row in rows], dtype=np.int64)


def _vectors(rows: Sequence[Mapping[str, Any]], stem: str) -> NDArray[np.float64]:
    values = [[real(row, f"{stem}_{axis}") for axis in "xy"] for row in rows]
    return np.array(values, dtype=float).reshape(-1, 2)


def _covariances(rows: Sequence[Mapping[str, Any]], stem: str) -> NDArray[np.float64]:
    found = np.empty((len(rows), 2, 2))
    for index, row in enumerate(rows):
        for k, axis in enumerate("xy"):
            found[index, k, k] = real(row, f"{stem}_{axis}_stderr") ** 2
        found[index, 0, 1] = found[index, 1, 0] = real(row, f"{stem}_xy_covariance")
    return found
