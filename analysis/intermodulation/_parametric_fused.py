"""The equations of the law that maps use, van der Waals, DMT and exponential damping, made fast.

The same samples and the same sums as those of any law, but for one law in compiled arithmetic: no
array of the samples is made but the motion, and no Fourier transform but that of the completion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._parametric_damping import ExponentialDamping
from ._parametric_fused_descent import covariance_of
from ._parametric_fused_kernels import (
    COLUMNS,
    Along,
    Bands,
    accumulate,
    expand,
    forces,
    gather,
    motion,
    series,
    stiffness,
)
from ._parametric_law import Model, Prior
from ._parametric_problem import Contact, Problem
from ._parametric_sampling import Sampling
from ._parametric_tones import MOMENTS, Basis, Comb, choose_samples
from .measurement import Measurement
from .models import VdwDmt

__all__ = ["FusedProblem", "is_fusible"]

# Columns of the kernels that the force is the sum of, each times its parameter.
_PROPORTIONAL = [0, 1, 3, 4]


def is_fusible(model: Model, measurement: Measurement, sampling: Sampling) -> bool:
    """Return whether a `FusedProblem` can be made: its law, along z, with sums of tones sampled."""
    kinds = tuple(type(law) for law in model.laws)
    sampled = sampling.samples > 4 * int(measurement.tones.max())
    return kinds == (VdwDmt, ExponentialDamping) and set(measurement.axes) == {"z"} and sampled


@dataclass(frozen=True, eq=False)
class _Carried(Basis):
    """Samples turned back by each band's middle, without moments: `rows` is (groups, 2, n)."""

    along: Along


class _Lattice:
    """What the motions of one comb have in common: carriers, and expansions between tones."""

    def __init__(self, comb: Comb) -> None:
        self.firsts = comb.firsts()
        turns = (comb.middles[:, None] * np.arange(comb.samples)) % comb.samples
        angles = 2.0 * np.pi / comb.samples * turns
        # Single precision leaves 1e-15 m: half of the memory is read for each motion.
        self.carriers = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        groups = np.concatenate(
            [np.full(own.stop - own.start, g) for g, own in enumerate(comb.groups)]
        )
        self.bands = _bands(np.concatenate(comb.expansions), groups)
        self._comb = comb
        self._scale = np.where(comb.tones == 0, 1.0, 2.0) / comb.samples
        self._offsets = comb.tones - comb.middles[groups]
        self._widest = 2 * int(np.abs(self._offsets).max())
        span = np.arange(-self._widest, self._widest + 1)
        # Half of a tone belongs to its frequency, half to the negative one.
        halves = comb.expansion(span, 0) * np.where(span == 0, 1.0, 0.5)[:, None]
        self.pairs = _bands(halves, np.zeros(span.size, dtype=np.int64))

    def places(self, g: slice, h: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where in `pairs` the differences and the sums of two bands' tones are."""
        one, other = self._offsets[g][:, None], self._offsets[h]
        return one - other + self._widest, one + other + self._widest

    def envelopes(self, tones: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the Taylor series of each band in each block, (groups, blocks, moments)."""
        shape = (self._comb.middles.size, self._comb.blocks, MOMENTS)
        found = np.empty(shape, dtype=np.complex128)
        series(self.bands, self._scale, tones, self._comb.blocks, found)
        return found


def _bands(expansion: NDArray[np.complex128], groups: NDArray[np.int64]) -> Bands:
    real, imag = np.ascontiguousarray(expansion.real), np.ascontiguousarray(expansion.imag)
    return Bands(real, imag, groups)


class FusedProblem(Problem):
    """Equations of `VdwDmt() + ExponentialDamping()` along z, as `Problem` has them for any law."""

    def __init__(
        self, measurement: Measurement, model: Model, sampling: Sampling, priors: dict[str, Prior]
    ) -> None:
        super().__init__(measurement, model, sampling, priors)
        contact = model.laws[0]
        assert isinstance(contact, VdwDmt)
        self.radius = contact.radius
        self._used = np.append(model.free, True)
        self._comb = self._combs[0]
        self._lattice = _Lattice(self._comb)
        self._speeds = 2j * np.pi * self.df * self._comb.tones
        # Arrays of a whole period are made once. Single precision is enough for the small part of
        # the motion that the completion brings.
        self._whole = np.empty(self.samples)
        self._still, self._force = np.zeros((2, self.samples), dtype=np.float32)
        self._correction: NDArray[Any] = np.empty(self.samples, dtype=np.float32)
        self._speed: NDArray[Any] = np.empty(self.samples, dtype=np.float32)
        self._unmeasured = self._answers[0].astype(np.complex64)
        self._unmeasured[self._comb.tones] = 0.0
        self._rates = self._rate.astype(np.complex64)
        self._answer: NDArray[Any] = np.empty_like(self._rates)

    @property
    def bands(self) -> Bands:
        """What moments bring to the tones."""
        return self._lattice.bands

    # -- motion ------------------------------------------------------------------------------

    def completed(
        self,
        engaged: NDArray[np.complex128],
        contact: Contact,
        values: NDArray[np.float64],
    ) -> Contact:
        """Return the motion with the model's answer at the tones that were not measured."""
        samples = (contact.samples.places, contact.samples.weights)
        known = self.model.values(values[:-1])
        forces(known, self.radius, values[-1], self.along(contact), samples, self._force)
        np.fft.rfft(self._force, out=self._answer)
        self._answer *= self._unmeasured
        np.fft.irfft(self._answer, self.samples, out=self._correction)
        self._answer *= self._rates
        np.fft.irfft(self._answer, self.samples, out=self._speed)
        return self._corrected(engaged, values[-1], self._correction, self._speed)

    def contact(self, engaged: NDArray[np.complex128], height: float) -> Contact:
        """Return the motion of an engaged spectrum, tones (K,), that were measured alone."""
        return self._corrected(engaged, height, self._still, self._still)

    def _corrected(
        self,
        engaged: NDArray[np.complex128],
        height: float,
        correction: NDArray[np.float32],
        speed: NDArray[np.float32],
    ) -> Contact:
        lattice, whole = self._lattice, self._whole
        motion(lattice.envelopes(engaged), lattice.carriers, lattice.firsts, correction, whole)
        samples = choose_samples(height + whole, self._stride)
        starts = np.searchsorted(samples.places, lattice.firsts)
        count = samples.places.size
        velocity, offsets = np.empty(count), np.empty(count, dtype=np.float32)
        rows = np.empty((*lattice.carriers.shape[:2], count), dtype=np.float32)
        gather(
            samples.places,
            samples.weights,
            starts,
            lattice.envelopes(self._speeds * engaged),
            lattice.carriers,
            speed,
            velocity,
            offsets,
            rows,
        )
        z = whole[samples.places]
        basis = _Carried(rows, starts, Along(z, velocity, offsets, rows, starts))
        fastest = float(np.abs(velocity).max())
        return Contact(samples, z, velocity, None, float(whole.min()), fastest, (basis,))

    # -- equations ---------------------------------------------------------------------------

    def along(self, contact: Contact) -> Along:
        """Return the samples of a motion as the kernels take them."""
        (basis,) = contact.bases
        assert isinstance(basis, _Carried)
        return basis.along

    def tones(self, contact: Contact, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the model's force tones, N, (K,)."""
        return self.linearised(contact, values)[0]

    def linearised(
        self, contact: Contact, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Return the model's force tones (K,), N, and their slopes with the values (K, m + 1)."""
        known = self.model.values(values[:-1])
        moments = np.empty((self._comb.middles.size, COLUMNS, 2, self.bands.real.shape[1]))
        accumulate(known, self.radius, values[-1], self.along(contact), moments)
        slopes = np.empty((COLUMNS, self.free.size), dtype=np.complex128)
        for group, columns in enumerate(moments):
            for (real, imag), own in zip(columns, slopes, strict=True):
                expand(self.bands, group, real, imag, own)
        return known[_PROPORTIONAL] @ slopes[_PROPORTIONAL], slopes[self._used].T

    # -- noise -------------------------------------------------------------------------------

    def covariance(
        self, contact: Contact, values: NDArray[np.float64], force: NDArray[np.complex128]
    ) -> NDArray[np.float64]:
        """Return the lower triangle of what `Problem.covariance` returns."""
        one, other = self._answer_to_motion(contact, values)
        return covariance_of(one, other, 1.0 / self.response, self.noise, self.floor(force))

    def _answer_to_motion(
        self, contact: Contact, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        lattice, groups = self._lattice, self._comb.groups
        shape = (len(groups), len(groups), 2, 2, lattice.pairs.groups.size)
        spectra = np.empty(shape, dtype=np.complex128)
        stiffness(
            self.model.values(values[:-1]),
            self.radius,
            values[-1],
            self.along(contact),
            contact.samples.weights,
            lattice.pairs,
            spectra,
        )
        one = np.empty((self.free.size, self.free.size), dtype=np.complex128)
        other = np.empty_like(one)
        for g, rows in enumerate(groups):
            for h, columns in enumerate(groups[: g + 1]):
                difference, total = lattice.places(rows, columns)
                minus, plus = spectra[g, h, 0][:, difference], spectra[g, h, 1][:, total]
                rate = self._speeds[columns]
                one[rows, columns] = minus[0] + rate * minus[1]
                other[rows, columns] = plus[0] - rate * plus[1]
                # Spectra of real signals: those of h and g are the conjugates, and the same.
                rate = self._speeds[rows]
                one[columns, rows] = minus[0].conj().T + rate * minus[1].conj().T
                other[columns, rows] = plus[0].T - rate * plus[1].T
        return one, other
