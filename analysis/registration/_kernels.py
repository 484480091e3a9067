"""The sums of registration in compiled arithmetic: one pass each, in one order on every machine."""

from __future__ import annotations

import numba
import numpy as np

__all__ = [
    "energies",
    "line_scores",
    "moments",
    "products",
    "ring_sums",
    "scatter",
    "spikes_out",
    "tapered",
    "weighted_cross",
]


@numba.njit(cache=True, error_model="numpy")
def spikes_out(image, bound):
    """Return an image whose pixels beyond all four neighbours by `bound` have the mean of these.

    Neighbours beyond an edge are mirrored; the first and the last column are left as they are.
    """
    rows, columns = image.shape
    cleaned = image.copy()
    for i in range(rows):
        above, below = abs(i - 1), rows - 1 - abs(rows - 2 - i)
        for j in range(1, columns - 1):
            value, left, right = image[i, j], image[i, j - 1], image[i, j + 1]
            high = value - left > bound and value - right > bound
            low = left - value > bound and right - value > bound
            if not (high or low):
                continue
            up, down = image[above, j], image[below, j]
            greatest, least = max(left, right, up, down), min(left, right, up, down)
            if value > greatest + bound or value < least - bound:
                cleaned[i, j] = (left + right + up + down) / np.float32(4.0)
    return cleaned


@numba.njit(cache=True, error_model="numpy")
def energies(image, least, reach_rows, reach_columns):
    """Sums of squares over what a shift leaves of an image, for all shifts within reach.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
    least : float
        Mean square that an overlap has at least, as a share of that of the image.
    reach_rows, reach_columns : int

    Returns
    -------
    ndarray of float32, shape (2 reach_rows + 1, 2 reach_columns + 1)
        The shift zero is in the middle; a positive one leaves the last rows or columns.
    """
    rows, columns = image.shape
    total = np.zeros((rows + 1, columns + 1))
    for i in range(rows):
        line = 0.0
        for j in range(columns):
            line += image[i, j] * image[i, j]
            total[i + 1, j + 1] = total[i, j + 1] + line
    least_mean = least * total[rows, columns] / (rows * columns)
    result = np.empty((2 * reach_rows + 1, 2 * reach_columns + 1), np.float32)
    for i in range(-reach_rows, reach_rows + 1):
        top, bottom = max(0, i), rows + min(0, i)
        for j in range(-reach_columns, reach_columns + 1):
            left, right = max(0, j), columns + min(0, j)
            inside = (
                total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
            )
            floor = least_mean * (bottom - top) * (right - left)
            result[i + reach_rows, j + reach_columns] = max(inside, floor)
    return result


@numba.njit(cache=True, error_model="numpy")
def ring_sums(first, second, turn_rows, turn_columns, rings, count):
    """Aligned cross power and the powers of two spectra, summed over each ring, shape (3, count).

    `turn_rows` and `turn_columns` are the phase factors that align the second with the first.
    """
    sums = np.zeros((3, count))
    for i in range(first.shape[0]):
        for j in range(first.shape[1]):
            a, b, ring = first[i, j], second[i, j], rings[i, j]
            turned = a * b.conjugate() * (turn_rows[i] * turn_columns[j])
            sums[0, ring] += turned.real
            sums[1, ring] += a.real * a.real + a.imag * a.imag
            sums[2, ring] += b.real * b.real + b.imag * b.imag
    return sums


@numba.njit(cache=True, error_model="numpy")
def weighted_cross(first, second, table, rings):
    """Cross spectrum, each bin with the weight of its ring; a half spectrum stands for both."""
    terms = np.empty(first.shape, np.complex64)
    for i in range(first.shape[0]):
        for j in range(first.shape[1]):
            weight = table[rings[i, j]] * np.float32(1.0 if j == 0 else 2.0)
            terms[i, j] = first[i, j] * second[i, j].conjugate() * weight
    return terms


@numba.njit(cache=True, error_model="numpy")
def moments(terms, turn, frequency):
    """Sums along each line of terms times turn times frequency^n, n = 0, 1, 2, shape (3, lines)."""
    sums = np.zeros((3, terms.shape[0]), np.complex128)
    for i in range(terms.shape[0]):
        for j in range(terms.shape[1]):
            term = terms[i, j] * turn[j]
            sums[0, i] += term
            sums[1, i] += term * frequency[j]
            sums[2, i] += term * (frequency[j] * frequency[j])
    return sums


@numba.njit(cache=True, error_model="numpy")
def scatter(terms, turn_rows, turn_columns, frequency_rows, frequency_columns):
    """Squares of the gradient's terms, sum of Im(terms turn)² omega omega^T, shape (2, 2)."""
    across, mixed, down = 0.0, 0.0, 0.0
    for i in range(terms.shape[0]):
        for j in range(terms.shape[1]):
            rest = (terms[i, j] * (turn_rows[i] * turn_columns[j])).imag
            square = np.float64(rest) * rest
            down += square * frequency_rows[i] * frequency_rows[i]
            mixed += square * frequency_rows[i] * frequency_columns[j]
            across += square * frequency_columns[j] * frequency_columns[j]
    return np.array([[down, mixed], [mixed, across]])


@numba.njit(cache=True, error_model="numpy")
def line_scores(first, second, slope_first, slope_second, frequency):
    """Gradient of the criterion along rows and columns, and the power, of each line.

    Parameters
    ----------
    first, second : ndarray of complex64, shape (lines, bins)
        Spectra of the aligned lines.
    slope_first, slope_second : ndarray of complex64, shape (lines, bins)
        Their derivatives along the rows.
    frequency : ndarray, shape (bins,)
        Angular, along the columns.

    Returns
    -------
    ndarray, shape (lines, 3)
    """
    scores = np.zeros((first.shape[0], 3))
    for i in range(first.shape[0]):
        for j in range(first.shape[1]):
            twice = 1.0 if j == 0 else 2.0
            a, b, da, db = first[i, j], second[i, j], slope_first[i, j], slope_second[i, j]
            rise = (da * b.conjugate()).real - (a * db.conjugate()).real
            scores[i, 0] += 0.5 * twice * rise
            scores[i, 1] -= twice * frequency[j] * (a * b.conjugate()).imag
            power = a.real * a.real + a.imag * a.imag + b.real * b.real + b.imag * b.imag
            scores[i, 2] += twice * power
    return scores


@numba.njit(cache=True, error_model="numpy")
def products(first, second):
    """Sums of first times second, first squared and second squared of two half spectra's images."""
    both, own, other = 0.0, 0.0, 0.0
    for i in range(first.shape[0]):
        for j in range(first.shape[1]):
            twice = 1.0 if j == 0 else 2.0
            a, b = first[i, j], second[i, j]
            both += twice * (a.real * b.real + a.imag * b.imag)
            own += twice * (a.real * a.real + a.imag * a.imag)
            other += twice * (b.real * b.real + b.imag * b.imag)
    return both, own, other


@numba.njit(cache=True, error_model="numpy")
def tapered(image, rows, columns, window_rows, window_columns):
    """Subtract an offset of each row and of each column, then multiply by two windows."""
    result = np.empty(image.shape, np.float32)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            rest = image[i, j] - rows[i] - columns[j]
            result[i, j] = rest * window_rows[i] * window_columns[j]
    return result
