"""Five images of one: as it is, turned by 90, 180 and 270 degrees, and flipped upside down.

The augmentation of Bruker's application note 155 ("Machine Learning"). A material without a
direction looks as likely in each of them. It comes after the split and for the training part alone:
what is turned before it is on both sides of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .image_set import ImageSet

__all__ = ["AUGMENTED", "augmented", "check_turnable"]

AUGMENTED = 5
"""Images that become of one."""


def augmented(
    images: ArrayLike, targets: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Make five images of each.

    Parameters
    ----------
    images : array_like, shape (n, lines, points, channels)
        Of the training part; square.
    targets : array_like, shape (n,) or (n, properties)
        Labels or values of the images.

    Returns
    -------
    images : ndarray of float32, shape (5 n, lines, points, channels)
        All as they are, then all turned by 90°, 180°, 270°, then all flipped upside down.
    targets : ndarray, shape (5 n, ...)

    Raises
    ------
    ValueError
        Images that are not square cannot be turned.
    """
    array, labels = np.asarray(images, dtype=np.float32), np.asarray(targets)
    if array.ndim != 4 or array.shape[1] != array.shape[2]:
        raise ValueError(
            f"images have the shape {array.shape}: to be turned they must be square, "
            "(n, lines, lines, channels)"
        )
    if len(labels) != len(array):
        raise ValueError(f"{len(labels)} targets are given for {len(array)} images")
    turned = [np.rot90(array, turns, axes=(1, 2)) for turns in range(4)]
    every = np.concatenate([*turned, array[:, ::-1]])
    return every, np.concatenate([labels] * AUGMENTED)


def check_turnable(image_set: ImageSet) -> None:
    """Refuse a set whose images cannot be turned by 90°.

    Raises
    ------
    ValueError
        Frame or pixels are not square.
    """
    if not image_set.square:
        (lines, points), aspect = image_set.shape, image_set.records[0].aspect
        raise ValueError(
            f"images of {lines} lines of {points} points with an aspect ratio of {aspect:g} cannot "
            "be turned by 90°: only square frames of square pixels can; train without augmentation"
        )
