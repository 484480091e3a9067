"""Training, validation and test parts of a set, none of which knows another.

Whole groups of images go to one part, so that what hangs together is not parted. Where everything
does, as when each session images the same fields, sessions and fields are parted each for itself,
and what lies between the parts is left out. Splits come before any augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from ._folding import split_of, stratified_folds, validation_part
from ._split_checks import check_groups, check_images, check_numbers, check_training
from .groups import Grouping, grouping_of, split_groups
from .image_set import ImageSet
from .leaks import Split, find_copies, refuse_leaks

__all__ = ["crossed_splits", "grouped_splits"]

_BY = ("session", "field")


def grouped_splits(
    image_set: ImageSet,
    folds: int = 5,
    repeats: int = 1,
    validation: float = 0.2,
    seed: int = 0,
    by: Grouping | Sequence[str] = _BY,
) -> list[Split]:
    """Split a set again and again, each image in a test part once a repeat.

    Parameters
    ----------
    image_set : ImageSet
    folds : int
        Of each repeat: one of them is the test part.
    repeats : int
        With other folds each.
    validation : float
        Part of what is not tested that is for validation; 0 for none.
    seed : int
        The same makes the same splits.
    by : Grouping or sequence of str
        What keeps images together: ``session``, ``probe``, ``field``.

    Returns
    -------
    list of Split, length ``folds * repeats``

    Raises
    ------
    ValueError
        Too few images or groups of a class, or of all.
    LeakError
        Two images that are to be parted are the same one.
    """
    grouping, labels = grouping_of(by), image_set.labels()
    needed = 3 if validation > 0 else 2
    check_numbers(folds, repeats, validation)
    check_images(labels, needed)
    groups = split_groups(image_set.records, grouping)
    check_groups(labels, groups, grouping, folds=folds, needed=needed)
    found = find_copies(image_set, grouping.similarity)
    splits: list[Split] = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        fold_of = stratified_folds(labels, groups, folds, rng)
        for fold in range(folds):
            tested = fold_of == fold
            validated = validation_part(labels, groups, ~tested, validation, rng)
            split = split_of(tested, validated, ~tested)
            refuse_leaks(image_set, split, grouping, found)
            splits.append(split)
    check_training(labels, splits, grouping)
    return splits


def crossed_splits(
    image_set: ImageSet,
    folds: int = 3,
    repeats: int = 1,
    validation: float = 0.2,
    seed: int = 0,
    by: Grouping | Sequence[str] = _BY,
) -> list[Split]:
    """Split a set whose sessions imaged the same fields, as campaigns do on the same samples.

    Sessions and fields are dealt out to folds each for itself. What is of one fold of both is
    tested; what is of neither is trained on; what is of one alone is left out, about half of it
    with three folds. So no session and no field of the test part is in another part. Validation
    and training share sessions, but no field.

    Parameters
    ----------
    image_set : ImageSet
    folds : int
        Of the sessions, and of the fields.
    repeats, validation, seed, by
        As of `grouped_splits`; `by` has ``field`` and ``session`` or ``probe``.

    Returns
    -------
    list of Split, length ``folds ** 2 * repeats`` at most
        Each image is in a test part once a repeat; test parts without images are left out.

    Raises
    ------
    ValueError
        Too few images, sessions or fields of a class, or of all.
    LeakError
        Two images that are to be parted are the same one.
    """
    grouping, labels = grouping_of(by), image_set.labels()
    if not grouping.words or "field" not in grouping.by:
        raise ValueError(f"by is {grouping.by}: give 'field', and 'session' or 'probe'")
    check_numbers(folds, repeats, validation)
    check_images(labels, 3 if validation > 0 else 2)
    by_place = replace(grouping, by=("field",))
    kinds = (replace(grouping, by=grouping.words), by_place)
    days, places = groups = [split_groups(image_set.records, kind) for kind in kinds]
    for kind, each, needed in zip(kinds, groups, (2, 3 if validation > 0 else 2), strict=True):
        check_groups(labels, each, kind, folds=folds, needed=needed)
    found = find_copies(image_set, grouping.similarity)
    splits: list[Split] = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        day_of, place_of = (stratified_folds(labels, each, folds, rng) for each in (days, places))
        for day, place in product(range(folds), repeat=2):
            tested = (day_of == day) & (place_of == place)
            if not tested.any():
                continue
            rest = (day_of != day) & (place_of != place)
            split = split_of(tested, validation_part(labels, places, rest, validation, rng), rest)
            learnt = (*split.train, *split.validation)
            refuse_leaks(image_set, Split(learnt, (), split.test), grouping, found)
            refuse_leaks(image_set, split, by_place, found)
            splits.append(split)
    check_training(labels, splits, grouping)
    return splits
