"""What analysis devices have in common: a trigger looks at what an instrument recorded last.

What is found is kept and read as any reading is, so that a run tells what its plan acted on. The
look takes as long as it takes on a thread of its own; the status of `trigger` is done when there is
something to read.
"""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from event_model import DataKey
from ophyd import Device

from devices.status import RequestStatus
from devices.wire import Client, RefusedError
from devices.wire.ophyd import StaticSignal

__all__ = ["Analyser", "FoundSignal", "FoundText", "TextSignal"]


class TextSignal(StaticSignal):
    """Words instead of a number."""

    def describe(self) -> dict[str, DataKey]:
        """Describe the text."""
        return {self.name: {"source": self.source_name, "dtype": "string", "shape": []}}


class FoundSignal(StaticSignal):
    """One value of what an `Analyser` found last.

    Parameters
    ----------
    value : callable
        Takes it out of the finding, in the unit of the signal.
    """

    def __init__(self, *, value: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._value = value

    def _fresh(self) -> tuple[Any, float]:
        found, timestamp = self.device.last_found
        if found is None:
            raise RefusedError(f"{self.device.name} has not looked yet: trigger it first")
        return self._value(found), timestamp


class FoundText(FoundSignal, TextSignal):
    """Words of what an `Analyser` found last."""


class Analyser(Device):
    """Looks, when triggered, at what an instrument recorded last.

    Parameters
    ----------
    client : Client
        The instrument's connection.
    find : callable
        From what is looked at to what is found in it; may raise.
    name : str
        First part of all data keys.

    Attributes
    ----------
    what : str
        What it finds, for messages: ``"verdict"``.
    """

    what: str

    def __init__(
        self, client: Client, find: Callable[..., Any], *, name: str, **kwargs: Any
    ) -> None:
        self.client = client
        self._find = find
        self._last_found: tuple[Any, float] = (None, math.nan)
        super().__init__(name=name, **kwargs)

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self.client.connected

    @property
    def last_found(self) -> tuple[Any, float]:
        """What was found last, None before the first look, and when it was found (s)."""
        return self._last_found

    def trigger(self) -> RequestStatus:
        """Look; done when something was found, failed where nothing could be.

        Raises
        ------
        RefusedError
            There is nothing to look at.
        """
        record = self._record()
        status = RequestStatus(self, f"{self.name} {self.what}")

        def look() -> None:
            try:
                found = self._find(*record)
                self._check(found)
            except Exception as error:  # whatever it is, somebody waits for the status
                status.set_exception(error)
                return
            self._last_found = (found, time.time())
            status.set_finished()

        threading.Thread(target=look, name=f"{self.name}-{self.what}", daemon=True).start()
        return status

    @abstractmethod
    def _record(self) -> tuple[Any, ...]:
        """Return what is to be looked at now, as `find` takes it."""

    def _check(self, found: Any) -> None:
        """Refuse, by a ValueError, what is no finding of this device; takes any unless told."""
