"""Long commands: accepted, progress, end, failure, cancellation, and events that are lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from devices.wire import (
    CancelledError,
    Client,
    ConnectionLost,
    LimitError,
    RefusedError,
    Server,
    StateUnknown,
)
from devices.wire.link import Link


def test_an_operation_reports_progress_and_its_result(
    client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    instrument.gate.clear()
    seen: list[dict[str, Any]] = []
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=2)
    operation.on_progress(seen.append)
    assert eventually(lambda: seen == [{"fraction": 0.5}])
    instrument.gate.set()
    assert operation.future.result(1).values == {"x": 1e-6}


def test_arrays_of_an_operation_arrive(client: Client, instrument: Any) -> None:
    reply = client.start("stage.scan", timeout_s=2).future.result(1)
    assert reply.values == {"lines": 64}
    np.testing.assert_array_equal(reply.arrays["image"], instrument.image)


def test_a_refused_operation_fails_with_the_reason(client: Client, instrument: Any) -> None:
    operation = client.start("stage.move", {"x": 1.0}, timeout_s=2)
    with pytest.raises(LimitError, match="outside"):
        operation.future.result(1)
    assert instrument.moves == []


def test_a_stop_ends_a_running_operation(client: Client, instrument: Any) -> None:
    instrument.gate.clear()
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=2)
    assert instrument.begun.wait(1)
    assert client.stop()
    with pytest.raises(RefusedError, match="stopped on the way"):
        operation.future.result(1)
    assert instrument.moves == []


def test_an_operation_can_be_cancelled_by_its_id(client: Client, instrument: Any) -> None:
    instrument.gate.clear()
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=2)
    assert instrument.begun.wait(1)
    assert client.request("op.cancel", {"op_id": operation.id}).values == {"cancelled": 1}
    with pytest.raises(RefusedError):
        operation.future.result(1)


def test_a_cancelled_operation_that_returns_all_the_same_has_not_succeeded(
    client: Client, instrument: Any
) -> None:
    instrument.gate.clear()
    operation = client.start("stage.scan", timeout_s=2)
    client.request("op.cancel", {"op_id": operation.id})
    instrument.gate.set()
    with pytest.raises(CancelledError):
        operation.future.result(1)


def test_an_operation_that_takes_too_long_is_cancelled(
    client: Client, instrument: Any, eventually: Callable[..., bool]
) -> None:
    instrument.gate.clear()
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=0.1)
    with pytest.raises(StateUnknown, match="not finished in time"):
        operation.future.result(1)
    status = client.request("op.status", {"op_id": operation.id})
    assert eventually(
        lambda: client.request("op.status", {"op_id": operation.id}).values["state"] == "failed"
    ), status
    assert instrument.moves == []


def test_the_server_ends_an_operation_whose_sender_no_longer_waits(
    bare: Any, instrument: Any, eventually: Callable[..., bool]
) -> None:
    from dataclasses import replace

    instrument.gate.clear()
    answer = bare.ask(replace(bare.command(1, "stage.move", x=1e-6), timeout=0.05))
    op_id = answer.values["accepted"]

    def failed() -> bool:
        return bare.ask(bare.command(2, "op.status", op_id=op_id)).values["state"] == "failed"

    assert eventually(failed)
    assert instrument.moves == []


@pytest.mark.parametrize("op", ["stage.move", "stage.scan"])
def test_an_operation_whose_last_event_is_lost_ends_all_the_same(
    client: Client, instrument: Any, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "_read_events", lambda link, stream: list(stream.read()))
    reply = client.start(op, {"x": 1e-6}, timeout_s=2).future.result(1)
    assert reply.values in ({"x": 1e-6}, {"lines": 64})


def test_a_failure_whose_event_is_lost_still_has_its_reason(
    client: Client, instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "_read_events", lambda link, stream: list(stream.read()))
    instrument.gate.clear()
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=2)
    assert instrument.begun.wait(1)
    client.stop()
    with pytest.raises(RefusedError, match="stopped on the way"):
        operation.future.result(1)


def test_a_resent_long_command_is_one_operation(
    bare: Any, instrument: Any, eventually: Callable[..., bool]
) -> None:
    request = bare.command(1, "stage.move", x=1e-6)
    first, second = bare.ask(request), bare.ask(request)
    assert first.values == second.values
    assert eventually(lambda: instrument.moves == [1e-6])


def test_operations_fail_when_the_server_goes(
    client: Client, instrument: Any, server: Server
) -> None:
    instrument.gate.clear()
    operation = client.start("stage.scan", timeout_s=5)
    client.request("ping")
    server.close()
    with pytest.raises(ConnectionLost, match=r"stage\.scan"):
        operation.future.result(1)
    assert not client.connected


def test_progress_is_kept_for_whoever_asks(client: Client, instrument: Any) -> None:
    instrument.gate.clear()
    operation = client.start("stage.move", {"x": 1e-6}, timeout_s=2)
    assert instrument.begun.wait(1)
    client.request("ping")
    status = client.request("op.status", {"op_id": operation.id}).values
    assert (status["state"], status["progress"]) == ("running", {"fraction": 0.5})
    instrument.gate.set()
    operation.future.result(1)
