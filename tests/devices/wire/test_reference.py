"""The page for whoever writes a client or a server in another language says what the code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devices.wire import Client, UnknownCommandError
from devices.wire.errors import _CLASSES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "wire.md"


@pytest.mark.parametrize("code", sorted(_CLASSES))
def test_every_error_code_is_explained(code: str) -> None:
    assert f"`{code}`" in PAGE.read_text(encoding="utf-8")


def test_every_command_of_a_server_is_listed(bench: Any) -> None:
    with pytest.raises(UnknownCommandError) as caught:
        bench.client.request("no.such")
    page = PAGE.read_text(encoding="utf-8")
    known = str(caught.value).partition("there are: ")[2].split(", ")
    for op in known:
        service, _, verb = op.partition(".")
        assert f"`{op}`" in page or (f"`{service}." in page and f"`.{verb}`" in page), op


def test_every_fact_of_the_handshake_is_listed(client: Client) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for fact in client.request("hello", {"protocol": 1, "name": "ana"}).values:
        assert f"`{fact}`" in page, fact
