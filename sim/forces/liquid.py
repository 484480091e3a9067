"""Force in an electrolyte: the electric double layer above the surface, a Hertz contact below.

Butt, Biophys. J. 60, 1438 (1991), eq. 7 for the double layer of a sphere and a plane with fixed
charges; Hertz, J. reine angew. Math. 92, 156 (1881).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray
from scipy.constants import epsilon_0

from sim.forces._base import Force, Kernel, require
from sim.forces._elementary import exponential

__all__ = ["DoubleLayerHertz"]


@dataclass(frozen=True)
class DoubleLayerHertz(Force):
    r"""Double layer of a charged sphere and a charged plane, with a Hertz contact at d = 0.

    .. math::
        F_z = \frac{4\pi R\, \sigma_t \sigma_s \lambda_D}{\epsilon \epsilon_0}
              e^{-\max(d, 0)/\lambda_D} + \frac43 E^* \sqrt{R}\, \max(-d, 0)^{3/2}

    In contact the double layer stays what it was at d = 0.

    Parameters
    ----------
    radius : float
        Radius R of the tip, m.
    modulus : float
        Effective modulus E*, Pa.
    tip_charge, sample_charge : float
        Charge densities sigma_t and sigma_s, C/m^2.
    debye_length : float
        lambda_D, m.
    permittivity : float
        Relative permittivity of the liquid; that of water at 25 deg C unless given.
    """

    radius: float
    modulus: float
    tip_charge: float
    sample_charge: float
    debye_length: float
    permittivity: float = 78.4

    def __post_init__(self) -> None:
        require(
            self,
            positive="radius debye_length permittivity",
            at_least_zero="modulus",
            finite="tip_charge sample_charge",
        )

    @property
    def _contact_force(self) -> float:
        """The double layer's force at d = 0, N."""
        charges = self.tip_charge * self.sample_charge
        field = 4 * math.pi * self.radius * charges / (self.permittivity * epsilon_0)
        return field * self.debye_length

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz by the formula above; Fy = 0."""
        d, _, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        layer = self._contact_force * np.exp(-np.where(d > 0, d, 0.0) / self.debye_length)
        stiffness = 4 / 3 * self.modulus * np.sqrt(self.radius)
        return layer + stiffness * np.where(d < 0, -d, 0.0) ** 1.5, np.zeros_like(layer)

    @property
    def kinks(self) -> tuple[float, ...]:
        """The surface, where the contact begins."""
        return (0.0,)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_double_layer_hertz,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """Double layer's force at d = 0 (N), -1 / lambda_D (1/m), 4/3 E* sqrt(R) (N/m^1.5)."""
        stiffness = 4 / 3 * self.modulus * math.sqrt(self.radius)
        return np.array([self._contact_force, -1.0 / self.debye_length, stiffness])


@register_jitable
def _double_layer_hertz(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    overlap = max(-d, real(0.0))
    layer = p[o] * exponential(max(d, real(0.0)) * p[o + 1])
    return layer + p[o + 2] * overlap * math.sqrt(overlap), real(0.0)
