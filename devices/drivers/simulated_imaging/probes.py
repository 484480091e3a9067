"""The probes of a simulated AFM: every serial number is one of its own, worn by what it scans."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np

from devices.drivers.imaging_protocols import MountedProbe
from devices.drivers.simulated_afm_motion import AfmTruth
from devices.drivers.simulated_imaging.jobs import TipChange
from devices.drivers.simulated_imaging.probe_kinds import KINDS, ProbeKind, kind_of
from devices.wire import CancelledError
from sim.peakforce import ForceProbe, Frame, ImageNuisance

__all__ = ["ImagingParameters", "ImagingTruth", "SimulatedProbes"]


@dataclass(frozen=True)
class ImagingParameters:
    """The probes, and what is wrong with them and with images.

    Parameters
    ----------
    kinds : tuple of ProbeKind
        Those in the drawer; a serial number tells which kind it is.
    serial : str
        Of the first probe.
    calibrated : bool
        Whether the sensitivity is measured when a probe is put in.
    probe : ForceProbe, optional
        What every probe really is; drawn anew for each serial number by default.
    nuisances : bool
        Whether images have gains, outliers and line noise of their own.
    wear_rate : float
        Volume of a tip that a metre of scanning takes off, m^3/m.
    """

    kinds: tuple[ProbeKind, ...] = KINDS
    serial: str = "RTESPA-150-30-0001"
    calibrated: bool = True
    probe: ForceProbe | None = None
    nuisances: bool = True
    wear_rate: float = 1.35e-24


@dataclass
class ImagingTruth:
    """What only the simulator knows of probe and images; for tests and benchmarks.

    Attributes
    ----------
    probe : ForceProbe
        As it is now, worn as it is.
    frame : Frame
        Where on the sample the last image was taken.
    nuisance : ImageNuisance
        What was wrong with it as a whole.
    change : TipChange, optional
        What shall happen in the next image.
    """

    probe: ForceProbe
    frame: Frame = field(default_factory=Frame)
    nuisance: ImageNuisance = field(default_factory=ImageNuisance)
    change: TipChange | None = None


class SimulatedProbes:
    """`ProbeExchange` over a drawer in which every serial number is a probe of its own.

    Parameters
    ----------
    truth : AfmTruth
        Of the cantilever in the holder.
    parameters : ImagingParameters
        What is in it.
    seed : int
        The same seed and serial number make the same probe.
    """

    def __init__(self, truth: AfmTruth, parameters: ImagingParameters, seed: int) -> None:
        self._truth = truth
        self.parameters = parameters
        self._seed = seed
        self.imaging = ImagingTruth(ForceProbe())
        self.mounted = self._put_in(parameters.serial)

    def load(self, serial: str, abort: threading.Event) -> MountedProbe:
        """Put another probe in; see `ProbeExchange.load`."""
        if abort.is_set():
            raise CancelledError("no probe was put in")
        self.mounted = self._put_in(serial)
        return self.mounted

    def _put_in(self, serial: str) -> MountedProbe:
        parameters = self.parameters
        kind = kind_of(serial, parameters.kinds)
        rng = np.random.default_rng([self._seed, crc32(serial.encode())])
        probe, measured = parameters.probe, kind.spring_constant
        if probe is None:
            probe, measured = kind.drawn(rng)
        self.imaging.probe = probe
        self._truth.parameters = replace(self._truth.parameters, **kind.lever(probe))
        known = measured if parameters.calibrated else kind.spring_constant
        return MountedProbe(kind.calibration(known), serial, parameters.calibrated)
