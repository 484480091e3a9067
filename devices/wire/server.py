"""The server: an instrument's services on three sockets (commands, stops, events)."""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import zmq

from devices.wire.desk import Desk, DeskSettings, Envelope
from devices.wire.errors import InternalError, ProtocolError, RefusedError, WireError
from devices.wire.messages import Request, decode_request
from devices.wire.publisher import Publisher
from devices.wire.reception import Caller
from devices.wire.security import Gatekeeper, Role, ServerSecurity, require_keys
from devices.wire.service import Service
from devices.wire.timing import steady
from devices.wire.transport import Mailbox, configure, contents, receive, send, waiting
from devices.wire.workers import PriorityLane

__all__ = ["Server"]

_LOG = logging.getLogger(__name__)
_FAST = 0.04  # seconds between telemetry while an operation runs
_BATCH = 64  # messages taken from a socket before the others have their turn
_CLOSING = 1.0  # seconds that handlers have to return when the server closes


@dataclass(frozen=True)
class _Sockets:
    control: zmq.Socket[bytes]
    events: zmq.Socket[bytes]
    gatekeeper: Gatekeeper | None


class Server:
    """Serves an instrument.

    Parameters
    ----------
    services : sequence of Service
        What it offers.
    control, events, priority : str
        Addresses to bind, ``tcp://host:port`` (port 0: any) or ``ipc://path``. Stops have an
        address of their own; by default on the host of `control`.
    name : str
        What the server calls itself.
    security : ServerSecurity, optional
        Keys; needed on every address that other machines can reach.
    heartbeat_s : float
        Seconds between heartbeats.
    lease_s : float
        Seconds of silence after which the lease holder has vanished.
    idle_s : float
        Seconds without a write after which a lease that was taken in passing is free.
    checksum : bool
        Send a crc32 with every array; encrypted and local links do not need it.

    Raises
    ------
    SecurityError
        If an address leaves this machine and there are no keys.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        control: str = "tcp://127.0.0.1:0",
        events: str = "tcp://127.0.0.1:0",
        priority: str | None = None,
        name: str = "tem",
        security: ServerSecurity | None = None,
        heartbeat_s: float = 1.0,
        lease_s: float = 5.0,
        idle_s: float = 30.0,
        checksum: bool = False,
    ) -> None:
        if priority is None:
            transport, _, rest = control.partition("://")
            host = rest.rpartition(":")[0]
            priority = f"tcp://{host}:0" if transport == "tcp" else f"{control}.stop"
        for address in (control, events, priority):
            require_keys(address, security)
        self._services = tuple(services)
        self._wanted = (control, events, priority)
        self._name = name
        self._security = security
        self._heartbeat_s = heartbeat_s
        self._lease_s = lease_s
        self._idle_s = idle_s
        self._checksum = checksum
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._closing = threading.Event()
        self._bound: dict[str, str] = {}

    @property
    def control_address(self) -> str:
        """Where commands are taken, with the port in use."""
        return self._bound["control"]

    @property
    def events_address(self) -> str:
        """Where events are published, with the port in use."""
        return self._bound["events"]

    @property
    def priority_address(self) -> str:
        """Where stops are taken, with the port in use."""
        return self._bound["priority"]

    def start(self) -> Self:
        """Bind the sockets and serve, in threads of the server's own."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            gatekeeper = Gatekeeper(context, self._security) if self._security else None
            control = self._bind(context, zmq.ROUTER, "control", self._wanted[0])
            events = self._bind(context, zmq.XPUB, "events", self._wanted[1])
            priority = self._bind(context, zmq.ROUTER, "priority", self._wanted[2])
        except WireError:
            context.destroy(linger=0)
            raise
        self._context = context
        self._closing.clear()
        self._sockets = _Sockets(control, events, gatekeeper)
        self._mail: Mailbox[Callable[[], None]] = Mailbox()
        session = uuid.uuid4().hex
        telemetry = {
            topic: snapshot
            for service in self._services
            for topic, snapshot in service.telemetry().items()
        }
        self._publisher = Publisher(events, session, telemetry)
        self._lane = PriorityLane(priority)
        settings = DeskSettings(
            name=self._name,
            session=session,
            endpoints=dict(self._bound),
            heartbeat_s=self._heartbeat_s,
            lease_s=self._lease_s,
            idle_s=self._idle_s,
            checksum=self._checksum,
        )
        self._desk = Desk(
            self._services,
            settings,
            post=self._mail.put,
            post_stop=self._lane.post,
            publish=self._publisher.publish,
            send=partial(send, control),
        )
        self._lane.start(partial(self._serve, handle=self._desk.handle_stop))
        self._thread = threading.Thread(target=self._run, name="wire-server", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Cancel what runs, make the instrument safe, and close; waits 1 s for handlers at most."""
        if self._context is None:
            return
        self._desk.close(_CLOSING)
        self._closing.set()
        self._mail.put(lambda: None)
        self._thread.join(_CLOSING)
        self._lane.close(_CLOSING)
        self._mail.close()
        self._context.destroy(linger=0)
        self._context = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bind(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: int, role: str, address: str
    ) -> zmq.Socket[bytes]:
        socket = context.socket(kind)
        configure(socket, address, self._heartbeat_s)
        if kind == zmq.XPUB:
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        if self._security is not None:
            self._security.apply(socket)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            raise RefusedError(
                f"cannot listen on {address}: {error}; choose another address, or end the server "
                "that uses this one"
            ) from error
        self._bound[role] = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        return socket

    def _run(self) -> None:
        control, events = self._sockets.control, self._sockets.events
        gatekeeper = self._sockets.gatekeeper
        poller = zmq.Poller()
        poller.register(control, zmq.POLLIN)
        poller.register(events, zmq.POLLIN)
        poller.register(self._mail.fileno(), zmq.POLLIN)
        if gatekeeper is not None:
            poller.register(gatekeeper.socket, zmq.POLLIN)
        beat = telemetry = tick = published = steady()
        try:
            while not self._closing.is_set():
                now = steady()
                if now >= beat:
                    beat = now + self._heartbeat_s
                    self._publisher.publish("hb", {"clock": now})
                if now >= tick:
                    tick = now + self._heartbeat_s / 4
                    self._desk.tick(now)
                if now >= telemetry:
                    self._publisher.publish_telemetry()
                    published = now
                    telemetry = now + (_FAST if self._desk.busy else 1.0)
                due = min(beat, telemetry, tick)
                ready = dict(poller.poll(max(0, math.ceil(1000 * (due - now)))))
                if control in ready:
                    self._serve(control, self._desk.handle)
                if self._mail.fileno() in ready:
                    for task in self._mail.drain():
                        task()
                    telemetry = min(telemetry, published + _FAST)  # something began or ended
                if events in ready:
                    self._publisher.welcome()
                if gatekeeper is not None and gatekeeper.socket in ready:
                    gatekeeper.serve()
        except Exception:
            _LOG.exception("The server's I/O thread failed")
            raise

    def _serve(
        self, socket: zmq.Socket[bytes], handle: Callable[[Caller, Request], Envelope | None]
    ) -> None:
        """Take what waits on a ROUTER socket; whatever it is, the next message is served."""
        for _ in range(_BATCH):
            if not waiting(socket):
                return
            frames = receive(socket)
            route = frames[0].bytes
            try:
                caller, request = self._read(route, frames)
            except ProtocolError as error:
                _LOG.warning("A message that is not of the protocol: %s", error)
                send(socket, [route, *self._desk.encode(error.request_id, error)])
                continue
            try:
                answer = handle(caller, request)
            except WireError as error:
                answer = Envelope(route, self._desk.encode(request.id, error))
            except Exception as error:
                _LOG.exception("%s failed", request.op)
                failure = InternalError(f"{request.op} failed: {type(error).__name__}: {error}")
                answer = Envelope(route, self._desk.encode(request.id, failure))
            if answer is not None:
                send(socket, [answer.route, *answer.frames])

    def _read(self, route: bytes, frames: list[zmq.Frame]) -> tuple[Caller, Request]:
        request = decode_request(contents(frames[1:]))
        if self._sockets.gatekeeper is None:
            return Caller(route, ("", request.client), Role.ADMIN), request
        user, role = self._sockets.gatekeeper.role(frames[0])
        return Caller(route, (user, request.client), role), request
