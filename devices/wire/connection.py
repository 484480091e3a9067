"""The client's command connection: one DEALER socket and what ZeroMQ says of its state."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

import zmq
import zmq.utils.monitor

from devices.wire.errors import ProtocolError
from devices.wire.messages import Answer, Frames, decode_answer
from devices.wire.security import ClientSecurity
from devices.wire.transport import configure, contents, receive, send, waiting

__all__ = ["Change", "Connection"]


class Change(Enum):
    """What became of the connection."""

    READY = auto()
    CLOSED = auto()
    REFUSED = auto()


_CHANGES = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): Change.READY,
    int(zmq.EVENT_DISCONNECTED): Change.CLOSED,
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): Change.REFUSED,
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): Change.REFUSED,
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): Change.REFUSED,
}


class Connection:
    """Connects on construction; used by the client's I/O thread only."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        address: str,
        security: ClientSecurity | None,
        heartbeat_s: float,
    ) -> None:
        self._poller = poller
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        configure(self.socket, address, heartbeat_s)
        self.socket.immediate = True
        if security is not None:
            security.apply(self.socket)
        self.monitor: zmq.Socket[bytes] = self.socket.get_monitor_socket(sum(_CHANGES))
        self.socket.connect(address)
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self.monitor, zmq.POLLIN)

    def send(self, frames: Frames) -> bool:
        """Send without waiting; whether the connection is up and took the message."""
        return send(self.socket, frames)

    def answers(self) -> Iterator[Answer | ProtocolError]:
        """The answers that have arrived, and the errors of those that cannot be read."""
        while not self.socket.closed and waiting(self.socket):
            try:
                yield decode_answer(contents(receive(self.socket)))
            except ProtocolError as error:
                yield error

    def changes(self) -> Iterator[Change]:
        """What has become of the connection meanwhile."""
        while not self.monitor.closed and waiting(self.monitor):
            message = zmq.utils.monitor.recv_monitor_message(self.monitor, zmq.NOBLOCK)
            yield _CHANGES[int(message["event"])]

    def close(self, linger_s: float = 0.0) -> None:
        """Close; what was sent has `linger_s` (seconds) to leave."""
        self._poller.unregister(self.socket)
        self._poller.unregister(self.monitor)
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(int(1000 * linger_s))
