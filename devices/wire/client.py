"""The client: blocking requests, futures, long operations, stops and telemetry, from any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import zmq

from devices.wire.arrays import Arrays
from devices.wire.callbacks import Callbacks
from devices.wire.errors import ConnectionLost, StaleStream, WireError
from devices.wire.lane import Lane
from devices.wire.link import Link, LinkSettings, Listener, reachable
from devices.wire.messages import Answer, Event
from devices.wire.pending import Outcome
from devices.wire.remote import RemoteOperation, settle
from devices.wire.reply import Hello, Reply
from devices.wire.security import ClientSecurity, require_keys
from devices.wire.timing import steady

__all__ = ["Client"]

_LOG = logging.getLogger(__name__)
_STOP = 0.5  # seconds that a stop may take to be acknowledged
_STOP_FIRST = 0.35  # of these, on the priority lane; the rest is for the ordinary one
_CLOSING = 0.4  # seconds
_GRACE = 0.5  # seconds after a deadline in which the I/O thread reports that it has passed


class Client:
    """A connection to one server; thread-safe.

    Parameters
    ----------
    control : str
        The server's address, ``tcp://host:port`` or ``ipc://path``.
    events : str, optional
        The address of its events, if it is not the one that the server says.
    name : str
        How this client appears to others, for example in a `LeaseError`.
    security : ClientSecurity, optional
        Keys; needed for every address beyond this machine.
    heartbeat_s : float
        Seconds between heartbeats; the link is down after three without a sign of life.

    Raises
    ------
    SecurityError
        If `control` leaves this machine and there are no keys.
    """

    def __init__(
        self,
        control: str,
        events: str | None = None,
        *,
        name: str,
        security: ClientSecurity | None = None,
        heartbeat_s: float = 1.0,
    ) -> None:
        for address in (control, events):
            if address is not None:
                require_keys(address, security)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._callbacks = Callbacks(f"wire-callbacks-{name}")
        self._direct = Lane(self._context, security, heartbeat_s)
        self._stop_lane = Lane(self._context, security, heartbeat_s)
        listener = Listener(self._on_connected, self._on_lost, self._on_event, self._on_stale)
        settings = LinkSettings(control, events, name, security, heartbeat_s)
        self._link = Link(self._context, settings, listener, self._callbacks)
        self._lock = threading.Lock()
        self._started = self._closed = False
        self._subscribers: dict[str, list[Callable[[dict[str, Any]], object]]] = {}
        self._connection_watchers: list[Callable[[bool], object]] = []
        self._stale_watchers: list[Callable[[StaleStream], object]] = []

    @property
    def control(self) -> str:
        """The server's address."""
        return self._link.settings.control

    @property
    def name(self) -> str:
        """How this client appears to others."""
        return self._link.settings.name

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self._link.connected

    @property
    def hello(self) -> Hello | None:
        """What the server said at the last handshake."""
        return self._link.hello

    def connect(self, timeout_s: float = 2.0) -> Hello:
        """Shake hands with the server; after a failure the client goes on trying by itself.

        Returns
        -------
        Hello
            Capabilities, units and limits.

        Raises
        ------
        ConnectionLost
            If no server answers within `timeout_s` (seconds).
        ProtocolError
            If the server speaks another version of the protocol.
        SecurityError
            If one of the two does not know the other's key.
        """
        with self._lock:
            if self._closed:
                raise ConnectionLost("this client was closed; make a new one")
            if not self._started:
                self._started = True
                self._callbacks.start()
                self._link.start()
            elif not self._link.connected:
                self._link.hurry()
        decided = self._link.decided.wait(timeout_s)
        hello = self._link.hello
        if self._link.connected and hello is not None:
            return hello
        if decided:
            raise self._link.failure
        raise ConnectionLost(
            f"no server answers at {self._link.settings.control} within {timeout_s:g} s; start it, "
            "or correct the address",
            retryable=True,
        )

    def request(
        self,
        op: str,
        args: Mapping[str, Any] | None = None,
        *,
        arrays: Arrays | None = None,
        deadline_s: float = 1.0,
    ) -> Reply:
        """Send a command and wait for its reply, `deadline_s` (seconds) at most.

        The server drops a command that has not begun by then.

        Raises
        ------
        WireError
            The server's reason; `ConnectionLost` without a link; without an answer in time
            `StateUnknown` for a command that writes or moves and `ExpiredError` for one that reads.
        """
        link = self._link
        if not link.connected:
            raise self._not_connected(op)
        until = steady() + deadline_s
        if link.idle and self._direct.claim():
            try:
                request_id, frames = link.request(op, args, arrays, until, None)
                hello = link.hello
                answer = self._direct.exchange(
                    frames, request_id, until, lambda: link.connected and link.hello is hello
                )
            finally:
                self._direct.release()
            if answer is None:
                raise link.overdue(op)
            link.note(answer)
            return _reply(answer)
        future: Future[Reply] = Future()
        self._submit(op, args, arrays, until, lambda outcome: settle(future, _outcome(outcome)))
        return future.result(deadline_s + _GRACE)

    def submit(
        self,
        op: str,
        args: Mapping[str, Any] | None = None,
        *,
        arrays: Arrays | None = None,
        deadline_s: float = 1.0,
    ) -> Future[Reply]:
        """Send a command; like `request`, without waiting."""
        future: Future[Reply] = Future()
        future.set_running_or_notify_cancel()
        until = steady() + deadline_s

        def deliver(outcome: Outcome) -> None:
            self._callbacks.put(settle, future, _outcome(outcome))

        if self._link.connected:
            self._submit(op, args, arrays, until, deliver)
        else:
            future.set_exception(self._not_connected(op))
        return future

    def start(
        self,
        op: str,
        args: Mapping[str, Any] | None = None,
        *,
        deadline_s: float = 1.0,
        timeout_s: float,
    ) -> RemoteOperation:
        """Send a long command.

        Parameters
        ----------
        op : str
            The command.
        args : mapping, optional
            Its arguments, SI units.
        deadline_s : float
            Seconds until the server must have begun.
        timeout_s : float
            Seconds until it must have ended; after that it is cancelled.

        Returns
        -------
        RemoteOperation
            Its `future` ends with the operation, and is the place where errors appear.
        """
        link = self._link
        now = steady()
        until = now + deadline_s
        request_id, frames = link.request(op, args, None, until, timeout_s)
        op_id = f"{link.client_id}:{request_id}"
        operation = RemoteOperation(op_id, op, now + timeout_s, self._callbacks)
        if not link.connected:
            operation.future.set_exception(self._not_connected(op))
            return operation
        link.follow(operation)

        def deliver(outcome: Outcome) -> None:
            error = outcome.error if isinstance(outcome, Answer) else outcome
            link.operations.answered(op_id, error if error is not None else outcome, steady())

        link.submit(request_id, frames, op, until, deliver)
        return operation

    def stop(self, op: str = "stage.stop", args: Mapping[str, Any] | None = None) -> bool:
        """Stop at once, ahead of everything else; needs no lease and never raises.

        Returns
        -------
        bool
            Whether the server acknowledged within half a second.
        """
        start = steady()
        try:
            answer = self._stop_directly(op, args, start + _STOP_FIRST)
            if answer is None:
                answer = self._stop_by_link(op, args, start + _STOP)
        except (WireError, TimeoutError, zmq.ZMQError) as error:
            _LOG.error("%s was not acknowledged: %s", op, error)
            return False
        if answer is not None and answer.error is None:
            return True
        reason = answer.error if answer is not None else "no answer"
        _LOG.error("%s was not acknowledged: %s", op, reason)
        return False

    def subscribe(
        self, topic: str, callback: Callable[[dict[str, Any]], object]
    ) -> Callable[[], None]:
        """Call `callback` with the values of each event on `topic`, its last one first.

        ``time`` among the values is the server's (s since the epoch), unless the topic has its own.

        Returns
        -------
        callable
            Ends the subscription.
        """
        with self._lock:
            self._subscribers.setdefault(topic, []).append(callback)
        self._link.watch(topic)

        def unsubscribe() -> None:
            with self._lock:
                callbacks = self._subscribers.get(topic, [])
                if callback not in callbacks:
                    return
                callbacks.remove(callback)
            self._link.unwatch(topic)

        return unsubscribe

    def on_connection(self, callback: Callable[[bool], object]) -> None:
        """Call `callback` with True or False whenever the link comes up or goes down."""
        self._connection_watchers.append(callback)

    def on_stale(self, callback: Callable[[StaleStream], object]) -> None:
        """Call `callback` with the error whenever events were lost on the way here."""
        self._stale_watchers.append(callback)

    def acquire_lease(self, *, force: bool = False) -> None:
        """Hold the lease until it is released; `force` (admins only) takes it from its holder."""
        self.request("lease.acquire", {"force": force})

    def release_lease(self) -> None:
        """Let others write."""
        self.request("lease.release")

    def close(self) -> None:
        """Release the lease, end the threads and close the sockets, in less than half a second."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._started:
            self._link.close(_CLOSING)
            self._callbacks.close(_CLOSING)
        else:
            self._link.discard()
        self._direct.close(_CLOSING)
        self._stop_lane.close(_CLOSING)
        self._context.destroy()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _submit(
        self,
        op: str,
        args: Mapping[str, Any] | None,
        arrays: Arrays | None,
        until: float,
        deliver: Callable[[Outcome], None],
    ) -> None:
        request_id, frames = self._link.request(op, args, arrays, until, None)
        self._link.submit(request_id, frames, op, until, deliver)

    def _stop_directly(
        self, op: str, args: Mapping[str, Any] | None, until: float
    ) -> Answer | None:
        if not self._stop_lane.claim(_STOP_FIRST):
            return None
        try:
            request_id, frames = self._link.request(op, args, None, until, None)
            return self._stop_lane.exchange(
                frames, request_id, until, lambda: not self._link.closing
            )
        finally:
            self._stop_lane.release()

    def _stop_by_link(self, op: str, args: Mapping[str, Any] | None, until: float) -> Answer | None:
        future: Future[Outcome] = Future()
        self._submit(op, args, None, until, future.set_result)
        outcome = future.result(max(0.0, until - steady()) + 0.05)
        if isinstance(outcome, Answer):
            return outcome
        raise outcome

    def _not_connected(self, op: str) -> ConnectionLost:
        if not self._started:
            return ConnectionLost(f"{op} was not sent: call connect first")
        return ConnectionLost(f"{op} was not sent: {self._link.failure}", retryable=True)

    def _on_connected(self, hello: Hello) -> None:
        control = self._link.settings.control
        self._direct.prepare(control)
        self._stop_lane.prepare(reachable(hello.endpoints["priority"], control))
        for watcher in tuple(self._connection_watchers):
            self._callbacks.put(watcher, True)

    def _on_lost(self) -> None:
        for watcher in tuple(self._connection_watchers):
            self._callbacks.put(watcher, False)

    def _on_event(self, event: Event) -> None:
        with self._lock:
            callbacks = tuple(self._subscribers.get(event.topic, ()))
        values = {"time": event.time, **event.values}
        for callback in callbacks:
            self._callbacks.put(callback, values)

    def _on_stale(self, error: StaleStream) -> None:
        _LOG.warning("%s", error)
        for watcher in tuple(self._stale_watchers):
            self._callbacks.put(watcher, error)


def _outcome(outcome: Outcome) -> Reply | WireError:
    if isinstance(outcome, WireError):
        return outcome
    return outcome.error or Reply(outcome.values, outcome.arrays, outcome.time)


def _reply(answer: Answer) -> Reply:
    if answer.error is not None:
        raise answer.error
    return Reply(answer.values, answer.arrays, answer.time)
