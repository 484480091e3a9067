"""The table of predictions in an analysis run, and what is read back from it.

One place knows the columns, so that what the live callback writes is what the result is read from.
How long a prediction took is not among them: the same image analysed twice gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._columns import boolean, number, real, string
from .channels import CLASSIFICATION
from .prediction import Prediction

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
    model : str
        Name and version.
    channels : tuple of str
        That it looked at.
    predictions : tuple of Prediction
        One an image.
    note : str
        What could not be read.
    """

    raw_uid: str
    model: str
    channels: tuple[str, ...]
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
    start: Mapping[str, Any] = {}
    note, rows = "", []
    for name, doc in documents:
        if name == "start":
            start = doc
        elif name == "stop":
            note = str(doc.get("reason") or "")
            if doc["exit_status"] == "fail":
                raise ValueError(f"the analysis failed: {note or 'no reason is given'}")
        elif name == "event":
            rows.append(doc["data"])
        elif name == "event_page":
            rows += [
                {key: values[index] for key, values in doc["data"].items()}
                for index in range(len(doc["seq_num"]))
            ]
    analysis = start.get("analysis", {})
    if analysis.get("name") != NAME:
        raise ValueError("these documents are no predictions")
    if not rows:
        raise ValueError(f"there is no prediction: {note or 'no image came'}")
    told = analysis["parameters"]
    return PredictionResult(
        raw_uid=str(start.get("raw_uid", "")),
        model=str(told["model"]),
        channels=tuple(told["channels"]),
        predictions=tuple(_prediction(row, told) for row in rows),
        note=note,
    )


def _prediction(row: Mapping[str, Any], told: Mapping[str, Any]) -> Prediction:
    return Prediction(
        task=str(told.get("task", CLASSIFICATION)),
        outputs=tuple(told["outputs"]),
        values=np.asarray(row["values"], dtype=np.float64),
        spreads=np.asarray(row["spreads"], dtype=np.float64),
        novelty=real(row, "novelty"),
        reason=str(row["reason"] or ""),
        model=str(told["model"]),
    )
