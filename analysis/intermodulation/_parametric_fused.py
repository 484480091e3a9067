"""The equations of the law that maps use, van der Waals, DMT and exponential damping, made fast.

The same samples and the same sums as those of any law, but for one law in compiled arithmetic: no
array of the samples is made but the motion. Instead of Fourier transforms, the completed motion is
what the measured tones tell less what the modelled force does to them, and the ringing of the
modes after the force at each sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._parametric_damping import ExponentialDamping
from ._parametric_fused_descent import Equations, Scale, factorised, minimise, whitened
from ._parametric_fused_force import (
    Sampled,
    deepest,
    parts_of,
    pulses,
    signal_tones,
    whole_lanes,
)
from ._parametric_fused_motion import (
    Along,
    Bands,
    Resonators,
    add_tones,
    carried,
    motion,
    respond,
    series,
)
from ._parametric_fused_noise import covariance_of, stiffness
from ._parametric_law import Model, Prior
from ._parametric_problem import Contact, Problem, stack_real
from ._parametric_solver import Solution, Solver
from ._parametric_tones import MOMENTS, Basis, Comb, Samples, Sampling, choose_samples
from .measurement import Measurement
from .models import VdwDmt
from .modes import Mode

__all__ = ["FusedProblem", "FusedSolver", "is_fusible"]


def is_fusible(model: Model, measurement: Measurement, sampling: Sampling) -> bool:
    """Return whether a `FusedProblem` can be made: its law, along z, with sums of tones sampled."""
    kinds = tuple(type(law) for law in model.laws)
    sampled = sampling.samples > 4 * int(measurement.tones.max())
    ringing = all(mode.quality_factor > 0.5 for mode in measurement.modes)
    along_z = set(measurement.axes) == {"z"}
    return kinds == (VdwDmt, ExponentialDamping) and along_z and sampled and ringing


@dataclass(frozen=True, eq=False)
class _Carried(Basis):
    """Samples without moments: `rows` is (groups, 2, n)."""

    along: Along


class _Lattice:
    """What the motions of one comb have in common: carriers, and expansions between tones."""

    def __init__(self, comb: Comb) -> None:
        self.firsts = comb.firsts()
        turns = (comb.middles[:, None] * np.arange(comb.samples)) % comb.samples
        # Single precision leaves 1e-15 m: half of the memory is read for each motion.
        self.carriers = np.moveaxis(comb.turn.astype(np.float32)[turns], 2, 1).copy()
        self.groups = np.concatenate(
            [np.full(own.stop - own.start, g) for g, own in enumerate(comb.groups)]
        )
        self.bands = _bands(np.concatenate(comb.expansions), self.groups)
        self.offsets = comb.tones - comb.middles[self.groups]
        self._shape = (comb.middles.size, comb.blocks, MOMENTS)
        self._scale = np.where(comb.tones == 0, 1.0, 2.0) / comb.samples
        widest = 2 * int(np.abs(self.offsets).max())
        span = np.arange(-widest, widest + 1)
        # Half of a tone belongs to its frequency, half to the negative one.
        halves = comb.expansion(span, 0) * np.where(span == 0, 1.0, 0.5)[:, None]
        self.pairs = _sums(_bands(halves, np.zeros(span.size, dtype=np.int64)))
        self.sums = _sums(self.bands)

    def envelopes(self, tones: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the series of each band in each block, (groups, blocks, moments)."""
        found = np.empty(self._shape, dtype=np.complex128)
        series(self.bands, self._scale, tones, self._shape[1], found)
        return found


def _bands(expansion: NDArray[np.complex128], groups: NDArray[np.int64]) -> Bands:
    real, imag = np.ascontiguousarray(expansion.real), np.ascontiguousarray(expansion.imag)
    return Bands(real, imag, groups)


def _sums(bands: Bands) -> Bands:
    """Return what sums of moments in single precision are turned into tones with."""
    columns = bands.real.shape[1]
    filled = ((0, 0), (0, int(whole_lanes(columns)) - columns))
    real, imag = (np.pad(part.astype(np.float32), filled) for part in (bands.real, bands.imag))
    return Bands(real, imag, bands.groups)


def _resonators(modes: tuple[Mode, ...], df: float, sampling: Sampling) -> Resonators:
    """Return modes as they ring: the transform of their response, Borysov et al., eq. 7."""
    omega = 2.0 * np.pi * np.array([mode.frequency for mode in modes])
    quality = np.array([mode.quality_factor for mode in modes])
    stiff = np.array([mode.spring_constant for mode in modes])
    ringing = omega * np.sqrt(1.0 - 0.25 / quality**2)
    rates = -0.5 * omega / quality + 1j * ringing
    step = 1.0 / (df * sampling.samples)
    decays = np.exp(np.outer(rates, step * np.arange(sampling.stride + 1)))
    gains = step * omega**2 / (stiff * ringing)
    settled = np.asarray(1.0 / (1.0 - np.exp(rates / df)), dtype=np.complex128)
    return Resonators(rates, gains, step / 12.0 * gains * ringing, decays, settled)


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
        self._lattice = _Lattice(self._combs[0])
        self._rates = 2j * np.pi * self.df * self._combs[0].tones
        self._resonators = _resonators(measurement.modes, self.df, sampling)

    def contact(self, engaged: NDArray[np.complex128], closest: float) -> Contact:
        """Return the motion of an engaged spectrum, tones (K,), that were measured alone."""
        lattice = self._lattice
        whole = motion(lattice.envelopes(engaged), lattice.carriers, lattice.firsts)
        lowest = float(whole.min())
        samples = choose_samples(whole, closest - lowest, self._stride)
        places, weights = samples.places, samples.weights
        offsets, rows, starts = carried(places, lattice.firsts, lattice.carriers)
        velocity = np.zeros(places.size)
        add_tones(lattice.envelopes(self._rates * engaged), offsets, rows, starts, velocity)
        along = Along(places, weights, whole[places], velocity, offsets, rows, starts)
        return _contact(along)

    def completed(
        self,
        engaged: NDArray[np.complex128],
        contact: Contact,
        values: NDArray[np.float64],
        tones: NDArray[np.complex128] | None = None,
    ) -> Contact:
        """Return the motion with the model's answer at the tones that were not measured.

        At the tones that were measured, the modes' answer is taken away again: `tones` of the
        model's force, N, (K,), where they are known.
        """
        along = self.along(contact)
        known, force = self.model.values(values[:-1]), np.empty(along.z.size)
        pulses(known, self.radius, values[-1], along, force)
        z, velocity = respond(force, along.places, self.samples, self._resonators)
        tones = self.tones(contact, values) if tones is None else tones
        rest = engaged - self.response * tones
        for taken, signal in ((rest, z), (self._rates * rest, velocity)):
            envelopes = self._lattice.envelopes(taken)
            add_tones(envelopes, along.offsets, along.rows, along.starts, signal)
        return _contact(along._replace(z=z, velocity=velocity))

    def along(self, contact: Contact) -> Along:
        """Return the samples of a motion as the kernels take them."""
        (basis,) = contact.bases
        assert isinstance(basis, _Carried)
        return basis.along

    def sampled(self, contact: Contact) -> Sampled:
        """Return what tells the tones of the force along a motion."""
        cubic = bool(self.model.free[4]) or self.model.laws[1].known[1] != 0.0
        return Sampled(self.radius, cubic, self.along(contact), self._lattice.sums)

    def attraction(
        self, values: NDArray[np.float64], distances: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the largest attraction of a tip at rest, as `Problem.attraction` does."""
        known = self.model.values(values[:-1])
        force, column = deepest(known, self.radius, distances)
        return force, column[self._used]

    def tones(self, contact: Contact, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the model's force tones, N, (K,)."""
        return self.linearised(contact, values)[0]

    def linearised(
        self, contact: Contact, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Return the model's force tones (K,), N, and their slopes with the values (K, m + 1)."""
        known = self.model.values(values[:-1])
        signals = signal_tones(known, values[-1], self.sampled(contact)).T
        parts = parts_of(known, signals.shape[1])
        return signals @ parts[:, -1], signals @ parts[:, :-1][:, self._used]

    def covariance(
        self, contact: Contact, values: NDArray[np.float64], force: NDArray[np.complex128]
    ) -> NDArray[np.float64]:
        """Return the lower triangle of what `Problem.covariance` returns."""
        lattice, known = self._lattice, self.model.values(values[:-1])
        groups = len(lattice.carriers)
        shape = (groups, groups, 2, 2, lattice.pairs.groups.size)
        spectra = np.empty(shape, dtype=np.complex128)
        law = (known, self.radius, values[-1])
        stiffness(law, self._stride, self.along(contact), lattice.pairs, spectra)
        comb = (lattice.groups, lattice.offsets, self._rates)
        return covariance_of(spectra, comb, 1.0 / self.response, self.noise, self.floor(force))


def _contact(along: Along) -> Contact:
    return Contact(
        Samples(along.places, along.weights),
        along.z,
        along.velocity,
        None,
        float(along.z.min()),
        float(np.abs(along.velocity).max()),
        (_Carried(along.rows, along.starts, along),),
    )


class FusedSolver(Solver):
    """Fits of one fused problem: the passes of `Solver`, each in compiled arithmetic.

    Parameters
    ----------
    problem : FusedProblem
    completions : int
        As of `Solver`.
    """

    _gains = (0.3, 1e-2)

    def __init__(self, problem: FusedProblem, completions: int) -> None:
        super().__init__(problem, completions)
        self._fused = problem
        linear = np.array([*(parameter.linear for parameter in problem.parameters), False])
        relative = self._log.copy()
        # What the force is proportional to is solved for at each step: it needs no logarithm.
        self._log = relative & ~linear
        # Of the fitted parameters any number will do here.
        self._law = problem.model.values(np.ones(len(problem.parameters)))
        self._scale = Scale(
            np.flatnonzero(problem.model.free),
            self._unit,
            self._mean,
            self._precision,
            self._log,
            relative,
            self._fixed,
            self._origin,
            linear,
        )

    def _completed(self, engaged: NDArray[np.complex128], found: Solution) -> Contact:
        tones = found.force - found.residual
        return self._fused.completed(engaged, found.contact, found.values, tones)

    def _factor(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        factorised(covariance)
        return covariance

    def _minimise(
        self,
        force: NDArray[np.complex128],
        contact: Contact,
        factor: NDArray[np.float64],
        starts: NDArray[np.float64],
        gain: float,
    ) -> Solution:
        lower = np.diag(1.0 / factor) if factor.ndim == 1 else factor
        rows = stack_real(force)[:, None]
        whitened(lower, rows)
        equations = Equations(
            self._law, self._scale, self._fused.sampled(contact), lower, rows[:, 0].copy()
        )
        places = np.array([self._to_scale(start) for start in starts])
        scaled, covariance, tones, chi2, converged = minimise(places, gain, equations)
        if not np.isfinite(chi2):
            raise np.linalg.LinAlgError("the force is no number at the start")
        values = self._from_scale(scaled)[0]
        return Solution(values, covariance, chi2, force, force - tones, contact, converged)
