"""Which images hang together, so that a split must keep them on one side?

Images of one session share what a probe and a day do to all of them; images of one place show the
same thing, whatever the session. What hangs together over others does so too: groups are the
connected parts of the graph of such pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .records import ImageRecord

__all__ = ["Grouping", "grouping_of", "overlapping", "split_groups"]

_WORDS = ("session", "probe", "field")
_ROUNDING = 1e-6  # µm: places are kept to whole picometres


@dataclass(frozen=True)
class Grouping:
    """What keeps images together.

    Parameters
    ----------
    by : tuple of str
        ``session``, ``probe`` (all sessions of one), ``field`` (the same place of a sample).
    miss : float
        How far a frame may lie from where it was sent, along each axis, µm. Fields of a campaign
        are 6 µm apart, more than the errors of two.
    similarity : float
        Correlation of the fingerprints from which on two images are copies of one. Simulated
        images of different fields of a copolymer reach 0.67 at 4 µm and 0.89 at 1 µm; copies with
        noise of half their contrast have 0.98.

    Raises
    ------
    ValueError
        Words or numbers that are not allowed.
    """

    by: tuple[str, ...] = ("session", "field")
    miss: float = 3.0
    similarity: float = 0.95

    def __post_init__(self) -> None:
        if isinstance(self.by, str) or not self.by or set(self.by) - set(_WORDS):
            raise ValueError(f"by is {self.by!r}: give one or more of {', '.join(_WORDS)}")
        object.__setattr__(self, "by", tuple(self.by))
        if not (np.isfinite(self.miss) and self.miss >= 0):
            raise ValueError(f"miss is {self.miss!r} µm, must be 0 or more")
        if not 0 < self.similarity <= 1:
            raise ValueError(f"similarity is {self.similarity!r}, must be above 0 to 1")

    @property
    def words(self) -> tuple[str, ...]:
        """Those of `by` that are a word of the record."""
        return tuple(word for word in self.by if word != "field")

    def __str__(self) -> str:
        return " and ".join(self.by)


def grouping_of(by: Grouping | Sequence[str]) -> Grouping:
    """The grouping that is meant: a `Grouping` as it is, words with the defaults of the rest."""
    return by if isinstance(by, Grouping) else Grouping(by)  # pyright: ignore[reportArgumentType]


def split_groups(
    records: Sequence[ImageRecord], by: Grouping | Sequence[str] = ("session", "field")
) -> NDArray[np.intp]:
    """Tell which images hang together.

    Parameters
    ----------
    records : sequence of ImageRecord, length n
    by : Grouping or sequence of str
        What keeps images together. With ``session`` and ``field``, sessions that imaged the same
        fields are one group; ``field`` alone parts the images of one session.

    Returns
    -------
    ndarray of int, shape (n,)
        Number of the group of each image, in the order of their first images.
    """
    grouping = grouping_of(by)
    pairs: list[NDArray[np.intp]] = [np.empty((0, 2), dtype=np.intp)]
    for word in grouping.words:
        first: dict[str, int] = {}
        told = [(first.setdefault(getattr(record, word), i), i) for i, record in enumerate(records)]
        pairs.append(np.array(told, dtype=np.intp).reshape(-1, 2))
    if "field" in grouping.by:
        everything = range(len(records))
        pairs.append(overlapping(records, everything, everything, grouping.miss))
    i, j = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j)), shape=(len(records),) * 2)
    _, labels = connected_components(graph, directed=False)
    _, start, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(start))[inverse]


def overlapping(
    records: Sequence[ImageRecord], left: ArrayLike, right: ArrayLike, miss: float = 0.0
) -> NDArray[np.intp]:
    """Find images of one set that may show the same part of a sample as those of another.

    Parameters
    ----------
    records : sequence of ImageRecord
    left, right : array_like of int
        The two sets.
    miss : float
        As of `Grouping`.

    Returns
    -------
    ndarray of int, shape (pairs, 2)
        Of each the image of the left set and that of the right. Where a place is not known, images
        overlap when their fields have one number.
    """
    of_sample: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, indices in enumerate((left, right)):
        for index in np.asarray(indices, dtype=np.intp):
            of_sample[records[index].sample][side].append(int(index))
    found = [np.empty((0, 2), dtype=np.intp)]
    for ours, others in of_sample.values():
        if ours and others:
            met = _meet(_frames(records, ours), _frames(records, others), miss)
            i, j = np.nonzero(met)
            found.append(np.stack([np.asarray(ours)[i], np.asarray(others)[j]], axis=1))
    return np.concatenate(found)


def _frames(records: Sequence[ImageRecord], indices: Iterable[int]) -> NDArray[np.float64]:
    """Field, x, y, width and height, a row an image; NaN for a place that is not known."""
    return np.array(
        [
            (
                record.field,
                np.nan if record.x is None else record.x,
                np.nan if record.y is None else record.y,
                *record.extent,
            )
            for record in (records[index] for index in indices)
        ]
    )


def _meet(ours: NDArray[np.float64], others: NDArray[np.float64], miss: float) -> NDArray[np.bool_]:
    a, b = ours[:, np.newaxis, :], others[np.newaxis, :, :]
    apart = np.abs(a[..., 1:3] - b[..., 1:3])
    reach = (a[..., 3:5] + b[..., 3:5]) / 2 + 2 * miss - _ROUNDING
    known = np.isfinite(apart).all(axis=-1)
    return np.where(known, (apart < reach).all(axis=-1), a[..., 0] == b[..., 0])
