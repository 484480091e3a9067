"""Villarrubia's refinement of a tip's upper bound in compiled arithmetic.

Villarrubia, J. Res. Natl. Inst. Stand. Technol. 102 (1997) 425, sec. 5: an image point that the
tip touched with its point d shows a surface point, and no other tip point can have been below it
without leaving the image higher than it is. Which d touched is not known: the largest bound of
all that are possible holds in any case.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["binding", "contacts", "refine"]


@numba.njit(cache=True, error_model="numpy")
def _possible_contacts(image, row, column, tip, slack, found):
    """List the tip points that can touch while the image is at (row, column); return how many."""
    rows, columns = tip.shape
    mid_row, mid_column = rows // 2, columns // 2
    here = image[row, column]
    count = 0
    for i in range(rows):
        for j in range(columns):
            rise = image[row - i + mid_row, column - j + mid_column] - here
            if rise + tip[i, j] >= -slack:
                found[count, 0], found[count, 1] = i, j
                count += 1
    return count


@numba.njit(cache=True, error_model="numpy")
def _fits(image, row, column, tip, i, j, threshold):
    """Tell whether the whole tip is below the image when its point (i, j) touches."""
    rows, columns = tip.shape
    level = image[row, column] - tip[i, j] - threshold
    top, left = row - i, column - j
    for k in range(rows):
        for m in range(columns):
            if image[top + k, left + m] < level + tip[k, m]:
                return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _refine_at(image, row, column, tip, threshold, slack, found):
    """Lower the tip to what one image point allows; return how many tip points went down."""
    rows, columns = tip.shape
    count = _possible_contacts(image, row, column, tip, slack, found)
    for n in range(count):
        if _fits(image, row, column, tip, found[n, 0], found[n, 1], threshold + slack):
            return 0
    here = image[row, column]
    lowered = 0
    for k in range(rows):
        for m in range(columns):
            bound = -np.inf
            for n in range(count):
                i, j = found[n, 0], found[n, 1]
                bound = max(bound, image[row - i + k, column - j + m] - here + tip[i, j])
            if bound < tip[k, m] - threshold:
                tip[k, m] = bound + threshold
                lowered += 1
    return lowered


@numba.njit(cache=True, error_model="numpy")
def refine(image, points, tip, threshold, slack, passes):
    """Lower a tip in place over image points until none lowers it any more.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
    points : ndarray of int, shape (n, 2)
        Rows and columns, at least the tip's size less one away from every edge.
    tip : ndarray, shape (m, n), odd
        Apex in the middle with height 0; the same unit as the image.
    threshold : float
        What a bound must be lower by to count, and is raised by when it does.
    slack : float
        Rounding of the image: a contact is possible to within this.
    passes : int
        At most so many over all points.

    Returns
    -------
    int
        Passes made; `passes` + 1 if the tip still changed in the last.
    """
    found = np.empty((tip.size, 2), np.int64)
    for turn in range(passes):
        lowered = 0
        for n in range(points.shape[0]):
            lowered += _refine_at(image, points[n, 0], points[n, 1], tip, threshold, slack, found)
        if lowered == 0:
            return turn + 1
    return passes + 1


@numba.njit(cache=True, error_model="numpy")
def binding(image, points, tip, depth, slack):
    """Count the image points whose bound is the tip itself somewhere.

    Parameters
    ----------
    image, points, tip : as in `refine`
    depth : float
        Only tip points at most so far below the apex count.
    slack : float
        How near a bound must be.

    Returns
    -------
    int
    """
    rows, columns = tip.shape
    mid_row, mid_column = rows // 2, columns // 2
    count = 0
    for n in range(points.shape[0]):
        row, column = points[n, 0], points[n, 1]
        here = image[row, column]
        near = 0
        for k in range(rows):
            for m in range(columns):
                if tip[k, m] < -depth or tip[k, m] == 0.0:
                    continue
                bound = image[row + k - mid_row, column + m - mid_column] - here
                if bound <= tip[k, m] + slack:
                    near += 1
        if near > 0:
            count += 1
    return count


@numba.njit(cache=True, error_model="numpy")
def contacts(image, surface, tip, slack):
    """Tell where a surface point was touched by one known tip point (Villarrubia 1997, sec. 4).

    Parameters
    ----------
    image, surface : ndarray, shape (rows, columns)
        The surface is the erosion of the image by the tip.
    tip : ndarray, shape (m, n), odd
    slack : float
        A tip point touches when it is this near.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        Surface points that are known for sure.
    """
    rows, columns = image.shape
    tip_rows, tip_columns = tip.shape
    mid_row, mid_column = tip_rows // 2, tip_columns // 2
    certain = np.zeros(image.shape, np.bool_)
    for row in range(mid_row, rows - mid_row):
        for column in range(mid_column, columns - mid_column):
            limit = image[row, column] - slack
            count, at_row, at_column = 0, 0, 0
            for i in range(tip_rows):
                for j in range(tip_columns):
                    y, x = row - i + mid_row, column - j + mid_column
                    if surface[y, x] + tip[i, j] >= limit:
                        count += 1
                        at_row, at_column = y, x
                if count > 1:
                    break
            if count == 1:
                certain[at_row, at_column] = True
    return certain
