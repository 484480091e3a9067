"""Groups of images dealt out to folds, each with its share of every class.

The greedy rule of scikit-learn's StratifiedGroupKFold: the most uneven groups first, each to the
fold that keeps the classes most even.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .leaks import Split

__all__ = ["split_of", "stratified_folds", "validation_part"]


def stratified_folds(
    labels: Sequence[str],
    groups: NDArray[np.intp],
    folds: int,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Deal groups out to folds.

    Parameters
    ----------
    labels : sequence of str, length n
    groups : ndarray of int, shape (n,)
    folds : int
    rng : Generator
        Decides among equals.

    Returns
    -------
    ndarray of int, shape (n,)
        Fold of each image.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    _, class_of = np.unique(labels, return_inverse=True)
    counts = np.zeros((group_of.max() + 1, class_of.max() + 1))
    np.add.at(counts, (group_of, class_of), 1)
    drawn = rng.permutation(len(counts))
    order = drawn[np.argsort(-counts[drawn].std(axis=1), kind="stable")]
    parts = counts / counts.sum(axis=0)
    filled = np.zeros((folds, counts.shape[1]))
    sizes = np.zeros(folds)
    fold_of_group = np.empty(len(counts), dtype=np.intp)
    for group in order:
        tried = filled + np.eye(folds)[:, :, np.newaxis] * parts[group]
        uneven = tried.std(axis=1).mean(axis=1).round(12)  # equal but for rounding is equal
        fold = int(np.lexsort((sizes, uneven))[0])
        filled[fold] += parts[group]
        sizes[fold] += counts[group].sum()
        fold_of_group[group] = fold
    return fold_of_group[group_of]


def validation_part(
    labels: Sequence[str],
    groups: NDArray[np.intp],
    rest: NDArray[np.bool_],
    part: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Choose groups for validation: of folds about that large, the best.

    Parameters
    ----------
    labels : sequence of str, length n
    groups : ndarray of int, shape (n,)
    rest : ndarray of bool, shape (n,)
        What is not tested: of it they are chosen.
    part : float
        Of the rest; 0 for none.
    rng : Generator

    Returns
    -------
    ndarray of bool, shape (n,)
        The fold that leaves most classes to training, then has most itself, then is nearest to
        the part that is asked for.
    """
    chosen = np.zeros(len(rest), dtype=bool)
    if part == 0 or not rest.any():
        return chosen
    mine, numbers = groups[rest], np.unique(labels, return_inverse=True)[1][rest]
    count = min(max(2, round(1 / part)), len(np.unique(mine)))
    fold_of = stratified_folds([str(number) for number in numbers], mine, count, rng)

    def worth(fold: int) -> tuple[int, int, float]:
        inside = fold_of == fold
        left, told = (len(np.unique(numbers[each])) for each in (~inside, inside))
        return left, told, -abs(float(np.mean(inside)) - part)

    chosen[rest] = fold_of == max(range(count), key=worth)
    return chosen


def split_of(
    tested: NDArray[np.bool_], validated: NDArray[np.bool_], rest: NDArray[np.bool_]
) -> Split:
    """Make the split of masks: what of the rest is not validated is trained on."""
    train, validation, test = (
        tuple(int(index) for index in np.flatnonzero(mask))
        for mask in (rest & ~validated, validated, tested)
    )
    return Split(train, validation, test)
