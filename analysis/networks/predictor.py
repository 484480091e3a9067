"""From one image as the microscope gives it to what a published model says of it.

The network is compiled once for one input (`tf.function` with a fixed signature), since calling a
Keras model on a single image costs more in Python than in arithmetic. Calibration, scatter and
novelty come from what the model stored of its training (`analysis.networks.publishing`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets.fingerprints import area_averaged
from .descriptors import filled
from .last_layer import LastLayer
from .novelty import VIEWS, NoveltyDetector, Seen
from .prediction import Prediction
from .registry import Registered

__all__ = [
    "ORIENTATIONS",
    "Knowledge",
    "Network",
    "Predictor",
    "calibrated",
    "log_probabilities",
    "open_network",
]

ORIENTATIONS = (1, 2, 4, 8)
"""In how many orientations an image may be looked at; 1 is as it is."""

_LEAST = 1e-12  # probability: less would weigh nothing in any average
_MOST_MISSING = 0.02  # of the pixels: a few lost lines of an image, which the median can stand for

Floats = NDArray[np.float64]
Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""From images (n, lines, points, channels) to answers (n, outputs) and embeddings (n, columns)."""


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What a model knows of the images it was made from.

    Parameters
    ----------
    novelty : NoveltyDetector
        Tells known images from new ones.
    last_layer : LastLayer
        How much its answers may scatter.
    """

    novelty: NoveltyDetector
    last_layer: LastLayer

    def write(self, path: Path) -> None:
        """Write it to an ``.npz`` file."""
        np.savez(path, **self.novelty.arrays(), **self.last_layer.arrays())

    @classmethod
    def read(cls, path: Path) -> Knowledge:
        """Read it back.

        Raises
        ------
        ValueError
            The file is no such.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                held = dict(arrays)
            return cls(NoveltyDetector.of_arrays(held), LastLayer.of_arrays(held))
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} cannot be read: {error!r}") from error


class Predictor:
    """A published model, ready to predict.

    Parameters
    ----------
    registered : Registered
        As `Registry.load` gives it.
    orientations : int
        One of `ORIENTATIONS`: more of them average out what depends on how an image lies, at so
        many times the cost; of an image that is not square 1, 2 or 4.
    """

    def __init__(self, registered: Registered, orientations: int = 1) -> None:
        self.card = registered.card
        lines, points = self.card.inputs.shape
        allowed = ORIENTATIONS if lines == points else ORIENTATIONS[:-1]
        if orientations not in allowed:
            told = ", ".join(map(str, allowed))
            raise ValueError(f"orientations is {orientations}; allowed are {told}")
        self._knowledge = Knowledge.read(registered.reference)
        shape = (orientations, lines, points, len(self.card.inputs.channels))
        self._network = open_network(registered.model, shape)
        self._orientations = orientations
        self._network(np.zeros(shape, dtype=np.float32))  # compiles it

    def predict(
        self, channels: Mapping[str, ArrayLike], units: Mapping[str, str], size_um: float
    ) -> Prediction:
        """Say what an image shows.

        Parameters
        ----------
        channels : mapping of str to array_like, shape (lines, points)
            Channels of the image; those that the model does not want are not looked at.
        units : mapping of str to str
            Of each channel.
        size_um : float
            Length of a line, µm.

        Returns
        -------
        Prediction

        Raises
        ------
        ValueError
            The image is not of the model's kind; one line.
        """
        began = time.perf_counter()
        card = self.card
        card.check_stream(channels, units, size_um)
        image, missing = self._image(channels)
        answers, embeddings = self._network(oriented(image, self._orientations))
        values, spreads = self._values(np.asarray(answers, np.float64), embeddings)
        told = answers[:1] if card.terms.classifies else None
        seen = Seen(embeddings[:1], image[np.newaxis], told)
        novelty = float(self._knowledge.novelty.novelty(seen)[0])
        return Prediction(
            by=card.terms,
            values=values,
            spreads=spreads,
            novelty=novelty,
            reason=_not_measured(missing) or self._unknown(seen, novelty, values),
            seconds=time.perf_counter() - began,
        )

    def _image(self, channels: Mapping[str, ArrayLike]) -> tuple[NDArray[np.float32], float]:
        """Return what the network is shown, and which share of it was not measured."""
        lines, points = self.card.inputs.shape
        found = []
        for name in self.card.inputs.channels:
            values = np.asarray(channels[name], dtype=np.float32)
            whole = values.ndim == 2 and values.shape[0] * points == values.shape[1] * lines
            if not whole or values.shape[0] < lines:
                told = " x ".join(map(str, values.shape))
                raise ValueError(
                    f"model {self.card.reference} wants images of {lines} x {points} pixels, or "
                    f"finer ones of the same shape; {name} has {told}"
                )
            found.append(values)
        if len({values.shape for values in found}) > 1:
            raise ValueError(f"the channels for model {self.card.reference} are of several shapes")
        image, missing = filled(np.stack(found, axis=-1))
        if image.shape[:2] == (lines, points):
            return image, missing
        fewer = [area_averaged(each, (lines, points)) for each in np.moveaxis(image, -1, 0)]
        return np.stack(fewer, axis=-1).astype(np.float32), missing

    def _unknown(self, seen: Seen, novelty: float, values: Floats) -> str:
        """Return why the image is none that the model knows; "" when it is."""
        if not np.all(np.isfinite(values)):
            return "the network has no answer to this image"
        if novelty <= 1.0:
            return ""
        told = f"novelty {novelty:.2f}, above 1"
        if self._knowledge.novelty.foremost(seen)[0] != VIEWS[-1]:
            return f"unlike the images that the model was trained on: {told}"
        first, second = (self.card.outputs[index] for index in np.argsort(-values)[:2])
        return f"undecided between {first} and {second}: {told}"

    def _values(self, answers: Floats, embeddings: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Return what the orientations say together, and how much it may scatter."""
        last = self._knowledge.last_layer
        if not self.card.terms.classifies:
            scatter = np.sqrt(last.variances(embeddings).mean(axis=0) + answers.var(axis=0))
            return answers.mean(axis=0), scatter
        temperature = self.card.temperature
        each = calibrated(answers, temperature)
        own = np.array(
            [
                last.probability_spreads(*pair)
                for pair in zip(embeddings, log_probabilities(each), strict=True)
            ]
        )
        scatter = np.sqrt((own**2).mean(axis=0) + each.var(axis=0))
        return calibrated(answers.mean(axis=0), temperature), scatter


def _not_measured(missing: float) -> str:
    much = missing > _MOST_MISSING
    return f"{100 * missing:.0f} % of the pixels were not measured" if much else ""


def open_network(path: Path, shape: tuple[int, ...] | None = None) -> Network:
    """Load a network with its embedding.

    Parameters
    ----------
    path : Path
        A ``.keras`` file of `analysis.networks.architectures.build`.
    shape : tuple of int, optional
        Of the one input that it is compiled for; any number of images unless given.

    Returns
    -------
    callable
        See `Network`.
    """
    import keras

    from .architectures import EMBEDDING, load_network

    model = load_network(path)
    both = keras.Model(model.inputs[0], [model.outputs[0], model.get_layer(EMBEDDING).output])

    def call(images: Any) -> Any:
        return both(images, training=False)

    answer = call if keras.backend.backend() != "tensorflow" else _compiled(call, model, shape)

    def network(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        answers, embeddings = answer(images)
        return _array(keras.ops.convert_to_numpy(answers)), _array(
            keras.ops.convert_to_numpy(embeddings)
        )

    return network


def _array(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _compiled(
    call: Callable[[Any], Any], model: Any, shape: tuple[int, ...] | None
) -> Callable[[Any], Any]:
    import tensorflow as tf

    fixed = (None, *model.input_shape[1:]) if shape is None else shape
    return tf.function(call, input_signature=[tf.TensorSpec(fixed, tf.float32)])


def calibrated(logits: ArrayLike, temperature: float) -> Floats:
    """Return probabilities from logits, shape (..., classes), as they were calibrated."""
    from scipy.special import softmax

    from ..evaluation import tempered

    return tempered(softmax(np.asarray(logits, dtype=np.float64), axis=-1), temperature)


def log_probabilities(probabilities: ArrayLike) -> Floats:
    """Return logarithms of probabilities, finite ones."""
    return np.log(np.maximum(probabilities, _LEAST))


def oriented(image: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return an image in so many orientations, the first as it is.

    Parameters
    ----------
    image : ndarray, shape (lines, points, channels)
        Square for 8.
    count : int
        One of `ORIENTATIONS`: 2 adds the image turned by 180 degrees, 4 both flipped, 8 all these
        turned by 90 degrees.

    Returns
    -------
    ndarray, shape (count, lines, points, channels)
    """
    found = [image]
    if count >= 2:
        found.append(image[::-1, ::-1])
    if count >= 4:
        found += [each[::-1] for each in found]
    if count >= 8:
        found += [np.swapaxes(each, 0, 1) for each in found]
    return np.stack(found)
