"""From calibrated channels to what a network sees, as layers of the network itself.

As in Bruker application note 155: of the phase only the relative difference of the two components
of a blend is kept, deformation, dissipation and adhesion are taken as they are, and the DMT modulus
loses its outliers. What is left of each channel is brought to mean 0 and spread 1 by two numbers
that are measured once on training images and stay fixed, so levels keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from .channels import check_channels

__all__ = [
    "AsIs",
    "ChannelPreprocessing",
    "CleanModulus",
    "RelativePhase",
    "Statistics",
    "measure_statistics",
    "preprocessing_of",
]

ops: Any = keras.ops  # as declared, any of its functions may give None

_PACKAGE = "twinscope"
# Quantiles of an image on which two levels are found: as many as a histogram has bins, without the
# outermost half percent, where outliers are (as in analysis.qnm).
_QUANTILES = 256
_OUTERMOST = 0.005
_LEAST_DIFFERENCE = 1e-3  # deg: far below the noise of a phase; an even image becomes 0
_NANO, _ATTO = 1e-9, 1e-18  # float32 squares of SI values of this size would vanish
_UNIT: Mapping[str, float] = {"deformation": _NANO, "adhesion": _NANO, "dissipation": _ATTO}
_LEAST_MODULUS = 1e5  # Pa: softer than any rubber; below it no force curve was fitted
_OUTLIER = 4.0  # spreads from the median of its neighbours that make a pixel an outlier
_NEIGHBOURS = 9
_MEDIAN_TO_SPREAD = 1.4826  # median absolute deviation of a Gaussian to its standard deviation


@dataclass(frozen=True)
class Statistics:
    """By what a channel is brought to mean 0 and spread 1, after its own preprocessing.

    Parameters
    ----------
    mean, spread : float
        In the unit that the channel's layer gives: 1 for the relative phase, nm, nN, aJ, and
        decades of modulus.
    """

    mean: float = 0.0
    spread: float = 1.0


def _without_gaps(image: Any) -> Any:
    """`image` (n, lines, points, 1) with the mean of its own pixels where it is not finite."""
    known = ops.isfinite(image)
    values = ops.where(known, image, 0.0)
    count = ops.sum(ops.cast(known, image.dtype), axis=(1, 2), keepdims=True)
    mean = ops.sum(values, axis=(1, 2), keepdims=True) / ops.maximum(count, 1.0)
    return ops.where(known, values, mean)


class _ChannelLayer(keras.layers.Layer):
    """One channel, (n, lines, points, 1) in and out, standardised by fixed numbers.

    Parameters
    ----------
    mean, spread : float
        As `Statistics`.
    """

    def __init__(self, mean: float = 0.0, spread: float = 1.0, **kwargs: Any) -> None:
        # float32 under every policy: calibrated values need the digits
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.mean = float(mean)
        self.spread = float(spread)

    def call(self, image: Any) -> Any:
        """Preprocess and standardise."""
        return (self.prepared(_without_gaps(image)) - self.mean) / self.spread

    def prepared(self, image: Any) -> Any:
        """Preprocess."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        config = super().get_config()
        return {
            "name": config["name"],
            "mean": self.mean,
            "spread": self.spread,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class RelativePhase(_ChannelLayer):
    """Phase as a share of the difference of the two components: 0 the lower one, 1 the higher one.

    The level of each component is the median of its pixels; the components are parted where the
    variance between them is largest (Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979)).
    """

    def prepared(self, image: Any) -> Any:
        """Return the relative phase of `image`, (n, lines, points, 1)."""
        low, high = self._levels(image)
        difference = ops.maximum(high - low, _LEAST_DIFFERENCE)
        return (image - low) / difference

    def _levels(self, image: Any) -> tuple[Any, Any]:
        """Levels of the two components, (n, 1, 1, 1) each."""
        pixels = image.shape[1] * image.shape[2]
        ordered = ops.sort(ops.reshape(image, (-1, pixels)), axis=-1)
        places = np.linspace(_OUTERMOST, 1 - _OUTERMOST, _QUANTILES) * (pixels - 1)
        values = ops.take(ordered, np.round(places).astype("int32"), axis=-1)
        cut = _otsu_cut(values)  # quantiles below the cut, 1 to n - 1
        low = _at(values, (cut - 1) // 2)
        high = _at(values, (cut + _QUANTILES - 1) // 2)
        return low, high


def _otsu_cut(ordered: Any) -> Any:
    """How many of `ordered` (n, quantiles) are of the lower of two components, (n,)."""
    count = ordered.shape[-1]
    centred = ordered - ops.mean(ordered, axis=-1, keepdims=True)
    below = np.arange(1, count, dtype="float32")
    total = ops.cumsum(centred, axis=-1)[:, :-1]
    # Of centred values both components' sums are equal but for the sign.
    between = ops.square(total) / (below * (count - below))
    return ops.argmax(between, axis=-1) + 1


def _at(values: Any, index: Any) -> Any:
    """`values` (n, quantiles) at `index` (n,), as (n, 1, 1, 1)."""
    found = ops.take_along_axis(values, ops.expand_dims(index, -1), axis=-1)
    return ops.reshape(found, (-1, 1, 1, 1))


@keras.saving.register_keras_serializable(_PACKAGE)
class AsIs(_ChannelLayer):
    """A channel in a unit of handy size, no more.

    Parameters
    ----------
    unit : float
        In SI.
    mean, spread : float
        As `Statistics`, in `unit`.
    """

    def __init__(
        self, unit: float = 1.0, mean: float = 0.0, spread: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(mean, spread, **kwargs)
        self.unit = float(unit)

    def prepared(self, image: Any) -> Any:
        """Return `image` in `unit`."""
        return image * (1 / self.unit)

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {**super().get_config(), "unit": self.unit}


@keras.saving.register_keras_serializable(_PACKAGE)
class CleanModulus(_ChannelLayer):
    """Decades of the modulus; an outlier becomes the median of the pixels around it.

    The moduli of a blend differ by orders of magnitude, so the logarithm shows both. An outlier is
    a pixel whose force curve was not fitted, or one that lies far from the median of its 3 x 3
    neighbours by the measure of its own image (Hampel's identifier).
    """

    def prepared(self, image: Any) -> Any:
        """Return log10 of `image` / Pa without outliers."""
        decades = ops.log10(ops.maximum(image, _LEAST_MODULUS))
        around = _median_around(decades)
        off = ops.abs(decades - around)
        pixels = image.shape[1] * image.shape[2]
        typical = ops.sort(ops.reshape(off, (-1, pixels)), axis=-1)[:, pixels // 2]
        limit = _OUTLIER * _MEDIAN_TO_SPREAD * ops.reshape(typical, (-1, 1, 1, 1))
        fitted = image > _LEAST_MODULUS
        return ops.where(ops.logical_and(fitted, off <= limit), decades, around)


def _median_around(image: Any) -> Any:
    """Median of the 3 x 3 pixels around each, the border repeated."""
    lines, points = image.shape[1], image.shape[2]
    wide = ops.concatenate([image[:, :1], image, image[:, -1:]], axis=1)
    wide = ops.concatenate([wide[:, :, :1], wide, wide[:, :, -1:]], axis=2)
    shifted = [
        wide[:, line : line + lines, point : point + points]
        for line in range(3)
        for point in range(3)
    ]
    ordered = ops.sort(ops.concatenate(shifted, axis=-1), axis=-1)
    middle = _NEIGHBOURS // 2
    return ordered[..., middle : middle + 1]


def _layer_of(channel: str, statistics: Statistics) -> _ChannelLayer:
    """Preprocessing of one channel."""
    numbers: dict[str, Any] = {
        "mean": statistics.mean,
        "spread": statistics.spread,
        "name": f"prepared_{channel}",
    }
    if channel == "phase":
        return RelativePhase(**numbers)
    if channel == "dmt_modulus":
        return CleanModulus(**numbers)
    return AsIs(_UNIT[channel], **numbers)


@keras.saving.register_keras_serializable(_PACKAGE)
class ChannelPreprocessing(keras.layers.Layer):
    """Each channel of images by its own preprocessing.

    Parameters
    ----------
    channels : sequence of str
        In the order of the last axis of the images.
    statistics : mapping of str to Statistics or to (mean, spread), optional
        Of each channel; mean 0 and spread 1 where there are none.
    """

    def __init__(
        self,
        channels: Sequence[str],
        statistics: Mapping[str, Statistics | Sequence[float]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.channels = check_channels(channels)
        given = statistics or {}
        self.statistics = {
            name: _as_statistics(given[name]) if name in given else Statistics()
            for name in self.channels
        }
        self._layers_of_channels = [
            _layer_of(name, self.statistics[name]) for name in self.channels
        ]

    def build(self, input_shape: Any) -> None:
        """Build the layers of the channels."""
        for layer in self._layers_of_channels:
            layer.build((*input_shape[:-1], 1))
        self.built = True

    def call(self, images: Any) -> Any:
        """Preprocess calibrated `images`, (n, lines, points, channels) in SI units."""
        if images.shape[-1] != len(self.channels):
            raise ValueError(
                f"images have {images.shape[-1]} channels: {', '.join(self.channels)} are read"
            )
        return ops.concatenate(
            [
                layer(images[..., place : place + 1])
                for place, layer in enumerate(self._layers_of_channels)
            ],
            axis=-1,
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {
            "name": super().get_config()["name"],
            "channels": list(self.channels),
            "statistics": {
                name: [numbers.mean, numbers.spread] for name, numbers in self.statistics.items()
            },
        }


def _as_statistics(given: Statistics | Sequence[float]) -> Statistics:
    """Numbers as they come from a file."""
    if isinstance(given, Statistics):
        return given
    mean, spread = given
    return Statistics(float(mean), float(spread))


def preprocessing_of(
    channels: Sequence[str], statistics: Mapping[str, Statistics] | None = None
) -> ChannelPreprocessing:
    """Return the layer that prepares `channels`, named "preprocessing".

    Parameters
    ----------
    channels : sequence of str
        Of `analysis.networks.channels.CHANNEL_UNITS`.
    statistics : mapping of str to Statistics, optional
        Measured on training images.

    Raises
    ------
    ValueError
        A network does not read one of the channels.
    """
    return ChannelPreprocessing(channels, statistics, name="preprocessing")


def measure_statistics(
    channels: Sequence[str], batches: Iterable[NDArray[np.float32]]
) -> dict[str, Statistics]:
    """Measure mean and spread of each channel after its preprocessing.

    Parameters
    ----------
    channels : sequence of str
        Of the images.
    batches : iterable of ndarray of float32, shape (n, lines, points, channels)
        Images of the training part, SI units; held one batch at a time.

    Raises
    ------
    ValueError
        There are no images, or a channel is the same everywhere.
    """
    layer = preprocessing_of(channels)
    count = 0
    total, squares = np.zeros(len(layer.channels)), np.zeros(len(layer.channels))
    for images in batches:
        prepared = ops.convert_to_numpy(layer(ops.convert_to_tensor(images)))
        values = np.asarray(prepared, dtype=np.float64).reshape(-1, len(layer.channels))
        count += len(values)
        total += values.sum(axis=0)
        squares += np.square(values).sum(axis=0)
    if not count:
        raise ValueError("no training images: nothing to measure the scale of a channel on")
    mean = total / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
    for name, one in zip(layer.channels, spread, strict=True):
        if not one > 0:
            raise ValueError(f"{name} is the same in all pixels of the training images")
    return {
        name: Statistics(float(m), float(s))
        for name, m, s in zip(layer.channels, mean, spread, strict=True)
    }
