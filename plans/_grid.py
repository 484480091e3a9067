"""The grid of a mosaic: where its fields lie, and what grids are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.mosaic import grid_order
from plans._checks import checked_count, finite, not_negative

__all__ = ["Grid", "check_counts", "check_numbers", "checked_pair"]

# Registration needs 16 pixels, and a stage may fall short; more than nine tenths is a series.
_OVERLAPS = (0.05, 0.9)
_MOST_FIELDS = 10_000  # two days; a larger number is a slip


@dataclass(frozen=True)
class Grid:
    """The fields of a mosaic.

    Parameters
    ----------
    rows, columns : int
    overlap : float
    serpentine : bool
    centre : ndarray, shape (2,)
        (x, y), µm.
    along_columns, along_rows : ndarray, shape (2,)
        Step from a column to the next and from a row to the next, (x, y) µm.
    over_travel : float
        µm.
    """

    rows: int
    columns: int
    overlap: float
    serpentine: bool
    centre: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]
    over_travel: float

    def place(self, row: int, column: int) -> NDArray[np.float64]:
        """Centre of a field, (x, y) µm."""
        return (
            self.centre
            + (column - (self.columns - 1) / 2) * self.along_columns
            + (row - (self.rows - 1) / 2) * self.along_rows
        )

    def approaches(self, row: int, column: int) -> list[NDArray[np.float64]]:
        """Where the stage goes to take a field, the last being the field itself."""
        place = self.place(row, column)
        back = self.serpentine and row % 2 == 1
        begins = column == (self.columns - 1 if back else 0)
        if not begins or self.over_travel == 0.0:
            return [place]
        towards = -self.along_columns if back else self.along_columns
        # along the rows as well: the row before lies that way, but not the first field's past
        away = sum(step / float(np.hypot(*step)) for step in (towards, self.along_rows))
        return [place - self.over_travel * away, place]

    def stops(self) -> list[list[NDArray[np.float64]]]:
        """The moves of each field, in their order."""
        order = grid_order(self.rows, self.columns, serpentine=self.serpentine)
        return [self.approaches(int(row), int(column)) for row, column in order]


def check_numbers(overlap: float, over_travel: float, settle_time: float) -> None:
    """Refuse an overlap that cannot be registered, and times and ways below 0."""
    low, high = _OVERLAPS
    if not low <= finite("overlap", overlap, f"{low:g} to {high:g}") <= high:
        raise ValueError(
            f"overlap is {overlap:g} of the field: {low:g} to {high:g} is allowed (0.2 is usual)"
        )
    not_negative("over_travel", over_travel, "µm")
    not_negative("settle_time", settle_time, "s")


def check_counts(rows: Any, columns: Any) -> None:
    """Refuse numbers of fields that are not whole, or too many."""
    checked_count("rows", rows)
    checked_count("columns", columns)
    if rows * columns > _MOST_FIELDS:
        raise ValueError(
            f"{rows} rows of {columns} columns are {rows * columns} fields: up to {_MOST_FIELDS} "
            "are allowed; take a lower magnification or less overlap"
        )


def checked_pair(name: str, value: Any) -> tuple[float, float]:
    """Return two numbers in µm; refuse anything else."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}: two numbers are needed, µm") from None
    return finite(name, first, "µm"), finite(name, second, "µm")
