"""Keys, roles, and what is refused without them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.wire import (
    Client,
    ClientSecurity,
    KeyPair,
    RefusedError,
    Role,
    SecurityError,
    Server,
    ServerSecurity,
    generate_keys,
    load_clients,
    load_keys,
    load_public_key,
)
from devices.wire.security import is_local


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyPair]:
    folder = tmp_path_factory.mktemp("keys")
    names = ("server", "observer", "operator", "admin", "stranger")
    return {name: generate_keys(folder / name) for name in names}


@pytest.fixture
def guarded(instrument: Any, keys: dict[str, KeyPair]) -> Iterator[Server]:
    clients = {keys[role].public: Role(role) for role in ("observer", "operator", "admin")}
    security = ServerSecurity(keys["server"], clients)
    with Server([instrument], security=security, heartbeat_s=0.1, lease_s=1) as server:
        yield server


@pytest.fixture
def enter(guarded: Server, keys: dict[str, KeyPair]) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(who: str, server: str = "server") -> Client:
        security = ClientSecurity(keys[who], keys[server].public)
        client = Client(guarded.control_address, name=who, security=security, heartbeat_s=0.1)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def test_an_operator_reads_moves_stops_and_receives(
    enter: Callable[..., Client], instrument: Any, eventually: Callable[..., bool]
) -> None:
    client = enter("operator")
    assert client.connect().role == "operator"
    seen: list[Any] = []
    client.subscribe("hb", seen.append)
    assert client.request("stage.nudge", {"x": 1e-6}).values == {"x": 1e-6}
    assert client.start("stage.move", {"x": 1e-6}, timeout_s=1).future.result(1)
    assert client.stop()
    assert eventually(lambda: seen)


def test_an_observer_reads_and_stops_but_does_not_move(
    enter: Callable[..., Client], instrument: Any
) -> None:
    client = enter("observer")
    client.connect()
    assert client.request("stage.read").values == {"x": 0}
    assert client.stop()
    for op in ("stage.nudge", "stage.move", "lease.acquire"):
        with pytest.raises(RefusedError, match="observer may read and stop"):
            client.request(op, {"x": 1e-6})
    assert instrument.moves == []


def test_an_operator_may_not_take_the_lease_from_another(enter: Callable[..., Client]) -> None:
    operator, admin = enter("operator"), enter("admin")
    operator.connect()
    admin.connect()
    admin.acquire_lease()
    with pytest.raises(RefusedError, match="only an admin"):
        operator.acquire_lease(force=True)
    operator_again = enter("operator")
    operator_again.connect()
    admin.release_lease()
    operator.acquire_lease()
    admin.acquire_lease(force=True)


def test_an_unknown_client_is_refused(enter: Callable[..., Client]) -> None:
    with pytest.raises(SecurityError, match="do not accept each other's keys"):
        enter("stranger").connect(1.0)


def test_another_server_than_the_pinned_one_is_refused(enter: Callable[..., Client]) -> None:
    with pytest.raises(SecurityError, match="do not accept each other's keys"):
        enter("operator", server="stranger").connect(1.0)


def test_a_client_without_keys_is_refused(guarded: Server) -> None:
    client = Client(guarded.control_address, name="plain", heartbeat_s=0.1)
    with pytest.raises(SecurityError, match="do not accept each other's keys"):
        client.connect(1.0)
    client.close()


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://[::]:0", "tcp://192.168.1.2:5000"]
)
def test_an_address_beyond_this_machine_needs_keys(instrument: Any, address: str) -> None:
    with pytest.raises(SecurityError, match="there are no keys"):
        Server([instrument], control=address)
    with pytest.raises(SecurityError, match="there are no keys"):
        Server([instrument], events=address)
    with pytest.raises(SecurityError, match="there are no keys"):
        Server([instrument], priority=address)
    with pytest.raises(SecurityError, match="there are no keys"):
        Client(address, name="alice")


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SecurityError, match="tcp://host:port or ipc://path"):
        Client("http://127.0.0.1:80", name="alice")


def test_a_server_on_all_addresses_with_keys_serves(
    instrument: Any, keys: dict[str, KeyPair]
) -> None:
    security = ServerSecurity(keys["server"], {keys["operator"].public: Role.OPERATOR})
    with Server(
        [instrument],
        control="tcp://0.0.0.0:0",
        events="tcp://0.0.0.0:0",
        security=security,
        heartbeat_s=0.1,
    ) as server:
        port = server.control_address.rpartition(":")[2]
        pinned = ClientSecurity(keys["operator"], keys["server"].public)
        with Client(
            f"tcp://127.0.0.1:{port}", name="alice", security=pinned, heartbeat_s=0.1
        ) as client:
            assert client.request("stage.read").values == {"x": 0}
            assert client.stop()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.8.9.10:5555", True),
        ("tcp://[::1]:5555", True),
        ("tcp://localhost:5555", True),
        ("ipc:///tmp/x", True),
        ("tcp://10.0.0.1:5555", False),
        ("tcp://128.0.0.1:5555", False),
        ("tcp://[fe80::1]:5555", False),
        ("tcp://127.0.0.1.example.org:5555", False),
        ("tcp://eth0:5555", False),
        ("tcp://", False),
    ],
)
def test_only_loopback_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "operator"
    keys = generate_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_keys(path) == keys
    assert load_public_key(tmp_path / "operator.pub") == keys.public
    assert keys.secret not in (tmp_path / "operator.pub").read_text()
    assert keys.secret not in repr(keys)


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "operator"
    generate_keys(path)
    os.chmod(path, 0o640)
    with pytest.raises(SecurityError, match=r"can be read by others.*chmod 600"):
        load_keys(path)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    generate_keys(tmp_path / "operator")
    with pytest.raises(SecurityError, match="never overwritten"):
        generate_keys(tmp_path / "operator")


@pytest.mark.parametrize("content", ["", "public = 5", 'public = "short"', "not toml ["])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "operator"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SecurityError):
        load_keys(path)
    with pytest.raises(SecurityError, match="no key file"):
        load_keys(tmp_path / "nothing")


def test_an_allow_list_names_keys_and_roles(tmp_path: Path) -> None:
    public = generate_keys(tmp_path / "operator").public
    path = tmp_path / "clients.toml"
    path.write_text(f'[clients]\n"{public}" = "observer"\n')
    assert load_clients(path) == {public: Role.OBSERVER}


@pytest.mark.parametrize("entry", ['"short" = "observer"', f'"{"a" * 40}" = "root"'])
def test_an_allow_list_with_a_mistake_is_refused(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(f"[clients]\n{entry}\n")
    with pytest.raises(SecurityError, match="observer, operator, admin"):
        load_clients(path)
