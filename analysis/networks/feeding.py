"""How images get from disk into a network: a few batches at a time, in an order that can be redone.

The order and the orientations of an epoch follow from a seed and the number of the epoch alone, so
that a training that was interrupted goes on with the very batches it would have had. Orientations
are the five of Bruker application note 155: as is, turned by 90, 180 and 270 degrees, and flipped
upside down; five epochs show each image in each of them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ORIENTATIONS", "Batch", "Feed", "ImageSource", "batches_of", "oriented", "streamed"]

ORIENTATIONS = 5
_AHEAD = 2  # batches that are read while one is trained on

Batch = tuple[NDArray[np.float32], NDArray[Any]]


class ImageSource(Protocol):
    """What of a set of images a network needs; `analysis.datasets.ImageSet` has it."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in the order of the last axis."""
        ...

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of each channel."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """(lines, points) of every image."""
        ...

    @property
    def square(self) -> bool:
        """Whether an image may be turned by 90 degrees."""
        ...

    @property
    def digests(self) -> Sequence[Mapping[str, str]]:
        """A hash of the pixels of each image, by channel."""
        ...

    def __len__(self) -> int:
        """Return how many images there are."""
        ...

    def images(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Return images, (n, lines, points, channels), SI units."""
        ...


def oriented(image: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Return an image as one of the five orientations shows it.

    Parameters
    ----------
    image : ndarray, shape (side, side, channels)
        Row 0 is the lowest line.
    orientation : int
        0 as is; 1, 2, 3 turned by so many times 90 degrees; 4 flipped upside down.

    Raises
    ------
    ValueError
        There is no such orientation.
    """
    if orientation not in range(ORIENTATIONS):
        raise ValueError(f"orientation {orientation!r} is not allowed: 0 to {ORIENTATIONS - 1}")
    if orientation == ORIENTATIONS - 1:
        return image[::-1]
    return np.rot90(image, orientation)


@dataclass(frozen=True, eq=False)
class Feed:
    """Images and targets that a network is trained on.

    Parameters
    ----------
    source : ImageSource
        The images, on disk.
    targets : ndarray, shape (images,) or (images, properties)
        Of every image of `source`: number of its class, or values.
    indices : tuple of int
        Which of them are fed.
    batch : int
        Images at a time.
    seed : int
        Of order and orientations.
    augment : bool
        Whether images are shown in all orientations.
    """

    source: ImageSource
    targets: NDArray[Any]
    indices: tuple[int, ...]
    batch: int
    seed: int = 0
    augment: bool = True

    def __post_init__(self) -> None:
        if self.augment and not self.source.square:
            lines, points = self.source.shape
            raise ValueError(
                f"images of {lines} lines of {points} points cannot be turned by 90 degrees: only "
                "square frames of square pixels can; train without augmentation"
            )

    @property
    def steps(self) -> int:
        """Batches of an epoch; what does not fill one is left to the next epochs."""
        return max(1, len(self.indices) // self.batch)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, all of the same size.

        Parameters
        ----------
        number : int
            Of the epoch, from 0.
        """
        order = np.random.default_rng((self.seed, number)).permutation(len(self.indices))
        size = min(self.batch, len(self.indices))
        turns = self._orientations(number)
        for step in range(self.steps):
            chosen = order[step * size : (step + 1) * size]
            places = [self.indices[place] for place in chosen]
            images = self.source.images(places)
            if self.augment:
                pairs = zip(images, turns[chosen], strict=True)
                images = np.stack([oriented(image, int(turn)) for image, turn in pairs])
            yield np.ascontiguousarray(images, dtype=np.float32), self.targets[places]

    def _orientations(self, number: int) -> NDArray[np.int64]:
        """Orientation of each image in an epoch."""
        fives, place = divmod(number, ORIENTATIONS)
        rng = np.random.default_rng((self.seed, fives, ORIENTATIONS))
        turns = np.tile(np.arange(ORIENTATIONS), (len(self.indices), 1))
        return rng.permuted(turns, axis=1)[:, place]


def batches_of(
    source: ImageSource, indices: Sequence[int], batch: int
) -> Iterator[NDArray[np.float32]]:
    """Yield images in their order, `batch` at a time; the last ones may be fewer."""
    for first in range(0, len(indices), batch):
        chosen = [int(index) for index in indices[first : first + batch]]
        yield np.asarray(source.images(chosen), dtype=np.float32)


def streamed(batches: Callable[[], Iterator[Batch]], example: Batch) -> Iterable[Any]:
    """Return batches that are read ahead while the network works on one.

    By tf.data where TensorFlow is the engine of Keras; another engine takes the batches as they
    come.

    Parameters
    ----------
    batches : callable
        Begins the batches anew.
    example : tuple of ndarray
        A batch that tells shapes and types; the number of images may differ.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return batches()
    import tensorflow as tf

    signature = tuple(
        tf.TensorSpec((None, *array.shape[1:]), tf.as_dtype(array.dtype)) for array in example
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(_AHEAD)
