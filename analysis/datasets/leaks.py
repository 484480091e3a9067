"""Does a part of a split know what another part is asked?

Three ways of a leak are looked for between each two parts: a session (or probe) in both, a place in
both, and an image in both, though its documents tell another story: the same pixels, turned or
flipped, with another gain or some noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from .fingerprints import ORIENTATIONS, Copy, copies
from .groups import Grouping, grouping_of, overlapping
from .image_set import ImageSet
from .records import ImageRecord

__all__ = ["LeakError", "Split", "check_split", "find_copies", "refuse_leaks"]


class LeakError(ValueError):
    """Two parts of a split share what they must not; names two images."""


@dataclass(frozen=True)
class Split:
    """Which images are for what.

    Parameters
    ----------
    train, validation, test : tuple of int
        Numbers of images of a set.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """The parts by name."""
        return {"training": self.train, "validation": self.validation, "test": self.test}


def check_split(
    image_set: ImageSet, split: Split, by: Grouping | Sequence[str] = ("session", "field")
) -> None:
    """Refuse a split of which one part tells of another.

    Parameters
    ----------
    image_set : ImageSet
    split : Split
    by : Grouping or sequence of str
        What must not be in two parts; that no image may is not to be chosen.

    Raises
    ------
    LeakError
        Names the two images and what they share.
    ValueError
        The split has images that the set does not have.
    """
    grouping = grouping_of(by)
    every = [index for part in split.parts.values() for index in part]
    prints = image_set.fingerprints(every)
    place = {index: row for row, index in enumerate(every)}
    found: list[Copy] = []
    for left, right in combinations(split.parts.values(), 2):
        rows, columns = ([place[index] for index in part] for part in (left, right))
        pairs = copies(
            prints, rows, columns, similarity=grouping.similarity, square=image_set.square
        )
        found += [_numbered(copy, every) for copy in pairs]
    refuse_leaks(image_set, split, grouping, found)


def find_copies(image_set: ImageSet, similarity: float = Grouping.similarity) -> list[Copy]:
    """Find images that a set has twice.

    Parameters
    ----------
    image_set : ImageSet
    similarity : float
        Least correlation of their fingerprints.

    Returns
    -------
    list of Copy
    """
    every = range(len(image_set))
    found = copies(
        image_set.fingerprints(), every, every, similarity=similarity, square=image_set.square
    )
    return list(found)


def refuse_leaks(
    image_set: ImageSet, split: Split, grouping: Grouping, found: Iterable[Copy]
) -> None:
    """Refuse a split that leaks, as `check_split` does, where the copies are known.

    Parameters
    ----------
    image_set : ImageSet
    split : Split
    grouping : Grouping
    found : iterable of Copy
        Of the whole set.

    Raises
    ------
    LeakError
    """
    part_of: dict[int, str] = {}
    for name, part in split.parts.items():
        for index in part:
            if index in part_of:
                raise LeakError(
                    f"{image_set.records[index]} is in the {part_of[index]} part and in the "
                    f"{name} part"
                )
            part_of[index] = name
    for copy in found:
        here, there = part_of.get(copy.first), part_of.get(copy.second)
        if here is not None and there is not None and here != there:
            _refuse(image_set.records, part_of, (copy.first, copy.second), _same(image_set, copy))
    for word in grouping.words:
        _refuse_shared(image_set.records, part_of, word)
    if "field" in grouping.by:
        _refuse_places(image_set.records, split, part_of, grouping.miss)


def _refuse_shared(records: Sequence[ImageRecord], part_of: dict[int, str], word: str) -> None:
    first: dict[str, int] = {}
    for index in part_of:
        value = getattr(records[index], word)
        other = first.setdefault(value, index)
        if part_of[other] != part_of[index]:
            _refuse(records, part_of, (other, index), f"are of one {word}: {value}")


def _refuse_places(
    records: Sequence[ImageRecord], split: Split, part_of: dict[int, str], miss: float
) -> None:
    for left, right in combinations(split.parts.values(), 2):
        for i, j in overlapping(records, left, right, miss)[:1]:
            one = records[i]
            where = (
                f"field {one.field}"
                if one.x is None or one.y is None
                else f"{one.x:g}, {one.y:g} µm"
            )
            _refuse(records, part_of, (int(i), int(j)), f"show one place of {one.sample}: {where}")


def _refuse(
    records: Sequence[ImageRecord], part_of: dict[int, str], pair: tuple[int, int], why: str
) -> None:
    one, other = (f"{records[index]} ({part_of[index]})" for index in pair)
    raise LeakError(f"the split leaks: {one} and {other} {why}")


def _same(image_set: ImageSet, copy: Copy) -> str:
    return (
        f"hold one image: {image_set.channels[copy.channel]}, {ORIENTATIONS[copy.orientation]}, "
        f"correlation {copy.correlation:.3f}"
    )


def _numbered(copy: Copy, every: Sequence[int]) -> Copy:
    first, second = int(every[copy.first]), int(every[copy.second])
    return Copy(first, second, copy.channel, copy.orientation, copy.correlation)
