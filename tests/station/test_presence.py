"""Where are the servers of a station? Told for as long as it lasts."""

from __future__ import annotations

from pathlib import Path

from station.presence import announced, present
from station.servers import ServerFacts

FACTS = ServerFacts("afm", "simulated", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", 7, {"seed": 0})
LATER = ServerFacts("afm", "simulated", "tcp://127.0.0.1:3", "tcp://127.0.0.1:4", 8, {"seed": 0})


def test_nobody_is_there_before_the_first_station(tmp_path: Path) -> None:
    assert present(tmp_path, "afm") is None


def test_a_server_is_told_while_its_station_lasts(tmp_path: Path) -> None:
    with announced(tmp_path, FACTS):
        assert present(tmp_path, "afm") == FACTS
    assert present(tmp_path, "afm") is None


def test_a_station_leaves_what_a_later_one_told(tmp_path: Path) -> None:
    with announced(tmp_path, FACTS):
        later = announced(tmp_path, LATER)
        later.__enter__()
    assert present(tmp_path, "afm") == LATER


def test_what_cannot_be_read_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "afm.json").write_text("{")
    assert present(tmp_path, "afm") is None
