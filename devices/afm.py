"""The atomic force microscope as one device: head, scanner, lock-in, imager, chuck and probe.

An AFM may be without imager and chuck; then these two of its parts are of no use, and nothing that
reads the AFM as a whole asks for them. A plan that images names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import DeviceStatus

from devices.chuck import Chuck
from devices.head import Head
from devices.imager import Imager
from devices.lockin import Lockin
from devices.probe import Probe
from devices.scanner import Scanner
from devices.wire import Client, ConnectionLost, WireError
from devices.wire.ophyd import capabilities

__all__ = ["Afm"]

_SERVICES = ("head", "scanner", "lockin", "probe")


class Afm(Device):
    """An AFM with a multifrequency lock-in, and perhaps an imager, behind a twinscope server.

    Parameters
    ----------
    client : Client
        The connection; who made it closes it.
    name : str
        First part of all data keys.
    asset_folder : Path, optional
        Where the lock-in writes its spectra, and the imager its images.
    """

    head = Cpt(Head, kind="normal", labels={"baseline"})
    scanner = Cpt(Scanner, kind="normal", labels={"baseline"})
    lockin = Cpt(Lockin, kind="normal", labels={"detectors"})
    probe = Cpt(Probe, kind="config", labels={"baseline"})
    imager = Cpt(Imager, kind="omitted")
    chuck = Cpt(Chuck, kind="omitted")

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
        self._unsubscribe: Callable[[], object] | None = None
        super().__init__(name=name, **kwargs)

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.client.connected

    @property
    def images(self) -> bool:
        """Whether the server offers images, as far as is known."""
        hello = self.client.hello
        return hello is not None and "imager" in hello.services

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
        if self.images and self._unsubscribe is None:
            self._unsubscribe = self.client.subscribe("imager.state", self.imager.observe)

    def withdraw(self) -> None:
        """Retract the tip at once, whatever goes on; see `Head.withdraw`."""
        self.head.withdraw()

    def stop(self, *, success: bool = False) -> None:
        """End what moves or acquires; the tip stays where it is. Works with a dead link."""
        self.lockin.stop(success=success)
        self.imager.stop(success=success)
        self.chuck.stop(success=success)
        self.head.stop(success=success)
        self.scanner.stop(success=success)

    def trigger(self) -> DeviceStatus:
        """Acquire a line of spectra."""
        return self.lockin.trigger()

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the spectra of the last trigger are."""
        yield from self.lockin.collect_asset_docs()

    def close(self) -> None:
        """Let go of the client, which stays open."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
