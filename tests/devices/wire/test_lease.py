"""One client writes at a time; when it vanishes in mid-motion the instrument is made safe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from devices.wire import Client, LeaseError, RefusedError, Role, Server
from devices.wire.desk import Desk, DeskSettings
from devices.wire.messages import Request, decode_answer
from devices.wire.reception import Caller
from devices.wire.timing import steady


def test_the_first_to_write_holds_the_lease(connect: Callable[..., Client]) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.request("stage.nudge", {"x": 1e-6})
    with pytest.raises(LeaseError, match="'alice' holds the lease"):
        bob.request("stage.nudge", {"x": 1e-6})


def test_others_read_and_stop_without_the_lease(
    connect: Callable[..., Client], instrument: Any
) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.acquire_lease()
    assert bob.request("stage.read").values == {"x": 0}
    assert bob.stop()
    assert instrument.stops == 1


def test_a_released_lease_is_free(connect: Callable[..., Client]) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.acquire_lease()
    alice.release_lease()
    bob.request("stage.nudge", {"x": 1e-6})


def test_closing_releases_the_lease(
    connect: Callable[..., Client], eventually: Callable[..., bool]
) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.acquire_lease()
    alice.close()
    assert eventually(lambda: bob.request("ping").values["lease"] is None)
    bob.request("stage.nudge", {"x": 1e-6})


def test_an_idle_lease_is_released(
    connect: Callable[..., Client], eventually: Callable[..., bool]
) -> None:
    alice = connect("alice")
    alice.request("stage.nudge", {"x": 1e-6})
    assert eventually(lambda: alice.request("ping").values["lease"] is None)


def test_a_lease_taken_on_purpose_is_kept_by_heartbeats(
    connect: Callable[..., Client], eventually: Callable[..., bool]
) -> None:
    alice = connect("alice")
    alice.acquire_lease()
    assert not eventually(lambda: alice.request("ping").values["lease"] is None, 0.7)


def test_a_running_operation_keeps_the_lease(
    connect: Callable[..., Client], instrument: Any, eventually: Callable[..., bool]
) -> None:
    alice, bob = connect("alice"), connect("bob")
    instrument.gate.clear()
    operation = alice.start("stage.move", {"x": 1e-6}, timeout_s=5)
    assert instrument.begun.wait(1)
    assert not eventually(lambda: bob.request("ping").values["lease"] is None, 0.6)
    instrument.gate.set()
    operation.future.result(1)


def test_an_admin_may_take_the_lease(connect: Callable[..., Client]) -> None:
    alice, bob = connect("alice"), connect("bob")
    alice.acquire_lease()
    bob.acquire_lease(force=True)
    with pytest.raises(LeaseError, match="'bob' holds"):
        alice.request("stage.nudge", {"x": 1e-6})


def test_the_instrument_is_made_safe_when_the_lease_holder_dies_in_mid_motion(
    bare: Any, client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    instrument.gate.clear()
    op_id = bare.ask(bare.command(1, "stage.move", x=1e-6)).values["accepted"]
    assert not instrument.safe.is_set()
    bare.socket.close()  # no goodbye, no heartbeat: as if its process had been killed
    assert instrument.safe.wait(1)
    assert eventually(
        lambda: client.request("op.status", {"op_id": op_id}).values["state"] == "failed"
    )
    assert eventually(lambda: client.request("ping").values["lease"] is None)
    assert instrument.moves == []


def test_the_instrument_is_made_safe_though_the_motion_of_its_dead_sender_ends_first(
    bare: Any, client: Client, instrument: Any
) -> None:
    bare.ask(bare.command(1, "stage.move", x=1e-6))
    bare.socket.close()
    assert instrument.safe.wait(1)
    assert instrument.moves == [1e-6]


def test_the_instrument_is_left_alone_when_an_idle_lease_holder_dies(
    bare: Any, client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    bare.ask(bare.command(1, "lease.acquire"))
    bare.socket.close()
    assert eventually(lambda: client.request("ping").values["lease"] is None)
    assert not instrument.safe.is_set()


def test_leaving_in_mid_motion_makes_the_instrument_safe(
    connect: Callable[..., Client], instrument: Any
) -> None:
    alice = connect("alice")
    instrument.gate.clear()
    alice.start("stage.move", {"x": 1e-6}, timeout_s=5)
    assert instrument.begun.wait(1)
    alice.close()
    assert instrument.safe.wait(1)
    assert instrument.moves == []


def test_a_command_that_waits_when_its_sender_loses_the_lease_does_not_happen(
    connect: Callable[..., Client], instrument: Any
) -> None:
    alice, bob = connect("alice"), connect("bob")
    instrument.gate.clear()
    blocked = alice.submit("stage.wait", deadline_s=3)
    assert instrument.begun.wait(1)
    waiting = alice.submit("stage.nudge", {"x": 1e-6}, deadline_s=3)
    alice.request("ping")
    bob.acquire_lease(force=True)
    instrument.gate.set()
    blocked.result(1)
    with pytest.raises(LeaseError, match="lost the lease"):
        waiting.result(1)
    assert instrument.moves == []


def test_a_lease_is_refused_while_the_instrument_is_made_safe(
    connect: Callable[..., Client], instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescue = instrument.gate.wait
    instrument.make_safe = lambda: (instrument.safe.set(), rescue(2))
    alice, bob = connect("alice"), connect("bob")
    instrument.gate.clear()
    alice.start("stage.move", {"x": 1e-6}, timeout_s=5)
    assert instrument.begun.wait(1)
    alice.close()
    assert instrument.safe.wait(1)
    with pytest.raises((LeaseError, RefusedError), match="made safe"):
        bob.request("stage.nudge", {"x": 1e-6})
    instrument.gate.set()


class Hanging:
    """A service that cannot be made safe until it is let go."""

    name = "hanging"

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def describe(self) -> dict[str, Any]:
        return {}

    def commands(self) -> dict[str, Any]:
        return {}

    def telemetry(self) -> dict[str, Any]:
        return {}

    def make_safe(self) -> None:
        self.let_go.wait(5)


def test_one_service_that_hangs_does_not_keep_another_from_being_made_safe(
    instrument: Any,
) -> None:
    hanging = Hanging()
    with Server([hanging, instrument]) as server:
        closing = threading.Thread(target=server.close)
        closing.start()
        made_safe = instrument.safe.wait(0.5)
        hanging.let_go.set()
        closing.join()
    assert made_safe


def test_nobody_writes_any_more_once_a_closing_server_has_made_the_instrument_safe(
    instrument: Any,
) -> None:
    settings = DeskSettings("tem", "s", {}, 1.0, 5.0, 30.0, False)
    desk = Desk(
        [instrument],
        settings,
        post=lambda task: task(),
        post_stop=lambda task: task(),
        publish=lambda topic, values: None,
        send=lambda frames: True,
    )
    desk.close(1.0)
    request = Request(1, "ana", "stage.nudge", {"x": 1e-6}, "s", steady() + 1.0)
    answer = desk.handle(Caller(b"route", ("", "ana"), Role.OPERATOR), request)
    assert answer is not None
    assert isinstance(decode_answer(answer.frames).error, LeaseError)
    assert instrument.moves == []
