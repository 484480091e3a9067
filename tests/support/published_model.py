"""A tiny model in a registry: textures of two classes, and a network that was hardly trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.datasets import ImageRecord, Split
from analysis.networks.channels import CLASSIFICATION, REGRESSION, ModelSpec
from analysis.networks.registry import Registered, Registry

SIZE_UM = 4.0
CLASSES = ("A2", "C5")
_SIDE = 32


@dataclass(frozen=True, eq=False)
class Textures:
    """An image set in memory: deformation of softer and harder samples."""

    pixels: NDArray[np.float32]
    names: tuple[str, ...]
    records: tuple[ImageRecord, ...]
    split: Split
    size_um: float = SIZE_UM
    channels: tuple[str, ...] = ("deformation",)
    content_hash: str = "ab" * 32

    @classmethod
    def drawn(cls, count: int = 96, size_um: float = SIZE_UM, side: int = _SIDE) -> Textures:
        """Draw images: half for training, a quarter each for validation and test."""
        rng = np.random.default_rng(0)
        names = tuple(CLASSES[index % 2] for index in range(count))
        smooth = np.stack(
            [gaussian_filter(rng.normal(size=(side, side)), 1.5) for _ in range(count)]
        )
        smooth /= smooth.std(axis=(1, 2), keepdims=True)
        level = np.array([5.0 if name == "A2" else 9.0 for name in names])
        pixels = 1e-9 * (level[:, np.newaxis, np.newaxis] + smooth)
        records = tuple(_record(index, name, size_um, side) for index, name in enumerate(names))
        split = Split(
            train=tuple(range(count // 2)),
            validation=tuple(range(count // 2, 3 * count // 4)),
            test=tuple(range(3 * count // 4, count)),
        )
        return cls(pixels[..., np.newaxis].astype(np.float32), names, records, split, size_um)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def units(self) -> dict[str, str]:
        return {"deformation": "m"}

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def values(self) -> NDArray[np.float64]:
        """Two properties of each image."""
        soft = np.array([name == "A2" for name in self.names], dtype=np.float64)
        return np.stack([33.0 + 97.0 * (1.0 - soft), 20.0 + soft], axis=1)

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        return self.split.train, self.split.validation, self.split.test

    def only(self, *, channels: Sequence[str] | None = None) -> Textures:
        assert channels in (None, self.channels)
        return self

    def images(self, indices: Sequence[int]) -> NDArray[np.float32]:
        return self.pixels[list(indices)]


def _record(index: int, name: str, size_um: float, side: int) -> ImageRecord:
    return ImageRecord(
        run_uid=f"run-{index}",
        event=1,
        sample=name,
        probe=f"P{index % 3}",
        session=f"day {index % 4}",
        field=index,
        x=None,
        y=None,
        technique="peakforce_qnm",
        time=float(index),
        size=size_um,
        shape=(side, side),
        calibrated=True,
        source="run",
    )


def publish_textures(
    folder: Path,
    textures: Textures,
    model: Path | None = None,
    *,
    properties: tuple[str, ...] = (),
    name: str = "textures",
) -> Registered:
    """Publish a model of textures; a network whose head alone was fitted, unless one is given."""
    from analysis.networks.publishing import Publication, publish

    images: Any = textures
    given = model or _fitted(folder, textures, properties)
    targets = textures.values if properties else textures.names
    return publish(
        Registry(folder), given, images, targets, textures.split, Publication(name, seed=7)
    )


def _fitted(folder: Path, textures: Textures, properties: tuple[str, ...]) -> Path:
    """Build a network; its last layer is the least-squares solution on the training part."""
    import keras

    from analysis.networks.architectures import EMBEDDING, HEAD, build

    task = REGRESSION if properties else CLASSIFICATION
    spec = ModelSpec(task, textures.channels, properties or CLASSES, textures.shape, "small_cnn")
    network = build(spec)
    inner: Any = keras.Model(network.inputs[0], network.get_layer(EMBEDDING).output)
    train = list(textures.split.train)
    vectors = np.asarray(inner(textures.pixels[train], training=False), dtype=np.float64)
    soft = np.array([textures.names[index] == "A2" for index in train])
    wanted = np.where(soft[:, np.newaxis], [3.0, -3.0], [-3.0, 3.0])
    if properties:
        wanted = textures.values[train]
    columns = np.concatenate([vectors, np.ones((len(train), 1))], axis=1)
    ridge = columns.T @ columns + 1e-3 * np.eye(columns.shape[1])
    weights = np.linalg.solve(ridge, columns.T @ wanted)
    network.get_layer(HEAD).set_weights([weights[:-1], weights[-1]])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.keras"
    network.save(path)
    return path
