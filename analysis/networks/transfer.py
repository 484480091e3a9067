"""Begins a network with what another one has learnt, of another channel or of other samples.

The edges and domains of a blend look alike in several channels, so filters learnt on one are a
better beginning for another than chance (Yosinski et al., NIPS 2014). Only the scale of the input
is never taken: each network has its own, measured on its own channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .architectures import HEAD, spec_of

if TYPE_CHECKING:
    import keras

__all__ = ["take_over"]


def take_over(source: keras.Model, target: keras.Model, *, freeze: bool = False) -> None:
    """Give `target` the weights of `source`.

    The head is taken too where both answer the same. Where they read different numbers of channels,
    each of the first filters begins with its mean over the channels of the source, so that what it
    finds keeps its size.

    Parameters
    ----------
    source, target : keras.Model
        Of one architecture, from `analysis.networks.architectures.build`.
    freeze : bool
        Whether only the head is to be trained; normalisations then stay as they are too.

    Raises
    ------
    ValueError
        They are of different architectures.
    """
    old, new = spec_of(source), spec_of(target)
    if old.architecture != new.architecture:
        raise ValueError(
            f"a {new.architecture} cannot begin as a {old.architecture}: take one of its own kind"
        )
    for layer in target.layers:
        weights = source.get_layer(layer.name).get_weights() if layer.weights else []
        if layer.name == HEAD:
            if old.outputs == new.outputs:
                layer.set_weights(weights)
            continue
        if weights:
            first, *others = weights
            wanted = layer.weights[0].shape
            layer.set_weights([_of_channels(first, wanted), *others])
        if freeze:
            layer.trainable = False


def _of_channels(kernel: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    """Filters (height, width, channels, filters) for another number of channels."""
    if kernel.shape == tuple(wanted):
        return kernel
    there, here = kernel.shape[2], wanted[2]
    mean = kernel.mean(axis=2, keepdims=True) * (there / here)
    return np.repeat(mean, here, axis=2)
