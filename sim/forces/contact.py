"""Forces of a tip that touches: van der Waals attraction with a DMT contact, and JKR.

Derjaguin, Muller and Toporov, J. Colloid Interface Sci. 53, 314 (1975), as used by Borysov et al.,
eq. 22; Johnson, Kendall and Roberts, Proc. R. Soc. A 324, 301 (1971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

from sim.forces._base import Force, Kernel, require

__all__ = ["Jkr", "VdwDmt"]


@dataclass(frozen=True)
class VdwDmt(Force):
    r"""Van der Waals attraction above the surface, a DMT contact below (Borysov et al., eq. 22).

    .. math::
        F_z = -\frac{H R}{6 d^2} \;(d \ge a_0), \qquad
        F_z = -\frac{H R}{6 a_0^2} + \frac43 E^* \sqrt{R}\,(a_0 - d)^{3/2} \;(d < a_0)

    Parameters
    ----------
    hamaker : float
        Hamaker constant H, J.
    radius : float
        Radius R of the tip, m.
    modulus : float
        Effective modulus E*, Pa.
    intermolecular : float
        Distance a0 at which the contact begins, m.
    """

    hamaker: float
    radius: float
    modulus: float
    intermolecular: float = 0.3e-9

    def __post_init__(self) -> None:
        require(self, positive="radius intermolecular", at_least_zero="hamaker modulus")

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz by the formula above; Fy = 0."""
        d, _, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        a0 = self.intermolecular
        attraction = -self.hamaker * self.radius / (6 * np.where(d >= a0, d, a0) ** 2)
        overlap = np.where(d < a0, a0 - d, 0.0)
        contact = 4 / 3 * self.modulus * np.sqrt(self.radius) * overlap**1.5
        return attraction + contact, np.zeros_like(attraction)

    @property
    def kinks(self) -> tuple[float, ...]:
        """The distance a0, where attraction turns into contact."""
        return (self.intermolecular,)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_vdw_dmt,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """H R / 6 (J m), a0 (m), 4/3 E* sqrt(R) (N/m^1.5)."""
        stiffness = 4 / 3 * self.modulus * math.sqrt(self.radius)
        return np.array([self.hamaker * self.radius / 6, self.intermolecular, stiffness])


@register_jitable
def _vdw_dmt(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    real = type(d)
    gap = max(d, p[o + 1])
    overlap = p[o + 1] - d
    overlap = max(overlap, real(0.0))
    return p[o + 2] * overlap * math.sqrt(overlap) - p[o] / (gap * gap), real(0.0)


@dataclass(frozen=True)
class Jkr(Force):
    r"""Adhesive contact of a soft sphere after Johnson, Kendall and Roberts (1971).

    With the radius a of the contact and the work of adhesion w,

    .. math::
        -d = \frac{a^2}{R} - \sqrt{\frac{2\pi w a}{E^*}}, \qquad
        F_z = \frac{4 E^* a^3}{3R} - \sqrt{8\pi w E^* a^3}

    taken on the stable branch, down to the pull-off at fixed displacement; farther away the force
    is zero. Contact made and contact broken lie at the same distance: the loop that a real contact
    runs through between d = 0 and the pull-off is not in it, so that the law is conservative.

    Parameters
    ----------
    radius : float
        Radius R of the tip, m.
    modulus : float
        Effective modulus E*, Pa.
    adhesion_work : float
        Work of adhesion w, J/m^2.
    """

    radius: float
    modulus: float
    adhesion_work: float

    def __post_init__(self) -> None:
        require(self, positive="radius modulus adhesion_work")

    @property
    def _scales(self) -> tuple[float, float, float]:
        """Distance, repulsion and attraction in terms of s = sqrt(a) scaled: s^4 - s = -d / L."""
        pull = self.radius * math.sqrt(2 * math.pi * self.adhesion_work / self.modulus)
        contact = pull ** (2 / 3)  # the contact radius that belongs to s = 1
        length = contact**2 / self.radius
        push = 4 * self.modulus * contact**3 / (3 * self.radius)
        hold = math.sqrt(8 * math.pi * self.adhesion_work * self.modulus * contact**3)
        return length, push, hold

    @property
    def pull_off(self) -> float:
        """Distance at which the contact breaks, m."""
        return self._scales[0] * 0.75 * 0.25 ** (1 / 3)

    def components(
        self, d: ArrayLike, y: ArrayLike, vz: ArrayLike, vy: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return Fz with the contact radius from the roots of the quartic; Fy = 0."""
        d, _, _, _ = np.broadcast_arrays(np.asarray(d, np.float64), y, vz, vy)
        length, push, hold = self._scales
        root = np.array([_largest_root(value) for value in np.ravel(d) / length]).reshape(d.shape)
        force = np.where(d <= self.pull_off, push * root**6 - hold * root**3, 0.0)
        return force, np.zeros_like(force)

    @property
    def kinks(self) -> tuple[float, ...]:
        """The pull-off, where the force jumps."""
        return (self.pull_off,)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Compiled form."""
        return (_jkr,)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """Scale of distance (m), of repulsion (N) and of attraction (N), pull-off (m)."""
        return np.array([*self._scales, self.pull_off])


def _largest_root(distance: float) -> float:
    """Return the largest real root of s^4 - s + distance, or 0 where there is none."""
    roots = np.roots([1.0, 0.0, 0.0, -1.0, distance])
    real = roots.real[np.abs(roots.imag) < 1e-6]  # two real roots that meet come out as a pair
    return float(real.max()) if real.size else 0.0


@register_jitable
def _jkr(d: Any, y: Any, vz: Any, vy: Any, p: Any, o: Any) -> Any:
    # Ferrari's solution of s^4 - s = c: m^3 + c m = 1/8 first, by Cardano, without cancellation
    real = type(d)
    held = min(d, p[o + 3])
    c = -held / p[o]
    third = c / real(3.0)
    discriminant = real(1 / 256) + third * third * third
    u = (real(1 / 16) + math.sqrt(max(discriminant, real(0.0)))) ** real(1 / 3)
    v = third / u
    m = real(0.125) / (u * u + third + v * v)
    e = math.sqrt(m + m)
    s = real(0.5) * (e + math.sqrt(max(real(2.0) / e - m - m, real(0.0))))
    cube = s * s * s
    force = (p[o + 1] * cube - p[o + 2]) * cube
    return force if d <= p[o + 3] else real(0.0), real(0.0)
