"""The equations of a parametric fit: tones of the model's force less the tones of the measured one.

The force is evaluated along the measured motion, completed by the model's own response at the
tones that were not measured (DC, harmonics, band edges). The noise of the equations has two parts,
because a noisy tone is in the measured force and in the motion: with A the inverse response less
the slope of the force's tones with those of the motion, their covariance is A diag(noise²) A^T.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg

from ._parametric_law import Model, Prior, Slopes, State
from ._parametric_tones import Basis, Comb, Samples, Sampling, choose_samples
from .measurement import Measurement, MeasurementError
from .modes import response

__all__ = ["HEIGHT", "Contact", "Problem", "stack_real", "whiten"]

HEIGHT = "height"
# Error of the equations that is no noise, as a part of the measured force's rms: of the samples'
# finite number and of the completion. Measured with converged tones: 0.5e-3 to 1e-3.
_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class Contact:
    """A motion of the tip at the samples that tell the force.

    Parameters
    ----------
    samples : Samples
    z, velocity : ndarray, shape (n,)
        Deflection, m, and its rate, m/s.
    y : ndarray, shape (n,), or None
        Lateral deflection, m.
    lowest : float
        Lowest deflection of the whole period, m.
    fastest : float
        Largest speed along z, m/s.
    bases : tuple of Basis
        Of the samples, for the comb of each axis.
    """

    samples: Samples
    z: NDArray[np.float64]
    velocity: NDArray[np.float64]
    y: NDArray[np.float64] | None
    lowest: float
    fastest: float
    bases: tuple[Basis, ...]


class Problem:
    """Equations of one model for one comb, for any engaged spectrum.

    Parameters
    ----------
    measurement : Measurement
        Tones, probe and noise; its engaged spectra are not looked at.
    model : Model
    sampling : Sampling
        More samples than twice the highest tone.
    priors : mapping of str to Prior
        Of the model's parameters and of the height.
    """

    def __init__(
        self, measurement: Measurement, model: Model, sampling: Sampling, priors: dict[str, Prior]
    ) -> None:
        samples = sampling.samples
        highest = int(measurement.tones.max())
        if samples <= 2 * highest:
            raise MeasurementError(
                f"{samples} samples cannot hold tone {highest}: take more than twice"
            )
        self.model, self.samples, self.priors = model, samples, priors
        self._stride = sampling.stride
        self.parameters = model.parameters
        self.names = (*(parameter.name for parameter in self.parameters), HEIGHT)
        self.df, self.free, self.noise = measurement.df, measurement.free, measurement.change_noise
        self.axes = tuple(axis for axis in ("z", "y") if axis in measurement.axes)
        if self.axes[0] != "z":
            raise MeasurementError("no tone along z is measured: a force needs the deflection")
        self._own = [measurement.on_axis(axis) for axis in self.axes]
        self._combs = [Comb(measurement.tones[own], samples) for own in self._own]
        self._modes = measurement.modes
        self.response = np.empty(measurement.tones.size, dtype=np.complex128)
        for own, axis in zip(self._own, self.axes, strict=True):
            self.response[own] = measurement.response(axis)

    @cached_property
    def _rate(self) -> NDArray[np.complex128]:
        return np.asarray(2j * np.pi * self.df * np.arange(self.samples // 2 + 1), np.complex128)

    @cached_property
    def _answers(self) -> list[NDArray[np.complex128]]:
        """Response of the cantilever at all tones along each axis, m/N."""
        frequencies = self.df * np.arange(self.samples // 2 + 1)
        return [response(self._modes, frequencies, axis) for axis in self.axes]

    # -- motion ------------------------------------------------------------------------------

    def contact(self, engaged: NDArray[np.complex128], closest: float) -> Contact:
        """Return the motion of an engaged spectrum, tones (K,), that were measured alone.

        The tip comes about as near to the surface as `closest`, m.
        """
        empty = [np.zeros(self.samples // 2 + 1, dtype=np.complex128) for _ in self.axes]
        return self._along(engaged, empty, closest)

    def completed(
        self,
        engaged: NDArray[np.complex128],
        contact: Contact,
        values: NDArray[np.float64],
    ) -> Contact:
        """Return the motion with the model's answer at the tones that were not measured."""
        force = self.model.force(values[:-1], self._state(contact, values[-1]))
        answers = [
            self._spectrum(column, contact.samples) * answer
            for column, answer in zip(force, self._answers, strict=True)
        ]
        return self._along(engaged, answers, values[-1] + contact.lowest)

    def _along(
        self,
        engaged: NDArray[np.complex128],
        spectra: list[NDArray[np.complex128]],
        closest: float,
    ) -> Contact:
        for own, comb, spectrum in zip(self._own, self._combs, spectra, strict=True):
            spectrum[comb.tones] = engaged[own]
        z, y = self._signal(spectra[0]), None
        velocity = self._signal(spectra[0] * self._rate)
        if len(spectra) > 1:
            y = self._signal(spectra[1])
        lowest = float(z.min())
        samples = choose_samples(z, closest - lowest, self._stride)
        places = samples.places
        return Contact(
            samples,
            z[places],
            velocity[places],
            None if y is None else y[places],
            lowest,
            float(np.abs(velocity).max()),
            tuple(comb.basis(samples) for comb in self._combs),
        )

    def _signal(self, spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
        scaled = spectrum * (0.5 * self.samples)
        scaled[0] = 2.0 * scaled[0].real
        return np.asarray(fft.irfft(scaled, self.samples))

    def _spectrum(self, column: NDArray[np.float64], samples: Samples) -> NDArray[np.complex128]:
        """Return all tones of a signal known at the samples alone."""
        signal = np.zeros(self.samples)
        signal[samples.places] = column * samples.weights
        spectrum = np.asarray(fft.rfft(signal), dtype=np.complex128) * (2.0 / self.samples)
        spectrum[0] *= 0.5
        return spectrum

    def _state(self, contact: Contact, height: float) -> State:
        interval = 1.0 / (self.df * self.samples)
        return State(height + contact.z, contact.velocity, contact.y, interval)

    # -- equations ---------------------------------------------------------------------------

    def slopes(self, contact: Contact, values: NDArray[np.float64]) -> Slopes:
        """Return the model's force along a motion and its slopes; values end with the height."""
        return self.model.slopes(values[:-1], self._state(contact, values[-1]))

    def rest(self, distance: NDArray[np.float64]) -> State:
        """Return the state of a tip that rests at distances from the surface, m."""
        still = np.zeros_like(distance)
        return State(distance, still, still if len(self.axes) > 1 else None)

    def attraction(
        self, values: NDArray[np.float64], distances: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the largest attraction of a tip at rest, N, and its slopes with the values.

        Parameters
        ----------
        values : ndarray, shape (m + 1,)
            The height last.
        distances : ndarray, shape (n,)
            From the surface, m, at which it is looked for.
        """
        force = self.model.force(values[:-1], self.rest(distances))[0]
        deepest = int(np.argmin(force))
        slopes = self.model.slopes(values[:-1], self.rest(distances[deepest : deepest + 1]))
        column = np.append(slopes.parameters[:, 0, 0], slopes.distance[0, 0])
        return float(-force[deepest]), column

    def tones(self, contact: Contact, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the model's force tones, N, (K,)."""
        force = self.model.force(values[:-1], self._state(contact, values[-1]))
        tones = np.empty(self.free.size, dtype=np.complex128)
        parts = zip(force, self._own, self._combs, contact.bases, strict=True)
        for column, own, comb, basis in parts:
            tones[own] = comb.spectra(column[None], basis)[:, 0]
        return tones

    def linearised(
        self, contact: Contact, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Return the model's force tones (K,), N, and their slopes with the values (K, m + 1)."""
        slopes = self.slopes(contact, values)
        every = np.empty((self.free.size, len(values) + 1), dtype=np.complex128)
        for axis, (own, comb) in enumerate(zip(self._own, self._combs, strict=True)):
            columns = np.concatenate(
                [
                    slopes.force[axis, None],
                    slopes.parameters[:, axis],
                    slopes.distance[axis, None],
                ]
            )
            every[own] = comb.spectra(columns, contact.bases[axis])
        return every[:, 0], every[:, 1:]

    def force(self, engaged: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the measured force tones, N, (K,)."""
        return (engaged - self.free) / self.response

    def floor(self, force: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return the error of each equation that is no noise, N, (K,)."""
        error = np.empty(force.size)
        for own in self._own:
            error[own] = _FLOOR * np.sqrt(0.5 * np.mean(np.abs(force[own]) ** 2))
        return error

    # -- noise -------------------------------------------------------------------------------

    def plain_whitening(self, force: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return what makes the equations' noise unity, the motion taken as exact, (2K,)."""
        deviation = np.hypot(self.noise / np.abs(self.response), self.floor(force))
        return np.tile(1.0 / deviation, 2)

    def covariance(
        self, contact: Contact, values: NDArray[np.float64], force: NDArray[np.complex128]
    ) -> NDArray[np.float64]:
        """Return the covariance of the real and then imaginary parts of the equations, (2K, 2K).

        N²; the noise of the motion included.
        """
        one, other = self._answer_to_motion(contact, values)
        one[np.diag_indices_from(one)] -= 1.0 / self.response
        with_real, with_imaginary = one + other, 1j * (one - other)
        matrix = np.block(
            [
                [with_real.real, with_imaginary.real],
                [with_real.imag, with_imaginary.imag],
            ]
        )
        matrix *= np.tile(self.noise, 2)
        covariance = matrix @ matrix.T
        covariance[np.diag_indices_from(covariance)] += np.tile(self.floor(force) ** 2, 2)
        return covariance

    def _answer_to_motion(
        self, contact: Contact, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Return how the force's tones follow those of the motion and their conjugates, (K, K)."""
        slopes, samples = self.slopes(contact, values), contact.samples
        size = self.free.size
        one = np.zeros((size, size), dtype=np.complex128)
        other = np.zeros_like(one)
        for to, (rows, comb) in enumerate(zip(self._own, self._combs, strict=True)):
            stiffness = [slopes.distance[to]]
            if len(self.axes) > 1:
                assert slopes.lateral is not None
                stiffness.append(slopes.lateral[to])
            for start, (columns, motion) in enumerate(zip(self._own, self._combs, strict=True)):
                place = np.ix_(rows, columns)
                minus = comb.tones[:, None] - motion.tones
                plus = comb.tones[:, None] + motion.tones
                spectrum = self._spectrum(stiffness[start], samples)
                one[place], other[place] = _shifted(spectrum, minus), _shifted(spectrum, plus)
                if start == 0 and slopes.velocity[to].any():
                    spectrum = self._spectrum(slopes.velocity[to], samples)
                    rate = self._rate[motion.tones]
                    one[place] += rate * _shifted(spectrum, minus)
                    other[place] -= rate * _shifted(spectrum, plus)
        return one, other


def _shifted(spectrum: NDArray[np.complex128], tones: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Return half of the tones of a real signal, the whole of tone 0, at any sign; 0 beyond."""
    magnitude = np.abs(tones)
    inside = magnitude < spectrum.size
    values = spectrum[np.where(inside, magnitude, 0)] * np.where(magnitude == 0, 1.0, 0.5)
    return np.where(inside, np.where(tones < 0, values.conj(), values), 0.0)


def stack_real(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the real and then the imaginary parts, along the first axis."""
    return np.concatenate([values.real, values.imag])


def whiten(factor: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows divided by the noise: by a diagonal (2K,) or a Cholesky factor (2K, 2K)."""
    if factor.ndim == 1:
        return rows * (factor if rows.ndim == 1 else factor[:, None])
    return np.asarray(linalg.solve_triangular(factor, rows, lower=True, check_finite=False))
