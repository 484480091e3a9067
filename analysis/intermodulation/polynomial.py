"""What is the force between tip and surface, as a polynomial of deflection and velocity?

Spectral fitting of Borysov et al. (eq. 11-14, 18-21, case 1): in narrow bands round the resonances
only odd powers i + j of F = sum g_ij z^i v^j carry signal and are fitted; the rest follows from
the absence of force above the rest point. There odd and even part cancel, so that below it they
are equal: F(z < 0) is twice the fitted part, which is eq. 20 in closed form. With the motion
completed the damping is no polynomial, but the one for which there is most evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

from ._poly_columns import Fit, least_squares, product_columns, scaled, stack
from ._poly_verdict import judge
from .curve import Bands, ForceCurve, Verdict
from .measurement import Measurement, MeasurementError, touched
from .motion import Motion, minimum_samples, motion

if TYPE_CHECKING:
    from ._poly_damping import Damping

__all__ = ["reconstruct_naive", "reconstruct_polynomial"]

# Powers of the velocity beside the conservative part, by `velocity_degree`. Even powers of the
# velocity are no dissipation and are left out.
_VELOCITY_POWERS = {0: (0,), 1: (0, 1), 3: (0, 1, 3)}
_GRID = 401


@dataclass(frozen=True, eq=False)
class _Polynomial:
    """The fitted part of the force: groups of Chebyshev coefficients, one a power of velocity."""

    degree: int
    powers: tuple[int, ...]
    scale: float
    speed: float
    fit: Fit

    def parities(self) -> list[int]:
        return [(power + 1) % 2 for power in self.powers]

    def group(self, number: int) -> slice:
        sizes = [len(range(parity, self.degree + 1, 2)) for parity in self.parities()]
        return slice(sum(sizes[:number]), sum(sizes[: number + 1]))

    def table(self, number: int, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what twice the unknowns of a group are multiplied with to give its part at z."""
        parity = self.parities()[number]
        sign = 1.0 if self.powers[number] == 0 else -1.0 / self.speed ** self.powers[number]
        table = np.asarray(chebyshev.chebvander(z / self.scale, self.degree), np.float64)
        return 2.0 * sign * table[:, parity::2]

    def part(self, number: int, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.table(number, z) @ self.fit.unknowns[self.group(number)]

    def deviation(self, number: int, z: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self.fit.covariance is not None
        own = self.group(number)
        table = self.table(number, z)
        return np.sqrt(np.einsum("ni,ij,nj->n", table, self.fit.covariance[own, own], table))


def reconstruct_polynomial(
    measurement: Measurement,
    degree: int = 21,
    *,
    velocity_degree: int = 1,
    motion_tones: ArrayLike | None = None,
    equation_tones: ArrayLike | None = None,
    weighted: bool = False,
    completions: int = 0,
) -> ForceCurve:
    """Return the force as a polynomial of deflection and velocity, fitted to the tones.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel, tones along z.
    degree : int
        Highest power of the deflection, odd; 21 in the paper.
    velocity_degree : {0, 1, 3}
        0 for a conservative force, 1 for damping linear in the velocity, 3 for a cubic part too.
    motion_tones : array_like, optional
        Mask or places of the tones that describe the motion, all by default.
    equation_tones : array_like, optional
        Mask or places of the tones at which the force is fitted, all in the bands by default.
    weighted : bool
        Divide each equation by its noise, which the paper does not.
    completions : int
        How often the tones that are not measured are estimated and the fit is done anew. From 1
        on, the damping is not a polynomial but one that takes energy and falls off smoothly, as
        the evidence of the tones asks; the conservative part stays the polynomial.

    Returns
    -------
    ForceCurve
        With bands where the noise of the tones is known. They hold the noise of the tones, and
        grow with chi2 where the polynomial does not describe the tones.

    Raises
    ------
    MeasurementError
        If there are fewer equations than unknowns, several pixels, or tones outside of the bands
        are asked for as equations; or if no completed motion is found.
    """
    powers = _powers(degree, velocity_degree)
    chosen = _equations(measurement, equation_tones)
    unknowns = (degree // 2 + 1) * len(powers)
    if 2 * chosen.tones.size < unknowns:
        raise MeasurementError(
            f"{chosen.tones.size} tones give {2 * chosen.tones.size} equations for {unknowns} "
            f"unknowns: measure at least {-(-unknowns // 2)} tones, or lower the degree of {degree}"
        )
    if not completions or not touched(chosen):
        path = motion(measurement, degree=degree, tones=motion_tones)
        return _curve(_fit(chosen, path, degree, powers, weighted), chosen, path)
    from ._poly_damping import solve_damping  # takes long to import

    moving = measurement if motion_tones is None else measurement.select(motion_tones)
    damping = solve_damping(
        moving.select(moving.on_axis("z")),
        chosen,
        degree=degree,
        velocity_degree=velocity_degree,
        passes=completions,
    )
    model = _fit(chosen, damping.path, degree, (0,), weighted, damping.tones)
    return _damped(_curve(model, chosen, damping.path), damping)


def _powers(degree: int, velocity_degree: int) -> tuple[int, ...]:
    if degree < 1 or degree % 2 == 0:
        raise MeasurementError(f"degree {degree} is not odd and positive: bands tell odd powers")
    if velocity_degree not in _VELOCITY_POWERS:
        raise MeasurementError(
            f"velocity_degree {velocity_degree} is not one of {tuple(_VELOCITY_POWERS)}"
        )
    return _VELOCITY_POWERS[velocity_degree]


def _equations(measurement: Measurement, tones: ArrayLike | None) -> Measurement:
    """Return the measurement with the tones at which the force is to be fitted."""
    if measurement.engaged.ndim != 1:
        raise MeasurementError(f"{measurement.pixels} pixels are given: choose one with pixel(i)")
    in_bands = np.zeros(measurement.tones.size, dtype=bool)
    for places in measurement.bands():
        in_bands[places] = True
    in_bands &= measurement.on_axis("z")
    if tones is None:
        return measurement.select(in_bands)
    places = np.arange(in_bands.size)[np.asarray(tones)]
    outside = places[~in_bands[places]]
    if outside.size:
        raise MeasurementError(
            f"tone {measurement.tones[outside[0]]} is in no flexural band: it cannot be an equation"
        )
    return measurement.select(places)


def _fit(
    chosen: Measurement,
    path: Motion,
    degree: int,
    powers: tuple[int, ...],
    weighted: bool,
    known: NDArray[np.complex128] | float = 0.0,
) -> _Polynomial:
    """Return the polynomial of the force, and of `known` force tones that are taken off."""
    u, scale = scaled(path.z)
    w, speed = scaled(path.velocity)
    factors = [(None if power == 0 else w**power, (power + 1) % 2) for power in powers]
    columns = product_columns(u, factors, degree, chosen.tones)
    fit = least_squares(columns, chosen.force() + known, chosen.force_noise(), weighted=weighted)
    return _Polynomial(degree, powers, scale, speed, fit)


def _curve(model: _Polynomial, chosen: Measurement, path: Motion) -> ForceCurve:
    z = np.linspace(path.lowest, 0.0, _GRID)
    parts = [model.part(number, z) for number in range(len(model.powers))]
    parts += [np.zeros_like(z)] if len(parts) == 1 else []
    fit, noise = model.fit, np.tile(chosen.force_noise(), 2)
    freedom = noise.size - fit.unknowns.size
    chi2 = float(np.sum((fit.residual / noise) ** 2)) if (noise > 0.0).all() else float("nan")
    return ForceCurve(
        z=z,
        conservative=parts[0],
        damping=parts[1],
        cubic_damping=parts[2] if len(parts) > 2 else None,
        bands=_bands(model, z, chi2, freedom),
        chi2=chi2,
        degrees_of_freedom=freedom,
        verdict=judge(chosen, fit, chi2, model.degree),
    )


def _bands(model: _Polynomial, z: NDArray[np.float64], chi2: float, freedom: int) -> Bands | None:
    if model.fit.covariance is None:
        return None
    # Birge ratio: where the model falls short by more than noise, so does what the noise tells.
    grown = np.sqrt(chi2 / freedom) if freedom > 0 and chi2 > freedom else 1.0
    parts = [grown * model.deviation(number, z) for number in range(len(model.powers))]
    parts += [np.zeros_like(z)] if len(parts) == 1 else []
    return Bands(parts[0], parts[1], parts[2] if len(parts) > 2 else None)


def _damped(curve: ForceCurve, damping: Damping) -> ForceCurve:
    """Return the curve of a conservative polynomial with the damping it was fitted beside."""
    linear, cubic = (*damping.values(curve.z), None, None)[:2]
    bands = curve.bands
    if bands is not None:
        spreads = (*damping.deviations(curve.z), None, None)[:2]
        bands = Bands(
            bands.conservative, bands.damping if spreads[0] is None else spreads[0], spreads[1]
        )
    return replace(
        curve,
        damping=curve.damping if linear is None else linear,
        cubic_damping=cubic,
        bands=bands,
        degrees_of_freedom=curve.degrees_of_freedom - damping.unknowns,
        verdict=Verdict(
            curve.verdict.ok and not damping.reasons, (*damping.reasons, *curve.verdict.reasons)
        ),
    )


def reconstruct_naive(
    measurement: Measurement, degree: int = 21, *, equation_tones: ArrayLike | None = None
) -> ForceCurve:
    """Return what the paper's formulas give when written down as they stand, eq. 11-14 and 21.

    Monomials along the motion on a grid of time, one Fourier transform a column, the pseudo-inverse
    of the stacked real and imaginary parts. It is the reference for the fast forms of the same.

    Parameters
    ----------
    measurement : Measurement
        Of one pixel, tones in the bands along z.
    degree : int
        Highest power of the deflection, odd. The damping is linear in the velocity.
    equation_tones : array_like, optional
        Mask or places of the tones at which the force is fitted, all by default. Fewer equations
        than unknowns are not refused: the pseudo-inverse then has the smallest coefficients.

    Returns
    -------
    ForceCurve
        Without bands, chi2 and verdict.
    """
    _powers(degree, 1)
    chosen = _equations(measurement, equation_tones)
    highest = minimum_samples(int(measurement.tones.max()), degree)
    path = motion(measurement, 1 << (highest - 1).bit_length())
    u, scale = scaled(path.z)
    w, speed = scaled(path.velocity)
    signals = [u**i for i in range(1, degree + 1, 2)] + [u**i * w for i in range(0, degree, 2)]
    tones = np.array([np.fft.rfft(s)[chosen.tones] * (2.0 / u.size) for s in signals]).T
    g = np.linalg.pinv(stack(tones)) @ stack(chosen.force())
    z = np.linspace(path.lowest, 0.0, _GRID)
    table = np.vander(z / scale, degree + 1, increasing=True)
    half = degree // 2 + 1
    return ForceCurve(z, 2.0 * table[:, 1::2] @ g[:half], -2.0 / speed * table[:, ::2] @ g[half:])
