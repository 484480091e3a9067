"""The table of predictions in an analysis run, and what is read back from it.

One place knows the columns, so that what the live callback writes is what the result is read from.
How long a prediction took is not among them: the same image analysed twice gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._analysis_tables import AnalysisTables
from .._columns import boolean, number, real, string
from .prediction import ModelTerms, Prediction

__all__ = ["HINTS", "NAME", "PredictionResult", "keys_of", "result_from_documents", "row_of"]

NAME = "prediction"
"""Of the analysis, in its start document, and of its stream."""

HINTS = ["label", "probability", "novelty"]


def keys_of(outputs: int) -> dict[str, Any]:
    """Columns of the predictions of a model with so many outputs."""
    array = {"source": "analysis", "dtype": "array", "dtype_numpy": "<f8", "shape": [outputs]}
    return {
        "label": string(),
        "probability": number("", 3),
        "spread": number("", 3),
        "novelty": number("", 2),
        "abstained": boolean(),
        "reason": string(),
        "values": array,
        "spreads": dict(array),
    }


def row_of(found: Prediction) -> dict[str, Any]:
    """Return the row of a prediction."""
    return {
        "label": found.label,
        "probability": found.probability,
        "spread": found.spread,
        "novelty": found.novelty,
        "abstained": found.abstained,
        "reason": found.reason,
        "values": [float(value) for value in found.values],
        "spreads": [float(value) for value in found.spreads],
    }


@dataclass(frozen=True, eq=False)
class PredictionResult:
    """What a model says of the images of a run.

    Parameters
    ----------
    raw_uid : str
        The run that was analysed.
    by : ModelTerms
        Who says it.
    predictions : tuple of Prediction
        One an image.
    note : str
        What could not be read.
    """

    raw_uid: str
    by: ModelTerms
    predictions: tuple[Prediction, ...]
    note: str = ""


def result_from_documents(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> PredictionResult:
    """Rebuild the result from the documents of an analysis run.

    Parameters
    ----------
    documents : iterable of (name, document)
        The analysis run, from the live callback, the journal or the catalog.

    Raises
    ------
    ValueError
        If they are no predictions, or the analysis failed or is empty.
    """
    tables = AnalysisTables.read(documents, NAME, "predictions")
    rows = tables.rows(NAME)
    if not rows:
        raise ValueError(f"there is no prediction: {tables.note or 'no image came'}")
    by = ModelTerms.of_document(tables.parameters)
    predictions = tuple(_prediction(row, by) for row in rows)
    return PredictionResult(tables.raw_uid, by, predictions, tables.note)


def _prediction(row: Mapping[str, Any], by: ModelTerms) -> Prediction:
    return Prediction(
        by=by,
        values=np.asarray(row["values"], dtype=np.float64),
        spreads=np.asarray(row["spreads"], dtype=np.float64),
        novelty=real(row, "novelty"),
        reason=str(row["reason"] or ""),
    )
