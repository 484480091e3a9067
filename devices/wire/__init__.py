"""The wire: how devices and instrument servers talk (ZeroMQ, msgpack headers, raw array frames)."""

from __future__ import annotations

from devices.wire.client import Client
from devices.wire.errors import (
    BusyError,
    CancelledError,
    ConnectionLost,
    ExpiredError,
    InstrumentError,
    InternalError,
    LeaseError,
    LimitError,
    ProtocolError,
    RefusedError,
    SecurityError,
    StaleStream,
    StateUnknown,
    UnknownCommandError,
    WireError,
)
from devices.wire.remote import RemoteOperation
from devices.wire.reply import Hello, Reply
from devices.wire.security import (
    ClientSecurity,
    KeyPair,
    Role,
    ServerSecurity,
    generate_keys,
    load_clients,
    load_keys,
    load_public_key,
)
from devices.wire.server import Server
from devices.wire.service import Access, Call, Command, Operation, Result, Service

__all__ = [
    "Access",
    "BusyError",
    "Call",
    "CancelledError",
    "Client",
    "ClientSecurity",
    "Command",
    "ConnectionLost",
    "ExpiredError",
    "Hello",
    "InstrumentError",
    "InternalError",
    "KeyPair",
    "LeaseError",
    "LimitError",
    "Operation",
    "ProtocolError",
    "RefusedError",
    "RemoteOperation",
    "Reply",
    "Result",
    "Role",
    "SecurityError",
    "Server",
    "ServerSecurity",
    "Service",
    "StaleStream",
    "StateUnknown",
    "UnknownCommandError",
    "WireError",
    "generate_keys",
    "load_clients",
    "load_keys",
    "load_public_key",
]
