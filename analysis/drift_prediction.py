"""Where will a drifting specimen be a moment from now?

A straight line through its last positions, as the drift criteria of automated tomography take it;
the velocity has a prior of zero, so that fixes too poor to show a drift predict none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Drifted", "predict_drift"]

# Chosen: 60 nm held back by o-rings that let go in 4 s (reference model) move at 15 nm/s at first.
_PRIOR_VELOCITY = 0.015  # µm/s, standard deviation


@dataclass(frozen=True)
class Drifted:
    """A predicted position.

    Parameters
    ----------
    position : ndarray, shape (2,)
        (x, y), µm.
    covariance : ndarray, shape (2, 2)
        If the drift goes on as it was, µm².
    velocity : ndarray, shape (2,)
        µm/s.
    """

    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    velocity: NDArray[np.float64]


def predict_drift(
    time: ArrayLike, position: ArrayLike, covariance: ArrayLike, *, at: float
) -> Drifted:
    """Continue the drift of a specimen at rest.

    Parameters
    ----------
    time : array_like, shape (n,)
        Of each fix, s; n from 1.
    position : array_like, shape (n, 2)
        Fixes (x, y), µm.
    covariance : array_like, shape (n, 2, 2)
        Of each, µm².
    at : float
        When, s on the clock of `time`.

    Returns
    -------
    Drifted

    Raises
    ------
    ValueError
        If there is no fix, or shapes do not agree.
    """
    when = np.asarray(time, dtype=float)
    places = np.asarray(position, dtype=float)
    spread = np.asarray(covariance, dtype=float)
    n = len(when)
    if n == 0 or places.shape != (n, 2) or spread.shape != (n, 2, 2):
        raise ValueError(
            f"{when.shape} times, {places.shape} positions and {spread.shape} covariances: "
            "(n,), (n, 2) and (n, 2, 2) are needed, n from 1"
        )
    # unknowns: place at the last fix, velocity; from the last place, to keep the numbers small
    information = np.zeros((4, 4))
    information[2:, 2:] = np.eye(2) / _PRIOR_VELOCITY**2
    moment = np.zeros(4)
    for since, place, own in zip(when - when[-1], places - places[-1], spread, strict=True):
        design = np.hstack([np.eye(2), since * np.eye(2)])
        weighted = design.T @ np.linalg.inv(own)
        information += weighted @ design
        moment += weighted @ place
    unknown = np.linalg.inv(information)
    line = unknown @ moment
    design = np.hstack([np.eye(2), (at - when[-1]) * np.eye(2)])
    return Drifted(places[-1] + design @ line, design @ unknown @ design.T, line[2:])
