"""Is the first of several equal steps as long as those after it?

The anomaly of Fiedler et al. 2023, fig. 3, sought in any record of stops whose actual positions are
known in two axes, along any direction: rows of a montage as well as legs of a hysteresis run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .record import StageRecord
from .steps import IMAGE_AXES

__all__ = ["FirstStep", "first_steps"]

# Steps that differ by less (part of a step) are equal: rounding of the commands of a raster.
_EQUAL = 0.01
_SIGMAS = 3.0


@dataclass(frozen=True)
class FirstStep:
    """A row of equal steps and how its first differs; lengths in µm along the command.

    Parameters
    ----------
    rows : tuple of int
        Numbers of the stops of the row, from where it begins.
    command : ndarray, shape (2,)
        Commanded step (x, y).
    first, later : float
        Way of the first step and the mean way of those after it.
    anomaly, stderr : float
        First less later, and its standard error from the measurement of the positions.
    reversal : bool or None
        Whether the stage came from ahead, so that the row begins with a reversal; None if nobody
        knows from where.
    flagged : bool
        Whether the anomaly is beyond three standard errors and beyond the tolerance.
    """

    rows: tuple[int, ...]
    command: NDArray[np.float64]
    first: float
    later: float
    anomaly: float
    stderr: float
    reversal: bool | None
    flagged: bool

    def __str__(self) -> str:
        history = {True: "after a reversal", False: "without a reversal", None: "history unknown"}
        return (
            f"stops {self.rows[0]}-{self.rows[-1]} ({history[self.reversal]}): first step "
            f"{1e3 * self.anomaly:+.0f} nm against the later ones (standard error "
            f"{1e3 * self.stderr:.1f} nm) of {np.hypot(*self.command):.3g} µm"
            f"{', anomalous' if self.flagged else ''}"
        )


def first_steps(record: StageRecord, *, tolerance: float = 0.01) -> tuple[FirstStep, ...]:
    """Compare the first step of every row of equal steps with the later ones.

    Parameters
    ----------
    record : StageRecord
        With x and y; rows without two known steps are left out.
    tolerance : float
        Part of a step below which an anomaly is not flagged.

    Returns
    -------
    tuple of FirstStep
        In the order of the record.

    Raises
    ------
    ValueError
        If x or y is not recorded.
    """
    place = [record.axis(name) for name in IMAGE_AXES]
    target, actual = record.target[:, place], record.actual[:, place]
    spread = record.covariance[:, place][:, :, place]
    return tuple(
        _first_step(target, actual, spread, rows, record, tolerance)
        for rows in _equal_steps(target, record.segment)
        if np.isfinite(actual[rows]).all()
    )


def _equal_steps(
    target: NDArray[np.float64], segment: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Stops of each row of two or more equal steps."""
    steps = np.diff(target, axis=0)
    found: list[NDArray[np.int64]] = []
    begin = 0
    while begin < len(steps):
        end = begin + 1
        length = np.hypot(*steps[begin])
        while (
            end < len(steps)
            and segment[end + 1] == segment[begin]
            and np.hypot(*(steps[end] - steps[begin])) < _EQUAL * length
        ):
            end += 1
        if end - begin > 1 and length > 0:
            found.append(np.arange(begin, end + 1))
        begin = end
    return found


def _first_step(
    target: NDArray[np.float64],
    actual: NDArray[np.float64],
    spread: NDArray[np.float64],
    rows: NDArray[np.int64],
    record: StageRecord,
    tolerance: float,
) -> FirstStep:
    begin = int(rows[0])
    command = (target[rows[-1]] - target[begin]) / (len(rows) - 1)
    length = float(np.hypot(*command))
    along = command / length
    ways = np.diff(actual[rows] @ along)
    # anomaly = (p1 - p0) - (pn - p1) / (n - 1)
    weight = np.zeros(len(rows))
    weight[[0, 1]] = -1.0, 1.0 + 1.0 / (len(rows) - 2)
    weight[-1] -= 1.0 / (len(rows) - 2)
    variance = np.einsum("i,nij,j->n", along, np.nan_to_num(spread[rows]), along)
    stderr = float(np.sqrt(weight**2 @ variance))
    anomaly = float(ways[0] - ways[1:].mean())
    reversal = None
    if begin > 0 and record.segment[begin - 1] == record.segment[begin]:
        reversal = bool((target[begin] - target[begin - 1]) @ along < 0.0)
    return FirstStep(
        rows=tuple(record.row[rows].tolist()),
        command=command,
        first=float(ways[0]),
        later=float(ways[1:].mean()),
        anomaly=anomaly,
        stderr=stderr,
        reversal=reversal,
        flagged=abs(anomaly) > max(_SIGMAS * stderr, tolerance * length),
    )
