"""What the services of an AFM share: who has the instrument, and when a tip is about to break."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.comb import FLEXURAL, Comb
from devices.units import NANOMETRE
from devices.wire import BusyError, Call, CancelledError, InstrumentError

__all__ = ["Acquisition", "CrashGuard", "ended_by_its_client", "feedback_amplitude"]

_CANCEL_POLL_S = 0.02
_ABORTED_S = 5.0  # in which an acquisition that was aborted is over; a vendor's takes its time


def feedback_amplitude(spectra: NDArray[np.complex128], comb: Comb) -> NDArray[np.float64]:
    """Return the amplitude of each pixel that feedback and guard look at.

    The root of the sum of squares of the driven tones in the flexural signal; of all its measured
    tones when none of them is driven, 0 when there are none.

    Parameters
    ----------
    spectra : ndarray of complex, shape (pixels, tones)
        Any unit.
    comb : Comb
        Says what the columns are.

    Returns
    -------
    ndarray, shape (pixels,)
        In the unit of `spectra`.
    """
    flexural = tuple(index for index, axis in enumerate(comb.axes) if axis == FLEXURAL)
    columns = list(comb.driven() or flexural)
    return np.sqrt(np.sum(np.abs(spectra[:, columns]) ** 2, axis=1))


class Acquisition:
    """Who acquires has the instrument to himself, and anybody may end it. Any thread."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._acquiring = False
        self._doing = ""
        self._others: list[str] = []
        self._reason = ""
        self._abort = threading.Event()

    def check_free(self, what: str) -> None:
        """Refuse `what` while an acquisition goes on that nobody has aborted.

        Raises
        ------
        BusyError
            Names what cannot be done.
        """
        if self._acquiring and not self._abort.is_set():
            raise BusyError(f"{what} has to wait: {self._doing}; wait for its end, or abort it")

    @contextmanager
    def aside(self, what: str) -> Iterator[None]:
        """Do `what`, which an acquisition must not meet."""
        with self._state:
            self._await_free(what)
            self._others.append(what)
        try:
            yield
        finally:
            with self._state:
                self._others.remove(what)

    @contextmanager
    def acquiring(
        self, what: str = "an acquisition", doing: str = "the lock-in is acquiring"
    ) -> Iterator[threading.Event]:
        """Have the instrument to oneself.

        Parameters
        ----------
        what, doing : str
            What it is for, as a thing and as a sentence, for messages.

        Yields
        ------
        threading.Event
            Set when somebody aborts.
        """
        with self._state:
            self._await_free(what)
            if self._others:
                raise BusyError(f"{what} has to wait: {self._others[0]} goes on")
            self._abort.clear()
            self._reason = ""
            self._doing = doing
            self._acquiring = True
        try:
            yield self._abort
        finally:
            with self._state:
                self._acquiring = False
                self._state.notify_all()

    def abort(self, reason: str) -> None:
        """End the acquisition that goes on, if any; the first reason is kept."""
        with self._state:
            if self._acquiring and not self._abort.is_set():
                self._reason = reason
                self._abort.set()

    def cancelled(
        self, what: str = "acquisition", todo: str = "acquire again for a whole one"
    ) -> CancelledError:
        """Return the error of an acquisition that was aborted.

        Parameters
        ----------
        what, todo : str
            What it was and what to do now, for the message.
        """
        reason = self._reason or "the instrument ended it"
        return CancelledError(f"the {what} was aborted: {reason}; {todo}")

    def _await_free(self, what: str) -> None:
        """Refuse `what` during an acquisition, but let one that was aborted come to its end."""
        self.check_free(what)
        if not self._state.wait_for(lambda: not self._acquiring, _ABORTED_S):
            raise BusyError(f"{what} has to wait: an aborted acquisition does not end")


@contextmanager
def ended_by_its_client(call: Call, acquisition: Acquisition) -> Iterator[None]:
    """Abort the acquisition as soon as the operation of `call` is cancelled."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_CANCEL_POLL_S):
            if call.operation is not None and call.operation.cancelled.is_set():
                acquisition.abort("its client cancelled it")

    watcher = threading.Thread(target=watch, name="acquisition-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@dataclass
class CrashGuard:
    """Sees from the amplitude that a tip is being crushed.

    A tip that taps keeps most of its free amplitude; one that loses nearly all of it is pressed
    onto the sample all the time.

    Parameters
    ----------
    least : float
        Share of the free amplitude below which it is a crash; imaging works at 0.5 to 0.95.
    free : float
        Largest amplitude seen off the sample with the present comb, m; 0 before the first.
    """

    least: float = 0.2
    free: float = 0.0

    def forget(self) -> None:
        """Begin anew: the drive has changed."""
        self.free = 0.0

    def judge(self, amplitude: NDArray[np.float64], engaged: bool) -> None:
        """Learn from amplitudes off the sample; refuse collapsed ones.

        Parameters
        ----------
        amplitude : ndarray, shape (pixels,)
            m.
        engaged : bool
            Whether the tip is at the sample.

        Raises
        ------
        InstrumentError
            When a pixel's is not finite, or below the least share of the free amplitude.
        """
        if not np.all(np.isfinite(amplitude)):
            pixel = int(np.argmin(np.isfinite(amplitude)))
            raise InstrumentError(f"the detector shows no finite amplitude at pixel {pixel}")
        if not engaged:
            self.free = max(self.free, float(amplitude.max()))
        pixel = int(np.argmin(amplitude))
        if self.free > 0 and amplitude[pixel] < self.least * self.free:
            raise InstrumentError(
                f"the amplitude collapsed to {_nm(amplitude[pixel])} at pixel {pixel}, free it was "
                f"{_nm(self.free)}: the tip is pressed onto the sample"
            )


def _nm(value: float) -> str:
    return NANOMETRE.show(float(f"{NANOMETRE.from_si(float(value)):.4g}"))
