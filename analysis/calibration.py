"""How do the pixels of the camera lie in the coordinates of the stage?

The camera-to-stage matrix follows from moves of known length and the shifts they make in the
images, by robust least squares with the stage as the uncertain side. From one frame to another
magnification or scan rotation it is carried by `similarity.carry_calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CameraToStage", "camera_to_stage"]

# Tukey's biweight: 95 % as efficient as least squares on normal errors.
_BIWEIGHT = 4.685
_RAYLEIGH_MEDIAN = np.sqrt(2.0 * np.log(2.0))
_ROUNDS = 50


@dataclass(frozen=True)
class CameraToStage:
    """The matrix from the camera to the stage and what it means.

    Parameters
    ----------
    matrix : ndarray, shape (2, 2)
        From (columns, rows) px to (x, y) µm.
    covariance : ndarray, shape (4, 4)
        Of the matrix, row by row, µm²/px².
    stage_sigma : float
        Standard deviation of one coordinate of a move about the fit, µm: what the stage does not
        repeat.
    outliers : tuple of int
        Moves that the others contradict.
    pixel_size : ndarray, shape (2,)
        Along columns and rows, µm; their geometric mean is `scale`.
    scale, anisotropy, rotation_deg, skew_deg : float
        µm/px; pixel size along columns over that along rows; angle from x to the columns'
        direction; how much the angle from columns to rows differs from a right one, degrees.
    mirrored : bool
        Whether rows run against y when columns run along x.
    """

    matrix: NDArray[np.float64]
    covariance: NDArray[np.float64]
    stage_sigma: float
    outliers: tuple[int, ...]

    @property
    def pixel_size(self) -> NDArray[np.float64]:
        """Along columns and rows, µm, shape (2,)."""
        return np.linalg.norm(self.matrix, axis=0)

    @property
    def scale(self) -> float:
        """Root of the area of a pixel, µm."""
        return _derived(self.matrix)[0]

    @property
    def rotation_deg(self) -> float:
        """Angle from x to the direction of the columns, degrees."""
        return _derived(self.matrix)[1]

    @property
    def anisotropy(self) -> float:
        """Pixel size along columns over that along rows."""
        return _derived(self.matrix)[2]

    @property
    def skew_deg(self) -> float:
        """By how much columns and rows are not at right angles, degrees."""
        return _derived(self.matrix)[3]

    @property
    def mirrored(self) -> bool:
        """Whether the determinant is negative."""
        return bool(np.linalg.det(self.matrix) < 0.0)

    @property
    def stderr(self) -> dict[str, float]:
        """Standard errors of scale (µm), rotation_deg, anisotropy and skew_deg."""
        names = ("scale", "rotation_deg", "anisotropy", "skew_deg")
        step = 1e-6 * self.scale
        columns = []
        for k in range(4):
            nudge = np.zeros(4)
            nudge[k] = step
            up, down = (
                np.array(_derived(self.matrix + sign * nudge.reshape(2, 2))) for sign in (1, -1)
            )
            change = up - down
            change[1] = (change[1] + 180.0) % 360.0 - 180.0
            columns.append(change / (2.0 * step))
        jacobian = np.stack(columns, axis=1)
        variance = np.einsum("ni,ij,nj->n", jacobian, self.covariance, jacobian)
        return dict(zip(names, np.sqrt(variance).tolist(), strict=True))


def camera_to_stage(
    moves: ArrayLike, shifts: ArrayLike, covariances: ArrayLike | None = None
) -> CameraToStage:
    """Fit the matrix that turns shifts into moves.

    A first step after a reversal comes out short by the backlash: leave such moves out, or make
    them few enough to be found as outliers.

    Parameters
    ----------
    moves : array_like, shape (n, 2)
        (x, y) displacement of the stage, commanded or reported, µm.
    shifts : array_like, shape (n, 2)
        (rows, columns) px, as `registration.register` gives them; accepted ones only.
    covariances : array_like, shape (n, 2, 2), optional
        Of the shifts, px²; added to what the stage does not repeat.

    Returns
    -------
    CameraToStage

    Raises
    ------
    ValueError
        With fewer than three moves, or none across another.
    """
    moves, shifts = np.asarray(moves, dtype=float), np.asarray(shifts, dtype=float)
    if moves.shape != shifts.shape or moves.ndim != 2 or moves.shape[1] != 2:
        raise ValueError(f"moves {moves.shape} and shifts {shifts.shape} must both be (n, 2)")
    if not (np.isfinite(moves).all() and np.isfinite(shifts).all()):
        raise ValueError("moves and shifts must be finite: give accepted registrations only")
    design = shifts[:, ::-1]
    spread = np.linalg.svd(design, compute_uv=False)
    if len(moves) < 3 or spread[1] < 1e-3 * spread[0]:
        raise ValueError(
            f"{len(moves)} moves along one direction cannot give four numbers: "
            "move along x and along y, three moves or more"
        )
    freedom = len(moves) / (len(moves) - 2.0)
    own = np.zeros((len(moves), 2, 2))
    if covariances is not None:
        own = np.asarray(covariances, dtype=float)[:, ::-1, ::-1]
    trust, weight = np.ones(len(moves)), np.ones(len(moves))
    matrix, sigma, bound = np.zeros((2, 2)), 0.0, 1.0
    for _ in range(_ROUNDS):
        before, row = matrix, (trust * weight)[:, None]
        matrix = np.linalg.lstsq(design * row, moves * row)[0].T
        size = np.linalg.norm(moves - design @ matrix.T, axis=1)
        # from the median length of a vector of two normal components, four numbers fitted
        sigma = float(np.median(size)) / _RAYLEIGH_MEDIAN * np.sqrt(freedom)
        known = np.einsum("ij,njk,ik->n", matrix, own, matrix) / 2.0
        spread = np.sqrt(sigma**2 + known) + 1e-15
        trust = spread.min() / spread
        bound = _BIWEIGHT * spread.min()
        weight = np.clip(1.0 - (trust * size / bound) ** 2, 0.0, None)
        if np.allclose(matrix, before, rtol=1e-10, atol=0.0):
            break
    kept = weight > 0.0
    if kept.sum() < 3 or np.linalg.matrix_rank(design[kept]) < 2:
        raise ValueError("no three moves agree on one matrix: check the registrations")
    # Huber, Robust Statistics (1981), equation 7.6.9: mean of psi² over the mean of psi', squared
    residual = (moves - design @ matrix.T) * trust[:, None]
    influence = np.mean((weight[:, None] ** 2 * residual) ** 2) * freedom
    slope = np.mean(weight**2 - 2.0 * (1.0 - weight) * weight)
    scaled = design * trust[:, None]
    block = influence / slope**2 * np.linalg.inv(scaled.T @ scaled)
    return CameraToStage(
        matrix=np.asarray(matrix, dtype=float),
        covariance=np.kron(np.eye(2), block).astype(float),
        stage_sigma=sigma,
        outliers=tuple(np.flatnonzero(~kept).tolist()),
    )


def _derived(matrix: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Scale, rotation (deg), anisotropy and skew (deg) of a matrix."""
    columns, rows = matrix[:, 0], matrix[:, 1]
    determinant = float(np.linalg.det(matrix))
    lengths = float(np.linalg.norm(columns)), float(np.linalg.norm(rows))
    rotation = float(np.degrees(np.arctan2(columns[1], columns[0])))
    angle = np.arctan2(determinant, float(columns @ rows))
    skew = float(np.degrees(abs(angle))) - 90.0
    return float(np.sqrt(abs(determinant))), rotation, lengths[0] / lengths[1], skew
