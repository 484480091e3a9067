"""Forces from a smooth potential of the distance: Morse, and Lennard-Jones for a sphere; no force.

Israelachvili, Intermolecular and Surface Forces, 3rd ed., chapters 5 and 13; Giessibl, Rev. Mod.
Phys. 75, 949 (2003), section II.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

from sim.forces._base import Force, Kernel, require
from sim.forces._elementary import exponential

__all__ = ["LennardJones", "Morse", "NoForce"]


@dataclass(frozen=True)
class NoForce(Force):
    """No surface at all: the free cantilever."""

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return zeros."""
        shape = np.broadcast_shapes(*(np.shape(value) for value in (d, y, vz, vy)))
        return np.zeros(shape), np.zeros(shape)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_no_force,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """None."""
        return np.zeros(0)


@register_jitable
def _no_force(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    return real(0.0), real(0.0)


@dataclass(frozen=True)
class Morse(Force):
    r"""Force of a Morse potential (Giessibl 2003, eq. 3).

    .. math::
        U = E_b \left(e^{-2\kappa(d-d_0)} - 2 e^{-\kappa(d-d_0)}\right), \qquad
        F_z = 2 \kappa E_b \left(e^{-2\kappa(d-d_0)} - e^{-\kappa(d-d_0)}\right)

    Parameters
    ----------
    bond_energy : float
        E_b, J.
    equilibrium : float
        Distance d_0 without force, m.
    decay : float
        1 / kappa, m.
    """

    bond_energy: float
    equilibrium: float
    decay: float

    def __post_init__(self) -> None:
        require(self, positive="decay", at_least_zero="bond_energy", finite="equilibrium")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz by the formula above; Fy = 0."""
        d, _, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        fall = np.exp(-(d - self.equilibrium) / self.decay)
        force = 2 * self.bond_energy / self.decay * (fall**2 - fall)
        return force, np.zeros_like(force)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_morse,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """2 kappa E_b (N), d_0 (m), -kappa (1/m)."""
        force = 2 * self.bond_energy / self.decay
        return np.array([force, self.equilibrium, -1.0 / self.decay])


@register_jitable
def _morse(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    fall = exponential((d - p[o + 1]) * p[o + 2])
    return p[o] * (fall * fall - fall), real(0.0)


@dataclass(frozen=True)
class LennardJones(Force):
    r"""Lennard-Jones force between a sphere and a half-space (Israelachvili, section 13).

    .. math::
        F_z = \frac{H R}{6 d^2} \left[\frac{1}{30} \left(\frac{\sigma}{d}\right)^6 - 1\right]

    It has no end at d = 0: motion that is driven through the repulsive wall has no meaning.

    Parameters
    ----------
    hamaker : float
        Hamaker constant H, J.
    radius : float
        Radius R of the tip, m.
    sigma : float
        Diameter sigma of the atoms, m.
    """

    hamaker: float
    radius: float
    sigma: float

    def __post_init__(self) -> None:
        require(self, positive="radius sigma", at_least_zero="hamaker")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz by the formula above; Fy = 0."""
        d, _, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        force = self.hamaker * self.radius / (6 * d**2) * ((self.sigma / d) ** 6 / 30 - 1)
        return force, np.zeros_like(force)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_lennard_jones,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """H R / (6 sigma^2) (N), sigma (m)."""
        return np.array([self.hamaker * self.radius / (6 * self.sigma**2), self.sigma])


@register_jitable
def _lennard_jones(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    ratio = p[o + 1] / d
    square = ratio * ratio
    return p[o] * square * (real(1 / 30) * square * square * square - real(1.0)), real(0.0)
