"""By what scale and rotation do two frames of the same specimen differ?

The question of a change of magnification or of the scan rotation. Scale and rotation follow
roughly from the amplitude spectra in log-polar coordinates (Reddy & Chatterji, IEEE Trans. Image
Process. 5 (1996) 1266), tried in real space for both half turns, and exactly from the pixels of
the overlap (Lucas & Kanade 1981; weights and noise as in `_displacement`), with a covariance from
the scatter between tiles of the overlap. A known calibration is carried to the other frame by
`carry_calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..calibration import CameraToStage
from ..registration._fft import Image
from ._fit import LEAST_SIDE, LEAST_Z, Aligned, State, differ, verified
from ._polar import Range, from_everywhere, from_spectra

__all__ = ["Similarity", "carry_calibration", "register_similarity"]

_GREATEST_STDERR = 1.0
# Tiles that share in determining four numbers: with fewer, their scatter says nothing.
_LEAST_SUPPORT = 6.0
_RIVAL = 0.85


@dataclass(frozen=True)
class Similarity:
    """Scale, rotation and displacement of one field of view relative to another.

    A feature at q in the moving image, (columns, rows) px from its middle, is in the fixed image
    at shift + scale R(rotation) q from the middle of that.

    Parameters
    ----------
    scale : float
        Size of a pixel of the moving image over that of the fixed one, on the specimen: above 1,
        the moving image has the lower magnification.
    rotation_deg : float
        Direction of the moving image's columns in the fixed one, degrees, from columns towards
        rows (clockwise as displayed), -180 to 180.
    shift : ndarray, shape (2,)
        Of the middle of the moving field, (rows, columns) px of the fixed image; for scale 1 and
        rotation 0, that of `registration.Registration`.
    covariance : ndarray, shape (4, 4)
        Of (ln scale, rotation in rad, shift rows px, shift columns px).
    matrix : ndarray, shape (3, 3)
        From (column, row, 1) px of the moving to those of the fixed image, the first pixel at 0;
        fit for ``skimage.transform.SimilarityTransform(matrix=...)``.
    overlap : float
        Share of the smaller field that both show, 0..1.
    ncc : float
        Normalised correlation of the aligned, filtered overlaps.
    accepted, reason : bool, str
        Whether the result may be used, and why (not).
    """

    scale: float
    rotation_deg: float
    shift: NDArray[np.float64]
    covariance: NDArray[np.float64]
    matrix: NDArray[np.float64]
    overlap: float
    ncc: float
    accepted: bool
    reason: str

    @property
    def scale_stderr(self) -> float:
        """Standard error of `scale`."""
        return float(self.scale * np.sqrt(self.covariance[0, 0]))

    @property
    def rotation_stderr_deg(self) -> float:
        """Standard error of `rotation_deg`."""
        return float(np.degrees(np.sqrt(self.covariance[1, 1])))

    @property
    def shift_stderr(self) -> NDArray[np.float64]:
        """Standard errors of `shift` (rows, columns), px."""
        return np.sqrt(np.diag(self.covariance)[2:])


def register_similarity(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    expected_scale: float = 1.0,
    expected_rotation_deg: float = 0.0,
    expected: Sequence[float] | NDArray[Any] | None = None,
    expected_sigma: float | Sequence[float] | NDArray[Any] | None = None,
    scale_reach: float = 2.0,
    rotation_reach_deg: float = 180.0,
    min_overlap: float = 0.3,
) -> Similarity:
    """Register two images that differ in scale, rotation and place.

    Parameters
    ----------
    fixed, moving : array_like, shape (rows, columns)
        Two grey images of equal shape, 96 px or more each way.
    expected_scale : float
        Pixel size of the moving image over that of the fixed one, as far as it is known.
    expected_rotation_deg : float
        Rotation expected, degrees.
    expected : (rows, columns), optional
        Where the middle of the moving field is expected, px of the fixed image.
    expected_sigma : float or (rows, columns), optional
        Standard deviation of that, px; a tenth of the field if not given.
    scale_reach : float
        Scales from expected_scale / scale_reach to expected_scale * scale_reach are tried, 1 to 4.
    rotation_reach_deg : float
        Rotations up to this far from the expected one are tried, 180 for all. Crystals look the
        same after some turns: say which is meant by a smaller reach.
    min_overlap : float
        Least share of the smaller field that both show.

    Returns
    -------
    Similarity

    Raises
    ------
    ValueError
        If the images cannot be registered at all, or an expectation makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> scene = np.kron(rng.standard_normal((24, 24)), np.ones((8, 8)))
    >>> found = register_similarity(scene, np.rot90(scene))
    >>> round(found.scale, 2), round(abs(found.rotation_deg))
    (1.0, 90)
    """
    first, second = _checked_pair(fixed, moving)
    possible = _checked_range(
        expected_scale,
        expected_rotation_deg,
        expected,
        expected_sigma,
        scale_reach,
        rotation_reach_deg,
        first.shape,
    )
    if not 0.0 < min_overlap < 1.0:
        raise ValueError(
            f"min_overlap is {min_overlap}, must lie between 0 and 1 (for example 0.3)"
        )
    found = verified(first, second, from_spectra(first, second, possible))
    if not found:
        found = verified(first, second, from_everywhere(first, second, possible))
    if not found:
        return _refused("refused: no scale and rotation bring the images together")
    fine = found[0]
    rivals = [item.z for item in found[1:] if differ(item.state, fine.state)]
    parameters = fine.state.parameters()
    reason = _refusal(fine, possible, min_overlap, max(rivals, default=0.0) / fine.z, first.shape)
    return Similarity(
        scale=float(np.exp(parameters[0])),
        rotation_deg=float(np.degrees(parameters[1])),
        shift=parameters[2:],
        covariance=fine.covariance,
        matrix=_matrix(fine.state, first.shape),
        overlap=fine.overlap,
        ncc=fine.ncc,
        accepted=not reason,
        reason=reason or f"accepted: correlation {fine.ncc:.2f} on {fine.overlap:.0%} overlap",
    )


def carry_calibration(calibration: CameraToStage, found: Similarity) -> CameraToStage:
    """Turn the calibration of the fixed frame into that of the moving one.

    Parameters
    ----------
    calibration : CameraToStage
        Of the fixed frame, from `calibration.camera_to_stage`.
    found : Similarity
        Of the moving frame against it: after a change of magnification, of the scan rotation.

    Returns
    -------
    CameraToStage
        Pixel size, rotation and their standard errors from both.

    Raises
    ------
    ValueError
        If `found` is not accepted.

    Examples
    --------
    >>> import numpy as np
    >>> known = CameraToStage(0.01 * np.eye(2), 1e-12 * np.eye(4), 0.0, ())
    >>> turned = Similarity(2.0, 90.0, np.zeros(2), np.diag([1e-6, 1e-6, 0, 0]), np.eye(3),
    ...                     1.0, 1.0, True, "")
    >>> now = carry_calibration(known, turned)
    >>> round(now.scale, 6), round(now.rotation_deg, 6), round(now.stderr["scale"], 6)
    (0.02, 90.0, 2e-05)
    """
    if not found.accepted:
        raise ValueError(f"the similarity is not accepted ({found.reason}): nothing to carry over")
    angle = np.radians(found.rotation_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = found.scale * np.array([[cosine, -sine], [sine, cosine]])
    matrix = calibration.matrix @ turn
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    # row by row: the old matrix's covariance through the turn, and the turn's own
    through = np.kron(np.eye(2), turn.T)
    own = np.stack([matrix.ravel(), (matrix @ quarter).ravel()], axis=1)
    covariance = through @ calibration.covariance @ through.T
    covariance = covariance + own @ found.covariance[:2, :2] @ own.T
    return CameraToStage(matrix, covariance, calibration.stage_sigma, calibration.outliers)


def _refusal(
    fine: Aligned,
    possible: Range,
    min_overlap: float,
    rival: float,
    shape: tuple[int, ...],
) -> str:
    """Why a similarity must not be used, empty if it may."""
    log_scale, rotation, *shift = fine.state.parameters()
    if not possible.holds(log_scale, rotation):
        return (
            f"refused: scale {np.exp(log_scale):.3f} and rotation {np.degrees(rotation):.1f} deg "
            "are outside what was expected"
        )
    if fine.overlap < min_overlap:
        return f"refused: overlap {fine.overlap:.0%} is below {min_overlap:.0%}"
    if not fine.z > LEAST_Z:
        return f"refused: correlation {fine.ncc:.2f} is what noise reaches ({fine.z:.1f} sigma)"
    if fine.support < _LEAST_SUPPORT:
        return f"refused: too few features (as many as {fine.support:.0f} tiles of the overlap)"
    if rival > _RIVAL:
        return f"refused: another scale or rotation fits nearly as well (ratio {rival:.2f})"
    if possible.shift is not None and possible.sigma is not None:
        z = float(np.linalg.norm((np.array(shift) - possible.shift) / possible.sigma))
        if z > 5.0:
            return f"refused: {z:.1f} sigma from the expected shift"
    errors = np.sqrt(np.diag(fine.covariance))
    worst = max(float(errors[2:].max()), float(errors[:2].max()) * 0.5 * max(shape))
    if not worst < _GREATEST_STDERR:
        return f"refused: the standard error {worst:.2f} px exceeds {_GREATEST_STDERR:g} px"
    return ""


def _matrix(state: State, shape: tuple[int, ...]) -> NDArray[np.float64]:
    middle = 0.5 * (np.array(shape[::-1]) - 1.0)
    matrix = np.eye(3)
    matrix[:2, :2] = state.turn[::-1, ::-1]
    matrix[:2, 2] = middle + state.shift[::-1] - matrix[:2, :2] @ middle
    return matrix


def _refused(reason: str) -> Similarity:
    nothing = float("nan")
    return Similarity(
        scale=nothing,
        rotation_deg=nothing,
        shift=np.full(2, nothing),
        covariance=np.full((4, 4), nothing),
        matrix=np.full((3, 3), nothing),
        overlap=0.0,
        ncc=0.0,
        accepted=False,
        reason=reason,
    )


def _checked_pair(fixed: ArrayLike, moving: ArrayLike) -> tuple[Image, Image]:
    images = []
    for name, data in (("fixed", fixed), ("moving", moving)):
        image = np.asarray(data)
        if image.ndim != 2 or min(image.shape) < LEAST_SIDE:
            raise ValueError(
                f"the {name} image has shape {image.shape}, must have two dimensions of at least "
                f"{LEAST_SIDE} pixels"
            )
        if image.dtype.kind not in "buif":
            raise ValueError(f"the {name} image has dtype {image.dtype}, must be real numbers")
        image = image.astype(np.float64)
        if not np.isfinite(image).all():
            raise ValueError(f"the {name} image holds NaN or infinite pixels; mask or replace them")
        if float(np.ptp(image)) <= 1e-6 * float(np.abs(image).max()):
            raise ValueError(f"the {name} image is constant: nothing to register")
        images.append(((image - image.mean()) / image.std()).astype(np.float32))
    if images[0].shape != images[1].shape:
        raise ValueError(
            f"the images have shapes {images[0].shape} and {images[1].shape}, must be equal"
        )
    return images[0], images[1]


def _checked_range(
    scale: float,
    rotation_deg: float,
    expected: Any,
    sigma: Any,
    scale_reach: float,
    rotation_reach_deg: float,
    shape: tuple[int, ...],
) -> Range:
    if not (np.isfinite(scale) and 0.1 <= scale <= 10.0):
        raise ValueError(f"expected_scale is {scale}, must be 0.1 to 10")
    if not np.isfinite(rotation_deg):
        raise ValueError(f"expected_rotation_deg is {rotation_deg}, must be finite")
    if not 1.0 <= scale_reach <= 4.0:
        raise ValueError(f"scale_reach is {scale_reach}, must be 1 to 4")
    if not 0.0 <= rotation_reach_deg <= 180.0:
        raise ValueError(f"rotation_reach_deg is {rotation_reach_deg}, must be 0 to 180")
    centre, spread = None, None
    if expected is not None:
        centre = np.asarray(expected, dtype=float)
        spread = np.asarray(0.1 * np.array(shape) if sigma is None else sigma, dtype=float)
        if centre.shape != (2,) or not np.isfinite(centre).all():
            raise ValueError(
                f"expected is {expected!r}, must be two finite numbers (rows, columns)"
            )
        if spread.shape not in ((), (2,)) or not (np.isfinite(spread) & (spread > 0)).all():
            raise ValueError(
                f"expected_sigma is {sigma!r}, must be one or two positive numbers, px"
            )
        spread = np.broadcast_to(spread, (2,))
    elif sigma is not None:
        raise ValueError("expected_sigma is given without expected: give the expected shift")
    return Range(
        float(np.log(scale)),
        float(np.log(scale_reach)),
        float(np.radians(rotation_deg)),
        float(np.radians(rotation_reach_deg)),
        centre,
        spread,
    )
