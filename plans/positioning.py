"""Bringing a point of the specimen to the middle of the image, many times better than the stage.

A stage misses by its play, its screw and its slip; an image tells by how much, to a few nanometres,
and the image shift takes up the rest, which no play spoils. The position meant here is that of the
specimen in the middle of the image: where the stage really is plus the image shift.

These are plan stubs: they run within an open run with the camera staged and the beam on, and leave
it to that run to blank the beam and to stop what moves (`plans._imaging_run`). Every fix on which
they act is an event of the stream of its locator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator, plan
from numpy.typing import NDArray

from analysis.atlas import Atlas, Feature
from devices.locator import Locator
from devices.microscope import Microscope
from devices.positioning import CompensatedStage
from plans._checks import checked_count
from plans._fixes import (
    Looks,
    Placement,
    PositioningError,
    asked,
    fine,
    go,
    image_shift,
    look,
    placed,
    set_image_shift,
)
from plans._grid import checked_pair
from plans._steps import triggered

__all__ = [
    "Placement",
    "PositioningError",
    "Remembered",
    "Survey",
    "closed_loop",
    "coarse_fine",
    "move_to_feature",
    "recall",
    "remember",
    "survey",
]


@dataclass(frozen=True)
class Survey:
    """Where a stage was sent and where images found it, (x, y) µm.

    Parameters
    ----------
    asked, found : ndarray, shape (n, 2)
        NaN where an image was refused.
    """

    asked: NDArray[np.float64]
    found: NDArray[np.float64]


@dataclass(frozen=True)
class Remembered:
    """A place to come back to.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        What is seen there.
    targets : dict of str to float
        Where the stage had been asked to go in x and y, µm.
    position : (float, float)
        Targets plus image shift: where the middle of the image is said to be, µm.
    matrix : ndarray, shape (2, 2)
        From pixels (columns, rows) to (x, y) µm.
    """

    image: NDArray[Any]
    targets: dict[str, float]
    position: tuple[float, float]
    matrix: NDArray[np.float64]


@plan
def closed_loop(
    tem: Microscope,
    locator: Locator,
    target: Sequence[float],
    *,
    stage: CompensatedStage | None = None,
    tolerance: float = 0.03,
    most_moves: int = 4,
) -> MsgGenerator[Placement]:
    """Move the stage until an image says that it is there; the image shift is not used.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    locator : Locator
        Finds where an image is.
    target : (x, y)
        In the frame of the locator, µm.
    stage : CompensatedStage, optional
        What moves; the goniometer itself by default. One that inverts the play without going to
        and fro corrects by less than the play; an over-travel would slip anew each time.
    tolerance : float
        Distance that is near enough, µm.
    most_moves : int
        Of the stage.

    Returns
    -------
    Placement
        Not accepted where `most_moves` were not enough.

    Raises
    ------
    PositioningError
        An image could not be placed; the stage stands where it was taken.
    """
    goal = np.array(checked_pair("target", target))
    checked_count("most_moves", most_moves)
    yield from set_image_shift(tem, np.zeros(2))
    aim = goal.copy()
    moves, residual, stderr = 0, math.inf, math.nan
    while residual > tolerance and moves < most_moves:
        yield from go(tem, stage, aim)
        moves += 1
        seen = yield from placed(tem, locator, goal)
        missing = goal - seen.position
        residual, stderr = float(np.hypot(*missing)), seen.stderr
        aim += missing
    return Placement(residual, stderr, moves, moves, residual <= tolerance)


@plan
def coarse_fine(
    tem: Microscope,
    locator: Locator,
    target: Sequence[float],
    *,
    stage: CompensatedStage | None = None,
    images: int = 1,
    interval: float = 0.0,
    lead: float = 0.0,
    most_moves: int = 2,
) -> MsgGenerator[Placement]:
    """Move the stage near a point, look, and let the image shift take up the rest.

    The image shift begins at 0. Where the rest is more than it can take, the stage is moved again.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    locator : Locator
        Finds where an image is.
    target : (x, y)
        In the frame of the locator, µm.
    stage : CompensatedStage, optional
        What moves; the goniometer itself by default.
    images : int
        At least 1; each further one corrects what has crept since the one before.
    interval : float
        Seconds between images: longer shows a drift better.
    lead : float
        Seconds from the last image to the middle of what the point is wanted for. The drift that
        two or more images show is taken to go on until then, and corrected beforehand.
    most_moves : int
        Of the stage.

    Returns
    -------
    Placement
        Its residual is that before the last correction.

    Raises
    ------
    PositioningError
        An image could not be placed, or the point is out of reach of the image shift after
        `most_moves`. The stage stands where the last image was taken.
    """
    goal = np.array(checked_pair("target", target))
    looks = Looks(images, interval, lead, most_moves)
    yield from set_image_shift(tem, np.zeros(2))
    yield from go(tem, stage, goal)
    return (yield from fine(tem, locator, goal, goal, stage, looks, moves=1))


@plan
def survey(
    tem: Microscope,
    locator: Locator,
    targets: Sequence[Sequence[float]],
    *,
    stage: CompensatedStage | None = None,
) -> MsgGenerator[Survey]:
    """Go to places and look where the specimen really is, correcting nothing.

    It tells how well a stage finds what it is sent to, and ties a learnt map to an atlas
    (`analysis.compensation.LearntMap.tied`).

    Parameters
    ----------
    tem : Microscope
        The microscope.
    locator : Locator
        Finds where an image is.
    targets : sequence of (x, y)
        µm.
    stage : CompensatedStage, optional
        What moves; the goniometer itself by default.

    Returns
    -------
    Survey
        NaN where an image was refused.
    """
    places = np.array([checked_pair("target", target) for target in targets]).reshape(-1, 2)
    yield from set_image_shift(tem, np.zeros(2))
    found = []
    for place in places:
        yield from go(tem, stage, place)
        seen = yield from look(tem, locator, place)
        found.append(seen.position)
    return Survey(places, np.array(found).reshape(-1, 2))


@plan
def remember(tem: Microscope, *, stage: CompensatedStage | None = None) -> MsgGenerator[Remembered]:
    """Take an image of a place to come back to.

    Parameters
    ----------
    tem : Microscope
        The microscope.
    stage : CompensatedStage, optional
        What will go back; the goniometer itself by default.

    Returns
    -------
    Remembered
        For `recall`.
    """
    yield from triggered(tem.camera)
    image, _ = tem.camera.last_frame
    sent = yield from asked(tem, stage)
    shift = yield from image_shift(tem)
    matrix = yield from _matrix(tem)
    x, y = (float(value) for value in sent + shift)
    targets = dict(zip("xy", sent.tolist(), strict=True))
    return Remembered(image.copy(), targets, (x, y), matrix)


@plan
def recall(
    tem: Microscope,
    remembered: Remembered,
    *,
    stage: CompensatedStage | None = None,
    images: int = 1,
    interval: float = 0.0,
    lead: float = 0.0,
    most_moves: int = 2,
) -> MsgGenerator[Placement]:
    """Go back to a remembered place: the stage first, then by its image.

    Parameters
    ----------
    tem : Microscope
        The microscope, at the magnification of the image.
    remembered : Remembered
        From `remember`.
    stage, images, interval, lead, most_moves
        As of `coarse_fine`.

    Returns
    -------
    Placement
        As of `coarse_fine`.

    Raises
    ------
    PositioningError
        The place was not recognised, or is out of reach.
    ValueError
        The scale or the size of the image has changed; nothing has moved.
    """
    matrix = yield from _matrix(tem)
    if not np.allclose(matrix, remembered.matrix, rtol=1e-6, atol=0.0):
        raise ValueError(
            f"a pixel is now {_pixel_nm(matrix):.4g} nm, that of the remembered image "
            f"{_pixel_nm(remembered.matrix):.4g} nm: go back to its magnification first"
        )
    position = np.array([remembered.position])
    atlas = Atlas([remembered.image], position, np.zeros((1, 2, 2)), remembered.matrix)
    locator = Locator(tem, atlas.locate, name=f"{tem.name}_recall")
    return (
        yield from coarse_fine(
            tem,
            locator,
            position[0],
            stage=stage,
            images=images,
            interval=interval,
            lead=lead,
            most_moves=most_moves,
        )
    )


@plan
def move_to_feature(
    tem: Microscope,
    template: NDArray[Any],
    *,
    stage: CompensatedStage | None = None,
    images: int = 2,
    most_moves: int = 2,
) -> MsgGenerator[Placement]:
    """Find something in the field and bring it to the middle.

    Parameters
    ----------
    tem : Microscope
        The microscope, at the magnification of the template.
    template : ndarray, shape (rows, columns)
        What to find, no larger than the field.
    stage, images, most_moves
        As of `coarse_fine`; the stage moves only where the image shift cannot reach.

    Returns
    -------
    Placement
        As of `coarse_fine`.

    Raises
    ------
    PositioningError
        It was not found, or found twice, or is out of reach.
    ValueError
        The template is larger than the field; nothing has moved.
    """
    looks = Looks(images, 0.0, 0.0, most_moves)
    rows, columns = tem.camera.shape.get()
    if np.ndim(template) != 2 or template.shape[0] > rows or template.shape[1] > columns:
        raise ValueError(
            f"the template has shape {np.shape(template)}, must fit the field, {(rows, columns)}"
        )
    feature = Feature(np.asarray(template), (yield from _matrix(tem)))
    locator = Locator(tem, feature.locate, name=f"{tem.name}_feature")
    aim = yield from asked(tem, stage)
    return (yield from fine(tem, locator, np.zeros(2), aim, stage, looks, moves=0))


def _matrix(tem: Microscope) -> MsgGenerator[NDArray[np.float64]]:
    """From pixels (columns, rows) to (x, y) µm."""
    pixel_nm = yield from bps.rd(tem.camera.pixel_size, default_value=1.0)
    turned = yield from bps.rd(tem.camera.to_stage, default_value=np.eye(2).ravel())
    return 1e-3 * pixel_nm * np.reshape(turned, (2, 2))


def _pixel_nm(matrix: NDArray[np.float64]) -> float:
    return 1e3 * math.sqrt(abs(float(np.linalg.det(matrix))))
