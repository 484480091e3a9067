"""Images of blends in memory, with a truth that is known: the share of a second component."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis.networks import CHANNEL_UNITS

MATRIX = {"phase": 20.0, "deformation": 2e-9, "dissipation": 1e-17, "dmt_modulus": 1.5e9}
RUBBER = {"phase": 12.0, "deformation": 9e-9, "dissipation": 3e-16, "dmt_modulus": 4e7}
SHARES = {"A": 0.1, "B": 0.25, "C": 0.4}


@dataclass(frozen=True)
class Parts:
    """A split without provenance."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def blend(share: float, side: int, seed: int) -> NDArray[np.bool_]:
    """Where the second component is: `share` of the pixels, in domains of some pixels."""
    field = np.random.default_rng(seed).standard_normal((side, side))
    smooth = ndimage.gaussian_filter(field, side / 16, mode="wrap")
    return smooth > np.quantile(smooth, 1 - share)


def shown(rubber: NDArray[np.bool_], channel: str, noise: float, seed: int) -> NDArray[np.float32]:
    """Return the channel of a blend: two levels and noise, a share of their difference."""
    low, high = MATRIX[channel], RUBBER[channel]
    rng = np.random.default_rng((seed, 1))
    values = np.where(rubber, high, low) + noise * abs(high - low) * rng.standard_normal(
        rubber.shape
    )
    return values.astype(np.float32)


class BlendImages:
    """Images of three samples by turns, as `analysis.datasets.ImageSet` looks to a network.

    Parameters
    ----------
    images : int
        How many.
    channels : sequence of str
        Names.
    side : int
        Pixels.
    units : mapping of str to str, optional
        In place of the right ones.
    """

    def __init__(
        self,
        images: int = 30,
        channels: Sequence[str] = ("deformation",),
        side: int = 32,
        units: Mapping[str, str] | None = None,
    ) -> None:
        self.channels = tuple(channels)
        self.shape = (side, side)
        self.square = True
        self.units: Mapping[str, str] = {name: CHANNEL_UNITS[name] for name in channels} | dict(
            units or {}
        )
        names = tuple(SHARES)
        self.classes = tuple(names[number % len(names)] for number in range(images))
        masks = [blend(SHARES[name], side, seed) for seed, name in enumerate(self.classes)]
        self._images = np.stack(
            [
                np.stack([shown(mask, name, 0.05, seed) for name in self.channels], axis=-1)
                for seed, mask in enumerate(masks)
            ]
        )
        self.digests = [
            {
                name: hashlib.sha256(image[..., place].tobytes()).hexdigest()
                for place, name in enumerate(self.channels)
            }
            for image in self._images
        ]
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the second component of each image, (n, 1)."""
        return np.array([[SHARES[name]] for name in self.classes])

    def images(self, indices: Sequence[int] | Any) -> NDArray[np.float32]:
        """Return images; remember how many were asked for at once."""
        self.read.append(len(indices))
        return self._images[list(indices)]


def parts_of(images: int) -> Parts:
    """Three fifths, one fifth, one fifth, in order."""
    every = tuple(range(images))
    return Parts(
        every[: 3 * images // 5],
        every[3 * images // 5 : 4 * images // 5],
        every[4 * images // 5 :],
    )
