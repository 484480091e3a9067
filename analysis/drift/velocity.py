"""How fast does the specimen drift, by the places of a series of frames?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._scan_fit import FLOOR_PX, polynomial

__all__ = ["DriftVelocity", "drift_velocity"]


@dataclass(frozen=True)
class DriftVelocity:
    """Constant velocity fitted to the places of frames.

    Parameters
    ----------
    velocity : ndarray, shape (2,)
        (rows, columns) px/s.
    per_line : ndarray, shape (2,)
        The same, px per line.
    covariance : ndarray, shape (2, 2)
        Of `velocity`, px²/s²; widened by chi2 / degrees where that is above 1.
    per_line_covariance : ndarray, shape (2, 2)
        px²/line².
    chi2, degrees : float, int
        Of the straight line; NaN if the covariances of the shifts are not known.
    """

    velocity: NDArray[np.float64]
    per_line: NDArray[np.float64]
    covariance: NDArray[np.float64]
    per_line_covariance: NDArray[np.float64]
    chi2: float
    degrees: int


def drift_velocity(
    shifts: ArrayLike,
    times: ArrayLike,
    *,
    line_s: float,
    covariances: ArrayLike | None = None,
) -> DriftVelocity:
    """Fit a constant velocity to the places of frames, and say what it does within a frame.

    Parameters
    ----------
    shifts : array_like, shape (n, 2)
        (rows, columns) px of each frame relative to a common one, as `Average.shift`.
    times : array_like, shape (n,)
        When the middle line of each was scanned, s (the start will do if all take as long).
    line_s : float
        From the start of a line to the start of the next, s.
    covariances : array_like, shape (n, 2, 2), optional
        Of the shifts, px².

    Returns
    -------
    DriftVelocity

    Raises
    ------
    ValueError
        With fewer than two frames, times that are all the same, or a line time that is not
        positive.
    """
    places, when = np.asarray(shifts, dtype=float), np.asarray(times, dtype=float)
    if places.ndim != 2 or places.shape[1] != 2 or when.shape != places.shape[:1]:
        raise ValueError(f"shifts {places.shape} and times {when.shape} must be (n, 2) and (n,)")
    if len(places) < 2 or not np.ptp(when) > 0.0:
        raise ValueError(
            f"{len(places)} frames at {np.ptp(when) if len(when) else 0:g} s from "
            "first to last give no velocity: give two at different times"
        )
    if not (np.isfinite(places).all() and np.isfinite(when).all()):
        raise ValueError("shifts and times must be finite: give accepted frames only")
    if not (np.isfinite(line_s) and line_s > 0.0):
        raise ValueError(f"line_s is {line_s}, must be a positive time, s")
    own = np.broadcast_to(np.eye(2), (len(places), 2, 2))
    if covariances is not None:
        own = np.asarray(covariances, dtype=float) + FLOOR_PX**2 * np.eye(2)
    origin, span = float(when.mean()), float(np.ptp(when))
    fit, covariance, chi2, degrees = polynomial(
        (when - origin) / span, places, own, 1, known=covariances is not None
    )
    velocity, block = fit[1] / span, covariance[2:, 2:] / span**2
    return DriftVelocity(
        velocity=velocity,
        per_line=velocity * line_s,
        covariance=block,
        per_line_covariance=block * line_s**2,
        chi2=chi2 if covariances is not None else float("nan"),
        degrees=degrees,
    )
