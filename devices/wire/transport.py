"""Sockets and wake-ups: the few lines that both ends of the wire share."""

from __future__ import annotations

import socket as sockets
from collections import deque
from typing import Generic, TypeVar

import zmq

from devices.wire.arrays import MAX_FRAMES, MAX_MESSAGE
from devices.wire.messages import Frames

__all__ = ["Mailbox", "configure", "contents", "receive", "send", "waiting"]

T = TypeVar("T")

# Plain integers: to combine the flags' enumerations costs more than to send.
_LAST = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_INPUT = int(zmq.POLLIN)
_COPY = 1 << 16  # bytes below which a copy is quicker than to share

_HIGH_WATER_MARK = 256  # messages; a full queue is an error to report, not to wait for


class Mailbox(Generic[T]):
    """A queue from any thread to one that polls: `fileno` is readable while something is in it."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._reader, self._writer = sockets.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """What to poll for input."""
        return self._reader.fileno()

    def put(self, item: T) -> None:
        """Add `item` and wake the owner; after `close` it goes nowhere."""
        self._items.append(item)
        try:
            self._writer.send(b"\0")
        except BlockingIOError:
            return  # so many wake-ups are under way that one more changes nothing
        except OSError:
            self._items.clear()

    def drain(self) -> list[T]:
        """Take everything out."""
        try:
            self._reader.recv(4096)
        except BlockingIOError:
            pass
        taken: list[T] = []
        while self._items:
            taken.append(self._items.popleft())
        return taken

    def close(self) -> None:
        """Give the file descriptors back."""
        self._reader.close()
        self._writer.close()


def configure(socket: zmq.Socket[bytes], address: str, heartbeat_s: float) -> None:
    """Options common to all sockets: nothing lingers, nothing piles up, dead peers are noticed."""
    socket.linger = 0
    socket.sndhwm = _HIGH_WATER_MARK
    socket.rcvhwm = _HIGH_WATER_MARK
    socket.maxmsgsize = MAX_MESSAGE
    socket.ipv6 = "[" in address
    socket.setsockopt(zmq.HEARTBEAT_IVL, max(int(1000 * heartbeat_s), 100))
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, max(int(3000 * heartbeat_s), 300))
    socket.setsockopt(zmq.RECONNECT_IVL, max(int(250 * heartbeat_s), 10))
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, max(int(4000 * heartbeat_s), 40))


def waiting(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message can be received; quicker than to try and to be told no."""
    return bool(int(socket.getsockopt(_EVENTS)) & _INPUT)


def receive(socket: zmq.Socket[bytes], *, wait: bool = False) -> list[zmq.Frame]:
    """One message without copies; frames beyond the limit are dropped.

    Without `wait` it must have arrived; with it, it may take as long as the socket's own limit.

    Raises
    ------
    zmq.Again
        If there is none.
    """
    frames = [socket.recv(0 if wait else _LAST, copy=False)]
    while frames[-1].more and len(frames) <= MAX_FRAMES + 1:
        frames.append(socket.recv(_LAST, copy=False))
    more = frames[-1].more
    while more:
        more = socket.recv(_LAST, copy=False).more
    return frames


def contents(frames: list[zmq.Frame]) -> Frames:
    """The frames as the messages module reads them: small ones as bytes, arrays as views."""
    return [
        *(frame.bytes for frame in frames[:2]),
        *(frame.buffer for frame in frames[2:]),
    ]


def send(socket: zmq.Socket[bytes], frames: Frames) -> bool:
    """Send without waiting and without copying arrays; whether the socket took the message."""
    try:
        for frame in frames[:-1]:
            socket.send(frame, _MORE, copy=len(frame) < _COPY)
        socket.send(frames[-1], _LAST, copy=len(frames[-1]) < _COPY)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    return True
