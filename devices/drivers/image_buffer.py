"""An image while it is being scanned: its lines as they come, and how well the feedback does."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from devices.drivers.imaging_protocols import ImageOrder
from devices.image_channels import FEEDBACK_CHANNEL
from devices.wire import InstrumentError

__all__ = ["ImageBuffer"]

_FEEDBACK_LINES = 8  # over which the feedback is judged: it has settled, and it is still now


class ImageBuffer:
    """The lines of one image; any thread.

    Parameters
    ----------
    number : int
        Of the image since the server began.
    order : ImageOrder
        What it is taken with.
    begun : float
        When, s since the epoch, the instrument's clock: no other image has that.
    """

    def __init__(self, number: int, order: ImageOrder, begun: float) -> None:
        self.number = number
        self.begun = begun
        self.order = order
        shape = (order.frame.lines, order.frame.samples_per_line)
        self._arrays = {
            name: np.full(shape, np.nan, np.float32) for name in order.settings.channels
        }
        self._lock = threading.Lock()
        self._done = 0
        self._error = 0.0

    @property
    def done(self) -> int:
        """Lines that have come."""
        return self._done

    @property
    def complete(self) -> bool:
        """Whether all lines have come."""
        return self._done == self.order.frame.lines

    @property
    def feedback_error(self) -> float:
        """Root mean square of the feedback's error in the last lines; 0 before the first.

        In the unit of the mode's error channel.
        """
        return self._error

    def take(self, first: int, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Take lines.

        Parameters
        ----------
        first : int
            Number of the first of them.
        rows : mapping of str to ndarray, shape (k, points)
            Of each channel.

        Raises
        ------
        InstrumentError
            When they are not the next lines of all channels.
        """
        frame = self.order.frame
        shapes = {name: rows[name].shape for name in self._arrays if name in rows}
        kinds = set(shapes.values())
        count = min((shape[0] for shape in kinds if shape), default=0)
        expected = {(count, frame.samples_per_line)}
        whole = len(shapes) == len(self._arrays) and kinds == expected and count > 0
        if not whole or first != self._done or first + count > frame.lines:
            told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise InstrumentError(
                f"the instrument sent lines from {first} of {told or 'nothing'} where line "
                f"{self._done} of {frame.lines} x {frame.samples_per_line} was next"
            )
        with self._lock:
            for name, array in self._arrays.items():
                array[first : first + count] = rows[name]
            self._done = first + count
        error = self._arrays[FEEDBACK_CHANNEL[self.order.settings.mode]]
        latest = error[max(0, self._done - _FEEDBACK_LINES) : self._done]
        self._error = float(np.sqrt(np.mean(np.square(latest, dtype=np.float64))))

    def rows(self, since: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """Return how many lines have come, and those from number `since` on, without a copy.

        Lines that have come do not change any more.
        """
        with self._lock:
            done = self._done
        return done, {name: array[since:done] for name, array in self._arrays.items()}
