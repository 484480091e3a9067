"""A simulated AFM that takes images: probes from a drawer, samples on a chuck, `sim`'s physics."""

from __future__ import annotations

from devices.drivers.simulated_imaging.imager import ImagingStage, SimulatedImager
from devices.drivers.simulated_imaging.jobs import TipChange
from devices.drivers.simulated_imaging.parts import SimulatedImaging
from devices.drivers.simulated_imaging.probe_kinds import KINDS, ProbeKind
from devices.drivers.simulated_imaging.probes import (
    ImagingParameters,
    ImagingTruth,
    SimulatedProbes,
)

__all__ = [
    "KINDS",
    "ImagingParameters",
    "ImagingStage",
    "ImagingTruth",
    "ProbeKind",
    "SimulatedImager",
    "SimulatedImaging",
    "SimulatedProbes",
    "TipChange",
]
