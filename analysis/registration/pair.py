"""How far has the field of view moved between two images of the same specimen?

Two frames that share part of their specimen are registered in three steps: whitened, so that each
frequency counts by its signal/noise, they are correlated by FFT, and every shift is scored by the
likelihood of the correlation on its own overlap and by how well it was expected; the best few are
told apart by what they leave unexplained; the best is refined below the pixel by the phases of the
cross spectrum of the overlap. What is returned has a covariance that comes from the pair itself,
the distortion of the scan included, and is refused rather than wrong.

Sources: Padfield, IEEE Trans. Image Process. 21 (2012) 2706 (own overlap); Knapp & Carter, IEEE
Trans. ASSP 24 (1976) 320, and Hannan & Thomson, Biometrika 60 (1973) 469 (weights of the cross
spectrum).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from ._search import Candidate

__all__ = ["Registration", "register"]

# A rival with this share of the best shift's log likelihood, or within this many nats of it, leaves
# the choice open: on simulated fields of texture and of particles one in some hundred of those
# accepted would be wrong at a ratio of 0.7, none of some thousand at this one.
_AMBIGUOUS_RATIO = 0.6
_AMBIGUOUS_RATIO_OF_LATTICE = 0.25
_LEAST_MARGIN = 5.0
_ACCEPTED_CONFIDENCE = 0.5
_GREATEST_STDERR = 1.0
_GREATEST_SATURATION = 0.5


@dataclass(frozen=True)
class Registration:
    """The displacement of one field of view relative to another.

    Parameters
    ----------
    shift : ndarray, shape (2,)
        (rows, columns) in pixels: a feature at p in the fixed image is at p - shift in the
        moving one, so that the moving field lies `shift` away from the fixed one.
    covariance : ndarray, shape (2, 2)
        Covariance of `shift`, px².
    confidence : float
        0..1: that the right peak was found.
    overlap : float
        Share of the field that both images show, 0..1.
    accepted : bool
        Whether the result may be used.
    reason : str
        In words, why it was accepted or refused.
    ncc : float
        Zero-mean normalised cross-correlation on the overlap, -1..1.
    peak_ratio : float
        Score of the second-best shift over that of the best, 0..1.
    prior_z : float
        Distance from the expected shift in units of its sigma (0 without expectation).
    """

    shift: NDArray[np.float64]
    covariance: NDArray[np.float64]
    confidence: float
    overlap: float
    accepted: bool
    reason: str
    ncc: float
    peak_ratio: float
    prior_z: float

    @property
    def stderr(self) -> NDArray[np.float64]:
        """Standard errors of `shift` (rows, columns), px."""
        return np.sqrt(np.diag(self.covariance))


def register(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    expected: Sequence[float] | NDArray[Any] | None = None,
    expected_sigma: float | Sequence[float] | NDArray[Any] | None = None,
    min_overlap: float = 0.15,
) -> Registration:
    """Register two images that share part of their field.

    Parameters
    ----------
    fixed, moving : array_like, shape (rows, columns)
        Two grey images of equal shape; any real dtype.
    expected : (rows, columns), optional
        Where the shift is expected, px.
    expected_sigma : float or (rows, columns), optional
        Standard deviation of that expectation, px; a tenth of the field if not given.
    min_overlap : float
        Least share of the field that must overlap, 0..1.

    Returns
    -------
    Registration
        Same sign as ``skimage.registration.phase_cross_correlation(fixed, moving)``.

    Raises
    ------
    ValueError
        If the images cannot be registered at all (shape, dimension, NaN, constant, saturated), or
        if the expectation or `min_overlap` make no sense.

    Notes
    -----
    The covariance holds what the pair shows of the scan: jitter of its lines, and drift within the
    frames as far as it differs between them. A drift that is the same in both frames moves the
    shift by its rate times the lines between the scans of a feature and cannot be seen in a pair;
    `analysis.drift` measures it from a series.
    """
    from ._fields import without_spikes
    from ._refinement import refine
    from ._search import PRIOR_REACH, search

    first, second = _checked_pair(fixed, moving)
    prior = _checked_prior(expected, expected_sigma, first.shape)
    if not 0.0 < min_overlap < 1.0:
        raise ValueError(
            f"min_overlap is {min_overlap}, must lie between 0 and 1 (for example 0.15)"
        )
    first, second = without_spikes(first), without_spikes(second)
    found = search(first, second, prior, min_overlap)
    refined = refine(first, second, found.shift)
    shift = refined.shift
    overlap = float(np.prod(np.clip(1.0 - np.abs(shift) / first.shape, 0.0, 1.0)))
    prior_z = 0.0
    if prior is not None:
        prior_z = float(np.sqrt(np.sum(((shift - prior[0]) / prior[1]) ** 2)))
    confidence = _confidence(found, prior_z)
    reason = _refusal(
        overlap=overlap,
        min_overlap=min_overlap,
        confidence=confidence,
        surprising=prior_z > PRIOR_REACH,
        prior_z=prior_z,
        found=found,
        stderr=float(np.sqrt(refined.covariance.diagonal().max())),
        ncc=refined.ncc,
    )
    return Registration(
        shift=shift,
        covariance=refined.covariance,
        confidence=confidence,
        overlap=overlap,
        accepted=not reason,
        reason=reason or f"accepted: correlation {refined.ncc:.2f} on {overlap:.0%} overlap",
        ncc=refined.ncc,
        peak_ratio=found.ratio,
        prior_z=prior_z,
    )


def _checked_pair(fixed: ArrayLike, moving: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    images = []
    for name, data in (("fixed", fixed), ("moving", moving)):
        image = np.asarray(data)
        if image.ndim != 2:
            raise ValueError(
                f"the {name} image has {image.ndim} dimensions, must have 2 (rows, columns)"
            )
        if min(image.shape) < 16:
            raise ValueError(
                f"the {name} image has shape {image.shape}, must be at least 16 pixels each way"
            )
        if image.dtype.kind not in "buif":
            raise ValueError(f"the {name} image has dtype {image.dtype}, must be real numbers")
        image = image.astype(np.float32, order="C")
        if not np.isfinite(image).all():
            raise ValueError(f"the {name} image holds NaN or infinite pixels; mask or replace them")
        low, high = float(image.min()), float(image.max())
        if high - low <= 1e-6 * max(abs(low), abs(high)):
            raise ValueError(f"the {name} image is constant ({low:g}): nothing to register")
        saturated = float(np.mean(image == high))
        if saturated > _GREATEST_SATURATION:
            raise ValueError(
                f"the {name} image is saturated: {saturated:.0%} of its pixels are {high:g}, "
                f"at most {_GREATEST_SATURATION:.0%} may be at the greatest value"
            )
        images.append(image)
    if images[0].shape != images[1].shape:
        raise ValueError(
            f"the images have shapes {images[0].shape} and {images[1].shape}, must be equal"
        )
    return images[0], images[1]


def _checked_prior(
    expected: Any, sigma: Any, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if expected is None:
        if sigma is not None:
            raise ValueError("expected_sigma is given without expected: give the expected shift")
        return None
    centre = np.asarray(expected, dtype=float)
    if centre.shape != (2,) or not np.isfinite(centre).all():
        raise ValueError(f"expected is {expected!r}, must be two finite numbers (rows, columns) px")
    spread = np.asarray(0.1 * np.asarray(shape) if sigma is None else sigma, dtype=float)
    if spread.shape not in ((), (2,)) or not (np.isfinite(spread) & (spread > 0)).all():
        raise ValueError(f"expected_sigma is {sigma!r}, must be one or two positive numbers, px")
    return centre, np.broadcast_to(spread, (2,)).astype(float)


def _confidence(found: Candidate, prior_z: float) -> float:
    """Confidence from the margin to the rival shift, from that to chance, and the prior's z."""
    ambiguous = _AMBIGUOUS_RATIO_OF_LATTICE if found.periodic else _AMBIGUOUS_RATIO
    margins = (
        (ambiguous - found.ratio) / 0.05,
        found.margin - _LEAST_MARGIN,
        found.beyond,
    )
    surprise = np.exp(-0.5 * max(0.0, prior_z - 3.0) ** 2)
    return float(surprise / (1.0 + np.exp(-np.clip(min(margins), -50.0, 50.0))))


def _refusal(
    *,
    overlap: float,
    min_overlap: float,
    confidence: float,
    surprising: bool,
    prior_z: float,
    found: Candidate,
    stderr: float,
    ncc: float,
) -> str:
    """Why a shift must not be used, empty if it may."""
    if overlap < min_overlap:
        return f"refused: overlap {overlap:.0%} is below {min_overlap:.0%}"
    if surprising:
        return f"refused: {prior_z:.1f} sigma from the expected shift"
    if not np.isfinite(stderr) or stderr > _GREATEST_STDERR:
        return f"refused: the standard error {stderr:.2f} px exceeds {_GREATEST_STDERR:g} px"
    if ncc <= 0.0:
        return f"refused: correlation {ncc:.2f} on the overlap"
    if confidence < _ACCEPTED_CONFIDENCE:
        if found.periodic:
            return (
                "refused: on this periodic specimen a second shift fits nearly as well "
                f"(peak ratio {found.ratio:.2f}); give the shift expected to a quarter period"
            )
        if found.beyond < 0.0:
            return f"refused: no peak stands clear of the noise (confidence {confidence:.2f})"
        return f"refused: a second shift fits nearly as well (peak ratio {found.ratio:.2f})"
    return ""
