"""Where does every field of a mosaic lie, when more pairs overlap than are needed?

Each registered pair says p(second) - p(first) = shift, with its covariance; each stage position
says p = expected, with a generous sigma, and places the fields that no pair reaches. The positions
solve both by weighted least squares (sparse Cholesky-like factors), made robust by graduated
non-convexity; then each pair is judged by what all others predict for it, and the wrong ones are
left out and named.

Sources: Yang et al., IEEE Robot. Autom. Lett. 5 (2020) 1127 (graduated non-convexity); Baarda,
A Testing Procedure for Use in Geodetic Networks (1968) (a pair judged by all others).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._network import Network, short_loops

__all__ = ["Closure", "Outlier", "Pair", "Positions", "solve_positions"]

# Of 2000 right pairs of two components, one is this far out by chance (chi-square, 2 degrees of
# freedom: exp(-z²/2)); wrong pairs are wrong by many pixels.
_OUTLIER_Z = 4.5
_MEDIAN_CHI2_OF_TWO = 1.3863
_ROUNDS = 20


class _Registered(Protocol):
    @property
    def shift(self) -> NDArray[np.float64]: ...
    @property
    def covariance(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Pair:
    """Two fields and how far the second lies from the first.

    Parameters
    ----------
    first, second : int
        Numbers of the fields, from 0.
    shift : ndarray, shape (2,)
        p(second) - p(first), (rows, columns) px.
    covariance : ndarray, shape (2, 2)
        Of `shift`, px².
    """

    first: int
    second: int
    shift: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, first: int, second: int, registration: _Registered) -> Pair:
        """Pair of two fields from ``register(image of first, image of second)``."""
        return cls(first, second, registration.shift, registration.covariance)


@dataclass(frozen=True)
class Outlier:
    """A pair that all others contradict.

    Parameters
    ----------
    pair : int
        Its number in the pairs given.
    first, second : int
        Its fields.
    shift, predicted : ndarray, shape (2,)
        What it says and what all other pairs say, (rows, columns) px.
    z : float
        Distance of the two in standard deviations (Mahalanobis).
    """

    pair: int
    first: int
    second: int
    shift: NDArray[np.float64]
    predicted: NDArray[np.float64]
    z: float

    def __str__(self) -> str:
        says, others = (f"({v[0]:.1f}, {v[1]:.1f})" for v in (self.shift, self.predicted))
        where = f"fields {self.first}-{self.second}"
        return f"{where}: {says} px, all others say {others} ({self.z:.1f} sigma)"


@dataclass(frozen=True)
class Closure:
    """How well the pairs left in close their loops.

    Parameters
    ----------
    fields : tuple of tuple of int
        The fields of each loop: for each pair that closes one, the shortest way back.
    misfit : ndarray, shape (loops, 2)
        Sum of the shifts round the loop, (rows, columns) px; nothing if all were right.
    z : ndarray, shape (loops,)
        The same in standard deviations, from the covariances of its pairs alone.
    """

    fields: tuple[tuple[int, ...], ...]
    misfit: NDArray[np.float64]
    z: NDArray[np.float64]

    @property
    def rms(self) -> float:
        """Root mean square of both components, px; NaN without loops."""
        return float(np.sqrt(np.mean(self.misfit**2))) if len(self.misfit) else float("nan")


@dataclass(frozen=True)
class Positions:
    """Positions of all fields and how far they can be trusted.

    Parameters
    ----------
    position : ndarray, shape (n, 2)
        Of each field's first pixel, (rows, columns) px, in the frame of the expected positions.
    covariance : ndarray, shape (n, 2, 2)
        Of `position`, px²; holds the common offset of a group, which only the stage knows.
    relative_covariance : ndarray, shape (n, 2, 2)
        Of a position relative to the mean of its group, px²: what a montage sees.
    group : ndarray of int, shape (n,)
        Fields joined by pairs have the same number; a field without pairs is alone.
    scale : float
        How much larger the residuals are than their covariances say (1 or more); both covariances
        are already scaled with it.
    residual : ndarray, shape (pairs, 2)
        Shift less difference of the positions, px.
    outliers : tuple of Outlier
        The pairs left out, worst first.
    unchecked : tuple of int
        Pairs that nothing checks but the stage: no loop goes through them.
    closure : Closure
        Loops of the pairs left in.
    """

    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    relative_covariance: NDArray[np.float64]
    group: NDArray[np.int64]
    scale: float
    residual: NDArray[np.float64]
    outliers: tuple[Outlier, ...]
    unchecked: tuple[int, ...]
    closure: Closure


def solve_positions(
    pairs: Sequence[Pair],
    expected: ArrayLike,
    expected_sigma: float | Sequence[float] | NDArray[Any],
    *,
    outlier_z: float = _OUTLIER_Z,
) -> Positions:
    """Solve for the positions of all fields.

    Parameters
    ----------
    pairs : sequence of Pair
        Accepted registrations, any number, in any order.
    expected : array_like, shape (n, 2)
        Positions from the stage, (rows, columns) px.
    expected_sigma : float or (rows, columns)
        Standard deviation of one expected position, px; independent of the other fields'.
    outlier_z : float
        A pair further than this from what all others say is left out, standard deviations.

    Returns
    -------
    Positions

    Raises
    ------
    ValueError
        If a pair names a field that does not exist, or a number is not finite.
    """
    ends, shift, covariance, prior, sigma = _checked(pairs, expected, expected_sigma)
    network = Network(ends, shift, covariance, prior, sigma)
    kept, scale = _left_in(network, _robust_weights(network) > 0.5, outlier_z)
    # the pairs' covariances are scaled by what they are found to be, the stage's sigma is not
    weight = kept / scale**2
    position = network.solve(weight)
    factors = network.covariances(weight)
    residual = network.residual(position)
    z, misfit, free = network.judged(residual, weight, factors.of_pairs)
    outliers = sorted(
        (_outlier(k, pairs[k], misfit[k], float(z[k])) for k in np.flatnonzero(~kept).tolist()),
        key=lambda item: -item.z,
    )
    loops, sums, spreads = short_loops(ends, shift, covariance, kept, len(prior))
    closure_z = np.sqrt(np.einsum("ki,kij,kj->k", sums, np.linalg.inv(spreads), sums))
    return Positions(
        position=position,
        covariance=factors.absolute,
        relative_covariance=factors.relative,
        group=factors.group,
        scale=scale,
        residual=residual,
        outliers=tuple(outliers),
        unchecked=tuple(int(k) for k in np.flatnonzero(kept & ~free)),
        closure=Closure(loops, sums, closure_z),
    )


def _outlier(number: int, pair: Pair, misfit: NDArray[np.float64], z: float) -> Outlier:
    shift = np.asarray(pair.shift, dtype=float)
    return Outlier(number, pair.first, pair.second, shift, shift - misfit, z)


def _robust_weights(network: Network) -> NDArray[np.float64]:
    """Weights 0..1 of the pairs by graduated non-convexity.

    Geman & McClure's loss, (mu c / (mu c + z²))² as weight: convex for large mu, then hardened.
    The scale is that of the better half at every stage, so that it never rests on wrong pairs.
    """
    weight = np.ones(len(network.shift))
    if not weight.size:
        return weight
    z2 = network.z_squared(network.solve(weight))
    scale2 = _scale_squared(z2)
    hardness = max(1.0, 2.0 * float(z2.max()) / (_OUTLIER_Z**2 * scale2))
    while True:
        bound = hardness * _OUTLIER_Z**2 * scale2
        weight = (bound / (bound + z2)) ** 2
        z2 = network.z_squared(network.solve(np.maximum(weight, 1e-9) / scale2))
        scale2 = _scale_squared(z2)
        if hardness <= 1.0:
            return weight
        hardness = max(1.0, hardness / 2.0)


def _scale_squared(z2: NDArray[np.float64]) -> float:
    return max(1.0, float(np.median(z2)) / _MEDIAN_CHI2_OF_TWO)


def _left_in(
    network: Network, kept: NDArray[np.bool_], outlier_z: float
) -> tuple[NDArray[np.bool_], float]:
    """Leave out the pairs that the others contradict, take back those they do not."""
    scale = 1.0
    for _ in range(_ROUNDS):
        weight = kept / scale**2
        residual = network.residual(network.solve(weight))
        z, _, free = network.judged(residual, weight, network.pair_covariances(weight))
        checked = kept & free
        if checked.any():
            before = scale
            scale *= float(np.sqrt(np.median(z[checked] ** 2) / _MEDIAN_CHI2_OF_TWO))
            scale = max(1.0, scale)
            z = z * (before / scale)
        judged = z <= outlier_z
        worst = kept & ~judged
        if worst.any():
            # a wrong pair drags its neighbours: only those far worse than the limit, or half as
            # bad as the worst, go at once
            judged |= kept & (z < 0.5 * z[worst].max())
        if (judged == kept).all():
            break
        kept = judged
    return kept, scale


def _checked(
    pairs: Sequence[Pair], expected: ArrayLike, expected_sigma: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    prior = np.array(expected, dtype=float)
    if prior.ndim != 2 or prior.shape[1] != 2 or not len(prior) or not np.isfinite(prior).all():
        raise ValueError(
            f"expected positions of shape {prior.shape} are not allowed: "
            "finite, (fields, 2), (rows, columns) px"
        )
    sigma = np.asarray(expected_sigma, dtype=float)
    if sigma.shape not in ((), (2,)) or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError(
            f"expected_sigma is {expected_sigma!r}, must be one or two positive numbers, px"
        )
    for number, pair in enumerate(pairs):
        if not (0 <= pair.first < len(prior) and 0 <= pair.second < len(prior)):
            raise ValueError(
                f"pair {number} joins fields {pair.first} and {pair.second}, "
                f"there are 0..{len(prior) - 1}"
            )
        if pair.first == pair.second:
            raise ValueError(f"pair {number} joins field {pair.first} with itself")
    ends = np.array([(p.first, p.second) for p in pairs], dtype=np.int64).reshape(-1, 2)
    shift = np.array([p.shift for p in pairs], dtype=float).reshape(-1, 2)
    covariance = np.array([p.covariance for p in pairs], dtype=float).reshape(-1, 2, 2)
    numbers = np.concatenate([shift, covariance.reshape(-1, 4)], axis=1)
    finite = np.asarray(np.isfinite(numbers).all(axis=1))
    determinant = np.linalg.det(np.where(finite[:, None, None], covariance, 0.0))
    good = finite & (determinant > 0.0) & (covariance[:, 0, 0] > 0.0)
    if not good.all():
        number = int(np.argmin(good))
        raise ValueError(
            f"pair {number} (fields {ends[number, 0]}-{ends[number, 1]}) has a shift that is not "
            "finite or a covariance that is not positive: give accepted registrations only"
        )
    return ends, shift, covariance, prior, np.broadcast_to(sigma, (2,)).astype(float)
