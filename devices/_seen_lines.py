"""The part of an image that a client has seen, completed by what comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SeenLines"]


@dataclass(frozen=True)
class SeenLines:
    """Lines of one image.

    Parameters
    ----------
    begun : float
        When it began, s since the epoch, which tells it from others; 0 before the first.
    done : int
        Lines that have come.
    arrays : mapping of str to ndarray, shape (lines, points)
        Each channel, NaN where nothing has come yet. Shared by those who know more.
    """

    begun: float = 0.0
    done: int = 0
    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def with_more(
        self, values: Mapping[str, Any], rows: Mapping[str, NDArray[np.float32]]
    ) -> SeenLines:
        """Return what is known with the server's answer, which may be of a new image.

        Parameters
        ----------
        values : mapping
            ``begun``, ``since`` (number of the first row), ``line`` (lines done), ``shape`` and
            ``channels``.
        rows : mapping of str to ndarray, shape (line - since, points)
            Of each channel; empty when there is nothing new.
        """
        begun, since, done = values["begun"], values["since"], values["line"]
        arrays = self.arrays
        if begun != self.begun or since == 0:
            shape = tuple(values["shape"])
            arrays = {name: np.full(shape, np.nan, np.float32) for name in values["channels"]}
        for name, array in rows.items():
            arrays[name][since:done] = array
        return SeenLines(begun, done, arrays)
