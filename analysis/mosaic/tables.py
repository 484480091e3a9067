"""The tables of a mosaic's analysis run: which columns they have.

Streams: ``pair``, a row a registration, as the fields arrive; at the end ``position``, a row a
field, ``outlier``, a row a pair that all others contradict, ``mosaic``, one row on the whole, and
``montage``, one row on the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._columns import boolean, integer, number, string

__all__ = ["HINTS", "KEYS", "vector"]

_AXES = ("x", "y")


def _vector(stem: str, precision: int = 4) -> dict[str, Any]:
    return {f"{stem}_{axis}": number("µm", precision) for axis in _AXES}


def _uncertain(stem: str) -> dict[str, Any]:
    return {
        **_vector(stem),
        **{f"{stem}_{axis}_stderr": number("µm", 5) for axis in _AXES},
        f"{stem}_xy_covariance": number("µm²", 9),
    }


KEYS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "pair": {
        "raw_seq_num_first": integer(),
        "raw_seq_num": integer(),
        **_vector("expected_shift"),
        **_uncertain("shift"),
        "accepted": boolean(),
        "reason": string(),
    },
    "position": {
        "raw_seq_num": integer(),
        "row": integer(),
        "column": integer(),
        **_vector("target"),
        **_vector("reported"),
        **_uncertain("actual"),
        "group": integer(),
        "imaged": boolean(),
        "reason": string(),
    },
    "outlier": {
        "raw_seq_num_first": integer(),
        "raw_seq_num": integer(),
        **_vector("shift"),
        **_vector("predicted_shift"),
        "z": number("", 1),
        "reason": string(),
    },
    "mosaic": {
        "fields": integer(),
        "field_width": number("µm", 4),
        "field_height": number("µm", 4),
        "imaged": integer(),
        "pairs": integer(),
        "accepted_pairs": integer(),
        "outliers": integer(),
        "unchecked_pairs": integer(),
        "groups": integer(),
        "scale": number("", 3),
        "loops": integer(),
        "closure_rms": number("µm", 5),
        "closure_worst_z": number("", 2),
    },
    "montage": {
        "file": string(),
        "rows": integer(),
        "columns": integer(),
        "levels": integer(),
        "pixel_size": number("nm", 4),
        **_vector("first_pixel"),
        "reason": string(),
    },
}

HINTS: Mapping[str, list[str]] = {
    "pair": ["raw_seq_num_first", "shift_x", "shift_y", "accepted"],
    "position": ["row", "column", "actual_x", "actual_y", "group"],
    "outlier": ["raw_seq_num_first", "z"],
    "mosaic": ["fields", "accepted_pairs", "outliers", "groups", "closure_rms"],
    "montage": ["rows", "columns"],
}


def vector(
    stem: str, value: NDArray[np.float64], covariance: NDArray[np.float64] | None = None
) -> dict[str, float]:
    """Columns of (x, y), µm, and of its covariance, µm², where it has one."""
    row = {f"{stem}_{axis}": float(v) for axis, v in zip(_AXES, value, strict=True)}
    if covariance is not None:
        for axis, variance in zip(_AXES, np.diag(covariance), strict=True):
            row[f"{stem}_{axis}_stderr"] = float(np.sqrt(variance))
        row[f"{stem}_xy_covariance"] = float(covariance[0, 1])
    return row
