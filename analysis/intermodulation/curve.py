"""What a reconstruction hands back: force against deflection, how sure it is, whether to trust it.

The force on the tip is F(z, v) = conservative(z) - damping(z) v - cubic_damping(z) v^3 on the
deflections that were visited below the rest point; above it there is no force, which is what the
methods of Borysov et al. assume (below eq. 18).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Bands", "ForceCurve", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """May the result be used?

    Parameters
    ----------
    ok : bool
    reasons : tuple of str
        Why not, or what to bear in mind, in plain words.
    """

    ok: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Bands:
    """Standard deviations of the parts of a `ForceCurve`, shape (n,) each, in their units."""

    conservative: NDArray[np.float64]
    damping: NDArray[np.float64]
    cubic_damping: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class ForceCurve:
    """Force between tip and surface along the visited deflections.

    Parameters
    ----------
    z : ndarray, shape (n,)
        Deflection from the lowest visited to 0, the rest point; rising, m.
    conservative : ndarray, shape (n,)
        N, attraction negative.
    damping : ndarray, shape (n,)
        N s/m.
    cubic_damping : ndarray, shape (n,), or None
        N s³/m³.
    bands : Bands or None
        None where the noise of the tones is not known.
    chi2 : float
        Sum of the squared residuals in units of the noise; NaN where that is not known.
    degrees_of_freedom : int
        Real equations less unknowns.
    verdict : Verdict
    """

    z: NDArray[np.float64]
    conservative: NDArray[np.float64]
    damping: NDArray[np.float64]
    cubic_damping: NDArray[np.float64] | None = None
    bands: Bands | None = None
    chi2: float = float("nan")
    degrees_of_freedom: int = 0
    verdict: Verdict = Verdict(True)

    def force(self, z: ArrayLike, velocity: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return the force for deflections and velocities that broadcast together, N.

        0 above the rest point, NaN below the lowest deflection that was visited.
        """
        from scipy.interpolate import make_interp_spline  # takes long to import

        z = np.asarray(z, dtype=float)
        velocity = np.asarray(velocity, dtype=float)
        parts = [self.conservative, self.damping]
        if self.cubic_damping is not None:
            parts.append(self.cubic_damping)
        inside = (z >= self.z[0]) & (z <= self.z[-1])
        place = np.clip(z, self.z[0], self.z[-1])
        values = make_interp_spline(self.z, np.stack(parts, axis=1), k=3)(place)
        total = values[..., 0] - values[..., 1] * velocity
        if self.cubic_damping is not None:
            total = total - values[..., 2] * velocity**3
        outside = np.where(z > self.z[-1], 0.0, np.nan)
        return np.where(inside, total, outside)
