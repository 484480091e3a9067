"""An image on its way into a set, from whatever it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .records import ImageRecord

__all__ = ["Documents", "Image", "Progress"]

Documents = Iterable[tuple[str, Mapping[str, Any]]]
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Image:
    """An image on its way into a set.

    Parameters
    ----------
    record : ImageRecord
        Where it is from.
    data : mapping of str to ndarray of float, shape (lines, points)
        By channel.
    units : mapping of str to str
        By channel.
    """

    record: ImageRecord
    data: Mapping[str, NDArray[np.float64]]
    units: Mapping[str, str]
