"""Forces on a tip that also moves sideways: springs across, with and without a potential.

Borysov et al., eq. 27. As printed, that force is not conservative: Fy depends on the distance while
Fz does not depend on y. `LateralWell` is the field with a potential that has the same Fy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

from sim.forces._base import Force, Kernel, require
from sim.forces._elementary import exponential

__all__ = ["LateralSpring", "LateralWell"]


@dataclass(frozen=True)
class LateralSpring(Force):
    r"""Lateral restoring force as printed in Borysov et al., eq. 27.

    .. math:: F_y = -(c_1 y + c_3 y^3) \exp(-d/\lambda), \qquad F_z = 0

    Parameters
    ----------
    linear : float
        c_1, N/m.
    cubic : float
        c_3, N/m^3.
    decay : float
        lambda, m.
    """

    linear: float
    cubic: float = 0.0
    decay: float = 1.5e-9

    def __post_init__(self) -> None:
        require(self, positive="decay", finite="linear cubic")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fy by the formula above; Fz = 0."""
        d, y, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        force = -(self.linear * y + self.cubic * y**3) * np.exp(-d / self.decay)
        return np.zeros_like(force), force

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_lateral_spring,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """c_1 (N/m), c_3 (N/m^3), -1 / lambda (1/m)."""
        return np.array([self.linear, self.cubic, -1.0 / self.decay])


@register_jitable
def _lateral_spring(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    return real(0.0), -(p[o] + p[o + 1] * y * y) * y * exponential(d * p[o + 2])


@dataclass(frozen=True)
class LateralWell(Force):
    r"""Lateral force with a potential, which therefore acts along z as well.

    .. math::
        U = \left(\frac{c_1 y^2}{2} + \frac{c_3 y^4}{4}\right) e^{-d/\lambda}, \qquad
        F_y = -(c_1 y + c_3 y^3) e^{-d/\lambda}, \qquad F_z = U / \lambda

    Parameters
    ----------
    linear : float
        c_1, N/m.
    cubic : float
        c_3, N/m^3.
    decay : float
        lambda, m.
    """

    linear: float
    cubic: float = 0.0
    decay: float = 1.5e-9

    def __post_init__(self) -> None:
        require(self, positive="decay", finite="linear cubic")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz and Fy by the formulas above."""
        d, y, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        fall = np.exp(-d / self.decay)
        potential = (self.linear * y**2 / 2 + self.cubic * y**4 / 4) * fall
        return potential / self.decay, -(self.linear * y + self.cubic * y**3) * fall

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_lateral_well,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """c_1 (N/m), c_3 (N/m^3), -1 / lambda (1/m)."""
        return np.array([self.linear, self.cubic, -1.0 / self.decay])


@register_jitable
def _lateral_well(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    fall = exponential(d * p[o + 2])
    stiffness = p[o + 1] * y * y
    potential = (real(0.5) * p[o] + real(0.25) * stiffness) * y * y
    return -potential * p[o + 2] * fall, -(p[o] + stiffness) * y * fall
