"""Live prediction: from the channels of an image as they arrive to what a model says of them.

Holds no science and no network: a callable that is given to it asks a model, in this process or in
another. What the model refuses, or a model that does not answer, ends the analysis run as failed
with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .router import AnalysisRouter, Emit, Publisher, Reading, RunAnalysis

if TYPE_CHECKING:
    from ..networks.prediction import ModelTerms, Prediction

__all__ = ["Predict", "PredictionAnalysis"]

log = logging.getLogger(__name__)

_NAME = "prediction"

Predict = Callable[[Mapping[str, NDArray[Any]], Mapping[str, str], float], "Prediction"]
"""From channels, their units and the length of a line (µm) to a prediction."""


class PredictionAnalysis(AnalysisRouter):
    """Asks a model what each image shows.

    Emits a "prediction" event an image. Runs that lack a channel of the model are none of its
    business; one with other units or another size of frame ends as failed, for it was meant.

    Parameters
    ----------
    emit : callable(name, document)
    predict : callable
        Asks the model; see `Predict`. The same image must give the same prediction.
    terms : ModelTerms
        Which model it is, and what it wants.
    """

    def __init__(self, emit: Emit, *, predict: Predict, terms: ModelTerms) -> None:
        super().__init__(emit, name=_NAME, parameters=terms.to_document())
        self._predict = predict
        self._terms = terms

    def assets_of(self, start: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the channels that the model wants."""
        return self._terms.channels

    def understands(self, start: Mapping[str, Any]) -> bool:
        """Whether the run is an image of a known size."""
        return isinstance(start.get("scan"), Mapping) and "size" in start["scan"]

    def wants(self, start: Mapping[str, Any]) -> bool:
        """Whether the run has images for the model."""
        wanted = super().wants(start)
        lacking = [name for name in self._terms.channels if name not in start.get("channels", ())]
        if not wanted and lacking and start.get("channels"):
            told = ", ".join(lacking)
            log.info("run %s has no %s for model %s", start["uid"][:8], told, self._terms.model)
        return wanted

    def begin(self, start: Mapping[str, Any], publisher: Publisher) -> RunAnalysis:
        """Begin the analysis of a run."""
        return _PredictionRun(start, publisher, self._terms.channels, self._predict)


class _PredictionRun(RunAnalysis):
    def __init__(
        self,
        start: Mapping[str, Any],
        publisher: Publisher,
        channels: Sequence[str],
        predict: Predict,
    ) -> None:
        self._keys: Mapping[str, str] = start["fields"]
        self._size_um = float(start["scan"]["size"])
        self._channels = channels
        self._predict = predict
        self._out = publisher
        self._declared = False
        self._notes: list[str] = []

    def reading(self, reading: Reading) -> None:
        """Take an image."""
        from ..networks.records import HINTS, keys_of, row_of

        if reading.image is None:
            self._notes.append(f"image {reading.seq_num}: {reading.problem}")
            return
        first, *_ = self._channels
        images = {first: np.asarray(reading.image), **reading.beside}
        units = {name: reading.units.get(self._keys[name], "") for name in self._channels}
        found = self._predict(images, units, self._size_um)
        if not self._declared:
            self._out.declare(_NAME, keys_of(len(found.outputs)), HINTS, reading.time)
            self._declared = True
        self._out.event(_NAME, row_of(found), reading.time)

    def finish(self, time: float) -> str:
        """Say which images could not be read."""
        return "; ".join(self._notes)
