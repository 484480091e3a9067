"""The image that an AFM is scanning, line by line, for somebody who looks on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from station.instruments import INSTRUMENTS
from station.keys import client_security
from station.presence import present
from station.servers import ServerFacts
from station.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

    from matplotlib.figure import Figure

    from devices.afm import Afm

__all__ = ["ScannedLines"]

_CONNECT_S = 2.0


class ScannedLines:
    """Looks at the AFM of a station, if it has one that takes images; never disturbs it.

    Parameters
    ----------
    settings : Settings
        Where the station is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._facts: ServerFacts | None = None
        self._afm: Afm | None = None
        self._link = ExitStack()
        self._seen = 0

    def look(self) -> tuple[Figure, str] | None:
        """The figure of the lines so far and what it is; None when there are no new ones."""
        from devices.wire import WireError

        try:
            afm = self._connected()
            if afm is None or not afm.images:
                return None
            done, channels = afm.imager.partial()
            lines = next((len(image) for image in channels.values()), 0)
            if done in (0, self._seen, lines):
                self._seen = done
                return None
            self._seen = done
            return self._figure(afm, channels), f"line {done} of {lines}"
        except WireError:  # the station has ended, or is about to
            self._forget()
            return None

    def _figure(self, afm: Afm, channels: dict) -> Figure:
        from analysis.figures.qnm import Channel, channels_figure

        shown = []
        for name, values in channels.items():
            signal = getattr(afm.imager, name)
            unit = signal.describe()[signal.name].get("units", "")
            shown.append(Channel(name, values, unit))
        size = float(afm.scanner.scan_size.get())
        return channels_figure(shown, (size, size / float(afm.scanner.aspect_ratio.get())))

    def _connected(self) -> Afm | None:
        facts = present(self._settings.data, "afm")
        if facts != self._facts:
            self._forget()
        if facts is None or self._afm is not None:
            return self._afm
        from devices.wire import Client

        kind = INSTRUMENTS["afm"]
        with ExitStack() as undo:
            client = Client(
                facts.control,
                facts.events or None,
                name=f"{self._settings.operator}, watching",
                security=client_security(kind.section(self._settings).keys),
            )
            undo.callback(client.close)
            afm = kind.device(client, self._settings.data / "assets")
            undo.callback(afm.close)
            afm.wait_for_connection(timeout=_CONNECT_S)
            self._link = undo.pop_all()
        self._facts, self._afm = facts, afm
        return afm

    def _forget(self) -> None:
        self._link.close()
        self._facts = self._afm = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._forget()
