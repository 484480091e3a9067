"""The tables of the analysis of an image: which columns they have, and how they are filled.

One place knows the columns, so that what the live callback writes is what the result is read from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._columns import boolean, integer, number, real, string
from .channels import BINS, ChannelSummary
from .quality import Quality
from .rubber import Rubber

__all__ = ["HINTS", "channel_keys", "quality_keys", "read_row", "row_of", "rubber_keys"]

HINTS: Mapping[str, list[str]] = {
    "channel": ["name", "median"],
    "quality": ["ok"],
    "rubber": ["modulus", "area_fraction"],
}


def _histogram() -> dict[str, Any]:
    return {"source": "analysis", "dtype": "array", "dtype_numpy": "<i8", "shape": [BINS]}


def channel_keys() -> dict[str, Any]:
    """Columns of the summaries of channels; each row has a unit of its own."""
    numbers = {name: number("", 4) for name in ("low", "median", "high")}
    return {
        "name": string(),
        "unit": string(),
        **numbers,
        "counts": _histogram(),
        "missing": integer(),
    }


def quality_keys() -> dict[str, Any]:
    """Columns of the one row that says what is wrong."""
    return {
        "ok": boolean(),
        "problems": string(),
        "feedback_error": number("", 3),
        "tip_change": integer(),
    }


def rubber_keys(unit: str) -> dict[str, Any]:
    """Columns of the one row on the rubber; `unit` is that of the modulus."""
    modulus = {
        name: number(unit, 4)
        for name in ("threshold", "modulus", "modulus_stderr", "quartile_1", "quartile_3")
    }
    shares = {name: number("", 3) for name in ("area_fraction", "inclusion_fraction")}
    return {
        **modulus,
        **shares,
        "domains": integer(),
        "diameter": number("px", 1),
        "log_low": number("", 3),
        "log_high": number("", 3),
        "counts": _histogram(),
    }


def row_of(found: ChannelSummary | Quality | Rubber) -> dict[str, Any]:
    """Return the row of what was found."""
    if isinstance(found, Quality):
        return {
            "ok": found.ok,
            "problems": "; ".join(found.problems),
            "feedback_error": found.feedback_error,
            "tip_change": found.tip_change,
        }
    row = dict(vars(found))
    row["counts"] = found.counts.tolist()
    if isinstance(found, Rubber):
        row["quartile_1"], row["quartile_3"] = row.pop("quartiles")
        row["log_low"], row["log_high"] = row.pop("log_range")
    return row


def read_row(stream: str, row: Mapping[str, Any]) -> ChannelSummary | Quality | Rubber:
    """Read a row of a stream back."""
    if stream == "quality":
        problems = tuple(filter(None, str(row["problems"] or "").split("; ")))
        return Quality(problems, real(row, "feedback_error"), int(row["tip_change"]))
    counts = np.asarray(row["counts"], dtype=np.int64)
    if stream == "channel":
        return ChannelSummary(
            name=str(row["name"]),
            unit=str(row["unit"]),
            low=real(row, "low"),
            median=real(row, "median"),
            high=real(row, "high"),
            counts=counts,
            missing=int(row["missing"]),
        )
    return Rubber(
        threshold=real(row, "threshold"),
        area_fraction=real(row, "area_fraction"),
        inclusion_fraction=real(row, "inclusion_fraction"),
        domains=int(row["domains"]),
        diameter=real(row, "diameter"),
        modulus=real(row, "modulus"),
        modulus_stderr=real(row, "modulus_stderr"),
        quartiles=(real(row, "quartile_1"), real(row, "quartile_3")),
        counts=counts,
        log_range=(real(row, "log_low"), real(row, "log_high")),
    )
