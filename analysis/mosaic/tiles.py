"""How does each new field of a mosaic lie to the fields beside it, as the fields arrive?

A field is registered against every earlier one that the stage says it overlaps, on windows cut to
the expected overlap and the stage's error: at 20 % overlap these hold a quarter of the pixels of
the fields, and no two pairs share a window, so that a transform of the whole field, kept, would
cost more than the transforms it saves. Images are kept as they came, the last few of them; older
ones are asked for again.

A field is scanned line by line while the specimen drifts, so that what two fields share was seen
at different times: fields at rows r1 and r2 of a mosaic give a shift that is wrong by
-(r2 - r1)/rows of the drift in a frame. No loop shows it - a mosaic sheared by its drift closes -
and no pair can; it is told by `drift_sigma`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..positions import Pair, Positions, solve_positions
from ..registration import register as _register

__all__ = ["Neighbour", "Register", "TileStream"]

# Windows reach this many standard deviations of the stage beyond the expected overlap; less
# overlap than this many pixels is not tried (registration needs 16).
_REACH = 2.0
_LEAST_WINDOW = 32


class _Registered(Protocol):
    @property
    def shift(self) -> NDArray[np.float64]: ...
    @property
    def covariance(self) -> NDArray[np.float64]: ...
    @property
    def accepted(self) -> bool: ...
    @property
    def reason(self) -> str: ...


class Register(Protocol):
    """What registers two windows: `analysis.registration.register`, or a peer."""

    def __call__(
        self, fixed: NDArray[Any], moving: NDArray[Any], *, expected: Any, expected_sigma: Any
    ) -> _Registered:
        """Register two images of equal shape, the shift expected in px."""
        ...


@dataclass(frozen=True)
class Neighbour:
    """One registration of a new field against an earlier one.

    Parameters
    ----------
    pair : Pair or None
        None if it was refused.
    first, second : int
        The earlier and the new field.
    accepted : bool
    reason : str
        In words, why it was accepted or refused.
    """

    pair: Pair | None
    first: int
    second: int
    accepted: bool
    reason: str


class TileStream:
    """Registers fields as they arrive and solves for their positions at any time.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of every field.
    expected_sigma : float or (rows, columns)
        Standard deviation of one expected position, px.
    load : callable(number) -> ndarray, optional
        Gives the image of an earlier field again; needed where a field meets one that came more
        than `keep` fields before it.
    keep : int
        Fields held in memory.
    least_share : float
        Least share of the field that must be expected to overlap, 0..1; the default takes in the
        diagonal neighbours at 20 % overlap, which close the shortest loops.
    drift_sigma : float
        Standard deviation of the specimen's drift during a frame, px: its part in the covariances
        of the positions, for nothing in the images can tell it.
    workers : int
        Threads that register the pairs of one field; the numbers do not depend on it.
    register : callable
        As `analysis.registration.register`.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        expected_sigma: float | Sequence[float] | NDArray[Any],
        *,
        load: Callable[[int], NDArray[Any]] | None = None,
        keep: int = 48,
        least_share: float = 0.03,
        drift_sigma: float = 0.0,
        workers: int = 1,
        register: Register = _register,
    ) -> None:
        sigma = np.asarray(expected_sigma, dtype=float)
        if sigma.shape not in ((), (2,)) or not (np.isfinite(sigma) & (sigma > 0)).all():
            raise ValueError(
                f"expected_sigma is {expected_sigma!r}, must be one or two positive numbers, px"
            )
        if not 0.0 < least_share < 1.0:
            raise ValueError(f"least_share is {least_share}, must lie between 0 and 1")
        for name, value, unit in (("keep", keep, "field"), ("workers", workers, "thread")):
            if value < 1:
                raise ValueError(f"{name} is {value}, must be at least 1 {unit}")
        if not (np.isfinite(drift_sigma) and drift_sigma >= 0.0):
            raise ValueError(f"drift_sigma is {drift_sigma}, must be finite and 0 or more, px")
        self._shape = np.array(shape)
        self._sigma = np.broadcast_to(sigma, (2,)).astype(float)
        self._load = load
        self._keep = keep
        self._least_share = least_share
        self._drift_sigma = drift_sigma
        self._workers = workers
        self._register = register
        self._expected: list[NDArray[np.float64]] = []
        self._missing: dict[int, str] = {}
        self._images: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._found: list[Neighbour] = []

    @property
    def expected(self) -> NDArray[np.float64]:
        """Expected positions of the fields so far, shape (n, 2), (rows, columns) px."""
        return np.array(self._expected).reshape(-1, 2)

    @property
    def found(self) -> tuple[Neighbour, ...]:
        """All registrations so far."""
        return tuple(self._found)

    @property
    def pairs(self) -> list[Pair]:
        """The accepted ones."""
        return [item.pair for item in self._found if item.pair is not None]

    def add(self, image: NDArray[Any], expected: ArrayLike) -> list[Neighbour]:
        """Take the next field and register it against its neighbours.

        Parameters
        ----------
        image : ndarray, shape (rows, columns)
        expected : (rows, columns)
            Where the stage says its first pixel lies, px.

        Returns
        -------
        list of Neighbour
            In the order of the earlier fields; empty if there is no neighbour.

        Raises
        ------
        ValueError
            If the shape is another one or the position not finite. A field that cannot be
            registered (constant, NaN) is kept, with its neighbours refused.
        """
        image = np.asarray(image)
        place = np.asarray(expected, dtype=float)
        shape = self._shape.tolist()
        if image.shape != tuple(shape):
            raise ValueError(f"the field has shape {image.shape}, must be {tuple(shape)}")
        if place.shape != (2,) or not np.isfinite(place).all():
            raise ValueError(f"expected is {expected!r}, must be finite (rows, columns) px")
        found = self._meet_all(place, image)
        self._remember(len(self._expected) - 1, image)
        return found

    def skip(self, expected: ArrayLike, reason: str) -> list[Neighbour]:
        """Take a field whose image is not there: its pairs are refused with the reason.

        Parameters
        ----------
        expected : (rows, columns)
            Where the stage says its first pixel lies, px.
        reason : str
            Why there is no image.

        Returns
        -------
        list of Neighbour
            In the order of the earlier fields, all refused.
        """
        place = np.asarray(expected, dtype=float)
        if place.shape != (2,) or not np.isfinite(place).all():
            raise ValueError(f"expected is {expected!r}, must be finite (rows, columns) px")
        self._missing[len(self._expected)] = reason
        return self._meet_all(place, None)

    def positions(self) -> Positions:
        """Solve for the positions of the fields so far."""
        found = solve_positions(self.pairs, self.expected, self._sigma)
        drift = self._drift_covariance(found)
        return replace(
            found,
            covariance=found.covariance + drift,
            relative_covariance=found.relative_covariance + drift,
        )

    def _drift_covariance(self, found: Positions) -> NDArray[np.float64]:
        """What a drift of one frame's `drift_sigma` does to the positions, shape (n, 2, 2) px².

        A pair of fields whose first rows are r1 and r2 has its shift wrong by -(r2 - r1)/rows of
        it, and this adds up from row to row. A drift that stays the same moves each position by its
        own distance from the middle of its group, its lever; one that changes in about the time of
        the mosaic (a velocity that walks at random) moves the middle as well, and the variance is
        that of the lever plus the mean of all levers'.
        """
        rows, group = found.position[:, 0], found.group
        members = np.bincount(group)
        middle = np.bincount(group, rows) / members
        lever = (rows - middle[group]) / self._shape[0]
        variance = lever**2 + (np.bincount(group, lever**2) / members)[group]
        return (variance * self._drift_sigma**2)[:, None, None] * np.eye(2)

    def _near(self, place: NDArray[np.float64]) -> list[int]:
        if not self._expected:
            return []
        common = np.clip(self._shape - np.abs(place - self.expected), 0.0, None)
        enough = common.prod(axis=1) >= self._least_share * self._shape.prod()
        return np.flatnonzero(enough).tolist()

    def _meet_all(self, place: NDArray[np.float64], image: NDArray[Any] | None) -> list[Neighbour]:
        number = len(self._expected)
        near = self._near(place)
        missing = {first: self._missing[first] for first in near if first in self._missing}
        if image is None:
            missing = dict.fromkeys(near, self._missing[number])
        found = {
            first: Neighbour(None, first, number, False, f"refused: {reason}")
            for first, reason in missing.items()
        }
        meetings = []
        for first in near:
            if first in found or image is None:
                continue
            try:
                meetings.append((first, number, self._image(first), image, place))
            except (ValueError, OSError) as error:
                found[first] = Neighbour(None, first, number, False, f"refused: {error}")
        for neighbour in self._registered(meetings):
            found[neighbour.first] = neighbour
        self._expected.append(place)
        in_order = [found[first] for first in near]
        self._found += in_order
        return in_order

    def _registered(self, meetings: list[tuple[Any, ...]]) -> list[Neighbour]:
        if self._workers == 1 or len(meetings) < 2:
            return [self._meet(*meeting) for meeting in meetings]
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda meeting: self._meet(*meeting), meetings))

    def _meet(
        self,
        first: int,
        second: int,
        fixed: NDArray[Any],
        moving: NDArray[Any],
        place: NDArray[np.float64],
    ) -> Neighbour:
        expected = place - self._expected[first]
        windows = [
            _windows(float(d), float(s), int(n))
            for d, s, n in zip(expected, np.sqrt(2.0) * self._sigma, self._shape, strict=True)
        ]
        at_fixed, at_moving = (tuple(w[i] for w in windows) for i in range(2))
        offset = np.array([a.start - b.start for a, b in zip(at_fixed, at_moving, strict=True)])
        try:
            found = self._register(
                fixed[at_fixed],
                moving[at_moving],
                expected=expected - offset,
                expected_sigma=np.sqrt(2.0) * self._sigma,
            )
        except ValueError as error:
            # one blank field costs its own pairs, not the mosaic
            return Neighbour(None, first, second, False, f"refused: {error}")
        pair = None
        if found.accepted:
            pair = Pair(first, second, found.shift + offset, found.covariance)
        return Neighbour(pair, first, second, found.accepted, found.reason)

    def _image(self, number: int) -> NDArray[Any]:
        if number not in self._images:
            if self._load is None:
                raise ValueError(
                    f"field {number} is no longer in memory: give load, or keep more than "
                    f"{self._keep} fields"
                )
            self._remember(number, np.asarray(self._load(number)))
        self._images.move_to_end(number)
        return self._images[number]

    def _remember(self, number: int, image: NDArray[Any]) -> None:
        self._images[number] = image
        while len(self._images) > self._keep:
            self._images.popitem(last=False)


def _windows(expected: float, sigma: float, length: int) -> tuple[slice, slice]:
    """Parts of the fixed and the moving field, along one axis, that may show the same specimen."""
    width = round(length - abs(expected) + _REACH * sigma)
    width = min(length, max(width, _LEAST_WINDOW))
    low, high = slice(0, width), slice(length - width, length)
    return (high, low) if expected > 0 else (low, high)
