"""Who may talk to a server: keys, roles, and plain connections on loopback only.

CURVE (CurveZMQ, rfc.zeromq.org/spec/26) encrypts and authenticates both ways: the client pins the
server's public key, the server keeps a list of the clients' public keys with a role each.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import zmq
import zmq.utils.z85

from devices.wire.errors import SecurityError

__all__ = [
    "ClientSecurity",
    "Gatekeeper",
    "KeyPair",
    "Role",
    "ServerSecurity",
    "generate_keys",
    "is_local",
    "load_clients",
    "load_keys",
    "load_public_key",
    "require_keys",
]

_DOMAIN = b"twinscope"
_ZAP = "inproc://zeromq.zap.01"
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85, rfc.zeromq.org/spec/32


class Role(StrEnum):
    """What a client may do: observe and stop, operate, or also take the lease from others."""

    OBSERVER = "observer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, Z85 text."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r}, secret=...)"


@dataclass(frozen=True)
class ServerSecurity:
    """A server's keys and the clients it lets in (public key to role)."""

    keys: KeyPair
    clients: Mapping[str, Role]

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make `socket` a CURVE server; before it is bound."""
        socket.curve_server = True
        socket.curve_secretkey = self.keys.secret.encode()
        socket.curve_publickey = self.keys.public.encode()
        socket.zap_domain = _DOMAIN


@dataclass(frozen=True)
class ClientSecurity:
    """A client's keys and the public key of the one server it trusts."""

    keys: KeyPair
    server: str

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make `socket` a CURVE client; before it is connected."""
        socket.curve_serverkey = self.server.encode()
        socket.curve_secretkey = self.keys.secret.encode()
        socket.curve_publickey = self.keys.public.encode()


def generate_keys(path: Path) -> KeyPair:
    """Make a key pair: `path` for its owner's eyes only, and ``path.pub`` to give away.

    Raises
    ------
    SecurityError
        If `path` exists: keys are never overwritten.
    """
    public, secret = zmq.curve_keypair()
    keys = KeyPair(public.decode(), secret.decode())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SecurityError(
            f"{path} exists; keys are never overwritten: move it away first"
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f'public = "{keys.public}"\nsecret = "{keys.secret}"\n')
    Path(f"{path}.pub").write_text(f'public = "{keys.public}"\n', encoding="ascii")
    return keys


def load_keys(path: Path) -> KeyPair:
    """The key pair in `path`, which only its owner may read.

    Raises
    ------
    SecurityError
        If the file is missing, is no key file, or is open to others.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SecurityError(f"no key file {path}: make one with generate_keys") from error
    if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
        raise SecurityError(
            f"{path} (mode {status.st_mode & 0o777:03o}) can be read by others; "
            f"allowed is 600 and your own: chmod 600 {path}, or make new keys"
        )
    content = _read(path)
    return KeyPair(_key(path, content, "public"), _key(path, content, "secret"))


def load_public_key(path: Path) -> str:
    """The public key in `path` (a ``.pub`` file)."""
    return _key(path, _read(path), "public")


def load_clients(path: Path) -> dict[str, Role]:
    """The allow-list in `path`: a TOML table ``[clients]`` of ``"public key" = "role"``."""
    clients = _read(path).get("clients")
    if not isinstance(clients, dict):
        raise SecurityError(f'{path} has no table [clients] of "public key" = "role"')
    allowed: dict[str, Role] = {}
    for key, role in clients.items():
        if not _KEY.fullmatch(key) or role not in set(Role):
            raise SecurityError(
                f"{path}: {key!r} = {role!r} is no client; a 40-character key and one of "
                f"{', '.join(Role)} are needed"
            )
        allowed[key] = Role(role)
    return allowed


def is_local(address: str) -> bool:
    """Whether `address` can be reached from this machine only."""
    transport, _, rest = address.partition("://")
    if transport == "ipc":
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if transport != "tcp" or not host:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_keys(address: str, security: ServerSecurity | ClientSecurity | None) -> None:
    """Refuse `address` when it leaves this machine and there are no keys.

    Raises
    ------
    SecurityError
        If it does, or if it is neither ``tcp://`` nor ``ipc://``.
    """
    if not address.startswith(("tcp://", "ipc://")):
        raise SecurityError(f"{address!r} is no address; tcp://host:port or ipc://path is needed")
    if security is None and not is_local(address):
        raise SecurityError(
            f"{address} can be reached from other machines and there are no keys; plain "
            "connections are allowed on 127.0.0.0/8, ::1 and ipc only: make keys with "
            "generate_keys and pass security="
        )


class Gatekeeper:
    """Answers ZeroMQ's question who may come in (ZAP, rfc.zeromq.org/spec/27)."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], security: ServerSecurity) -> None:
        self._clients = {key.encode(): role for key, role in security.clients.items()}
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ZAP)

    def serve(self) -> None:
        """Answer one question; the client's public key becomes its user id."""
        frames = self.socket.recv_multipart(zmq.NOBLOCK)
        version, request_id = frames[0], frames[1]
        user = b""
        if len(frames) >= 7 and frames[2] == _DOMAIN and frames[5] == b"CURVE":
            key = zmq.utils.z85.encode(frames[6])
            if key in self._clients:
                user = key
        verdict = (b"200", b"OK") if user else (b"400", b"unknown client key")
        self.socket.send_multipart([version, request_id, *verdict, user, b""])

    def role(self, frame: zmq.Frame) -> tuple[str, Role]:
        """Public key and role of the client that sent `frame`."""
        key = str(frame.get("User-Id"))
        return key, self._clients[key.encode()]


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SecurityError(f"cannot read {path}: {error}") from error


def _key(path: Path, content: Mapping[str, object], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise SecurityError(f"{path} has no {name} key of 40 characters; make one: generate_keys")
    return value
