"""Closed form of the tones of a power of the motion, on a handful of slow samples.

The motion z = Re(b1 exp(i W1 t)) + Re(b2 exp(i W2 t)) has slow envelopes b. Averaged over both
fast phases, the part of z^i near W1 is b1 times a polynomial of |b1|^2 and |b2|^2: with even m and
mean(cos^2p) = C(2p, p) / 4^p,

    sum_m C(i, m) mean(cos^m) 2 mean(cos^(i-m+1)) |b1|^(i-m-1) |b2|^m,

and near W2 the same with 1 and 2 exchanged. This holds while no other sum of the carriers falls
into a band; then 64 samples of the envelopes stand for 2e5 of the motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from .measurement import Measurement, MeasurementError
from .motion import aliases, carriers

__all__ = ["SlowPlan", "check_aliases", "plan"]


@dataclass(frozen=True, eq=False)
class SlowPlan:
    """What all pixels of a map share.

    Parameters
    ----------
    samples : int
        Of the envelopes in one period.
    motion : ndarray of complex, shape (bands, tones, samples)
        Phase factors from the tones to the envelopes; 0 for the tones of other bands.
    places : ndarray of int, shape (equations,)
        Which tones are equations, the tones of the first band first.
    first : ndarray of int, shape (bands + 1,)
        Where the equations of each band begin.
    kernel : ndarray of complex, shape (equations, samples)
        Phase factors from the envelopes to the equations, over the number of samples.
    weights : ndarray, shape (powers, powers)
        Row p, column q: what |b1|^2(p-q) |b2|^2q has in the power 2p + 1.
    """

    samples: int
    motion: NDArray[np.complex128]
    places: NDArray[np.int64]
    first: NDArray[np.int64]
    kernel: NDArray[np.complex128]
    weights: NDArray[np.float64]


def _mean_cosine(power: int) -> float:
    return comb(power, power // 2) / 2.0**power


def _weights(degree: int) -> NDArray[np.float64]:
    powers = degree // 2 + 1
    weights = np.zeros((powers, powers))
    for p in range(powers):
        i = 2 * p + 1
        for q in range(p + 1):
            m = 2 * q
            weights[p, q] = comb(i, m) * _mean_cosine(m) * 2.0 * _mean_cosine(i - m + 1)
    return weights


def plan(
    measurement: Measurement, equations: NDArray[np.int64], degree: int, samples: int
) -> SlowPlan:
    """Return the plan for the tones of a measurement, which must lie in one or two bands.

    Raises
    ------
    MeasurementError
        If tones lie outside of the bands, or there are not one or two of these.
    """
    bands = [places for places in measurement.bands() if places.size]
    _check_bands(measurement, bands)
    middles = [middle for middle, _ in carriers(measurement)]
    turns = 2j * np.pi * np.arange(samples) / samples
    offsets = np.zeros(measurement.tones.size)
    motion = np.zeros((len(bands), measurement.tones.size, samples), dtype=np.complex128)
    for band, (places, middle) in enumerate(zip(bands, middles, strict=True)):
        offsets[places] = measurement.tones[places] - np.floor(middle)
        motion[band, places] = np.exp(np.outer(offsets[places], turns))
    own = [places[np.isin(places, equations)] for places in bands]
    order = np.concatenate(own)
    return SlowPlan(
        samples=samples,
        motion=motion,
        places=order,
        first=np.cumsum([0, *(places.size for places in own)]),
        kernel=np.asarray(np.exp(-np.outer(offsets[order], turns)) / samples, np.complex128),
        weights=_weights(degree),
    )


def check_aliases(measurement: Measurement, degree: int, samples: int) -> None:
    """Refuse carriers of which another sum falls into a band.

    Powers spread round the sums of the carriers as far as `samples` slow samples can tell.

    Raises
    ------
    MeasurementError
        That names the sum.
    """
    found = carriers(measurement)
    middles = [middle for middle, _ in found]
    folded = aliases(middles, degree + 1, 0.5 * samples + max(width for _, width in found))
    if not folded:
        return
    orders = " + ".join(
        f"{n} x {middle:g}" for n, middle in zip(folded[0].orders, middles, strict=True)
    )
    raise MeasurementError(
        f"aliased powers: {orders} falls {abs(folded[0].distance):g} tones from band "
        f"{folded[0].band + 1}; take reconstruct_polynomial, or drive at other tones"
    )


def _check_bands(measurement: Measurement, bands: Sequence[NDArray[np.int64]]) -> None:
    if not measurement.on_axis("z").all():
        raise MeasurementError("tones along y are given: maps are of flexural tones only")
    if len(bands) not in (1, 2):
        raise MeasurementError(f"tones lie in {len(bands)} bands: one or two are wanted")
    outside = np.setdiff1d(np.arange(measurement.tones.size), np.concatenate(bands))
    if outside.size:
        raise MeasurementError(f"tone {measurement.tones[outside[0]]} is in no flexural band")
