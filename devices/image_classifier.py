"""What does the last image show? A network's word on it, so that it is recorded.

A plan that leaves a sample whose class is certain, or images on where it is not, acts on a
prediction; it triggers this device and reads it into its run, so that the run tells why. A network
that has not seen the like of the image abstains, and the plan must not act on what it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt

from devices._analyser import Analyser, FoundSignal, FoundText, TextSignal
from devices.afm import Afm
from devices.scan_frame import ScanFrame
from devices.wire import RefusedError
from devices.wire.ophyd import StaticSignal

__all__ = ["Classify", "ImageClassifier", "ImagePrediction"]

_MICRO = 1e-6


class ImagePrediction(Protocol):
    """What a network says of an image: `analysis.networks.prediction.Prediction`, or another's."""

    @property
    def label(self) -> str:
        """The most probable class."""
        ...

    @property
    def probability(self) -> float:
        """Of that class, calibrated."""
        ...

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of all classes, shape (classes,)."""
        ...

    @property
    def spread(self) -> float:
        """Standard deviation of the probability of the class."""
        ...

    @property
    def novelty(self) -> float:
        """How far the image is from those that the network knows; 1 is the limit."""
        ...

    @property
    def abstained(self) -> bool:
        """Whether the network will not be relied on."""
        ...

    @property
    def reason(self) -> str:
        """Why it abstains; empty when it does not."""
        ...


Classify = Callable[[Mapping[str, NDArray[Any]], Mapping[str, str], float], ImagePrediction]
"""From channels (SI, shape (lines, points)), their units and the length of a line (µm) to a
prediction; raises where the image is not of the network's kind."""


class _ProbabilitiesSignal(FoundSignal):
    """The probabilities of all classes."""

    def describe(self) -> dict[str, DataKey]:
        """Describe the array; it has an entry a class."""
        return {
            self.name: {
                "source": self.source_name,
                "dtype": "array",
                "dtype_numpy": "<f8",
                "shape": [len(self.device.known_classes)],
            }
        }


class _ModelSignal(TextSignal):
    """Name and version of the network."""

    def _fresh(self) -> tuple[str, float]:
        return self.device.known_model, self.device.made


class _ClassesSignal(StaticSignal):
    """Names of the classes, in the order of the probabilities."""

    def _fresh(self) -> tuple[list[str], float]:
        return list(self.device.known_classes), self.device.made

    def describe(self) -> dict[str, DataKey]:
        """Describe the list of texts."""
        count = len(self.device.known_classes)
        return {self.name: {"source": self.source_name, "dtype": "array", "shape": [count]}}


class ImageClassifier(Analyser):
    """Classifies, when triggered, the last image of an AFM.

    Parameters
    ----------
    afm : Afm
        Whose image is looked at.
    classify : callable
        From channels, units and size of the frame to a prediction; see `Classify`.
    model : str
        Name and version of the network, for the record.
    classes : sequence of str
        In the order of its probabilities.
    name : str
        First part of all data keys.
    """

    what = "prediction"

    label = Cpt(FoundText, value=lambda found: found.label, kind="hinted")
    probability = Cpt(FoundSignal, value=lambda found: float(found.probability), kind="hinted")
    probabilities = Cpt(
        _ProbabilitiesSignal, value=lambda found: np.asarray(found.probabilities), kind="normal"
    )
    spread = Cpt(FoundSignal, value=lambda found: float(found.spread), kind="normal")
    novelty = Cpt(FoundSignal, value=lambda found: float(found.novelty), kind="normal")
    abstained = Cpt(
        FoundSignal,
        value=lambda found: int(found.abstained),
        dtype_numpy="<i8",
        kind="normal",
    )
    reason = Cpt(FoundText, value=lambda found: found.reason, kind="normal")
    model = Cpt(_ModelSignal, kind="config")
    classes = Cpt(_ClassesSignal, kind="config")

    def __init__(
        self,
        afm: Afm,
        classify: Classify,
        *,
        model: str,
        classes: Sequence[str],
        name: str,
        **kwargs: Any,
    ) -> None:
        self.afm = afm
        self.known_model = model
        self.known_classes = tuple(classes)
        self.made = time.time()
        super().__init__(afm.client, classify, name=name, **kwargs)

    def _record(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, str], float]:
        channels, _ = self.afm.imager.last_image
        if not channels:
            raise RefusedError(f"{self.name} has no image to look at: take one")
        described = self.afm.imager.describe()  # a channel of another mode has no unit any more
        keys = {name: getattr(self.afm.imager, name).name for name in channels}
        units = {name: str(described.get(key, {}).get("units", "")) for name, key in keys.items()}
        frame = ScanFrame.from_wire(self.afm.scanner.snapshot.get())
        return channels, units, frame.scan_size / _MICRO

    def _check(self, found: ImagePrediction) -> None:
        count, known = len(found.probabilities), len(self.known_classes)
        if count != known:
            raise ValueError(f"{self.name}: {count} probabilities for {known} classes")
