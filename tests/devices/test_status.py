"""Statuses made of statuses."""

from __future__ import annotations

import pytest
from ophyd.status import StatusBase

from devices import combine
from devices.wire import LimitError


def test_it_is_done_when_all_are() -> None:
    parts = [StatusBase(), StatusBase()]
    whole = combine(parts)
    parts[0].set_finished()
    assert not whole.done
    parts[1].set_finished()
    assert whole.success


def test_it_fails_with_the_first_failure_s_own_exception() -> None:
    parts = [StatusBase(), StatusBase()]
    whole = combine(parts)
    parts[1].set_exception(LimitError("x target 5 µm is outside"))
    with pytest.raises(LimitError, match="x target"):
        whole.wait(timeout=1)
    parts[0].set_exception(ValueError("later"))
    assert isinstance(whole.exception(), LimitError)


def test_nothing_is_done_already() -> None:
    assert combine([]).success
