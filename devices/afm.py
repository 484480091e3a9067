"""The atomic force microscope as one device: head, scanner, multifrequency lock-in, probe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from devices.head import Head
from devices.lockin import Lockin
from devices.probe import Probe
from devices.scanner import Scanner
from devices.status import RequestStatus
from devices.wire import Client, ConnectionLost, WireError
from devices.wire.ophyd import capabilities

__all__ = ["Afm"]

_SERVICES = ("head", "scanner", "lockin", "probe")


class Afm(Device):
    """An AFM with a multifrequency lock-in behind a twinscope server.

    Parameters
    ----------
    client : Client
        The connection; who made it closes it.
    name : str
        First part of all data keys.
    asset_folder : Path, optional
        Where the lock-in writes its spectra.
    """

    head = Cpt(Head, kind="normal", labels={"baseline"})
    scanner = Cpt(Scanner, kind="normal", labels={"baseline"})
    lockin = Cpt(Lockin, kind="normal", labels={"detectors"})
    probe = Cpt(Probe, kind="config", labels={"baseline"})

    def __init__(
        self,
        client: Client,
        name: str = "afm",
        *,
        asset_folder: Path | None = None,
        **kwargs: Any,
    ) -> None:
        self.client = client
        self.asset_folder = None if asset_folder is None else Path(asset_folder).absolute()
        super().__init__(name=name, **kwargs)

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.client.connected

    def wait_for_connection(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, all_signals: bool = False, timeout: float = 2.0
    ) -> None:
        """Connect, and learn the limits.

        Parameters
        ----------
        all_signals : bool
            Of no consequence: there is one connection for all.
        timeout : float
            Seconds.

        Raises
        ------
        ConnectionLost
            When the server does not answer.
        ProtocolError
            When the server is not that of an AFM.
        """
        try:
            self.client.connect(timeout)
        except WireError as error:
            raise ConnectionLost(
                f"{self.name} is not connected: {error} (twinscope serve afm starts a server, "
                f"{self.name}.wait_for_connection() tries again)"
            ) from error
        for service in _SERVICES:
            capabilities(self.client, service)

    def withdraw(self) -> None:
        """Retract the tip at once, whatever goes on; see `Head.withdraw`."""
        self.head.withdraw()

    def stop(self, *, success: bool = False) -> None:
        """End what moves or acquires; the tip stays where it is. Works with a dead link."""
        self.lockin.stop(success=success)
        self.head.stop(success=success)
        self.scanner.stop(success=success)

    def trigger(self) -> RequestStatus:
        """Acquire a line of spectra."""
        return self.lockin.trigger()

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the spectra of the last trigger are."""
        yield from self.lockin.collect_asset_docs()

    def close(self) -> None:
        """Let go of the client, which stays open."""
