"""The commands that every server has: handshake, heartbeat, operations and the lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from devices.wire.errors import ProtocolError, RefusedError
from devices.wire.lease import ClientKey, Lease
from devices.wire.messages import PROTOCOL, Request
from devices.wire.operations import Operations
from devices.wire.security import Role
from devices.wire.service import Result
from devices.wire.timing import steady

__all__ = ["Caller", "Reception"]


class Caller(NamedTuple):
    """Where an answer goes, who asks, and what he may do."""

    route: bytes
    key: ClientKey
    role: Role


@dataclass
class _Client:
    name: str
    seen: float


class Reception:
    """Knows the clients, and serves what does not touch the instrument; I/O thread.

    Parameters
    ----------
    facts : callable
        What the server says of itself at the handshake.
    operations : Operations
        For ``op.status`` and ``op.cancel``.
    lease : Lease
        For ``lease.acquire`` and ``lease.release``.
    publish : callable
        Publishes values on a topic.
    secure : callable
        Makes the instrument safe, for a reason.
    """

    def __init__(
        self,
        facts: Callable[[], dict[str, Any]],
        operations: Operations,
        lease: Lease,
        publish: Callable[[str, dict[str, Any]], None],
        secure: Callable[[str], object],
    ) -> None:
        self._facts = facts
        self._operations = operations
        self._lease = lease
        self._publish = publish
        self._secure = secure
        self._clients: dict[ClientKey, _Client] = {}
        self.commands: Mapping[str, Callable[[Caller, Request], Result]] = {
            "hello": self._hello,
            "ping": self._ping,
            "bye": self._bye,
            "op.status": self._status,
            "op.cancel": self._cancel,
            "lease.acquire": self._acquire,
            "lease.renew": self._ping,
            "lease.release": self._release,
        }

    def seen(self, key: ClientKey, now: float) -> None:
        """Note a message of `key`: it lives, and keeps its lease."""
        client = self._clients.get(key)
        if client is not None:
            client.seen = now
        self._lease.seen(key, now)

    def name(self, key: ClientKey) -> str:
        """What a client calls itself."""
        client = self._clients.get(key)
        return client.name if client is not None else key[1]

    def forget(self, before: float) -> list[ClientKey]:
        """Drop the clients not heard of since `before`, and return them."""
        gone = [key for key, client in self._clients.items() if client.seen < before]
        for key in gone:
            del self._clients[key]
        return gone

    def _hello(self, caller: Caller, request: Request) -> Result:
        protocol = request.args.get("protocol")
        if protocol != PROTOCOL:
            raise ProtocolError(
                f"this server speaks protocol {PROTOCOL}, the client {protocol!r}; use the same "
                "version of twinscope at both ends"
            )
        name = str(request.args.get("name", ""))[:80] or caller.key[1]
        self._clients[caller.key] = _Client(name, steady())
        return Result({**self._facts(), "role": caller.role.value})

    def _ping(self, caller: Caller, request: Request) -> Result:
        return Result({"lease": self._lease.holder, "yours": self._lease.key == caller.key})

    def _bye(self, caller: Caller, request: Request) -> Result:
        working = self._operations.running(caller.key) > 0
        if self._lease.release(caller.key):
            self._publish("lease", {"holder": None})
            if working:
                self._secure(f"{self.name(caller.key)!r} left while its command ran")
        return Result()

    def _status(self, caller: Caller, request: Request) -> Result:
        return self._operations.status(_op_id(request))

    def _cancel(self, caller: Caller, request: Request) -> Result:
        return Result({"cancelled": self._operations.cancel(op_id=_op_id(request))})

    def _acquire(self, caller: Caller, request: Request) -> Result:
        if caller.role is Role.OBSERVER:
            raise RefusedError("an observer may read and stop, not hold the lease; ask for a role")
        force = bool(request.args.get("force", False))
        if force and caller.role is not Role.ADMIN:
            raise RefusedError("only an admin may take the lease from another client")
        name = self.name(caller.key)
        self._lease.take(caller.key, name, steady(), deliberate=True, force=force)
        self._publish("lease", {"holder": self._lease.holder})
        return Result({"lease": self._lease.holder})

    def _release(self, caller: Caller, request: Request) -> Result:
        released = self._lease.release(caller.key)
        if released:
            self._publish("lease", {"holder": None})
        return Result({"released": released})


def _op_id(request: Request) -> str:
    op_id = request.args.get("op_id")
    if not isinstance(op_id, str):
        raise ProtocolError(f"{request.op} needs the op_id that the command was accepted with")
    return op_id
