"""How does the specimen drift while a frame is scanned, and how do lines jump?

Two scans of one field, line by line: `measure_drift` finds by how much they move against each
other as a polynomial of the scan line, and how much single lines jump. What both scans do alike
a pair scanned in the same direction cannot tell. `measure_common_drift` can, from a second scan
whose slow direction is reversed or turned by 90° (Sang & LeBeau, Ultramicroscopy 138 (2014) 28;
Ophus, Ciston & Nelson, Ultramicroscopy 162 (2016) 1), and `drift_velocity` from the places of a
series of frames. `average_series` averages such a series.

A drift is the movement of the beam over the specimen: where a scan drifts by v px per line, line i
shows the specimen v (i - (n - 1) / 2) px beyond its place, the middle line at its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..registration._displacement import sandwich
from ._jitter import line_jitter
from ._scan_fit import FLOOR_PX, Model, bands, fit, polynomial, registered, strips
from .averaging import Average, LeftOut, average_series
from .velocity import DriftVelocity, drift_velocity

__all__ = [
    "Average",
    "CommonDrift",
    "Drift",
    "DriftVelocity",
    "LeftOut",
    "average_series",
    "drift_velocity",
    "measure_common_drift",
    "measure_drift",
]

# Longer than the filter reaches, shorter than a drift bends.
_BANDS, _BAND_LINES = 12, (8, 32)
_SEGMENTS = 8
_TILE = 32
_LEAST_BANDS = 4


@dataclass(frozen=True)
class Drift:
    """Displacement of a scan relative to another of the same field, line by line.

    Parameters
    ----------
    shift : ndarray, shape (2,)
        (rows, columns) px at the middle line of the moving scan; sign of
        `registration.Registration.shift`. NaN, as all else, if not accepted.
    velocity : ndarray, shape (2,)
        Its change from line to line, px per line: drift of the moving scan less that of the fixed
        one. What both have in common does not show.
    coefficients : ndarray, shape (order + 1, 2)
        Of the powers of (line - middle), px per lineᵏ; the first two are `shift` and `velocity`.
    covariance : ndarray, shape (2 (order + 1), 2 (order + 1))
        Of ``coefficients.ravel()``; widened by chi2 / degrees where that is above 1.
    jitter, jitter_stderr : ndarray, shape (2,)
        Root mean square jump of one line of one scan (across, along the line) px, and its standard
        error, noise removed; both scans taken to jump alike and independently. Where none is
        seen, 0 with the jitter that would just be seen (one standard error).
    lines, displacement, displacement_covariance : ndarray, shapes (m,), (m, 2), (m, 2, 2)
        Middle line and displacement of each band of lines, px, and its covariance from noise and
        jitter, px².
    chi2, degrees : float, int
        Of the polynomial against the bands: much above `degrees`, the drift is no such polynomial.
    accepted, reason : bool, str
        Whether the two show the same specimen, and why (not).
    """

    shift: NDArray[np.float64]
    velocity: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    jitter: NDArray[np.float64]
    jitter_stderr: NDArray[np.float64]
    lines: NDArray[np.float64]
    displacement: NDArray[np.float64]
    displacement_covariance: NDArray[np.float64]
    chi2: float
    degrees: int
    accepted: bool
    reason: str

    @property
    def stderr(self) -> NDArray[np.float64]:
        """Standard errors of `coefficients`, shape (order + 1, 2)."""
        return np.sqrt(np.diag(self.covariance)).reshape(-1, 2)

    def at(self, lines: ArrayLike, middle: float) -> NDArray[np.float64]:
        """Displacement at each line, shape (..., 2) px; `middle` is (rows - 1) / 2."""
        away = np.asarray(lines, dtype=float) - middle
        powers = away[..., None] ** np.arange(len(self.coefficients))
        return powers @ self.coefficients


@dataclass(frozen=True)
class CommonDrift:
    """Constant drift of two scans of one field in different slow directions.

    Parameters
    ----------
    fixed_velocity, moving_velocity : ndarray, shape (2,)
        (rows, columns) px per line of each scan, in the order it was scanned; from scans in
        opposite directions both are taken to be alike.
    covariance : ndarray, shape (4, 4)
        Of (fixed_velocity, moving_velocity), px²/line².
    shift : ndarray, shape (2,)
        Of the middle of the moving scan, (rows, columns) px.
    accepted, reason : bool, str
    """

    fixed_velocity: NDArray[np.float64]
    moving_velocity: NDArray[np.float64]
    covariance: NDArray[np.float64]
    shift: NDArray[np.float64]
    accepted: bool
    reason: str

    @property
    def stderr(self) -> NDArray[np.float64]:
        """Standard errors of the velocity of the fixed and of the moving scan, shape (2, 2)."""
        return np.sqrt(np.diag(self.covariance)).reshape(2, 2)


def measure_drift(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    order: int = 1,
    expected: Sequence[float] | NDArray[Any] | None = None,
    expected_sigma: float | Sequence[float] | NDArray[Any] | None = None,
    min_overlap: float = 0.5,
) -> Drift:
    """Measure how two scans of one field move against each other.

    Parameters
    ----------
    fixed, moving : array_like, shape (rows, columns)
        Two scans whose lines are the rows, in the order they were scanned.
    order : int
        Of the polynomial, 0 to 4.
    expected, expected_sigma, min_overlap
        As in `registration.register`.

    Returns
    -------
    Drift

    Raises
    ------
    ValueError
        As `registration.register`; with an order that is not allowed, or fewer than 96 rows or
        columns.
    """
    if order not in range(5):
        raise ValueError(f"order is {order}, must be 0, 1, 2, 3 or 4")
    first, second, found = registered(fixed, moving, expected, expected_sigma, min_overlap)
    if not found.accepted:
        return _no_drift(found.reason, order)
    length, width = first.shape
    middle, half = 0.5 * (length - 1), 0.5 * length
    powers = np.arange(order + 1)

    def basis(rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        away = ((rows - middle) / half)[:, None] ** powers
        each = np.einsum("rk,ij->rikj", away, np.eye(2)).reshape(len(rows), 2, -1)
        return np.repeat(each[:, None], len(columns), axis=1)

    model = Model(
        basis,
        np.arange(0, length, int(np.clip(length // _BANDS, *_BAND_LINES))),
        np.linspace(0, width, _SEGMENTS, endpoint=False).astype(int),
    )
    start = np.zeros((order + 1, 2))
    start[0] = found.shift
    if order:
        slope, start[0] = strips(first, second, found.shift, axis=0)
        start[1] = half * slope
    fitted = fit(first, second, start.ravel(), model)
    if fitted is None:
        return _no_drift("refused: the displacement along the scan was not found", order)
    smooth = basis(np.arange(length), np.zeros(1))[:, 0] @ fitted.parameters
    jitter = line_jitter(first, second, smooth)
    seen = bands(fitted, model, 2.0 * jitter.covariance)
    if len(seen.lines) < max(_LEAST_BANDS, order + 2):
        return _no_drift(f"refused: only {len(seen.lines)} bands of lines show the specimen", order)
    coefficients, covariance, chi2, degrees = polynomial(
        (seen.lines - middle) / half, seen.displacement, seen.covariance, order
    )
    unit = half ** -powers.astype(float)
    coefficients = coefficients * unit[:, None]
    rms, error = jitter.rms()
    return Drift(
        shift=coefficients[0],
        velocity=coefficients[1] if order else np.zeros(2),
        coefficients=coefficients,
        covariance=covariance * np.outer(np.repeat(unit, 2), np.repeat(unit, 2)),
        jitter=rms,
        jitter_stderr=error,
        lines=seen.lines,
        displacement=seen.displacement,
        displacement_covariance=seen.covariance,
        chi2=chi2,
        degrees=degrees,
        accepted=True,
        reason=f"accepted: {len(seen.lines)} bands of lines, chi2 {chi2:.0f} of {degrees} degrees",
    )


def measure_common_drift(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    moving_scan: Literal["up", "right"],
    expected: Sequence[float] | NDArray[Any] | None = None,
    expected_sigma: float | Sequence[float] | NDArray[Any] | None = None,
    min_overlap: float = 0.5,
) -> CommonDrift:
    """Measure the drift that two scans of one field have in common.

    Scanned in the same direction, both are deformed alike. Scanned from below, the moving one is
    stretched where the fixed one is squeezed; scanned with its lines upright, its drift goes with
    the columns.

    Parameters
    ----------
    fixed : array_like, shape (rows, columns)
        Scanned row by row, from the first.
    moving : array_like, shape (rows, columns)
        The second scan, turned so that the specimen lies as in the fixed one.
    moving_scan : {"up", "right"}
        How it was scanned, as it lies: row by row from the last, or column by column from the
        first. From "up" the drift is known if it is the same in both; from "right" each has its
        own, but a pixel size that differs between the scan directions counts as drift.
    expected, expected_sigma, min_overlap
        As in `registration.register`.

    Returns
    -------
    CommonDrift
        With NaN if refused.

    Raises
    ------
    ValueError
        As `measure_drift`; with another `moving_scan`.
    """
    if moving_scan == "up":
        found = measure_drift(
            fixed,
            moving,
            expected=expected,
            expected_sigma=expected_sigma,
            min_overlap=min_overlap,
        )
        # (1 + v_rows) of the fixed line number is (1 - v_rows) of the moving one; the columns
        # of both lines move apart by v_columns times the sum of both line numbers
        reach = 2.0 + found.velocity[0]
        velocity = -found.velocity / reach
        jacobian = -np.eye(2) / reach
        jacobian[:, 0] += found.velocity / reach**2
        block = jacobian @ found.covariance[2:4, 2:4] @ jacobian.T
        return CommonDrift(
            velocity,
            velocity.copy(),
            np.kron(np.ones((2, 2)), block),
            found.shift,
            found.accepted,
            found.reason,
        )
    if moving_scan != "right":
        raise ValueError(f'moving_scan is {moving_scan!r}, must be "up" or "right"')
    return _turned(fixed, moving, expected, expected_sigma, min_overlap)


def _turned(
    fixed: ArrayLike, moving: ArrayLike, expected: Any, sigma: Any, min_overlap: float
) -> CommonDrift:
    """Each scan's drift from two whose slow directions are at right angles."""
    first, second, found = registered(fixed, moving, expected, sigma, min_overlap)
    nothing = np.full(2, np.nan)
    refused = CommonDrift(nothing, nothing, np.full((4, 4), np.nan), nothing, False, found.reason)
    if not found.accepted:
        return refused
    middles = [0.5 * (n - 1) for n in first.shape]
    half = 0.5 * max(first.shape)

    def basis(rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        away = np.ones((len(rows), len(columns), 3))
        away[..., 1] = ((rows - middles[0]) / half)[:, None]
        away[..., 2] = ((columns - middles[1]) / half)[None, :]
        return np.einsum("rck,ij->rcikj", away, np.eye(2)).reshape(*away.shape[:2], 2, 6)

    model = Model(basis, *(np.arange(0, n, _TILE) for n in first.shape))
    slopes = [half * strips(first, second, found.shift, axis)[0] for axis in (0, 1)]
    fitted = fit(first, second, np.concatenate([found.shift, *slopes]), model)
    if fitted is None:
        return replace(refused, reason="refused: the displacement along the scans was not found")
    covariance = sandwich(fitted.scores, basis(fitted.rows, fitted.columns))
    covariance = covariance + FLOOR_PX**2 * np.eye(6)
    bent = fitted.parameters[2:] / half
    jacobian = np.stack(
        [(_velocities(bent + step) - _velocities(bent - step)) / 2e-6 for step in 1e-6 * np.eye(4)],
        axis=1,
    )
    velocities = _velocities(bent)
    return CommonDrift(
        velocities[:2],
        velocities[2:],
        jacobian @ (covariance[2:, 2:] / half**2) @ jacobian.T,
        fitted.parameters[:2],
        True,
        f"accepted: correlation {found.ncc:.2f} on {found.overlap:.0%} overlap",
    )


def _velocities(bent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drift of both scans from the displacement per row and per column.

    With D = (per row, per column), places p in the fixed and q in the moving image show the same
    point where p = (1 + D) q and (1 + v_fixed e_rowsᵀ) p = (1 + v_moving e_columnsᵀ) q.
    """
    per_row, per_column = bent[:2], bent[2:]
    fixed = -per_row / (1.0 + per_row[0])
    return np.concatenate([fixed, per_column + fixed * per_column[0]])


def _no_drift(reason: str, order: int) -> Drift:
    two, size = np.full(2, np.nan), 2 * (order + 1)
    return Drift(
        shift=two,
        velocity=two,
        coefficients=np.full((order + 1, 2), np.nan),
        covariance=np.full((size, size), np.nan),
        jitter=two,
        jitter_stderr=two,
        lines=np.zeros(0),
        displacement=np.zeros((0, 2)),
        displacement_covariance=np.zeros((0, 2, 2)),
        chi2=float("nan"),
        degrees=0,
        accepted=False,
        reason=reason,
    )
