"""What a client hands to its user: the handshake and the replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devices.wire.arrays import Arrays
from devices.wire.errors import ProtocolError
from devices.wire.messages import PROTOCOL, Answer

__all__ = ["Hello", "Reply", "hello_from_answer"]


@dataclass(frozen=True)
class Reply:
    """The result of a command: values (SI), read-only arrays, and when the server gave it.

    `server_time` is the server's wall clock, seconds since the epoch.
    """

    values: dict[str, Any]
    arrays: Arrays
    server_time: float


@dataclass(frozen=True)
class Hello:
    """What a server says of itself at the handshake.

    Parameters
    ----------
    server : str
        Its name.
    protocol : int
        Version of the protocol.
    services : dict of str to dict
        Capabilities, units and limits of each service.
    commands : dict of str to dict
        ``access`` and ``long`` of each command.
    session : str
        Names this run of the server.
    role : str
        What this client may do.
    endpoints : mapping of str to str
        Addresses: ``control``, ``events``, ``priority``.
    heartbeat_s, lease_s : float
        The server's times, seconds.
    """

    server: str
    protocol: int
    services: dict[str, dict[str, Any]]
    commands: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    session: str = ""
    role: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    heartbeat_s: float = 1.0
    lease_s: float = 5.0


def hello_from_answer(answer: Answer) -> Hello:
    """The handshake in `answer`.

    Raises
    ------
    ProtocolError
        If the server speaks another version, or says too little.
    """
    values = answer.values
    if values.get("protocol") != PROTOCOL:
        raise ProtocolError(
            f"the server speaks protocol {values.get('protocol')!r}, this client {PROTOCOL}; use "
            "the same version of twinscope at both ends"
        )
    try:
        return Hello(
            server=str(values["server"]),
            protocol=PROTOCOL,
            services=dict(values["services"]),
            commands=dict(values["commands"]),
            session=str(values["session"]),
            role=str(values["role"]),
            endpoints={role: str(values["endpoints"][role]) for role in ("events", "priority")},
            heartbeat_s=float(values["heartbeat_s"]),
            lease_s=float(values["lease_s"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the server's handshake is incomplete: {error!r}") from error
