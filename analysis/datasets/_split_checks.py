"""What cannot be split is refused: too few images or groups of a class, or of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .groups import Grouping
from .leaks import Split

__all__ = ["check_groups", "check_images", "check_numbers", "check_training"]


def check_numbers(folds: int, repeats: int, validation: float) -> None:
    """Refuse numbers that make no split."""
    if folds < 2 or repeats < 1:
        raise ValueError(f"{folds} folds {repeats} times: folds must be 2 or more, repeats 1")
    if not 0 <= validation <= 0.5:
        raise ValueError(f"validation is {validation!r}, must be 0 to 0.5")


def check_images(labels: Sequence[str], needed: int) -> None:
    """Refuse a class with fewer images than a split has parts."""
    for name, images in sorted(Counter(labels).items()):
        if images < needed:
            few = "one image" if images == 1 else f"{images} images"
            raise ValueError(
                f"{name} has {few}: a class needs {needed} or more, one for each part of a split"
            )


def check_groups(
    labels: Sequence[str],
    groups: NDArray[np.intp],
    grouping: Grouping,
    *,
    folds: int,
    needed: int,
) -> None:
    """Refuse fewer groups than folds, and a class of fewer groups than are needed.

    Parameters
    ----------
    labels : sequence of str, length n
    groups : ndarray of int, shape (n,)
    grouping : Grouping
        That made them.
    folds : int
    needed : int
        Groups of a class.
    """
    found = len(np.unique(groups))
    if found < folds:
        raise ValueError(
            f"the {len(groups)} images are {_counted(found)} by {grouping}, too few for {folds} "
            f"folds{_advice(grouping)}"
        )
    of_class = np.asarray(labels)
    for name in np.unique(of_class):
        mine = len(np.unique(groups[of_class == name]))
        if mine < needed:
            raise ValueError(
                f"the images of {name} are {_counted(mine)} by {grouping}: a class needs {needed} "
                f"or more, one for each part of a split{_advice(grouping)}"
            )


def check_training(labels: Sequence[str], splits: Iterable[Split], grouping: Grouping) -> None:
    """Refuse splits that leave nothing of a class to train on."""
    for split in splits:
        lacking = set(labels) - {labels[index] for index in split.train}
        if lacking:
            raise ValueError(
                f"no image of {min(lacking)} is left to train on: its groups by {grouping} are too "
                "few or too large; give fewer folds"
            )


def _counted(groups: int) -> str:
    return "1 group" if groups == 1 else f"{groups} groups"


def _advice(grouping: Grouping) -> str:
    if len(grouping.by) < 2:
        return ""
    alone = " or ".join(f"{word!r}" for word in grouping.by)
    return (
        f"; sessions that imaged the same fields hang together: split by {alone} alone, or "
        "by crossed_splits"
    )
