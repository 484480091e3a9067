"""Descriptions of the columns of analysis runs, as event descriptors have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["boolean", "integer", "number", "real", "string"]


def number(units: str, precision: int) -> dict[str, Any]:
    """A column of real numbers."""
    return {
        "source": "analysis",
        "dtype": "number",
        "dtype_numpy": "<f8",
        "shape": [],
        "units": units,
        "precision": precision,
    }


def integer() -> dict[str, Any]:
    """A column of whole numbers."""
    return {"source": "analysis", "dtype": "integer", "dtype_numpy": "<i8", "shape": []}


def boolean() -> dict[str, Any]:
    """A column of truth values."""
    return {"source": "analysis", "dtype": "boolean", "dtype_numpy": "|b1", "shape": []}


def string() -> dict[str, Any]:
    """A column of text."""
    return {"source": "analysis", "dtype": "string", "shape": []}


def real(row: Mapping[str, Any], key: str) -> float:
    """Read a number back; a table service may return what it holds as NaN as None."""
    value = row[key]
    return float("nan") if value is None else float(value)
