"""The client's I/O thread: handshake, heartbeats, answers, events, and what happens when they stop.

The thread owns the command and the event socket. Heartbeats keep the lease and the knowledge of
the server's clock fresh; any message from the server counts as one. A link that is silent for
three heartbeats is down: what waits fails at once, and the link is built anew with back-off
(paranoid pirate, zguide chapter 4).
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import zmq

from devices.wire.arrays import Arrays
from devices.wire.callbacks import Callbacks
from devices.wire.connection import Change, Connection
from devices.wire.errors import (
    BusyError,
    ConnectionLost,
    ExpiredError,
    ProtocolError,
    SecurityError,
    StaleStream,
    StateUnknown,
    WireError,
)
from devices.wire.messages import (
    PROTOCOL,
    Answer,
    Event,
    Frames,
    Request,
    encode_request,
)
from devices.wire.pending import Outcome, Pending
from devices.wire.remote import RemoteOperation, RemoteOperations
from devices.wire.reply import Hello, hello_from_answer
from devices.wire.security import ClientSecurity
from devices.wire.stream import Stream
from devices.wire.timing import ServerClock, steady
from devices.wire.transport import Mailbox

__all__ = ["Link", "LinkSettings", "Listener"]

_LOG = logging.getLogger(__name__)
_LIVENESS = 3  # heartbeats without a message
_SLOWEST = 8.0  # heartbeats between attempts to build the link anew
_OWN_TOPICS = ("hb", "op.progress", "op.done", "op.failed")


@dataclass(frozen=True)
class LinkSettings:
    """Where the server is and how this client calls itself."""

    control: str
    events: str | None
    name: str
    security: ClientSecurity | None
    heartbeat_s: float


@dataclass(frozen=True)
class Listener:
    """Whom the link tells what; every function is called on the I/O thread and returns at once."""

    connected: Callable[[Hello], None]
    lost: Callable[[], None]
    event: Callable[[Event], None]
    stale: Callable[[StaleStream], None]


class Link:
    """Everything of a client that happens in the background.

    Parameters
    ----------
    context : zmq.Context
        Makes the sockets.
    settings : LinkSettings
        Where to, and as whom.
    listener : Listener
        Whom to tell.
    callbacks : Callbacks
        Where operations report to.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        settings: LinkSettings,
        listener: Listener,
        callbacks: Callbacks,
    ) -> None:
        self.settings = settings
        self.client_id = uuid.uuid4().hex
        self.clock = ServerClock()
        self.hello: Hello | None = None
        self.connected = False
        self.decided = threading.Event()  # connected, or failed for a reason that will not pass
        self.failure: WireError = ConnectionLost(f"not connected to {settings.control}")
        self.operations = RemoteOperations(self._ask, settings.heartbeat_s)
        self._context = context
        self._listener = listener
        self._callbacks = callbacks
        self._ids: Iterator[int] = itertools.count(1)
        self._mail: Mailbox[Callable[[], None]] = Mailbox()
        self._poller = zmq.Poller()
        self._pending = Pending()
        self._topics: dict[str, int] = dict.fromkeys(_OWN_TOPICS, 1)
        self._connection: Connection | None = None
        self._stream: Stream | None = None
        self._closing = threading.Event()
        self._greeting: int | None = None
        self._heard = self._heard_events = 0.0
        self._next_beat = self._next_open = 0.0
        self._backoff = 0.25
        self._thread = threading.Thread(target=self._run, name="wire-client", daemon=True)

    def start(self) -> None:
        """Start the thread, which connects and keeps connected."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Say goodbye and end the thread; what waits fails with `ConnectionLost`."""
        self._closing.set()
        self._mail.put(lambda: None)
        self._thread.join(timeout_s)

    def hurry(self) -> None:
        """Try again now, whatever failed before."""
        self.decided.clear()
        self._mail.put(self._hurry)

    def discard(self) -> None:
        """Give back what a link holds that was never started."""
        self._closing.set()
        self._mail.close()

    @property
    def closing(self) -> bool:
        """Whether the link is being closed for good."""
        return self._closing.is_set()

    @property
    def idle(self) -> bool:
        """Whether no request is under way on the link's own socket."""
        return len(self._pending) == 0

    def request(
        self,
        op: str,
        args: Mapping[str, Any] | None,
        arrays: Arrays | None,
        until: float,
        timeout: float | None,
    ) -> tuple[int, Frames]:
        """A new id and the frames of a request that must begin before local steady time `until`."""
        hello = self.hello
        request_id = next(self._ids)
        request = Request(
            request_id,
            self.client_id,
            op,
            dict(args) if args else {},
            hello.session if hello is not None else None,
            self.clock.deadline(until),
            timeout,
            arrays or {},
        )
        return request_id, encode_request(request)

    def submit(
        self,
        request_id: int,
        frames: Frames,
        op: str,
        until: float,
        deliver: Callable[[Outcome], None],
    ) -> None:
        """Send a request; `deliver` gets the answer, or the error at `until` at the latest."""
        self._pending.add(request_id, op, until, deliver)
        self._mail.put(partial(self._send, request_id, frames))
        if self.closing:  # the thread may have failed what waited before this was added
            self._pending.deliver(request_id, ConnectionLost(f"{op}: the client was closed"))

    def follow(self, operation: RemoteOperation) -> None:
        """Keep `operation` informed, from before its command is sent."""
        self.operations.add(operation)

    def watch(self, topic: str) -> None:
        """Receive `topic`; as often as it is watched it must be unwatched."""
        self._mail.put(partial(self._subscribe, topic))

    def unwatch(self, topic: str) -> None:
        """Receive `topic` no more."""
        self._mail.put(partial(self._unsubscribe, topic))

    def note(self, answer: Answer) -> None:
        """A message arrived, here or on a connection that another thread drives; any thread."""
        now = steady()
        hello = self.hello
        if hello is None or answer.session == hello.session:
            self._heard = now
            self.clock.sample(answer.clock, now)
        elif not self.closing:
            self._mail.put(self._restarted)

    def overdue(self, op: str) -> WireError:
        """The error of a request that was not answered in time."""
        hello = self.hello
        access = hello.commands.get(op, {}).get("access") if hello is not None else None
        if access in ("write", "motion"):
            return StateUnknown(
                f"{op} was sent and not answered in time; the server drops it if it has not begun: "
                "read the state before the next command"
            )
        return ExpiredError(f"{op} was not answered in time; try again", None, True)

    def _run(self) -> None:
        self._poller.register(self._mail.fileno(), zmq.POLLIN)
        try:
            while not self._closing.is_set():
                now = steady()
                due = self._tick(now)
                ready = dict(self._poller.poll(max(0, math.ceil(1000 * (due - now)))))
                if self._mail.fileno() in ready:
                    for task in self._mail.drain():
                        task()
                if self._connection is not None:
                    self._read_answers(self._connection)
                if self._connection is not None:
                    self._read_changes(self._connection)
                if self._stream is not None and self._stream.socket in ready:
                    self._read_events(self._stream)
            self._goodbye()
        except Exception:
            _LOG.exception("The client's I/O thread failed")
            raise
        finally:
            self._lose(ConnectionLost("the client was closed"))
            self._drop(linger_s=0.1)
            if self._stream is not None:
                self._stream.close()
            self._mail.close()

    def _tick(self, now: float) -> float:
        """Do what is due; returns when something will be due next."""
        beat = self.settings.heartbeat_s
        if self._connection is None:
            if now >= self._next_open:
                self._open(now)
        elif now - self._heard > _LIVENESS * beat:
            address = self.settings.control
            self._rebuild(ConnectionLost(f"no sign of {address} for {_LIVENESS * beat:g} s"), now)
        elif self.connected and now >= self._next_beat:
            self._next_beat = now + beat
            self._transmit("ping", {})
        hello, stream = self.hello, self._stream
        if self.connected and hello is not None and stream is not None:
            patience = _LIVENESS * max(beat, hello.heartbeat_s)
            if now - self._heard_events > patience:
                _LOG.warning(
                    "No events from %s for %g s; subscribing anew", stream.address, patience
                )
                self._open_stream(stream.address)
        self._expire(now)
        self.operations.tick(now)
        return self._pending.next_due(now + beat / 4)

    def _expire(self, now: float) -> None:
        late = self._pending.expire(now, self.overdue)
        silent = now - self._heard > self.settings.heartbeat_s * 1.5
        if late and silent and self.connected and self.idle:
            self._drop()  # nothing that still waits to be sent shall be sent
            self._connect()

    def _open(self, now: float) -> None:
        self._heard = now
        self._greeting = None
        self._connect()

    def _connect(self) -> None:
        settings = self.settings
        self._connection = Connection(
            self._context, self._poller, settings.control, settings.security, settings.heartbeat_s
        )

    def _drop(self, linger_s: float = 0.0) -> None:
        if self._connection is not None:
            self._connection.close(linger_s)
            self._connection = None

    def _rebuild(self, error: WireError, now: float) -> None:
        """Drop the connection and try again after a while, longer each time."""
        self._lose(error)
        self._drop()
        self._next_open = now + self._backoff * self.settings.heartbeat_s
        self._backoff = min(2 * self._backoff, _SLOWEST)

    def _lose(self, error: WireError) -> None:
        self.failure = error
        was, self.connected = self.connected, False
        self._greeting = None
        self._pending.fail(error)
        self.operations.lose(error)
        if was:
            self.decided.clear()
            _LOG.info("The link is down: %s", error)
            self._listener.lost()

    def _hurry(self) -> None:
        self._next_open = 0.0
        if self.connected:
            self.decided.set()

    def _restarted(self) -> None:
        """Another run of the server answers: shake hands anew."""
        if self.connected:
            self._lose(ConnectionLost(f"{self.settings.control} was restarted"))
            self._greet()

    def _greet(self) -> None:
        args = {"protocol": PROTOCOL, "name": self.settings.name}
        self.clock.reset()
        self._greeting = self._transmit("hello", args)

    def _goodbye(self) -> None:
        if self.connected:
            self._transmit("bye", {})

    def _transmit(self, op: str, args: dict[str, Any]) -> int:
        """Send a request of the link's own; its answer counts as a sign of life."""
        until = steady() + _LIVENESS * self.settings.heartbeat_s
        request_id, frames = self.request(op, args, None, until, None)
        if self._connection is not None:
            self._connection.send(frames)
        return request_id

    def _ask(self, op: str, args: dict[str, Any], deliver: Callable[[Outcome], None]) -> None:
        until = steady() + _LIVENESS * self.settings.heartbeat_s
        request_id, frames = self.request(op, args, None, until, None)
        self._pending.add(request_id, op, until, deliver)
        self._send(request_id, frames)

    def _send(self, request_id: int, frames: Frames) -> None:
        if not self.connected or self._connection is None:
            self._pending.deliver(request_id, self.failure)
        elif not self._connection.send(frames):
            self._pending.deliver(
                request_id,
                BusyError(
                    f"not sent: the connection to {self.settings.control} takes nothing just now "
                    "(it is built anew, or too much waits to be sent); try again",
                    None,
                    True,
                ),
            )

    def _read_answers(self, connection: Connection) -> None:
        for answer in connection.answers():
            if isinstance(answer, ProtocolError):
                _LOG.warning("An answer that is not of the protocol: %s", answer)
                if not self.connected:
                    self._refuse(answer)
            elif self._greeting is not None and answer.id in (self._greeting, None):
                self._greeted(answer)
            else:
                self.note(answer)
                if answer.id is not None:
                    self._pending.deliver(answer.id, answer)

    def _greeted(self, answer: Answer) -> None:
        self._greeting = None
        try:
            if answer.error is not None:
                raise answer.error
            hello = hello_from_answer(answer)
        except WireError as error:
            self._refuse(error)
            return
        now = steady()
        self.hello = hello
        self._heard = now
        self.clock.reset()
        self.clock.sample(answer.clock, now)
        self._backoff = 0.25
        address = self.settings.events or reachable(
            hello.endpoints["events"], self.settings.control
        )
        if self._stream is None or self._stream.address != address:
            self._open_stream(address)
        self._heard_events = now
        self._next_beat = now + self.settings.heartbeat_s
        self.connected = True
        self._listener.connected(hello)
        self.decided.set()

    def _refuse(self, error: WireError) -> None:
        """The server, or its keys, will not do: tell whoever waits, and try again slowly."""
        self.failure = error
        self._backoff = _SLOWEST
        self._rebuild(error, steady())
        self.decided.set()

    def _read_changes(self, connection: Connection) -> None:
        control = self.settings.control
        for change in connection.changes():
            if change is Change.REFUSED:
                self._refuse(
                    SecurityError(
                        f"{control} and this client do not accept each other's keys; pin the "
                        "server's public key and have this client's added to its list"
                    )
                )
            elif change is Change.CLOSED:
                if self.connected or self._greeting is not None:
                    self._rebuild(ConnectionLost(f"{control} closed the connection"), steady())
            elif not self.connected and self._greeting is None:
                self._greet()

    def _open_stream(self, address: str) -> None:
        if self._stream is not None:
            self._poller.unregister(self._stream.socket)
            self._stream.close()
        self._stream = Stream(
            self._context,
            address,
            self.settings.security,
            self.settings.heartbeat_s,
            self._topics,
        )
        self._poller.register(self._stream.socket, zmq.POLLIN)
        self._heard_events = steady()

    def _read_events(self, stream: Stream) -> None:
        for event, gap in stream.read():
            now = steady()
            self._heard_events = now
            if self.connected:
                self._heard = now
            if gap is not None:
                self._listener.stale(gap)
                if event.topic.startswith("op."):
                    self.operations.poll_all()
            if event.topic.startswith("op."):
                self.operations.event(event, now)
            if event.topic not in _OWN_TOPICS or self._topics.get(event.topic, 0) > 1:
                self._listener.event(event)

    def _subscribe(self, topic: str) -> None:
        self._topics[topic] = self._topics.get(topic, 0) + 1
        if self._topics[topic] == 1 and self._stream is not None:
            self._stream.subscribe(topic)

    def _unsubscribe(self, topic: str) -> None:
        self._topics[topic] = self._topics.get(topic, 0) - 1
        if self._topics[topic] <= 0:
            del self._topics[topic]
            if self._stream is not None:
                self._stream.unsubscribe(topic)


def reachable(advertised: str, control: str) -> str:
    """An address that the server gave, with the host by which this client knows the server."""
    transport, _, rest = advertised.partition("://")
    host, _, port = rest.rpartition(":")
    if transport == "tcp" and host in ("0.0.0.0", "[::]", "*"):
        own = control.partition("://")[2].rpartition(":")[0]
        return f"tcp://{own}:{port}"
    return advertised
