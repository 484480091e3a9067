"""Where on the specimen is this image? Images at known positions, and a new one found among them.

The atlas is made from a mosaic: the mosaic's network of overlaps says where its fields really were,
to a few nanometres where the stage is off by hundreds. A new image is registered with the one or
two fields that share most of it. Positions are those of the middle of a field, in the frame of the
mosaic's result: that of the targets, averaged over its fields. Lengths in µm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .mosaic import MosaicResult
from .registration import register

__all__ = ["Atlas", "Feature", "Fix"]

_FIELDS = 2
_LEAST_OVERLAP = 0.15  # of the field, as registration asks for
# A rod of 80 mm turns the specimen in its plane by y/L, 0.4 mrad at 30 µm, which a network of
# shifts does not know: a share of the field by which its positions are wrong.
_TURN = 5e-4
# Two fields that both accept an image and place it this many standard deviations apart: one errs.
_APART = 5.0
# Correlation of a feature with the place where it was found, and that of a second place as a part
# of it: chosen.
_LEAST_LIKE = 0.4
_RIVAL = 0.8


@dataclass(frozen=True)
class Fix:
    """Where an image was found to be.

    Parameters
    ----------
    position : ndarray, shape (2,)
        (x, y) of the middle of the image, µm; NaN where refused.
    covariance : ndarray, shape (2, 2)
        µm².
    accepted : bool
        Whether it may be acted upon.
    reason : str
        In words, why it was accepted or refused.
    """

    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    accepted: bool
    reason: str

    @classmethod
    def refused(cls, reason: str) -> Fix:
        """A fix that must not be used."""
        return cls(np.full(2, np.nan), np.full((2, 2), np.nan), False, reason)


@dataclass(frozen=True)
class Atlas:
    """Images with known positions.

    Parameters
    ----------
    images : sequence of ndarray, shape (rows, columns) each
        All of one shape.
    position : ndarray, shape (n, 2)
        (x, y) of the middle of each, µm.
    covariance : ndarray, shape (n, 2, 2)
        µm².
    matrix : ndarray, shape (2, 2)
        From pixels (columns, rows) to (x, y) µm: camera to stage times the size of a pixel.
    """

    images: Sequence[NDArray[Any]]
    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.images)
        if count == 0 or {np.shape(image) for image in self.images} != {self.shape}:
            raise ValueError(f"the atlas has {count} images: at least one, all of the same shape")
        if self.position.shape != (count, 2) or self.covariance.shape != (count, 2, 2):
            raise ValueError(
                f"{count} images have positions of shape {self.position.shape} and covariances of "
                f"shape {self.covariance.shape}, must be {(count, 2)} and {(count, 2, 2)}"
            )
        if self.matrix.shape != (2, 2) or abs(np.linalg.det(self.matrix)) == 0.0:
            raise ValueError(f"matrix is {self.matrix.tolist()}, must be 2x2 and regular")

    @classmethod
    def of(cls, result: MosaicResult, images: Sequence[NDArray[Any]], matrix: ArrayLike) -> Atlas:
        """Make an atlas of the fields of a mosaic that hang together.

        Parameters
        ----------
        result : MosaicResult
            Of the mosaic's analysis.
        images : sequence of ndarray
            Of every field, in the order of the result.
        matrix : array_like, shape (2, 2)
            From pixels (columns, rows) to (x, y) µm.

        Returns
        -------
        Atlas
            Of the largest group of fields; others lie nobody knows where to it. Its frame is that
            of the targets, averaged over the fields, so that no one field's slip moves it.
        """
        if len(images) != len(result.actual):
            raise ValueError(f"{len(images)} images for {len(result.actual)} fields: one each")
        numbers, counts = np.unique(result.group[result.imaged], return_counts=True)
        kept = np.flatnonzero(result.imaged & (result.group == numbers[np.argmax(counts)]))
        missed = (result.target[kept] - result.actual[kept]).mean(axis=0)
        return cls(
            [np.asarray(images[int(k)]) for k in kept],
            result.actual[kept] + missed,
            result.covariance[kept],
            np.asarray(matrix, dtype=float),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of its images."""
        return np.shape(self.images[0])

    def locate(
        self, image: NDArray[Any], expected: ArrayLike, sigma: float | Sequence[float] = 1.0
    ) -> Fix:
        """Find where an image was taken.

        Parameters
        ----------
        image : ndarray, shape (rows, columns)
            Of the shape and the scale of the atlas.
        expected : (x, y)
            Where it may be, µm.
        sigma : float or (float, float)
            Standard deviation of that along columns and rows, µm.

        Returns
        -------
        Fix
            Refused, with the reason, rather than wrong.
        """
        if np.shape(image) != self.shape:
            return Fix.refused(f"the image has shape {np.shape(image)}, the atlas {self.shape}")
        place = np.asarray(expected, dtype=float)
        to_pixels = np.linalg.inv(self.matrix)
        pixel = np.sqrt(abs(np.linalg.det(self.matrix)))
        spread = np.broadcast_to(np.asarray(sigma, dtype=float), (2,))[::-1] / pixel
        # (rows, columns), as registration has them
        shifts = ((place - self.position) @ to_pixels.T)[:, ::-1]
        common = np.clip(1.0 - np.abs(shifts) / self.shape, 0.0, None).prod(axis=1)
        nearest = np.argsort(common)[::-1][:_FIELDS]
        if common[nearest[0]] < _LEAST_OVERLAP:
            return Fix.refused(
                f"({place[0]:.3f}, {place[1]:.3f}) µm is outside the atlas: no field shares "
                f"{_LEAST_OVERLAP:.0%} of an image there"
            )
        fixes = [
            self._against(int(k), image, shifts[k], spread)
            for k in nearest
            if common[k] >= _LEAST_OVERLAP
        ]
        found = [fix for fix in fixes if fix.accepted]
        return _agreed(found) if found else fixes[0]

    def _turned(self) -> NDArray[np.float64]:
        """Covariance of a field's position from what the mosaic leaves out, µm²."""
        field = np.sqrt(abs(np.linalg.det(self.matrix)) * np.prod(self.shape))
        return (_TURN * field) ** 2 * np.eye(2)

    def _against(
        self, number: int, image: NDArray[Any], expected: NDArray[Any], sigma: NDArray[Any]
    ) -> Fix:
        try:
            found = register(self.images[number], image, expected=expected, expected_sigma=sigma)
        except ValueError as error:
            return Fix.refused(f"refused: {error}")
        if not found.accepted:
            return Fix.refused(found.reason)
        swapped = self.matrix[:, ::-1]  # from (rows, columns)
        return Fix(
            self.position[number] + swapped @ found.shift,
            self.covariance[number] + self._turned() + swapped @ found.covariance @ swapped.T,
            True,
            found.reason,
        )


def _agreed(fixes: Sequence[Fix]) -> Fix:
    """Mean of fixes weighted by what each knows; refused if they contradict each other."""
    if len(fixes) == 1:
        return fixes[0]
    first, second = fixes
    apart = second.position - first.position
    distance = float(np.sqrt(apart @ np.linalg.solve(first.covariance + second.covariance, apart)))
    if distance > _APART:
        return Fix.refused(
            f"refused: two fields place the image {1e3 * np.hypot(*apart):.0f} nm apart, "
            f"{distance:.1f} standard deviations"
        )
    weights = [np.linalg.inv(fix.covariance) for fix in fixes]
    covariance = np.linalg.inv(np.sum(weights, axis=0))
    position = covariance @ sum(w @ f.position for w, f in zip(weights, fixes, strict=True))
    return Fix(position, covariance, True, first.reason)


@dataclass(frozen=True)
class Feature:
    """Something to be found in the field, wherever it is.

    Parameters
    ----------
    template : ndarray, shape (rows, columns)
        At most as large as the field, at its scale; at least 16 pixels each way.
    matrix : ndarray, shape (2, 2)
        From pixels (columns, rows) to (x, y) µm.
    """

    template: NDArray[Any]
    matrix: NDArray[np.float64]

    def locate(self, image: NDArray[Any], expected: ArrayLike) -> Fix:
        """Find where an image lies to the feature.

        Correlated over the whole field (Lewis, Vision Interface (1995) 120), then registered below
        the pixel with the part of the image that it was found in.

        Parameters
        ----------
        image : ndarray, shape (rows, columns)
        expected : (x, y)
            Of no consequence: the feature may be anywhere.

        Returns
        -------
        Fix
            Position of the middle of the image in a frame in which the middle of the feature is at
            (0, 0), µm; refused where nothing is like it, or two places are.
        """
        from skimage.feature import match_template, peak_local_max

        field, template = np.asarray(image, dtype=float), np.asarray(self.template, dtype=float)
        match = match_template(field, template)
        apart = max(1, min(template.shape) // 4)
        peaks = peak_local_max(match, min_distance=apart, num_peaks=2, exclude_border=False)
        if len(peaks) == 0:
            return Fix.refused("refused: nothing in the field is like the template")
        best = float(match[tuple(peaks[0])])
        if best < _LEAST_LIKE:
            return Fix.refused(f"refused: the best place has a correlation of {best:.2f} only")
        if len(peaks) > 1 and float(match[tuple(peaks[1])]) > _RIVAL * best:
            return Fix.refused("refused: a second place is nearly as like the template")
        row, column = (int(n) for n in peaks[0])
        rows, columns = template.shape
        try:
            found = register(
                template, field[row : row + rows, column : column + columns],
                expected=(0.0, 0.0), expected_sigma=1.0,
            )  # fmt: skip
        except ValueError as error:
            return Fix.refused(f"refused: {error}")
        if not found.accepted:
            return Fix.refused(found.reason)
        # the part lies `shift` away from the template, so that the feature is at -shift in it
        corner = np.array([row, column]) - found.shift
        middle = 0.5 * (np.array(field.shape) - template.shape)
        swapped = self.matrix[:, ::-1]
        return Fix(
            swapped @ (middle - corner), swapped @ found.covariance @ swapped.T, True, found.reason
        )
