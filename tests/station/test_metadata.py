"""RE.md: it survives, it is readable, and numbers are given once."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread

import pytest

from station.metadata import MetadataError, PersistentMetadata


def test_what_is_set_is_there_in_the_next_session(tmp_path: Path):
    PersistentMetadata(tmp_path / "md.json")["sample"] = {"name": "gold", "grid": [1, 2]}
    assert PersistentMetadata(tmp_path / "md.json")["sample"] == {"name": "gold", "grid": [1, 2]}


def test_the_file_is_plain_json(tmp_path: Path):
    PersistentMetadata(tmp_path / "md.json")["operator"] = "Ada"
    assert json.loads((tmp_path / "md.json").read_text()) == {"operator": "Ada"}


def test_what_is_removed_stays_removed(tmp_path: Path):
    md = PersistentMetadata(tmp_path / "md.json")
    md["a"] = 1
    del md["a"]
    assert dict(PersistentMetadata(tmp_path / "md.json")) == {}


def test_two_sessions_never_get_the_same_scan_number(tmp_path: Path):
    sessions = [PersistentMetadata(tmp_path / "md.json") for _ in range(2)]
    numbers: list[int] = []

    def take(md: PersistentMetadata) -> None:
        numbers.extend(md.next_scan_id() for _ in range(20))

    threads = [Thread(target=take, args=(md,)) for md in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 41))


def test_a_value_that_cannot_be_written_is_refused_and_changes_nothing(tmp_path: Path):
    md = PersistentMetadata(tmp_path / "md.json")
    with pytest.raises(TypeError, match="must be text, a number"):
        md["sample"] = object()
    assert "sample" not in md


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "md.json").write_text("{")
    with pytest.raises(MetadataError, match=r"md\.json cannot be read"):
        PersistentMetadata(tmp_path / "md.json")
