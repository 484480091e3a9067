"""Where was the tip, and how fast, at each moment of one period of the comb?

The motion is the sum of the measured tones, sampled so finely that powers of it do not fold back
into the bands. Which sums of the carriers fall into a band decides what a power of the motion can
be told from (Borysov et al., section IV: "in the narrow bands only odd powers carry signal").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .measurement import Measurement, MeasurementError

__all__ = [
    "Alias",
    "Motion",
    "aliases",
    "carriers",
    "dense_spectrum",
    "minimum_samples",
    "motion",
    "motion_from_spectra",
    "spectrum",
]


@dataclass(frozen=True, eq=False)
class Motion:
    """One period of the tip's motion.

    Parameters
    ----------
    df : float
        One over the period, Hz.
    z, velocity : ndarray, shape (n,)
        Deflection, m, and its rate, m/s.
    y, lateral_velocity : ndarray, shape (n,), or None
        Of the torsional signal, where there is one.
    """

    df: float
    z: NDArray[np.float64]
    velocity: NDArray[np.float64]
    y: NDArray[np.float64] | None = None
    lateral_velocity: NDArray[np.float64] | None = None

    @property
    def lowest(self) -> float:
        """The lowest deflection, also between samples, m.

        Some twenty samples a cycle of the fastest mode miss a minimum by a percent of its
        amplitude; the cubic through deflection and velocity of both neighbours misses 1e-5.
        """
        after, later = np.roll(self.z, -1), np.roll(self.velocity, -1)
        turns = np.flatnonzero((self.velocity < 0.0) & (later >= 0.0))
        if not turns.size:
            return float(self.z.min())
        v0, v1 = self.velocity[turns], later[turns]
        step = 1.0 / (self.df * self.z.size)
        t = v0 / (v0 - v1)
        turned = (
            (1.0 + 2.0 * t) * (1.0 - t) ** 2 * self.z[turns]
            + t**2 * (3.0 - 2.0 * t) * after[turns]
            + step * t * (1.0 - t) * ((1.0 - t) * v0 - t * v1)
        )
        return float(min(turned.min(), self.z.min()))


@dataclass(frozen=True)
class Alias:
    """A sum of the carriers that falls onto another band than its own.

    Parameters
    ----------
    orders : tuple of int
        How often each carrier is in the sum, with its sign.
    band : int
        Number of the band it falls into.
    distance : float
        Of the sum from the middle of that band, in tones.
    """

    orders: tuple[int, ...]
    band: int
    distance: float

    @property
    def order(self) -> int:
        """The lowest power of the motion that makes it."""
        return sum(map(abs, self.orders))


def minimum_samples(highest_tone: int, degree: int) -> int:
    """Return how many samples a period keep powers up to `degree` from folding into the bands.

    The power `degree` reaches up to `degree` times the highest tone, and it must not fold back to
    below that tone; rounded up to a length that is quick to transform.
    """
    from scipy import fft  # takes long to import

    length = fft.next_fast_len((degree + 1) * highest_tone + 1, True)
    assert length is not None  # SciPy's annotation leaves the type open
    return int(length)


def spectrum(signal: ArrayLike) -> NDArray[np.complex128]:
    """Return the tones X_n of a real signal of one period, shape (n // 2 + 1,).

    x(t) = Re sum_n X_n exp(+i n 2 pi df t).
    """
    from scipy import fft  # takes long to import

    signal = np.asarray(signal, dtype=float)
    tones = np.asarray(fft.rfft(signal, axis=-1)) * (2.0 / signal.shape[-1])
    tones[..., 0] *= 0.5
    return tones


def _signal(tones: NDArray[np.complex128], samples: int) -> NDArray[np.float64]:
    from scipy import fft  # takes long to import

    coefficients = np.zeros(samples // 2 + 1, dtype=np.complex128)
    coefficients[: tones.size] = tones * (0.5 * samples)
    coefficients[0] = tones[0].real * samples
    return np.asarray(fft.irfft(coefficients, samples))


def motion_from_spectra(
    df: float,
    z: NDArray[np.complex128],
    y: NDArray[np.complex128] | None = None,
    *,
    samples: int,
) -> Motion:
    """Return the motion that spectra of all tones from 0 on describe.

    Parameters
    ----------
    df : float
        Hz.
    z, y : ndarray of complex, shape (m,), m <= samples // 2 + 1
        Tones 0 to m - 1 of the deflections, m.
    samples : int
        Of one period.
    """
    rate = 2j * np.pi * df
    parts = [_signal(z, samples), _signal(rate * np.arange(z.size) * z, samples)]
    if y is not None:
        parts += [_signal(y, samples), _signal(rate * np.arange(y.size) * y, samples)]
    return Motion(df, *parts)


def motion(
    measurement: Measurement,
    samples: int | None = None,
    *,
    degree: int = 21,
    tones: ArrayLike | None = None,
) -> Motion:
    """Return the engaged motion of the tip over one period.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel.
    samples : int, optional
        Of one period; as many as powers up to `degree` need by default.
    degree : int
        Highest power of the motion that will be looked at.
    tones : array_like, optional
        Mask or places of the tones to use, all by default.

    Raises
    ------
    MeasurementError
        If there are several pixels, or fewer samples than the highest tone needs.
    """
    if measurement.engaged.ndim != 1:
        raise MeasurementError(f"{measurement.pixels} pixels are given: choose one with pixel(i)")
    chosen = measurement if tones is None else measurement.select(tones)
    highest = int(chosen.tones.max(initial=0))
    if not highest:
        raise MeasurementError("no tone above 0 is chosen: there is no motion without one")
    samples = minimum_samples(highest, degree) if samples is None else samples
    if samples <= 2 * highest:
        raise MeasurementError(
            f"{samples} samples cannot hold tone {highest}: take more than twice"
        )
    dense = [
        dense_spectrum(chosen, axis, highest + 1) if axis in chosen.axes else None
        for axis in ("z", "y")
    ]
    z = np.zeros(1, dtype=np.complex128) if dense[0] is None else dense[0]
    return motion_from_spectra(measurement.df, z, dense[1], samples=samples)


def dense_spectrum(measurement: Measurement, axis: str, size: int) -> NDArray[np.complex128]:
    """Return all engaged tones 0 to size - 1 along `axis`, 0 where not measured, m."""
    own = measurement.on_axis(axis)
    tones = np.zeros(size, dtype=np.complex128)
    tones[measurement.tones[own]] = measurement.engaged[own]
    return tones


def carriers(measurement: Measurement) -> tuple[tuple[float, float], ...]:
    """Return middle and half width, in tones, of each band that holds tones.

    The bands of `Measurement.bands`; the middle is that of the tones weighted with the square of
    their free amplitude, where there is any: between the two drive tones of the band.
    """
    found = []
    for places in measurement.bands():
        if not places.size:
            continue
        tones = measurement.tones[places]
        weight = np.abs(measurement.free[places]) ** 2
        middle = 0.5 * float(tones[0] + tones[-1])
        if weight.sum() > 0.0:
            # A carrier lies half way between tones or on one: the beat is then symmetric.
            middle = round(2.0 * float(np.average(tones, weights=weight))) / 2.0
        found.append((middle, float(np.abs(tones - middle).max())))
    return tuple(found)


def aliases(
    middles: Sequence[float], degree: int, distance: float, *, parity: int | None = None
) -> tuple[Alias, ...]:
    """Return the sums of carriers up to `degree` of them that fall near another's band.

    Parameters
    ----------
    middles : sequence of float
        Of the bands, in tones.
    degree : int
        Highest power of the motion.
    distance : float
        How near, in tones.
    parity : {0, 1}, optional
        Only even, or only odd powers.

    Returns
    -------
    tuple of Alias
        The lowest order first.
    """
    found = []
    for orders in product(range(-degree, degree + 1), repeat=len(middles)):
        order = sum(map(abs, orders))
        if order > degree or (parity is not None and order % 2 != parity):
            continue
        total = float(np.dot(orders, middles))
        for band, middle in enumerate(middles):
            own = tuple(int(i == band) for i in range(len(middles)))
            if orders != own and abs(total - middle) <= distance:
                found.append(Alias(orders, band, total - middle))
    return tuple(sorted(found, key=lambda alias: (alias.order, abs(alias.distance))))
