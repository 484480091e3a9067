"""The subscriber's end of the events: topics, numbers, and what was lost between them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import zmq

from devices.wire.errors import ProtocolError, StaleStream
from devices.wire.messages import Event, decode_event, topic_frame
from devices.wire.security import ClientSecurity
from devices.wire.transport import configure, contents, receive

__all__ = ["Stream"]

_LOG = logging.getLogger(__name__)


class Stream:
    """Owns a SUB socket; used by the client's I/O thread only."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        security: ClientSecurity | None,
        heartbeat_s: float,
        topics: Iterable[str],
    ) -> None:
        self.address = address
        self.socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
        configure(self.socket, address, heartbeat_s)
        if security is not None:
            security.apply(self.socket)
        for topic in topics:
            self.subscribe(topic)
        self.socket.connect(address)
        self._last: dict[str, tuple[str, int]] = {}

    def subscribe(self, topic: str) -> None:
        """Receive `topic` from now on, its last value first."""
        self.socket.subscribe(topic_frame(topic))

    def unsubscribe(self, topic: str) -> None:
        """Receive `topic` no more."""
        self.socket.unsubscribe(topic_frame(topic))
        self._last.pop(topic, None)

    def read(self) -> Iterator[tuple[Event, StaleStream | None]]:
        """The events that wait, each once, with the error that says how many are missing before."""
        while True:
            try:
                frames = receive(self.socket)
            except zmq.Again:
                return
            try:
                event = decode_event(contents(frames))
            except ProtocolError as error:
                _LOG.warning("An event that is not of the protocol: %s", error)
                continue
            session, sequence = self._last.get(event.topic, (event.session, None))
            gap = None
            if sequence is not None and session == event.session:
                if event.sequence <= sequence:
                    continue  # the last value, sent again for somebody who came later
                missing = event.sequence - sequence - 1
                if missing:
                    gap = StaleStream(f"{missing} events on {event.topic} were lost", None, True)
            self._last[event.topic] = (event.session, event.sequence)
            yield event, gap

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)
