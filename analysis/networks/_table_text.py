"""How figures, intervals and comparisons are written in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..evaluation import CONFIDENCE, Comparison, Interval, holm
from .series import Series

__all__ = [
    "NONE",
    "Compared",
    "EvaluationTable",
    "compared_rows",
    "model_words",
    "number",
    "percent",
    "property_words",
    "signed",
]

NONE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class EvaluationTable:
    """One table, in words.

    Parameters
    ----------
    title : str
        What is shown.
    columns : sequence of str
        Headings, units included.
    rows : sequence of sequence of str
        As many texts as columns each.
    notes : str
        How it was measured and how it is to be read.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str = ""


def percent(interval: Interval) -> str:
    """Return a share with its interval in per cent."""
    value, low, high = (100 * each for each in (interval.value, interval.low, interval.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def signed(value: float) -> str:
    """Return a figure with two digits and a proper minus."""
    return f"{value:.2f}".replace("-", _MINUS)


def number(interval: Interval) -> str:
    """Return a figure with its interval."""
    return f"{signed(interval.value)} [{signed(interval.low)}, {signed(interval.high)}]"


def property_words(name: str) -> str:
    """Return the name of a property as it is printed."""
    return name.replace("_", " ").replace("young", "Young's").replace("izod", "Izod")


def model_words(series: Series) -> str:
    return f"{series.estimator}, one each" if series.one_each else series.estimator


@dataclass(frozen=True)
class Compared:
    """One comparison of many.

    Parameters
    ----------
    words : sequence of str
        What is compared.
    found : Comparison
        Of the first with the second.
    """

    words: Sequence[str]
    found: Comparison


def compared_rows(pairs: Sequence[Compared], factor: float) -> list[list[str]]:
    """Return a row a comparison: its words, difference, adjusted probability and verdict.

    Parameters
    ----------
    pairs : sequence of Compared
        All of a table: the more there are, the more is asked of each.
    factor : float
        100 for differences in points of per cent.
    """
    probabilities = holm([pair.found.p_groups for pair in pairs])
    return [
        [
            *pair.words,
            _difference(pair.found, factor),
            "< 0.001" if probability < 0.001 else f"{probability:.3f}",
            _verdict(pair.found, probability),
        ]
        for pair, probability in zip(pairs, probabilities, strict=True)
    ]


def _difference(found: Comparison, factor: float) -> str:
    ends = (found.difference.value, found.difference.low, found.difference.high)
    digits = 1 if factor == 100.0 else 2
    value, low, high = (f"{factor * each:+.{digits}f}".replace("-", _MINUS) for each in ends)
    return f"{value} [{low}, {high}]"


def _verdict(found: Comparison, probability: float) -> str:
    if probability >= 1.0 - CONFIDENCE:
        return "no difference shown"
    return "better" if found.difference.value > 0 else "worse"
