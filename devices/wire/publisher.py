"""Telemetry out: numbered events, and the last value of each topic for whoever comes late."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from devices.wire.errors import ProtocolError
from devices.wire.messages import Event, Frames, encode_event
from devices.wire.transport import send

__all__ = ["Publisher"]

_LOG = logging.getLogger(__name__)


class Publisher:
    """Owns the event socket; used by the server's I/O thread only.

    Parameters
    ----------
    socket : zmq.Socket
        A bound XPUB socket.
    session : str
        Names this run of the server: numbers begin again with a new one.
    telemetry : mapping of str to callable
        Snapshot by topic.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        session: str,
        telemetry: Mapping[str, Callable[[], dict[str, Any]]],
    ) -> None:
        self._socket = socket
        self._session = session
        self._telemetry = dict(telemetry)
        self._sequences: dict[str, int] = {}
        self._last: dict[bytes, Frames] = {}
        self._failing: set[str] = set()

    def publish(self, topic: str, values: dict[str, Any]) -> None:
        """Send `values` to subscribers of `topic`; a slow one loses events, and sees the gap."""
        sequence = self._sequences.get(topic, -1) + 1
        event = Event(topic, sequence, self._session, time.time(), values)
        try:
            frames = encode_event(event)
        except ProtocolError:
            _LOG.exception("An event on %s cannot be sent", topic)
            return
        self._sequences[topic] = sequence
        self._last[bytes(frames[0])] = frames
        send(self._socket, frames)

    def publish_telemetry(self) -> None:
        """Publish a snapshot of every topic; one that fails is logged once until it works again."""
        for topic, snapshot in self._telemetry.items():
            try:
                values = snapshot()
            except Exception:
                if topic not in self._failing:
                    self._failing.add(topic)
                    _LOG.exception("No telemetry on %s", topic)
                continue
            self._failing.discard(topic)
            self.publish(topic, values)

    def welcome(self) -> None:
        """Read subscriptions and answer each with the topic's last value."""
        while True:
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message[:1] == b"\x01" and (last := self._last.get(message[1:])) is not None:
                send(self._socket, last)
