"""Where a feature lies about the tilt axis, and in which order a series goes through its tilts.

A feature that lies `y_offset` beside the tilt axis and `z_offset` above it goes round that axis,

    y(a) = y_offset cos(a) - z_offset sin(a),    z(a) = y_offset sin(a) + z_offset cos(a)

(the model of Zheng et al., Ultramicroscopy 103 (2005) 15, and of Leginon's prediction). Positions
are those of the field of view on the specimen. Lengths are in µm, tilts in degrees; the tilt axis
lies along x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SCHEMES", "TiltGeometry", "fit_tilt_geometry", "tilt_scheme", "turned"]

SCHEMES = ("dose-symmetric", "continuous", "bidirectional")

_PARAMETERS = 3  # of the geometry: the two offsets and where the feature is at no tilt


@dataclass(frozen=True)
class TiltGeometry:
    """Where a feature lies about the tilt axis.

    Parameters
    ----------
    y_offset, z_offset : float
        Beside the axis and above it, µm. Moving the specimen by ``-z_offset`` along z brings it to
        the eucentric height.
    covariance : ndarray, shape (2, 2)
        Of the two, µm².
    scatter : float
        Root mean square of what the geometry does not explain, per degree of freedom, µm; NaN with
        three tilts, which leave nothing over.
    """

    y_offset: float
    z_offset: float
    covariance: NDArray[np.float64]
    scatter: float

    @property
    def stderr(self) -> NDArray[np.float64]:
        """Standard errors of `y_offset` and `z_offset`, µm."""
        return np.sqrt(np.diag(self.covariance))


def turned(alpha: ArrayLike, y_offset: float, z_offset: float) -> NDArray[np.float64]:
    """Return how far a feature has moved from where it is at no tilt.

    Parameters
    ----------
    alpha : array_like, shape (...)
        Tilts, degrees.
    y_offset, z_offset : float
        Place of the feature beside and above the tilt axis, µm.

    Returns
    -------
    ndarray, shape (2, ...)
        Along y and along z, µm; the latter is the change of focus.
    """
    angle = np.radians(alpha)
    cos, sin = np.cos(angle) - 1.0, np.sin(angle)
    return np.stack([y_offset * cos - z_offset * sin, y_offset * sin + z_offset * cos])


def fit_tilt_geometry(alpha: ArrayLike, y: ArrayLike, stderr: ArrayLike) -> TiltGeometry:
    """Find where a feature lies about the tilt axis from where it is at several tilts.

    Least squares, weighted by `stderr`; where the feature strays from the geometry by more than
    that, the errors of the result are those of the straying.

    Parameters
    ----------
    alpha : array_like, shape (n,)
        Tilts, degrees; at least three that differ.
    y : array_like, shape (n,)
        Position of the feature across the tilt axis, µm, from any origin.
    stderr : array_like, shape (n,) or ()
        Standard errors of `y`, µm.

    Returns
    -------
    TiltGeometry

    Raises
    ------
    ValueError
        When the shapes do not agree, a number is not finite or there are fewer than three tilts.
    """
    tilts, positions = np.asarray(alpha, float), np.asarray(y, float)
    errors = np.broadcast_to(np.asarray(stderr, float), positions.shape)
    if tilts.ndim != 1 or tilts.shape != positions.shape:
        raise ValueError(f"alpha has shape {tilts.shape}, y {positions.shape}: one y for each tilt")
    if not (np.isfinite(tilts).all() and np.isfinite(positions).all() and (errors > 0).all()):
        raise ValueError("alpha, y or stderr is not allowed: finite numbers, stderr above 0")
    if np.unique(tilts).size < _PARAMETERS:
        raise ValueError(
            f"alpha has {np.unique(tilts).size} different tilts: at least 3 are needed"
        )
    angle = np.radians(tilts)
    design = np.stack([np.cos(angle) - 1.0, -np.sin(angle), np.ones_like(angle)], axis=1)
    weighted = design / errors[:, None]
    found, *_ = np.linalg.lstsq(weighted, positions / errors, rcond=None)
    inverse = np.asarray(np.linalg.inv(weighted.T @ weighted), np.float64)
    freedom = tilts.size - _PARAMETERS
    chi2 = float(np.sum(((positions - design @ found) / errors) ** 2))
    excess = max(1.0, chi2 / freedom) if freedom else 1.0
    scatter = (
        math.sqrt(np.sum((positions - design @ found) ** 2) / freedom) if freedom else math.nan
    )
    return TiltGeometry(float(found[0]), float(found[1]), excess * inverse[:2, :2], scatter)


def tilt_scheme(start: float, stop: float, step: float, scheme: str) -> list[float]:
    """Return the tilts of a series in the order in which they are taken.

    ``"continuous"`` goes from `start` to `stop`; ``"bidirectional"`` from the least tilt up to
    `stop` and then from there down to `start`; ``"dose-symmetric"`` from the least tilt outwards,
    the sides in turn (Hagen et al., J. Struct. Biol. 197 (2017) 191).

    Parameters
    ----------
    start, stop : float
        Least and greatest tilt, degrees.
    step : float
        Between neighbours, degrees.
    scheme : str
        Of `SCHEMES`.

    Returns
    -------
    list of float
        Degrees.

    Raises
    ------
    ValueError
        When the scheme is unknown or the numbers make no series.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme is {scheme!r}: choose of {', '.join(SCHEMES)}")
    if not (all(map(math.isfinite, (start, stop, step))) and start < stop and step > 0):
        raise ValueError(
            f"tilts {start:g} to {stop:g} deg by {step:g} deg: finite, from low to high and a step "
            "above 0 are needed"
        )
    count = math.floor((stop - start) / step + 1e-9)
    tilts = [float(start + k * step) for k in range(count + 1)]
    if scheme == "continuous":
        return tilts
    first = min(range(count + 1), key=lambda k: abs(tilts[k]))
    above, below = tilts[first + 1 :], tilts[:first][::-1]
    order = [tilts[first]]
    if scheme == "bidirectional":
        return order + above + below
    taken = 1  # then two a side: the next tilt is beside the last, and then on the other side
    while above or below:
        order += above[:taken]
        above, below, taken = below, above[taken:], 2
    return order
