"""What a station must know of each kind of instrument: its settings, its device, its baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from station.settings import AFMSettings, Settings, TEMSettings, environment_of

if TYPE_CHECKING:
    from devices.wire import Client

__all__ = ["INSTRUMENTS", "Instrument"]

_SHARED = {
    "driver": "--driver",
    "seed": "--seed",
    "clock_rate": "--clock-rate",
    "control_bind": "--control",
    "events_bind": "--events",
    "keys": "--keys",
}


class Instrument(ABC):
    """One kind of instrument.

    Attributes
    ----------
    name : str
        Of its section, of its server, of its device.
    options : mapping of str to str
        By which option of ``twinscope serve`` each of its settings is handed on.
    """

    name: str
    options: Mapping[str, str]

    @abstractmethod
    def section(self, settings: Settings) -> TEMSettings | AFMSettings:
        """Its settings."""

    def environment(self, settings: Settings) -> dict[str, str]:
        """What its server is told by environment variables."""
        return {}

    @abstractmethod
    def device(self, client: Client, assets: Path) -> Any:
        """Make its device, not yet connected; what it writes goes into `assets`."""

    @abstractmethod
    def baseline(self, device: Any) -> Sequence[Any]:
        """What of it is read before and after every run."""


class _TEM(Instrument):
    name = "tem"
    options: Mapping[str, str] = {
        **_SHARED,
        "profile": "--profile",
        "specimen": "--specimen",
        "pixel_size_nm": "--pixel-size",
    }

    def section(self, settings: Settings) -> TEMSettings:
        return settings.tem

    def environment(self, settings: Settings) -> dict[str, str]:
        return environment_of("simulator", settings.simulator)

    def device(self, client: Client, assets: Path) -> Any:
        from devices.microscope import Microscope

        return Microscope(client, name=self.name, asset_folder=assets)

    def baseline(self, device: Any) -> Sequence[Any]:
        return [device.goniometer, device.column]


class _AFM(Instrument):
    name = "afm"
    options: Mapping[str, str] = {
        **_SHARED,
        "surface": "--surface",
        "lockin_address": "--lockin",
    }

    def section(self, settings: Settings) -> AFMSettings:
        return settings.afm

    def device(self, client: Client, assets: Path) -> Any:
        from devices.afm import Afm

        return Afm(client, name=self.name, asset_folder=assets)

    def baseline(self, device: Any) -> Sequence[Any]:
        return [device.head, device.scanner]


INSTRUMENTS: Mapping[str, Instrument] = {each.name: each for each in (_TEM(), _AFM())}
