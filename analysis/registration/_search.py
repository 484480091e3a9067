"""Which whole-pixel shift explains two images best? The coarse half of `registration`.

On whitened images (`_whitening`) a shift d that leaves n common pixels, independent values among
them a share beta, with the correlation rho on its own overlap, has the log likelihood
-(beta n/2) log(1 - rho²), against no shift at all. All shifts are scored by one padded FFT
correlation; the prior is added, with a tail that no prior closes; of the best few the correlation
is judged by the variance that it has where the specimen is unevenly filled. A periodic specimen
is first whitened of its lattice, then asked whether the lattice fits: it tells the shift but for
its periods.

Sources: Padfield, IEEE Trans. Image Process. 21 (2012) 2706 (own overlap); White, Econometrica
48 (1980) 817 (variance of a sum of uneven terms).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, correlate
from ._fields import inner, overlap_slices
from ._kernels import energies
from ._whitening import Band, Whitened, whiten

__all__ = ["PRIOR_REACH", "Candidate", "search"]

# Shifts further than this from the expected one are surprises (standard deviations).
PRIOR_REACH = 5.0
# An expectation is wrong for unknown reasons this often.
_PRIOR_TAIL = 1e-5

_CANDIDATES = 8
# What a lattice can say of a shift: as much as this log likelihood, however large the field.
_LATTICE_NATS = 30.0
# Shifts where it fits less well than this, beside the best, are not of the lattice.
_LEAST_FIT = 0.5
# Beside an expectation what is left without the lattice counts less, and less than the tail: it
# can leave the choice open, not make it.
_REST_OF_LATTICE = np.float32(1.0 / 3.0)
_REST_NATS = np.float32(9.0)
# A whitened overlap with less than this share of its variance is empty.
_LEAST_ENERGY = 0.02
_GREATEST_RHO = 0.9995
# A second peak with this share of the best one's likelihood is looked at twice, if the products
# that make one of them vary this many times more than on an evenly filled specimen.
_RIVAL = 0.3
_UNEVEN = 1.5
# A shift chosen for its brightest feature is tested by the others, once: chance exp(-6).
_BEYOND_NATS = 6.0
# Shifts this small may be those of what rests before the detector.
_AT_REST_PX = 2.0
_SELF_LIKENESS = 0.5
# Standard deviations of a whitened image beyond which an edge is strong.
_STRONG_EDGE = 3.0

_Prior = tuple[NDArray[np.float64], NDArray[np.float64]] | None
_Region = tuple[slice, slice]


@dataclass(frozen=True)
class Candidate:
    """The best shift of a search and how far it stands out.

    Parameters
    ----------
    shift : ndarray, shape (2,)
        (rows, columns) px, to a fraction of a pixel.
    margin : float
        By how much its log posterior exceeds that of the second best.
    ratio : float
        Log posterior of the second best over that of the best, 0..1.
    periodic : bool
        Whether the specimen is.
    beyond : float
        Log likelihood of the shift without what the brightest feature says of it, less what it
        must at least be.
    """

    shift: NDArray[np.float64]
    margin: float
    ratio: float
    beyond: float
    periodic: bool


def search(
    fixed: Image,
    moving: Image,
    prior: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    min_overlap: float,
) -> Candidate:
    """Find the most probable shift.

    Parameters
    ----------
    fixed, moving : ndarray, shape (rows, columns)
        The images.
    prior : (centre, sigma) or None
        Expected shift and its standard deviation, each (rows, columns) px.
    min_overlap : float
        Least share of the field that must overlap.
    """
    pair = whiten(fixed, moving)
    if prior is not None:
        prior = prior[0] / pair.scale, prior[1] / pair.scale
    found = _best(pair, prior, min_overlap)
    if np.abs(found.shift).max() > _AT_REST_PX:
        return found
    if pair.lattice is None:
        return _beside_what_rests(pair, prior, min_overlap, found)
    # what is left without the lattice is little beside a pattern of the detector
    return found if prior is not None else replace(found, beyond=-np.inf)


def _best(pair: Whitened, prior: _Prior, min_overlap: float, least_px: float = 0.0) -> Candidate:
    """Best of the shifts of at least so many pixels (of the whitened images) along some axis."""
    shape = pair.whole.first.shape
    reach = (
        min(shape[0] - 2, int((1.0 - min_overlap) * shape[0])),
        min(shape[1] - 2, int((1.0 - min_overlap) * shape[1])),
    )
    shifts = [np.arange(-r, r + 1) for r in reach]
    correlation = correlate(pair.whole.first, pair.whole.second, reach)
    if pair.pattern is not None:
        _take_out(correlation, pair.pattern, reach)
    likelihood = _likelihood(correlation, pair.whole, reach)
    if pair.lattice is not None and prior is not None:
        # what is left of the lattice makes false peaks of its own
        likelihood = np.minimum(_REST_OF_LATTICE * likelihood, _REST_NATS)
    scores = likelihood.copy()
    if pair.lattice is not None:
        scores += _lattice_fit(pair.lattice, reach, _within_reach(shifts, prior))
    if prior is not None:
        scores += _log_prior(shifts, *prior)
    scores[_common(shape, reach) < min_overlap * shape[0] * shape[1]] = -np.inf
    near = [np.flatnonzero(np.abs(s) < least_px) for s in shifts]
    scores[np.ix_(*near)] = -np.inf
    places = _peaks(scores, _apart(pair.whole))
    if not places:
        raise ValueError(f"no shift leaves an overlap of {min_overlap:.0%}: ask for less")
    image = np.array([float(likelihood[place]) for place in places])
    other = np.array([float(scores[place]) for place in places]) - image
    found = [np.array([s[i] for s, i in zip(shifts, place, strict=True)]) for place in places]
    if pair.lattice is None and image[1:2].max(initial=0.0) > _RIVAL * image[0]:
        image = _told_apart(pair, found, image)
    posterior = image + other
    order = np.argsort(-posterior, kind="stable")
    best, second = order[0], order[min(1, len(order) - 1)]
    # what the lattice says, it says of every period
    floor = 0.0 if pair.lattice is None else _LATTICE_NATS
    above = max(float(posterior[best]) - floor, 1e-6)
    beyond = np.inf
    if pair.lattice is None or prior is None:
        needed = _BEYOND_NATS if pair.lattice is None else 2.0 * _BEYOND_NATS
        if prior is not None:
            # where few shifts are likely, less has to be ruled out
            likely = float(np.clip(2.0 * np.pi * np.prod(prior[1]), 2.0, scores.size))
            needed *= float(np.log(likely) / np.log(scores.size))
        beyond = _without_brightest(pair.whole, found[best]) - needed
    return Candidate(
        shift=pair.scale * (found[best] + _parabola(correlation, *places[best])),
        margin=float(posterior[best] - posterior[second]),
        ratio=float(np.clip((posterior[second] - floor) / above, 0.0, 1.0)),
        beyond=beyond,
        periodic=pair.lattice is not None,
    )


def _beside_what_rests(
    pair: Whitened, prior: _Prior, min_overlap: float, at_rest: Candidate
) -> Candidate:
    """The shift of the specimen, if the best one is that of what rests before the detector.

    A specimen has one shift. Where another holds all over the field too, once strong edges count no
    more than all the rest, and the image is not like itself there, the one at zero is that of dirt
    or of an aperture.
    """
    images = [
        np.clip(image, -_STRONG_EDGE, _STRONG_EDGE)
        for image in (pair.whole.first, pair.whole.second)
    ]
    plain = Band(images[0], images[1], pair.whole.bandwidth)
    moved = _best(replace(pair, whole=plain, pattern=None), prior, min_overlap, _apart(plain))
    chance = np.log(pair.whole.bandwidth * 4.0 * images[0].size)
    shift = np.rint(moved.shift / pair.scale).astype(int)
    alike = _on_overlap(Band(images[0], images[0], plain.bandwidth), shift)[0]
    if moved.beyond > chance and alike < _SELF_LIKENESS * _on_overlap(plain, shift)[0]:
        return moved
    return at_rest


def _apart(band: Band) -> int:
    """How far out a peak of a pass band this narrow has side lobes, px."""
    return int(np.ceil(2.0 / np.sqrt(band.bandwidth))) + 2


def _told_apart(
    pair: Whitened, shifts: list[NDArray[np.int_]], likelihoods: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log likelihoods of a few shifts, by bands if the specimen is unevenly filled.

    Where few bright features make the correlation, two of them that happen to lie alike make a
    peak. The right shift brings all that both images show together, so that it correlates nearly
    wholly at the frequencies that stand clear of the noise.
    """
    if max(_on_overlap(pair.whole, shift)[1] for shift in shifts[:2]) < _UNEVEN:
        return likelihoods
    bands = pair.bands()
    found = likelihoods.copy()
    for number, shift in enumerate(shifts):
        if np.abs(shift).max() <= 1 and pair.pattern is not None:
            continue
        pixels = float(np.prod(np.array(pair.whole.first.shape) - np.abs(shift)))
        found[number] = sum(
            _nats(rho, uneven, band.bandwidth * pixels)
            for band in bands
            for rho, uneven in [_on_overlap(band, shift)]
        )
    return found


def _nats(rho: float, uneven: float, independent: float) -> float:
    """Log likelihood of a correlation of so many independent values."""
    likelihood = -0.5 * independent * np.log1p(-min(rho * rho, _GREATEST_RHO**2))
    return float(np.sign(rho) * likelihood / np.sqrt(uneven))


def _without_brightest(band: Band, shift: NDArray[np.int_]) -> float:
    """Log likelihood of a shift from all of the overlap but where it is greatest.

    One particle fits on any other like it: only what lies around can tell.
    """
    from scipy.ndimage import uniform_filter

    a, b = _overlap(band, shift)
    side = max(24, min(band.first.shape) // 4)
    local = uniform_filter(a * b, side // 2, mode="constant")
    row, column = divmod(int(np.argmax(local)), a.shape[1])
    kept = np.ones(a.shape, np.float32)
    kept[
        max(0, row - side // 2) : row + side // 2 + 1,
        max(0, column - side // 2) : column + side // 2 + 1,
    ] = 0.0
    pixels = float(kept.sum())
    if not pixels:
        return 0.0
    rho, uneven = _correlation(a * kept, b * kept, pixels)
    return _nats(rho, uneven, band.bandwidth * pixels)


def _overlap(band: Band, shift: NDArray[np.int_]) -> tuple[Image, Image]:
    """Both images on the overlap that a shift leaves, zero mean."""
    rows, columns = (
        overlap_slices(int(d), n) for d, n in zip(shift, band.first.shape, strict=True)
    )
    a, b = band.first[rows[0], columns[0]], band.second[rows[1], columns[1]]
    return a - a.mean(), b - b.mean()


def _on_overlap(band: Band, shift: NDArray[np.int_]) -> tuple[float, float]:
    a, b = _overlap(band, shift)
    return _correlation(a, b, float(a.size))


def _correlation(a: Image, b: Image, pixels: float) -> tuple[float, float]:
    """Correlation of two images of zero mean, and how unevenly it is made, 1 or more.

    The variance of a sum of products is that of the products found, n <a² b²>, in units of what
    evenly filled images would show, n <a²> <b²> (1 + 2 rho²).
    """
    squares = max(inner(a, a) * inner(b, b), 1e-30)
    rho = inner(a, b) / np.sqrt(squares)
    product = a * b
    return rho, max(1.0, pixels * inner(product, product) / squares / (1.0 + 2.0 * rho**2))


def _likelihood(correlation: Image, band: Band, reach: tuple[int, int]) -> Image:
    """Log likelihood of every shift."""
    shape = band.first.shape
    rho = energies(band.first, _LEAST_ENERGY, *reach)
    rho *= energies(band.second, _LEAST_ENERGY, *reach)[::-1, ::-1]
    np.sqrt(rho, out=rho)
    np.divide(correlation, rho, out=rho)
    np.clip(rho, -_GREATEST_RHO, _GREATEST_RHO, out=rho)
    scores = np.square(rho)
    np.negative(scores, out=scores)
    np.log1p(scores, out=scores)
    np.copysign(scores, rho, out=scores)
    scores *= _common(shape, reach)
    scores *= np.float32(0.5 * band.bandwidth)
    return scores


@lru_cache(maxsize=8)
def _common(shape: tuple[int, ...], reach: tuple[int, int]) -> Image:
    """Common pixels of every shift within reach."""
    rows, columns = (
        (n - np.abs(np.arange(-r, r + 1))).astype(np.float32)
        for n, r in zip(shape, reach, strict=True)
    )
    return rows[:, None] * columns[None, :]


def _take_out(correlation: Image, pattern: Image, reach: tuple[int, int]) -> None:
    """Subtract what the detector's pattern adds about the shift zero."""
    rows, columns = (min(r, n // 2 - 1) for r, n in zip(reach, pattern.shape, strict=True))
    part = np.roll(pattern, (rows, columns), axis=(0, 1))[: 2 * rows + 1, : 2 * columns + 1]
    correlation[
        reach[0] - rows : reach[0] + rows + 1, reach[1] - columns : reach[1] + columns + 1
    ] -= part


def _lattice_fit(lattice: Band, reach: tuple[int, int], likely: _Region) -> Image:
    """Log likelihood that the lattice gives every shift: none is better than the best period.

    The tapered edges of the fields count more the less of them overlaps, so that the same lattice
    fits worse there: what fits best of the likely shifts fits as well as any.
    """
    rho = correlate(lattice.first, lattice.second, reach)
    first, second = (energies(im, _LEAST_ENERGY, *reach) for im in (lattice.first, lattice.second))
    rho /= np.sqrt(first * second[::-1, ::-1])
    greatest = max(float(rho.max()), 1e-6)
    local = float(rho[likely].max(initial=0.0))
    if local > _LEAST_FIT * greatest:
        rho[likely] *= np.float32(greatest / local)
    rho *= np.float32(_LATTICE_NATS / greatest)
    return rho


def _within_reach(shifts: list[NDArray[np.int_]], prior: _Prior) -> _Region:
    """Where the shifts are no surprise; nowhere without an expectation."""
    if prior is None:
        return slice(0), slice(0)
    rows, columns = (
        slice(*np.searchsorted(s, [c - PRIOR_REACH * w, c + PRIOR_REACH * w]))
        for s, c, w in zip(shifts, *prior, strict=True)
    )
    return rows, columns


def _log_prior(
    shifts: list[NDArray[np.int_]], centre: NDArray[np.float64], sigma: NDArray[np.float64]
) -> Image:
    """Log of a normal distribution with a tail, 0 at its centre."""
    rows, columns = (
        (-0.5 * ((s - c) / w) ** 2).astype(np.float32)
        for s, c, w in zip(shifts, centre, sigma, strict=True)
    )
    return np.logaddexp(rows[:, None] + columns[None, :], np.float32(np.log(_PRIOR_TAIL)))


def _peaks(scores: Image, apart: int) -> list[tuple[int, int]]:
    """Rows and columns of the best maxima that stand apart, best first."""
    left = scores.copy()
    peaks: list[tuple[int, int]] = []
    while len(peaks) < _CANDIDATES:
        row, column = divmod(int(np.argmax(left)), left.shape[1])
        if left[row, column] == -np.inf:
            break
        peaks.append((row, column))
        left[
            max(0, row - apart) : row + apart + 1,
            max(0, column - apart) : column + apart + 1,
        ] = -np.inf
    return peaks


def _parabola(values: Image, row: int, column: int) -> NDArray[np.float64]:
    """Fraction of a pixel from a parabola through the peak and its neighbours, each axis."""
    fraction = np.zeros(2)
    for axis, index in enumerate((row, column)):
        if not 0 < index < values.shape[axis] - 1:
            continue
        line = (
            values[row - 1 : row + 2, column] if axis == 0 else values[row, column - 1 : column + 2]
        )
        left, centre, right = (float(v) for v in line)
        bend = left - 2.0 * centre + right
        if bend < 0.0:
            fraction[axis] = np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    return fraction
