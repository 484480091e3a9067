"""What positioning stubs share: a look at where the stage is, and the image shift to correct it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator
from numpy.typing import NDArray

from analysis.drift_prediction import predict_drift
from devices.locator import Locator
from devices.microscope import Microscope
from devices.positioning import CompensatedStage
from plans._checks import checked_count, not_negative
from plans._steps import read_into, triggered

__all__ = [
    "Looks",
    "Placement",
    "PositioningError",
    "asked",
    "fine",
    "go",
    "image_shift",
    "look",
    "placed",
    "set_image_shift",
]

_NM_PER_UM = 1e3
_TRIES = 5  # to reach a place though pauses break the move off
_SAME_UM = 1e-3
_SURE = 1e-12  # µm²: of a dry run, in which nobody looks
_FIX = ("x", "y", "stderr_x", "stderr_y", "accepted", "reason")


class PositioningError(RuntimeError):
    """A point was not found, or cannot be reached."""


@dataclass(frozen=True)
class Placement:
    """How a point was brought to the middle of the image.

    Parameters
    ----------
    residual : float
        Its distance from there at the last image, before what was corrected after it, µm.
    stderr : float
        Standard error of the last fix, the worse of x and y, µm.
    moves, images : int
        Of the stage, and for finding where it is.
    accepted : bool
        Whether it is where it was wanted, as far as the images tell.
    """

    residual: float
    stderr: float
    moves: int
    images: int
    accepted: bool


@dataclass(frozen=True)
class Seen:
    """What an image told: where its middle is (µm), and when (s, the instrument's clock)."""

    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    time: float
    accepted: bool
    reason: str

    @property
    def stderr(self) -> float:
        """Standard error, the worse of x and y, µm."""
        return float(np.sqrt(np.diag(self.covariance).max()))


@dataclass(frozen=True)
class Looks:
    """How often to look before the point counts as in place.

    Parameters
    ----------
    images : int
        That correct; at least 1.
    interval : float
        Seconds from one to the next.
    lead : float
        Seconds from the last to the middle of what the point is wanted for: the specimen is
        corrected for its drift until then, as far as the images show one. 0 for none.
    most_moves : int
        Of the stage.
    """

    images: int
    interval: float
    lead: float
    most_moves: int

    def __post_init__(self) -> None:
        for name in ("images", "most_moves"):
            checked_count(name, getattr(self, name))
        for name in ("interval", "lead"):
            not_negative(name, getattr(self, name), "s")


def fine(
    tem: Microscope,
    locator: Locator,
    goal: NDArray[np.float64],
    aim: NDArray[np.float64],
    stage: CompensatedStage | None,
    looks: Looks,
    *,
    moves: int,
) -> MsgGenerator[Placement]:
    """Let the image shift take up what an image says is missing, the stage what it cannot.

    Parameters
    ----------
    goal, aim : ndarray, shape (2,)
        Where the middle of the image shall be, in the frame of the locator, and where the stage
        was sent for it, µm.
    moves : int
        Of the stage so far.
    """
    taken, aim = 0, aim.copy()
    since_move: list[tuple[float, NDArray[np.float64], NDArray[np.float64]]] = []
    while True:
        seen = yield from placed(tem, locator, goal)
        taken += 1
        missing = goal - seen.position
        shifted = yield from image_shift(tem)
        since_move.append((seen.time, seen.position - shifted, seen.covariance))
        last = len(since_move) == looks.images
        shift = goal - _foreseen(since_move, looks.lead if last else 0.0)
        if _within(tem, shift):
            yield from set_image_shift(tem, shift)
            if last:
                residual = float(np.hypot(*missing))
                return Placement(residual, seen.stderr, moves, taken, True)
            if looks.interval:
                yield from bps.sleep(looks.interval)
            continue
        if moves >= looks.most_moves:
            raise PositioningError(
                f"{locator.name}: {np.hypot(*missing):.3f} µm are missing after {moves} moves, "
                f"more than the image shift takes, {tem.column.image_shift_x.limits[1]:g} nm"
            )
        aim += shift
        yield from set_image_shift(tem, np.zeros(2))
        yield from go(tem, stage, aim)
        moves += 1
        since_move.clear()


def _foreseen(
    fixes: Sequence[tuple[float, NDArray[np.float64], NDArray[np.float64]]], lead: float
) -> NDArray[np.float64]:
    """Where the stage is, without image shift, at its last fix or `lead` seconds after, µm."""
    time, position, covariance = (list(column) for column in zip(*fixes, strict=True))
    if not lead:
        return position[-1]
    return predict_drift(time, position, covariance, at=time[-1] + lead).position


def go(
    tem: Microscope, stage: CompensatedStage | None, place: NDArray[np.float64]
) -> MsgGenerator[None]:
    """Send x and y to a place, (x, y) µm, by `stage` or else by the goniometer.

    Again where a pause broke the move off.
    """
    mover = tem.goniometer if stage is None else stage
    stands = np.full(2, np.nan)
    for _ in range(_TRIES):
        yield from bps.mv(mover, {"x": float(place[0]), "y": float(place[1])})
        stands = yield from asked(tem, stage, default=place)
        if np.allclose(stands, place, rtol=0.0, atol=_SAME_UM):
            return
    raise PositioningError(
        f"{mover.name} stands at ({stands[0]:.3f}, {stands[1]:.3f}) µm and did not reach "
        f"({place[0]:.3f}, {place[1]:.3f}) µm in {_TRIES} moves"
    )


def asked(
    tem: Microscope,
    stage: CompensatedStage | None,
    default: NDArray[np.float64] | None = None,
) -> MsgGenerator[NDArray[np.float64]]:
    """Where the stage that moves was last asked to go, (x, y) µm; `default` in a dry run."""
    mover = tem.goniometer if stage is None else stage
    x, y = (0.0, 0.0) if default is None else (float(value) for value in default)
    x = yield from bps.rd(mover.x.target, default_value=x)
    y = yield from bps.rd(mover.y.target, default_value=y)
    return np.array([x, y])


def placed(tem: Microscope, locator: Locator, supposed: NDArray[np.float64]) -> MsgGenerator[Seen]:
    """Look, and insist on an answer."""
    seen = yield from look(tem, locator, supposed)
    if not seen.accepted:
        raise PositioningError(f"{locator.name}: {seen.reason}")
    return seen


def look(tem: Microscope, locator: Locator, supposed: NDArray[np.float64]) -> MsgGenerator[Seen]:
    """Take an image and find where it is, into an event of the locator's stream.

    The frame itself is not read: its file belongs to the stream in which the run records images.

    Parameters
    ----------
    supposed : ndarray, shape (2,)
        Where it is in a dry run, in which nobody looks, (x, y) µm.
    """
    yield from triggered(tem.camera)
    yield from triggered(locator)
    reading = yield from read_into(locator.name, locator, tem.column, tem.goniometer)
    if not reading:
        return Seen(supposed, _SURE * np.eye(2), 0.0, True, "a dry run")
    value = {signal: reading[getattr(locator, signal).name]["value"] for signal in _FIX}
    return Seen(
        np.array([value["x"], value["y"]]),
        np.diag([value["stderr_x"], value["stderr_y"]]) ** 2,
        (yield from bps.rd(tem.camera.time)),
        bool(value["accepted"]),
        value["reason"],
    )


def image_shift(tem: Microscope) -> MsgGenerator[NDArray[np.float64]]:
    """Image shift, (x, y) µm."""
    x = yield from bps.rd(tem.column.image_shift_x, default_value=0.0)
    y = yield from bps.rd(tem.column.image_shift_y, default_value=0.0)
    return np.array([x, y]) / _NM_PER_UM


def set_image_shift(tem: Microscope, shift: NDArray[np.float64]) -> MsgGenerator[None]:
    """Set the image shift, (x, y) µm."""
    x, y = (float(_NM_PER_UM * value) for value in shift)
    # one after the other: both write the same pair of deflectors
    yield from bps.mv(tem.column.image_shift_x, x)
    yield from bps.mv(tem.column.image_shift_y, y)


def _within(tem: Microscope, shift: NDArray[np.float64]) -> bool:
    signals = (tem.column.image_shift_x, tem.column.image_shift_y)
    return all(
        signal.limits[0] <= _NM_PER_UM * value <= signal.limits[1]
        for signal, value in zip(signals, shift, strict=True)
    )
