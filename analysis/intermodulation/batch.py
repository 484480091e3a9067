"""What is the force at each pixel of an image? The polynomial method, fast enough to watch.

The least squares of `polynomial` (Borysov et al., case 1) with columns in closed form on a slow
time instead of Fourier transforms of the whole motion: the same answer to 1e-9, some ten thousand
times sooner. Valid while no sum of the carriers other than themselves falls into a band, which is
checked from the drive before anything is computed.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._slow_kernels import solve
from ._slow_plan import SlowPlan, check_aliases, plan
from .curve import ForceCurve, Verdict
from .measurement import Measurement, MeasurementError, touched

__all__ = ["MapForces", "reconstruct_map"]

_GRID = 401
# Envelopes are sampled more finely until no curve of a probed pixel changes by more than this;
# rounding alone changes it by up to 2e-9 at the degree 21.
_SETTLED = 5e-9
_FEWEST_SAMPLES, _MOST_SAMPLES = 64, 1024
_PROBES = 8
# Pixels that a thread takes at a time.
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class MapForces:
    """Force at each pixel, as polynomials of the deflection over its scale.

    Parameters
    ----------
    scale : ndarray, shape (pixels,)
        Largest deflection, m; each pixel was visited from -scale to 0 and beyond.
    conservative : ndarray, shape (pixels, (degree + 1) / 2)
        Coefficients of the odd powers, N.
    damping : ndarray, shape (pixels, (degree + 1) / 2)
        Coefficients of the even powers, N s/m.
    touched : ndarray of bool, shape (pixels,)
        Whether there was any force.
    chi2 : ndarray, shape (pixels,)
        Sum of the squared residuals in units of the noise; NaN where that is not known.
    left_over : ndarray, shape (pixels,)
        Part of the force's tones that the polynomial does not describe, 0 to 1.
    degrees_of_freedom : int
        Real equations less unknowns.
    """

    scale: NDArray[np.float64]
    conservative: NDArray[np.float64]
    damping: NDArray[np.float64]
    touched: NDArray[np.bool_]
    chi2: NDArray[np.float64]
    left_over: NDArray[np.float64]
    degrees_of_freedom: int

    def conservative_force(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return the force at deflections z, N.

        Parameters
        ----------
        z : array_like, shape (n,) or (pixels, n)
            m.

        Returns
        -------
        ndarray, shape (pixels, n)
            0 above the rest point, NaN below what a pixel visited.
        """
        return self._evaluate(self.conservative, z, 1)

    def damping_constant(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return the damping at deflections z, N s/m, as `conservative_force` does."""
        return self._evaluate(self.damping, z, 0)

    def _evaluate(
        self, coefficients: NDArray[np.float64], z: ArrayLike, parity: int
    ) -> NDArray[np.float64]:
        z = np.asarray(z, dtype=float)
        u = z / self.scale[:, None]
        square, value = u**2, np.zeros_like(u)
        for column in coefficients.T[::-1]:
            value = value * square + column[:, None]
        value = 2.0 * value * (u if parity else 1.0)
        return np.where(u > 0.0, 0.0, np.where(u >= -1.0 - 1e-9, value, np.nan))

    def curve(self, pixel: int) -> ForceCurve:
        """Return the curve of one pixel on a grid, without bands."""
        own = slice(pixel, pixel + 1)
        one = MapForces(
            self.scale[own],
            self.conservative[own],
            self.damping[own],
            self.touched[own],
            self.chi2[own],
            self.left_over[own],
            self.degrees_of_freedom,
        )
        z = np.linspace(-float(self.scale[pixel]), 0.0, _GRID)
        contact = bool(self.touched[pixel])
        return ForceCurve(
            z=z,
            conservative=one.conservative_force(z)[0],
            damping=one.damping_constant(z)[0],
            chi2=float(self.chi2[pixel]),
            degrees_of_freedom=self.degrees_of_freedom,
            verdict=Verdict(contact, () if contact else ("never touched",)),
        )


def reconstruct_map(
    measurement: Measurement,
    degree: int = 21,
    *,
    equation_tones: ArrayLike | None = None,
    weighted: bool = False,
    threads: int | None = None,
) -> MapForces:
    """Return conservative force and linear damping at every pixel.

    Parameters
    ----------
    measurement : Measurement
        Tones along z in one or two bands, engaged of shape (pixels, K).
    degree : int
        Highest power of the deflection, odd.
    equation_tones : array_like, optional
        Mask or places of the tones at which the force is fitted, all by default. All tones
        describe the motion.
    weighted : bool
        Divide each equation by its noise.
    threads : int, optional
        As many as there are cores by default.

    Returns
    -------
    MapForces

    Raises
    ------
    MeasurementError
        If powers of the motion are aliased, there are fewer equations than unknowns, or the tones
        do not fit into bands.
    """
    if degree < 1 or degree % 2 == 0:
        raise MeasurementError(f"degree {degree} is not odd and positive: bands tell odd powers")
    places = np.arange(measurement.tones.size)
    if equation_tones is not None:
        places = places[np.asarray(equation_tones)]
    if 2 * places.size < degree + 1:
        raise MeasurementError(
            f"{places.size} tones give {2 * places.size} equations for {degree + 1} unknowns: "
            f"measure at least {(degree + 1) // 2} tones, or lower the degree of {degree}"
        )
    engaged = np.ascontiguousarray(np.atleast_2d(measurement.engaged))
    own = _settled(measurement, engaged, places, degree, weighted)
    return _solved(measurement, engaged, own, weighted, threads or os.cpu_count() or 1)


def _settled(
    measurement: Measurement,
    engaged: NDArray[np.complex128],
    places: NDArray[np.int64],
    degree: int,
    weighted: bool,
) -> SlowPlan:
    """Return the plan with as few slow samples as the probed pixels allow."""
    span = max(np.ptp(measurement.tones[band]) for band in measurement.bands() if band.size)
    samples = max(_FEWEST_SAMPLES, 1 << int(2 * span - 1).bit_length())
    probes = engaged[np.unique(np.linspace(0, len(engaged) - 1, _PROBES).astype(int))]
    coarse = plan(measurement, places, degree, samples)
    depth = np.abs(probes).sum(axis=1)[:, None] * np.linspace(-0.5, 0.0, 50)
    before = _solved(measurement, probes, coarse, weighted, 1).conservative_force(depth)
    last = np.inf
    while samples < _MOST_SAMPLES:
        fine = plan(measurement, places, degree, 2 * samples)
        after = _solved(measurement, probes, fine, weighted, 1).conservative_force(depth)
        change = _change(after, before)
        # Where it falls no more, it is rounding.
        if change <= _SETTLED or change > 0.1 * last:
            check_aliases(measurement, degree, samples)
            return coarse
        samples, coarse, before, last = 2 * samples, fine, after, change
    raise MeasurementError(
        f"the tones are too many or too noisy for {_MOST_SAMPLES} slow samples: "
        "take reconstruct_polynomial"
    )


def _change(after: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """Return the largest change of a curve, as a part of the curve."""
    visited = np.isfinite(after) & np.isfinite(before)
    now, then = np.where(visited, after, 0.0), np.where(visited, before, 0.0)
    size = np.linalg.norm(now, axis=1)
    moved = np.linalg.norm(now - then, axis=1)
    return float((moved[size > 0.0] / size[size > 0.0]).max(initial=0.0))


def _solved(
    measurement: Measurement,
    engaged: NDArray[np.complex128],
    own: SlowPlan,
    weighted: bool,
    threads: int,
) -> MapForces:
    chosen = measurement.select(own.places)
    response = chosen.response()
    noise = chosen.force_noise()
    known = bool((noise > 0.0).all())
    weight = 1.0 / noise if weighted and known else np.ones(noise.size)
    turn = chosen.frequencies / chosen.frequencies.max()
    powers = len(own.weights)
    out = np.empty((len(engaged), 1 + 2 * powers))
    chi2, left_over = np.full(len(engaged), np.nan), np.empty(len(engaged))
    contact = np.empty(len(engaged), dtype=bool)
    kernel = np.ascontiguousarray(own.kernel.real), np.ascontiguousarray(own.kernel.imag)

    def chunk(start: int) -> None:
        part = slice(start, start + _CHUNK)
        force = (engaged[part][:, own.places] - chosen.free) / response
        left = np.empty((len(force), 2 * noise.size))
        solve(
            engaged[part],
            force,
            own.motion,
            own.first,
            *kernel,
            own.weights,
            turn,
            weight,
            out[part],
            left,
        )
        left /= np.tile(weight, 2)
        size = np.linalg.norm(force, axis=1)
        left_over[part] = np.linalg.norm(left, axis=1) / np.where(size > 0.0, size, 1.0)
        if known:
            chi2[part] = np.sum((left / np.tile(noise, 2)) ** 2, axis=1)
        contact[part] = touched(replace(measurement, engaged=engaged[part]))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(chunk, range(0, len(engaged), _CHUNK)))
    rate = 2.0 * np.pi * float(chosen.frequencies.max()) * out[:, :1]
    return MapForces(
        scale=out[:, 0],
        conservative=out[:, 1 : 1 + powers],
        damping=-out[:, 1 + powers :] / rate,
        touched=contact,
        chi2=chi2,
        left_over=left_over,
        degrees_of_freedom=2 * noise.size - 2 * powers,
    )
