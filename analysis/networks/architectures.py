"""Networks that read calibrated images of a probe microscope: residual ones and a plain one.

The 50-layer residual network is that of He, Zhang, Ren and Sun, "Deep residual learning for image
recognition" (CVPR 2016), table 1, which Bruker application note 155 trains. The smaller ones are of
the same parts, for machines without a graphics processor and for little data. Every network takes
raw images in SI units and holds its preprocessing; nothing here depends on one engine of Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import layers

from .channels import ModelSpec, TargetScale
from .preprocessing import Statistics, preprocessing_of

__all__ = [
    "ARCHITECTURES",
    "EMBEDDING",
    "HEAD",
    "OUTPUTS",
    "PREPROCESSING",
    "Answers",
    "build",
    "load_network",
    "spec_of",
    "statistics_of",
    "target_scale_of",
    "training_view",
]

PREPROCESSING, EMBEDDING, HEAD, OUTPUTS = "preprocessing", "embedding", "head", "outputs"
# The moving averages of a batch normalisation follow within some ten steps; with the usual 0.99
# they would not yet have arrived when a training on a few hundred images ends.
_MOMENTUM = 0.9
_EPSILON = 1e-5
_LEAST_SIDE = 32  # pixels: a residual network halves an image five times
_EXPANSION = 4  # of a bottleneck: its last convolution has so many times the filters


@keras.saving.register_keras_serializable("twinscope")
class Answers(layers.Layer):
    """The last layer: logits as they are, values in their own units; knows what they are of.

    Parameters
    ----------
    spec : mapping
        `ModelSpec.as_dict` of the network.
    mean, spread : sequence of float
        As `TargetScale`; 0 and 1 for logits.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        mean: Sequence[float],
        spread: Sequence[float],
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.spec = ModelSpec.from_dict(spec)
        self.mean = [float(value) for value in mean]
        self.spread = [float(value) for value in spread]

    def call(self, standardised: Any) -> Any:
        """Return answers (n, outputs) from what the head gives, of the same shape."""
        spread = np.asarray(self.spread, dtype=np.float32)
        return standardised * spread + np.asarray(self.mean, dtype=np.float32)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {
            "name": super().get_config()["name"],
            "spec": self.spec.as_dict(),
            "mean": self.mean,
            "spread": self.spread,
        }


class _Parts:
    """Layers of a network under one policy, each with a seed and a name of its own."""

    def __init__(self, seed: int, policy: str) -> None:
        # One seed for two layers of the same shape would give them the same weights.
        self._seeds: Iterator[int] = (seed * 10_007 + number for number in count())
        self._policy = policy

    def convolution(
        self, image: Any, filters: int, size: int, stride: int, name: str, last: bool = False
    ) -> Any:
        """Convolve and normalise; `last` of a block starts as nothing."""
        start: Any = keras.initializers.HeNormal(seed=next(self._seeds))
        image = layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer=start,
            dtype=self._policy,
            name=f"{name}_convolution",
        )(image)
        return layers.BatchNormalization(
            momentum=_MOMENTUM,
            epsilon=_EPSILON,
            gamma_initializer="zeros" if last else "ones",
            dtype=self._policy,
            name=f"{name}_normalisation",
        )(image)

    def rectified(self, image: Any, name: str) -> Any:
        """Set to 0 what is below."""
        return layers.Activation("relu", dtype=self._policy, name=f"{name}_rectified")(image)

    def added(self, image: Any, shortcut: Any, name: str) -> Any:
        """Add the shortcut and rectify."""
        total = layers.Add(dtype=self._policy, name=f"{name}_added")([image, shortcut])
        return self.rectified(total, name)

    def pooled(self, image: Any, name: str) -> Any:
        """Halve by maxima."""
        return layers.MaxPooling2D(
            3, strides=2, padding="same", dtype=self._policy, name=f"{name}_pooled"
        )(image)

    def embedding(self, image: Any) -> Any:
        """Mean over the pixels."""
        return layers.GlobalAveragePooling2D(dtype="float32", name=EMBEDDING)(image)

    def dropout(self, vector: Any, rate: float) -> Any:
        """Drop a share of a vector while training."""
        return layers.Dropout(rate, seed=next(self._seeds), dtype="float32", name="dropout")(vector)

    def dense(self, vector: Any, units: int, name: str) -> Any:
        """Weigh all of a vector; in float32, as probabilities need the digits."""
        start: Any = keras.initializers.GlorotUniform(seed=next(self._seeds))
        return layers.Dense(
            units,
            kernel_initializer=start,
            dtype="float32",
            name=name,
        )(vector)


def _bottleneck(parts: _Parts, image: Any, filters: int, stride: int, name: str) -> Any:
    """Narrow, convolve, widen (He et al., fig. 5 right)."""
    shortcut = image
    wide = _EXPANSION * filters
    if stride > 1 or image.shape[-1] != wide:
        shortcut = parts.convolution(image, wide, 1, stride, f"{name}_shortcut")
    image = parts.rectified(parts.convolution(image, filters, 1, stride, f"{name}_1"), f"{name}_1")
    image = parts.rectified(parts.convolution(image, filters, 3, 1, f"{name}_2"), f"{name}_2")
    image = parts.convolution(image, wide, 1, 1, f"{name}_3", last=True)
    return parts.added(image, shortcut, name)


def _basic(parts: _Parts, image: Any, filters: int, stride: int, name: str) -> Any:
    """Convolve twice (He et al., fig. 5 left)."""
    shortcut = image
    if stride > 1 or image.shape[-1] != filters:
        shortcut = parts.convolution(image, filters, 1, stride, f"{name}_shortcut")
    image = parts.rectified(parts.convolution(image, filters, 3, stride, f"{name}_1"), f"{name}_1")
    image = parts.convolution(image, filters, 3, 1, f"{name}_2", last=True)
    return parts.added(image, shortcut, name)


Block = Callable[[_Parts, Any, int, int, str], Any]
Body = Callable[[_Parts, Any], Any]


@dataclass(frozen=True)
class Residual:
    """A residual network from prepared images to its embedding.

    Parameters
    ----------
    depths : tuple of int
        Blocks of each stage; from the second on a stage begins by halving the image.
    width : int
        Filters of the first stage; each further one has twice as many.
    block : callable
        Of what the stages are.
    dropout : float
        Share of the embedding that is dropped while training.
    """

    depths: tuple[int, ...]
    width: int
    block: Block
    dropout: float = 0.0

    def __call__(self, parts: _Parts, image: Any) -> Any:
        """Return the embedding of `image`."""
        image = parts.rectified(parts.convolution(image, self.width, 7, 2, "stem"), "stem")
        image = parts.pooled(image, "stem")
        for stage, depth in enumerate(self.depths):
            for place in range(depth):
                stride = 2 if stage and not place else 1
                name = f"stage{stage + 1}_block{place + 1}"
                image = self.block(parts, image, self.width << stage, stride, name)
        vector = parts.embedding(image)
        return parts.dropout(vector, self.dropout) if self.dropout else vector


@dataclass(frozen=True)
class Plain:
    """Convolutions one after the other, each followed by a halving of the image.

    Parameters
    ----------
    filters : tuple of int
        Of each convolution.
    dropout : float
        Share of the embedding that is dropped while training.
    """

    filters: tuple[int, ...]
    dropout: float

    def __call__(self, parts: _Parts, image: Any) -> Any:
        """Return the embedding of `image`."""
        for place, filters in enumerate(self.filters, start=1):
            name = f"layer{place}"
            image = parts.rectified(parts.convolution(image, filters, 3, 1, name), name)
            image = parts.pooled(image, name)
        return parts.dropout(parts.embedding(image), self.dropout)


ARCHITECTURES: Mapping[str, Body] = MappingProxyType(
    {
        "resnet50": Residual((3, 4, 6, 3), 64, _bottleneck),
        "small_resnet": Residual((1, 1, 1, 1), 16, _basic, dropout=0.3),
        "small_cnn": Plain((16, 32, 64), dropout=0.3),
    }
)
"""What is between the preprocessing and the outputs of a network, by name."""


def build(
    spec: ModelSpec,
    statistics: Mapping[str, Statistics] | None = None,
    scale: TargetScale | None = None,
    *,
    seed: int = 0,
    policy: str = "float32",
) -> keras.Model:
    """Build a network.

    Parameters
    ----------
    spec : ModelSpec
        What it reads and answers.
    statistics : mapping of str to Statistics, optional
        Of the channels over the training part; mean 0 and spread 1 where there are none.
    scale : TargetScale, optional
        Of the properties over the training part, for a regression.
    seed : int
        Of its weights: the same seed gives the same ones.
    policy : str
        Precision of its layers, a policy of Keras such as ``mixed_bfloat16``; input, preprocessing
        and outputs stay float32.

    Returns
    -------
    keras.Model
        From images (n, lines, points, channels) in SI units to logits (n, classes) or to values (n,
        properties) in their units. It has layers of the names "preprocessing", "embedding", "head"
        and "outputs".

    Raises
    ------
    ValueError
        There is no such architecture, or images are smaller than 32 pixels.
    """
    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"architecture {spec.architecture!r} is not known: choose of {known}")
    if min(spec.shape) < _LEAST_SIDE:
        raise ValueError(
            f"images of {spec.shape[0]} x {spec.shape[1]} pixels are too small for a network: "
            f"{_LEAST_SIDE} at least"
        )
    parts = _Parts(seed, policy)
    images = keras.Input((*spec.shape, len(spec.channels)), dtype="float32", name="images")
    prepared = preprocessing_of(spec.channels, statistics)(images)
    vector = ARCHITECTURES[spec.architecture](parts, prepared)
    number = len(spec.outputs)
    scale = scale or TargetScale((0.0,) * number, (1.0,) * number)
    head = parts.dense(vector, number, HEAD)
    outputs = Answers(spec.as_dict(), scale.mean, scale.spread, name=OUTPUTS)(head)
    return keras.Model(images, outputs, name=spec.architecture)


def training_view(model: keras.Model) -> keras.Model:
    """Return the network as it is trained: values are standardised; the weights are shared."""
    return keras.Model(model.input, model.get_layer(HEAD).output, name=f"{model.name}_training")


def spec_of(model: keras.Model) -> ModelSpec:
    """Return what a network reads and answers.

    Raises
    ------
    ValueError
        It was not made by `build`.
    """
    last = model.layers[-1]
    if not isinstance(last, Answers):
        raise ValueError(
            f"network {model.name!r} does not say what it reads: it was made elsewhere"
        )
    return last.spec


def target_scale_of(model: keras.Model) -> TargetScale:
    """Return by what the values of a network are standardised."""
    last = model.get_layer(OUTPUTS)
    return TargetScale(tuple(last.mean), tuple(last.spread))


def statistics_of(model: keras.Model) -> dict[str, Statistics]:
    """Return by what the channels of a network are standardised."""
    return dict(model.get_layer(PREPROCESSING).statistics)


def load_network(path: str | Path) -> keras.Model:
    """Load a network from a ``.keras`` file; only layers of Keras and of ours are made.

    Parameters
    ----------
    path : str or Path
        Of the file.

    Raises
    ------
    ValueError
        There is no such file, it is no network, or not one made by `build`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no network in {path}: there is no such file")
    try:
        model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (KeyError, OSError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(f"{path} is not a network that can be loaded: {reason}") from error
    spec_of(model)
    return model
