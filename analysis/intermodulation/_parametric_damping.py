"""Laws of damping and of lateral springs, as something that can be fitted.

Borysov et al., eq. 22, 27 and section IV. See `models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ._parametric_law import Law, Parameter, Slopes, State

__all__ = ["ExponentialDamping", "LateralSpring", "LateralWell", "ThresholdDamping"]

Array = NDArray[np.float64]

# Lengths of surface forces from which the search starts.
_DECAYS_M = (0.4e-9, 1.2e-9, 4e-9)


@dataclass(frozen=True)
class ExponentialDamping(Law):
    r"""Damping that falls off from the surface (Borysov et al., eq. 22).

    .. math:: F = -(\gamma_1 v + \gamma_3 v^3) e^{-d/\lambda}

    Parameters
    ----------
    linear : float, optional
        gamma_1, N s/m.
    cubic : float, optional
        gamma_3, N s³/m³; 0 leaves it out.
    decay : float, optional
        lambda, m.
    """

    linear: float | None = None
    cubic: float | None = None
    decay: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("linear", "N s/m", (1e-7,), linear=True),
        Parameter("cubic", "N s³/m³", (1e-4,), linear=True),
        Parameter("decay", "m", _DECAYS_M, logarithmic=True),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N."""
        linear, cubic, decay = values
        v = state.vz
        return state.along_z(-(linear + cubic * v * v) * v * np.exp(-state.d / decay))

    def slopes(self, values: Array, state: State) -> Slopes:
        """Return the force and its slopes, closed forms."""
        linear, cubic, decay = values
        fall = np.exp(state.d * (-1.0 / decay))
        per_linear = -state.vz * fall
        square = state.vz * state.vz
        per_cubic = square * per_linear
        force = linear * per_linear + cubic * per_cubic
        parameters = (per_linear, per_cubic, force * state.d * (1.0 / decay**2))
        return Slopes(
            state.along_z(force),
            np.array([state.along_z(column) for column in parameters]),
            state.along_z(force * (-1.0 / decay)),
            state.along_z((-linear - (3.0 * cubic) * square) * fall),
        )


@dataclass(frozen=True)
class ThresholdDamping(Law):
    r"""Damping that sets in above a velocity (Borysov et al., section IV).

    .. math:: F = -\gamma\, \mathrm{sign}(v) \max(|v| - v_t, 0)\, e^{-d/\lambda}

    Parameters
    ----------
    linear : float, optional
        gamma, N s/m.
    threshold : float, optional
        v_t, m/s.
    decay : float, optional
        lambda, m.
    """

    linear: float | None = None
    threshold: float | None = None
    decay: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("linear", "N s/m", (1e-7,), linear=True),
        Parameter("threshold", "m/s", (0.01, 0.03, 0.1), logarithmic=True),
        Parameter("decay", "m", _DECAYS_M, logarithmic=True),
    )

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N."""
        linear, threshold, decay = values
        excess = state.vz - np.clip(state.vz, -threshold, threshold)
        return state.along_z(-linear * excess * np.exp(-state.d / decay))


@dataclass(frozen=True)
class LateralSpring(Law):
    r"""Lateral restoring force as printed in Borysov et al., eq. 27; not a conservative field.

    .. math:: F_y = -(c_1 y + c_3 y^3) e^{-d/\lambda}, \qquad F_z = 0

    Parameters
    ----------
    linear : float, optional
        c_1, N/m.
    cubic : float, optional
        c_3, N/m³; 0 leaves it out.
    decay : float, optional
        lambda, m.
    """

    linear: float | None = None
    cubic: float | None = None
    decay: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = (
        Parameter("linear", "N/m", (0.1,), linear=True, signed=True),
        Parameter("cubic", "N/m³", (1e16,), linear=True, signed=True),
        Parameter("decay", "m", _DECAYS_M, logarithmic=True),
    )
    lateral: ClassVar[bool] = True

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N.

        Raises
        ------
        ValueError
            If the state has no lateral deflection.
        """
        linear, cubic, decay = values
        y = _lateral(self, state)
        force = -(linear + cubic * y * y) * y * np.exp(-state.d / decay)
        return np.stack([np.zeros_like(force), force])


@dataclass(frozen=True)
class LateralWell(Law):
    r"""Lateral force that has a potential and therefore acts along z as well.

    .. math::
        U = (c_1 y^2 / 2 + c_3 y^4 / 4) e^{-d/\lambda}, \qquad
        F_y = -(c_1 y + c_3 y^3) e^{-d/\lambda}, \qquad F_z = U / \lambda

    Parameters
    ----------
    linear, cubic, decay : float, optional
        As of `LateralSpring`.
    """

    linear: float | None = None
    cubic: float | None = None
    decay: float | None = None

    catalogue: ClassVar[tuple[Parameter, ...]] = LateralSpring.catalogue
    lateral: ClassVar[bool] = True

    def force(self, values: Array, state: State) -> Array:
        """Return the force, N; needs a lateral deflection as `LateralSpring.force` does."""
        linear, cubic, decay = values
        y = _lateral(self, state)
        fall = np.exp(-state.d / decay)
        stiffness = cubic * y * y
        potential = (linear / 2.0 + stiffness / 4.0) * y * y * fall
        return np.stack([potential / decay, -(linear + stiffness) * y * fall])


def _lateral(law: Law, state: State) -> Array:
    if state.y is None:
        raise ValueError(f"{type(law).__name__} needs a lateral signal: none is measured")
    return state.y
