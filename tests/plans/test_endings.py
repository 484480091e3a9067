"""How plans end: all parts of the clean-up, and the error that tells why."""

from __future__ import annotations

from typing import Any

import pytest
from bluesky import Msg
from bluesky.utils import RequestAbort

from plans.endings import ending_with


def failing(error: Exception) -> Any:
    """A plan that fails with `error` at its second message."""
    yield Msg("null")
    raise error


def part(done: list[str], name: str, error: Exception | None = None) -> Any:
    """A part of a clean-up that notes that it was begun, and may fail."""

    def run(failed: bool) -> Any:
        done.append(f"{name} {'failed' if failed else 'well'}")
        yield Msg("null")
        if error is not None:
            raise error

    return run


def test_every_part_is_done_though_one_fails() -> None:
    done: list[str] = []
    parts = part(done, "first", ValueError("no")), part(done, "second")
    with pytest.raises(ValueError, match="no"):
        list(ending_with(iter(()), *parts))  # pyright: ignore[reportArgumentType]
    assert done == ["first well", "second well"]


def test_the_error_of_the_plan_is_told_before_those_of_its_clean_up() -> None:
    done: list[str] = []
    with pytest.raises(RuntimeError, match="broken"):
        list(ending_with(failing(RuntimeError("broken")), part(done, "end", ValueError("no"))))
    assert done == ["end failed"]


def test_an_abort_is_told_before_the_failure_of_what_it_stopped() -> None:
    def stopped() -> Any:
        try:
            yield Msg("wait")
        except RequestAbort:
            raise RuntimeError("it was stopped on its way") from None

    plan = ending_with(stopped())
    next(plan)
    with pytest.raises(RequestAbort):
        plan.throw(RequestAbort())
