"""Which laws can the force between tip and surface follow? Each as something that can be fitted.

The laws are those of intermodulation AFM (Borysov et al., eq. 22 and 27), of contact mechanics and
of atomic bonds; attraction is negative and d is the distance from the surface. A parameter that is
left None is fitted, a number is known; laws add up: `VdwDmt(10e-9) + ExponentialDamping()`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.constants import epsilon_0

from ._parametric_damping import (
    ExponentialDamping,
    LateralSpring,
    LateralWell,
    ThresholdDamping,
)
from ._parametric_law import Law, Model, Parameter, Prior, Slopes, State

__all__ = [
    "DoubleLayerHertz",
    "ExponentialDamping",
    "Jkr",
    "LateralSpring",
    "LateralWell",
    "Law",
    "LennardJones",
    "Model",
    "Morse",
    "Parameter",
    "Prior",
    "State",
    "ThresholdDamping",
    "VdwDmt",
]

Array = NDArray[np.float64]

# Values from which the search starts: soft matter to ceramics.
_MODULI_PA = (3e7, 1e9, 3e10)


@dataclass(frozen=True)
class VdwDmt(Law):
    r"""Van der Waals attraction and a DMT contact (Borysov et al., eq. 22).

    .. math::
        F = -\frac{HR}{6d^2} \;(d \ge a_0), \qquad
        F = -\frac{HR}{6a_0^2} + \tfrac43 E^* \sqrt R\, (a_0 - d)^{3/2} \;(d < a_0)

    Parameters
    ----------
    radius : float
        R of the tip, m: a constant, since only H R and E* sqrt(R) act.
    hamaker : float, optional
        H, J.
    modulus : float, optional
        E*, Pa.
    intermolecular : float, optional
        a0, m; known beforehand to be 0.3 nm within 30 %.
    """

    radius: float
    hamaker: float | None = None
    modulus: float | None = None
    intermolecular: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("hamaker", "J", (1e-19,), linear=True, logarithmic=True),
        Parameter("modulus", "Pa", (1e9,), linear=True),
        Parameter(
            "intermolecular",
            "m",
            (0.15e-9, 0.3e-9, 0.5e-9),
            logarithmic=True,
            prior=Prior(0.3e-9, 0.09e-9),
            origin=True,
        ),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N."""
        hamaker, modulus, a0 = values
        overlap = np.maximum(a0 - state.d, 0.0)
        stiffness = 4.0 / 3.0 * modulus * math.sqrt(self.radius)
        attraction = hamaker * self.radius / 6.0 / np.maximum(state.d, a0) ** 2
        return state.along_z(stiffness * overlap * np.sqrt(overlap) - attraction)

    def slopes(self, values: Array, state: State) -> Slopes:
        """Return the force and its slopes, closed forms."""
        hamaker, modulus, a0 = values
        inverse = 1.0 / np.maximum(state.d, a0)
        overlap = np.maximum(a0 - state.d, 0.0)
        root = np.sqrt(overlap)
        per_hamaker = (-self.radius / 6.0) * (inverse * inverse)
        per_modulus = (4.0 / 3.0 * math.sqrt(self.radius)) * (overlap * root)
        # The two regions answer a0 and d with the same steepness, of opposite sign in contact.
        attraction = (hamaker * self.radius / 3.0 / a0**3) * (state.d < a0)
        steepness = (2.0 * modulus * math.sqrt(self.radius)) * root
        falling = (hamaker * self.radius / 3.0) * (inverse * inverse * inverse) - attraction
        parameters = (per_hamaker, per_modulus, attraction + steepness)
        return Slopes(
            state.along_z(hamaker * per_hamaker + modulus * per_modulus),
            np.array([state.along_z(column) for column in parameters]),
            state.along_z(falling - steepness),
            state.along_z(np.zeros_like(root)),
        )


@dataclass(frozen=True)
class Morse(Law):
    r"""Force of a Morse potential (Giessibl, Rev. Mod. Phys. 75, 949 (2003), eq. 3).

    .. math:: F = 2 \kappa E_b (e^{-2\kappa(d-d_0)} - e^{-\kappa(d-d_0)})

    Parameters
    ----------
    equilibrium : float
        d0, the distance without force, m: a constant, since it only shifts the height.
    bond_energy : float, optional
        E_b, J.
    decay : float, optional
        1 / kappa, m.
    """

    equilibrium: float = 0.3e-9
    bond_energy: float | None = None
    decay: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("bond_energy", "J", (1e-18,), linear=True, logarithmic=True),
        Parameter("decay", "m", (0.1e-9, 0.3e-9, 0.8e-9, 2e-9), logarithmic=True),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N."""
        energy, decay = values
        fall = np.exp((self.equilibrium - state.d) / decay)
        return state.along_z(2.0 * energy / decay * (fall * fall - fall))


@dataclass(frozen=True)
class LennardJones(Law):
    r"""Lennard-Jones force of a sphere and a half-space (Israelachvili, section 13).

    .. math:: F = \frac{HR}{6d^2} \left[\tfrac1{30} (\sigma / d)^6 - 1\right]

    Parameters
    ----------
    radius : float
        R of the tip, m: a constant.
    hamaker : float, optional
        H, J.
    sigma : float, optional
        Diameter of the atoms, m.
    """

    radius: float
    hamaker: float | None = None
    sigma: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("hamaker", "J", (1e-19,), linear=True, logarithmic=True),
        Parameter("sigma", "m", (0.3e-9, 0.6e-9, 1.2e-9, 2.5e-9), logarithmic=True),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N; NaN at and below the surface, where the law has no meaning."""
        hamaker, sigma = values
        inverse = 1.0 / np.where(state.d > 0.0, state.d, np.nan)
        square = (sigma * inverse) ** 2
        strength = hamaker * self.radius / 6.0 * inverse * inverse
        return state.along_z(strength * (square**3 / 30.0 - 1.0))


@dataclass(frozen=True)
class Jkr(Law):
    r"""Adhesive contact after Johnson, Kendall and Roberts, Proc. R. Soc. A 324, 301 (1971).

    .. math::
        -d = \frac{a^2}{R} - \sqrt{\frac{2\pi w a}{E^*}}, \qquad
        F = \frac{4 E^* a^3}{3R} - \sqrt{8\pi w E^* a^3}

    on the stable branch down to the pull-off at fixed displacement, zero beyond. The loop between
    contact made and contact broken is not in it.

    Parameters
    ----------
    radius : float
        R of the tip, m: a constant.
    modulus : float, optional
        E*, Pa.
    adhesion_work : float, optional
        w, J/m².
    """

    radius: float
    modulus: float | None = None
    adhesion_work: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("modulus", "Pa", _MODULI_PA, logarithmic=True),
        Parameter("adhesion_work", "J/m²", (1e-2, 1e-1), logarithmic=True),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N; its jump at the pull-off is spread over the moments' intervals."""
        modulus, work = values
        # In s, the square root of the contact radius in units of `contact`: s^4 - s = -d / length.
        contact = (self.radius * math.sqrt(2.0 * math.pi * work / modulus)) ** (2.0 / 3.0)
        length = contact**2 / self.radius
        pull_off = 0.75 * 0.25 ** (1.0 / 3.0) * length
        root = _quartic_root(np.minimum(state.d, pull_off) / length)
        push = 4.0 * modulus * contact**3 / (3.0 * self.radius)
        hold = math.sqrt(8.0 * math.pi * work * modulus * contact**3)
        cube = root**3
        # Part of the way of each moment that lies on the contact's side.
        way = np.maximum(np.abs(state.vz) * state.interval, 1e-6 * length)
        part = np.clip((pull_off - state.d) / way + 0.5, 0.0, 1.0)
        return state.along_z((push * cube - hold) * cube * part)


def _quartic_root(distance: Array) -> Array:
    """Return the largest root s of s^4 - s + distance = 0, distance <= 0.4725 (Ferrari)."""
    third = -distance / 3.0
    discriminant = np.maximum(1.0 / 256.0 + third**3, 0.0)
    u = np.cbrt(1.0 / 16.0 + np.sqrt(discriminant))
    v = third / u
    m = 0.125 / (u * u + third + v * v)
    e = np.sqrt(2.0 * m)
    return 0.5 * (e + np.sqrt(np.maximum(2.0 / e - 2.0 * m, 0.0)))


@dataclass(frozen=True)
class DoubleLayerHertz(Law):
    r"""Electric double layer in a liquid (Butt, Biophys. J. 60, 1438 (1991)) and a Hertz contact.

    .. math::
        F = \frac{4\pi R\, \sigma_t\sigma_s \lambda_D}{\epsilon\epsilon_0} e^{-\max(d,0)/\lambda_D}
            + \tfrac43 E^* \sqrt R \max(-d, 0)^{3/2}

    Parameters
    ----------
    radius : float
        R of the tip, m: a constant.
    modulus : float, optional
        E*, Pa.
    charge_product : float, optional
        sigma_t sigma_s of tip and sample, C²/m⁴; their product only acts.
    debye_length : float, optional
        lambda_D, m.
    permittivity : float
        Relative permittivity of the liquid, a constant; water at 25 °C by default.
    """

    radius: float
    modulus: float | None = None
    charge_product: float | None = None
    debye_length: float | None = None
    permittivity: float = 78.4

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("modulus", "Pa", (1e8,), linear=True),
        Parameter("charge_product", "C²/m⁴", (1e-5,), linear=True, signed=True),
        Parameter("debye_length", "m", (0.5e-9, 1.5e-9, 5e-9, 15e-9), logarithmic=True),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N."""
        modulus, charges, debye = values
        strength = 4.0 * math.pi * self.radius * charges * debye / (self.permittivity * epsilon_0)
        overlap = np.maximum(-state.d, 0.0)
        contact = 4.0 / 3.0 * modulus * math.sqrt(self.radius) * overlap * np.sqrt(overlap)
        return state.along_z(strength * np.exp(-np.maximum(state.d, 0.0) / debye) + contact)
