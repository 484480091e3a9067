"""What do the spectra of two images hold: specimen, noise, spots of a lattice, detector pattern?

The power of a ring is the geometric mean of its bins, which a few strong ones do not move, times
what makes it the mean of an exponential distribution; the noise is white, its level that of the
highest frequencies. A pattern of the detector is what both images hold at the same pixels: its
bins have one phase in both, at frequencies too high for the specimen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._fft import Image, Spectrum, forward
from ._fields import edge_taper, plane, ring_index, ring_members
from ._kernels import tapered

__all__ = ["PairSpectra", "local_mean", "ring_power", "windowed"]

_TAPER = 0.06
# Mean over geometric mean of an exponential distribution: exp of Euler's constant.
_MEAN_OVER_GEOMETRIC = 1.7810724
# A bin whose neighbourhood is this many times above its ring is a spot of a lattice.
_SPOT = 6.0
# A specimen with more of its signal than this in spots is periodic.
_PERIODIC_SHARE = 0.5
# From this frequency on (cycles/px) there is noise, and what the detector adds to both images.
_NOISE_FROM = 0.45
_PATTERN_Z = 3.0
# What leaks from the strongest ring through the window's edges stays below this share of it.
_DYNAMIC_RANGE = 1e-6


@dataclass(frozen=True)
class PairSpectra:
    """The spectra of two windowed images of equal shape.

    Parameters
    ----------
    spectra : two ndarrays of complex64, shape (rows, columns // 2 + 1)
    rings : ndarray of int, as the spectra
        Ring of each bin; `count` rings up to 0.5 cycles/px, what lies beyond in one more.
    ring_power : two ndarrays, shape (count + 1,)
        Signal and noise.
    signal_share : two ndarrays, shape (count + 1,)
        Of the ring's power, above 0.
    excess : ndarray of float32, as the spectra
        Mean power about a bin over that of its ring, geometric mean of both images.
    periodic : bool
        Whether most of the signal lies in the spots of a lattice.
    """

    spectra: tuple[Spectrum, Spectrum]
    rings: NDArray[np.intp]
    ring_power: tuple[NDArray[np.float64], NDArray[np.float64]]
    signal_share: tuple[NDArray[np.float64], NDArray[np.float64]]
    excess: Image
    periodic: bool

    @classmethod
    def of(cls, fixed: Image, moving: Image) -> PairSpectra:
        """Transform and measure two images."""
        spectra = forward(windowed(fixed)), forward(windowed(moving))
        rings, count = ring_index(fixed.shape)
        members = ring_members(fixed.shape)
        powers = [np.square(s.real) + np.square(s.imag) for s in spectra]
        of_rings = [ring_power(power, rings, members) for power in powers]
        noise = [
            max(float(r[int(2 * _NOISE_FROM * count) : -1].mean()), _DYNAMIC_RANGE * float(r.max()))
            for r in of_rings
        ]
        shares = [np.clip(1.0 - n / r, 1e-3, None) for n, r in zip(noise, of_rings, strict=True)]
        typical = np.sqrt(of_rings[0] * of_rings[1]).astype(np.float32)
        excess = local_mean(np.sqrt(powers[0] * powers[1])) / typical[rings]
        in_spots, signal = 0.0, 0.0
        for power, level in zip(powers, noise, strict=True):
            power[0, 0] = 0.0
            in_spots += float(power[excess > _SPOT].sum()) / level
            signal += float(power.sum()) / level - power.size
        return cls(
            spectra=spectra,
            rings=rings,
            ring_power=(of_rings[0], of_rings[1]),
            signal_share=(shares[0], shares[1]),
            excess=excess,
            periodic=in_spots > _PERIODIC_SHARE * max(signal, 1e-9),
        )

    @property
    def count(self) -> int:
        """Rings up to 0.5 cycles/px."""
        return len(self.ring_power[0]) - 1

    @property
    def spots(self) -> NDArray[np.bool_]:
        """Bins that belong to a spot, as the spectra."""
        return self.excess > _SPOT

    def pattern(self) -> float:
        """Power in each bin of a white pattern that both images hold at the same pixels, 0 or more.

        Taken out even where it is not significant: what is taken out of noise is noise.
        """
        first, second = (s[self.rings >= int(2 * _NOISE_FROM * self.count)] for s in self.spectra)
        return max(0.0, float((first * np.conj(second)).real.mean()))

    def without_lines(self) -> Image:
        """Transfer function without the lines and columns that both images hold alike."""
        passing = np.ones(self.rings.shape, np.float32)
        first, second = self.spectra
        along = (first[0] * np.conj(second[0])).real
        if _constant(along[self.rings[0] >= self.count // 2]):
            passing[[-1, 0, 1]] = 0.0
        along = (first[:, 0] * np.conj(second[:, 0])).real
        if _constant(along[self.rings[:, 0] >= self.count // 2]):
            passing[:, [0, 1]] = 0.0
        return passing


def _constant(cross: NDArray[np.float32]) -> bool:
    """Whether bins of a cross spectrum have a mean that noise does not have."""
    return bool(cross.mean() > _PATTERN_Z * cross.std() / np.sqrt(cross.size))


def windowed(image: Image) -> Image:
    """Without its plane, tapered, unit variance."""
    rows, columns = (edge_taper(n, _TAPER).astype(np.float32) for n in image.shape)
    flat: Image = tapered(image, *plane(image), rows, columns)
    flat /= np.float32(np.sqrt(np.mean(np.square(flat))) or 1.0)
    return flat


def ring_power(
    power: Image, rings: NDArray[np.intp], members: NDArray[np.int_]
) -> NDArray[np.float64]:
    """Mean power of each ring but for its spots, shape (count + 1,)."""
    logarithm = np.log(power + np.float32(1e-20))
    sums = np.bincount(rings.ravel(), logarithm.ravel(), members.size)
    return _MEAN_OVER_GEOMETRIC * np.exp(sums / np.maximum(members, 1))


def local_mean(power: Image) -> Image:
    """Mean of 3 x 3 bins."""
    rows = power + np.roll(power, 1, axis=0) + np.roll(power, -1, axis=0)
    padded = np.pad(rows, ((0, 0), (1, 1)), mode="edge")
    mean = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / np.float32(9.0)
    return mean.astype(np.float32, copy=False)
