"""Which instruments a server can stand before, by the name of their driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.drivers.protocols import CameraDriver, ColumnDriver, StageDriver
from station import StationError
from station.settings import SimulatorSettings, TEMSettings

__all__ = ["TEM_DRIVERS", "DriverError", "TEMDrivers", "open_tem"]


_LEAST_POLL_S = 0.002  # however fast the clock: the processor is shared with the camera


class DriverError(StationError):
    """A driver does not exist or cannot start; says which there are."""


@dataclass(frozen=True)
class TEMDrivers:
    """The parts of a microscope and what may be told of it.

    Parameters
    ----------
    stage, camera, column : driver
        See `devices.drivers.protocols`.
    facts : mapping
        Public facts, JSON-able: they name the instrument, never its hidden truth.
    poll_s : float
        Seconds between two readings of a moving stage.
    """

    stage: StageDriver
    camera: CameraDriver
    column: ColumnDriver
    facts: Mapping[str, Any]
    poll_s: float = 0.05


def _simulated(settings: TEMSettings, simulator: SimulatorSettings) -> TEMDrivers:
    from devices.drivers.simulated import SimulatedTEM
    from sim.clock import ScaledClock
    from sim.faults import FaultPlan

    tem = SimulatedTEM(
        settings.profile,
        _specimen(settings),
        settings.seed,
        ScaledClock(settings.clock_rate),
        faults=FaultPlan(**simulator.model_dump()),
    )
    facts = {
        "simulated": True,
        "profile": settings.profile,
        "specimen": settings.specimen,
        "seed": settings.seed,
        "clock_rate": settings.clock_rate,
    }
    if faults := simulator.model_dump(exclude_defaults=True):
        facts["faults"] = faults
    poll_s = max(_LEAST_POLL_S, TEMDrivers.poll_s / settings.clock_rate)
    return TEMDrivers(tem.stage, tem.camera, tem.column, facts, poll_s)


def _specimen(settings: TEMSettings) -> Any:
    from sim.specimen import MicrographSpecimen, ProceduralSpecimen
    from station.micrograph import (
        SHIPPED_ORIGIN,
        SHIPPED_PIXEL_SIZE_NM,
        read_micrograph,
        shipped_micrograph,
    )

    if settings.specimen == "procedural":
        return ProceduralSpecimen(settings.seed)
    if settings.specimen == "micrograph":
        pixel_size_nm = settings.pixel_size_nm or SHIPPED_PIXEL_SIZE_NM
        return MicrographSpecimen(shipped_micrograph(), 1e-9 * pixel_size_nm, origin=SHIPPED_ORIGIN)
    image = read_micrograph(Path(settings.specimen).expanduser())
    return MicrographSpecimen(image, 1e-9 * (settings.pixel_size_nm or 0.0))


TEM_DRIVERS: Mapping[str, Callable[[TEMSettings, SimulatorSettings], TEMDrivers]] = {
    "simulated": _simulated
}


def open_tem(settings: TEMSettings, simulator: SimulatorSettings | None = None) -> TEMDrivers:
    """Connect to the microscope that the settings name.

    Parameters
    ----------
    settings : TEMSettings
        Section ``[tem]``.
    simulator : SimulatorSettings, optional
        Section ``[simulator]``, for drivers that simulate; without it nothing goes wrong.

    Returns
    -------
    TEMDrivers
        Ready for use.

    Raises
    ------
    DriverError
        No such driver.
    station.micrograph.MicrographError
        The specimen cannot be read.
    """
    if settings.driver not in TEM_DRIVERS:
        raise DriverError(
            f"tem.driver {settings.driver!r} does not exist; there are: {', '.join(TEM_DRIVERS)}"
        )
    return TEM_DRIVERS[settings.driver](settings, simulator or SimulatorSettings())
