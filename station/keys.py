"""The folder of CURVE keys: what a server needs, and what a station needs to talk to it.

``server`` and ``server.pub``, ``station`` and ``station.pub``, and ``clients.toml``, the list of
the stations that the server lets in. A station on another machine gets ``station``, ``station.pub``
and ``server.pub``; a further station makes its own folder and has its public key added to the list.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devices.wire.security import ClientSecurity, ServerSecurity

__all__ = ["client_security", "new_keys", "server_security"]

_SERVER, _STATION, _CLIENTS = "server", "station", "clients.toml"


def new_keys(folder: Path) -> list[Path]:
    """Make the keys of a server and of its first station, an operator.

    Parameters
    ----------
    folder : Path
        Made where it does not exist, for its owner's eyes only.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    devices.wire.SecurityError
        There are keys already.
    """
    from devices.wire.security import Role, generate_keys

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    generate_keys(folder / _SERVER)
    station = generate_keys(folder / _STATION)
    clients = folder / _CLIENTS
    clients.write_text(f'[clients]\n"{station.public}" = "{Role.OPERATOR}"\n', encoding="ascii")
    return [folder / _SERVER, folder / _STATION, clients]


def server_security(folder: Path | None) -> ServerSecurity | None:
    """Keys and allow-list for a server; None without a folder."""
    from devices.wire.security import ServerSecurity, load_clients, load_keys

    if folder is None:
        return None
    return ServerSecurity(load_keys(folder / _SERVER), load_clients(folder / _CLIENTS))


def client_security(folder: Path | None) -> ClientSecurity | None:
    """Keys of a station and the public key of its server; None without a folder."""
    from devices.wire.security import ClientSecurity, load_keys, load_public_key

    if folder is None:
        return None
    return ClientSecurity(load_keys(folder / _STATION), load_public_key(folder / f"{_SERVER}.pub"))
