"""Threads that run handlers: one a service for queued commands, one for stops, one an operation."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

import zmq

from devices.wire.errors import BusyError, InternalError, WireError
from devices.wire.messages import Request
from devices.wire.operations import Job
from devices.wire.service import Call, Command, Operation, Result
from devices.wire.transport import Mailbox

__all__ = ["PriorityLane", "Worker", "perform"]

_LOG = logging.getLogger(__name__)
_QUEUE = 64  # commands waiting for one service

Outcome = Result | WireError


def perform(
    command: Command, request: Request, client: str, operation: Operation | None = None
) -> Outcome:
    """Run the handler and return what it returned, or the error that stands for its failure."""
    try:
        return command.run(Call(request.args, request.arrays, client, operation))
    except WireError as error:
        return error
    except Exception as error:
        _LOG.exception("%s failed", request.op)
        reason = " ".join(str(error).split())[:200]
        return InternalError(f"{request.op} failed: {type(error).__name__}: {reason}")


class Worker:
    """Runs one service's queued commands, one after the other.

    Parameters
    ----------
    name : str
        The service.
    begin : callable
        Raises a `WireError` if the job must not begin any more.
    finish : callable
        Takes a job and its outcome.
    """

    def __init__(
        self, name: str, begin: Callable[[Job], None], finish: Callable[[Job, Outcome], None]
    ) -> None:
        self._queue: queue.Queue[Job | None] = queue.Queue(_QUEUE)
        self._begin = begin
        self._finish = finish
        self._thread = threading.Thread(target=self._run, name=f"wire-{name}", daemon=True)
        self._name = name
        self._thread.start()

    def put(self, job: Job) -> None:
        """Queue a job, or raise `BusyError`."""
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            raise BusyError(
                f"{_QUEUE} commands wait for {self._name!r} already; wait for an answer",
                retryable=True,
            ) from None

    def close(self, timeout_s: float) -> None:
        """End after the current command; what waits is dropped."""
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._begin(job)
            except WireError as error:
                self._finish(job, error)
            else:
                self._finish(job, perform(job.command, job.request, job.client))


class PriorityLane:
    """Serves stops on a socket and a thread of its own, whatever the others are doing.

    Parameters
    ----------
    socket : zmq.Socket
        A bound ROUTER socket; the lane's thread owns it once started.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._mail: Mailbox[Callable[[], None] | None] = Mailbox()

    def start(self, serve: Callable[[zmq.Socket[bytes]], None]) -> None:
        """Start the thread; `serve` takes the socket when a message waits on it."""
        self._serve = serve
        self._thread = threading.Thread(target=self._run, name="wire-priority", daemon=True)
        self._thread.start()

    def post(self, task: Callable[[], None]) -> None:
        """Run `task` on the lane's thread."""
        self._mail.put(task)

    def close(self, timeout_s: float) -> None:
        """End the thread and close its socket."""
        self._mail.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._mail.fileno(), zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._socket in ready:
                    self._serve(self._socket)
                if self._mail.fileno() in ready:
                    for task in self._mail.drain():
                        if task is None:
                            return
                        task()
        finally:
            self._socket.close(0)
            self._mail.close()
