"""The server's desk: takes a request, decides whether it may happen, and sees it answered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from devices.wire.errors import (
    CancelledError,
    ConnectionLost,
    ExpiredError,
    LeaseError,
    ProtocolError,
    RefusedError,
    UnknownCommandError,
    WireError,
    error_to_wire,
)
from devices.wire.lease import Ending, Lease
from devices.wire.messages import PROTOCOL, Answer, Frames, Request, encode_answer
from devices.wire.operations import Job, Operations, Stops
from devices.wire.reception import Caller, Reception
from devices.wire.replies import Replies
from devices.wire.security import Role
from devices.wire.service import Access, Command, Operation, Result, Service
from devices.wire.timing import steady
from devices.wire.workers import Outcome, Worker, perform

__all__ = ["Desk", "DeskSettings", "Envelope"]

_LOG = logging.getLogger(__name__)
_FORGET = 3600.0  # seconds after which a silent client is forgotten
_LONGEST_DEADLINE = 600.0  # seconds; below _FORGET, so that a forgotten request is overdue


class Envelope(NamedTuple):
    """An answer and its way back."""

    route: bytes
    frames: Frames


@dataclass(frozen=True)
class DeskSettings:
    """What the server says of itself, and its times in seconds."""

    name: str
    session: str
    endpoints: Mapping[str, str]
    heartbeat_s: float
    lease_s: float
    idle_s: float
    checksum: bool


class Desk:
    """All of the server's rules, without its sockets.

    `handle` and `tick` belong to the I/O thread, `handle_stop` to the priority thread.

    Parameters
    ----------
    services : sequence of Service
        What the server offers.
    settings : DeskSettings
        Names and times.
    post, post_stop : callable
        Run a function on the I/O thread and on the priority thread; any thread.
    publish : callable
        Publishes values on a topic; I/O thread.
    send : callable
        Sends a route and frames on the command socket; I/O thread.
    """

    def __init__(
        self,
        services: Sequence[Service],
        settings: DeskSettings,
        *,
        post: Callable[[Callable[[], None]], None],
        post_stop: Callable[[Callable[[], None]], None],
        publish: Callable[[str, dict[str, Any]], None],
        send: Callable[[Frames], bool],
    ) -> None:
        self._services = {service.name: service for service in services}
        self._settings = settings
        self._post, self._post_stop = post, post_stop
        self._publish, self._send = publish, send
        self._commands: dict[str, tuple[str, Command]] = {
            f"{service.name}.{verb}": (service.name, command)
            for service in services
            for verb, command in service.commands().items()
        }
        self._lease = Lease(settings.lease_s, settings.idle_s)
        self._replies = Replies()
        self._operations = Operations()
        self._stops = Stops()
        self._closed = False
        self._reception = Reception(
            self._facts, self._operations, self._lease, publish, self._secure
        )
        queued = {
            name
            for name, command in self._commands.values()
            if not (command.inline or command.long or command.access is Access.STOP)
        }
        self._workers = {name: Worker(name, self._begin, self._finish_later) for name in queued}

    @property
    def busy(self) -> bool:
        """Whether an operation runs."""
        return self._operations.running() > 0

    def encode(self, request_id: int | None, outcome: Outcome) -> Frames:
        """The frames that answer a request."""
        answer = Answer(request_id, self._settings.session, time.time(), steady())
        if isinstance(outcome, WireError):
            answer.error = outcome
            return encode_answer(answer)
        answer.values, answer.arrays = outcome.values, outcome.arrays
        try:
            return encode_answer(answer, checksum=self._settings.checksum)
        except ProtocolError as error:
            _LOG.exception("An answer cannot be sent")
            answer.values, answer.arrays, answer.error = {}, {}, error
            return encode_answer(answer)

    def handle(self, caller: Caller, request: Request) -> Envelope | None:
        """Answer a request, or take it on and answer later."""
        now = steady()
        self._reception.seen(caller.key, now)
        built_in = self._reception.commands.get(request.op)
        if built_in is not None:
            return Envelope(caller.route, self.encode(request.id, built_in(caller, request)))
        service, command = self._find(request.op)
        if command.access is Access.READ:
            return self._take_on(service, command, caller, request, now)
        if command.access is Access.STOP:
            self._post_stop(partial(self._stop_for, service, command, caller, request))
            return None
        known = self._replies.find(caller.key, request.id)
        if known is not None:
            known.route = caller.route
            return Envelope(caller.route, known.answer) if known.answer is not None else None
        self._replies.begin(caller.key, request.id, caller.route)
        try:
            self._admit(service, caller, request, now)
            envelope = self._take_on(service, command, caller, request, now)
        except WireError as error:
            envelope = Envelope(caller.route, self.encode(request.id, error))
        if envelope is not None:
            self._replies.finish(caller.key, request.id, envelope.frames, now)
        return envelope

    def handle_stop(self, caller: Caller, request: Request) -> Envelope:
        """Serve a stop at once; nothing else is served on the priority lane, except ``ping``."""
        if request.op == "ping":
            return Envelope(caller.route, self.encode(request.id, Result()))
        service, command = self._find(request.op)
        if command.access is not Access.STOP:
            raise RefusedError(f"{request.op} is no stop; send it to {self._endpoint('control')}")
        return Envelope(caller.route, self._stop(service, command, caller, request))

    def tick(self, now: float) -> None:
        """What happens by itself: leases end, operations run out of time, clients are forgotten."""
        self._operations.cancel_overdue(now)
        key = self._lease.key
        if key is not None:
            working = self._operations.running(key) > 0 or self._replies.working(key)
            holder = self._lease.holder
            ending = self._lease.expire(now, working=working)
            if ending is not None:
                _LOG.info("The lease of %s ended: %s", holder, ending)
                self._publish("lease", {"holder": None})
            if ending is Ending.VANISHED:
                self._secure(f"{holder!r} vanished while its command ran")
        for client in self._reception.forget(now - _FORGET):
            self._replies.forget(client)
            self._stops.forget(client)

    def close(self, timeout_s: float) -> None:
        """Cancel what runs, make the instrument safe for good, end the workers."""
        self._closed = True
        self._secure("the server closes", logging.INFO).join(timeout_s)
        for worker in self._workers.values():
            worker.close(timeout_s)

    def _find(self, op: str) -> tuple[str, Command]:
        try:
            return self._commands[op]
        except KeyError:
            known = ", ".join(sorted([*self._commands, *self._reception.commands]))
            raise UnknownCommandError(f"no command {op[:80]!r}; there are: {known}") from None

    def _admit(self, service: str, caller: Caller, request: Request, now: float) -> None:
        """Raise unless this client may write now, and still wants to."""
        if caller.role is Role.OBSERVER:
            raise RefusedError(f"an observer may read and stop, not {request.op}; ask for a role")
        if request.session != self._settings.session:
            raise ConnectionLost(
                f"{request.op} was meant for an earlier run of this server and was not executed; "
                "say hello and read the state first",
                retryable=True,
            )
        if request.deadline is None:
            raise ProtocolError(f"{request.op} has no deadline; nothing moves without one")
        if request.deadline > now + _LONGEST_DEADLINE:
            raise ProtocolError(f"a deadline is at most {_LONGEST_DEADLINE:g} s ahead")
        self._check_deadline(request, now)
        if self._stops.overtook(service, caller.key, request.id):
            raise CancelledError(f"{request.op} was sent before a stop and was not executed")
        before = self._lease.holder
        self._lease.take(caller.key, self._reception.name(caller.key), now)
        if before is None:
            self._publish("lease", {"holder": self._lease.holder})

    def _check_deadline(self, request: Request, now: float) -> None:
        if request.deadline is not None and now > request.deadline:
            raise ExpiredError(
                f"{request.op} was not executed: its deadline passed {now - request.deadline:.3f} "
                "s before it could begin",
                retryable=True,
            )

    def _take_on(
        self, service: str, command: Command, caller: Caller, request: Request, now: float
    ) -> Envelope | None:
        if command.check is not None:
            command.check(request.args)
        if command.inline:
            name = self._reception.name(caller.key)
            return Envelope(caller.route, self.encode(request.id, perform(command, request, name)))
        timely = request.session == self._settings.session
        job = Job(
            service,
            command,
            request,
            caller.key,
            self._reception.name(caller.key),
            request.deadline if timely else None,
            self._stops.count(service),
            caller.route,
        )
        if command.long:
            return Envelope(caller.route, self.encode(request.id, self._launch(job, now)))
        self._workers[service].put(job)
        return None

    def _launch(self, job: Job, now: float) -> Result:
        request = job.request
        operation = Operation(f"{request.client}:{request.id}", self._progress)
        # its sender cancels first, if it can: the server's own limit is for one that cannot
        grace = self._settings.heartbeat_s
        until = None if request.timeout is None else now + request.timeout + grace
        self._operations.add(job, operation, until)
        threading.Thread(
            target=self._operate, args=(job, operation), name=f"wire-{request.op}", daemon=True
        ).start()
        return Result({"accepted": operation.id})

    def _operate(self, job: Job, operation: Operation) -> None:
        """Run a long command to its end; on its own thread."""
        try:
            self._begin(job)
        except WireError as error:
            outcome: Outcome = error
        else:
            outcome = perform(job.command, job.request, job.client, operation)
        if isinstance(outcome, Result) and operation.cancelled.is_set():
            outcome = CancelledError(f"{job.request.op} was cancelled before its end")
        self._operations.finish(operation.id, outcome)
        if isinstance(outcome, WireError):
            values = {"op_id": operation.id, "error": error_to_wire(outcome)}
            self._post(partial(self._publish, "op.failed", values))
        else:
            values = {
                "op_id": operation.id,
                "values": outcome.values,
                "arrays": bool(outcome.arrays),
            }
            self._post(partial(self._publish, "op.done", values))

    def _progress(self, op_id: str, values: dict[str, Any]) -> None:
        self._operations.note_progress(op_id, values)
        self._post(partial(self._publish, "op.progress", {"op_id": op_id, "values": values}))

    def _begin(self, job: Job) -> None:
        """Raise if the job must not begin any more: the last look before an instrument is told."""
        self._check_deadline_of(job)
        if job.command.access is Access.READ:
            return
        if self._stops.count(job.service) != job.stops:
            raise CancelledError(f"{job.request.op} waited when {job.service} was stopped")
        if self._lease.blocked or self._lease.key != job.key:
            raise LeaseError(f"{job.request.op} waited and its sender lost the lease meanwhile")

    def _check_deadline_of(self, job: Job) -> None:
        if job.deadline is not None:
            self._check_deadline(job.request, steady())

    def _finish_later(self, job: Job, outcome: Outcome) -> None:
        frames = self.encode(job.request.id, outcome)
        self._post(partial(self._finish, job, frames))

    def _finish(self, job: Job, frames: Frames) -> None:
        entry = self._replies.finish(job.key, job.request.id, frames, steady())
        self._send([entry.route if entry is not None else job.route, *frames])

    def _stop(self, service: str, command: Command, caller: Caller, request: Request) -> Frames:
        """Cancel what the service does, then stop it; on the priority thread."""
        self._stops.note(service, caller.key, request.id)
        self._operations.cancel(service=service)
        name = self._reception.name(caller.key)
        return self.encode(request.id, perform(command, request, name))

    def _stop_for(self, service: str, command: Command, caller: Caller, request: Request) -> None:
        """Serve a stop that came with the other commands."""
        frames = self._stop(service, command, caller, request)
        self._post(lambda: self._tell(caller.route, frames))

    def _tell(self, route: bytes, frames: Frames) -> None:
        self._send([route, *frames])

    def _secure(self, reason: str, level: int = logging.WARNING) -> threading.Thread:
        """Cancel everything and make every service safe, in a thread; nobody writes meanwhile."""
        _LOG.log(level, "Making the instrument safe: %s", reason)
        self._lease.block(f"the instrument is being made safe, because {reason}")
        self._operations.cancel()
        thread = threading.Thread(target=self._make_safe, name="wire-safe", daemon=True)
        thread.start()
        return thread

    def _make_safe(self) -> None:
        """Make all services safe side by side: the beam does not wait for a stage that hangs."""
        rescues = [
            threading.Thread(target=self._rescue, args=(service,), name="wire-rescue", daemon=True)
            for service in self._services.values()
        ]
        for rescue in rescues:
            rescue.start()
        for rescue in rescues:
            rescue.join()
        if not self._closed:
            self._post(lambda: self._lease.block(""))

    def _rescue(self, service: Service) -> None:
        try:
            service.make_safe()
        except Exception:
            _LOG.exception("%s could not be made safe", service.name)

    def _endpoint(self, role: str) -> str:
        return self._settings.endpoints[role]

    def _facts(self) -> dict[str, Any]:
        """What the server says of itself at the handshake."""
        settings = self._settings
        return {
            "server": settings.name,
            "protocol": PROTOCOL,
            "session": settings.session,
            "endpoints": dict(settings.endpoints),
            "heartbeat_s": settings.heartbeat_s,
            "lease_s": settings.lease_s,
            "services": {name: service.describe() for name, service in self._services.items()},
            "commands": {
                op: {"access": command.access.value, "long": command.long}
                for op, (_, command) in self._commands.items()
            },
        }
