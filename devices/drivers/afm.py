"""The commands an AFM server offers over any head, scanner and lock-in that keep the protocols.

Whatever a device has checked is checked here again: a server answers to every client, not only to
ours, and it is the last place where a wrong number can be refused before a tip breaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.comb import Comb
from devices.drivers.afm_acquisition import Acquisition
from devices.drivers.afm_chuck import ChuckService
from devices.drivers.afm_head import HeadService
from devices.drivers.afm_imaging import ImagerParts, ImagerService
from devices.drivers.afm_lockin import LockinService
from devices.drivers.afm_probe import ProbeLoading, ProbeService
from devices.drivers.afm_protocols import HeadDriver, MultiFrequencyLockin, ScannerDriver
from devices.drivers.afm_scanner import ScannerService
from devices.drivers.imaging_protocols import (
    ChuckDriver,
    ImagingDriver,
    MountedProbe,
    ProbeExchange,
)
from devices.probe_calibration import ProbeCalibration
from devices.wire import Service

__all__ = ["AfmDrivers", "afm_services"]


@dataclass(frozen=True)
class AfmDrivers:
    """The parts of an AFM, and what is known of it before anybody calibrates it.

    Parameters
    ----------
    head, scanner, lockin : HeadDriver, ScannerDriver, MultiFrequencyLockin
        The instrument.
    probe : ProbeCalibration
        The probe's nominal figures.
    comb : Comb
        The comb to begin with.
    imager : ImagingDriver, optional
        What takes images.
    chuck : ChuckDriver, optional
        What carries the samples.
    exchange : ProbeExchange, optional
        Who puts new probes in.
    serial : str
        The probe's number, if it is known.
    calibrated : bool
        Whether the detector's sensitivity was measured with it.
    """

    head: HeadDriver
    scanner: ScannerDriver
    lockin: MultiFrequencyLockin
    probe: ProbeCalibration
    comb: Comb
    imager: ImagingDriver | None = None
    chuck: ChuckDriver | None = None
    exchange: ProbeExchange | None = None
    serial: str = ""
    calibrated: bool = False


def afm_services(drivers: AfmDrivers, *, poll_s: float = 0.02) -> list[Service]:
    """Return the services of an AFM.

    ``head``, ``scanner``, ``lockin`` and ``probe``, and where there is one, ``chuck`` and
    ``imager``.

    Parameters
    ----------
    drivers : AfmDrivers
        The instrument.
    poll_s : float
        Seconds between two readings of what moves.
    """
    acquisition = Acquisition()
    probe = ProbeService(MountedProbe(drivers.probe, drivers.serial, drivers.calibrated))
    head = HeadService(drivers.head, probe, acquisition, poll_s=poll_s)
    frames = None if drivers.imager is None else drivers.imager.frame_limits
    scanner = ScannerService(drivers.scanner, acquisition, poll_s=poll_s, frame_limits=frames)
    lockin = LockinService(drivers.lockin, head, scanner, probe, acquisition, drivers.comb)
    services: list[Service] = [head, scanner, lockin, probe]
    chuck = None
    if drivers.exchange is not None:
        probe.allow_loading(ProbeLoading(drivers.exchange, acquisition, lambda: head.withdrawn))
    if drivers.chuck is not None:
        chuck = ChuckService(drivers.chuck, head, acquisition, poll_s=poll_s)
        services.append(chuck)
    if drivers.imager is not None:
        parts = ImagerParts(head, scanner, probe, chuck, acquisition)
        services.append(ImagerService(drivers.imager, parts))
    return services
