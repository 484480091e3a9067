"""Which instruments a server can stand before, by the name of their driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.drivers.protocols import CameraDriver, ColumnDriver, StageDriver
from station import StationError
from station.settings import AFMSettings, SimulatorSettings, TEMSettings

if TYPE_CHECKING:
    from devices.drivers.afm import AfmDrivers
    from devices.drivers.simulated_afm import SimulatedAFM
    from sim.clock import Clock

__all__ = [
    "AFM_DRIVERS",
    "TEM_DRIVERS",
    "DriverError",
    "OpenAFM",
    "TEMDrivers",
    "open_afm",
    "open_tem",
]


_COPOLYMERS = "copolymers"  # the chuck of a QNM campaign: nine samples and a tip sample
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


@dataclass(frozen=True)
class OpenAFM:
    """An AFM that is connected, and what may be told of it.

    Parameters
    ----------
    drivers : AfmDrivers
        Head, scanner, lock-in, and what is known of the probe.
    facts : mapping
        As of `TEMDrivers`.
    poll_s : float
        Seconds between two readings of what moves.
    """

    drivers: AfmDrivers
    facts: Mapping[str, Any]
    poll_s: float = 0.02


@contextmanager
def _simulated_afm(settings: AFMSettings) -> Iterator[OpenAFM]:
    from sim.clock import ScaledClock

    afm = _afm_of(settings, ScaledClock(settings.clock_rate))
    facts = {
        "simulated": True,
        "surface": settings.surface,
        "seed": settings.seed,
        "clock_rate": settings.clock_rate,
    }
    poll_s = max(_LEAST_POLL_S, OpenAFM.poll_s / settings.clock_rate)
    yield OpenAFM(afm.drivers, facts, poll_s)


def _afm_of(settings: AFMSettings, clock: Clock) -> SimulatedAFM:
    from devices.drivers.simulated_afm import SimulatedAFM, qnm_afm
    from sim.surface import pp_rubber, ps_ldpe

    surfaces = {"ps-ldpe": ps_ldpe, "pp-rubber": pp_rubber}
    if settings.surface == _COPOLYMERS:
        return qnm_afm(settings.seed, clock)
    if settings.surface not in surfaces:
        known = ", ".join((*surfaces, _COPOLYMERS))
        raise DriverError(f"afm.surface {settings.surface!r} does not exist; there are: {known}")
    surface = surfaces[settings.surface](settings.seed)
    return SimulatedAFM(surface=surface, seed=settings.seed, clock=clock)


OpenerOfAFM = Callable[[AFMSettings], AbstractContextManager[OpenAFM]]

AFM_DRIVERS: Mapping[str, OpenerOfAFM] = {"simulated": _simulated_afm}


def open_afm(settings: AFMSettings) -> AbstractContextManager[OpenAFM]:
    """Connect to the atomic force microscope that the settings name.

    A laboratory's own driver is named as ``module:function``. The function takes the settings and
    is a context manager of an `OpenAFM`: its head and its scanner, with one of the lock-ins of
    `devices.drivers` or another.

    Parameters
    ----------
    settings : AFMSettings
        Section ``[afm]``.

    Returns
    -------
    context manager of OpenAFM
        Ready for use.

    Raises
    ------
    DriverError
        No such driver, or no such surface.
    """
    if ":" in settings.driver:
        return _own_driver(settings.driver)(settings)
    if settings.driver not in AFM_DRIVERS:
        raise DriverError(
            f"afm.driver {settings.driver!r} does not exist; there are: {', '.join(AFM_DRIVERS)}, "
            "and module:function of your own"
        )
    return AFM_DRIVERS[settings.driver](settings)


def _own_driver(name: str) -> OpenerOfAFM:
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise DriverError(f"afm.driver {name!r} cannot be imported: {error}") from error
