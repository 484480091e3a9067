"""The kinds of probe in a simulated AFM's drawer, as their maker states them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from devices.comb import FLEXURAL
from devices.probe_calibration import ProbeCalibration
from sim.cantilever import Cantilever, Mode
from sim.peakforce import ForceProbe

__all__ = ["KINDS", "ProbeKind", "kind_of"]

_SECOND_MODE = 6.27  # frequency of a beam's second mode over that of its first
_SPRING_SPREAD = 0.1  # of levers about their maker's figure, as thermal calibration finds them
_FREE_PER_VOLT = (60e-9, 12e-9)  # m of each mode that a volt of the shaker drives at resonance
_DEFLECTION_NOISE = 50e-12  # m rms of a sample of a force curve: 0.25 nN at 5 N/m


@dataclass(frozen=True)
class ProbeKind:
    """A kind of probe.

    Parameters
    ----------
    name : str
        With which its serial numbers begin.
    spring_constant : float
        N/m.
    radius : float
        Of the tip, m.
    resonance_frequency : float
        Hz.
    quality_factor : tuple of float, shape (2,)
        Of the first two modes, in air.
    sensitivity : float
        Of the detector with it, m/V.
    """

    name: str
    spring_constant: float
    radius: float
    resonance_frequency: float
    quality_factor: tuple[float, float]
    sensitivity: float = 60e-9

    @property
    def frequencies(self) -> tuple[float, float]:
        """Of the first two modes, Hz."""
        return self.resonance_frequency, _SECOND_MODE * self.resonance_frequency

    def drawn(self, rng: np.random.Generator) -> tuple[ForceProbe, float]:
        """Return a probe of the kind, and the spring constant (N/m) that a calibration finds."""
        measured = self.spring_constant * float(np.exp(_SPRING_SPREAD * rng.normal()))
        probe = ForceProbe.drawn(rng, measured, self.radius)
        noise = _DEFLECTION_NOISE * probe.spring_constant
        return replace(probe, force_noise=noise), measured

    def calibration(self, spring_constant: float) -> ProbeCalibration:
        """Return what is known of a probe whose spring constant (N/m) is known."""
        return ProbeCalibration(
            resonance_frequency=self.frequencies,
            quality_factor=self.quality_factor,
            spring_constant=(spring_constant, spring_constant * _SECOND_MODE**2),
            mode_axis=(FLEXURAL, FLEXURAL),
            radius=self.radius,
            sensitivity=(self.sensitivity, self.sensitivity),
        )

    def lever(self, probe: ForceProbe) -> dict[str, Any]:
        """Return what a lock-in meets, as fields of `AfmParameters`: lever, shaker and detector."""
        springs = (probe.spring_constant, probe.spring_constant * _SECOND_MODE**2)
        modes = tuple(map(Mode, self.frequencies, self.quality_factor, springs))
        gains = tuple(
            free * mode.spring_constant / mode.quality_factor
            for free, mode in zip(_FREE_PER_VOLT, modes, strict=True)
        )
        sensitivity = self.sensitivity / (1 + probe.sensitivity_error)
        return {
            "cantilever": Cantilever(modes),
            "shaker_gain": gains,
            "radius": probe.tip.radius,
            "sensitivity": (sensitivity, sensitivity),
        }


KINDS = (
    ProbeKind("RTESPA-150-30", 5.0, 30e-9, 150e3, (250.0, 500.0)),
    ProbeKind("RTESPA-300", 40.0, 8e-9, 300e3, (400.0, 800.0)),
)
"""Bruker's probe for quantitative mapping of polymers, and one for phase images."""


def kind_of(serial: str, kinds: Sequence[ProbeKind] = KINDS) -> ProbeKind:
    """Return the kind whose name the serial number begins with; the first if it is none of them."""
    return next((kind for kind in kinds if serial.startswith(kind.name)), kinds[0])
