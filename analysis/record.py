"""One table of where a stage was sent, where it said it went and where it went.

Simulated runs, runs of the station and files of other programs all become a `StageRecord`, so that
the framework of `analysis.agreement` and the model of `analysis.identification` ask nobody where
the numbers come from. Unknown numbers are NaN. The actual positions of a segment share one unknown
origin: those of two segments cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .alignment import HysteresisResult
from .steps import IMAGE_AXES

__all__ = ["StageRecord"]

# Targets closer than this (µm or deg) are the same: as in `analysis.steps`.
_SAME_TARGET = 1e-4


@dataclass(frozen=True)
class StageRecord:
    """The stops of a stage in the order of time, one row a stop.

    Parameters
    ----------
    axes, units : tuple of str, length k
        Names of the axes and the unit of each, µm or deg.
    time : ndarray, shape (n,)
        Seconds from any origin; NaN where unknown.
    target, reported, actual : ndarray, shape (n, k)
        Positions in `units`; NaN where unknown.
    covariance : ndarray, shape (n, k, k)
        Of `actual`, from its measurement, relative to the origin of its segment; NaN where unknown.
    direction : ndarray of int, shape (n, k)
        From where each axis was last approached: +1 from below, -1 from above, 0 where nobody
        knows.
    sequence : ndarray of int, shape (n,)
        Stops of one sequence follow each other with no move between them that is not told.
    segment : ndarray of int, shape (n,)
        Stops of one segment share the origin of `actual`; a segment lies within a sequence.
    row : ndarray of int, shape (n,)
        Number of the stop in what it was read from: event, piece or field.
    image : tuple of str, length n
        Uid or file name of the image of each stop; "" where there is none.
    source : str
        What it was read from, for reports.
    """

    axes: tuple[str, ...]
    units: tuple[str, ...]
    time: NDArray[np.float64]
    target: NDArray[np.float64]
    reported: NDArray[np.float64]
    actual: NDArray[np.float64]
    covariance: NDArray[np.float64]
    direction: NDArray[np.int64]
    sequence: NDArray[np.int64]
    segment: NDArray[np.int64]
    row: NDArray[np.int64]
    image: tuple[str, ...]
    source: str = ""

    def __post_init__(self) -> None:
        n, k = len(self.row), len(self.axes)
        wanted = {
            "time": (n,),
            "target": (n, k),
            "reported": (n, k),
            "actual": (n, k),
            "covariance": (n, k, k),
            "direction": (n, k),
            "sequence": (n,),
            "segment": (n,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}, must be {shape}: "
                    f"{n} stops of {k} axes"
                )
        if len(self.units) != k or len(self.image) != n:
            raise ValueError(
                f"{len(self.units)} units and {len(self.image)} images are given, "
                f"must be {k} and {n}"
            )

    def __len__(self) -> int:
        return len(self.row)

    def axis(self, name: str) -> int:
        """Place of an axis in `axes`.

        Raises
        ------
        ValueError
            If there is no such axis.
        """
        if name not in self.axes:
            raise ValueError(
                f"axis {name!r} is not in the record: choose of {', '.join(self.axes)}"
            )
        return self.axes.index(name)

    @classmethod
    def of(
        cls,
        target: ArrayLike,
        reported: ArrayLike | None = None,
        actual: ArrayLike | None = None,
        *,
        axes: Mapping[str, str] | None = None,
        covariance: ArrayLike | None = None,
        time: ArrayLike | None = None,
        segment: ArrayLike | None = None,
        sequence: ArrayLike | None = None,
        row: ArrayLike | None = None,
        image: Sequence[str] | None = None,
        source: str = "",
    ) -> StageRecord:
        """Record of arrays; what is not given is unknown.

        Parameters
        ----------
        target, reported, actual : array_like, shape (n, k)
            In the units of the axes.
        axes : mapping of str to str
            Unit of each axis; x and y in µm if not given.
        covariance : array_like, shape (n, k, k) or (k, k)
            Of `actual`; 0 where `actual` is known if not given.
        time, segment, row : array_like, shape (n,)
            Unknown, one segment and 1, 2, ... if not given.
        sequence : array_like, shape (n,)
            The segments if not given.
        image : sequence of str, length n
        source : str

        Returns
        -------
        StageRecord
        """
        units = dict.fromkeys(IMAGE_AXES, "µm") if axes is None else dict(axes)
        sent = np.array(target, dtype=float)
        if sent.ndim != 2 or sent.shape[1] != len(units):
            raise ValueError(f"target has shape {sent.shape}, must be (stops, {len(units)})")
        n, k = sent.shape
        unknown = np.full((n, k), np.nan)
        where = unknown if actual is None else np.array(actual, dtype=float)
        if covariance is None:
            spread = np.zeros((n, k, k))
        else:
            spread = np.broadcast_to(np.asarray(covariance, dtype=float), (n, k, k)).copy()
        if where.shape == (n, k):
            nowhere = np.isnan(where)
            spread[nowhere[:, :, None] | nowhere[:, None, :]] = np.nan
        parts = np.zeros(n, dtype=np.int64) if segment is None else np.asarray(segment, np.int64)
        unbroken = parts if sequence is None else np.asarray(sequence, np.int64)
        return cls(
            axes=tuple(units),
            units=tuple(units.values()),
            time=np.full(n, np.nan) if time is None else np.array(time, dtype=float),
            target=sent,
            reported=unknown.copy() if reported is None else np.array(reported, dtype=float),
            actual=where,
            covariance=spread,
            direction=_approach(sent, unbroken),
            sequence=unbroken,
            segment=parts,
            row=np.arange(1, n + 1) if row is None else np.asarray(row, dtype=np.int64),
            image=("",) * n if image is None else tuple(image),
            source=source,
        )

    @classmethod
    def of_result(
        cls,
        result: HysteresisResult,
        *,
        time: ArrayLike | None = None,
        image: Sequence[str] | None = None,
    ) -> StageRecord:
        """Record of an analysed run of the station: one sequence, each chain of images a segment.

        Parameters
        ----------
        result : HysteresisResult
            From the live analysis or `analysis.alignment.result_from_documents`.
        time : array_like, shape (n,), optional
            Of the events, seconds.
        image : sequence of str, optional
            Uid of the image of each event.

        Returns
        -------
        StageRecord
        """
        n, k = result.target.shape
        actual = np.full((n, k), np.nan)
        covariance = np.full((n, k, k), np.nan)
        shown = len(IMAGE_AXES)
        actual[:, :shown] = result.actual
        steps = result.steps.covariance
        for stop in range(n):
            chained = stop > 0 and result.chain[stop] == result.chain[stop - 1]
            before = covariance[stop - 1, :shown, :shown] + steps[stop - 1] if chained else 0.0
            covariance[stop, :shown, :shown] = before
        return cls.of(
            result.target,
            result.reported,
            actual,
            axes=dict(zip(result.steps.axes, result.steps.units, strict=True)),
            covariance=covariance,
            time=time,
            segment=result.chain,
            sequence=np.zeros(n, dtype=np.int64),
            row=result.seq_num,
            image=image,
            source=f"run {result.raw_uid}" if result.raw_uid else "",
        )

    def measured_variance(self, axis: int) -> NDArray[np.float64]:
        """Variance of the actual position of an axis from its measurement; 0 where unknown.

        Parameters
        ----------
        axis : int
            Place of the axis in `axes`.

        Returns
        -------
        ndarray, shape (n,)
            Square of the unit of the axis.
        """
        return np.nan_to_num(self.covariance[:, axis, axis], nan=0.0)


def _approach(target: NDArray[Any], sequence: NDArray[np.int64]) -> NDArray[np.int64]:
    """Direction of the last commanded move of each axis, from the second stop of a sequence on."""
    direction = np.zeros(target.shape, dtype=np.int64)
    for stop in range(1, len(target)):
        if sequence[stop] != sequence[stop - 1]:
            continue
        way = target[stop] - target[stop - 1]
        moved = np.abs(way) > _SAME_TARGET
        direction[stop] = np.where(moved, np.sign(np.nan_to_num(way)), direction[stop - 1])
    return direction
