"""What is the bluntest tip that can have made this image?

Blind reconstruction after Villarrubia, J. Res. Natl. Inst. Stand. Technol. 102 (1997) 425: the
image is the dilation of the surface by the tip, so that every feature of it is at least as blunt
as the tip. Surface and certainty map follow (his sec. 3 and 4) from SciPy's morphology.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

from analysis.tip_shape import _kernels

__all__ = [
    "Method",
    "certainty_map",
    "frontier_tip",
    "guaranteed_tip",
    "image_peaks",
    "reconstruct",
    "surface_below",
]

Method = Literal["partial", "full"]
_PASSES = 100  # a safeguard: five are usual
_FRONTIER = 0.05  # share of the features that may be sharper than the tip, by noise
_ROUNDING = 1e-12  # of the image's range: contacts are equalities that rounding must not break


def image_peaks(image: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int64]:
    """Return rows and columns of the local maxima about which a tip of `size` stays in the image.

    A maximum is one among its neighbours within a tenth of the tip's size, as in Villarrubia's
    partial reconstruction. Of a flat top the pixel nearest to its middle stands for all.

    Returns
    -------
    ndarray of int, shape (n, 2)
    """
    reach = max(1, max(size) // 10)
    highest = ndimage.maximum_filter(image, size=2 * reach + 1)
    tops = np.asarray(label((image == highest) & _inside(image, size), connectivity=2))
    at, names = np.argwhere(tops), tops[tops > 0]
    if len(at) == len(np.unique(names)):
        return at
    sums = np.stack([np.bincount(names, weights=axis) for axis in at.T], axis=1)
    middles = (sums[1:].T / np.bincount(names)[1:]).T
    aside = np.sum((at - middles[names - 1]) ** 2, axis=1)
    order = np.lexsort((aside, names))
    first = np.unique(names[order], return_index=True)[1]
    return at[order[first]]


def _inside(image: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the points about which the tip, touching with any of its points, is in the image."""
    inside = np.zeros(image.shape, bool)
    inside[size[0] - 1 : 1 - size[0] or None, size[1] - 1 : 1 - size[1] or None] = True
    return inside


def reconstruct(
    image: NDArray[np.float64],
    start: NDArray[np.float64],
    threshold: float = 0.0,
    method: Method = "partial",
    *,
    points: NDArray[np.int64] | None = None,
    passes: int = 100,
) -> NDArray[np.float64]:
    """Return the bluntest tip, within a start, that can have made an image.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Height, m.
    start : ndarray, shape (m, n), odd
        A tip at least as blunt as the true one, apex 0 in the middle, m. Zeros say nothing.
    threshold : float
        How much lower than the tip a bound must be to count, m. It is what noise may feign.
    method : {"partial", "full"}
        At the local maxima of the image only, or at all its points. The full one is sharper
        where maxima are few, and takes noise worse.
    points : ndarray of int, shape (k, 2), optional
        Instead of the local maxima.
    passes : int
        At most so many over all points. A fixed point is reached after two to five; some programs
        stop the partial estimate after one, which leaves it a little blunter.

    Returns
    -------
    ndarray, shape (m, n)
        Height of the tip below its apex, m.
    """
    size = (start.shape[0], start.shape[1])
    tip = np.array(start, dtype=np.float64)
    slack = _ROUNDING * float(np.ptp(image))
    peaks = image_peaks(image, size) if points is None else points
    _kernels.refine(image, peaks, tip, threshold, slack, passes)
    if method == "full":
        everywhere = np.argwhere(_inside(image, size))
        _kernels.refine(image, everywhere, tip, threshold, slack, passes)
    return tip


def guaranteed_tip(
    image: NDArray[np.float64], size: tuple[int, int], spread: float
) -> NDArray[np.float64]:
    """Return a tip that noise cannot have made sharper than the true one.

    Partial reconstruction in which a contact may be missed by as much as the threshold. It is
    blunter by a pixel or two, but loses no second end: the ghosts of features stay explained.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Height, m.
    size : tuple of int
        Rows and columns of the tip, odd.
    spread : float
        More than noise does between any two pixels, m.

    Returns
    -------
    ndarray, shape `size`
        Height below the apex, m.
    """
    tip = np.zeros(size)
    _kernels.refine(image, image_peaks(image, size), tip, spread, spread, _PASSES)
    return tip


def frontier_tip(
    frames: Sequence[NDArray[np.float64]], size: tuple[int, int], least_height: float
) -> NDArray[np.float64]:
    """Return the tip from many small, noisy images whose features all end sharply.

    The bounds of Villarrubia's partial method at all maxima, of which not the least counts, which
    is the noise's extreme, but a low quantile: the frontier of partial order of Aragon, Daouia and
    Thomas-Agnan, Econometric Theory 21 (2005) 358.

    Parameters
    ----------
    frames : sequence of ndarray
        Heights, m.
    size : tuple of int
        Rows and columns of the tip, odd.
    least_height : float
        Of the maxima that count as features, m.

    Returns
    -------
    ndarray, shape `size`
        Height below the apex, m.

    Raises
    ------
    ValueError
        When no frame has a feature with room for the tip about it.
    """
    rows, columns = size[0] // 2, size[1] // 2
    bounds = []
    for frame in frames:
        wide = np.pad(frame, ((rows, rows), (columns, columns)), mode="edge")
        for row, column in image_peaks(wide, size):
            top = wide[row, column]
            if top >= least_height:
                about = wide[row - rows : row + rows + 1, column - columns : column + columns + 1]
                bounds.append(about - top)
    if not bounds:
        raise ValueError(
            f"{len(frames)} frames have no feature of {least_height!r} m with room for a tip of "
            f"{size[0]} x {size[1]} pixels"
        )
    return np.minimum(np.quantile(bounds, _FRONTIER, axis=0, method="lower"), 0.0)


def surface_below(image: NDArray[np.float64], tip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest surface that a tip can have imaged: the erosion, m, as the image."""
    # grey_erosion takes the structure's height off; a tip of negative heights as it stands
    return ndimage.grey_erosion(image, structure=tip, mode="nearest")


def certainty_map(
    image: NDArray[np.float64], tip: NDArray[np.float64], slack: float = 0.0
) -> NDArray[np.bool_]:
    """Return which surface points were touched, for sure and by one tip point alone.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Height, m.
    tip : ndarray, shape (m, n), odd
        Apex 0 in the middle, m.
    slack : float
        A tip point touches when it is this near, m.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
    """
    rounding = _ROUNDING * float(np.ptp(image))
    return _kernels.contacts(image, surface_below(image, tip), tip, max(slack, rounding))
