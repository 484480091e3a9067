"""The transmission electron microscope as one device: goniometer, camera, column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import DeviceStatus

from devices.camera import Camera
from devices.column import Column
from devices.goniometer import Goniometer
from devices.wire import Client, ConnectionLost, WireError

__all__ = ["Microscope"]


class Microscope(Device):
    """A TEM behind a twinscope server.

    Parameters
    ----------
    client : Client
        The connection; who made it closes it.
    name : str
        First part of all data keys.
    asset_folder : Path, optional
        Where the camera writes its frames.
    """

    goniometer = Cpt(Goniometer, kind="normal", labels={"baseline"})
    camera = Cpt(Camera, kind="normal", labels={"detectors"})
    column = Cpt(Column, kind="normal", labels={"baseline"})

    def __init__(
        self,
        client: Client,
        name: str = "tem",
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
        """
        try:
            self.client.connect(timeout)
        except WireError as error:
            raise ConnectionLost(
                f"{self.name} is not connected: {error} (twinscope serve tem starts a server, "
                f"{self.name}.wait_for_connection() tries again)"
            ) from error
        for axis in self.goniometer.axes.values():
            axis.check_value(axis.limits[0])  # the server has the axis, in the unit of ours
        if self._unsubscribe is None:
            self._unsubscribe = self.client.subscribe("stage.position", self.goniometer.observe)

    def stop(self, *, success: bool = False) -> None:
        """Stop the stage and end the frame being scanned; never raises, works with a dead link."""
        self.goniometer.stop(success=success)
        self.camera.stop(success=success)

    def trigger(self) -> DeviceStatus:
        """Scan a frame."""
        return self.camera.trigger()

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the frame of the last trigger is."""
        yield from self.camera.collect_asset_docs()

    def close(self) -> None:
        """Let go of the client, which stays open."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
