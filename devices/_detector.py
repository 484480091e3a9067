"""What detectors have in common whose server acquires and whose arrays go to a file.

A trigger is one operation of the server. What comes of it goes from the wire to the file on the
detector's own thread; the status of `trigger` is done when a reader can see it.
"""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from ophyd.status import DeviceStatus

from devices._record_writer import Layout, Record, RecordWriter
from devices.status import RequestStatus
from devices.wire import RemoteOperation, Reply
from devices.wire.ophyd import StaticSignal, WireDevice

__all__ = ["Detector", "MiddleSignal"]

_TIMEOUT_FACTOR = 3.0  # an acquisition takes longer than what it measures: scanners fly back


class MiddleSignal(StaticSignal):
    """The instrument's time in the middle of the last acquisition; NaN before the first."""

    def _fresh(self) -> tuple[float, float]:
        times = self.device.last_times
        middle = sum(times) / 2
        return middle, time.time() if math.isnan(middle) else times[1]


class Detector(WireDevice):
    """A detector that writes a record a trigger; its instrument's `asset_folder` is where to.

    Attributes
    ----------
    what : str
        What it records, for messages: ``"images"``.
    service : str
        Of the server: its operation ``acquire`` measures, ``abort`` ends that.
    begin_s : float
        Deadline for an acquisition to begin, s.
    margin_s : float
        Seconds that it may take beyond three times what it should.
    """

    what: str
    service: str
    begin_s = 0.9
    margin_s: float

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self._acquiring: set[RemoteOperation] = set()
        self._acquiring_lock = threading.Lock()
        self._last_times = (math.nan, math.nan)
        super().__init__(prefix, **kwargs)
        self._writer = RecordWriter(self.name, self.what, kwargs["parent"].asset_folder)

    @property
    def last_times(self) -> tuple[float, float]:
        """The instrument's times at the ends of the last acquisition, s; NaN before the first."""
        return self._last_times

    @property
    def recording(self) -> bool:
        """Whether events of a run point to records."""
        return self._writer.recording

    def refuse_recording(self, what: str) -> None:
        """Refuse to change `what` while a run writes records: its descriptor would be wrong.

        Raises
        ------
        BusyError
            Tells what to do.
        """
        self._writer.refuse_recording(what)

    def stage(self) -> list[object]:
        """Get ready to write a new file; the first record makes it."""
        self._writer.refuse_homeless()
        staged = super().stage()
        self._writer.begin()
        return staged

    def unstage(self) -> list[object]:
        """End an acquisition that still goes on and close the file; needs no link."""
        self.stop()
        self._writer.end()
        return super().unstage()

    def trigger(self) -> DeviceStatus:
        """Acquire; done when it is in the file."""
        thread = self._writer.thread()
        reading = self.snapshot.get()
        operation = self.client.start(
            f"{self.service}.acquire",
            {},
            deadline_s=self.begin_s,
            timeout_s=_TIMEOUT_FACTOR * self._duration(reading) + self.margin_s,
        )
        status = self._begun(reading, operation)
        with self._acquiring_lock:
            self._acquiring.add(operation)

        def acquired(done: Future[Any]) -> None:
            with self._acquiring_lock:
                self._acquiring.discard(operation)
            error = done.exception()
            if error is not None:
                status.set_exception(error)
                return
            self._writer.submit(
                thread, lambda: self._write(done.result(), status), status.set_exception
            )

        operation.future.add_done_callback(acquired)
        return status

    def stop(self, *, success: bool = False) -> None:
        """End the acquisition, if any; its status fails. Works with a dead link."""
        with self._acquiring_lock:
            acquiring = bool(self._acquiring)
        if acquiring:
            self.client.stop(f"{self.service}.abort")

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents that say where the record of the last trigger is."""
        yield from self._writer.collect()

    @abstractmethod
    def _duration(self, reading: Mapping[str, Any]) -> float:
        """Return how long the instrument measures, s."""

    @abstractmethod
    def _record(self, reply: Reply) -> tuple[Record, Layout]:
        """Return what is written of a reply, and how."""

    @abstractmethod
    def _keep(self, reply: Reply) -> None:
        """Keep what was written, to be looked at."""

    def _begun(self, reading: Mapping[str, Any], operation: RemoteOperation) -> DeviceStatus:
        """Return the status of an acquisition that was begun."""
        return RequestStatus(self, f"{self.name} {self.what}")

    def _write(self, reply: Reply, status: DeviceStatus) -> None:
        try:
            self._writer.append(*self._record(reply))
        except Exception as error:  # whatever it is, somebody waits for the status
            status.set_exception(error)
            return
        self._keep(reply)
        self._last_times = (reply.values["start_time"], reply.values["end_time"])
        status.set_finished()
