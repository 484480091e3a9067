"""Forces that take energy from the tip: damping near the surface, and above a velocity.

Borysov et al., eq. 22 and section IV; the exponential form after Gotsmann et al., Phys. Rev. B 60,
11051 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

from sim.forces._base import Force, Kernel, require
from sim.forces._elementary import exponential

__all__ = ["ExponentialDamping", "ThresholdDamping"]


@dataclass(frozen=True)
class ExponentialDamping(Force):
    r"""Damping that falls off exponentially (Borysov et al., eq. 22).

    .. math:: F_z = -(\gamma_1 v_z + \gamma_3 v_z^3) \exp(-d/\lambda)

    Parameters
    ----------
    linear : float
        gamma_1, N s/m.
    cubic : float
        gamma_3, N s^3/m^3.
    decay : float
        lambda, m.
    """

    linear: float
    cubic: float = 0.0
    decay: float = 1.5e-9

    def __post_init__(self) -> None:
        require(self, positive="decay", at_least_zero="linear cubic")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz by the formula above; Fy = 0."""
        d, _, v, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        force = -(self.linear * v + self.cubic * v**3) * np.exp(-d / self.decay)
        return force, np.zeros_like(force)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_exponential_damping,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """gamma_1 (N s/m), gamma_3 (N s^3/m^3), -1 / lambda (1/m)."""
        return np.array([self.linear, self.cubic, -1.0 / self.decay])


@register_jitable
def _exponential_damping(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    return -(p[o] + p[o + 1] * vz * vz) * vz * exponential(d * p[o + 2]), real(0.0)


@dataclass(frozen=True)
class ThresholdDamping(Force):
    r"""Damping that sets in above a velocity (Borysov et al., section IV, "threshold" dissipation).

    .. math:: F_z = -\gamma\, \mathrm{sign}(v_z) \max(|v_z| - v_t, 0) \exp(-d/\lambda)

    The force rises from zero at the threshold, so that only its slope jumps there. A tip that
    moves more slowly than the threshold everywhere does not feel it.

    Parameters
    ----------
    linear : float
        gamma, N s/m.
    threshold : float
        Velocity v_t at which the damping begins, m/s.
    decay : float
        lambda, m.
    """

    linear: float
    threshold: float
    decay: float = 1.5e-9

    def __post_init__(self) -> None:
        require(self, positive="decay", at_least_zero="linear threshold")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz by the formula above; Fy = 0."""
        d, _, v, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        excess = np.maximum(np.abs(v) - self.threshold, 0.0)
        force = -self.linear * np.sign(v) * excess * np.exp(-d / self.decay)
        return force, np.zeros_like(force)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_threshold_damping,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """Gamma (N s/m), v_t (m/s), -1 / lambda (1/m)."""
        return np.array([self.linear, self.threshold, -1.0 / self.decay])


@register_jitable
def _threshold_damping(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    excess = vz - min(max(vz, -p[o + 1]), p[o + 1])
    return -p[o] * excess * exponential(d * p[o + 2]), real(0.0)
