"""Measurements of which the force is known: the paper's cases, simulated to any accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.intermodulation import Measurement, Mode, Motion, motion
from analysis.intermodulation.completion import complete_lateral
from analysis.intermodulation.curve import ForceCurve
from analysis.intermodulation.lateral import LateralForces
from sim.cantilever import Cantilever, Drive, ExactEngine, Tones, free_spectra
from sim.forces import Force

__all__ = ["Case", "case", "relative_error"]

_POINTS = 2001
# Periods before the measured one: after a single one, what is left of the torsional mode's
# transient adds 1.5 % to the error of F_y.
_SETTLING = 3
# Part of the largest velocity, and of the largest lateral deflection, at which forces are judged.
_JUDGED = 0.2


def relative_error(
    z: NDArray[np.float64], found: NDArray[np.float64], true: NDArray[np.float64]
) -> float:
    """Return the root of the integral of the squared error over that of the truth."""
    return float(np.sqrt(np.trapezoid((found - true) ** 2, z) / np.trapezoid(true**2, z)))


@dataclass(frozen=True, eq=False)
class Case:
    """A measurement without noise and the force that made it."""

    measurement: Measurement
    force: Force
    height: float

    def band(self, number: int, tones: int) -> NDArray[np.int64]:
        """Return the places of the `tones` tones round the middle of a band."""
        places = self.measurement.bands()[number]
        first = places.size // 2 - tones // 2
        return places[first : first + tones]

    def select(self, tones: int) -> Measurement:
        """Return the measurement with that many tones a band."""
        bands = range(len(self.measurement.modes))
        return self.measurement.select(np.concatenate([self.band(b, tones) for b in bands]))

    def force_z(self, z: NDArray[np.float64], velocity: float = 0.0) -> NDArray[np.float64]:
        """Return the true force along z."""
        return self.force.components(self.height + z, 0.0, velocity, 0.0)[0]

    def field(
        self, z: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the true forces of a tip at rest."""
        return self.force.components(self.height + z, y, 0.0, 0.0)

    @cached_property
    def whole_motion(self) -> Motion:
        """The motion with all tones: those that were simulated, and what the force does to others.

        The tones of the bands are exact, the others follow from the force along the motion.
        """
        return complete_lateral(self.measurement, self.field, passes=4)

    def errors(self, curve: ForceCurve) -> tuple[float, float]:
        """Return the errors of the conservative and of the dissipative force."""
        z = np.linspace(curve.z[0], 0.0, _POINTS)
        velocity = _JUDGED * float(motion(self.select(24)).velocity.max())
        still = self.force_z(z)
        damped = relative_error(
            z, curve.force(z, velocity) - curve.force(z), self.force_z(z, velocity) - still
        )
        return relative_error(z, curve.force(z), still), damped

    def lateral_errors(self, found: LateralForces) -> tuple[float, float, float]:
        """Return the errors of F_z at y = 0, of F_z where the tip came by, and of F_y."""
        z = np.linspace(found.z[0], 0.0, _POINTS)
        y = np.full_like(z, _JUDGED * found.y[-1])
        true_z, _ = self.field(found.z[:, None], found.y[None, :])
        true_z = np.broadcast_to(true_z, found.force_z.shape)
        off = (found.force_z - true_z)[found.visited]
        return (
            relative_error(z, found.force(z, 0.0)[0], self.force_z(z)),
            float(np.linalg.norm(off) / np.linalg.norm(true_z[found.visited])),
            relative_error(z, found.force(z, y)[1], self.field(z, y)[1]),
        )


def case(cantilever: Cantilever, drive: Drive, force: Force, height: float, tones: Tones) -> Case:
    """Simulate a case with the exact engine."""
    engine = ExactEngine(settling=_SETTLING)
    engaged = engine.simulate(cantilever, drive, force, np.array([height]), tones)
    free = free_spectra(cantilever, drive, tones)
    measurement = Measurement(
        tones=np.array(tones.z + tones.y),
        free=np.concatenate([free.z[0], free.y[0]]),
        engaged=np.concatenate([engaged.z[0], engaged.y[0]]),
        noise=np.zeros(len(tones.z) + len(tones.y)),
        modes=tuple(
            Mode(mode.frequency, mode.quality_factor, mode.spring_constant, mode.axis)
            for mode in cantilever.modes
        ),
        df=drive.df,
        height=height,
        axes=("z",) * len(tones.z) + ("y",) * len(tones.y),
    )
    return Case(measurement, force, height)
