"""A connection that the calling thread drives itself.

Handing a request to an I/O thread and waiting for it costs two switches between threads, more than
the round trip itself. So a blocking request takes a connection of its own, when nobody else uses
it, and does its own sending and receiving.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import zmq

from devices.wire.errors import ConnectionLost
from devices.wire.messages import Answer, Frames, decode_answer
from devices.wire.security import ClientSecurity
from devices.wire.timing import steady
from devices.wire.transport import configure, contents, receive, send

__all__ = ["Lane"]

_SLICE = 0.05  # seconds between looks at whether waiting still makes sense


class Lane:
    """One DEALER connection, used by one thread at a time.

    Parameters
    ----------
    context : zmq.Context
        Makes the sockets.
    security : ClientSecurity or None
        Keys.
    heartbeat_s : float
        Seconds between ZMTP heartbeats.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        security: ClientSecurity | None,
        heartbeat_s: float,
    ) -> None:
        self._context = context
        self._security = security
        self._heartbeat_s = heartbeat_s
        self._lock = threading.Lock()
        self._address: str | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._stale = False

    def claim(self, timeout_s: float = 0.0) -> bool:
        """Have the lane to oneself, if that is possible within `timeout_s`; release it then."""
        return self._lock.acquire(timeout=timeout_s)

    def release(self) -> None:
        """Leave the lane to others."""
        self._lock.release()

    def prepare(self, address: str) -> None:
        """Connect anew to `address`: now if the lane is free, else at its next use."""
        self._address = address
        self._stale = True
        if self.claim():
            try:
                self._open(address)
            finally:
                self.release()

    def exchange(
        self, frames: Frames, request_id: int, until: float, alive: Callable[[], bool]
    ) -> Answer | None:
        """Send a request and return its answer, or None at steady time `until`.

        For whoever has the claim. After None the connection is new: nothing that waited in the
        old one can reach the server any more.

        Raises
        ------
        ConnectionLost
            If there is no address yet, or as soon as `alive` says no.
        """
        address = self._address
        if address is None:
            raise ConnectionLost("never connected; call connect first")
        socket = self._socket
        if socket is None or self._stale:
            socket = self._open(address)
        complete = False
        try:
            answer = self._send(socket, frames, until, alive) and self._receive(
                socket, request_id, until, alive
            )
            complete = bool(answer)
            return answer or None
        finally:
            if not complete:
                self._drop()

    def close(self, timeout_s: float) -> None:
        """Close the connection."""
        claimed = self.claim(timeout_s)
        self._drop()
        if claimed:
            self.release()

    def _send(
        self, socket: zmq.Socket[bytes], frames: Frames, until: float, alive: Callable[[], bool]
    ) -> bool:
        while not send(socket, frames):
            remaining = until - steady()
            if remaining <= 0:
                return False
            if not alive():
                raise ConnectionLost("the connection was lost before the request was sent")
            socket.poll(int(1000 * min(remaining, _SLICE)) + 1, zmq.POLLOUT)
        return True

    def _receive(
        self, socket: zmq.Socket[bytes], request_id: int, until: float, alive: Callable[[], bool]
    ) -> Answer | None:
        while True:
            try:
                answer = decode_answer(contents(receive(socket, wait=True)))
            except zmq.Again:
                if not alive():
                    raise ConnectionLost(
                        "the connection was lost while waiting for an answer"
                    ) from None
                remaining = until - steady()
                if remaining <= 0:
                    return None
                if remaining < _SLICE:
                    socket.rcvtimeo = int(1000 * remaining) + 1
                continue
            if answer.id in (request_id, None):
                return answer

    def _open(self, address: str) -> zmq.Socket[bytes]:
        self._drop()
        socket = self._context.socket(zmq.DEALER)
        configure(socket, address, self._heartbeat_s)
        socket.immediate = True
        socket.rcvtimeo = int(1000 * _SLICE)
        if self._security is not None:
            self._security.apply(socket)
        socket.connect(address)
        self._socket = socket
        self._stale = False
        return socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
