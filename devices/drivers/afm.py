"""The commands an AFM server offers over any head, scanner and lock-in that keep the protocols.

Whatever a device has checked is checked here again: a server answers to every client, not only to
ours, and it is the last place where a wrong number can be refused before a tip breaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.comb import Comb
from devices.drivers.afm_acquisition import Acquisition
from devices.drivers.afm_head import HeadService
from devices.drivers.afm_lockin import LockinService
from devices.drivers.afm_probe import ProbeService
from devices.drivers.afm_protocols import HeadDriver, MultiFrequencyLockin, ScannerDriver
from devices.drivers.afm_scanner import ScannerService
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
    """

    head: HeadDriver
    scanner: ScannerDriver
    lockin: MultiFrequencyLockin
    probe: ProbeCalibration
    comb: Comb


def afm_services(drivers: AfmDrivers, *, poll_s: float = 0.02) -> list[Service]:
    """Return the services of an AFM: ``head``, ``scanner``, ``lockin`` and ``probe``.

    Parameters
    ----------
    drivers : AfmDrivers
        The instrument.
    poll_s : float
        Seconds between two readings of what moves.
    """
    acquisition = Acquisition()
    probe = ProbeService(drivers.probe)
    head = HeadService(drivers.head, probe, acquisition, poll_s=poll_s)
    scanner = ScannerService(drivers.scanner, acquisition, poll_s=poll_s)
    lockin = LockinService(drivers.lockin, head, scanner, probe, acquisition, drivers.comb)
    return [head, scanner, lockin, probe]
